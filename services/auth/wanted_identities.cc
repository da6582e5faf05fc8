#include "services/auth/wanted_identities.h"

#include <algorithm>
#include <utility>

namespace holdfast::auth {

WantedIdentities::WantedIdentities(const Options& options, const Clock& clock, Metrics& metrics)
    : options_(options),
      clock_(clock),
      metrics_(metrics),
      tokens_(static_cast<double>(options.rate_per_minute)),
      refilled_at_(clock.SinceBoot()),
      timer_([this] { EndWaits(); }) {}

WantedIdentities::~WantedIdentities() {
  Stop();
}

void WantedIdentities::Stop() {
  std::vector<Waiting> over;
  std::shared_ptr<const Watcher> watcher;
  {
    absl::MutexLock lock(&mutex_);
    if (std::exchange(is_stopping_, true)) return;
    watcher = std::exchange(watcher_, nullptr);
    over = Take([](const Waiting&) { return true; });
  }
  timer_.join();
  if (watcher != nullptr) watcher->on_over(absl::UnavailableError("auth is stopping"));
  for (const Waiting& waiting : over) waiting.on_answer();
}

bool WantedIdentities::MayAsk(absl::Duration now) {
  const double rate = static_cast<double>(options_.rate_per_minute);
  const double passed = std::max(0.0, absl::ToDoubleSeconds(now - refilled_at_));
  tokens_ = std::min(rate, tokens_ + passed * rate / 60);
  refilled_at_ = now;
  if (tokens_ < 1) return false;
  tokens_ -= 1;
  return true;
}

void WantedIdentities::Forget(absl::Duration now) {
  absl::erase_if(asked_, [&](const auto& asked) { return now - asked.second.at >= options_.interval; });
}

bool WantedIdentities::Ask(const Wanted& wanted, std::function<void()> on_answer) {
  const std::string& id = wanted.id;
  const absl::Duration now = clock_.SinceBoot();
  std::shared_ptr<const Watcher> to_tell;
  {
    absl::MutexLock lock(&mutex_);
    if (watcher_ == nullptr || is_stopping_ || options_.wait <= absl::ZeroDuration()) return false;
    const auto asked = asked_.find(id);
    const bool is_recent = asked != asked_.end() && now - asked->second.at < options_.interval;
    if (is_recent && !asked->second.is_open) return false;
    if (waiting_.size() >= kWaitingMax) {
      Count("too_many_wait");
      return false;
    }
    if (!is_recent) {
      if (asked_.size() >= kAskedMax) Forget(now);
      if (asked_.size() >= kAskedMax || !MayAsk(now)) {
        Count("too_often");
        return false;
      }
      asked_[id] = {.at = now};
      to_tell = watcher_;
    }
    waiting_.push_back({.id = id,
                        .on_answer = std::move(on_answer),
                        .until = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(options_.wait)});
  }
  if (to_tell != nullptr) {
    Count("asked");
    to_tell->on_wanted(wanted);
  }
  return true;
}

void WantedIdentities::Answered(const IdentityChange& change) {
  std::vector<Waiting> over;
  {
    absl::MutexLock lock(&mutex_);
    over = Take([&change](const Waiting& waiting) { return change.Answers(waiting.id); });
    for (auto& [id, asked] : asked_) {
      if (change.Answers(id)) asked.is_open = false;
    }
  }
  for (const Waiting& waiting : over) waiting.on_answer();
}

void WantedIdentities::Enter(const std::shared_ptr<const Watcher>& watcher) {
  std::shared_ptr<const Watcher> before;
  {
    absl::MutexLock lock(&mutex_);
    before = is_stopping_ ? watcher : std::exchange(watcher_, watcher);
  }
  if (before != nullptr) before->on_over(absl::AbortedError("another caller watches now"));
}

bool WantedIdentities::IsWatched() const {
  absl::MutexLock lock(&mutex_);
  return watcher_ != nullptr;
}

void WantedIdentities::Leave(const Watcher* watcher) {
  std::vector<Waiting> over;
  {
    absl::MutexLock lock(&mutex_);
    if (watcher_.get() != watcher) return;
    watcher_ = nullptr;
    over = Take([](const Waiting&) { return true; });
    asked_.clear();  // whoever comes next has not been asked
  }
  for (const Waiting& waiting : over) waiting.on_answer();
}

std::vector<WantedIdentities::Waiting> WantedIdentities::Take(const std::function<bool(const Waiting&)>& is_over) {
  std::vector<Waiting> over;
  std::deque<Waiting> left;
  for (Waiting& waiting : waiting_) {
    if (is_over(waiting)) {
      over.push_back(std::move(waiting));
    } else {
      left.push_back(std::move(waiting));
    }
  }
  waiting_ = std::move(left);
  return over;
}

void WantedIdentities::EndWaits() {
  absl::MutexLock lock(&mutex_);
  while (!is_stopping_) {
    const auto has_work = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return is_stopping_ || !waiting_.empty(); };
    mutex_.Await(absl::Condition(&has_work));
    if (is_stopping_) return;
    const Time until = waiting_.front().until;
    const auto left = until - std::chrono::steady_clock::now();
    if (left > std::chrono::nanoseconds(0)) {
      const auto is_stopping = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return is_stopping_; };
      mutex_.AwaitWithTimeout(absl::Condition(&is_stopping), absl::FromChrono(left));
      continue;  // the one at the front may be another one by now
    }
    const auto now = std::chrono::steady_clock::now();
    const std::vector<Waiting> over = Take([now](const Waiting& waiting) { return waiting.until <= now; });
    // Still open: a late answer is taken, and until it comes the hub is not asked again for `interval`.
    for (const Waiting& waiting : over) {
      if (const auto asked = asked_.find(waiting.id); asked != asked_.end()) asked->second.is_open = false;
    }
    mutex_.Unlock();
    for (const Waiting& waiting : over) {
      Count("not_in_time");
      waiting.on_answer();
    }
    mutex_.Lock();
  }
}

void WantedIdentities::Count(const char* result) {
  metrics_
      .Counter("holdfast_auth_on_demand_total", "Identities that clients asked for in vain, by what became of it",
               {{"result", result}})
      .Increment();
}

}  // namespace holdfast::auth
