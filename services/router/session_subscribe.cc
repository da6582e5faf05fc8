// Session's subscriptions.
#include <algorithm>
#include <utility>

#include "lib/base/log.h"
#include "services/router/session.h"

namespace holdfast::router {

void Session::HandleSubscribe(const mqtt::Frame& frame) {
  mqtt::Subscribe subscribe;
  if (const mqtt::Error error = mqtt::DecodeSubscribe(frame, &subscribe); error != mqtt::Error::kOk) {
    return Close(CloseReason::kProtocolError, mqtt::Text(error));
  }
  std::string codes;
  bool changed = false;
  auto& held = client_->subscriptions;
  for (const mqtt::Subscription& wanted : subscribe.subscriptions) {
    const uint8_t qos = std::min<uint8_t>(wanted.qos, 1);
    const auto it = std::find_if(held.begin(), held.end(), [&](const auto& s) { return s.first == wanted.filter; });
    if (it != held.end()) {
      changed = changed || it->second != qos;
      it->second = qos;
    } else if (topics_.MaySubscribe(wanted.filter) &&
               held.size() < static_cast<size_t>(context_.options.subscriptions_max)) {
      held.emplace_back(wanted.filter, qos);
      changed = true;
    } else {
      spdlog::info("subscription refused client_id={} filter={}", Printable(client_id_), Printable(wanted.filter));
      codes.push_back(static_cast<char>(mqtt::kSubackFailure));
      continue;
    }
    codes.push_back(static_cast<char>(qos));
  }
  std::string suback;
  mqtt::AppendSuback(subscribe.packet_id, codes, &suback);
  if (!interests_.desired_properties && !awaiting_desired_ && topics_.InterestsOf(held).desired_properties) {
    awaiting_desired_ = true;
    ++saving_;
  }
  Answer(changed, suback);
  if (changed) UpdateInterests();
}

void Session::UpdateInterests() {
  if (closed_) return;
  const Interests now = topics_.InterestsOf(client_->subscriptions);
  if (std::exchange(interests_, now) != now) context_.on_interests(*this);
}

void Session::Answer(bool changed, const std::string& packet) {
  if (changed && !clean_session_) {
    ++saving_;
    context_.save(id_);
  }
  (saving_ > 0 ? held_answers_ : output_) += packet;
  if (held_answers_.size() > static_cast<size_t>(context_.options.output_bytes_max)) {
    Close(CloseReason::kSlowReader, "does not wait for its subscriptions to be stored");
  }
}

void Session::OnSaved() {
  if (closed_ || --saving_ > 0) return;
  output_ += std::exchange(held_answers_, "");
  Flush();
  if (!closed_) context_.deliveries.OnInterests(*this);
}

void Session::OnDesiredReady() {
  if (std::exchange(awaiting_desired_, false)) OnSaved();
}

void Session::HandleUnsubscribe(const mqtt::Frame& frame) {
  mqtt::Unsubscribe unsubscribe;
  if (const mqtt::Error error = mqtt::DecodeUnsubscribe(frame, &unsubscribe); error != mqtt::Error::kOk) {
    return Close(CloseReason::kProtocolError, mqtt::Text(error));
  }
  size_t erased = 0;
  for (const std::string_view filter : unsubscribe.filters) {
    erased += std::erase_if(client_->subscriptions, [&](const auto& s) { return s.first == filter; });
  }
  std::string unsuback;
  mqtt::AppendUnsuback(unsubscribe.packet_id, &unsuback);
  Answer(erased > 0, unsuback);
  if (erased > 0) UpdateInterests();
}

}  // namespace holdfast::router
