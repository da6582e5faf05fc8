#include "services/uplink/hub_method_calls.h"

#include <nlohmann/json.hpp>

#include "holdfast/router/v1/router.grpc.pb.h"
#include "lib/base/log.h"

namespace holdfast::uplink {
namespace {

namespace pb = holdfast::router::v1;

// Router answers by itself when the client does not; the call has so much longer.
constexpr absl::Duration kCallGrace = absl::Seconds(10);

std::string ErrorBody(const absl::Status& status) {
  return nlohmann::json{{"error", std::string(status.message())}}.dump(-1, ' ', false,
                                                                       nlohmann::json::error_handler_t::replace);
}

}  // namespace

int HubMethodStatus(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return 400;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kResourceExhausted:
      return 429;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kUnimplemented:
      return 503;
    // Nobody knows whether it was carried out.
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kCancelled:
      return 504;
    default:
      return 500;
  }
}

struct HubMethodCalls::Counters {
  explicit Counters(Metrics* m)
      : answered(m->Counter("holdfast_uplink_methods_total", "Direct methods from the hub, by how they ended.",
                            {{"end", "answered"}})),
        failed(m->Counter("holdfast_uplink_methods_total", "Direct methods from the hub, by how they ended.",
                          {{"end", "failed"}})) {}
  prometheus::Counter& answered;
  prometheus::Counter& failed;
};

HubMethodCalls::HubMethodCalls(Options options, rpc::Channels* router, LoopCalls* calls, Metrics* metrics)
    : options_(options), router_(router), calls_(calls), counters_(std::make_unique<Counters>(metrics)) {}

HubMethodCalls::~HubMethodCalls() = default;

LoopCalls::CallId HubMethodCalls::Invoke(const std::string& client, std::string_view method, std::string_view payload,
                                         Done done) {
  if (active_ >= options_.calls_max) {
    counters_->failed.Increment();
    const absl::Status full = absl::ResourceExhaustedError("too many methods are under way at this gateway");
    done(HubMethodStatus(full), ErrorBody(full));
    return 0;
  }
  ++active_;
  pb::InvokeMethodRequest request;
  const size_t slash = client.find('/');
  request.set_device_id(client.substr(0, slash));
  if (slash != std::string::npos) request.set_module_id(client.substr(slash + 1));
  request.set_method_name(std::string(method));
  request.set_payload(std::string(payload));
  request.mutable_response_timeout()->set_seconds(absl::ToInt64Seconds(options_.response_timeout));
  return calls_->Call<pb::Methods, pb::InvokeMethodRequest, pb::InvokeMethodResponse>(
      router_->Pick(), options_.response_timeout + kCallGrace, std::move(request),
      [](auto* stub, auto* context, auto* in, auto* out, auto finished) {
        stub->async()->InvokeMethod(context, in, out, std::move(finished));
      },
      [this, client, done = std::move(done)](const absl::Status& status, pb::InvokeMethodResponse response) {
        --active_;
        if (status.ok()) {
          counters_->answered.Increment();
          return done(response.status(), std::move(*response.mutable_payload()));
        }
        counters_->failed.Increment();
        spdlog::debug("a direct method from the hub failed client={} reason=\"{}\"", client, Text(status));
        done(HubMethodStatus(status), ErrorBody(status));
      });
}

}  // namespace holdfast::uplink
