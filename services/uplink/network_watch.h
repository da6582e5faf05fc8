#pragma once

#include <functional>
#include <memory>

namespace boost::asio {
class io_context;
}

namespace holdfast::uplink {

// Tells when the kernel brings a link up or gives an interface an address or a route (rtnetlink). Where it is not
// allowed to listen it stays silent: then the probes have to do. Not thread-safe; callbacks on the io_context's thread.
class NetworkWatch {
 public:
  NetworkWatch(boost::asio::io_context& io, std::function<void()> on_change);
  ~NetworkWatch();

 private:
  class Socket;
  std::shared_ptr<Socket> socket_;
};

}  // namespace holdfast::uplink
