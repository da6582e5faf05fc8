#pragma once

#include <string>

namespace holdfast::store {

// What a directory lies on, and whether that outlives a reboot and the container.
struct StorageKind {
  std::string filesystem;  // "ext4", "tmpfs"…; "0x…" if it has no name here, "unknown" if it can't be asked
  bool is_volatile = false;
};

StorageKind StorageKindOf(const std::string& directory);

}  // namespace holdfast::store
