// A declarative updater: a spec that the fold library applies to the trees in the cache.
#pragma once

#include "query/alias_store.hpp"
#include "query/jsonb_reader.hpp"
#include "query/page_updater.hpp"

namespace query
{

class SpecUpdater : public PageUpdater, private fold::Host
{
public:
    SpecUpdater(const Generation &generation, StateCache &cache, InstanceShare share);

    void select(const source::EventPage &page, const MaybePosition &cursor, bool complete, PassOverPage &pass) override;
    bool empty() const override { return selected.empty(); }
    std::size_t first() const override { return selected.front().index; }
    void load_references(bool complete) override;
    void apply(const source::EventPage &page, PassOverPage &pass) override;

    void write() override;
    void written(bool keep) override;
    void forget() override;
    bool dirty() const override { return aliases && aliases->dirty(); }
    std::size_t bytes() const override { return aliases ? aliases->bytes() : 0; }
    std::vector<std::string> aliases_of(std::string_view instance) const override;
    std::optional<std::string> instance_of(const std::string &alias) const override;

private:
    // An event of a type that the spec covers, its columns unpacked: nothing of PostgreSQL is called while it is read.
    struct Selected
    {
        std::size_t index;        // in the page
        StateCache::Entry *entry; // of its first instance here; null: it is named by an alias
        bool alone;               // which is the only one that it concerns
        fold::Event event;
    };

    void unpack(const EventValues &values, std::size_t index, fold::Event &event) const;
    void unpack_events(const source::EventPage &page, const MaybePosition &cursor, PassOverPage &pass);
    void collect_keys(const source::EventPage &page, PassOverPage &pass);

    // The fold library's way to the states.
    fold::Instance *instance(std::string_view id) override;
    std::string id_of(const fold::Instance &instance) const override;
    std::optional<std::string> alias(std::string_view alias) override;
    void remember(std::string_view alias, std::string_view id) override;
    void forget_aliases_of(std::string_view id) override;

    fold::Spec spec;
    fold::Updater updater;
    const struct
    {
        bool data;
        bool metadata;
        bool stream;
        bool occurred_at;
    } reads;
    JsonbReader reader;
    std::optional<AliasStore> aliases; // of a spec that uses them
    std::vector<Selected> selected;
    std::string id_text;               // the ids that the page's events name, one after the other ..
    std::vector<std::size_t> id_ends;  // .. and where each ends
    std::vector<std::string> names;    // of aliases that the page follows
    StateCache::Entry *hint = nullptr; // of the event in hand
    bool all_in_cache = false;         // what is not in the cache does not exist
    Position position = 0;             // of the event in hand
    bool concerned = false;            // it concerns an instance ..
    bool counted = false;              // .. and is counted here
    fold::Changes changes;
};

} // namespace query
