// bench-flood: for some seconds, so many connects a second with a password that is wrong, over TLS: what a broken or
// hostile client costs those who are let in. Blocking sockets, a few threads. Prints one JSON object: how many were
// refused by a CONNACK, and how many closed unheard.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "lib/base/unique_fd.h"
#include "lib/mqtt/packet.h"

namespace holdfast::bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kThreads = 16;
constexpr int kPatienceSeconds = 10;

struct Options {
  int port = 8883;
  uint32_t rate = 1000;
  double seconds = 5;
  std::string hub_hostname;
};

class Flood {
 public:
  explicit Flood(const Options& options) : options_(options), context_(SSL_CTX_new(TLS_client_method()), SSL_CTX_free) {
    const std::string user_name = options.hub_hostname + "/nobody/?api-version=2021-04-12";
    mqtt::AppendConnect({.client_id = "nobody",
                         .keep_alive_seconds = 60,
                         .has_user_name = true,
                         .has_password = true,
                         .user_name = user_name,
                         .password = "SharedAccessSignature sr=hub%2Fdevices%2Fnobody&sig=d3Jvbmc%3D&se=4102444800"},
                        &connect_);
  }

  void Run() {
    const Clock::time_point begin = Clock::now();
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([this, begin] {
        while (true) {
          const uint64_t n = next_.fetch_add(1);
          const double at = static_cast<double>(n) / options_.rate;
          if (at >= options_.seconds) return;
          std::this_thread::sleep_until(begin +
                                        std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(at)));
          Attempt();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    const uint64_t attempts = refused_ + unheard_;
    fmt::print("{{\"attempts\": {}, \"refused\": {}, \"unheard\": {}, \"rate\": {:.1f}}}\n", attempts, refused_.load(),
               unheard_.load(), static_cast<double>(attempts) / seconds);
  }

 private:
  void Attempt() {
    const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const timeval patience{.tv_sec = kPatienceSeconds, .tv_usec = 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    const int on = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(options_.port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bool heard = false;
    if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
      const std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(context_.get()), SSL_free);
      SSL_set_fd(ssl.get(), fd.get());
      char connack[16];
      heard = SSL_connect(ssl.get()) == 1 &&
              SSL_write(ssl.get(), connect_.data(), static_cast<int>(connect_.size())) > 0 &&
              SSL_read(ssl.get(), connack, sizeof connack) > 0;
      ERR_clear_error();
    }
    ++(heard ? refused_ : unheard_);
  }

  const Options options_;
  const std::shared_ptr<SSL_CTX> context_;
  std::string connect_;
  std::atomic<uint64_t> next_ = 0;
  std::atomic<uint64_t> refused_ = 0;
  std::atomic<uint64_t> unheard_ = 0;
};

}  // namespace
}  // namespace holdfast::bench

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  holdfast::bench::Options options;
  CLI::App app("Connects with wrong passwords");
  app.add_option("--port", options.port, "TLS port on 127.0.0.1");
  app.add_option("--rate", options.rate, "connects a second")->check(CLI::Range(1u, 100'000u));
  app.add_option("--seconds", options.seconds);
  app.add_option("--hub-hostname", options.hub_hostname, "in the user name");
  CLI11_PARSE(app, argc, argv);
  holdfast::bench::Flood(options).Run();
  return 0;
}
