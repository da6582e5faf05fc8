// Which texts in a body the model takes for a date (C4): IoT Edge parses bodies with Newtonsoft.Json, which turns them
// into dates, and a date is undefined in a condition.
#pragma once

#include <string_view>

namespace holdfast::routes {

// `2017-03-09T00:00:00` with an optional fraction of up to seven digits and an optional zone (`Z`, `+01:00`, `+0100`,
// `+01`), if it is a date of the calendar; and `/Date(1489017600000)/` with an optional zone. A date without a time is
// text.
bool LooksLikeDate(std::string_view text);

}  // namespace holdfast::routes
