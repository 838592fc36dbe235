// Where our catalog is, who may write it, and the rows of the queries in it.
#pragma once

#include "pg/spi.hpp"
#include "pg/transaction.hpp"

namespace query
{

// The owner of the schema readmodel_catalog, a superuser: our own statements on the catalog run as this user, after whatever
// the caller needs rights for was checked as the caller.
Oid catalog_owner();

// A relation of the catalog by name ("query", ..). Throws 3F000 or 42P01 where the extension is not (completely) there.
Oid catalog_relation(const char *name);

// The schema of the tables of states.
Oid data_schema();

// A scope for our own statements: the catalog's owner, a pinned search_path, an SPI connection and, in workers, where no portal
// has one, an active snapshot.
class CatalogScope
{
public:
    CatalogScope();

private:
    struct Path
    {
        Path();
    };
    pg::AsUser user;
    Path path;
    pg::Spi spi;
    std::optional<pg::FreshSnapshot> snapshot;
};

// What has committed until now, and this transaction's own changes, whatever its isolation level: for decisions after a lock was
// waited for. Use it with read-only statements.
class LatestSnapshot
{
public:
    LatestSnapshot() : exceptions(std::uncaught_exceptions())
    {
        pg::call([] { PushActiveSnapshot(GetLatestSnapshot()); });
    }
    ~LatestSnapshot()
    {
        // On an error the abort pops it; before it, PostgreSQL may not be called.
        if (std::uncaught_exceptions() == exceptions)
            PopActiveSnapshot();
    }
    LatestSnapshot(const LatestSnapshot &) = delete;
    LatestSnapshot &operator=(const LatestSnapshot &) = delete;

private:
    int exceptions;
};

struct QueryRow
{
    int32 id = 0;
    std::string name;
    int32 source_id = 0;
    std::string source;
    Oid view = InvalidOid;  // may be gone: its owner can drop it
    Oid owner = InvalidOid; // of the view, else of a state table; the catalog's if they are all gone
    std::string options;    // jsonb's text
    int32 newest = 0;
    int32 serving = 0;
};

// Until the end of the transaction nobody else defines, changes or drops the query of this name, be there one or not.
void lock_query_name(const std::string &name);
// The same without waiting. False: somebody else holds it.
bool try_lock_query_name(const std::string &name);

// The query as it is now (LatestSnapshot). find_query opens a CatalogScope of its own.
std::optional<QueryRow> find_query(const std::string &name);

// The same; throws RM006 if there is none, and with `owner` 42501 if it belongs to a role that the caller is no member of.
QueryRow require_query(const std::string &name);
QueryRow require_own_query(const std::string &name);
// The same, with its name locked before it is looked at: for all that changes it.
QueryRow lock_own_query(const std::string &name);

// Throws 42501 unless the current user owns the query (or is a superuser, or a member of the owner).
void require_owner(const QueryRow &query);

// The statement must have changed exactly one row. It has not when the caller's snapshot is too old for the row: throws 40001.
void require_one_row(const pg::Rows &rows, const std::string &query);

} // namespace query
