// A page of events straight from the index on the position, without the executor.
//
// What may be read, by whom, and through which index, PostgreSQL's own plan of the page query says. Where that plan is a LIMIT over
// an index scan of one table, with nothing but plain columns in its result, the scan is done here. Everything else (a partitioned
// table, an expression in the mapping, a filter, another index) is left to SPI.
#pragma once

#include "pg/spi.hpp"
#include "query/key_expression.hpp"
#include "source/position.hpp"

namespace source
{

// Events of a few hundred bytes never meet it; a page of large ones is cut here instead of growing with the limit.
inline constexpr size_t most_page_bytes = size_t{16} * 1024 * 1024;

// The events of one page. Its memory is used again for the next one.
class PageContent
{
public:
    std::vector<Position> positions;
    std::vector<query::EventValues> events;

    // Room for a value of an event, aligned as any value must be.
    char *take(size_t bytes);
    void count(size_t bytes) { used += bytes; } // that will be needed elsewhere
    size_t bytes() const { return used; }       // that were taken or counted
    void clear();

private:
    struct Block
    {
        std::unique_ptr<char[]> memory;
        size_t size;
    };
    std::vector<Block> blocks;
    size_t current = 0; // the block in use
    size_t filled = 0;  // of it
    size_t used = 0;
};

// Reads what the statement would return for the arguments (above, up to, limit) under the active snapshot as the current user, except
// that a page of very large events may be shorter. Returns whether more may lie above; nothing at all if the plan is not of this
// kind. jsonb comes with a long header, so that nobody has to copy it to read it; what is compressed or stored apart stays so.
std::optional<bool> scan_directly(pg::Statement &statement, const pg::Args &args, int limit, PageContent &page);

} // namespace source
