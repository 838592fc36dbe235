// Instance ids between the text that a caller gives or sees, and the bytes that a fold knows them by.
#pragma once

#include "query/state_cache.hpp"

namespace query
{

// Throws 22P02 for a text that is no value of the type.
std::string id_bytes_of(KeyType type, const std::string &text);
std::string id_text_of(KeyType type, std::string_view bytes);

} // namespace query
