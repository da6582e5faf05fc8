#include "services/store/read_loop.h"

namespace holdfast::store {

ReadLoop::ReadLoop() : thread_([this] { Run(); }) {}

ReadLoop::~ReadLoop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  thread_.join();
}

void ReadLoop::Post(absl::AnyInvocable<void()> task) {
  absl::MutexLock lock(&mutex_);
  tasks_.push_back(std::move(task));
}

void ReadLoop::Run() {
  const auto something = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || !tasks_.empty(); };
  while (true) {
    absl::AnyInvocable<void()> task;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(&something));
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
  }
}

void Pump::IfOpen(absl::AnyInvocable<void()> body) {
  // The read loop is where a stream is closed, so on it nothing closes meanwhile.
  loop_->Post([self = shared_from_this(), body = std::move(body)]() mutable {
    {
      absl::MutexLock lock(&self->mutex_);
      if (self->closed_) return;
    }
    body();
  });
}

void Pump::Start() {
  absl::MutexLock lock(&mutex_);
  started_ = true;
  Schedule();
}

void Pump::Sent() {
  absl::MutexLock lock(&mutex_);
  sending_ = false;
  Schedule();
}

void Pump::Wake() {
  absl::MutexLock lock(&mutex_);
  woken_ = true;
  if (!sending_) Schedule();
}

void Pump::End(const absl::Status& status) {
  absl::MutexLock lock(&mutex_);
  if (!ended_) ended_ = status;
  woken_ = true;
  if (!sending_) Schedule();
}

void Pump::Schedule() {
  if (scheduled_ || closed_) return;
  scheduled_ = true;
  loop_->Post([self = shared_from_this()] { self->Run(); });
}

void Pump::Run() {
  std::optional<absl::Status> ended;
  {
    absl::MutexLock lock(&mutex_);
    scheduled_ = false;
    if (closed_ || sending_ || (!started_ && !ended_)) return;
    ended = ended_;
    if (ended) {
      closed_ = true;
    } else {
      woken_ = false;
      sending_ = true;  // Until the step says otherwise: Sent() may come before it returns.
    }
  }
  if (ended) {
    close_(*ended);
    close_ = nullptr;
    step_ = nullptr;
    return;
  }
  const Outcome outcome = step_();
  if (outcome == Outcome::kSent) return;
  absl::MutexLock lock(&mutex_);
  sending_ = false;
  // A Wake() in the meantime was not scheduled, since something seemed to be on its way.
  if (outcome == Outcome::kAgain || outcome == Outcome::kDone || woken_) Schedule();
}

}  // namespace holdfast::store
