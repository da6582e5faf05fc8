// bench-hold: logs in each device of a list over TLS, prints how long that took as one JSON object on one line, and
// keeps the connections until its stdin ends. One thread.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <chrono>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "lib/mqtt/client.h"
#include "tests/system/sas.h"

namespace holdfast::bench {
namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

// Logins under way at a time.
constexpr size_t kPendingMax = 64;
constexpr size_t kReadBytes = 512;

struct Options {
  uint16_t port = 8883;
  std::string hub_hostname;
  std::string devices_file;
  std::string ca_file;
};

struct Device {
  std::string id;
  std::string key;
};

class Hold final {
 public:
  Hold(Options options, std::vector<Device> devices) : options_(std::move(options)), devices_(std::move(devices)) {
    auto context = mqtt::LoadTlsContext({.ca_file = options_.ca_file});
    if (!context.ok()) throw std::runtime_error(std::string(context.status().message()));
    context_ = *std::move(context);
    held_.reserve(devices_.size());
  }

  // Until stdin ends. False if a connection failed or ended.
  bool Run() {
    begin_ = Clock::now();
    while (held_.size() < std::min(kPendingMax, devices_.size())) Connect();
    stdin_.async_read_some(asio::buffer(&ignored_, 1), [this](const auto&, size_t) { io_.stop(); });
    io_.run();
    return error_.empty();
  }
  const std::string& error() const { return error_; }

 private:
  class Held final : public mqtt::Client::Handler {
   public:
    Held(Hold* owner, mqtt::Client::Options options) : owner_(*owner), client_(owner->io_, std::move(options), this) {
      client_.Start();
    }
    void OnConnected(bool, const std::string&) override { owner_.OnConnected(); }
    void OnClosed(const mqtt::Closed& closed) override {
      owner_.error_ = fmt::format("a connection ended: {}", std::string(closed.status.message()));
      owner_.io_.stop();
    }

   private:
    Hold& owner_;
    mqtt::Client client_;
  };

  void Connect() {
    const Device& device = devices_[held_.size()];
    held_.push_back(std::make_unique<Held>(
        this, mqtt::Client::Options{
                  .host = "localhost",
                  .port = options_.port,
                  .addresses = {"127.0.0.1"},
                  .tls = true,
                  .tls_context = context_,
                  .client_id = device.id,
                  .user_name = fmt::format("{}/{}/?api-version=2021-04-12", options_.hub_hostname, device.id),
                  .password = systest::SasToken(options_.hub_hostname, device.id, device.key),
                  .keep_alive = std::chrono::seconds(600),
                  .read_bytes = kReadBytes}));
  }
  void OnConnected() {
    ++connected_;
    if (held_.size() < devices_.size()) Connect();
    if (connected_ < devices_.size()) return;
    const double seconds = std::chrono::duration<double>(Clock::now() - begin_).count();
    fmt::print("{{\"connected\": {}, \"seconds\": {:.2f}}}\n", connected_, seconds);
    std::fflush(stdout);
  }

  const Options options_;
  const std::vector<Device> devices_;
  asio::io_context io_{1};
  asio::posix::stream_descriptor stdin_{io_, ::dup(STDIN_FILENO)};
  char ignored_ = 0;
  std::shared_ptr<mqtt::TlsContext> context_;
  std::vector<std::unique_ptr<Held>> held_;
  size_t connected_ = 0;
  Clock::time_point begin_;
  std::string error_;
};

}  // namespace
}  // namespace holdfast::bench

int main(int argc, char** argv) {
  holdfast::bench::Options options;
  CLI::App app("Holds a TLS connection for each device");
  app.add_option("--port", options.port, "TLS port on 127.0.0.1");
  app.add_option("--hub-hostname", options.hub_hostname, "in user names and tokens");
  app.add_option("--devices", options.devices_file, "file of lines \"id key\"")->required();
  app.add_option("--ca-file", options.ca_file, "PEM")->required();
  CLI11_PARSE(app, argc, argv);
  std::vector<holdfast::bench::Device> devices;
  std::ifstream file(options.devices_file);
  for (holdfast::bench::Device device; file >> device.id >> device.key;) devices.push_back(device);
  holdfast::bench::Hold hold(options, std::move(devices));
  if (hold.Run()) return 0;
  fmt::print(stderr, "{}\n", hold.error());
  return 1;
}
