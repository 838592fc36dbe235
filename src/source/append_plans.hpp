// The statements that append() runs on one event table, prepared once per table and session.
#pragma once

#include "pg/guard.hpp"

namespace source
{

struct AppendPlans
{
    Oid table;                  // the hash key
    uint64 changes;             // moves when anything about the table changed ..
    uint64 current;             // .. and the plans are those of this state
    SPIPlanPtr highest_version; // (stream text) -> version
    SPIPlanPtr insert_one;      // (stream, version, type, data, metadata) -> position
    SPIPlanPtr insert_many;     // (stream, versions, types, data, metadata: arrays) -> positions

    // The unique indexes over (stream_id, version): a violation of one is a lost race, of another one it is not.
    static constexpr int max_indexes = 4;
    int indexes;
    Oid index[max_indexes];
    NameData index_name[max_indexes];

    bool guards_versions(const char *constraint) const
    {
        for (int i = 0; i < indexes; i++)
            if (constraint && strcmp(NameStr(index_name[i]), constraint) == 0)
                return true;
        return false;
    }
};

// The plans for a table, prepared anew after anything about the table or its indexes changed. Throws if the table has
// not got the columns of create_event_table(). Raises as PostgreSQL does: call it inside pg::call, within an SPI
// connection. The result stays where it is; `nested`: an append of this session is running (a trigger appends), so
// plans that it may use are kept.
const AppendPlans *plans_for(Oid table, bool nested);

} // namespace source
