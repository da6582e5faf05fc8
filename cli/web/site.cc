#include "cli/web/site.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/hash/hash.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "holdfast/auth/v1/auth.grpc.pb.h"
#include "holdfast/router/v1/router.grpc.pb.h"
#include "holdfast/store/v1/store.grpc.pb.h"
#include "holdfast/uplink/v1/uplink.grpc.pb.h"
#include "lib/base/status.h"
#include "lib/record/queue_names.h"
#include "lib/rpc/channel.h"
#include "lib/rpc/status.h"

namespace holdfast::web {
namespace {

constexpr char kDeadQueue[] = "upstream/dead";
constexpr uint32_t kQueuePage = 1'000;
constexpr int kMessageBytesMax = 8 << 20;

std::shared_ptr<grpc::Channel> Open(const std::string& socket_path) {
  grpc::ChannelArguments args;
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  args.SetMaxReceiveMessageSize(kMessageBytesMax);
  return grpc::CreateCustomChannel("unix:" + socket_path, grpc::InsecureChannelCredentials(), args);
}

// One unary call on a stub.
template <typename Stub, typename Request, typename Response>
absl::StatusOr<Response> Call(Stub& stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                              const Request& request) {
  grpc::ClientContext context;
  rpc::SetDeadline(&context, Site::kCallTimeout);
  Response response;
  RETURN_IF_ERROR(rpc::FromGrpc((stub.*method)(&context, request, &response)));
  return response;
}

template <typename T>
std::optional<T> ValueOf(absl::StatusOr<T> result) {
  return result.ok() ? std::optional<T>(*std::move(result)) : std::nullopt;
}

// Differs for each process that made the socket; 0: there is none.
uint64_t LifeOf(const std::string& socket_path) {
  struct stat info {};
  if (::stat(socket_path.c_str(), &info) != 0) return 0;
  return absl::HashOf(info.st_dev, info.st_ino, info.st_ctim.tv_sec, info.st_ctim.tv_nsec);
}

// Why an instance did not answer, in the words of who knocks at its door, if there is nobody.
std::string WhyNoAnswer(const cli::Instance& instance, const absl::Status& status) {
  if (!absl::IsDeadlineExceeded(status)) {
    pid_t pid = 0;
    const absl::Status probe = cli::ProbeSocket(instance.service, instance.socket_path, &pid);
    if (!probe.ok()) return std::string(probe.message());
  }
  return fmt::format("{} accepts connections but does not answer: {}", instance.service, std::string(status.message()));
}

void AskHealth(const cli::Instance& instance, const std::shared_ptr<grpc::Channel>& channel, InstanceState* state) {
  const auto stub = grpc::health::v1::Health::NewStub(channel);
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(std::string(cli::WorkingService(state->service)));
  const auto response = Call(*stub, &grpc::health::v1::Health::Stub::Check, request);
  if (!response.ok()) {
    state->health = cli::Health::kUnreachable;
    state->detail = WhyNoAnswer(instance, response.status());
    return;
  }
  const bool serving = response->status() == grpc::health::v1::HealthCheckResponse::SERVING;
  state->health = serving ? cli::Health::kServing : cli::Health::kNotServing;
  if (!serving) {
    state->detail = fmt::format("{0} runs but can't do its work now; holdfast-{0}'s log says why", state->service);
  }
}

std::vector<store::v1::Queue> ListQueues(store::v1::Queues::Stub& stub, std::string_view prefix, size_t max) {
  std::vector<store::v1::Queue> queues;
  store::v1::ListQueuesRequest request;
  request.set_prefix(std::string(prefix));
  request.set_page_size(kQueuePage);
  do {
    auto page = Call(stub, &store::v1::Queues::Stub::ListQueues, request);
    if (!page.ok()) break;
    for (store::v1::Queue& queue : *page->mutable_queues()) queues.push_back(std::move(queue));
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty() && queues.size() < max);
  return queues;
}

std::optional<IdentitiesState> AskIdentities(const std::shared_ptr<grpc::Channel>& channel) {
  const auto identities = auth::v1::Identities::NewStub(channel);
  auto response = Call(*identities, &auth::v1::Identities::Stub::ListIdentities, auth::v1::ListIdentitiesRequest());
  if (!response.ok()) return std::nullopt;
  IdentitiesState state;
  state.known = static_cast<uint32_t>(response->identities_size());
  for (const auto& identity : response->identities()) state.disabled += identity.enabled() ? 0 : 1;
  response->clear_identities();
  state.response = *std::move(response);
  const auto certificates = auth::v1::Certificates::NewStub(channel);
  const auto bundle =
      Call(*certificates, &auth::v1::Certificates::Stub::GetTrustBundle, auth::v1::GetTrustBundleRequest());
  if (bundle.ok()) state.trust_bundle_pem = bundle->certificates_pem();
  return state;
}

}  // namespace

// What one instance said.
struct Site::Answer {
  cli::Instance instance;
  InstanceState state;
  std::shared_ptr<grpc::Channel> channel;  // null: nobody is there
  bool ask_queues = false;
  bool ask_identities = false;

  std::optional<uplink::v1::GetUplinkStatusResponse> uplink;
  std::optional<router::v1::GetRouterStatusResponse> router;
  std::optional<store::v1::GetStoreStatusResponse> store;
  std::vector<store::v1::Queue> upstream;
  std::optional<std::vector<store::v1::Queue>> queues;
  std::optional<IdentitiesState> identities;

  // On a thread of its own.
  void Ask() {
    AskHealth(instance, channel, &state);
    if (state.health == cli::Health::kUnreachable) return;
    if (state.service == "uplink") {
      const auto stub = uplink::v1::UplinkStatus::NewStub(channel);
      uplink =
          ValueOf(Call(*stub, &uplink::v1::UplinkStatus::Stub::GetUplinkStatus, uplink::v1::GetUplinkStatusRequest()));
    } else if (state.service == "router") {
      const auto stub = router::v1::Sessions::NewStub(channel);
      router = ValueOf(Call(*stub, &router::v1::Sessions::Stub::GetRouterStatus, router::v1::GetRouterStatusRequest()));
    } else if (state.service == "store") {
      AskStore();
    } else if (ask_identities) {
      identities = AskIdentities(channel);
    }
  }

  void AskStore() {
    const auto stub = store::v1::StoreStatus::NewStub(channel);
    store = ValueOf(Call(*stub, &store::v1::StoreStatus::Stub::GetStoreStatus, store::v1::GetStoreStatusRequest()));
    if (!store.has_value()) return;
    const auto queues_stub = store::v1::Queues::NewStub(channel);
    upstream = ListQueues(*queues_stub, kUpstreamQueue, kQueuePage);
    if (ask_queues) queues = ListQueues(*queues_stub, "", kQueuesMax);
  }
};

bool Site::Reach(const cli::Instance& instance, InstanceState* state, std::shared_ptr<grpc::Channel>* channel) {
  Known& known = known_[instance.socket_path];
  const uint64_t life = LifeOf(instance.socket_path);
  // The socket tells a new process; no need to knock each time, and one that is frozen would collect the knocks.
  if (known.channel == nullptr || known.life != life) {
    pid_t pid = 0;
    if (const absl::Status status = cli::ProbeSocket(instance.service, instance.socket_path, &pid); !status.ok()) {
      known_.erase(instance.socket_path);
      state->detail = std::string(status.message());
      return false;
    }
    // A new channel, so that no back-off of the process before is waited for.
    known = {.channel = Open(instance.socket_path), .pid = pid, .life = life};
  }
  state->pid = known.pid;
  state->life = known.life;
  *channel = known.channel;
  return true;
}

SiteState Site::Ask(bool all_queues) {
  SiteState state = {.at = clock_.SinceBoot(), .wall = clock_.WallNow()};
  std::vector<Answer> answers;
  for (const std::string_view service : cli::kServices) {
    std::vector<cli::Instance> instances = gateway_.Instances(service);
    instances.resize(std::min(instances.size(), kInstancesMax));
    for (const cli::Instance& instance : instances) {
      Answer answer;
      answer.instance = instance;
      answer.state.service = instance.service;
      answer.state.name = instance.name;
      answer.ask_queues = all_queues;
      answer.ask_identities = state.at >= slow_due_;
      Reach(instance, &answer.state, &answer.channel);
      answers.push_back(std::move(answer));
    }
  }
  std::vector<std::thread> threads;
  for (Answer& answer : answers) {
    if (answer.channel != nullptr) threads.emplace_back([&answer] { answer.Ask(); });
  }
  for (std::thread& thread : threads) thread.join();
  Merge(&answers, &state);
  return state;
}

void Site::Merge(std::vector<Answer>* answers, SiteState* state) {
  bool is_auth_there = false;
  bool is_new = false;
  for (Answer& answer : *answers) {
    const bool is_up = answer.state.health != cli::Health::kUnreachable;
    if (answer.uplink.has_value()) state->uplinks[answer.state.name] = *std::move(answer.uplink);
    if (answer.router.has_value()) state->routers[answer.state.name] = *std::move(answer.router);
    if (answer.store.has_value() && !state->store.has_value()) {
      state->store = std::move(answer.store);
      state->queues = std::move(answer.queues);
      for (store::v1::Queue& queue : answer.upstream) {
        if (queue.name() == kUpstreamQueue)
          state->upstream = std::move(queue);
        else if (queue.name() == kDeadQueue)
          state->dead = std::move(queue);
      }
    }
    if (answer.state.service == "auth") {
      is_auth_there = is_auth_there || is_up;
      if (answer.identities.has_value()) {
        identities_ = std::move(answer.identities);
        is_new = true;
      }
    }
    state->instances.push_back(std::move(answer.state));
  }
  if (state->at >= slow_due_) slow_due_ = state->at + (is_new ? kSlowEvery : kSlowRetry);
  if (!is_auth_there) {
    identities_.reset();
    slow_due_ = -absl::InfiniteDuration();
  }
  state->identities = identities_;
}

}  // namespace holdfast::web
