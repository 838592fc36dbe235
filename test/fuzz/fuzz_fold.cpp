// Random events against random specs. The bytes decide every choice, so that each input is one run. What must hold:
//  - an event is folded, or it is an updater error and everything is as it was before;
//  - what the updater says of the memory is what is there, states are objects, not too deep, and print as what they are;
//  - nothing is asked of the host that collect() did not announce;
//  - two updaters that share the events at any point give the same as one (H6: any batch size and split).
#include "generator.hpp"

#include "fold/json.hpp"
#include "fold/spec.hpp"
#include "fold/updater.hpp"

#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>

namespace
{

using fold_fuzz::Choices;
using fold_fuzz::Generator;

void require(bool holds)
{
    if (!holds)
        std::abort();
}

class Host final : public fold::Host
{
public:
    fold::Instance *instance(std::string_view id) override
    {
        const auto found = instances.find(std::string(id));
        require(found != instances.end());
        return found->second.get();
    }
    std::string id_of(const fold::Instance &instance) const override
    {
        for (const auto &[id, slot] : instances)
            if (slot.get() == &instance)
                return id;
        return "unknown";
    }
    std::optional<std::string> alias(std::string_view alias) override
    {
        const auto found = aliases.find(std::string(alias));
        return found == aliases.end() ? std::nullopt : std::optional(found->second);
    }
    void remember(std::string_view alias, std::string_view id) override
    {
        aliases[std::string(alias)] = std::string(id);
    }
    void forget_aliases_of(std::string_view id) override
    {
        std::erase_if(aliases, [&](const auto &each) { return each.second == id; });
    }

    void load(std::string_view id)
    {
        auto &slot = instances[std::string(id)];
        if (!slot)
            slot = std::make_unique<fold::Instance>();
    }
    std::string states() const
    {
        std::string result;
        for (const auto &[id, instance] : instances)
            if (instance->exists)
                result += id + " " + fold::to_json(instance->state) + "\n";
        return result;
    }
    std::string text() const
    {
        std::string result = states();
        for (const auto &[alias, id] : aliases)
            result += alias + " -> " + id + "\n";
        return result;
    }
    std::ptrdiff_t bytes() const
    {
        std::size_t sum = 0;
        for (const auto &[id, instance] : instances)
            sum += instance->state.bytes();
        return static_cast<std::ptrdiff_t>(sum);
    }
    void check() const
    {
        for (const auto &[id, instance] : instances)
        {
            require(instance->state.is(instance->exists ? fold::Kind::object : fold::Kind::missing));
            require(instance->bytes == instance->state.bytes());
            require(instance->state.depth() <= fold::max_depth);
            require(!instance->exists || fold::parse_json(fold::to_json(instance->state)).identical(instance->state));
        }
    }

private:
    std::map<std::string, std::unique_ptr<fold::Instance>> instances;
    std::map<std::string, std::string> aliases;
};

class Loader final : public fold::Collector
{
public:
    explicit Loader(Host &h) : host(h) {}
    void id(std::string_view id) override { host.load(id); }
    void alias(std::string_view alias) override
    {
        if (const auto id = host.alias(alias))
            host.load(*id);
    }

private:
    Host &host;
};

// False: an error, and nothing has changed.
bool fold_one(fold::Updater &updater, const fold::Event &event, Host &host)
{
    Loader loader(host);
    fold::Changes changes;
    const std::string before = host.text();
    const std::string states = host.states();
    const std::ptrdiff_t bytes = host.bytes();
    bool folded = true;
    try
    {
        updater.collect(event, loader);
        updater.apply(event, host, changes);
        require(!changes.instances.empty() || host.states() == states);
    }
    catch (const fold::UpdaterError &)
    {
        require(host.text() == before);
        require(changes.instances.empty());
        folded = false;
    }
    require(host.bytes() - bytes == changes.bytes);
    host.check();
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
    const int events = 1 + choices.up_to(12);
    const int split = choices.up_to(12);
    for (int i = 0; i < events; ++i)
    {
        const fold_fuzz::Event event = generate.event(i);
        const bool folded = fold_one(one, event.view(), host);
        require(fold_one(i < split ? first : second, event.view(), shared) == folded);
        require(shared.text() == host.text());
    }
    return 0;
}
