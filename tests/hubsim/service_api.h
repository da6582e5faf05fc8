#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>

#include "tests/hubsim/device_endpoint.h"
#include "tests/hubsim/http_server.h"
#include "tests/hubsim/hub_state.h"

namespace holdfast::hubsim {

// The REST API of services (IoT Hub service API, api-version 2021-04-12): identities under /devices,
// twins and direct methods under /twins (service_twins.cc). Who may ask is the
// caller's business. Not thread-safe.
class ServiceApi {
 public:
  // `changed` is called after every edit, to save it. All must outlive it.
  ServiceApi(HubState& state, DeviceEndpoint& devices, std::function<void()> changed)
      : state_(state), devices_(devices), changed_(std::move(changed)) {}

  // Whether a path is one of this API's.
  static bool Serves(const HttpRequest& request);
  boost::asio::awaitable<HttpResponse> Answer(const HttpRequest& request);

 private:
  HttpResponse AnswerDevices(const HttpRequest& request);
  HttpResponse AnswerDevice(const HttpRequest& request);
  HttpResponse AnswerModules(const HttpRequest& request);
  HttpResponse AnswerModule(const HttpRequest& request);
  HttpResponse Bulk(const HttpRequest& request);
  absl::Status BulkOne(const nlohmann::json& entry);
  HttpResponse Show(const Device& device) const;
  HttpResponse Show(const Module& module) const;
  nlohmann::json DeviceView(const Device& device) const;
  nlohmann::json ModuleView(const Module& module) const;
  void Changed(std::string_view device_id);
  boost::asio::awaitable<HttpResponse> AnswerTwins(const HttpRequest& request);
  HttpResponse ShowTwin(const std::string& id) const;
  HttpResponse EditTwin(const HttpRequest& request, const std::string& id);
  boost::asio::awaitable<HttpResponse> InvokeMethod(const HttpRequest& request, const std::string& id);
  static std::string TwinId(const HttpRequest& request, size_t rest);
  bool Exists(const std::string& id) const;
  // If-Match: absent = create, "*" = any, else an ETag; with or without quotes. ?upsert=true instead of one: make or
  // change.
  static Match MatchOf(const HttpRequest& request);

  HubState& state_;
  DeviceEndpoint& devices_;
  const std::function<void()> changed_;
};

}  // namespace holdfast::hubsim
