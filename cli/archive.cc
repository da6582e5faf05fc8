#include "cli/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>

#include "absl/cleanup/cleanup.h"
#include "lib/base/status.h"
#include "lib/base/unique_fd.h"

namespace holdfast::cli {
namespace {

constexpr mode_t kOwnerOnly = 0600;

using Writer = std::unique_ptr<archive, int (*)(archive*)>;

absl::Status Check(archive* writer, int result, const std::string& path) {
  if (result == ARCHIVE_OK) return absl::OkStatus();
  const char* text = archive_error_string(writer);
  return absl::InternalError(fmt::format("can't write {}: {}", path, text == nullptr ? "unknown error" : text));
}

absl::Status AddMember(archive* writer, const std::string& root, const ArchiveMember& member, absl::Time now,
                       const std::string& path) {
  const std::unique_ptr<archive_entry, void (*)(archive_entry*)> entry(archive_entry_new(), archive_entry_free);
  archive_entry_set_pathname(entry.get(), fmt::format("{}/{}", root, member.name).c_str());
  archive_entry_set_filetype(entry.get(), AE_IFREG);
  archive_entry_set_perm(entry.get(), kOwnerOnly);
  archive_entry_set_mtime(entry.get(), absl::ToTimeT(now), 0);
  archive_entry_set_size(entry.get(), static_cast<la_int64_t>(member.content.size()));
  RETURN_IF_ERROR(Check(writer, archive_write_header(writer, entry.get()), path));
  if (archive_write_data(writer, member.content.data(), member.content.size()) !=
      static_cast<la_ssize_t>(member.content.size())) {
    return Check(writer, ARCHIVE_FATAL, path);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status WriteTarGz(const std::string& path, const std::string& root, const std::vector<ArchiveMember>& members,
                        absl::Time now) {
  const std::string part = path + ".part";
  ::unlink(part.c_str());  // What an interrupted run left, or a link that somebody put there.
  const UniqueFd file(::open(part.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kOwnerOnly));
  if (file.get() < 0) return ErrnoStatus(errno, fmt::format("can't write {}", part));
  absl::Cleanup remove = [&part] { ::unlink(part.c_str()); };

  const Writer writer(archive_write_new(), archive_write_free);
  RETURN_IF_ERROR(Check(writer.get(), archive_write_add_filter_gzip(writer.get()), part));
  RETURN_IF_ERROR(Check(writer.get(), archive_write_set_format_pax_restricted(writer.get()), part));
  RETURN_IF_ERROR(Check(writer.get(), archive_write_open_fd(writer.get(), file.get()), part));
  for (const ArchiveMember& member : members) RETURN_IF_ERROR(AddMember(writer.get(), root, member, now, part));
  RETURN_IF_ERROR(Check(writer.get(), archive_write_close(writer.get()), part));
  if (std::rename(part.c_str(), path.c_str()) != 0) return ErrnoStatus(errno, fmt::format("can't write {}", path));
  std::move(remove).Cancel();
  return absl::OkStatus();
}

std::string ArchiveLibraryVersion() {
  return archive_version_string();
}

}  // namespace holdfast::cli
