#include "fold/words.hpp"

#include <algorithm>
#include <vector>

namespace fold
{

namespace
{

char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// The number of letters to change, add, drop or swap with their neighbour.
std::size_t distance(std::string_view a, std::string_view b)
{
    std::vector<std::vector<std::size_t>> rows(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
    for (std::size_t i = 0; i <= a.size(); ++i)
        rows[i][0] = i;
    for (std::size_t j = 0; j <= b.size(); ++j)
        rows[0][j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i)
    {
        for (std::size_t j = 1; j <= b.size(); ++j)
        {
            const std::size_t change = lower(a[i - 1]) == lower(b[j - 1]) ? 0 : 1;
            rows[i][j] = std::min({rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + change});
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]))
                rows[i][j] = std::min(rows[i][j], rows[i - 2][j - 2] + 1);
        }
    }
    return rows[a.size()][b.size()];
}

// What others call it.
struct Foreign
{
    std::string_view word;
    std::string_view ours;
    std::string_view advice = {}; // in place of "Perhaps you meant"
};

constexpr std::string_view negative = "There is no subtraction: use \"add\" with a negative number.";

constexpr Foreign foreign[] = {
    {"push", "append"},
    {"addtoset", "upsert"},
    {"pull", "remove"},
    {"slice", "keep"},
    {"last", "keep"},
    {"limit", "keep"},
    {"assign", "set"},
    {"replace", "set"},
    {"setoninsert", "default"},
    {"drop", "unset"},
    {"inc", "add"},
    {"incr", "add"},
    {"increment", "add"},
    {"plus", "add"},
    {"sum", "add"},
    {"count", "add", "To count, use \"add\" with 1."},
    {"sub", "add", negative},
    {"subtract", "add", negative},
    {"minus", "add", negative},
    {"dec", "add", negative},
    {"decr", "add", negative},
    {"decrement", "add", negative},
    {"if", "when"},
    {"where", "when"},
    {"filter", "when"},
    {"=", "eq"},
    {"==", "eq"},
    {"===", "eq"},
    {"equal", "eq"},
    {"equals", "eq"},
    {"!=", "ne"},
    {"!==", "ne"},
    {"<>", "ne"},
    {"neq", "ne"},
    {"<", "lt"},
    {"<=", "le"},
    {"lte", "le"},
    {">", "gt"},
    {">=", "ge"},
    {"gte", "ge"},
    {"&&", "and"},
    {"all", "and"},
    {"||", "or"},
    {"any", "or"},
    {"!", "not"},
    {"nin", "not", "Use \"not\" with \"in\"."},
    {"has", "exists"},
};

} // namespace

std::string quoted(std::string_view word)
{
    return "\"" + std::string(word) + "\"";
}

std::string listed(std::span<const std::string_view> words)
{
    std::string result;
    for (std::size_t i = 0; i < words.size(); ++i)
    {
        if (i > 0)
            result += i + 1 == words.size() ? " or " : ", ";
        result += quoted(words[i]);
    }
    return result;
}

std::string_view nearest(std::string_view word, std::span<const std::string_view> known)
{
    constexpr std::size_t farthest = 2;
    std::string_view best;
    std::size_t best_distance = farthest + 1;
    for (const std::string_view candidate : known)
    {
        if (word.size() > candidate.size() + farthest)
            continue;
        const std::size_t changes = distance(word, candidate);
        if (changes < best_distance && 2 * changes < std::max(word.size(), candidate.size()))
        {
            best = candidate;
            best_distance = changes;
        }
    }
    return best;
}

std::string suggestion(std::string_view word, std::span<const std::string_view> known)
{
    std::string own(word.substr(word.starts_with('$') ? 1 : 0)); // "$inc"
    std::ranges::transform(own, own.begin(), lower);
    for (const Foreign &each : foreign)
        if (each.word == own && std::ranges::find(known, each.ours) != known.end())
            return each.advice.empty() ? "Perhaps you meant " + quoted(each.ours) + "." : std::string(each.advice);
    const std::string_view best = nearest(word, known);
    return best.empty() ? "" : "Perhaps you meant " + quoted(best) + ".";
}

} // namespace fold
