#pragma once

#include <cstddef>
#include <string_view>

namespace holdfast::store {

// How many bytes of a write-ahead log (`content`, all of it) are for LevelDB to read. A log that was not closed ends in
// zeroes, and its last record may be there in part: some of its sectors written, some still zero. That record was never
// synced, so it is left out as if the file ended before it, where LevelDB would report damage. All of the content, for
// LevelDB to judge and to report, if a record begins behind the first unreadable place, or if that place has no sector
// of zeroes: then what is wrong there was once right.
size_t LogEnd(std::string_view content);

}  // namespace holdfast::store
