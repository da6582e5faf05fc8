#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "services/store/block.h"
#include "services/store/database.h"

namespace holdfast::store {

// A walk over the whole blocks of one lane on disk, in order of sequence, which opens no sealed one. Blocks that fail
// their checksum are passed over: the numbers in the next one's header tell how many records that was. Holds the
// database open: use it briefly, in one thread.
class LaneScan {
 public:
  LaneScan(const Database& database, uint64_t queue_id, uint32_t priority);

  // To the first whole block that ends behind `sequence`. Nothing before `head_sequence` is looked at, so that no
  // removed blocks are walked over.
  void Seek(uint64_t sequence, uint64_t head_sequence);
  void Next();
  bool Valid() const { return valid_; }

  const BlockInfo& info() const { return info_; }
  const BlockHeader& header() const { return header_; }
  std::string_view key() const { return scan_.key(); }
  std::string_view value() const { return scan_.value(); }  // as it is on disk, sealed if it is

  // UNAVAILABLE if the database is not open.
  absl::Status status() const { return scan_.status(); }

  // If set, called for each damaged block: (key, value).
  std::function<void(std::string_view, std::string_view)> on_damaged;

 private:
  bool Read();
  void Settle();

  const uint64_t queue_id_;
  const uint32_t priority_;
  Database::Scan scan_;
  bool valid_ = false;
  BlockInfo info_;
  BlockHeader header_;
};

}  // namespace holdfast::store
