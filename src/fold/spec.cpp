#include "fold/spec.hpp"

#include "fold/compile.hpp"
#include "fold/json.hpp"
#include "fold/program.hpp"

#include <algorithm>

namespace fold
{

SpecError::SpecError(std::string where, std::string found, std::string advice)
    : std::runtime_error("invalid spec at " + (where.empty() ? "the top level" : where)),
      pointer(std::move(where)),
      detail(std::move(found)),
      hint(std::move(advice))
{
}

Spec Spec::parse(std::string_view json)
{
    try
    {
        return Spec(compile(parse_json(json, max_spec_depth)));
    }
    catch (const JsonError &error)
    {
        std::string detail = error.what();
        throw SpecError(error.pointer, "It cannot be read as a spec: " + detail + ".");
    }
}

std::optional<std::vector<std::string>> Spec::event_types() const
{
    if (compiled->any)
        return std::nullopt;
    std::vector<std::string> types;
    for (const auto &handler : compiled->handlers)
        types.push_back(handler->type);
    std::ranges::sort(types);
    return types;
}

bool Spec::uses_aliases() const
{
    return compiled->uses_aliases;
}

namespace
{

bool reads_state(const Condition &condition)
{
    const auto one = [](const Expression &expression) { return expression.reads_state; };
    return condition.path.root == Root::state || std::ranges::any_of(condition.sides, one) ||
           std::ranges::any_of(condition.list, one) || std::ranges::any_of(condition.parts, reads_state);
}

bool changes_aliases(const Step &step)
{
    return step.alias || std::ranges::any_of(step.operations, [](const Operation &operation)
                                             { return operation.what == Operator::delete_instance; });
}

} // namespace

bool Spec::splittable() const
{
    const auto depends_on_state = [](const Step &step)
    { return changes_aliases(step) && step.when && reads_state(*step.when); };
    return !compiled->uses_aliases ||
           std::ranges::none_of(compiled->handlers, [&](const auto &handler)
                                { return std::ranges::any_of(handler->steps, depends_on_state); });
}

bool Spec::concerns_one_instance() const
{
    const auto one = [](const auto &handler)
    { return handler->keys.empty() || (handler->keys.size() == 1 && !handler->keys.front()->each); };
    return !compiled->uses_aliases && std::ranges::all_of(compiled->handlers, one);
}

bool Spec::reads_data() const
{
    return compiled->reads[static_cast<std::size_t>(Root::data)];
}

bool Spec::reads_metadata() const
{
    return compiled->reads[static_cast<std::size_t>(Root::metadata)];
}

bool Spec::reads_occurred_at() const
{
    return compiled->reads[static_cast<std::size_t>(Root::occurred_at)];
}

bool Spec::reads_stream() const
{
    return compiled->reads[static_cast<std::size_t>(Root::stream)];
}

} // namespace fold
