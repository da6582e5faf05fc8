#include "services/uplink/network_watch.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cerrno>
#include <utility>

#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/base/unique_fd.h"

namespace holdfast::uplink {
namespace {

namespace asio = boost::asio;

constexpr size_t kMessageBytesMax = 32 << 10;

// True if some message in `bytes` says that something came up.
bool SomethingCameUp(const char* bytes, size_t size) {
  auto left = static_cast<unsigned>(size);
  for (auto* header = reinterpret_cast<const nlmsghdr*>(bytes); NLMSG_OK(header, left);
       header = NLMSG_NEXT(header, left)) {
    if (header->nlmsg_type == RTM_NEWADDR || header->nlmsg_type == RTM_NEWROUTE) return true;
    if (header->nlmsg_type == RTM_NEWLINK && header->nlmsg_len >= NLMSG_LENGTH(sizeof(ifinfomsg))) {
      const auto* const info = static_cast<const ifinfomsg*>(NLMSG_DATA(header));
      if (info->ifi_flags & IFF_RUNNING) return true;
    }
  }
  return false;
}

absl::StatusOr<UniqueFd> Open() {
  UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
  if (!fd.valid()) return ErrnoStatus(errno, "rtnetlink");
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return ErrnoStatus(errno, "rtnetlink");
  }
  return fd;
}

}  // namespace

class NetworkWatch::Socket : public std::enable_shared_from_this<NetworkWatch::Socket> {
 public:
  Socket(asio::io_context& io, int fd, std::function<void()> on_change)
      : descriptor_(io, fd), on_change_(std::move(on_change)) {}

  void Read() {
    descriptor_.async_read_some(asio::buffer(buffer_),
                                [self = shared_from_this()](const boost::system::error_code& error, size_t size) {
                                  if (!self->on_change_ || error == asio::error::operation_aborted) return;
                                  // ENOBUFS: messages were lost, so much happens; take it as a change.
                                  const bool overrun = error == asio::error::no_buffer_space;
                                  if (error && !overrun) return;
                                  if (overrun || SomethingCameUp(self->buffer_.data(), size)) self->on_change_();
                                  if (self->on_change_) self->Read();
                                });
  }
  void Close() {
    on_change_ = nullptr;
    boost::system::error_code ignored;
    descriptor_.close(ignored);
  }

 private:
  asio::posix::stream_descriptor descriptor_;
  std::function<void()> on_change_;
  alignas(nlmsghdr) std::array<char, kMessageBytesMax> buffer_;
};

NetworkWatch::NetworkWatch(asio::io_context& io, std::function<void()> on_change) {
  auto fd = Open();
  if (!fd.ok()) {
    spdlog::info("the kernel's network events are not available; probes have to do reason=\"{}\"", Text(fd.status()));
    return;
  }
  socket_ = std::make_shared<Socket>(io, fd->release(), std::move(on_change));
  socket_->Read();
}

NetworkWatch::~NetworkWatch() {
  if (socket_) socket_->Close();
}

}  // namespace holdfast::uplink
