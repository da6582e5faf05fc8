// From the messages of the services' APIs to what the CLI prints.
#pragma once

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "absl/time/time.h"
#include "holdfast/store/v1/store.pb.h"
#include "holdfast/uplink/v1/uplink.pb.h"

namespace holdfast::cli {

absl::Time ToTime(const google::protobuf::Timestamp& timestamp);
absl::Duration ToDuration(const google::protobuf::Duration& duration);

// "offline", "connecting", "syncing", "online", "suspect", "unknown".
std::string_view LinkStateName(uplink::v1::LinkState state);

nlohmann::json QueueJson(const store::v1::Queue& queue);
nlohmann::json StoreStatusJson(const store::v1::GetStoreStatusResponse& status);

}  // namespace holdfast::cli
