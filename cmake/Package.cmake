# What `cmake --install` and the Debian package hold. `make deb` builds the package; tests/package looks into it.
# Units and configuration go to absolute places and name /usr/bin: CMake's default, which stays in the cache of an old
# build directory, would tear the two apart.
if(CMAKE_INSTALL_PREFIX STREQUAL "/usr/local")
  set(CMAKE_INSTALL_PREFIX /usr CACHE PATH "Where `cmake --install` puts things" FORCE)
endif()
include(GNUInstallDirs)

install(TARGETS holdfast holdfast-auth holdfast-store holdfast-router holdfast-uplink RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
# Manual pages, each by the program itself.
set(man_dir ${CMAKE_BINARY_DIR}/man)
set(man_pages ${man_dir}/holdfast.1)
add_custom_command(OUTPUT ${man_dir}/holdfast.1 DEPENDS holdfast
  COMMAND ${CMAKE_COMMAND} -E make_directory ${man_dir} COMMAND holdfast man > ${man_dir}/holdfast.1 VERBATIM)
foreach(service auth store router uplink)
  list(APPEND man_pages ${man_dir}/holdfast-${service}.8)
  add_custom_command(OUTPUT ${man_dir}/holdfast-${service}.8 DEPENDS holdfast-${service}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${man_dir}
    COMMAND holdfast-${service} --man > ${man_dir}/holdfast-${service}.8 VERBATIM)
endforeach()
add_custom_target(man ALL DEPENDS ${man_pages})
install(FILES ${man_dir}/holdfast.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(DIRECTORY ${man_dir}/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man8 FILES_MATCHING PATTERN "*.8")
install(FILES README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME copyright)
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR} FILES_MATCHING PATTERN "*.md")
install(FILES deploy/identities.toml.example DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)
install(FILES deploy/debian/holdfast.toml DESTINATION /etc/holdfast)
install(DIRECTORY deploy/systemd/ DESTINATION /lib/systemd/system FILES_MATCHING PATTERN "*.service" PATTERN "*.target")
install(FILES deploy/systemd/holdfast.sysusers DESTINATION /usr/lib/sysusers.d RENAME holdfast.conf)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME holdfast)
set(CPACK_PACKAGE_VENDOR "Holdfast")
set(CPACK_PACKAGE_CONTACT "Holdfast maintainers <maintainers@holdfast.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Edge gateway that keeps a site's devices working when the internet does not")
set(CPACK_PACKAGE_DESCRIPTION
    "Devices and modules talk to it as to their cloud hub (Azure IoT Hub's device contract, MQTT). Offline it stores
what is bound for the hub, authenticates everyone it knows, and carries messages and method calls between them;
when the link is back it delivers in order and reconciles.")
set(CPACK_SET_DESTDIR ON)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "systemd (>= 245), ca-certificates")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
    ${CMAKE_SOURCE_DIR}/deploy/debian/conffiles ${CMAKE_SOURCE_DIR}/deploy/debian/postinst
    ${CMAKE_SOURCE_DIR}/deploy/debian/prerm ${CMAKE_SOURCE_DIR}/deploy/debian/postrm)
include(CPack)
