#pragma once

namespace holdfast {

// SIGINT and SIGTERM as an event to wait for. Create it first in main(), before any thread: it blocks the two in the
// calling thread, which every later thread inherits. SIGPIPE is ignored from then on.
class StopSignal {
 public:
  StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  // Waits until one of the two arrives, or until Stop() is called. Returns its number.
  int Wait();

  // Ends Wait() as SIGTERM would. Thread-safe.
  static void Stop();
};

}  // namespace holdfast
