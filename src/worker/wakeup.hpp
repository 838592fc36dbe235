// How the workers learn that something happened, without a trigger or NOTIFY on the user's table.
//
// Executor and utility hooks see whether a statement writes to a registered event table and note it in this process; at the
// end of the transaction, committed or not (a rolled-back hole ends a wait), the tail worker of the database is told. The list
// of event tables is a small array per backend, refreshed when Shared::registrations moves. The hooks never raise and cost a
// few comparisons. Changes of the catalog are announced the same way.
#pragma once

#include "pg/guard.hpp"

namespace worker
{

// Installs the hooks and callbacks; for _PG_init. Does nothing without preloading: there is nobody to tell.
void install_wakeup();

// At the commit of the current transaction: the catalog of this database changed, its workers reload it. `sources` says that
// the set of event tables changed too. Does nothing without shared memory.
void announce_definitions(bool sources = false);

// The same, and the fold of an event of this generation is broken off: it is not to go on, and its updater may never end.
void announce_stop(int32 generation_id);

// At the commit of the current transaction: this generation's failure is recorded, and counted.
void announce_failure(int32 generation_id);

// At the commit of the current transaction: the extension was created here, so the launcher looks at this database now.
void announce_extension();

// For the tail worker, once it has put its sources' event tables into Shared::sources (or taken them out): every backend reads
// the list anew before its next statement.
void announce_event_tables() noexcept;

// The workers of the current database look at the catalog and the assignments again, now.
void announce_now() noexcept;

// Wakes the tail worker of the current database at once (it may have something to adopt).
void wake_tail() noexcept;

// Wakes the launcher at once.
void wake_launcher() noexcept;

} // namespace worker
