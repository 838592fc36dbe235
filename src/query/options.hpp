// The options of define_query.
#pragma once

#include "pg/guard.hpp"

namespace query
{

struct Options
{
    std::optional<std::string> version; // part of the definition hash
    std::string schema = "readmodel";   // where the view lives
    bool serve_previous = false;        // while_rebuilding
    int parallel = 1;                   // lanes of a rebuild
    bool skip_errors = false;           // on_error
    int max_dead_letters = 1000;
    std::optional<bool> gate;             // on_change; nothing: the setting decides
    std::optional<int64> rebuild_timeout; // microseconds; nothing: the setting decides
    std::optional<int64> updater_timeout; // as above
    std::optional<int64> max_lag;         // microseconds; nothing: none
    int keep_generations = 1;
    std::string stored = "{}"; // what was given, without nulls, as jsonb's text
};

// An interval's text in microseconds, months counted as 30 days, as interval's comparison does; 0 beyond a century.
int64 interval_us(const std::string &text);

// Checks names, types and ranges of all options; NULL (no datum) means none. Throws 22023.
Options parse_options(const std::optional<Datum> &options);

} // namespace query
