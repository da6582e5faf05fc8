#pragma once

#include <grpcpp/grpcpp.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cli/gateway.h"
#include "cli/web/site_state.h"
#include "lib/base/clock.h"

namespace holdfast::web {

// Asks the services of one run directory how they are, all instances at once. Keeps one connection to each; makes
// nothing there. Not thread-safe.
class Site {
 public:
  // One call; a service that takes longer counts as down.
  static constexpr absl::Duration kCallTimeout = absl::Seconds(2);
  // Identities and CAs change seldom and are long: asked for so often.
  static constexpr absl::Duration kSlowEvery = absl::Seconds(30);
  static constexpr absl::Duration kSlowRetry = absl::Seconds(3);
  // More instances of a service than this are not looked at.
  static constexpr size_t kInstancesMax = 16;
  // More queues than this are not listed.
  static constexpr size_t kQueuesMax = 20'000;

  Site(std::string run_dir, const Clock& clock) : gateway_(std::move(run_dir)), clock_(clock) {}

  // Blocks for kCallTimeout and a little more per question that is not answered. `all_queues`: list all of them.
  SiteState Ask(bool all_queues);

 private:
  struct Known {
    std::shared_ptr<grpc::Channel> channel;
    pid_t pid = 0;
    uint64_t life = 0;
  };
  struct Answer;

  // Connects where that is not done. False: nobody is there; the state says why.
  bool Reach(const cli::Instance& instance, InstanceState* state, std::shared_ptr<grpc::Channel>* channel);
  void Merge(std::vector<Answer>* answers, SiteState* state);

  const cli::Gateway gateway_;
  const Clock& clock_;
  std::map<std::string, Known> known_;  // by socket
  std::optional<IdentitiesState> identities_;
  absl::Duration slow_due_ = -absl::InfiniteDuration();
};

}  // namespace holdfast::web
