#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <thread>

#include "absl/time/time.h"

namespace holdfast::router {

// One thread that runs one io_context. What belongs to it is touched on it only, so it needs no locks.
// Post and PostAfter are thread-safe.
class IoThread {
 public:
  IoThread();
  // Stops the thread; what was posted and not run is dropped.
  ~IoThread();
  IoThread(const IoThread&) = delete;
  IoThread& operator=(const IoThread&) = delete;

  boost::asio::io_context& context() { return context_; }
  void Post(std::function<void()> work);
  void PostAfter(absl::Duration delay, std::function<void()> work);
  // Runs `work` on the thread and waits for it. Not from the thread itself.
  void Run(std::function<void()> work);
  // Ends the thread and waits for it. Idempotent.
  void Stop();

 private:
  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard_;
  std::thread thread_;
};

}  // namespace holdfast::router
