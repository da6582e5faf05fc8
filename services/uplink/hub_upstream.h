#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "lib/base/clock.h"
#include "lib/base/metrics.h"
#include "lib/base/string_map.h"
#include "lib/rpc/channel.h"
#include "services/uplink/hub_connection.h"
#include "services/uplink/hub_exchange.h"
#include "services/uplink/hub_login.h"
#include "services/uplink/lane_plan.h"
#include "services/uplink/link.h"
#include "services/uplink/pace.h"
#include "services/uplink/scope_sync.h"
#include "services/uplink/token_source.h"
#include "services/uplink/upstream.h"

namespace holdfast::uplink {

// Kind `iothub`: a hub that speaks the IoT Hub contract, or a parent gateway. The link is the connection of the
// gateway's own identity, <device>/$edgeHub; every other identity with messages, or for which one is held
// (hub_exchange.h), has a connection of its own while the link is up, on which the gateway speaks for it
// (docs/decisions/0007-one-queue-many-connections.md). Brings the hub's device scope to auth.
class HubUpstream final : public Upstream, private HubConnection::Owner, private HubExchange::Owner {
 public:
  struct Options {
    // The hub's, with TLS and time-outs; who logs in is set for each connection.
    mqtt::Client::Options client;
    Connectivity::Options connectivity;
    // As clients write it into user names.
    std::string hub_hostname;
    // Of X.509 (client certificate): the gateway's device id; empty: SAS, and auth knows it.
    std::string device_id;
    std::string version;
    absl::Duration token_lifetime = absl::Hours(1);
    LanePlan::Options plan;
    Pace::Options pace;
    // A connection that the hub closes so often in a row on the same message: it is that message's fault.
    int message_refusals_max = 10;
    ScopeSync::Options sync;
    HubExchange::Options exchange;
  };
  struct Services {
    rpc::Channels* auth = nullptr;
    rpc::Channels* store = nullptr;
    rpc::Channels* router = nullptr;
  };

  // All must outlive it.
  HubUpstream(Options options, const Services& services, Metrics* metrics, const Clock& clock, UpstreamHost* host,
              boost::asio::io_context& io, Link* link);
  ~HubUpstream() override;

  void Start() override;
  bool OnLinkUp(mqtt::Client* client) override;
  void OnLinkDown() override;
  void OnLinkRefused(mqtt::ConnackCode code) override;
  void OnLinkState(LinkState state) override;
  size_t OnPubacks(std::span<const uint16_t> packet_ids) override;
  void OnPublish(const mqtt::Publish& publish) override;
  void OnSuback(const mqtt::Suback& suback) override;
  void Pump() override;
  bool Owed() const override;
  bool idle() const override;
  void Stop() override;
  void Close() override;
  void Every() override;
  UpstreamReport Report() const override;

 private:
  struct Timer;
  struct Counters;
  static constexpr size_t kNoLimit = SIZE_MAX;

  // What a lane has besides its messages.
  struct Child {
    explicit Child(const Pace::Options& pace) : pace(pace) {}
    std::unique_ptr<HubConnection> connection;
    Pace pace;
    // Nothing more is sent; it closes when nothing is in flight, and nothing under way, for which there is a limit.
    bool draining = false;
    absl::Duration drained_at;
    // A connection is wanted though there are no messages.
    bool wanted = false;
    uint32_t subscribes = 0;
    // Its messages may get on, but not what goes on beside them; empty: all does.
    std::string exchange_trouble;
    absl::Time exchange_trouble_since;
    bool progress = false;  // since the last tick
    // Why it does not get on; empty: it does.
    std::string trouble;
    absl::Time trouble_since;
    // The hub refused its last login.
    bool refused = false;
    // The hub says that it is gone or disabled: its messages are set aside until this time.
    absl::Duration gone_until = absl::ZeroDuration();
    // The message at which the hub closed last, and how often in a row.
    uint64_t refused_message = 0;
    int refusals = 0;
  };

  // HubConnection::Owner
  void OnOpen(LaneId lane, bool session_present) override;
  void OnPubacks(LaneId lane, std::span<const uint16_t> packet_ids) override;
  void OnPublish(LaneId lane, const mqtt::Publish& publish) override;
  void OnSuback(LaneId lane, const mqtt::Suback& suback) override;
  void OnWritten(LaneId lane) override { Fill(lane); }
  void OnClosed(LaneId lane, const mqtt::Closed& closed, bool was_open) override;

  // HubExchange::Owner
  void OnWanted(const std::string& client, bool wanted, bool at_once) override;
  void OnExchangeProgress(const std::string& client) override;
  void OnRenewWanted(const std::string& client) override;

  void OnToken(Token token);
  void OnTokenProblem(const absl::Status& status);
  void OnSnapshot(const absl::Status& status, StringMap<std::string> parents);
  void OnVerdict(const std::string& identity, Verdict verdict);

  Child& child(LaneId lane);
  bool is_own(LaneId lane) const;
  void Wake(LaneId lane);
  void Fill(LaneId lane);
  void FillOwn();
  void Progress(LaneId lane, size_t messages);
  void OpenChild(LaneId lane);
  void Drain(LaneId lane);
  void CloseIfDrained(LaneId lane);
  void WatchExchange(LaneId lane);
  void SyncWanted(LaneId lane, bool at_once);
  void OpenOwnExchange();
  // For a SUBSCRIBE of the lane: far from what its window may have in flight.
  uint16_t SubscribeId(std::optional<LaneId> lane, uint32_t* subscribes) const;
  void OnMethod(const mqtt::Publish& publish);
  void CloseChild(LaneId lane, bool failed);
  void CountRefusal(LaneId lane);
  void SetTrouble(LaneId lane, std::string reason);
  void SetAside(LaneId lane, size_t count_max, const std::string& reason);
  void ForgetIfIdle(LaneId lane);
  void Tick();
  void SetTimer();
  void WatchConnections(absl::Duration now);
  void RenewLink(absl::Duration now);
  void Answer(const std::string& rid, uint64_t connection, int status, const std::string& body);
  void Post(std::function<void()> work);
  absl::Duration Now() const { return clock_.SinceBoot(); }

  const Options options_;
  const Clock& clock_;
  UpstreamHost* const host_;
  boost::asio::io_context& io_;
  Link* const link_;
  const std::unique_ptr<Timer> timer_;
  const std::unique_ptr<Counters> counters_;

  GatewayIdentity gateway_;
  std::optional<Token> token_;
  std::string waits_for_;

  mqtt::Client* client_ = nullptr;  // the link's
  uint64_t link_number_ = 0;
  uint32_t own_subscribes_ = 0;
  std::optional<LaneId> own_lane_;
  absl::Duration own_token_from_ = absl::InfiniteDuration();
  absl::Duration own_token_by_ = absl::InfiniteDuration();
  bool renewing_ = false;
  bool suspect_ = false;
  bool stopping_ = false;
  std::shared_ptr<mqtt::TlsContext> tls_;

  LanePlan plan_;
  std::vector<std::unique_ptr<Child>> children_;
  std::vector<LaneId> woken_;
  StringMap<std::string> parents_;
  // Before it is known who is below a child gateway, nobody's connection is opened: the hub would refuse a wrong chain.
  bool knows_parents_ = false;

  std::optional<LaneId> holder_;
  uint64_t delivered_ = 0;
  uint64_t delivered_seen_ = 0;
  absl::Duration moved_at_;
  bool stalled_ = false;

  HubExchange exchange_;
  ScopeSync sync_;
  TokenSource tokens_;
};

}  // namespace holdfast::uplink
