#include "services/store/storage_kind.h"

#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/vfs.h>

namespace holdfast::store {
namespace {

// Not in Linux's header.
constexpr uint64_t kXfsMagic = 0x58465342;
constexpr uint64_t kZfsMagic = 0x2fc12fc1;

}  // namespace

StorageKind StorageKindOf(const std::string& directory) {
  struct statfs info {};
  if (::statfs(directory.c_str(), &info) != 0) return {"unknown", false};
  const auto magic = static_cast<uint64_t>(static_cast<uint32_t>(info.f_type));
  switch (magic) {
    case TMPFS_MAGIC:
      return {"tmpfs", true};
    case RAMFS_MAGIC:
      return {"ramfs", true};
    case OVERLAYFS_SUPER_MAGIC:
      return {"overlay", true};
    case EXT4_SUPER_MAGIC:
      return {"ext4", false};
    case BTRFS_SUPER_MAGIC:
      return {"btrfs", false};
    case F2FS_SUPER_MAGIC:
      return {"f2fs", false};
    case NFS_SUPER_MAGIC:
      return {"nfs", false};
    case kXfsMagic:
      return {"xfs", false};
    case kZfsMagic:
      return {"zfs", false};
    default:
      return {fmt::format("0x{:x}", magic), false};
  }
}

}  // namespace holdfast::store
