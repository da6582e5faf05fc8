#include "services/auth/workload_server.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <filesystem>
#include <thread>
#include <utility>

#include "lib/base/log.h"
#include "lib/base/status.h"
#include "lib/pki/file.h"
#include "lib/rpc/socket_lock.h"
#include "services/auth/identity.h"
#include "services/auth/workload_connection.h"

namespace holdfast::auth {

namespace asio = boost::asio;
using Local = asio::local::stream_protocol;

namespace {

constexpr unsigned kFolderMode = 0750;
constexpr absl::Duration kAcceptAgainAfter = absl::Milliseconds(100);
// No module's id holds a '~', so these names are ours.
constexpr char kLockName[] = "~lock";
constexpr char kNewSocketName[] = "~new.sock";

std::string Directory(const std::string& run_dir) {
  return run_dir + "/workload";
}

// The door of one module.
struct Door {
  Door(asio::io_context& io, std::string module, std::string path)
      : module_id(std::move(module)), path(std::move(path)), acceptor(io), pause(io) {}

  const std::string module_id;
  const std::string path;
  Local::acceptor acceptor;
  asio::steady_timer pause;
  size_t open = 0;  // connections
  bool is_accepting = false;
};

}  // namespace

std::string WorkloadSocketPath(const std::string& run_dir, std::string_view module_id) {
  return fmt::format("{}/{}/workload.sock", Directory(run_dir), module_id);
}

absl::Status CheckWorkloadModule(const std::string& run_dir, std::string_view module_id) {
  if (!IsValidId(module_id) || module_id == "." || module_id == ".." ||
      module_id.find_first_of("%#?:,") != std::string_view::npos) {
    return absl::InvalidArgumentError(
        fmt::format("{} can't be a module with a socket: 1 to {} characters out of A-Z a-z 0-9 -.+_*!()=@$'",
                    Printable(module_id), kIdBytesMax));
  }
  return rpc::CheckSocketPath(WorkloadSocketPath(run_dir, module_id));
}

// All but Create() and Stop() runs in its thread.
class WorkloadServer::Impl {
 public:
  Impl(const Options& options, const WorkloadApi& api, Metrics& metrics)
      : options_(options), api_(api), metrics_(metrics), take_over_(io_) {
    on_answered_ = [this](const WorkloadResponse& response) {
      metrics_
          .Counter("holdfast_auth_workload_requests_total", "Requests of modules to the workload API",
                   {{"endpoint", std::string(response.endpoint)}, {"status", std::to_string(response.status)}})
          .Increment();
    };
  }

  absl::Status Start() {
    if (options_.modules.empty()) return absl::OkStatus();
    RETURN_IF_ERROR(pki::MakeDirectory(Directory(options_.run_dir), 0755));
    absl::Status status = TakeOver();
    if (absl::IsFailedPrecondition(status)) {
      spdlog::info("another instance serves the workload API; this one takes over when it ends");
      WaitToTakeOver();
      status = absl::OkStatus();
    }
    RETURN_IF_ERROR(status);
    thread_ = std::thread([this] { io_.run(); });
    return absl::OkStatus();
  }

  ~Impl() {
    io_.stop();
    if (thread_.joinable()) thread_.join();
    for (const auto& door : doors_) ::unlink(door->path.c_str());
    doors_.clear();
  }

 private:
  // FAILED_PRECONDITION if another process has the sockets.
  absl::Status TakeOver() {
    const std::string directory = Directory(options_.run_dir);
    ASSIGN_OR_RETURN(UniqueFd lock, rpc::LockSocket(fmt::format("{}/{}", directory, kLockName), directory));
    for (const std::string& module : options_.modules) {
      auto door = std::make_unique<Door>(io_, module, WorkloadSocketPath(options_.run_dir, module));
      RETURN_IF_ERROR(Open(door.get()));
      doors_.push_back(std::move(door));
    }
    lock_ = std::move(lock);
    for (const auto& door : doors_) Accept(door.get());
    spdlog::info("the workload API is listening modules={} sockets={}/MODULE/workload.sock", doors_.size(), directory);
    return absl::OkStatus();
  }

  void WaitToTakeOver() {
    take_over_.expires_after(absl::ToChronoNanoseconds(kTakeOverEvery));
    take_over_.async_wait([this](const boost::system::error_code& error) {
      if (error) return;
      const absl::Status status = TakeOver();
      if (status.ok()) return;
      doors_.clear();
      if (!absl::IsFailedPrecondition(status)) {
        spdlog::error("the workload API can't be served; trying again error={}", Text(status));
      }
      WaitToTakeOver();
    });
  }

  // The socket is made beside the folder, where no module can reach it before it is done, and moved in.
  absl::Status Open(Door* door) {
    const std::filesystem::path path = door->path;
    const std::string folder = path.parent_path().string();
    RETURN_IF_ERROR(pki::MakeDirectory(folder, kFolderMode));
    if (::chmod(folder.c_str(), kFolderMode) != 0) return ErrnoStatus(errno, fmt::format("can't set up {}", folder));
    const std::string fresh = fmt::format("{}/{}", Directory(options_.run_dir), kNewSocketName);
    ::unlink(fresh.c_str());
    boost::system::error_code error;
    door->acceptor.open(Local(), error);
    if (!error) door->acceptor.bind(Local::endpoint(fresh), error);
    if (!error) door->acceptor.listen(kConnectionsMax, error);
    if (error) return absl::InternalError(fmt::format("can't listen on {}: {}", door->path, error.message()));
    if (::chmod(fresh.c_str(), rpc::kSocketMode) != 0 || ::rename(fresh.c_str(), door->path.c_str()) != 0) {
      return ErrnoStatus(errno, fmt::format("can't listen on {}", door->path));
    }
    return absl::OkStatus();
  }

  void Accept(Door* door) {
    if (door->is_accepting || door->open == kConnectionsMax) return;
    door->is_accepting = true;
    door->acceptor.async_accept([this, door](const boost::system::error_code& error, Local::socket socket) {
      door->is_accepting = false;
      if (error) return AcceptLater(door, error);
      Serve(door, std::move(socket));
      Accept(door);
    });
  }

  // Out of descriptors, mostly; others may be closed meanwhile.
  void AcceptLater(Door* door, const boost::system::error_code& error) {
    if (error == asio::error::operation_aborted) return;
    spdlog::warn("a module's connection could not be accepted module={} error={}", door->module_id, error.message());
    door->pause.expires_after(absl::ToChronoNanoseconds(kAcceptAgainAfter));
    door->pause.async_wait([this, door](const boost::system::error_code& e) {
      if (!e) Accept(door);
    });
  }

  void Serve(Door* door, Local::socket socket) {
    ++door->open;
    auto connection =
        std::make_shared<WorkloadConnection>(std::move(socket), door->module_id, api_, options_.timeout, on_answered_);
    WorkloadConnection& running = *connection;
    asio::co_spawn(io_, running.Run(), [this, door, connection](const std::exception_ptr& exception) mutable {
      if (exception != nullptr) spdlog::error("a module's connection failed module={}", door->module_id);
      connection.reset();
      --door->open;
      Accept(door);
    });
  }

  const Options options_;
  const WorkloadApi& api_;
  Metrics& metrics_;
  WorkloadConnection::OnAnswered on_answered_;
  UniqueFd lock_;           // let go when all below is gone
  asio::io_context io_{1};  // its end closes the connections
  asio::steady_timer take_over_;
  std::vector<std::unique_ptr<Door>> doors_;
  std::thread thread_;
};

WorkloadServer::WorkloadServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

WorkloadServer::~WorkloadServer() {
  Stop();
}

void WorkloadServer::Stop() {
  impl_.reset();
}

absl::StatusOr<std::unique_ptr<WorkloadServer>> WorkloadServer::Create(const Options& options, const WorkloadApi& api,
                                                                       Metrics& metrics) {
  auto impl = std::make_unique<Impl>(options, api, metrics);
  RETURN_IF_ERROR(impl->Start());
  return std::unique_ptr<WorkloadServer>(new WorkloadServer(std::move(impl)));
}

}  // namespace holdfast::auth
