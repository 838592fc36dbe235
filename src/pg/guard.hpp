// The two borders between C++ and PostgreSQL.
//
// Outward (PostgreSQL calls us): every extern "C" entry is `return pg::entry([&] { .. });`. No C++ exception leaves it: it is
// caught, its catch block is left, and only then it is raised as a PostgreSQL error.
//
// Inward (we call PostgreSQL): `pg::call([&] { .. })` turns a PostgreSQL error into a PgError that carries the whole
// ErrorData. The lambda may hold only trivially destructible locals, since an ereport jumps over destructors. Guard a whole
// operation, not each tuple access.
//
// Catching a PgError does not clean up after it: propagate it, or abort the (sub)transaction, before PostgreSQL is called again.
#pragma once

#include "pg/postgres.hpp"

namespace pg
{

// Any error with an SQLSTATE: PostgreSQL's or our own.
class Failure : public std::exception
{
public:
    virtual int code() const noexcept = 0;
    std::string_view text() const noexcept { return what(); }
    virtual std::string_view more() const noexcept = 0; // the DETAIL; empty: there is none
    std::string code_text() const;
};

// A PostgreSQL error, whole, while it travels through C++. Copies share one ErrorData.
class PgError : public Failure
{
public:
    // Takes over `context`, in which `data` and all that it points to lives.
    PgError(MemoryContext context, ErrorData *data);

    const char *what() const noexcept override;

    int code() const noexcept override { return sqlstate(); }
    std::string_view more() const noexcept override { return data().detail ? data().detail : ""; }
    int sqlstate() const noexcept { return data().sqlerrcode; }
    std::string_view message() const noexcept;
    std::string sqlstate_text() const;
    const ErrorData &data() const noexcept { return *shared->data; }

    // Raises this error as PostgreSQL's. Call it outside of any catch block and with no C++ object alive in the frame.
    static void raise [[noreturn]] (MemoryContext context, ErrorData *data);

    // Hands the ErrorData out, for raise(). This object is empty afterwards.
    std::pair<MemoryContext, ErrorData *> release() noexcept;

private:
    struct Shared
    {
        MemoryContext context;
        ErrorData *data;
        ~Shared();
    };
    std::shared_ptr<Shared> shared;
};

// An error of our own, raised from C++. SQLSTATE by MAKE_SQLSTATE or ERRCODE_..
struct Error : public Failure
{
    int sqlstate;
    std::string message_text;
    std::string detail_text;
    std::string log_detail_text; // what the server's log has in place of the detail, where that quotes data
    std::string hint_text;

    Error(int state, std::string message) : sqlstate(state), message_text(std::move(message)) {}
    Error &&detail(std::string text) &&
    {
        detail_text = std::move(text);
        return std::move(*this);
    }
    Error &&log_detail(std::string text) &&
    {
        log_detail_text = std::move(text);
        return std::move(*this);
    }
    Error &&hint(std::string text) &&
    {
        hint_text = std::move(text);
        return std::move(*this);
    }
    int code() const noexcept override { return sqlstate; }
    std::string_view more() const noexcept override { return detail_text; }
    const char *what() const noexcept override { return message_text.c_str(); }
};

namespace detail
{

struct Raised
{
    MemoryContext context = nullptr;
    ErrorData *data = nullptr;
};

// Runs body(argument) with PostgreSQL's error jump caught. The result is empty if it returned.
Raised run_guarded(void (*body)(void *), void *argument);

// What a catch block keeps of an exception until the block is left. Plain memory: it is jumped over.
struct Outgoing
{
    enum class Kind
    {
        none,
        server,
        own,
        out_of_memory,
        unknown
    } kind = Kind::none;
    MemoryContext context = nullptr;
    ErrorData *data = nullptr;
    int sqlstate = 0;
    char message[1024];
    char detail[1024];
    char log_detail[1024];
    char hint[1024];

    void keep_current_exception() noexcept;
    void raise [[noreturn]] () const;
};

} // namespace detail

// Runs f() and turns a PostgreSQL error in it into PgError. f's result must be trivially destructible.
template <class F>
auto call(F &&f) -> decltype(f())
{
    using Result = decltype(f());
    if constexpr (std::is_void_v<Result>)
    {
        auto body = [](void *argument) { (*static_cast<std::remove_reference_t<F> *>(argument))(); };
        const detail::Raised raised = detail::run_guarded(body, const_cast<void *>(static_cast<const void *>(&f)));
        if (raised.data)
            throw PgError(raised.context, raised.data);
    }
    else
    {
        static_assert(std::is_trivially_destructible_v<Result>, "an ereport would jump over its destructor");
        struct Frame
        {
            std::remove_reference_t<F> *function;
            alignas(Result) unsigned char result[sizeof(Result)]; // NOLINT(bugprone-sizeof-expression): pointers too
        } frame{&f, {}};
        auto body = [](void *argument)
        {
            auto *inner = static_cast<Frame *>(argument);
            new (inner->result) Result((*inner->function)());
        };
        const detail::Raised raised = detail::run_guarded(body, &frame);
        if (raised.data)
            throw PgError(raised.context, raised.data);
        return *std::launder(reinterpret_cast<Result *>(frame.result));
    }
}

// Runs f() and raises whatever it throws as a PostgreSQL error. The only way out of C++.
template <class F>
auto entry(F &&f) -> decltype(f())
{
    detail::Outgoing outgoing;
    try
    {
        return f();
    }
    catch (...)
    {
        outgoing.keep_current_exception();
    }
    outgoing.raise();
}

// Like entry, for hooks and callbacks that must never raise: whatever f() throws is dropped.
template <class F>
void entry_silent(F &&f) noexcept
{
    try
    {
        f();
    }
    catch (...)
    {
    }
}

// A callback for the server's tree walkers, whose prototype leaves the arguments open.
template <class Result, class... Arguments>
auto any_function(Result (*function)(Arguments...)) -> Result (*)()
{
    return reinterpret_cast<Result (*)()>(reinterpret_cast<void *>(function));
}

// Throws 57P01 or 57014 if the session was asked to stop; otherwise cheap.
inline void check_for_interrupts()
{
    if (unlikely(InterruptPending))
        call([] { CHECK_FOR_INTERRUPTS(); });
}

// A check of our own, compiled in with -DREADMODEL_ASSERT.
#ifdef READMODEL_ASSERT
#define READMODEL_CHECK(condition)                                                                                     \
    do                                                                                                                 \
    {                                                                                                                  \
        if (!(condition))                                                                                              \
            throw ::pg::Error(ERRCODE_INTERNAL_ERROR, "check failed: " #condition);                                    \
    } while (0)
#else
#define READMODEL_CHECK(condition) static_cast<void>(0)
#endif

} // namespace pg
