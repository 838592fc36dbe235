// A registered event table and the mapping of its columns.
#pragma once

#include "pg/guard.hpp"
#include "source/position.hpp"

namespace source
{

// Where positions come from, and so what proves that no event can still appear at or below one.
enum class Settle
{
    sequence,    // the holders of the sequence's lock (settled_position.hpp)
    guarded,     // the same, with a trigger that refuses explicit positions below it
    gap_timeout, // a heuristic, spelled out by the user: no sequence is there to ask
};

struct EventSource
{
    int32 id = 0;
    std::string name;
    Oid events = InvalidOid;
    Oid marker = InvalidOid;   // the view that keeps the event table from being dropped; InvalidOid: gone
    Oid owner = InvalidOid;    // of the event table: whose rights read it
    Oid sequence = InvalidOid; // InvalidOid with gap_timeout
    std::string position_column;
    std::string type_expression;
    std::string stream_expression;
    std::string data_expression;
    std::optional<std::string> metadata_expression;
    std::optional<std::string> occurred_at_expression;
    Settle settle = Settle::sequence;
    std::string search_path;
    bool restored = false; // its stamp is another server's: a restore is under way or was not adopted yet

    // "SELECT position, type, stream, data, metadata, occurred_at FROM .. WHERE position > $1 AND position <= $2
    //  ORDER BY position LIMIT $3"; types bigint, text, text, jsonb, jsonb, timestamptz. All names are quoted.
    std::string page_query() const;
};

// The sources of this database, by name, as the active snapshot sees the catalog. Needs an SPI connection.
std::vector<EventSource> read_sources();

// The sources of this database. Reads the catalog under a fresh snapshot; call it inside a transaction as a superuser.
// A source whose event table is gone has events = InvalidOid.
std::vector<EventSource> load_sources();

// What keeps the source from being read or proved now (CACHE above 1, no such column, row-level security, ..), as an
// error with SQLSTATE, DETAIL and HINT; empty if all is well. The same checks as at create_source, except that the
// expressions are not parsed again (the page query does that). Reads the catalogs as they are now. Locks nothing on the
// event table.
std::optional<pg::Error> check_source(const EventSource &source);

// The sequence that a column draws from: its identity, or the one in a default of exactly nextval('..'). InvalidOid:
// none.
Oid position_sequence(Oid events, const std::string &position_column);

// What a row of the catalog carries to notice that it was restored elsewhere: system identifier, database and table
// oid.
std::string source_stamp(Oid events);

// The highest position that the active snapshot sees, read as the owner of the event table; none if there are no events. Nothing if the
// table is gone, locked or may not be read. Never fails for a reason of the table's.
std::optional<MaybePosition> readable_head(const EventSource &source);
// The same for whom that makes no difference.
MaybePosition head_position(const EventSource &source);

} // namespace source
