#include "cli/host_facts.h"

#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <sys/vfs.h>

#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "cli/output.h"
#include "lib/base/clock.h"
#include "lib/base/status.h"

namespace holdfast::cli {
namespace {

constexpr std::streamsize kFileBytesMax = 64 << 10;

// What the kernel or the distribution says there; "" if nothing.
std::string Text(const char* path) {
  std::ifstream file(path);
  std::string text(kFileBytesMax, '\0');
  file.read(text.data(), kFileBytesMax);
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

nlohmann::json DiskFacts(const std::string& folder) {
  struct statfs disk {};
  if (::statfs(folder.c_str(), &disk) != 0) {
    return {{"folder", folder}, {"error", ErrnoStatus(errno, "can't be looked at").message()}};
  }
  const auto bytes = [&disk](auto blocks) {
    return static_cast<uint64_t>(blocks) * static_cast<uint64_t>(disk.f_bsize);
  };
  return {{"folder", folder},
          {"filesystem_magic", static_cast<uint64_t>(disk.f_type)},
          {"bytes", bytes(disk.f_blocks)},
          {"free_bytes", bytes(disk.f_bavail)},
          {"files", static_cast<uint64_t>(disk.f_files)},
          {"free_files", static_cast<uint64_t>(disk.f_ffree)},
          {"read_only", (disk.f_flags & ST_RDONLY) != 0}};
}

}  // namespace

nlohmann::json HostFacts(const std::vector<std::string>& folders) {
  utsname kernel{};
  ::uname(&kernel);
  nlohmann::json disks = nlohmann::json::array();
  for (const std::string& folder : folders) disks.push_back(DiskFacts(folder));
  return {{"kernel",
           {{"system", kernel.sysname},
            {"release", kernel.release},
            {"version", kernel.version},
            {"machine", kernel.machine},
            {"node", kernel.nodename}}},
          {"os_release", Text("/etc/os-release")},
          {"processors", std::thread::hardware_concurrency()},
          {"memory", Text("/proc/meminfo")},
          {"pressure", {{"memory", Text("/proc/pressure/memory")}, {"io", Text("/proc/pressure/io")}}},
          {"load", Text("/proc/loadavg")},
          {"uptime", Text("/proc/uptime")},
          {"memory_limit", Text("/sys/fs/cgroup/memory.max")},
          {"clock",
           {{"now", HumanTime(Clock::System()->WallNow())}, {"synchronised", Clock::System()->WallIsSynchronized()}}},
          {"disks", std::move(disks)}};
}

}  // namespace holdfast::cli
