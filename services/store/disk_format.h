// The bytes in the database: keys and values, encoded and decoded here and nowhere else. docs/data-on-disk.md explains
// what they are for. Integers are big-endian and of fixed width, so that the order of keys is the order of numbers.
//
// 'b' is in the database of blocks, all the rest in the other one (database.h).
//
//   key         = 's'                                              → StoreState
//               | 'q' queue_id:u64                                 → Queue
//               | 'd' queue_id:u64                                 → empty: deleted, its blocks are still being removed
//               | 'k' queue_id:u64 consumer:byte*                  → Checkpoints
//               | 'b' queue_id:u64 priority:u32 first_sequence:u64 → Block
//               | 'b' queue_id:u64 priority:u32 first_sequence:u64 'r' → Rider, of the block with this key
//               | 'v' key:byte*                                    → Entry
//               | 'l' lease_id:u64                                 → Lease
//               | 'm' lease_id:u64 key:byte*                       → empty: this key is bound to this lease
//               | 'a'                                              → number:u64, of the last Rider applied
//               | 'c'                                              → empty: closed well
//               | 'i'                                              → Changes of blocks, under way
//   Rider       = number:u64 Changes of the batch beside its blocks; empty, if they ride on a block of another lane
//   Changes     = (deleted:u8 key_length:u32 key:byte* value_length:u32 value:byte*)*
//   text        = length:u16 byte*
//   StoreState  = version:u8 store_id:text group:u64 next_queue_id:u64 next_lease_id:u64 revision:u64
//   key_value_bytes:u64
//                 corrupt_records:u64 Clock KeyUses?
//                 version: 1 = without KeyUses, 2 = with, 3 = with, and blocks in a database of their own
//   Clock       = edge_ms:u64 boot_id:u64 since_boot_ms:u64 wall_ms:i64 synchronized:u8 off_since_wall_ms:i64
//   KeyUses     = count:u8 (key_id:u64 last_used_edge_ms:u64){count}
//   Queue       = version:u8=1 name:text incarnation:text full_policy:u8 bytes_max:u64 ttl_seconds:i32
//   next_sequence:u64 appended:u64 expired:u64 full:u64 corrupt:u64 operator:u64
//                 count:u8 Lane{count}
//   Lane        = priority:u32 end_sequence:u64 total_records:u64 total_bytes:u64
//                 head_sequence:u64 head_records:u64 head_bytes:u64
//                 passed_sequence:u64 passed_records:u64 garbage_sequence:u64
//   Checkpoints = version:u8=1 count:u8 (priority:u32 sequence:u64 passed_records:u64){count}
//   Block       = version:u8=1 kind:u8 crc32c:u32 record_count:u32 ttl_seconds:i32 wall_ms:i64 edge_ms:u64
//                 records_before:u64 bytes_before:u64 records:byte*
//                 kind: 0 = records; 1 = hole: `record_count` records that were here are lost, `records` is empty;
//                       2 = `records` is Sealed, bound to the key and to the header without its checksum
//                 crc32c: of the key, then of the value without this field
//   Entry       = version:u8 revision:u64 lease_id:u64 value:byte*
//                 version: 1 = the value; 2 = `value` is Sealed, bound to the key and to what stands before it
//   Sealed      = key_id:u64 nonce:byte{24} ciphertext:byte* tag:byte{16}     (encryption.h)
//   Lease       = version:u8=1 ttl_ms:u64
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::store {

// Keys.
std::string StateKey();
std::string QueueKey(uint64_t queue_id);
std::string DeletedQueueKey(uint64_t queue_id);
std::string CheckpointsKey(uint64_t queue_id, std::string_view consumer);
std::string BlockKey(uint64_t queue_id, uint32_t priority, uint64_t first_sequence);
std::string EntryKey(std::string_view key);
std::string LeaseKey(uint64_t lease_id);
std::string LeasedKeyKey(uint64_t lease_id, std::string_view key);

// What all keys of one kind start with.
inline constexpr std::string_view kQueuePrefix = "q";
inline constexpr std::string_view kDeletedQueuePrefix = "d";
inline constexpr std::string_view kCheckpointsPrefix = "k";
inline constexpr std::string_view kBlockPrefix = "b";
inline constexpr std::string_view kEntryPrefix = "v";
inline constexpr std::string_view kLeasePrefix = "l";
inline constexpr std::string_view kLeasedKeyPrefix = "m";

// What all blocks of a queue, and of one of its lanes, start with.
std::string QueueBlocksPrefix(uint64_t queue_id);
std::string LanePrefix(uint64_t queue_id, uint32_t priority);

struct BlockKeyParts {
  uint64_t queue_id = 0;
  uint32_t priority = 0;
  uint64_t first_sequence = 0;
};
std::optional<BlockKeyParts> ParseBlockKey(std::string_view key);
// For 'q', 'd', 'l': the number. For 'k', 'm': the number and the text behind it.
std::optional<uint64_t> ParseNumberKey(std::string_view key);
struct NumberAndText {
  uint64_t number = 0;
  std::string_view text;
};
std::optional<NumberAndText> ParseNumberTextKey(std::string_view key);

// What all keys of a block's lane start with, given a block's or a rider's key.
std::string_view LanePrefixOf(std::string_view key);
std::string RiderKey(std::string_view block_key);
bool IsRiderKey(std::string_view key);
// The block's key, given a block's or a rider's.
std::string_view BlockOf(std::string_view key);
// The store's record, queues (deleted ones too) and checkpoints.
bool IsReadAfterOpenOnly(std::string_view key);

inline constexpr std::string_view kAppliedKey = "a";
inline constexpr std::string_view kClosedKey = "c";
inline constexpr std::string_view kIntentKey = "i";

// Values. Each Decode gives nullopt for bytes that this version does not read.
struct ClockRecord {
  uint64_t edge_ms = 0;
  uint64_t boot_id = 0;
  uint64_t since_boot_ms = 0;
  int64_t wall_ms = 0;
  bool synchronized = false;
  // Wall clock at which the machine was last known to be up before this boot, while its time off is not counted yet; 0
  // = none.
  int64_t off_since_wall_ms = 0;
};

// A key that something on disk may be sealed with; key id 0: written as it is. docs/data-on-disk.md.
struct KeyUse {
  uint64_t key_id = 0;
  uint64_t last_used_edge_ms = 0;  // nothing was sealed with it since then; 0 = it is the one that seals
};

struct StoreState {
  std::string store_id;
  uint64_t group = 0;
  uint64_t next_queue_id = 1;
  uint64_t next_lease_id = 1;
  uint64_t revision = 0;
  uint64_t key_value_bytes = 0;
  uint64_t corrupt_records = 0;
  ClockRecord clock;
  std::vector<KeyUse> key_uses;  // empty while encryption was never on
};
std::string Encode(const StoreState& state);
std::optional<StoreState> DecodeStoreState(std::string_view value);

enum class FullPolicy : uint8_t { kReject = 1, kDropOldest = 2 };

struct Settings {
  FullPolicy full_policy = FullPolicy::kReject;
  uint64_t bytes_max = 0;   // 0 = the store's default
  int32_t ttl_seconds = 0;  // 0 = the store's default, -1 = never
};

struct QueueInfo {
  std::string name;
  std::string incarnation;
  Settings settings;
};
// One priority of a queue. The numbers only grow; the records held are total_records - head_records.
struct LaneCounters {
  uint32_t priority = 0;
  uint64_t end_sequence = 1;   // behind the last record
  uint64_t total_records = 0;  // ever appended
  uint64_t total_bytes = 0;
  uint64_t head_sequence = 1;  // first sequence of the first block held, or end_sequence
  uint64_t head_records = 0;   // total_records as it was before that block
  uint64_t head_bytes = 0;
  uint64_t passed_sequence = 0;   // up to here all consumers passed: removed, though its block may still be held
  uint64_t passed_records = 0;    // total_records as it was there
  uint64_t garbage_sequence = 1;  // blocks from here to the head may still be on disk
};

struct QueueCounters {
  uint64_t next_sequence = 1;
  uint64_t appended = 0;
  uint64_t expired = 0;
  uint64_t full = 0;
  uint64_t corrupt = 0;
  uint64_t by_operator = 0;
  std::vector<LaneCounters> lanes;
};

struct QueueRecord {
  QueueInfo info;
  QueueCounters counters;
};
// Written with every change of the queue, so that damage to old files does not take a queue's name with it.
std::string Encode(const QueueInfo& info, const QueueCounters& counters);
std::optional<QueueRecord> DecodeQueue(std::string_view value);

struct Checkpoint {
  uint32_t priority = 0;
  uint64_t sequence = 0;
  uint64_t passed_records = 0;  // of the lane's total_records, those up to `sequence`
};
std::string Encode(const std::vector<Checkpoint>& checkpoints);
std::optional<std::vector<Checkpoint>> DecodeCheckpoints(std::string_view value);

inline constexpr size_t kBlockHeaderBytes = 46;
// Where the checksum stands in it.
inline constexpr size_t kBlockChecksumOffset = 2;
inline constexpr size_t kBlockChecksumBytes = 4;

// Sealed: what it is longer than the plaintext.
inline constexpr size_t kSealedNonceBytes = 24;
inline constexpr size_t kSealedOverheadBytes = 8 + kSealedNonceBytes + 16;

struct BlockHeader {
  bool hole = false;
  bool sealed = false;
  uint32_t record_count = 0;
  int32_t ttl_seconds = 0;
  int64_t wall_ms = 0;
  uint64_t edge_ms = 0;
  uint64_t records_before = 0;  // of the lane, since it was made
  uint64_t bytes_before = 0;
};
// Writes the header into the first kBlockHeaderBytes of `value`, whose rest is the records or is still to be written.
void PutBlockHeader(const BlockHeader& header, std::string* value);
// Writes the checksum of what is in `value` now into its header.
void PutBlockChecksum(std::string_view key, std::string* value);
// Checks the checksum; whether what is sealed opens is not looked at.
std::optional<BlockHeader> ReadBlockHeader(std::string_view key, std::string_view value);
// Bytes of the records of a block with this header and value, as they are when they are not sealed.
inline size_t BlockRecordBytes(const BlockHeader& header, std::string_view value) {
  return value.size() - kBlockHeaderBytes - (header.sealed ? kSealedOverheadBytes : 0);
}

struct EntryValue {
  uint64_t revision = 0;
  uint64_t lease_id = 0;
  std::string_view value;
  bool sealed = false;

  // Bytes of the value when it is not sealed.
  size_t value_bytes() const { return value.size() - (sealed ? kSealedOverheadBytes : 0); }
};
// What stands before the value.
inline constexpr size_t kEntryHeaderBytes = 17;
std::string Encode(const EntryValue& entry);
// The result refers to `value`.
std::optional<EntryValue> DecodeEntry(std::string_view value);

std::string EncodeLease(uint64_t ttl_ms);
std::optional<uint64_t> DecodeLease(std::string_view value);

std::string EncodeNumber(uint64_t number);
std::optional<uint64_t> DecodeNumber(std::string_view value);

// Views of what was decoded.
struct Change {
  std::string_view key;
  std::optional<std::string_view> value;  // nullopt: deleted
};
void AppendPut(std::string_view key, std::string_view value, std::string* changes);
void AppendDelete(std::string_view key, std::string* changes);
std::optional<std::vector<Change>> DecodeChanges(std::string_view changes);

struct Rider {
  uint64_t number = 0;
  std::string_view changes;
};
std::string EncodeRider(const Rider& rider);
std::optional<Rider> DecodeRider(std::string_view value);

}  // namespace holdfast::store
