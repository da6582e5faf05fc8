#include "cli/web/feed.h"

#include <algorithm>
#include <utility>

namespace holdfast::web {
namespace {

using nlohmann::json;

std::string Message(std::string_view event, const json& data) {
  // JSON on one line, so that one `data:` holds it.
  return "event: " + std::string(event) + "\ndata: " + data.dump(-1, ' ', false, json::error_handler_t::replace) +
         "\n\n";
}

json EventsJson(const std::deque<Event>& events, uint64_t after_id) {
  json list = json::array();
  for (const Event& event : events) {
    if (event.id > after_id) list.push_back(EventJson(event));
  }
  return list;
}

json Now(const Tick& tick) {
  return {{"sample", SampleJson(tick.sample)}, {"wall", absl::ToUnixMillis(tick.wall)}, {"drain", tick.drain}};
}

}  // namespace

void Feed::Publish(Tick tick) {
  absl::MutexLock lock(&mutex_);
  json data = Now(tick);
  data["sections"] = json::object();
  for (const auto& [name, section] : tick.sections) {
    const auto before = last_.sections.find(name);
    if (before == last_.sections.end() || before->second != section) data["sections"][name] = section;
  }
  data["events"] = EventsJson(tick.events, last_.events.empty() ? 0 : last_.events.back().id);
  messages_.push_back(Message("tick", data));
  if (messages_.size() > kTicksKept) messages_.pop_front();
  history_.Add(tick.sample);
  last_ = std::move(tick);
  ++number_;
}

std::string Feed::Next(uint64_t* cursor) const {
  absl::MutexLock lock(&mutex_);
  if (number_ == 0 || *cursor == number_) return "";
  const uint64_t missed = number_ - *cursor;
  const bool is_new = *cursor == 0 || *cursor > number_ || missed > messages_.size();
  *cursor = number_;
  if (is_new) return Message("snapshot", SnapshotLocked());
  std::string text;
  for (size_t i = messages_.size() - missed; i < messages_.size(); ++i) text += messages_[i];
  return text;
}

json Feed::Snapshot() const {
  absl::MutexLock lock(&mutex_);
  return number_ == 0 ? json(nullptr) : SnapshotLocked();
}

json Feed::SnapshotLocked() const {
  json data = Now(last_);
  data["facts"] = facts_;
  data["sections"] = last_.sections;
  data["events"] = EventsJson(last_.events, 0);
  data["history"] = {{"fine", ColumnsJson(history_.fine())}, {"coarse", ColumnsJson(history_.coarse())}};
  return data;
}

}  // namespace holdfast::web
