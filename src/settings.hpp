// The settings `readmodel.*`: one variable each, with its unit. The reasons for the defaults stand in settings.cpp.
#pragma once

namespace settings
{

extern bool enabled;
extern char *databases; // comma-separated names; empty: every database that has the extension
extern int max_rebuild_workers;
extern int batch_size;         // events
extern int flush_interval;     // ms
extern int state_cache;        // kB
extern int poll_interval;      // ms
extern int batch_delay;        // ms
extern int rebuild_rate_limit; // events/s, 0: none
extern int rebuild_timeout;    // ms
extern int updater_timeout;    // ms, 0: none
extern int on_change;          // OnChange
extern int lock_timeout;       // ms
extern int synchronous_commit; // as PostgreSQL's SyncCommitLevel
extern bool log_progress;

enum OnChange
{
    on_change_rebuild,
    on_change_gate
};

// Registers them. `preloading`: called by the postmaster, so that settings that need a restart can be defined.
void define(bool preloading);

} // namespace settings
