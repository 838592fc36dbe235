// A position orders a source's events. It may start at 0 and have holes; "nothing yet" is an empty optional, never 0.
#pragma once

#include <cstdint>
#include <optional>

namespace source
{

using Position = std::int64_t;
using MaybePosition = std::optional<Position>;

// Nothing comes before every position.
inline bool before(const MaybePosition &a, const MaybePosition &b)
{
    return b && (!a || *a < *b);
}

} // namespace source
