// A host in memory, and events and states written as JSON.
#pragma once

#include "fold/json.hpp"
#include "fold/spec.hpp"
#include "fold/updater.hpp"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace fold_test
{

// An event whose parts it owns. Its document has the members that a function updater's event has.
class TestEvent
{
public:
    // An event may be nested deeper than a state.
    explicit TestEvent(std::string_view json) : document(fold::parse_json(json, 2 * fold::max_depth))
    {
        event.reader = &fold::TreeReader::get();
        event.data = part("data");
        event.metadata = part("metadata");
        event.occurred_at = part("occurredAt");
        event.type = part("type");
        event.stream = part("stream");
        if (const fold::Value *position = document.find("position"))
            event.position = static_cast<std::int64_t>(position->number().coefficient());
    }
    TestEvent(std::string_view type, std::string_view data, std::int64_t position = 1)
        : TestEvent(R"({"type":")" + std::string(type) + R"(","position":)" + std::to_string(position) +
                    (data.empty() ? "" : R"(,"data":)" + std::string(data)) + "}")
    {
    }

    operator const fold::Event &() const { return event; }

private:
    fold::View part(std::string_view name) const
    {
        const fold::Value *value = document.find(name);
        return value ? fold::TreeReader::view(*value) : fold::View{};
    }

    fold::Value document;
    fold::Event event;
};

class MemoryHost final : public fold::Host
{
public:
    // With strict ones, an instance that no collect() has asked for is an error of the test.
    fold::Instance *instance(std::string_view id) override
    {
        if (strict && !wanted.contains(std::string(id)))
            throw std::logic_error("the instance " + std::string(id) + " was not asked for");
        auto &slot = instances[std::string(id)];
        if (!slot)
            slot = std::make_unique<fold::Instance>();
        return slot.get();
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

    void set_state(const std::string &id, std::string_view json)
    {
        fold::Instance &slot = *MemoryHost::instance(id);
        slot.state = fold::parse_json(json);
        slot.exists = true;
        slot.bytes = slot.state.bytes();
    }
    // All states and aliases.
    std::string text() const
    {
        std::string result;
        for (const auto &[id, slot] : instances)
            if (slot->exists)
                result.append(id).append(" ").append(fold::to_json(slot->state)).append("\n");
        for (const auto &[alias, id] : aliases)
            result.append(alias).append(" -> ").append(id).append("\n");
        return result;
    }
    std::size_t bytes() const
    {
        std::size_t sum = 0;
        for (const auto &[id, slot] : instances)
            sum += slot->state.bytes();
        return sum;
    }

    bool strict = false;
    std::set<std::string> wanted;
    std::map<std::string, std::unique_ptr<fold::Instance>> instances;
    std::map<std::string, std::string> aliases;
};

class WantedByHost final : public fold::Collector
{
public:
    explicit WantedByHost(MemoryHost &h) : host(h) {}
    void id(std::string_view id) override { host.wanted.emplace(id); }
    void alias(std::string_view alias) override
    {
        if (const auto id = host.alias(alias))
            host.wanted.insert(*id);
    }

private:
    MemoryHost &host;
};

// One step on the instance "x": the state after it, "deleted", or the error.
struct Applied
{
    std::string state; // as JSON; empty: there is none
    std::string error;
    bool limit = false;
    bool changed = false;
};

inline Applied apply_spec(std::string_view spec_json, std::string_view before, const fold::Event &event)
{
    const fold::Spec spec = fold::Spec::parse(spec_json);
    fold::Updater updater(spec);
    MemoryHost host;
    if (!before.empty())
        host.set_state("x", before);
    const std::size_t bytes = host.bytes();
    fold::Changes changes;
    Applied result;
    try
    {
        updater.apply(event, host, changes);
    }
    catch (const fold::UpdaterError &error)
    {
        result.error = error.what();
        result.limit = error.limit;
    }
    // What the updater says of the memory is always what is there.
    EXPECT_EQ(static_cast<std::ptrdiff_t>(host.bytes() - bytes), changes.bytes);
    for (const auto &[id, instance] : host.instances)
    {
        EXPECT_EQ(instance->bytes, instance->state.bytes());
        EXPECT_EQ(instance->state.is(fold::Kind::object), instance->exists);
    }
    result.changed = !changes.instances.empty();
    const fold::Instance &instance = *host.instance("x");
    if (instance.exists)
        result.state = fold::to_json(instance.state);
    return result;
}

// step: what "on" says of the type "E", with "x" as its instance; data: the event's.
inline Applied apply_step(std::string_view step, std::string_view before, std::string_view data)
{
    return apply_spec(R"({"key":"x","on":{"E":)" + std::string(step) + "}}", before, TestEvent("E", data));
}

} // namespace fold_test
