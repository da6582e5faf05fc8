#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/btree_set.h"
#include "services/store/block.h"
#include "services/store/database.h"

namespace holdfast::store {

class Queue;

// A change of a key, as watchers get it.
struct KeyChange {
  std::string key;
  std::string value;
  uint64_t revision = 0;
  uint64_t lease_id = 0;
  bool deleted = false;
};

// One group commit in the making: the batch, and what is to be told to readers once the batch is on disk. Lives on the
// committing thread.
struct Transaction {
  uint64_t now_edge_ms = 0;
  int64_t now_wall_ms = 0;
  Batch batch;
  absl::btree_set<uint64_t> touched_queues;  // by id: counters to be written, feed to be published
  std::vector<std::pair<uint64_t, BlockPtr>> blocks;
  std::string sealed;  // room in which a block is sealed
  std::vector<KeyChange> changes;
  bool state_changed = false;  // StoreState must be written though the batch is empty otherwise
  bool freed = false;          // room was made: held appends are looked at again
  uint64_t appended_records = 0;
  uint64_t passed_records = 0;
};

}  // namespace holdfast::store
