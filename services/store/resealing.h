#pragma once

#include <string>

#include "services/store/catalog.h"
#include "services/store/database.h"
#include "services/store/encryption.h"
#include "services/store/transaction.h"

namespace holdfast::store {

// After a change of keys: seals the values of keys anew with the key in force, a bounded step at a time, and strikes
// the older keys (and plain text) from StoreState::key_uses once nothing needs them. Blocks are not written again: they
// go when they are delivered or expire. Lives on the committing thread. Not thread-safe.
class Resealing {
 public:
  // The references must outlive it.
  Resealing(const Database& database, const Encryption& encryption) : database_(database), encryption_(encryption) {}

  // Begins again with the first key; after an opening of the database, since the last steps may not have been written.
  void Restart();

  // One step, into `tx`. True if there is more to do soon.
  bool Step(Transaction& tx, Catalog& catalog);

 private:
  bool ResealValues(Transaction& tx);

  const Database& database_;
  const Encryption& encryption_;
  bool met_damage_ = false;  // what lies there may need an older key: none is struck until the next start
  std::string next_;         // the first key, as it is on disk, that was not looked at; empty = from the start
  bool values_done_ = false;
};

}  // namespace holdfast::store
