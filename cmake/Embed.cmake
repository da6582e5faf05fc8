# Writes a header with the bytes of files: cmake -DOUT=header.h "-DFILES=a.html;b.js" -P Embed.cmake
#   constexpr char k_a_html[] = {…};
set(text "// Made by cmake/Embed.cmake.\n#pragma once\n")
foreach(file IN LISTS FILES)
  get_filename_component(name ${file} NAME)
  string(MAKE_C_IDENTIFIER "k_${name}" identifier)
  file(READ ${file} bytes HEX)
  string(REGEX REPLACE "(..)" "'\\\\x\\1'," bytes "${bytes}")
  string(APPEND text "constexpr char ${identifier}[] = {${bytes}};\n")
endforeach()
file(WRITE ${OUT} "${text}")
