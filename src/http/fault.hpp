// Why a statement brought no rows, as a code for those who watch the service: never the text of a message.
#pragma once

#include <string>

#include "http/database.hpp"

namespace http
{

// The role may not see the queries any more, so the rows are not all there are.
inline constexpr const char *queries_hidden = "hidden";

// no_connection, busy, timeout, permission, no_extension, or "error: SQLSTATE ..". Empty: there are rows.
std::string fault_of(const ReadResult &result);

} // namespace http
