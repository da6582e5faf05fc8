#include "cli/import_log.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/time/clock.h"
#include "holdfast/store/v1/store.grpc.pb.h"
#include "lib/base/status.h"

namespace holdfast::cli {
namespace {

namespace pb = holdfast::store::v1;

constexpr char kPrefix[] = "imports/";
constexpr int kKeptMax = 100;
// A batch of some megabytes, on a disk that is busy.
constexpr absl::Duration kWriteTimeout = absl::Seconds(30);

std::string TextOf(const ImportState& state) {
  return nlohmann::json{{"messages", state.messages},
                        {"digest", state.digest},
                        {"done", state.done},
                        {"at", absl::ToUnixSeconds(state.at)}}
      .dump();
}

ImportState Parsed(const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return {};
  ImportState state;
  const auto number = [&](const char* name) {
    const auto it = json.find(name);
    return it != json.end() && it->is_number_integer() ? it->get<int64_t>() : 0;
  };
  state.messages = static_cast<uint64_t>(number("messages"));
  state.at = absl::FromUnixSeconds(number("at"));
  if (const auto it = json.find("digest"); it != json.end() && it->is_string()) state.digest = it->get<std::string>();
  if (const auto it = json.find("done"); it != json.end() && it->is_boolean()) state.done = it->get<bool>();
  return state;
}

}  // namespace

ImportLog::ImportLog(const Gateway& gateway, const std::string& export_id, const std::string& queue)
    : gateway_(gateway), key_(fmt::format("{}{}/{}", kPrefix, export_id, queue)) {}

absl::Status ImportLog::Load(bool afresh) {
  pb::GetRequest request;
  request.set_key(key_);
  const auto found = gateway_.Call<pb::KeyValue, pb::GetResponse>("store", &pb::KeyValue::Stub::Get, request);
  if (absl::IsNotFound(found.status())) return ForgetOldest();
  if (!found.ok()) return found.status();
  revision_ = found->entry().revision();
  if (!afresh) state_ = Parsed(found->entry().value());
  return absl::OkStatus();
}

absl::Status ImportLog::Write(pb::WriteRequest appends, const ImportState& state) {
  ImportState next = state;
  next.at = absl::Now();
  pb::PutRequest* const put = appends.add_puts();
  put->set_key(key_);
  put->set_value(TextOf(next));
  put->set_expected_revision(revision_);
  ASSIGN_OR_RETURN(const auto response, (gateway_.Call<pb::KeyValue, pb::WriteResponse>(
                                            "store", &pb::KeyValue::Stub::Write, appends, kWriteTimeout)));
  revision_ = response.revision();
  state_ = std::move(next);
  return absl::OkStatus();
}

// Before a new one is added.
absl::Status ImportLog::ForgetOldest() {
  pb::ListRequest list;
  list.set_prefix(kPrefix);
  ASSIGN_OR_RETURN(const auto all,
                   (gateway_.Call<pb::KeyValue, pb::ListResponse>("store", &pb::KeyValue::Stub::List, list)));
  if (all.entries_size() < kKeptMax) return absl::OkStatus();
  const pb::Entry* oldest = nullptr;
  for (const pb::Entry& entry : all.entries()) {
    if (oldest == nullptr || Parsed(entry.value()).at < Parsed(oldest->value()).at) oldest = &entry;
  }
  pb::DeleteRequest request;
  request.set_key(oldest->key());
  return gateway_.Call<pb::KeyValue, pb::DeleteResponse>("store", &pb::KeyValue::Stub::Delete, request).status();
}

}  // namespace holdfast::cli
