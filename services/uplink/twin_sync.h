#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "lib/twin/twin_record.h"
#include "services/uplink/request_rate.h"

namespace holdfast::uplink {

// Brings one client's twin and the hub's to agreement over one connection, from its login to its end (P10): what the
// client reported and the hub was not told goes first, then the hub's whole document is read, then each patch of
// desired properties is taken as it comes; one that does not fit is answered by reading the document again. One step at
// a time: the caller does what Next says (a request to the hub, or a change of the record, both of which take their
// time) and tells how it ended. Pure; times are a monotonic clock's. Not thread-safe.
class TwinSync {
 public:
  struct Options {
    // For an answer of the hub (IoT Hub contract: operation time-out).
    absl::Duration answer_timeout = absl::Seconds(20);
    // After an answer that means "later", or none; full jitter. Of the store too.
    absl::Duration backoff_min = absl::Seconds(1);
    absl::Duration backoff_max = absl::Seconds(60);
  };
  // Patches that wait to be taken; beyond, the document is read instead.
  static constexpr size_t kPatchesMax = 16;

  enum class What : uint8_t {
    kNothing,
    // Changes of the record, by lib/twin; then OnStored.
    kBeginSending,  // gives what is to be sent
    kSent,
    kRefused,       // text: why
    kTakeDocument,  // text: the document
    kTakePatch,     // text: the patch
    // Requests to the hub, under `rid`; then OnAnswer.
    kSendPatch,  // text: the patch
    kRead,
  };
  struct Step {
    What what = What::kNothing;
    std::string text;
    std::string rid;
  };
  // How a change of the record ended.
  struct Stored {
    absl::Status status;
    // Of kBeginSending: what is to be sent; nullopt: nothing is.
    std::optional<std::string> patch;
    // Of kTakePatch.
    twin::PatchResult result = twin::PatchResult::kTaken;
    // The hub was not told everything.
    bool pending = false;
  };

  // `rate` is shared by all and must outlive it; `random` gives numbers in [0, 1).
  TwinSync(Options options, RequestRate* rate, std::function<double()> random);

  // Begins, or begins anew: the subscriptions are there.
  void OnReady(absl::Duration now);
  // The client reported something.
  void OnPending();
  void OnDesired(std::string_view patch);
  // An answer to a request that nobody waits for is ignored.
  void OnAnswer(std::string_view rid, int status, std::string_view body, absl::Duration now);
  void OnStored(const Stored& stored, absl::Duration now);

  // What to do now. Call it after each event, and at next_tick().
  Step Next(absl::Duration now);
  absl::Duration next_tick() const;

  // Both sides agree, as far as is known.
  bool settled() const;
  // A request or a change is under way.
  bool busy() const { return busy_ != What::kNothing; }
  // Why it does not get on; empty: it does.
  const std::string& trouble() const { return trouble_; }

 private:
  // When something that failed may be tried again.
  struct Retry {
    int failures = 0;
    absl::Duration at = -absl::InfiniteDuration();
  };

  static bool IsRequest(What what) { return what == What::kSendPatch || what == What::kRead; }
  Step Begin(What what, std::string text = "");
  Step Request(What what, absl::Duration now);
  void Fail(Retry* retry, std::string why, absl::Duration now);
  void OnRequestFailed(std::string why, absl::Duration now);
  // The next step that is not held up by a back-off.
  What Pick(absl::Duration now) const;

  const Options options_;
  RequestRate* const rate_;
  const std::function<double()> random_;

  bool ready_ = false;
  What busy_ = What::kNothing;
  std::string rid_;
  absl::Duration answer_by_ = absl::InfiniteDuration();
  uint64_t rids_ = 0;

  bool to_tell_ = false;  // perhaps: the record says
  bool to_read_ = false;
  std::optional<std::string> patch_;  // begun, to be sent
  std::optional<Step> result_;        // of a request, for the record
  std::deque<std::string> patches_;
  // The request whose place in the shared rate was taken already, and when it may go.
  std::optional<absl::Duration> slot_;
  Retry store_;
  Retry tell_;
  Retry read_;
  std::string trouble_;
};

// Statuses of a reported patch that mean: never.
bool IsFinalRefusal(int status);

}  // namespace holdfast::uplink
