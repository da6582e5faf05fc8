#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "lib/base/clock.h"
#include "lib/base/file_watch.h"
#include "lib/kv/key_watch.h"
#include "lib/routes/edgehub_settings.h"
#include "lib/routes/route_table.h"
#include "lib/rpc/channel.h"
#include "services/router/edge_hub_report.h"

namespace holdfast::router {

// The gateway's settings (IoT Edge contract D: routes, time to live, size of the store): from a deployment manifest in
// a file, or else from the twin of the gateway's own `$edgeHub`. What was in force last lies in the store too ("router/
// settings"), so that a gateway which starts offline, or with settings that are wrong by now, goes on with it. New
// settings are taken as a whole or not at all: one bad route refuses them, with the reasons logged and reported, and
// the old ones stay. From a twin, the outcome and the clients are reported back to it. Thread-safe.
class Settings {
 public:
  struct Options {
    // Manifest or desired properties; "" = the twin.
    std::string file;
    routes::Options routes;
    // Of the configuration; "" = auth tells it (SetGatewayDevice).
    std::string gateway_device_id;
    // For the report.
    std::string version;
  };
  struct InForce {
    std::shared_ptr<const routes::RouteTable> routes;
    // Whose modules the routes name; "" = not known.
    std::string gateway_device_id;
    // Nullopt: no end.
    std::optional<int64_t> ttl_seconds = routes::kTtlSecondsDefault;
    // Nullopt: the store's own.
    std::optional<int64_t> max_size_bytes;
    // Nothing was ever configured: everything goes upstream, and the store's own limits hold.
    bool is_default = false;
  };
  // Carries out what is in force now; tried again while it fails for now (UNAVAILABLE and the like). Any other error
  // refuses the settings.
  using Apply = std::function<absl::Status(const InForce&)>;
  struct Status {
    // "file /etc/holdfast/manifest.json", "twin edge1/$edgeHub", "default".
    std::string source;
    std::optional<int64_t> version;
    std::optional<int64_t> ttl_seconds = routes::kTtlSecondsDefault;
    // Why the latest settings are not in force; empty if they are.
    std::string error;
  };

  // `store` and `clock` must outlive it.
  Settings(Options options, rpc::Channels* store, const Clock* clock);
  ~Settings() { Stop(); }

  // Loads what was in force last, for as long as the store takes, and applies it; then calls `on_ready`, once. Both on
  // a thread of its own.
  void Start(Apply apply, std::function<void()> on_ready);
  void Stop();

  // The gateway's own device is known: routes may name its modules, and its twin can be followed. Idempotent.
  void SetGatewayDevice(const std::string& device_id);
  void OnClient(const std::string& client_id, bool connected);

  Status status() const;
  // "" while it is not known.
  std::string gateway_device_id() const;

 private:
  void Run();
  // False: stopped.
  bool Load();
  bool Sleep(absl::Duration time);
  void OnTwin(const kv::KeyWatch::Update& update);
  // Reads the file, or the twin's latest state, and takes the settings in it. True: everything is settled.
  bool Refresh();
  bool RefreshFromFile();
  bool RefreshFromTwin();
  // Takes settings as text. The outcome is in `error_`; false: to be tried again.
  bool Take(const std::string& text, absl::StatusOr<routes::EdgeHubSettings> settings, const std::string& source);
  void Refuse(const std::string& text, std::optional<int64_t> version, const std::string& source,
              const absl::Status& why);
  void Keep(const std::string& text, const std::string& source);
  bool Report();

  const Options options_;
  rpc::Channels* const store_;
  const Clock& clock_;
  FileWatch wake_;
  Apply apply_;
  std::function<void()> on_ready_;

  // On the thread only.
  std::string taken_;   // text of what is in force
  std::string judged_;  // text that was looked at last
  bool applied_ = false;
  InForce in_force_;
  absl::Time report_at_ = absl::InfiniteFuture();

  mutable absl::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  bool is_file_due_ ABSL_GUARDED_BY(mutex_) = true;
  std::string device_id_ ABSL_GUARDED_BY(mutex_);
  bool is_device_new_ ABSL_GUARDED_BY(mutex_) = false;
  std::string twin_key_ ABSL_GUARDED_BY(mutex_);
  // Of the twin, as read by the watch.
  std::string desired_ ABSL_GUARDED_BY(mutex_);
  uint64_t desired_version_ ABSL_GUARDED_BY(mutex_) = 0;
  bool report_due_ ABSL_GUARDED_BY(mutex_) = false;
  EdgeHubReport report_ ABSL_GUARDED_BY(mutex_);
  Status status_ ABSL_GUARDED_BY(mutex_);

  std::unique_ptr<kv::KeyWatch> watch_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace holdfast::router
