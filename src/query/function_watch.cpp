#include "query/function_watch.hpp"

namespace query
{

namespace
{

// Of this process. Invalidation callbacks may not do more than count.
uint64 functions = 0;
uint64 types = 0;

void on_function_change(Datum, int, uint32)
{
    functions++;
}

void on_type_change(Datum, int, uint32)
{
    types++;
}

void watch()
{
    static bool registered = false;
    if (registered)
        return;
    pg::call(
        []
        {
            CacheRegisterSyscacheCallback(PROCOID, on_function_change, 0);
            CacheRegisterSyscacheCallback(TYPEOID, on_type_change, 0);
        });
    registered = true;
}

} // namespace

uint64 function_changes()
{
    watch();
    return functions;
}

uint64 function_and_type_changes()
{
    watch();
    return functions + types;
}

} // namespace query
