// What happens when the library is loaded: settings, hooks and, in the postmaster, shared memory and the launcher.

#include "pg/guard.hpp"
#include "settings.hpp"
#include "worker/faults.hpp"
#include "worker/shared.hpp"
#include "worker/wakeup.hpp"
#include "worker/worker_process.hpp"

READMODEL_EXPORT const Pg_magic_struct *Pg_magic_func(void);
const Pg_magic_struct *Pg_magic_func(void)
{
    static const Pg_magic_struct magic = PG_MODULE_MAGIC_DATA;
    return &magic;
}

READMODEL_EXPORT void _PG_init(void);
void _PG_init(void)
{
    pg::entry(
        []
        {
            const bool preloading = process_shared_preload_libraries_in_progress;
            pg::call([&] { settings::define(preloading); });
            if (preloading)
            {
                worker::request_shared_memory();
#ifdef READMODEL_FAULTS
                worker::faults::request_shared_memory();
#endif
                worker::register_launcher();
            }
            worker::install_wakeup();
        });
}
