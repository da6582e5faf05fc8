#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>

#include "tests/hubsim/device_endpoint.h"
#include "tests/hubsim/http_server.h"
#include "tests/hubsim/hub_state.h"
#include "tests/hubsim/service_api.h"

namespace holdfast::hubsim {

// What tests and demos see and do (README.md, "Control"): received events, connections, counters, faults; and the
// service API without authorization, since it is served on loopback only. Not thread-safe.
class ControlApi {
 public:
  // `faults_changed` after each change of the table. All must outlive it.
  ControlApi(boost::asio::io_context& io, HubState& state, DeviceEndpoint& devices, ServiceApi& service,
             std::function<void()> faults_changed)
      : io_(io), state_(state), devices_(devices), service_(service), faults_changed_(std::move(faults_changed)) {}

  boost::asio::awaitable<HttpResponse> Answer(const HttpRequest& request);
  // Ends the streams that follow.
  void Stop();

 private:
  HttpResponse Events(const HttpRequest& request);
  HttpResponse ShowCounters() const;
  HttpResponse AnswerFaults(const HttpRequest& request);
  HttpResponse CloudToDevice(const HttpRequest& request);
  HttpResponse Disconnect(const HttpRequest& request);

  boost::asio::io_context& io_;
  HubState& state_;
  DeviceEndpoint& devices_;
  ServiceApi& service_;
  const std::function<void()> faults_changed_;
  bool stopping_ = false;
};

}  // namespace holdfast::hubsim
