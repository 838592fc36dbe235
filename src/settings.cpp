#include "settings.hpp"

#include "pg/postgres.hpp"
#include "worker/shared.hpp"

namespace settings
{

bool enabled = true;
char *databases = nullptr;
int max_rebuild_workers = 2;
int batch_size = 1000;
int flush_interval = 2000;
int state_cache = 64 * 1024;
int poll_interval = 1000;
int batch_delay = 10;
int rebuild_rate_limit = 0;
int rebuild_timeout = 5 * 60 * 1000;
int updater_timeout = 0;
int on_change = on_change_rebuild;
int lock_timeout = 1000;
int synchronous_commit = SYNCHRONOUS_COMMIT_OFF;
bool log_progress = true;

namespace
{

constexpr config_enum_entry on_change_options[] = {
    {"rebuild", on_change_rebuild, false}, {"gate", on_change_gate, false}, {nullptr, 0, false}};

// The values of PostgreSQL's own synchronous_commit (utils/misc/guc.c).
constexpr config_enum_entry synchronous_commit_options[] = {{"local", SYNCHRONOUS_COMMIT_LOCAL_FLUSH, false},
                                                            {"remote_write", SYNCHRONOUS_COMMIT_REMOTE_WRITE, false},
                                                            {"remote_apply", SYNCHRONOUS_COMMIT_REMOTE_APPLY, false},
                                                            {"on", SYNCHRONOUS_COMMIT_ON, false},
                                                            {"off", SYNCHRONOUS_COMMIT_OFF, false},
                                                            {"true", SYNCHRONOUS_COMMIT_ON, true},
                                                            {"false", SYNCHRONOUS_COMMIT_OFF, true},
                                                            {"yes", SYNCHRONOUS_COMMIT_ON, true},
                                                            {"no", SYNCHRONOUS_COMMIT_OFF, true},
                                                            {"1", SYNCHRONOUS_COMMIT_ON, true},
                                                            {"0", SYNCHRONOUS_COMMIT_OFF, true},
                                                            {nullptr, 0, false}};

bool check_list(char **value, void **, GucSource)
{
    List *names = NIL;
    char *const copy = pstrdup(*value);
    const bool valid = SplitIdentifierString(copy, ',', &names);
    if (!valid)
        GUC_check_errdetail("List syntax is invalid.");
    list_free(names);
    pfree(copy);
    return valid;
}

void integer(const char *name, const char *what, int *variable, int low, int high, int unit)
{
    DefineCustomIntVariable(name, what, nullptr, variable, *variable, low, high, PGC_SIGHUP, unit, nullptr, nullptr,
                            nullptr);
}

} // namespace

void define(bool preloading)
{
    DefineCustomBoolVariable("readmodel.enabled", "Runs the workers that keep read models up to date.",
                             "Off stops all workers and changes nothing else.", &enabled, true, PGC_SIGHUP, 0, nullptr,
                             nullptr, nullptr);
    DefineCustomStringVariable("readmodel.databases", "Databases that get workers, as a comma-separated list.",
                               "Empty: every database that has the extension.", &databases, "", PGC_SIGHUP,
                               GUC_LIST_INPUT, check_list, nullptr, nullptr);
    // Fixed at start: a change would need a registration with the postmaster for each worker that may still run.
    // Without preloading no such variable may be defined, and nothing reads it.
    DefineCustomIntVariable("readmodel.max_rebuild_workers", "Rebuild workers that run at once in this server.",
                            "Tail workers are not counted.", &max_rebuild_workers, 2, 0, worker::max_rebuilds,
                            preloading ? PGC_POSTMASTER : PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
    // A thousand events are a few hundred kilobytes: enough to pay for a transaction, few enough for short ones.
    integer("readmodel.batch_size", "Events that a lane reads at a time.", &batch_size, 1, 100000, 0);
    // Writing states outweighs folding them, so a rebuild writes as seldom as a crash may cost it work.
    integer("readmodel.flush_interval", "How often a rebuild writes its changed states.", &flush_interval, 10, 3600000,
            GUC_UNIT_MS);
    integer("readmodel.state_cache", "Memory for the states that a lane holds.", &state_cache, 1024, 1024 * 1024 * 1024,
            GUC_UNIT_KB);
    integer("readmodel.poll_interval", "How often the tail looks for events that no hook announced.", &poll_interval,
            10, 3600000, GUC_UNIT_MS);
    integer("readmodel.batch_delay", "The tail's longest wait for more events under load.", &batch_delay, 0, 10000,
            GUC_UNIT_MS);
    integer("readmodel.rebuild_rate_limit", "Events per second that a rebuild reads at most; 0 is no limit.",
            &rebuild_rate_limit, 0, std::numeric_limits<int>::max(), 0);
    integer("readmodel.rebuild_timeout", "Time without progress after which a rebuild fails; 0 is no limit.",
            &rebuild_timeout, 0, std::numeric_limits<int>::max(), GUC_UNIT_MS);
    integer("readmodel.updater_timeout", "Longest run of an updater for one event; 0 is no limit.", &updater_timeout, 0,
            std::numeric_limits<int>::max(), GUC_UNIT_MS);
    integer("readmodel.lock_timeout", "Longest wait of a worker for a lock.", &lock_timeout, 1, 3600000, GUC_UNIT_MS);
    DefineCustomEnumVariable("readmodel.on_change", "What a changed definition does: rebuild, or wait at the gate.",
                             nullptr, &on_change, on_change_rebuild, on_change_options, PGC_SIGHUP, 0, nullptr, nullptr,
                             nullptr);
    // State and checkpoint are lost together or not at all, and the events are durable: nothing is lost with "off".
    DefineCustomEnumVariable("readmodel.synchronous_commit", "synchronous_commit of the workers' transactions.",
                             nullptr, &synchronous_commit, SYNCHRONOUS_COMMIT_OFF, synchronous_commit_options,
                             PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
    DefineCustomBoolVariable("readmodel.log_progress", "Logs the progress of rebuilds, at most every 10 s per query.",
                             nullptr, &log_progress, true, PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
    MarkGUCPrefixReserved("readmodel");
}

} // namespace settings
