// Transactions, subtransactions, snapshots and users with C++ lifetimes.
//
// The destructors only abort or restore, and do nothing while an exception unwinds through them where the abort of the
// surrounding (sub)transaction restores the same thing: after a PgError PostgreSQL may not be called before that abort.
#pragma once

#include "pg/guard.hpp"
#include "pg/memory.hpp"

namespace pg
{

// A worker's transaction: aborted unless committed. READ COMMITTED whatever the database's default is.
class Transaction
{
public:
    Transaction();
    ~Transaction();
    Transaction(const Transaction &) = delete;
    Transaction &operator=(const Transaction &) = delete;

    void commit();

private:
    bool open = true;
};

// A snapshot taken now, active for a scope.
class FreshSnapshot
{
public:
    FreshSnapshot();
    ~FreshSnapshot();
    FreshSnapshot(const FreshSnapshot &) = delete;
    FreshSnapshot &operator=(const FreshSnapshot &) = delete;

private:
    int exceptions;
};

// Runs f() inside an internal subtransaction and commits it. A PgError or pg::Error rolls it back and is returned;
// memory that f allocated in CurrentMemoryContext stays. With `read_only` nothing in f can write.
std::optional<PgError> attempt_impl(bool read_only, const std::function<void()> &f);
template <class F>
std::optional<PgError> attempt(bool read_only, F &&f)
{
    return attempt_impl(read_only, std::function<void()>(std::ref(f)));
}

// A scope in which the current user is another one, with a GUC nest level of its own. With `restricted` it is a
// security-restricted operation too: for everything that runs a user's code.
class AsUser
{
public:
    AsUser(Oid user, bool restricted);
    ~AsUser();
    AsUser(const AsUser &) = delete;
    AsUser &operator=(const AsUser &) = delete;

private:
    Oid saved_user;
    int saved_security_context;
    int guc_level;
    int exceptions;
};

// Sets a parameter until the surrounding AsUser scope ends (GUC_ACTION_SAVE).
void set_local(const char *name, const char *value);

// What can change the result of a user's expression or updater, and to what it is pinned; the search_path comes on top.
struct Setting
{
    const char *name;
    const char *value;
};
std::span<const Setting> pinned_settings();

// This process has them set for good, and every scope of user code ends with its settings restored: no need to look.
void surroundings_are_pinned(bool yes);

// Pins what can change the result of a user's expression or updater: the captured search_path, time zone, output formats,
// timeouts. Call it inside an AsUser scope.
void pin_surroundings(const std::string &search_path);

} // namespace pg
