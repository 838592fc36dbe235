#include "query/correction.hpp"

#include "query/page_updater.hpp"

namespace query
{

namespace
{

void require_one(const pg::Rows &rows, Oid table)
{
    if (rows.size() != 1)
        throw pg::Error(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION,
                        "a row of table " + pg::relation_name(table) + " could not be changed")
            .detail("A trigger or rule kept it.");
}

} // namespace

Correction::Correction(const ReplaySubject &subject)
    : generation(subject.generation),
      stored(generation),
      upsert_statement("INSERT INTO " + pg::relation_name(generation.state_table) +
                       " (id, state, position, updated_at) VALUES ($1, $2, $3, pg_catalog.now())"
                       " ON CONFLICT (id) DO UPDATE SET state = EXCLUDED.state, position = EXCLUDED.position,"
                       " updated_at = EXCLUDED.updated_at RETURNING 1"),
      delete_statement("DELETE FROM " + pg::relation_name(generation.state_table) +
                       " WHERE id OPERATOR(pg_catalog.=) $1 RETURNING 1")
{
    const pg::Rows rows = pg::execute("SELECT position, shares FROM readmodel_catalog.checkpoint"
                                      " WHERE generation_id = $1 FOR UPDATE",
                                      pg::Args().integer(generation.id));
    if (rows.empty())
        throw pg::Error(ERRCODE_T_R_SERIALIZATION_FAILURE,
                        "query " + pg::shown(generation.query_name) + " was changed concurrently")
            .hint("Run the transaction again.");
    if (*rows.integer(0, 2) != 1)
        throw pg::Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "generation " + std::to_string(generation.number) +
                                                                      " of query " + pg::shown(generation.query_name) +
                                                                      " is being rebuilt by several lanes")
            .hint("Call it again when they are done: readmodel.status() shows how far they are.");
    position = rows.bigint(0, 1);
}

// The table's indexes, constraints and triggers are its owner's code.
template <class F>
auto Correction::as_owner(F &&f) -> decltype(f())
{
    const pg::AsUser owner(generation.owner, true);
    pg::set_local("search_path", "pg_catalog, pg_temp");
    pg::set_local("row_security", "off");
    return f();
}

Correction::Change Correction::store(const StateCache &replayed, const StateCache::Entry &entry)
{
    const pg::OwnedContext scratch(CurrentMemoryContext, "pg_readmodel correction");
    const pg::InContext in(scratch.get());
    const std::optional<StoredState> before = stored.find(entry.first);
    const bool exists = entry.second.exists;
    if (!before && !exists)
        return Change::none;
    const KeyType type = generation.definition.key_type;
    pg::Args args;
    args.add(type_oid(type), pg::call([&] { return id_datum(type, entry.first); }));
    if (!exists)
    {
        as_owner([&] { require_one(delete_statement.execute(args), generation.state_table); });
        instances--;
        return Change::deleted;
    }
    const std::string document = document_of(replayed, entry);
    if (before && before->position == entry.second.position && same_document(before->document, document))
        return Change::none;
    args.add(JSONBOID, document_datum(document)).bigint(entry.second.position);
    as_owner([&] { require_one(upsert_statement.execute(args), generation.state_table); });
    instances += before ? 0 : 1;
    return before ? Change::changed : Change::made;
}

int Correction::store_aliases_of(const PageUpdater &replayed, const std::string &instance)
{
    if (!OidIsValid(generation.alias_table))
        return 0;
    const std::string table = pg::relation_name(generation.alias_table);
    return as_owner(
        [&]
        {
            const std::vector<std::string> now = replayed.aliases_of(instance);
            std::set<std::string> names(now.begin(), now.end());
            const pg::Rows rows = pg::execute("SELECT alias FROM " + table + " WHERE share = 0 AND instance = $1",
                                              pg::Args().text(instance), true);
            for (uint64 row = 0; row < rows.size(); row++)
                names.insert(rows.text(row, 1).value_or(""));
            int changed = 0;
            for (const std::string &name : names)
                if (const std::optional<std::string> target = replayed.instance_of(name))
                    changed += static_cast<int>(
                        pg::execute("INSERT INTO " + table +
                                        " AS stored (share, alias, instance) VALUES (0, $1, $2)"
                                        " ON CONFLICT (alias, share) DO UPDATE SET instance = EXCLUDED.instance"
                                        " WHERE stored.instance <> EXCLUDED.instance RETURNING 1",
                                    pg::Args().text(name).text(*target))
                            .size());
                else
                    changed += static_cast<int>(
                        pg::execute("DELETE FROM " + table + " WHERE share = 0 AND alias = $1 RETURNING 1",
                                    pg::Args().text(name))
                            .size());
            return changed;
        });
}

void Correction::store_aliases(PageUpdater &replayed)
{
    if (!OidIsValid(generation.alias_table))
        return;
    as_owner(
        [&]
        {
            pg::execute("DELETE FROM " + pg::relation_name(generation.alias_table) + " WHERE share = 0");
            replayed.write(); // a replay has read none of them from the table: all are new to it
        });
}

void Correction::finish(int64 events)
{
    pg::execute("UPDATE readmodel_catalog.checkpoint SET revision = revision + 1, instances = instances + $2,"
                " events_applied = events_applied + $3, updated_at = pg_catalog.now() WHERE generation_id = $1",
                pg::Args().integer(generation.id).bigint(instances).bigint(events));
    instances = 0;
}

} // namespace query
