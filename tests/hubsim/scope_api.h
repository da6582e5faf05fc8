#pragma once

#include "tests/hubsim/http_server.h"
#include "tests/hubsim/hub_state.h"

namespace holdfast::hubsim {

// Whether the path is one of /devices/{edge}/modules/$edgeHub/…: the device scope API.
bool IsScopeRequest(const HttpRequest& request);

// Answers it: authorization, arguments, page. Both shapes:
//   GET  …/devicesAndModulesInDeviceScope?deviceCount=&continuationToken=
//   GET  …/deviceAndModuleInDeviceScope?targetDeviceId=&targetModuleId=
//   POST …/devicesAndModulesInTargetDeviceScope  {"pageSize":n,"continuationLink":…,"authChain":"target;…;edge"}
//   POST …/getDeviceAndModuleOnBehalfOf          {"targetDeviceId":…,"targetModuleId":…,"authChain":"target;…;edge"}
HttpResponse AnswerScopeRequest(const HttpRequest& request, HubState& state);

}  // namespace holdfast::hubsim
