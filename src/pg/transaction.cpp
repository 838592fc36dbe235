#include "pg/transaction.hpp"

namespace pg
{

Transaction::Transaction()
{
    call(
        []
        {
            SetCurrentStatementStartTimestamp();
            StartTransactionCommand();
            XactIsoLevel = XACT_READ_COMMITTED;
            XactReadOnly = false;
            XactDeferrable = false;
        });
}

namespace
{

// What an updater took with pg_advisory_lock() would stay until the worker ends, which nobody can bring about but an operator.
void release_session_locks()
{
    LockReleaseSession(USER_LOCKMETHOD);
}

} // namespace

Transaction::~Transaction()
{
    if (!open)
        return;
    AbortCurrentTransaction();
    release_session_locks();
}

void Transaction::commit()
{
    // If the commit raises, the transaction is still to be aborted: the destructor does it.
    call([] { CommitTransactionCommand(); });
    open = false;
    call([] { release_session_locks(); });
}

FreshSnapshot::FreshSnapshot() : exceptions(std::uncaught_exceptions())
{
    call(
        []
        {
            // A catalog snapshot or an older transaction snapshot is never good enough here.
            PushActiveSnapshot(GetTransactionSnapshot());
        });
}

FreshSnapshot::~FreshSnapshot()
{
    if (std::uncaught_exceptions() == exceptions)
        PopActiveSnapshot();
}

namespace
{

PgError own_error_as_server_error(const Error &error)
{
    const MemoryContext context = AllocSetContextCreate(TopMemoryContext, "pg_readmodel error", ALLOCSET_SMALL_SIZES);
    auto *data = static_cast<ErrorData *>(MemoryContextAllocZero(context, sizeof(ErrorData)));
    data->elevel = ERROR;
    data->output_to_server = true;
    data->output_to_client = true;
    data->sqlerrcode = error.sqlstate;
    data->assoc_context = context;
    data->filename = "";
    data->funcname = "";
    data->message = MemoryContextStrdup(context, error.message_text.c_str());
    if (!error.detail_text.empty())
        data->detail = MemoryContextStrdup(context, error.detail_text.c_str());
    if (!error.log_detail_text.empty())
        data->detail_log = MemoryContextStrdup(context, error.log_detail_text.c_str());
    if (!error.hint_text.empty())
        data->hint = MemoryContextStrdup(context, error.hint_text.c_str());
    return PgError(context, data);
}

} // namespace

std::optional<PgError> attempt_impl(bool read_only, const std::function<void()> &f)
{
    const MemoryContext context = CurrentMemoryContext;
    const ResourceOwner owner = CurrentResourceOwner;
    std::optional<PgError> error;

    call(
        [&]
        {
            BeginInternalSubTransaction(nullptr);
            if (read_only)
                XactReadOnly = true; // the end of the subtransaction restores it; nothing inside can lift it
            MemoryContextSwitchTo(context);
        });
    try
    {
        f();
        call([] { ReleaseCurrentSubTransaction(); });
    }
    catch (const PgError &caught)
    {
        error = caught;
    }
    catch (const Error &caught)
    {
        error = own_error_as_server_error(caught);
    }
    catch (...)
    {
        call([] { RollbackAndReleaseCurrentSubTransaction(); });
        MemoryContextSwitchTo(context);
        CurrentResourceOwner = owner;
        throw;
    }
    if (error)
        call([] { RollbackAndReleaseCurrentSubTransaction(); });
    MemoryContextSwitchTo(context);
    CurrentResourceOwner = owner;
    return error;
}

AsUser::AsUser(Oid user, bool restricted) : exceptions(std::uncaught_exceptions())
{
    GetUserIdAndSecContext(&saved_user, &saved_security_context);
    const int extra = SECURITY_LOCAL_USERID_CHANGE | (restricted ? SECURITY_RESTRICTED_OPERATION : 0);
    SetUserIdAndSecContext(user, saved_security_context | extra);
    guc_level = NewGUCNestLevel();
}

AsUser::~AsUser()
{
    // On an error the abort restores user and settings; before it, PostgreSQL may not be called.
    if (std::uncaught_exceptions() != exceptions)
        return;
    AtEOXact_GUC(false, guc_level);
    SetUserIdAndSecContext(saved_user, saved_security_context);
}

void set_local(const char *name, const char *value)
{
    call(
        [&]
        {
            // Most are as they should be already, and setting one costs more than looking.
            const char *const now = GetConfigOption(name, true, false);
            if (!now || std::strcmp(now, value) != 0)
                (void)set_config_option(name, value, PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
        });
}

std::span<const Setting> pinned_settings()
{
    static constexpr Setting pinned[] = {
        {"TimeZone", "UTC"},
        {"DateStyle", "ISO, YMD"},
        {"IntervalStyle", "postgres"},
        {"extra_float_digits", "1"},
        {"bytea_output", "hex"},
        {"xmlbinary", "base64"},
        {"xmloption", "content"},
        {"statement_timeout", "0"},
        {"row_security", "off"},
        {"lc_monetary", "C"},
        {"lc_numeric", "C"},
        {"lc_time", "C"},
        {"default_text_search_config", "pg_catalog.simple"},
        {"array_nulls", "on"},
        {"quote_all_identifiers", "off"},
        {"standard_conforming_strings", "on"},
        {"transform_null_equals", "off"},
    };
    return pinned;
}

namespace
{

bool session_is_pinned = false;

} // namespace

void surroundings_are_pinned(bool yes)
{
    session_is_pinned = yes;
}

void pin_surroundings(const std::string &search_path)
{
    if (!session_is_pinned)
        for (const auto &[name, value] : pinned_settings())
            set_local(name, value);
    set_local("search_path", search_path.c_str());
}

} // namespace pg
