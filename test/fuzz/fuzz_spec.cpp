// Any bytes as a spec: it is refused with a place that is one, or its canonical form is a spec that means the same.
#include "fold/json.hpp"
#include "fold/spec.hpp"

#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    try
    {
        const fold::Spec spec = fold::Spec::parse({reinterpret_cast<const char *>(data), size});
        const fold::Spec again = fold::Spec::parse(spec.canonical());
        if (again.canonical() != spec.canonical() || again.event_types() != spec.event_types() ||
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
