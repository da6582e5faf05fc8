#pragma once

#include <functional>
#include <string>

namespace holdfast::router {

class Session;

// Reaches a client from any thread: runs `use` once, on the client's home thread with its session, or anywhere with
// nullptr if it is not connected to this router. Not run at all once the threads have been stopped.
using WithSession = std::function<void(const std::string& client_id, std::function<void(Session*)> use)>;

}  // namespace holdfast::router
