#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "holdfast/message/v1/message.pb.h"
#include "holdfast/presence/v1/presence.pb.h"
#include "holdfast/store/v1/store.grpc.pb.h"
#include "holdfast/twin/v1/twin.pb.h"
#include "lib/rpc/channel.h"

namespace holdfast::systest {

// What a gateway's services tell each other by the store's keys, for a test that stands in for one of them: who is
// there, twins' records; and a look into queues. Calls are tried again while the store is away. Not thread-safe.
class GatewayKeys {
 public:
  explicit GatewayKeys(const std::string& run_dir) : store_(run_dir, "store") {}

  std::optional<std::string> Get(const std::string& key);
  void Put(const std::string& key, const std::string& value);
  void Delete(const std::string& key);

  // As router does for a client that is connected.
  void SetPresent(const std::string& client, const presence::v1::ClientPresence& presence);
  void SetAbsent(const std::string& client);
  std::optional<presence::v1::LinkPresence> Link();

  std::optional<twin::v1::TwinRecord> Twin(const std::string& client);
  // Changes the record, anew while others change it.
  void ChangeTwin(const std::string& client, const std::function<void(twin::v1::TwinRecord*)>& change);
  bool WaitForTwin(const std::string& client, const std::function<bool(const twin::v1::TwinRecord&)>& fulfils,
                   absl::Duration timeout);

  struct Stored {
    message::v1::Envelope message;
    bool expired = false;
  };
  // What lies in a queue, at most 1,000.
  std::vector<Stored> Peek(const std::string& queue);

 private:
  rpc::Channels store_;
};

// Waits for everything that only the hub has.
presence::v1::ClientPresence WaitsForTheHub();

}  // namespace holdfast::systest
