#include "tests/hubsim/event_log.h"

#include <cerrno>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "lib/base/status.h"
#include "lib/mqtt/property_bag.h"

namespace holdfast::hubsim {
namespace {

using nlohmann::json;

constexpr size_t kFileBufferBytes = 256 << 10;

json Properties(std::string_view bag) {
  json out = json::object();
  mqtt::BagReader reader(bag);
  std::string scratch;
  while (const auto property = reader.Next()) {
    const std::string key(mqtt::PercentDecode(property->key, &scratch));
    out[key] = property->has_value ? json(std::string(mqtt::PercentDecode(property->value, &scratch))) : json();
  }
  return out;
}

}  // namespace

absl::StatusOr<std::unique_ptr<EventLog>> EventLog::Create(Options options) {
  auto log = std::unique_ptr<EventLog>(new EventLog(std::move(options)));
  const std::string& path = log->options_.file;
  if (!path.empty()) {
    log->file_ = std::fopen(path.c_str(), "ae");
    if (log->file_ == nullptr) return ErrnoStatus(errno, path);
    std::setvbuf(log->file_, nullptr, _IOFBF, kFileBufferBytes);
  }
  return log;
}

EventLog::~EventLog() {
  if (file_ != nullptr) std::fclose(file_);
}

void EventLog::Append(const Arrival& arrival, absl::Time now) {
  Event& event = events_.emplace_back();
  event.sequence = next_++;
  event.enqueued_ms = absl::ToUnixMillis(now);
  event.sender = arrival.sender;
  event.data.reserve(arrival.topic.size() + arrival.body.size());
  event.data.append(arrival.topic).append(arrival.body);
  event.topic_size = static_cast<uint32_t>(arrival.topic.size());
  event.bag_at = static_cast<uint32_t>(arrival.bag_at);
  event.qos = arrival.qos;
  event.dup = arrival.dup;
  event.retain = arrival.retain;
  bytes_ += event.data.size() + sizeof(Event);
  if (file_ != nullptr) {
    std::string line;
    AppendJson(event, &line);
    line += '\n';
    std::fwrite(line.data(), 1, line.size(), file_);
  }
  while (events_.size() > 1 && (events_.size() > options_.events_max || bytes_ > options_.bytes_max)) {
    bytes_ -= events_.front().data.size() + sizeof(Event);
    events_.pop_front();
    ++dropped_;
  }
}

void EventLog::Notify() {
  if (file_ != nullptr) std::fflush(file_);
  for (const auto& [id, changed] : watchers_) changed();
}

void EventLog::Clear() {
  events_.clear();
  bytes_ = 0;
}

void EventLog::AppendJson(const Event& event, std::string* out) {
  const std::string_view data = event.data;
  const std::string_view topic = data.substr(0, event.topic_size);
  json line = {{"seq", event.sequence},
               {"enqueued_at",
                absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::FromUnixMillis(event.enqueued_ms), absl::UTCTimeZone())},
               {"device_id", event.sender->device_id},
               {"module_id", event.sender->module_id.empty() ? json() : json(event.sender->module_id)},
               {"actor", event.sender->actor.empty() ? json() : json(event.sender->actor)},
               {"connection", event.sender->connection},
               {"topic", topic},
               {"properties", Properties(topic.substr(event.bag_at))},
               {"body", absl::Base64Escape(std::string(data.substr(event.topic_size)))},
               {"qos", event.qos},
               {"dup", event.dup},
               {"retain", event.retain}};
  out->append(line.dump(-1, ' ', false, json::error_handler_t::replace));
}

uint64_t EventLog::Watch(std::function<void()> changed) {
  watchers_[next_watcher_] = std::move(changed);
  return next_watcher_++;
}

}  // namespace holdfast::hubsim
