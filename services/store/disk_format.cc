#include "services/store/disk_format.h"

#include <bit>
#include <type_traits>

#include "services/store/crc32c.h"

namespace holdfast::store {
namespace {

constexpr uint8_t kVersion = 1;
// Of StoreState and Entry.
constexpr uint8_t kVersionWithKeys = 2;
// Of StoreState: blocks are in a database of their own, where an older store does not look for them.
constexpr uint8_t kVersionOfTwoDatabases = 3;
constexpr size_t kChecksumEnd = kBlockChecksumOffset + kBlockChecksumBytes;

constexpr size_t kLanePrefixBytes = kBlockPrefix.size() + sizeof(uint64_t) + sizeof(uint32_t);
constexpr std::string_view kRiderMark = "r";

constexpr uint8_t kKindRecords = 0;
constexpr uint8_t kKindHole = 1;
constexpr uint8_t kKindSealed = 2;

template <typename T>
void Store(T value, char* out) {
  auto rest = static_cast<std::make_unsigned_t<T>>(value);
  for (size_t i = sizeof(T); i-- > 0;) {
    out[i] = static_cast<char>(rest & 0xff);
    if constexpr (sizeof(T) > 1) rest >>= 8;
  }
}

template <typename T>
void Put(T value, std::string* out) {
  char bytes[sizeof(T)];
  Store(value, bytes);
  out->append(bytes, sizeof bytes);
}

void PutText(std::string_view text, std::string* out) {
  Put(static_cast<uint16_t>(text.size()), out);
  out->append(text);
}

// Takes values off the front; ok() is false once something was cut short.
class Reader {
 public:
  explicit Reader(std::string_view in) : in_(in) {}

  template <typename T>
  T Take() {
    if (in_.size() < sizeof(T)) {
      ok_ = false;
      in_ = {};
      return T{};
    }
    std::make_unsigned_t<T> value = 0;
    for (size_t i = 0; i < sizeof(T); ++i) {
      value = static_cast<std::make_unsigned_t<T>>((static_cast<uint64_t>(value) << 8) | static_cast<uint8_t>(in_[i]));
    }
    in_.remove_prefix(sizeof(T));
    return static_cast<T>(value);
  }

  std::string_view TakeText() { return TakeBytes(Take<uint16_t>()); }

  std::string_view TakeBytes(size_t size) {
    if (in_.size() < size) {
      ok_ = false;
      in_ = {};
      return {};
    }
    const std::string_view text = in_.substr(0, size);
    in_.remove_prefix(size);
    return text;
  }

  bool TakeVersion() { return Take<uint8_t>() == kVersion && ok_; }
  std::string_view rest() const { return in_; }
  bool ok() const { return ok_; }
  bool done() const { return ok_ && in_.empty(); }

 private:
  std::string_view in_;
  bool ok_ = true;
};

std::string NumberKey(std::string_view prefix, uint64_t number) {
  std::string key(prefix);
  Put(number, &key);
  return key;
}

void AppendChange(bool deleted, std::string_view key, std::string_view value, std::string* changes) {
  Put(static_cast<uint8_t>(deleted), changes);
  Put(static_cast<uint32_t>(key.size()), changes);
  changes->append(key);
  Put(static_cast<uint32_t>(value.size()), changes);
  changes->append(value);
}

std::string Versioned() {
  return std::string(1, static_cast<char>(kVersion));
}

// Of the key and of the value but for the checksum's own place.
uint32_t BlockCrc(std::string_view key, std::string_view value) {
  return Crc32c(value.substr(kChecksumEnd), Crc32c(value.substr(0, kBlockChecksumOffset), Crc32c(key)));
}

}  // namespace

std::string StateKey() {
  return "s";
}
std::string QueueKey(uint64_t queue_id) {
  return NumberKey(kQueuePrefix, queue_id);
}
std::string DeletedQueueKey(uint64_t queue_id) {
  return NumberKey(kDeletedQueuePrefix, queue_id);
}
std::string QueueBlocksPrefix(uint64_t queue_id) {
  return NumberKey(kBlockPrefix, queue_id);
}
std::string LeaseKey(uint64_t lease_id) {
  return NumberKey(kLeasePrefix, lease_id);
}

std::string CheckpointsKey(uint64_t queue_id, std::string_view consumer) {
  std::string key = NumberKey(kCheckpointsPrefix, queue_id);
  key.append(consumer);
  return key;
}

std::string LanePrefix(uint64_t queue_id, uint32_t priority) {
  std::string key = QueueBlocksPrefix(queue_id);
  Put(priority, &key);
  return key;
}

std::string BlockKey(uint64_t queue_id, uint32_t priority, uint64_t first_sequence) {
  std::string key = LanePrefix(queue_id, priority);
  Put(first_sequence, &key);
  return key;
}

std::string_view LanePrefixOf(std::string_view key) {
  return key.substr(0, kLanePrefixBytes);
}

std::string RiderKey(std::string_view block_key) {
  return std::string(block_key).append(kRiderMark);
}

bool IsRiderKey(std::string_view key) {
  return key.size() == kLanePrefixBytes + sizeof(uint64_t) + kRiderMark.size() && key.starts_with(kBlockPrefix);
}

std::string_view BlockOf(std::string_view key) {
  return IsRiderKey(key) ? key.substr(0, key.size() - kRiderMark.size()) : key;
}

bool IsReadAfterOpenOnly(std::string_view key) {
  return key == StateKey() || key.starts_with(kQueuePrefix) || key.starts_with(kDeletedQueuePrefix) ||
         key.starts_with(kCheckpointsPrefix);
}

std::string EntryKey(std::string_view key) {
  return std::string(kEntryPrefix).append(key);
}

std::string LeasedKeyKey(uint64_t lease_id, std::string_view key) {
  return NumberKey(kLeasedKeyPrefix, lease_id).append(key);
}

std::optional<BlockKeyParts> ParseBlockKey(std::string_view key) {
  if (!key.starts_with(kBlockPrefix)) return std::nullopt;
  Reader in(key.substr(kBlockPrefix.size()));
  BlockKeyParts parts;
  parts.queue_id = in.Take<uint64_t>();
  parts.priority = in.Take<uint32_t>();
  parts.first_sequence = in.Take<uint64_t>();
  if (!in.done()) return std::nullopt;
  return parts;
}

std::optional<uint64_t> ParseNumberKey(std::string_view key) {
  if (key.empty()) return std::nullopt;
  Reader in(key.substr(1));
  const auto number = in.Take<uint64_t>();
  if (!in.done()) return std::nullopt;
  return number;
}

std::optional<NumberAndText> ParseNumberTextKey(std::string_view key) {
  if (key.empty()) return std::nullopt;
  Reader in(key.substr(1));
  NumberAndText parts;
  parts.number = in.Take<uint64_t>();
  parts.text = in.rest();
  if (!in.ok()) return std::nullopt;
  return parts;
}

std::string Encode(const StoreState& state) {
  std::string out;
  Put(kVersionOfTwoDatabases, &out);
  PutText(state.store_id, &out);
  Put(state.group, &out);
  Put(state.next_queue_id, &out);
  Put(state.next_lease_id, &out);
  Put(state.revision, &out);
  Put(state.key_value_bytes, &out);
  Put(state.corrupt_records, &out);
  Put(state.clock.edge_ms, &out);
  Put(state.clock.boot_id, &out);
  Put(state.clock.since_boot_ms, &out);
  Put(state.clock.wall_ms, &out);
  Put(static_cast<uint8_t>(state.clock.synchronized), &out);
  Put(state.clock.off_since_wall_ms, &out);
  Put(static_cast<uint8_t>(state.key_uses.size()), &out);
  for (const KeyUse& use : state.key_uses) {
    Put(use.key_id, &out);
    Put(use.last_used_edge_ms, &out);
  }
  return out;
}

std::optional<StoreState> DecodeStoreState(std::string_view value) {
  Reader in(value);
  const auto version = in.Take<uint8_t>();
  if (version < kVersion || version > kVersionOfTwoDatabases) return std::nullopt;
  StoreState state;
  state.store_id = in.TakeText();
  state.group = in.Take<uint64_t>();
  state.next_queue_id = in.Take<uint64_t>();
  state.next_lease_id = in.Take<uint64_t>();
  state.revision = in.Take<uint64_t>();
  state.key_value_bytes = in.Take<uint64_t>();
  state.corrupt_records = in.Take<uint64_t>();
  state.clock.edge_ms = in.Take<uint64_t>();
  state.clock.boot_id = in.Take<uint64_t>();
  state.clock.since_boot_ms = in.Take<uint64_t>();
  state.clock.wall_ms = in.Take<int64_t>();
  state.clock.synchronized = in.Take<uint8_t>() != 0;
  state.clock.off_since_wall_ms = in.Take<int64_t>();
  const int uses = version >= kVersionWithKeys ? in.Take<uint8_t>() : 0;
  for (int i = 0; i < uses && in.ok(); ++i) {
    const auto key_id = in.Take<uint64_t>();
    state.key_uses.push_back({.key_id = key_id, .last_used_edge_ms = in.Take<uint64_t>()});
  }
  if (!in.done()) return std::nullopt;
  return state;
}

std::string Encode(const QueueInfo& info, const QueueCounters& counters) {
  std::string out = Versioned();
  PutText(info.name, &out);
  PutText(info.incarnation, &out);
  Put(static_cast<uint8_t>(info.settings.full_policy), &out);
  Put(info.settings.bytes_max, &out);
  Put(info.settings.ttl_seconds, &out);
  Put(counters.next_sequence, &out);
  Put(counters.appended, &out);
  Put(counters.expired, &out);
  Put(counters.full, &out);
  Put(counters.corrupt, &out);
  Put(counters.by_operator, &out);
  Put(static_cast<uint8_t>(counters.lanes.size()), &out);
  for (const LaneCounters& lane : counters.lanes) {
    Put(lane.priority, &out);
    Put(lane.end_sequence, &out);
    Put(lane.total_records, &out);
    Put(lane.total_bytes, &out);
    Put(lane.head_sequence, &out);
    Put(lane.head_records, &out);
    Put(lane.head_bytes, &out);
    Put(lane.passed_sequence, &out);
    Put(lane.passed_records, &out);
    Put(lane.garbage_sequence, &out);
  }
  return out;
}

std::optional<QueueRecord> DecodeQueue(std::string_view value) {
  Reader in(value);
  if (!in.TakeVersion()) return std::nullopt;
  QueueRecord queue;
  queue.info.name = in.TakeText();
  queue.info.incarnation = in.TakeText();
  const auto policy = in.Take<uint8_t>();
  queue.info.settings.bytes_max = in.Take<uint64_t>();
  queue.info.settings.ttl_seconds = in.Take<int32_t>();
  if (!in.ok() || policy < 1 || policy > 2) return std::nullopt;
  queue.info.settings.full_policy = static_cast<FullPolicy>(policy);
  QueueCounters& counters = queue.counters;
  counters.next_sequence = in.Take<uint64_t>();
  counters.appended = in.Take<uint64_t>();
  counters.expired = in.Take<uint64_t>();
  counters.full = in.Take<uint64_t>();
  counters.corrupt = in.Take<uint64_t>();
  counters.by_operator = in.Take<uint64_t>();
  const auto count = in.Take<uint8_t>();
  for (int i = 0; i < count && in.ok(); ++i) {
    LaneCounters lane;
    lane.priority = in.Take<uint32_t>();
    lane.end_sequence = in.Take<uint64_t>();
    lane.total_records = in.Take<uint64_t>();
    lane.total_bytes = in.Take<uint64_t>();
    lane.head_sequence = in.Take<uint64_t>();
    lane.head_records = in.Take<uint64_t>();
    lane.head_bytes = in.Take<uint64_t>();
    lane.passed_sequence = in.Take<uint64_t>();
    lane.passed_records = in.Take<uint64_t>();
    lane.garbage_sequence = in.Take<uint64_t>();
    counters.lanes.push_back(lane);
  }
  if (!in.done()) return std::nullopt;
  return queue;
}

std::string Encode(const std::vector<Checkpoint>& checkpoints) {
  std::string out = Versioned();
  Put(static_cast<uint8_t>(checkpoints.size()), &out);
  for (const Checkpoint& checkpoint : checkpoints) {
    Put(checkpoint.priority, &out);
    Put(checkpoint.sequence, &out);
    Put(checkpoint.passed_records, &out);
  }
  return out;
}

std::optional<std::vector<Checkpoint>> DecodeCheckpoints(std::string_view value) {
  Reader in(value);
  if (!in.TakeVersion()) return std::nullopt;
  const auto count = in.Take<uint8_t>();
  std::vector<Checkpoint> checkpoints;
  for (int i = 0; i < count && in.ok(); ++i) {
    Checkpoint checkpoint;
    checkpoint.priority = in.Take<uint32_t>();
    checkpoint.sequence = in.Take<uint64_t>();
    checkpoint.passed_records = in.Take<uint64_t>();
    checkpoints.push_back(checkpoint);
  }
  if (!in.done()) return std::nullopt;
  return checkpoints;
}

void PutBlockHeader(const BlockHeader& header, std::string* value) {
  char* out = value->data();
  const auto put = [&out](auto field) {
    Store(field, out);
    out += sizeof field;
  };
  put(kVersion);
  put(header.hole ? kKindHole : header.sealed ? kKindSealed : kKindRecords);
  put(uint32_t{0});
  put(header.record_count);
  put(header.ttl_seconds);
  put(header.wall_ms);
  put(header.edge_ms);
  put(header.records_before);
  put(header.bytes_before);
}

void PutBlockChecksum(std::string_view key, std::string* value) {
  Store(BlockCrc(key, *value), value->data() + kBlockChecksumOffset);
}

std::optional<BlockHeader> ReadBlockHeader(std::string_view key, std::string_view value) {
  if (value.size() < kBlockHeaderBytes) return std::nullopt;
  Reader in(value);
  if (!in.TakeVersion()) return std::nullopt;
  const auto kind = in.Take<uint8_t>();
  const auto crc = in.Take<uint32_t>();
  if (kind > kKindSealed || crc != BlockCrc(key, value)) return std::nullopt;
  if (kind == kKindSealed && value.size() < kBlockHeaderBytes + kSealedOverheadBytes) return std::nullopt;
  BlockHeader header;
  header.hole = kind == kKindHole;
  header.sealed = kind == kKindSealed;
  header.record_count = in.Take<uint32_t>();
  header.ttl_seconds = in.Take<int32_t>();
  header.wall_ms = in.Take<int64_t>();
  header.edge_ms = in.Take<uint64_t>();
  header.records_before = in.Take<uint64_t>();
  header.bytes_before = in.Take<uint64_t>();
  return header;
}

std::string Encode(const EntryValue& entry) {
  std::string out;
  Put(entry.sealed ? kVersionWithKeys : kVersion, &out);
  Put(entry.revision, &out);
  Put(entry.lease_id, &out);
  out.append(entry.value);
  return out;
}

std::optional<EntryValue> DecodeEntry(std::string_view value) {
  Reader in(value);
  const auto version = in.Take<uint8_t>();
  EntryValue entry;
  entry.sealed = version == kVersionWithKeys;
  entry.revision = in.Take<uint64_t>();
  entry.lease_id = in.Take<uint64_t>();
  entry.value = in.rest();
  if (!in.ok() || (version != kVersion && !entry.sealed)) return std::nullopt;
  if (entry.sealed && entry.value.size() < kSealedOverheadBytes) return std::nullopt;
  return entry;
}

std::string EncodeLease(uint64_t ttl_ms) {
  std::string out = Versioned();
  Put(ttl_ms, &out);
  return out;
}

std::optional<uint64_t> DecodeLease(std::string_view value) {
  Reader in(value);
  if (!in.TakeVersion()) return std::nullopt;
  const auto ttl_ms = in.Take<uint64_t>();
  if (!in.done()) return std::nullopt;
  return ttl_ms;
}

std::string EncodeNumber(uint64_t number) {
  std::string out;
  Put(number, &out);
  return out;
}

std::optional<uint64_t> DecodeNumber(std::string_view value) {
  Reader in(value);
  const auto number = in.Take<uint64_t>();
  if (!in.done()) return std::nullopt;
  return number;
}

void AppendPut(std::string_view key, std::string_view value, std::string* changes) {
  AppendChange(/*deleted=*/false, key, value, changes);
}

void AppendDelete(std::string_view key, std::string* changes) {
  AppendChange(/*deleted=*/true, key, "", changes);
}

std::optional<std::vector<Change>> DecodeChanges(std::string_view changes) {
  std::vector<Change> decoded;
  Reader in(changes);
  while (!in.done()) {
    const auto deleted = in.Take<uint8_t>();
    const std::string_view key = in.TakeBytes(in.Take<uint32_t>());
    const std::string_view value = in.TakeBytes(in.Take<uint32_t>());
    if (!in.ok() || deleted > 1 || (deleted == 1 && !value.empty())) return std::nullopt;
    decoded.push_back({key, deleted == 1 ? std::nullopt : std::optional(value)});
  }
  return decoded;
}

std::string EncodeRider(const Rider& rider) {
  std::string out = EncodeNumber(rider.number);
  out.append(rider.changes);
  return out;
}

std::optional<Rider> DecodeRider(std::string_view value) {
  Reader in(value);
  Rider rider;
  rider.number = in.Take<uint64_t>();
  if (!in.ok()) return std::nullopt;
  rider.changes = in.rest();
  return rider;
}

}  // namespace holdfast::store
