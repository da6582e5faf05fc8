#include "services/router/io_thread.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <future>
#include <memory>

namespace holdfast::router {

namespace asio = boost::asio;

IoThread::IoThread() : guard_(context_.get_executor()), thread_([this] { context_.run(); }) {}

IoThread::~IoThread() {
  Stop();
}

void IoThread::Post(std::function<void()> work) {
  asio::post(context_, std::move(work));
}

void IoThread::PostAfter(absl::Duration delay, std::function<void()> work) {
  asio::post(context_, [this, delay, work = std::move(work)]() mutable {
    auto timer = std::make_shared<asio::steady_timer>(context_, absl::ToChronoNanoseconds(delay));
    timer->async_wait([timer, work = std::move(work)](const boost::system::error_code& error) {
      if (!error) work();
    });
  });
}

void IoThread::Run(std::function<void()> work) {
  std::promise<void> done;
  Post([&] {
    work();
    done.set_value();
  });
  done.get_future().wait();
}

void IoThread::Stop() {
  context_.stop();
  if (thread_.joinable()) thread_.join();
}

}  // namespace holdfast::router
