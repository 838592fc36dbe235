#include "pg/guard.hpp"

namespace pg
{

PgError::PgError(MemoryContext context, ErrorData *data) : shared(new Shared{context, data}) {}

PgError::Shared::~Shared()
{
    if (context)
        MemoryContextDelete(context);
}

const char *PgError::what() const noexcept
{
    return shared && shared->data && shared->data->message ? shared->data->message : "unknown error";
}

std::string_view PgError::message() const noexcept
{
    return what();
}

std::string Failure::code_text() const
{
    return unpack_sql_state(code());
}

std::string PgError::sqlstate_text() const
{
    return unpack_sql_state(sqlstate());
}

std::pair<MemoryContext, ErrorData *> PgError::release() noexcept
{
    return {std::exchange(shared->context, nullptr), shared->data};
}

void PgError::raise(MemoryContext context, ErrorData *data)
{
    // ReThrowError copies the error into ErrorContext and jumps; as a child of ErrorContext our copy goes when the error is flushed.
    MemoryContextSetParent(context, ErrorContext);
    ReThrowError(data);
    pg_unreachable();
}

namespace detail
{

// The jump buffer lives in a frame of its own, so that no caller's local is in a register when the jump comes.
__attribute__((noinline)) Raised run_guarded(void (*body)(void *), void *argument)
{
    sigjmp_buf *const saved_stack = PG_exception_stack;
    ErrorContextCallback *const saved_callbacks = error_context_stack;
    const MemoryContext saved_context = CurrentMemoryContext;
    sigjmp_buf jump;

    if (sigsetjmp(jump, 0) == 0)
    {
        PG_exception_stack = &jump;
        try
        {
            body(argument);
        }
        catch (...)
        {
            PG_exception_stack = saved_stack;
            error_context_stack = saved_callbacks;
            throw;
        }
        PG_exception_stack = saved_stack;
        error_context_stack = saved_callbacks;
        return {};
    }

    // An error while the error is copied goes to the next guard outward: there is nothing left to save here.
    PG_exception_stack = saved_stack;
    error_context_stack = saved_callbacks;
    Raised raised;
    raised.context = AllocSetContextCreate(TopMemoryContext, "pg_readmodel error", ALLOCSET_SMALL_SIZES);
    MemoryContextSwitchTo(raised.context);
    raised.data = CopyErrorData();
    FlushErrorState();
    MemoryContextSwitchTo(saved_context);
    return raised;
}

namespace
{

void copy_text(char (&target)[1024], const std::string &text)
{
    // Cut at a character border: the message must stay valid in the server's encoding.
    const int length = text.size() < sizeof target ? static_cast<int>(text.size())
                                                   : pg_mbcliplen(text.data(), static_cast<int>(text.size()),
                                                                  static_cast<int>(sizeof target) - 1);
    std::memcpy(target, text.data(), static_cast<size_t>(length));
    target[length] = '\0';
}

} // namespace

void Outgoing::keep_current_exception() noexcept
{
    message[0] = detail[0] = log_detail[0] = hint[0] = '\0';
    try
    {
        throw;
    }
    catch (PgError &error)
    {
        kind = Kind::server;
        std::tie(context, data) = error.release();
    }
    catch (const Error &error)
    {
        kind = Kind::own;
        sqlstate = error.sqlstate;
        copy_text(message, error.message_text);
        copy_text(detail, error.detail_text);
        copy_text(log_detail, error.log_detail_text);
        copy_text(hint, error.hint_text);
    }
    catch (const std::bad_alloc &)
    {
        kind = Kind::out_of_memory;
    }
    catch (const std::exception &error)
    {
        kind = Kind::own;
        sqlstate = ERRCODE_INTERNAL_ERROR;
        copy_text(message, error.what());
    }
    catch (...)
    {
        kind = Kind::unknown;
    }
}

void Outgoing::raise() const
{
    switch (kind)
    {
    case Kind::server:
        PgError::raise(context, data);
    case Kind::own:
        ereport(ERROR,
                (errcode(sqlstate), errmsg_internal("%s", message), detail[0] ? errdetail_internal("%s", detail) : 0,
                 log_detail[0] ? errdetail_log("%s", log_detail) : 0, hint[0] ? errhint("%s", hint) : 0));
        break;
    case Kind::out_of_memory:
        ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
        break;
    case Kind::none:
    case Kind::unknown:
        break;
    }
    ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("pg_readmodel raised an unknown exception")));
    pg_unreachable();
}

} // namespace detail

} // namespace pg
