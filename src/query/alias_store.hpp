// The aliases of one generation: ids by which events name an instance without carrying its key. In memory by alias, and in a table
// beside the table of states, written in the same transaction.
//
// The lanes of a rebuild that is split all keep all aliases, each for itself and as of its own checkpoint: an alias that one of them
// meets may lead to an instance of another. When they are done all have the same ones, and the first one's stay.
#pragma once

#include "pg/spi.hpp"
#include "query/generation.hpp"

namespace query
{

class AliasStore
{
public:
    AliasStore(const Generation &generation, int share);

    // Looks up those of the names that are not known yet. `complete`: the table has nothing that is not in memory. Needs an SPI
    // connection.
    void load(std::span<const std::string> names, bool complete);

    // The instance that an alias stands for; empty: it stands for none. Known ones only.
    std::optional<std::string_view> find(std::string_view alias) const;
    // The aliases that stand for an instance. Known ones only.
    std::vector<std::string> of(std::string_view instance) const;
    void remember(std::string_view alias, std::string_view instance);
    void forget_aliases_of(std::string_view instance);

    // Writes what has changed, as the owner of the table. Needs an SPI connection.
    void write();
    // The transaction of write() has committed.
    void written();
    void forget();

    bool dirty() const { return !changed.empty() || !cleared.empty(); }
    std::size_t bytes() const { return used; }

private:
    struct Alias
    {
        std::string instance; // empty and !exists: stands for none
        bool exists = false;
        std::uint64_t made = 0; // when, in the order of changes; 0: as the table has it
        bool changed = false;
    };
    using Aliases = std::unordered_map<std::string, Alias>;

    bool valid(const Alias &alias) const;
    void look_up(const std::vector<std::string> &unknown);
    static void remove(const std::vector<std::string> &values, pg::Statement &statement);

    Oid owner = InvalidOid;
    std::string table;
    pg::Statement load_statement;
    pg::Statement upsert_statement;
    pg::Statement remove_statement;
    pg::Statement remove_instances_statement;

    Aliases aliases;
    std::unordered_set<std::string> changed;                // names whose alias the table does not have as it is
    std::unordered_map<std::string, std::uint64_t> cleared; // instances whose aliases of before are forgotten
    std::uint64_t changes = 0;
    std::size_t used = 0;
};

// The shares of a rebuild are finished: the aliases of the first one are the generation's. Needs an SPI connection.
void merge_aliases(const Generation &generation);

// The table of aliases of a generation, as the current user's. Returns its OID.
Oid create_alias_table(int32 generation_id);

} // namespace query
