#include "worker/session_settings.hpp"

#include "pg/transaction.hpp"
#include "settings.hpp"

namespace worker
{

void apply_session_settings()
{
    pg::call(
        []
        {
            static constexpr const char *fixed[][2] = {
                {"role", "none"},
                {"search_path", "pg_catalog, pg_temp"},
                {"default_transaction_isolation", "read committed"},
                {"default_transaction_read_only", "off"},
                {"default_transaction_deferrable", "off"},
                {"session_replication_role", "origin"},
                {"idle_in_transaction_session_timeout", "0"},
                {"idle_session_timeout", "0"},
                {"jit", "off"},                // short statements that run for ever
                {"deadlock_timeout", "100ms"}, // before the user's: in a deadlock the worker gives way
            };
            for (const auto &[name, value] : fixed)
                SetConfigOption(name, value, PGC_SUSET, PGC_S_OVERRIDE);
            // So that most of what user code needs pinned is in place already.
            for (const auto &[name, value] : pg::pinned_settings())
                SetConfigOption(name, value, PGC_SUSET, PGC_S_OVERRIDE);
            pg::surroundings_are_pinned(true);
            SetConfigOption("application_name", MyBgworkerEntry->bgw_type, PGC_SUSET, PGC_S_OVERRIDE);
            SetConfigOption("lock_timeout", psprintf("%d", settings::lock_timeout), PGC_SUSET, PGC_S_OVERRIDE);
            SetConfigOption("synchronous_commit", GetConfigOption("readmodel.synchronous_commit", false, false),
                            PGC_SUSET, PGC_S_OVERRIDE);
        });
}

void reload_session_settings()
{
    ConfigReloadPending = false;
    pg::call([] { ProcessConfigFile(PGC_SIGHUP); });
    apply_session_settings();
}

bool database_is_listed(const char *name)
{
    if (!settings::databases || settings::databases[0] == '\0')
        return true;
    return pg::call(
        [&]
        {
            char *const copy = pstrdup(settings::databases);
            List *names = NIL;
            bool listed = false;
            // A list that does not parse was refused when it was set.
            if (SplitIdentifierString(copy, ',', &names))
            {
                ListCell *cell;
                foreach (cell, names)
                    listed |= std::strcmp(static_cast<const char *>(lfirst(cell)), name) == 0;
            }
            list_free(names);
            pfree(copy);
            return listed;
        });
}

} // namespace worker
