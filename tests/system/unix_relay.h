#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "lib/base/unique_fd.h"

namespace holdfast::systest {

// What one side has sent on one connection.
struct RecordedStream {
  std::string name;  // "router to auth, call" or "…, answer"
  std::string bytes;
};

// Unix sockets that pass everything on to others, and keep a copy of every byte. A connection that the other socket
// does not take is closed. Runs a thread of its own; all methods are thread-safe.
class UnixRelay {
 public:
  UnixRelay();
  ~UnixRelay();

  // Who connects to `socket` talks to `target`. Makes the folder of `socket`. False if it can't listen there.
  bool Add(const std::string& socket, const std::string& target, const std::string& name);

  std::vector<RecordedStream> Recorded() const;

 private:
  struct Route {
    UniqueFd listener;
    std::string target;
    std::string name;
  };
  struct Pair {
    UniqueFd client;
    UniqueFd target;
    size_t recorded;  // index of the call; the answer is the next
  };
  void Run();
  void Accept(const Route& route);
  bool Relay(int from, int to, size_t recorded);

  mutable absl::Mutex mutex_;
  std::vector<std::unique_ptr<Route>> routes_ ABSL_GUARDED_BY(mutex_);
  std::vector<RecordedStream> recorded_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<Pair>> pairs_;  // of Run()'s thread
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

// What the HTTP/2 frames of one side of a connection carry as DATA, put together for each HTTP/2 stream: a message that
// is spread over frames is in one piece here (RFC 9113 §4.1, §6.1). Empty if `bytes` is not HTTP/2.
std::vector<std::string> Http2Data(std::string_view bytes);

}  // namespace holdfast::systest
