// What all operations have in common: how an error names them, and what a value weighs.
#pragma once

#include "fold/program.hpp"
#include "fold/updater.hpp"

namespace fold
{

// What an operation does, for messages, as in "cannot add "$.amount" to "total"". `value` may be empty.
std::string describe(const Operation &operation, const std::string &value);

// "cannot ..: it is .., not .."; these throw an UpdaterError. They are rare, and not to be in the way of the code that calls them.
[[noreturn, gnu::cold]] void refuse_target(const Operation &operation, Kind found, std::string_view allowed);
[[noreturn, gnu::cold]] void refuse_value(const Operation &operation, Kind found, std::string_view allowed);
[[noreturn, gnu::cold]] void refuse_name(const Expression &name, const Target &target, Kind found);

inline std::ptrdiff_t signed_bytes(const Value &value)
{
    return static_cast<std::ptrdiff_t>(value.bytes());
}

// What a value is apart from the block that it lies in; nothing for most scalars, so this is cheap where it is called.
inline std::ptrdiff_t signed_own_bytes(const Value &value)
{
    return static_cast<std::ptrdiff_t>(value.own_bytes());
}

inline std::ptrdiff_t name_bytes(std::string_view name)
{
    return static_cast<std::ptrdiff_t>(Value::text_bytes(name.size()));
}

} // namespace fold
