#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "lib/base/unique_fd.h"

namespace holdfast {

// The other end of a TCP connection, led by the test line by line: expect these bytes, answer those. Every wait has a
// deadline of 10 s, after which it is DEADLINE_EXCEEDED. Not thread-safe.
class ScriptedPeer {
 public:
  // Listens on 127.0.0.1 at a free port, or at the one given.
  explicit ScriptedPeer(uint16_t port = 0);

  uint16_t port() const { return port_; }

  // The next connection; an open one is closed first.
  absl::Status Accept();
  // True if nobody connects within `time`.
  bool NobodyConnects(absl::Duration time);
  // Stops listening: connections are refused until Listen().
  void StopListening() { listener_ = UniqueFd(); }
  void Listen();

  // INVALID_ARGUMENT that shows both, in hexadecimal, if something else arrives.
  absl::Status Expect(std::string_view bytes);
  absl::StatusOr<std::string> Read(size_t size);
  // One MQTT packet, whatever it is.
  absl::StatusOr<std::string> ReadPacket();
  // True if nothing arrives within `time`.
  bool Quiet(absl::Duration time);
  // The peer closed its end, and sent nothing before.
  absl::Status ExpectClosed();

  absl::Status Send(std::string_view bytes);
  void Close() { connection_ = UniqueFd(); }

 private:
  absl::Status WaitReadable(int fd, absl::Time deadline);

  uint16_t port_ = 0;
  UniqueFd listener_;
  UniqueFd connection_;
};

}  // namespace holdfast
