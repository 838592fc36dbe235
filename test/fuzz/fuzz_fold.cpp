// Random events against random specs. The bytes decide every choice, so that each input is one run. What must hold:
//  - an event is folded, or it is an updater error and everything is as it was before;
//  - what the updater says of the memory is what is there, states are objects, not too deep, and print as what they are;
//  - nothing is asked of the host that collect() did not announce;
//  - two updaters that share the events at any point give the same as one (H6: any batch size and split).
#include "fold_support_fuzz.hpp"

#include "fold/json.hpp"
#include "fold/spec.hpp"
#include "fold/updater.hpp"

#include <cstdint>
#include <cstdlib>
#include <memory>

namespace
{

using fold_fuzz::Choices;
using fold_fuzz::Generator;
using fold_fuzz::Host;

void require(bool holds)
{
    if (!holds)
        std::abort();
}

void check(const Host &host)
{
    for (const auto &[id, instance] : host.instances)
    {
        require(instance->exists == instance->state.is(fold::Kind::object));
        require(instance->exists || instance->state.is(fold::Kind::missing));
        require(instance->bytes == instance->state.bytes());
        require(instance->state.depth() <= fold::max_depth);
        if (!instance->exists)
            continue;
        const fold::Value again = fold::parse_json(fold::to_json(instance->state));
        require(again.identical(instance->state));
    }
}

// False: an error, and nothing has changed.
bool fold_one(fold::Updater &updater, const fold::Event &event, Host &host, fold::Changes &changes)
{
    const std::string before = host.text();
    const auto bytes = static_cast<std::ptrdiff_t>(host.bytes());
    bool folded = true;
    try
    {
        updater.collect(event, host);
        updater.apply(event, host, changes);
        require(!changes.instances.empty() || host.states() == before.substr(0, before.find('\n')));
    }
    catch (const fold::UpdaterError &error)
    {
        require(*error.what() != '\0');
        require(host.text() == before);
        folded = false;
    }
    require(static_cast<std::ptrdiff_t>(host.bytes()) - bytes == (folded || !changes.instances.empty() ? changes.bytes : host.taken(changes)));
    return folded;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    Choices choices(data, size);
    Generator generate(choices);
    const std::string json = generate.spec();
    std::unique_ptr<fold::Spec> spec;
    try
    {
        spec = std::make_unique<fold::Spec>(fold::Spec::parse(json));
    }
    catch (const fold::SpecError &)
    {
        return 0;
    }
    fold::Updater one(*spec);
    Host host;
    fold::Updater first(*spec);
    fold::Updater second(*spec);
    Host shared;
    fold::Changes changes;
    const int events = 1 + choices.up_to(12);
    const int split = choices.up_to(12);
    for (int i = 0; i < events; ++i)
    {
        const fold_fuzz::Event event = generate.event(i);
        const bool folded = fold_one(one, event.view(), host, changes);
        check(host);
        require(fold_one(i < split ? first : second, event.view(), shared, changes) == folded);
        require(shared.text() == host.text());
    }
    return 0;
}
