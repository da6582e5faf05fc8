#include "cli/wire.h"

#include <nlohmann/json.hpp>

namespace holdfast::cli {
namespace {

nlohmann::json SecondsOrNull(bool present, const google::protobuf::Duration& duration) {
  return present ? nlohmann::json(absl::ToDoubleSeconds(ToDuration(duration))) : nlohmann::json(nullptr);
}

std::string_view PolicyName(store::v1::FullPolicy policy) {
  return policy == store::v1::FULL_POLICY_DROP_OLDEST ? "drop-oldest" : "reject";
}

std::string_view StoreStateName(store::v1::GetStoreStatusResponse::State state) {
  switch (state) {
    case store::v1::GetStoreStatusResponse::STATE_SERVING:
      return "serving";
    case store::v1::GetStoreStatusResponse::STATE_FULL:
      return "full";
    case store::v1::GetStoreStatusResponse::STATE_REOPENING:
      return "reopening";
    default:
      return "unknown";
  }
}

}  // namespace

absl::Time ToTime(const google::protobuf::Timestamp& timestamp) {
  return absl::FromUnixSeconds(timestamp.seconds()) + absl::Nanoseconds(timestamp.nanos());
}

absl::Duration ToDuration(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

std::string_view LinkStateName(uplink::v1::LinkState state) {
  switch (state) {
    case uplink::v1::LINK_STATE_OFFLINE:
      return "offline";
    case uplink::v1::LINK_STATE_CONNECTING:
      return "connecting";
    case uplink::v1::LINK_STATE_SYNCING:
      return "syncing";
    case uplink::v1::LINK_STATE_ONLINE:
      return "online";
    case uplink::v1::LINK_STATE_SUSPECT:
      return "suspect";
    default:
      return "unknown";
  }
}

nlohmann::json QueueJson(const store::v1::Queue& queue) {
  nlohmann::json json = {{"name", queue.name()},
                         {"records", queue.records()},
                         {"bytes", queue.bytes()},
                         {"next_sequence", queue.next_sequence()},
                         {"oldest_age_seconds", SecondsOrNull(queue.has_oldest_age(), queue.oldest_age())},
                         {"appended", queue.appended()},
                         {"waiting_appends", queue.waiting_appends()},
                         {"incarnation", queue.incarnation()},
                         {"dropped",
                          {{"expired", queue.dropped().expired()},
                           {"full", queue.dropped().full()},
                           {"corrupt", queue.dropped().corrupt()},
                           {"operator", queue.dropped().operator_()}}},
                         {"settings",
                          {{"full_policy", PolicyName(queue.settings().full_policy())},
                           {"bytes_max", queue.settings().bytes_max()},
                           {"ttl_seconds", queue.settings().ttl_seconds()}}}};
  json["lanes"] = nlohmann::json::array();
  for (const auto& lane : queue.lanes()) {
    json["lanes"].push_back({{"priority", lane.priority()},
                             {"records", lane.records()},
                             {"bytes", lane.bytes()},
                             {"oldest_age_seconds", SecondsOrNull(lane.has_oldest_age(), lane.oldest_age())}});
  }
  json["consumers"] = nlohmann::json::array();
  for (const auto& consumer : queue.consumers()) {
    nlohmann::json checkpoints = nlohmann::json::array();
    for (const auto& position : consumer.checkpoints()) {
      checkpoints.push_back({{"priority", position.priority()}, {"sequence", position.sequence()}});
    }
    json["consumers"].push_back({{"name", consumer.name()},
                                 {"connected", consumer.connected()},
                                 {"lag_records", consumer.lag_records()},
                                 {"checkpoints", std::move(checkpoints)}});
  }
  return json;
}

nlohmann::json StoreStatusJson(const store::v1::GetStoreStatusResponse& status) {
  return {{"state", StoreStateName(status.state())},
          {"reason", status.reason()},
          {"data_dir", status.data_dir()},
          {"filesystem", status.filesystem()},
          {"storage_is_volatile", status.storage_is_volatile()},
          {"store_id", status.store_id()},
          {"bytes", status.bytes()},
          {"bytes_max", status.bytes_max()},
          {"disk_free_bytes", status.disk_free_bytes()},
          {"disk_free_floor_bytes", status.disk_free_floor_bytes()},
          {"edge_clock_seconds", absl::ToDoubleSeconds(ToDuration(status.edge_clock()))},
          {"damaged_files", status.damaged_files()},
          {"corrupt_records", status.corrupt_records()},
          {"encryption_key_id", status.encryption_key_id()},
          {"older_encryption_key_ids", status.older_encryption_key_ids()},
          {"holds_plaintext", status.holds_plaintext()}};
}

}  // namespace holdfast::cli
