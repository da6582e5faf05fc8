#include "services/store/watch_hub.h"

#include <algorithm>
#include <utility>

namespace holdfast::store {
namespace {

size_t Bytes(const KeyChange& change) {
  return sizeof(KeyChange) + change.key.size() + change.value.size();
}

}  // namespace

void WatchHub::Reset(uint64_t revision) {
  std::vector<std::shared_ptr<Follower>> followers;
  {
    absl::MutexLock lock(&mutex_);
    history_.clear();
    bytes_ = 0;
    floor_ = revision;
    revision_ = revision;
    followers = followers_;
  }
  for (const auto& follower : followers) follower->Wake();
}

void WatchHub::Publish(std::vector<KeyChange> changes) {
  std::vector<std::shared_ptr<Follower>> followers;
  {
    absl::MutexLock lock(&mutex_);
    for (KeyChange& change : changes) {
      bytes_ += Bytes(change);
      revision_ = change.revision;
      history_.push_back(std::move(change));
    }
    while (bytes_ > bytes_max_ && !history_.empty()) {
      bytes_ -= Bytes(history_.front());
      floor_ = history_.front().revision;
      history_.pop_front();
    }
    followers = followers_;
  }
  for (const auto& follower : followers) follower->Wake();
}

WatchHub::Page WatchHub::Read(std::string_view prefix, uint64_t from_revision, size_t bytes_max) const {
  absl::MutexLock lock(&mutex_);
  Page page;
  page.revision = revision_;
  if (from_revision <= floor_ || from_revision > revision_ + 1) {  // Too old, or of another past.
    page.behind = true;
    return page;
  }
  auto it = std::partition_point(history_.begin(), history_.end(),
                                 [&](const KeyChange& change) { return change.revision < from_revision; });
  size_t bytes = 0;
  for (; it != history_.end(); ++it) {
    if (!it->key.starts_with(prefix)) continue;
    if (bytes >= bytes_max) {
      page.revision = it->revision - 1;
      break;
    }
    bytes += Bytes(*it);
    page.changes.push_back(*it);
  }
  return page;
}

uint64_t WatchHub::revision() const {
  absl::MutexLock lock(&mutex_);
  return revision_;
}

void WatchHub::Attach(std::shared_ptr<Follower> follower) {
  absl::MutexLock lock(&mutex_);
  followers_.push_back(std::move(follower));
}

void WatchHub::Detach(const Follower* follower) {
  absl::MutexLock lock(&mutex_);
  std::erase_if(followers_, [&](const auto& own) { return own.get() == follower; });
}

void WatchHub::EndAll(const absl::Status& status) {
  std::vector<std::shared_ptr<Follower>> followers;
  {
    absl::MutexLock lock(&mutex_);
    followers = std::exchange(followers_, {});
  }
  for (const auto& follower : followers) follower->End(status);
}

}  // namespace holdfast::store
