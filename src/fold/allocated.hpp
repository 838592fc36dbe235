// What a block of the heap really takes: glibc adds a header and rounds to 16 bytes.
#pragma once

#include <algorithm>
#include <cstddef>

namespace fold
{

inline std::size_t allocated(std::size_t bytes)
{
    return bytes == 0 ? 0 : std::max<std::size_t>(32, (bytes + 8 + 15) & ~std::size_t{15});
}

} // namespace fold
