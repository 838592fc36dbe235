#include "query/alias_store.hpp"

#include "pg/memory.hpp"
#include "pg/transaction.hpp"
#include "query/catalog.hpp"

namespace query
{

namespace
{

// What an alias costs in memory beside its texts.
constexpr std::size_t alias_overhead = 160;

constexpr std::size_t portion = 10'000;

Datum texts(std::span<const std::string> values)
{
    return pg::call(
        [&]
        {
            auto *const datums = static_cast<Datum *>(palloc(values.size() * sizeof(Datum)));
            for (std::size_t i = 0; i < values.size(); i++)
                datums[i] =
                    PointerGetDatum(cstring_to_text_with_len(values[i].data(), static_cast<int>(values[i].size())));
            return PointerGetDatum(
                construct_array(datums, static_cast<int>(values.size()), TEXTOID, -1, false, TYPALIGN_INT));
        });
}

// As the table's owner: its indexes, constraints and triggers are his code.
class AsTableOwner
{
public:
    explicit AsTableOwner(Oid owner) : user(owner, true)
    {
        pg::set_local("search_path", "pg_catalog, pg_temp");
        pg::set_local("row_security", "off");
        pg::set_local("enable_seqscan", "off"); // as for states: rows are looked for by indexed columns only
    }

private:
    pg::AsUser user;
};

template <class F>
void by_portions(const std::vector<std::string> &values, F &&f)
{
    for (std::size_t from = 0; from < values.size(); from += portion)
        f(std::span(values).subspan(from, std::min(portion, values.size() - from)));
}

} // namespace

AliasStore::AliasStore(const Generation &generation, int share)
    : owner(generation.owner),
      table(pg::relation_name(generation.alias_table)),
      load_statement("SELECT alias, instance FROM " + table + " WHERE share = " + std::to_string(share) +
                     " AND alias = ANY ($1)"),
      upsert_statement("INSERT INTO " + table + " (share, alias, instance) SELECT " + std::to_string(share) +
                       ", alias, instance FROM ROWS FROM (pg_catalog.unnest($1),"
                       " pg_catalog.unnest($2)) AS changed (alias, instance)"
                       " ON CONFLICT (alias, share) DO UPDATE SET instance = EXCLUDED.instance RETURNING 1"),
      remove_statement("DELETE FROM " + table + " WHERE share = " + std::to_string(share) + " AND alias = ANY ($1)"),
      remove_instances_statement("DELETE FROM " + table + " WHERE share = " + std::to_string(share) +
                                 " AND instance = ANY ($1)")
{
}

void AliasStore::load(std::span<const std::string> names, bool complete)
{
    std::vector<std::string> unknown;
    for (const std::string &name : names)
        if (aliases.try_emplace(name).second)
        {
            used += alias_overhead + name.size();
            unknown.push_back(name);
        }
    if (complete || unknown.empty())
        return;
    std::sort(unknown.begin(), unknown.end());
    try
    {
        look_up(unknown);
    }
    catch (...)
    {
        for (const std::string &name : unknown)
            aliases.erase(name); // nothing is known of them
        throw;
    }
}

void AliasStore::look_up(const std::vector<std::string> &unknown)
{
    const AsTableOwner as_owner(owner);
    const pg::OwnedContext scratch(CurrentMemoryContext, "pg_readmodel aliases");
    by_portions(unknown,
                [&](std::span<const std::string> some)
                {
                    pg::Args args;
                    {
                        const pg::InContext in(scratch.get());
                        args.add(TEXTARRAYOID, texts(some));
                    }
                    pg::Rows rows = load_statement.execute(args, true);
                    for (uint64 row = 0; row < rows.size(); row++)
                    {
                        // Whoever has altered the table may get other rows.
                        const auto found = aliases.find(rows.text(row, 1).value_or(""));
                        const std::optional<std::string> instance = rows.text(row, 2);
                        if (found == aliases.end() || !instance)
                            continue;
                        found->second.instance = *instance;
                        found->second.exists = true;
                        used += instance->capacity();
                    }
                    rows.free();
                });
}

bool AliasStore::valid(const Alias &alias) const
{
    if (!alias.exists)
        return false;
    if (cleared.empty())
        return true;
    const auto at = cleared.find(alias.instance);
    return at == cleared.end() || at->second < alias.made;
}

std::optional<std::string_view> AliasStore::find(std::string_view alias) const
{
    const auto at = aliases.find(std::string(alias));
    if (at == aliases.end() || !valid(at->second))
        return std::nullopt;
    return at->second.instance;
}

std::vector<std::string> AliasStore::of(std::string_view instance) const
{
    std::vector<std::string> names;
    for (const auto &[name, alias] : aliases)
        if (valid(alias) && alias.instance == instance)
            names.push_back(name);
    return names;
}

void AliasStore::remember(std::string_view name, std::string_view instance)
{
    const auto [at, made] = aliases.try_emplace(std::string(name));
    Alias &alias = at->second;
    if (made)
        used += alias_overhead + name.size();
    else if (alias.instance == instance && valid(alias))
        return;
    used += instance.size();
    alias.instance.assign(instance);
    alias.exists = true;
    alias.made = ++changes;
    if (!alias.changed)
    {
        alias.changed = true;
        changed.insert(at->first);
    }
}

void AliasStore::forget_aliases_of(std::string_view instance)
{
    const auto [at, made] = cleared.try_emplace(std::string(instance));
    if (made)
        used += alias_overhead + instance.size();
    at->second = ++changes;
}

void AliasStore::remove(const std::vector<std::string> &values, pg::Statement &statement)
{
    by_portions(values,
                [&](std::span<const std::string> some)
                {
                    const pg::OwnedContext scratch(CurrentMemoryContext, "pg_readmodel aliases");
                    pg::Args args;
                    {
                        const pg::InContext in(scratch.get());
                        args.add(TEXTARRAYOID, texts(some));
                    }
                    statement.execute(args).free();
                });
}

void AliasStore::write()
{
    if (!dirty())
        return;
    const AsTableOwner as_owner(owner);
    // In the order of the index, each.
    std::vector<std::string> instances;
    for (const auto &[instance, when] : cleared)
        instances.push_back(instance);
    std::sort(instances.begin(), instances.end());
    remove(instances, remove_instances_statement);

    std::vector<std::string> gone;
    std::vector<std::string> names;
    for (const std::string &name : changed)
        (valid(aliases.at(name)) ? names : gone).push_back(name);
    std::sort(gone.begin(), gone.end());
    std::sort(names.begin(), names.end());
    remove(gone, remove_statement);

    by_portions(names,
                [&](std::span<const std::string> some)
                {
                    std::vector<std::string> targets;
                    for (const std::string &name : some)
                        targets.push_back(aliases.at(name).instance);
                    const pg::OwnedContext scratch(CurrentMemoryContext, "pg_readmodel aliases");
                    pg::Args args;
                    {
                        const pg::InContext in(scratch.get());
                        args.add(TEXTARRAYOID, texts(some)).add(TEXTARRAYOID, texts(targets));
                    }
                    pg::Rows rows = upsert_statement.execute(args);
                    if (rows.size() != some.size())
                        throw pg::Error(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION,
                                        "aliases in table " + table + " were not all written")
                            .detail(std::to_string(some.size()) + " rows were to be written, " +
                                    std::to_string(rows.size()) + " were.")
                            .hint("A trigger or rule keeps them. Drop it.");
                    rows.free();
                });
}

void AliasStore::written()
{
    if (!cleared.empty())
        for (auto &[name, alias] : aliases)
            if (alias.exists && !valid(alias))
                alias = Alias();
    for (const std::string &name : changed)
    {
        Alias &alias = aliases.at(name);
        alias.changed = false;
        alias.made = 0;
    }
    changed.clear();
    cleared.clear();
    changes = 0;
}

void AliasStore::forget()
{
    aliases.clear();
    changed.clear();
    cleared.clear();
    changes = 0;
    used = 0;
}

void merge_aliases(const Generation &generation)
{
    if (!OidIsValid(generation.alias_table))
        return;
    const AsTableOwner as_owner(generation.owner);
    pg::execute("DELETE FROM " + pg::relation_name(generation.alias_table) + " WHERE share <> 0");
}

Oid create_alias_table(int32 generation_id)
{
    const std::string name = "a_" + std::to_string(generation_id);
    const std::string owner = pg::quoted(
        std::string_view(pg::call([] { return static_cast<const char *>(GetUserNameFromId(GetUserId(), false)); })));
    const std::string quoted = pg::quoted("readmodel_data", name);
    const CatalogScope scope;
    pg::set_local("default_tablespace", "");
    pg::set_local("default_table_access_method", "heap");
    // Neither index begins with the share: a plan that is made while the table is empty, and kept, must not take the one for the
    // other's look-ups.
    pg::execute("CREATE TABLE " + quoted +
                " (share integer NOT NULL, alias text COLLATE pg_catalog.\"C\" NOT NULL,"
                " instance text COLLATE pg_catalog.\"C\" NOT NULL, PRIMARY KEY (alias, share))");
    pg::execute("CREATE INDEX ON " + quoted + " (instance, share)");
    pg::execute("ALTER TABLE " + quoted + " OWNER TO " + owner);
    return pg::call([&] { return get_relname_relid(name.c_str(), get_namespace_oid("readmodel_data", false)); });
}

} // namespace query
