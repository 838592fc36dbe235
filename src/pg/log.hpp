// Messages for the server's log and the client, below ERROR.
#pragma once

#include "pg/guard.hpp"

namespace pg
{

// `level` is LOG, NOTICE, WARNING .., never ERROR. Empty detail and hint are left out.
void log(int level, const std::string &message, const std::string &detail = {}, const std::string &hint = {});

} // namespace pg
