#include "services/store/feed.h"

#include <algorithm>

namespace holdfast::store {

void Feed::Publish(Snapshot snapshot) {
  std::vector<std::shared_ptr<Follower>> followers;
  {
    absl::MutexLock lock(&mutex_);
    snapshot_ = std::move(snapshot);
    for (const Attached& attached : followers_) followers.push_back(attached.follower);
  }
  for (const auto& follower : followers) follower->Wake();
}

Feed::Snapshot Feed::Read() const {
  absl::MutexLock lock(&mutex_);
  return snapshot_;
}

void Feed::Attach(const std::string& consumer, std::shared_ptr<Follower> follower) {
  EndOne(consumer, absl::AbortedError("a newer Pull of the same consumer took over"));
  absl::Status ended;
  {
    absl::MutexLock lock(&mutex_);
    ended = ended_;
    if (ended.ok()) {
      followers_.push_back({consumer, std::move(follower)});
      return;
    }
  }
  follower->End(ended);
}

void Feed::Detach(const std::string& consumer, const Follower* follower) {
  absl::MutexLock lock(&mutex_);
  std::erase_if(followers_, [&](const Attached& attached) {
    return attached.consumer == consumer && attached.follower.get() == follower;
  });
}

bool Feed::IsConnected(const std::string& consumer) const {
  absl::MutexLock lock(&mutex_);
  return std::any_of(followers_.begin(), followers_.end(),
                     [&](const Attached& attached) { return attached.consumer == consumer; });
}

void Feed::EndAll(const absl::Status& status) {
  std::vector<Attached> followers;
  {
    absl::MutexLock lock(&mutex_);
    ended_ = status;
    followers = std::exchange(followers_, {});
  }
  for (const Attached& attached : followers) attached.follower->End(status);
}

void Feed::EndOne(const std::string& consumer, const absl::Status& status) {
  std::vector<std::shared_ptr<Follower>> ended;
  {
    absl::MutexLock lock(&mutex_);
    std::erase_if(followers_, [&](const Attached& attached) {
      if (attached.consumer != consumer) return false;
      ended.push_back(attached.follower);
      return true;
    });
  }
  for (const auto& follower : ended) follower->End(status);
}

}  // namespace holdfast::store
