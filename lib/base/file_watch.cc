#include "lib/base/file_watch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string_view>

namespace holdfast {
namespace {

constexpr absl::Duration kWaitMax = absl::Hours(1);

std::string Folder(const std::string& path) {
  if (path.empty()) return "";
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

}  // namespace

FileWatch::FileWatch(const std::string& path)
    : folder_(Folder(path)),
      name_(std::filesystem::path(path).filename().string()),
      inotify_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  AddWatch();
}

void FileWatch::AddWatch() {
  if (is_watching_ || folder_.empty()) return;
  is_watching_ = ::inotify_add_watch(inotify_.get(), folder_.c_str(), IN_CLOSE_WRITE | IN_MOVED_TO | IN_ONLYDIR) >= 0;
}

bool FileWatch::DrainInotify() {
  alignas(inotify_event) char buffer[4096];
  bool is_ours = false;
  ssize_t size = 0;
  while ((size = ::read(inotify_.get(), buffer, sizeof buffer)) > 0) {
    for (const char* p = buffer; p < buffer + size;) {
      const auto* event = reinterpret_cast<const inotify_event*>(p);
      if ((event->mask & IN_IGNORED) != 0) is_watching_ = false;  // the folder itself is gone
      const bool is_named = event->len > 0 && std::string_view(event->name) == name_;
      // Kubernetes and docker switch whole folders by a link named "..data".
      const bool is_switch = event->len > 0 && std::string_view(event->name).starts_with("..");
      is_ours = is_ours || is_named || is_switch || (event->mask & IN_Q_OVERFLOW) != 0;
      p += sizeof(inotify_event) + event->len;
    }
  }
  return is_ours;
}

FileWatch::Event FileWatch::Wait(absl::Duration timeout) {
  AddWatch();
  pollfd fds[2] = {{wake_.get(), POLLIN, 0}, {inotify_.get(), POLLIN, 0}};
  const auto milliseconds =
      static_cast<int>(absl::ToInt64Milliseconds(std::clamp(timeout, absl::ZeroDuration(), kWaitMax)));
  if (::poll(fds, 2, milliseconds) <= 0) return Event::kTimeout;
  if ((fds[1].revents & POLLIN) != 0 && DrainInotify()) return Event::kFile;
  uint64_t count = 0;
  if (::read(wake_.get(), &count, sizeof count) == sizeof count) return Event::kWake;
  return Event::kTimeout;
}

void FileWatch::Wake() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof one);
}

}  // namespace holdfast
