// The settings that a worker's session runs under, and those that say where workers run.
#pragma once

#include "pg/guard.hpp"

namespace worker
{

// Overrides what the database or the roles may have set; a reload does not undo it.
void apply_session_settings();

// Reads the configuration anew after SIGHUP.
void reload_session_settings();

// True when `readmodel.databases` gives this database workers.
bool database_is_listed(const char *name);

} // namespace worker
