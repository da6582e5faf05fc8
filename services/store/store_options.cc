#include "services/store/store_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "lib/base/status.h"

namespace holdfast::store {
namespace {

constexpr int64_t kMiB = 1 << 20;
constexpr int64_t kTiB = int64_t{1} << 40;
constexpr int64_t kTtlSecondsMax = 2'147'483'647;

// Reads a whole number into a field of another integer type.
template <typename T>
void ReadInteger(ConfigSection& section, std::string_view key, T* field, int64_t min, int64_t max) {
  auto value = static_cast<int64_t>(*field);
  section.Read(key, &value, min, max);
  *field = static_cast<T>(value);
}

bool LiesIn(const std::string& file, const std::string& directory) {
  if (file.empty()) return false;
  std::error_code error;
  const auto folder = std::filesystem::weakly_canonical(directory, error);
  const auto path = std::filesystem::weakly_canonical(file, error);
  return std::mismatch(folder.begin(), folder.end(), path.begin(), path.end()).first == folder.end();
}

}  // namespace

absl::StatusOr<StoreOptions> ReadStoreOptions(const ConfigFile& file, const GatewayOptions& gateway) {
  StoreOptions options;
  Engine::Options& engine = options.engine;
  engine.data_dir = gateway.data_dir + "/store";
  ConfigSection section = file.Section("store");
  section.Read("data_dir", &engine.data_dir);
  section.Read("metrics_address", &options.metrics_address);
  section.Read("encryption_key_file", &engine.encryption_key_file);
  ReadInteger(section, "queue_bytes_max", &engine.queue_bytes_max, kMiB, 64 * kTiB);
  ReadInteger(section, "total_bytes_max", &engine.total_bytes_max, kMiB, 64 * kTiB);
  ReadInteger(section, "free_space_floor_bytes", &engine.free_space_floor_bytes, 0, 64 * kTiB);
  ReadInteger(section, "key_value_bytes_max", &engine.key_value_bytes_max, kMiB, kTiB);
  ReadInteger(section, "ttl_seconds", &engine.ttl_seconds, -1, kTtlSecondsMax);
  ReadInteger(section, "tail_cache_bytes", &engine.tail_cache_bytes, 0, 4096 * kMiB);
  ReadInteger(section, "watch_history_bytes", &engine.watch_history_bytes, 64 << 10, 256 * kMiB);
  ReadInteger(section, "write_buffer_bytes", &engine.database.write_buffer_bytes, kMiB, 256 * kMiB);
  ReadInteger(section, "block_cache_bytes", &engine.database.block_cache_bytes, 0, 1024 * kMiB);
  ReadInteger(section, "file_bytes_max", &engine.database.file_bytes_max, kMiB, 1024 * kMiB);
  ReadInteger(section, "open_files_max", &engine.database.open_files_max, 74, 50'000);
  RETURN_IF_ERROR(section.Finish());
  if (engine.ttl_seconds == 0) {
    return absl::InvalidArgumentError("[store] ttl_seconds is 0: use -1 for never, or a number of seconds");
  }
  if (LiesIn(engine.encryption_key_file, engine.data_dir)) {
    return absl::InvalidArgumentError(
        fmt::format("[store] encryption_key_file {} lies in the data directory, whose copies would bring their key "
                    "along; choose another folder",
                    engine.encryption_key_file));
  }
  return options;
}

}  // namespace holdfast::store
