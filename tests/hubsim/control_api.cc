#include "tests/hubsim/control_api.h"

#include <fmt/format.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "tests/hubsim/http_status.h"

namespace holdfast::hubsim {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using nlohmann::json;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr size_t kChunkBytes = 256 << 10;

HttpResponse Json(const json& body) {
  HttpResponse response;
  response.body = body.dump(-1, ' ', false, json::error_handler_t::replace);
  return response;
}

// One reader of GET /events.
class EventStream {
 public:
  EventStream(asio::io_context& io, EventLog& events, const bool& stopping, uint64_t from, uint64_t max, bool follow)
      : events_(events), stopping_(stopping), next_(from), end_(max), follow_(follow), arrived_(io) {
    arrived_.expires_at(std::chrono::steady_clock::time_point::max());
    watch_ = events_.Watch([this] { arrived_.cancel(); });
  }
  ~EventStream() { events_.Unwatch(watch_); }

  awaitable<bool> Next(std::string* chunk) {
    while (next_ >= events_.next() && follow_ && next_ < end_ && !stopping_) {
      arrived_.expires_at(std::chrono::steady_clock::time_point::max());
      co_await arrived_.async_wait(kAwait);
    }
    if (stopping_ || over_ || next_ >= end_ || next_ >= events_.next()) co_return false;
    if (next_ < events_.first()) {
      // It was too slow, and the oldest are gone: said, not hidden.
      over_ = true;
      *chunk = json{{"error", "overrun"}, {"first", events_.first()}}.dump() + "\n";
      co_return true;
    }
    while (next_ < events_.next() && next_ < end_ && chunk->size() < kChunkBytes) {
      EventLog::AppendJson(events_.At(next_++), chunk);
      *chunk += '\n';
    }
    co_return true;
  }

 private:
  EventLog& events_;
  const bool& stopping_;
  uint64_t next_;
  const uint64_t end_;
  const bool follow_;
  bool over_ = false;
  uint64_t watch_ = 0;
  asio::steady_timer arrived_;
};

}  // namespace

awaitable<HttpResponse> ControlApi::Answer(const HttpRequest& request) {
  const std::string what = request.parts.empty() ? "" : request.parts[0];
  if (ServiceApi::Serves(request)) co_return co_await service_.Answer(request);
  if (what == "faults") co_return AnswerFaults(request);
  if (what == "c2d") co_return CloudToDevice(request);
  if (what == "disconnect" && request.method == "POST") co_return Disconnect(request);
  if (what == "events" && request.method == "GET") co_return Events(request);
  if (what == "events" && request.method == "DELETE") {
    state_.events->Clear();
    co_return Json({{"next", state_.events->next()}});
  }
  if (what == "connections" && request.method == "GET") co_return Json(devices_.Connections());
  if (what == "counters" && request.method == "GET") co_return ShowCounters();
  co_return ErrorResponse(404, "no such resource; see tests/hubsim/README.md");
}

void ControlApi::Stop() {
  stopping_ = true;
  state_.events->Notify();
}

HttpResponse ControlApi::Events(const HttpRequest& request) {
  EventLog& events = *state_.events;
  uint64_t from = events.first();
  uint64_t max = UINT64_MAX;
  const std::string from_text = request.Query("from");
  const std::string max_text = request.Query("max");
  if ((!from_text.empty() && !absl::SimpleAtoi(from_text, &from)) ||
      (!max_text.empty() && !absl::SimpleAtoi(max_text, &max))) {
    return ErrorResponse(400, "from and max must be numbers");
  }
  if (from < events.first()) {
    HttpResponse gone = Json({{"Message", "these events are gone"}, {"first", events.first()}});
    gone.status = 410;
    return gone;
  }
  const bool follow = request.Query("follow") == "true";
  const uint64_t end = max > UINT64_MAX - from ? UINT64_MAX : from + max;
  const auto stream = std::make_shared<EventStream>(io_, events, stopping_, from, end, follow);
  HttpResponse response;
  response.content_type = "application/x-ndjson";
  response.more = [stream](std::string* chunk) { return stream->Next(chunk); };
  return response;
}

HttpResponse ControlApi::ShowCounters() const {
  const Counters& c = state_.counters;
  json connacks = json::object();
  for (size_t i = 0; i < c.connacks.size(); ++i) connacks[std::to_string(i)] = c.connacks[i];
  json rest = json::object();
  for (const auto& [status, n] : c.rest) rest[std::to_string(status)] = n;
  return Json({{"messages", c.messages},
               {"message_bytes", c.message_bytes},
               {"pubacks", c.pubacks},
               {"connects", c.connects},
               {"connacks", connacks},
               {"takeovers", c.takeovers},
               {"closed", c.closed},
               {"twin_gets", c.twin_gets},
               {"reported_patches", c.reported_patches},
               {"desired_pushes", c.desired_pushes},
               {"methods", c.methods},
               {"c2d_sent", c.c2d_sent},
               {"c2d_completed", c.c2d_completed},
               {"scope_pages", c.scope_pages},
               {"scope_identities", c.scope_identities},
               {"rest", rest},
               {"events",
                {{"first", state_.events->first()},
                 {"next", state_.events->next()},
                 {"bytes", state_.events->bytes()},
                 {"dropped", state_.events->dropped()}}},
               {"devices", state_.registry.devices().size()}});
}

HttpResponse ControlApi::AnswerFaults(const HttpRequest& request) {
  if (request.method == "GET") return Json(state_.faults.List());
  if (request.method == "POST") {
    const auto id = state_.faults.Set(json::parse(request.body, nullptr, false));
    if (!id.ok()) return ErrorResponse(id.status());
    faults_changed_();
    return Json({{"id", *id}});
  }
  if (request.method != "DELETE") return ErrorResponse(405, "GET, POST or DELETE");
  uint64_t id = 0;
  if (request.parts.size() > 1 && (!absl::SimpleAtoi(request.parts[1], &id) || id == 0)) {
    return ErrorResponse(400, "the id of a fault is a number");
  }
  if (!state_.faults.Clear(id)) return ErrorResponse(404, "no such fault");
  faults_changed_();
  return Json(json::object());
}

// GET ?device=d: what waits. POST {"device":"d","payload":…}: one more.
HttpResponse ControlApi::CloudToDevice(const HttpRequest& request) {
  const json body = request.method == "POST" ? json::parse(request.body, nullptr, false) : json::object();
  if (!body.is_object()) return ErrorResponse(400, "the body must be a JSON object");
  const auto named = body.find("device");
  const std::string device =
      named != body.end() && named->is_string() ? named->get<std::string>() : request.Query("device");
  if (state_.registry.FindDevice(device) == nullptr)
    return ErrorResponse(404, fmt::format("ErrorCode:DeviceNotFound;{}", device));
  if (request.method == "POST") {
    auto message = CloudMessageFromJson(body, device, state_.clock.WallNow());
    if (!message.ok()) return ErrorResponse(message.status());
    if (const absl::Status status = devices_.Post(device, *std::move(message)); !status.ok())
      return ErrorResponse(status);
    return Json(json::object());
  }
  if (request.method != "GET") return ErrorResponse(405, "GET or POST");
  json list = json::array();
  if (const Inbox* inbox = devices_.FindInbox(device); inbox != nullptr) {
    for (const CloudMessage& m : inbox->messages()) {
      list.push_back({{"message_id", m.message_id}, {"deliveries", m.deliveries}, {"on_its_way", m.packet_id != 0}});
    }
  }
  return Json(list);
}

HttpResponse ControlApi::Disconnect(const HttpRequest& request) {
  const json body = json::parse(request.body.empty() ? "{}" : request.body, nullptr, false);
  if (!body.is_object()) return ErrorResponse(400, "the body must be a JSON object");
  const auto device = body.find("device");
  if (device != body.end() && !device->is_string()) return ErrorResponse(400, "device must be text");
  const auto reset = body.find("reset");
  const size_t closed = devices_.Disconnect(device == body.end() ? "" : device->get<std::string>(),
                                            reset != body.end() && reset->is_boolean() && reset->get<bool>());
  return Json({{"closed", closed}});
}

}  // namespace holdfast::hubsim
