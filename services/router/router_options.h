// The section [router] of holdfast.toml. Every limit of the process has its name here.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "lib/config/config.h"

namespace holdfast::router {

struct RouterOptions {
  // "host:port"; "" = off; port 0 = any free one.
  std::string mqtts_address = "0.0.0.0:8883";
  std::string mqtt_address;
  // Allows mqtt_address to be another one than loopback: passwords then cross the network in the clear.
  bool plain_mqtt_anywhere = false;
  // Several routers of this host listen on the same ports.
  bool share_ports = false;

  // HTTPS, by which modules call methods; "" = off.
  std::string https_address;
  // Who may call whose methods there: "CALLER -> TARGET" (MethodRules); none: modules of the gateway everybody.
  std::vector<std::string> method_rules;

  // PEM; both or none. None: the key is made here and auth issues the certificate.
  std::string certificate_file;
  std::string private_key_file;

  // Threads that serve sockets; 0 = one per core, at most 4.
  int64_t io_threads = 0;

  int64_t connections_max = 10'000;
  // Time from accept to the whole CONNECT, TLS handshake included.
  absl::Duration connect_timeout = absl::Seconds(30);
  absl::Duration auth_timeout = absl::Seconds(10);
  // Failed attempts to connect per peer address: so many at once, so many a second for ever. Above, what comes from
  // there is closed before the TLS handshake. Attempts that succeed don't count.
  int64_t failed_connects_burst = 2000;
  int64_t failed_connects_per_second = 50;
  // A keep-alive above this, or of 0, counts as this (IoT Hub: 1767 s).
  absl::Duration keep_alive_max = absl::Seconds(1767);
  // Remaining length of a packet, the number behind its first byte.
  int64_t packet_bytes_max = 262'144;
  // Messages of one session that are not committed yet: above, its socket is not read.
  int64_t session_inflight_max = 1024;
  // Bytes of one session that its client does not take: above, it is closed.
  int64_t output_bytes_max = 256 * 1024;
  // Bytes of one thread that are not committed yet: above, none of its sockets is read.
  int64_t pending_bytes_max = 16 << 20;
  int64_t subscriptions_max = 50;
  // Messages sent to one client at QoS 1 and not acknowledged by it.
  int64_t delivery_window = 64;
  // Bytes read ahead for one client, and for all of a thread together; one block more at most.
  int64_t delivery_prefetch_bytes = 256 << 10;
  int64_t delivery_bytes_max = 64 << 20;
  // Bytes of one client's queue in the store; above, its oldest messages are dropped.
  int64_t client_queue_bytes_max = 64 << 20;
  // Deliveries to clients of this gateway that a message may have behind it; then it goes to none any more.
  int64_t hops_max = 8;
  // A deployment manifest with the routes; "" = all messages go to the hub.
  std::string settings_file;
  // Conditions treat bodies as IoT Edge does, mistakes included (docs/routes.md).
  bool routes_strict_compat = true;
  // Of [gateway]: whose modules the routes name.
  std::string gateway_device_id;
  // Sessions that are kept while their client is away; the one that left first is forgotten first.
  int64_t kept_sessions_max = 20'000;
  // A session whose client has not been seen for so long is forgotten.
  absl::Duration session_expiry = absl::Hours(24 * 30);
  // How long messages are held back in the queue, at most, until router has written down whose they are.
  absl::Duration session_checkpoint_interval = absl::Seconds(5);
  // Messages per client among which a re-sent one is recognised.
  int64_t dedupe_window = 1024;
  // Until a twin request is answered with 503, if the store is away.
  absl::Duration twin_timeout = absl::Seconds(5);
  // How long a GET waits for the hub, if it can be reached and was never asked for this twin.
  absl::Duration twin_first_wait = absl::Seconds(3);
  // How long a stop waits for what is being committed.
  absl::Duration stop_grace = absl::Seconds(5);

  // "127.0.0.1:9603"; "" = off.
  std::string metrics_address;
};

// INVALID_ARGUMENT with file, line and key.
absl::StatusOr<RouterOptions> ReadRouterOptions(const ConfigFile& file);

}  // namespace holdfast::router
