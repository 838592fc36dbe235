// Any bytes as a spec: it is refused with a place that is one, or the same document written anew is a spec that means the same.
#include "fold/json.hpp"
#include "fold/spec.hpp"

#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    try
    {
        const fold::Spec spec = fold::Spec::parse({reinterpret_cast<const char *>(data), size});
        const fold::Value document = fold::parse_json({reinterpret_cast<const char *>(data), size});
        const fold::Spec again = fold::Spec::parse(fold::to_json(document));
        if (again.event_types() != spec.event_types() || again.splittable() != spec.splittable() ||
            again.reads_data() != spec.reads_data() || again.uses_aliases() != spec.uses_aliases())
            std::abort();
    }
    catch (const fold::SpecError &error)
    {
        if ((!error.pointer.empty() && error.pointer.front() != '/') || error.detail.empty() ||
            error.detail.back() != '.')
            std::abort();
    }
    return 0;
}
