#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "holdfast/router/v1/router.pb.h"
#include "lib/base/clock.h"
#include "lib/mqtt/packet.h"
#include "services/router/ack_queue.h"
#include "services/router/append_batcher.h"
#include "services/router/client_topics.h"
#include "services/router/close_reason.h"
#include "services/router/connection.h"
#include "services/router/dedupe_window.h"
#include "services/router/deliveries.h"
#include "services/router/envelope_writer.h"
#include "services/router/method_calls.h"
#include "services/router/router_metrics.h"
#include "services/router/router_options.h"
#include "services/router/routes.h"
#include "services/router/twin_requests.h"

namespace holdfast::router {

// What the gateway knows of a client beyond one connection: its MQTT session state (3.1.2.4). On its home thread only.
struct Client {
  std::unique_ptr<HomeThreads::Home> home;
  DedupeWindow window{0};
  // The window has changed since it was last written down.
  bool window_changed = false;
  // Of earlier connections: identifiers of messages that are not committed yet.
  std::vector<uint16_t> open_ids;
  // Filters with their granted QoS, in the order of subscribing.
  Subscriptions subscriptions;
  // CleanSession was 0: it is kept when the connection ends.
  bool kept = false;
  // Id of the connected session; 0 = none.
  uint64_t session = 0;
};

inline constexpr size_t kReadBufferBytes = 80 * 1024;
// What a child gateway adds to a message: the property hf-id. It must not make a message too large that was not.
inline constexpr size_t kGatewayPropertyBytes = 64;

// What all sessions of a thread work with; outlives them.
struct SessionContext {
  const RouterOptions& options;
  // Those in force; another object when they change.
  const std::shared_ptr<const Routes>& routes;
  const Clock& clock;
  RouterMetrics& metrics;
  IoThread& thread;
  AppendBatcher& batcher;
  Deliveries& deliveries;
  MethodCalls& methods;
  TwinRequests& twins;
  // Bytes that paused sessions of the thread hold beyond what they had when they stopped.
  size_t& read_ahead_bytes;
  // kReadBufferBytes to read into, for all sessions of the thread.
  std::span<char> read_buffer;
  // Sees to it that the batcher is flushed once what is readable now has been read.
  std::function<void()> flush_soon;
  // Has the client's subscriptions written down; then calls Session::OnSaved.
  std::function<void(uint64_t id)> save;
  // Session::interests() is, or has become, another one.
  std::function<void(Session& session)> on_interests;
  // Called once, from Close(), last but one.
  std::function<void(Session& session)> on_closing;
  // Called once, from Close(), last.
  std::function<void(uint64_t id, CloseReason reason)> on_closed;
};

// One connected client: reads its packets (session_read.cc), hands its messages to the batcher (session_publish.cc),
// keeps its subscriptions (session_subscribe.cc), and writes PUBACKs when its messages are committed. Lives on one io
// thread for its whole life and is used there only.
//
// A PUBLISH costs no allocation: all packets of one read are parsed in place in the thread's buffer, and each message
// is written straight into the block that goes to the store.
class Session : public std::enable_shared_from_this<Session> {
 public:
  // `client` must outlive the session's open time.
  Session(uint64_t id, AcceptedConnection connection, Client* client, const SessionContext* context);
  ~Session();

  // Sends CONNACK, takes what came behind the CONNECT, and begins to read.
  void Start(bool session_present);

  // One commit for each of these messages. The PUBACKs go out with the next Flush().
  void OnCommitted(uint64_t first_ticket, uint32_t count);
  void Flush();

  // The client's subscriptions are on disk.
  void OnSaved();
  // What it subscribed to of desired properties is in force: the SUBACK may go.
  void OnDesiredReady();

  // Packet identifiers of its messages that are not committed.
  std::vector<uint16_t> OpenIds() const;

  // Reads on, if it had stopped for want of room and there is room now.
  void Resume();
  bool paused() const { return paused_; }
  // For good: the gateway stops.
  void StopReading();

  // What the client waits for, by its subscriptions.
  const Interests& interests() const { return interests_; }

  // Sends a message of QoS 0. A topic that is no valid one (too long, by what the client put into it) closes the
  // connection.
  void Send(std::string_view topic, std::string_view payload);
  // The same, but not to a client that does not take what it is sent already: then it is dropped, and the answer is
  // false.
  bool SendIfRoom(std::string_view topic, std::string_view payload);
  // Packets to be sent: append with the encoders of lib/mqtt/packet.h, then Flush(), which may close the session.
  std::string* out() { return &output_; }
  // All that is in out() are messages for the client: a client that takes its time with them is no slow reader, whoever
  // appends them waits for OnWritten.
  void CountDeliveries() { delivery_bytes_ = output_.size(); }
  bool closed() const { return closed_; }
  // A SUBACK or UNSUBACK waits for its change to be on disk.
  bool saving() const { return saving_ > 0; }

  // Keep-alive and the end of auth's grant.
  void CheckTimers();

  // Idempotent. `detail` is for the log.
  void Close(CloseReason reason, std::string_view detail);

  const Identity& identity() const { return identity_; }
  // On whom its grant rests besides, if a child gateway speaks for it.
  const std::vector<Identity>& links() const { return links_; }
  const std::string& client_id() const { return client_id_; }
  const std::string& client_type() const { return client_type_; }
  const std::string& model_id() const { return model_id_; }
  absl::Time connected_at() const { return connected_at_; }
  uint64_t identity_version() const { return identity_version_; }
  uint64_t id() const { return id_; }
  size_t inflight() const { return acks_.size(); }
  router::v1::Session Describe() const;

 private:
  bool Full() const;
  // Of a packet: bytes of it in all.
  size_t PacketBytesMax() const;
  // While paused: what comes is held, unparsed, within limits, and only pings in it are answered, so that a client
  // that waits for its PUBACKs is not made to think that the gateway is gone.
  size_t ReadAheadRoom() const;
  void ReadAhead();
  void AnswerPings();
  void EndReadAhead();
  void ArmRead();
  void OnReadable();
  void Consume(std::string_view data);
  size_t Parse(std::string_view data);
  void Handle(const mqtt::Frame& frame);
  void HandlePublish(const mqtt::Frame& frame);
  void HandleTelemetry(const mqtt::Publish& publish, std::string_view bag);
  void HandleSubscribe(const mqtt::Frame& frame);
  void HandleUnsubscribe(const mqtt::Frame& frame);
  // After the subscriptions have changed.
  void UpdateInterests();
  // Answers when `changed` is on disk.
  void Answer(bool changed, const std::string& packet);
  const PublishTopic& Classify(std::string_view topic);
  // Returns the number of copies, each of which will be committed for (session, ticket).
  uint32_t Store(EnvelopeFields fields, uint64_t session, uint64_t ticket);
  void EmitPubacks();
  void PublishWill();

  const uint64_t id_;
  const Identity identity_;
  const std::string actor_;
  const std::vector<Identity> links_;
  const uint64_t identity_version_;
  const std::string client_id_;
  const std::string client_type_;
  const std::string model_id_;
  const bool clean_session_;
  const uint16_t keep_alive_seconds_;
  const absl::Duration silence_max_;
  const absl::Duration ends_at_;  // since boot
  const absl::Time connected_at_;
  const SessionContext& context_;
  const ClientTopics topics_;
  const EnvelopeWriter envelope_;

  std::unique_ptr<ConnectionLimit::Slot> slot_;
  std::unique_ptr<Transport> transport_;
  Client* client_;
  Interests interests_;
  std::optional<StoredWill> will_;

  // Bytes read and not parsed: less than a packet, or what waits while paused.
  std::string input_;
  // Below this size of input_ there is no whole packet.
  size_t input_wanted_ = 0;
  // While paused: how much of input_ was looked at for pings, and how much of it counts as read ahead.
  size_t scanned_ = 0;
  size_t read_ahead_ = 0;
  std::string output_;
  // Of output_, at most so much is messages for the client.
  size_t delivery_bytes_ = 0;
  // SUBACKs and UNSUBACKs that wait for so many saves, OnDesiredReady among them.
  std::string held_answers_;
  bool awaiting_desired_ = false;
  uint32_t saving_ = 0;
  AckQueue acks_;
  // The latest topic and what it is: clients repeat theirs.
  std::string last_topic_;
  PublishTopic last_kind_;
  // What its hf-hops says, and its bag without that, if it has it.
  uint32_t last_hops_ = 0;
  std::string last_bag_;
  int64_t batch_unix_ms_ = 0;

  absl::Duration last_heard_;  // since boot
  uint64_t received_ = 0;
  uint64_t received_before_batch_ = 0;
  uint64_t acknowledged_ = 0;
  bool paused_ = false;
  bool ended_ = false;  // the end of the stream was read while paused; it will be read again
  bool stopping_ = false;
  bool reading_ = false;  // a wait for readability is pending
  bool writing_ = false;  // a wait for writability is pending
  bool closed_ = false;
};

}  // namespace holdfast::router
