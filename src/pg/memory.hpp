// Memory contexts with C++ lifetimes.
#pragma once

#include "pg/guard.hpp"

namespace pg
{

// A memory context that lives as long as this object. Create it in the scope that it serves; give a long-lived parent
// (TopMemoryContext) when it must outlive a transaction.
class OwnedContext
{
public:
    explicit OwnedContext(MemoryContext parent, const char *name = "pg_readmodel")
        : context(call([&] { return AllocSetContextCreateInternal(parent, name, ALLOCSET_DEFAULT_SIZES); }))
    {
    }
    OwnedContext(OwnedContext &&other) noexcept : context(std::exchange(other.context, nullptr)) {}
    OwnedContext &operator=(OwnedContext &&other) noexcept
    {
        std::swap(context, other.context);
        return *this;
    }
    ~OwnedContext()
    {
        if (context)
            MemoryContextDelete(context);
    }

    MemoryContext get() const { return context; }
    void reset() { MemoryContextReset(context); }
    size_t bytes() const { return MemoryContextMemAllocated(context, true); }

private:
    MemoryContext context;
};

// Makes a context current for a scope.
class InContext
{
public:
    explicit InContext(MemoryContext context) : previous(MemoryContextSwitchTo(context)) {}
    ~InContext() { MemoryContextSwitchTo(previous); }
    InContext(const InContext &) = delete;
    InContext &operator=(const InContext &) = delete;

private:
    MemoryContext previous;
};

} // namespace pg
