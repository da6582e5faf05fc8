#pragma once

#include "absl/status/status.h"
#include "holdfast/store/v1/store.pb.h"
#include "services/store/engine.h"
#include "services/store/read_loop.h"

namespace holdfast::store {

absl::Status CheckPeek(const v1::PeekRequest& request);

// Fills `response` with records from the head, for people to look at. Calls `done` on some thread; `response` must live
// until then.
void StartPeek(Engine* engine, ReadLoop* loop, const v1::PeekRequest& request, v1::PeekResponse* response,
               Engine::DoneStatus done);

}  // namespace holdfast::store
