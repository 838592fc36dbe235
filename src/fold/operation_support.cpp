#include "fold/operation_support.hpp"

#include "fold/operations.hpp"
#include "fold/words.hpp"

#include <array>

namespace fold
{

namespace
{

// The parts of "cannot add 5 to "total"".
struct Wording
{
    std::string_view verb;
    std::string_view preposition;
};

constexpr std::array<Wording, 12> wordings = {{{"default", ""},
                                               {"set", ""},
                                               {"unset", ""},
                                               {"merge", "into"},
                                               {"add", "to"},
                                               {"apply min", "to"},
                                               {"apply max", "to"},
                                               {"append", "to"},
                                               {"upsert", "into"},
                                               {"remove", "from"},
                                               {"keep the last of", ""},
                                               {"delete", ""}}};

} // namespace

std::string describe(const Operation &operation, const std::string &value)
{
    const Wording &wording = wordings[static_cast<std::size_t>(operation.what)];
    std::string result(wording.verb);
    if (!value.empty())
        result.append(" ").append(value);
    if (!wording.preposition.empty())
        result.append(" ").append(wording.preposition);
    if (!operation.target.text.empty())
        result.append(" ").append(quoted(operation.target.text));
    return result;
}

std::string describe(const Operation &operation)
{
    return describe(operation, "");
}

void refuse_target(const Operation &operation, Kind found, std::string_view allowed)
{
    throw UpdaterError("cannot " + describe(operation) + ": it is " + std::string(describe(found)) + ", not " +
                       std::string(allowed));
}

void refuse_value(const Operation &operation, Kind found, std::string_view allowed)
{
    throw UpdaterError("cannot " + describe(operation, operation.value.text) + ": the value is " +
                       std::string(describe(found)) + ", not " + std::string(allowed));
}

void refuse_name(const Expression &name, const Target &target, Kind found)
{
    throw UpdaterError("cannot name a member of \"" + target.text + "\" by " + name.text + ": it is " +
                       std::string(describe(found)) + ", not text or a number");
}

} // namespace fold
