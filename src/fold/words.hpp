// Words of the language in messages: lists of them, and the one that a misspelt word is nearest to.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace fold
{

std::string quoted(std::string_view word);
// "a", "b" or "c"
std::string listed(std::span<const std::string_view> words);
// The known word that is at most two changes away (of letters, or two letters swapped), and by less than half of the
// longer one; empty if there is none.
std::string_view nearest(std::string_view word, std::span<const std::string_view> known);
// Perhaps you meant "add". For a word that other languages have for a known one, too. Or nothing.
std::string suggestion(std::string_view word, std::span<const std::string_view> known);

} // namespace fold
