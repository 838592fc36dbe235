#include "query/splitting.hpp"

#include "query/parse_spec.hpp"

namespace query
{

Splitting splitting_of(const Definition &definition, bool skip_errors)
{
    if (!definition.spec)
        return skip_errors && definition.key_is_array ? Splitting::all_lanes_skip : Splitting::possible;
    const fold::Spec spec = parse_spec(*definition.spec);
    if (!spec.splittable())
        return Splitting::state_decides;
    return skip_errors && !spec.concerns_one_instance() ? Splitting::all_lanes_skip : Splitting::possible;
}

} // namespace query
