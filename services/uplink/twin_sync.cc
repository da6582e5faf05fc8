#include "services/uplink/twin_sync.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace holdfast::uplink {
namespace {

constexpr int kDoublingsMax = 20;
constexpr int kOk = 200;
constexpr int kNoContent = 204;

}  // namespace

// 401 and 403: the connection's rights, not the patch. 404: the identity, which the scope decides about. 408, 429:
// later.
bool IsFinalRefusal(int status) {
  if (status < 400 || status > 499) return false;
  return status != 401 && status != 403 && status != 404 && status != 408 && status != 429;
}

TwinSync::TwinSync(Options options, RequestRate* rate, std::function<double()> random)
    : options_(options), rate_(rate), random_(std::move(random)) {}

void TwinSync::OnReady(absl::Duration) {
  ready_ = true;
  to_tell_ = true;
  to_read_ = true;
}

void TwinSync::OnPending() {
  to_tell_ = true;
}

void TwinSync::OnDesired(std::string_view patch) {
  if (patches_.size() == kPatchesMax) {
    patches_.clear();
    to_read_ = true;
    return;
  }
  patches_.emplace_back(patch);
}

void TwinSync::Fail(Retry* retry, std::string why, absl::Duration now) {
  const int doublings = std::min(retry->failures++, kDoublingsMax);
  retry->at = now + random_() * std::min(options_.backoff_max, options_.backoff_min * (int64_t{1} << doublings));
  trouble_ = std::move(why);
}

void TwinSync::OnRequestFailed(std::string why, absl::Duration now) {
  if (busy_ == What::kRead) to_read_ = true;
  Fail(busy_ == What::kRead ? &read_ : &tell_, std::move(why), now);
  busy_ = What::kNothing;
  answer_by_ = absl::InfiniteDuration();
  rid_.clear();
}

void TwinSync::OnAnswer(std::string_view rid, int status, std::string_view body, absl::Duration now) {
  if (!IsRequest(busy_) || rid != rid_) return;
  const bool read = busy_ == What::kRead;
  if (read && status == kOk) {
    result_ = Step{.what = What::kTakeDocument, .text = std::string(body)};
  } else if (!read && (status == kNoContent || status == kOk)) {
    result_ = Step{.what = What::kSent};
  } else if (!read && IsFinalRefusal(status)) {
    result_ = Step{.what = What::kRefused, .text = fmt::format("the hub answered {}", status)};
  } else {
    return OnRequestFailed(fmt::format("the hub answers {} to a twin's {}", status, read ? "reading" : "patch"), now);
  }
  (read ? read_ : tell_) = {};
  if (!read) patch_.reset();
  trouble_.clear();
  busy_ = What::kNothing;
  answer_by_ = absl::InfiniteDuration();
  rid_.clear();
}

void TwinSync::OnStored(const Stored& stored, absl::Duration now) {
  const What done = std::exchange(busy_, What::kNothing);
  // A document or a patch that is none: not the store's fault, and the same again would be.
  if (absl::IsInvalidArgument(stored.status)) {
    result_.reset();
    if (done == What::kTakePatch) patches_.pop_front();
    to_read_ = true;
    return Fail(&read_, std::string(stored.status.message()), now);
  }
  if (!stored.status.ok()) {
    return Fail(&store_, fmt::format("the twin's record: {}", std::string(stored.status.message())), now);
  }
  store_ = {};
  switch (done) {
    case What::kBeginSending:
      patch_ = stored.patch;
      to_tell_ = false;
      break;
    case What::kSent:
    case What::kRefused:
      result_.reset();
      to_tell_ = to_tell_ || stored.pending;
      break;
    case What::kTakeDocument:
      result_.reset();
      break;
    case What::kTakePatch:
      patches_.pop_front();
      to_read_ = to_read_ || stored.result == twin::PatchResult::kGap;
      break;
    default:
      break;
  }
}

// What the hub has answered goes into the record before anything else; then what the client said, which wins; then what
// the hub has. While a request waits for its back-off, what comes behind it goes on.
TwinSync::What TwinSync::Pick(absl::Duration now) const {
  if (!ready_ || busy_ != What::kNothing) return What::kNothing;
  if (now >= store_.at) {
    if (result_) return result_->what;
    if (!patch_ && to_tell_) return What::kBeginSending;
  }
  if (result_) return What::kNothing;
  if (patch_ && now >= tell_.at) return What::kSendPatch;
  if (to_read_) return now >= read_.at ? What::kRead : What::kNothing;
  if (!patches_.empty() && now >= store_.at) return What::kTakePatch;
  return What::kNothing;
}

TwinSync::Step TwinSync::Begin(What what, std::string text) {
  busy_ = what;
  return {.what = what, .text = std::move(text)};
}

TwinSync::Step TwinSync::Request(What what, absl::Duration now) {
  if (!slot_) slot_ = rate_->Take(now);
  if (now < *slot_) return {};
  slot_.reset();
  rid_ = fmt::format("{}", ++rids_);
  answer_by_ = now + options_.answer_timeout;
  busy_ = what;
  // What makes it necessary from now on needs another one.
  if (what == What::kRead) to_read_ = false;
  return {.what = what, .text = what == What::kSendPatch ? *patch_ : std::string(), .rid = rid_};
}

TwinSync::Step TwinSync::Next(absl::Duration now) {
  if (IsRequest(busy_) && now >= answer_by_) OnRequestFailed("the hub does not answer a twin's request", now);
  const What what = Pick(now);
  switch (what) {
    case What::kNothing:
      return {};
    case What::kSendPatch:
    case What::kRead:
      return Request(what, now);
    case What::kTakePatch:
      return Begin(what, patches_.front());
    case What::kBeginSending:
      return Begin(what);
    default:
      return Begin(what, result_->text);
  }
}

absl::Duration TwinSync::next_tick() const {
  if (busy_ != What::kNothing) return answer_by_;
  if (!ready_ || settled()) return absl::InfiniteDuration();
  if (slot_) return *slot_;
  absl::Duration at = absl::InfiniteDuration();
  const bool store_first = result_ || (!patch_ && to_tell_) || (!to_read_ && !patches_.empty());
  if (store_first) at = std::min(at, store_.at);
  if (!result_ && patch_) at = std::min(at, tell_.at);
  if (!result_ && to_read_) at = std::min(at, read_.at);
  return at;
}

bool TwinSync::settled() const {
  return busy_ == What::kNothing && !result_ && !patch_ && !to_tell_ && !to_read_ && patches_.empty();
}

}  // namespace holdfast::uplink
