#include "query/new_generation.hpp"

#include "query/alias_store.hpp"
#include "query/parse_spec.hpp"
#include "query/state_table.hpp"

namespace query
{

const char *name_of(KeyType type)
{
    switch (type)
    {
    case KeyType::text:
        return "text";
    case KeyType::uuid:
        return "uuid";
    case KeyType::bigint:
        break;
    }
    return "bigint";
}

KeyType key_type_named(const std::string &name)
{
    for (const KeyType type : {KeyType::text, KeyType::uuid, KeyType::bigint})
        if (name == name_of(type))
            return type;
    throw pg::Error(ERRCODE_DATA_CORRUPTED, "unrecognized key type " + pg::shown(name));
}

int32 next_generation_id()
{
    const CatalogScope scope;
    return *pg::execute(
                "SELECT nextval(pg_get_serial_sequence('readmodel_catalog.generation', 'generation_id'))::integer")
                .integer(0, 1);
}

int32 next_generation_number(int32 query_id)
{
    const CatalogScope scope;
    const LatestSnapshot snapshot;
    return *pg::execute("SELECT max(generation) + 1 FROM readmodel_catalog.generation WHERE query_id = $1",
                        pg::Args().integer(query_id), true)
                .integer(0, 1);
}

GenerationTables create_tables(int32 generation_id, const Definition &definition)
{
    GenerationTables tables;
    tables.states = create_state_table(generation_id, definition.key_type);
    if (definition.spec && parse_spec(*definition.spec).uses_aliases())
        tables.aliases = create_alias_table(generation_id);
    return tables;
}

void insert_generation(int32 generation_id, int32 query_id, int32 number, const GenerationTables &tables,
                       const Definition &definition, const std::string &hash, Phase phase)
{
    const CatalogScope scope;
    pg::Args args;
    args.integer(generation_id).integer(query_id).integer(number).text(hash);
    if (definition.spec)
        args.null(TEXTOID).null(TEXTOID);
    else
        args.text(definition.updater).text(definition.key_expression);
    args.text(name_of(definition.key_type)).boolean(definition.key_is_array);
    if (definition.event_types)
    {
        std::vector<Datum> members;
        for (const std::string &type : *definition.event_types)
            members.push_back(pg::text_datum(type));
        args.add(TEXTARRAYOID,
                 pg::call(
                     [&]
                     {
                         return PointerGetDatum(construct_array(members.data(), static_cast<int>(members.size()),
                                                                TEXTOID, -1, false, TYPALIGN_INT));
                     }));
    }
    else
        args.null(TEXTARRAYOID);
    args.text(definition.search_path).regclass(tables.states).text(definition.version).text(definition.spec);
    if (OidIsValid(tables.aliases))
        args.regclass(tables.aliases);
    else
        args.null(REGCLASSOID);
    args.text(name_of(phase));
    pg::execute(
        "INSERT INTO readmodel_catalog.generation (generation_id, query_id, generation, definition_hash, updater,"
        "   key_expression, key_type, key_is_array, event_types, search_path, state_table, version, spec,"
        "   alias_table, phase)"
        " OVERRIDING SYSTEM VALUE"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13::jsonb, $14, $15)",
        args);
    // The updater cannot be dropped under the query.
    if (!definition.spec)
        pg::call(
            [&]
            {
                const ObjectAddress table = {RelationRelationId, tables.states, 0};
                const ObjectAddress updater = {ProcedureRelationId, definition.updater_oid, 0};
                recordDependencyOn(&table, &updater, DEPENDENCY_NORMAL);
            });
    pg::execute("INSERT INTO readmodel_catalog.checkpoint (generation_id) VALUES ($1)",
                pg::Args().integer(generation_id));
}

void build_generation(const QueryRow &query, int32 number, const Definition &definition, const std::string &hash,
                      Phase phase)
{
    const int32 generation_id = next_generation_id();
    GenerationTables tables;
    {
        // The caller may be a member of the owning role, or a superuser: one query has one owner.
        const pg::AsUser scope(query.owner, false);
        tables = create_tables(generation_id, definition);
    }
    {
        // First, since a takeover that runs now holds this row.
        const CatalogScope scope;
        require_one_row(pg::execute("UPDATE readmodel_catalog.query SET newest = $2 WHERE query_id = $1 RETURNING 1",
                                    pg::Args().integer(query.id).integer(number)),
                        query.name);
    }
    insert_generation(generation_id, query.id, number, tables, definition, hash, phase);
}

} // namespace query
