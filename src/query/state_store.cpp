#include "query/state_store.hpp"

#include "pg/memory.hpp"
#include "pg/transaction.hpp"
#include "query/state_rows.hpp"

namespace query
{

namespace
{

// The statements' plans are kept. One that is made while the table is small, or was never analysed, would go on reading the whole
// table when it is large; rows are only ever looked for by the primary key.
void plan_with_the_index()
{
    pg::set_local("enable_seqscan", "off");
}

// Rows are written in portions, so that the arrays of one statement stay small.
constexpr size_t portion_rows = 5000;
constexpr size_t portion_bytes = size_t{8} * 1024 * 1024;

std::string table_name(const Generation &generation)
{
    return pg::relation_name(generation.state_table);
}

// Arrays of one portion, built in the context that is current.
struct Columns
{
    Datum ids;
    Datum documents;
    Datum positions;
};

Datum as_array(std::vector<Datum> &values, Oid element, int length, bool by_value, char alignment)
{
    return pg::call(
        [&]
        {
            return PointerGetDatum(
                construct_array(values.data(), static_cast<int>(values.size()), element, length, by_value, alignment));
        });
}

Datum ids_array(std::vector<Datum> &values, KeyType type)
{
    switch (type)
    {
    case KeyType::text:
        return as_array(values, TEXTOID, -1, false, TYPALIGN_INT);
    case KeyType::uuid:
        return as_array(values, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR);
    case KeyType::bigint:
        break;
    }
    return as_array(values, INT8OID, 8, true, TYPALIGN_DOUBLE);
}

std::vector<Datum> ids_of(std::span<StateCache::Entry *const> entries, KeyType type)
{
    std::vector<Datum> ids;
    ids.reserve(entries.size());
    pg::call(
        [&]
        {
            for (const StateCache::Entry *const entry : entries)
                ids.push_back(id_datum(type, entry->first));
        });
    return ids;
}

void expect_rows(const pg::Rows &rows, size_t expected, const std::string &table)
{
    if (rows.size() != expected)
        throw pg::Error(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION, "states in table " + table + " were not all written")
            .detail(std::to_string(expected) + " rows were to be written, " + std::to_string(rows.size()) +
                    " were. A row is ahead of the checkpoint, or a trigger or rule kept it.")
            .hint("Only the workers may write to this table. Rebuild the query.");
}

} // namespace

StateStore::StateStore(const Generation &generation, bool alone_)
    : name(table_name(generation)),
      table(generation.state_table),
      owner(generation.owner),
      key_type(generation.definition.key_type),
      load_statement("SELECT id, state, position FROM " + name + " WHERE id = ANY ($1)"),
      upsert_statement("INSERT INTO " + name +
                       " AS stored (id, state, position, updated_at)"
                       " SELECT id, state, position, pg_catalog.now() FROM ROWS FROM (pg_catalog.unnest($1),"
                       " pg_catalog.unnest($2), pg_catalog.unnest($3)) AS changed (id, state, position)"
                       " ON CONFLICT (id) DO UPDATE SET state = EXCLUDED.state, position = EXCLUDED.position,"
                       " updated_at = EXCLUDED.updated_at WHERE stored.position < EXCLUDED.position"),
      remove_statement("DELETE FROM " + name + " WHERE id = ANY ($1)"),
      alone(alone_)
{
}

void StateStore::load(std::span<StateCache::Entry *const> entries, StateCache &cache)
{
    if (entries.empty())
        return;
    const pg::AsUser as_owner(owner, true);
    pg::set_local("search_path", "pg_catalog, pg_temp");
    pg::set_local("row_security", "off");
    if (load_rows(table, key_type, entries, cache))
    {
        for (StateCache::Entry *const entry : entries)
            entry->second.known = true;
        return;
    }
    plan_with_the_index();
    const pg::OwnedContext scratch(CurrentMemoryContext, "pg_readmodel state ids");
    for (size_t from = 0; from < entries.size(); from += portion_rows)
    {
        const auto portion = entries.subspan(from, std::min(portion_rows, entries.size() - from));
        pg::Args args;
        {
            const pg::InContext in(scratch.get());
            std::vector<Datum> ids = ids_of(portion, key_type);
            args.add(array_type_oid(key_type), ids_array(ids, key_type));
        }
        pg::Rows rows = load_statement.execute(args, true);
        pg::call(
            [&]
            {
                for (uint64 row = 0; row < rows.size(); row++)
                {
                    bool is_null = false;
                    HeapTuple const tuple = SPI_tuptable->vals[row];
                    TupleDesc const descriptor = SPI_tuptable->tupdesc;
                    const Datum id = PointerGetDatum(
                        key_type == KeyType::text ? reinterpret_cast<char *>(PG_DETOAST_DATUM_PACKED(
                                                        SPI_getbinval(tuple, descriptor, 1, &is_null)))
                                                  : DatumGetPointer(SPI_getbinval(tuple, descriptor, 1, &is_null)));
                    const Datum document = SPI_getbinval(tuple, descriptor, 2, &is_null);
                    if (is_null)
                        ereport(ERROR,
                                (errcode(ERRCODE_DATA_CORRUPTED), errmsg("a state in table %s is null", name.c_str()),
                                 errhint("The states were changed by hand. Rebuild the query.")));
                    struct varlena *const plain = PG_DETOAST_DATUM(document);
                    const Datum position = SPI_getbinval(tuple, descriptor, 3, &is_null);
                    cache.fill(cache.at(id_bytes(key_type, id)),
                               {reinterpret_cast<const char *>(plain), static_cast<size_t>(VARSIZE(plain))},
                               DatumGetInt64(position));
                    if (reinterpret_cast<Pointer>(plain) != DatumGetPointer(document))
                        pfree(plain);
                }
            });
        rows.free();
    }
    for (StateCache::Entry *const entry : entries)
        entry->second.known = true;
}

void StateStore::upsert(std::span<StateCache::Entry *const> entries, const StateCache &cache)
{
    const pg::OwnedContext scratch(CurrentMemoryContext, "pg_readmodel state rows");
    pg::Args args;
    {
        const pg::InContext in(scratch.get());
        std::vector<Datum> ids = ids_of(entries, key_type);
        std::vector<Datum> documents;
        std::vector<Datum> positions;
        pg::call(
            [&]
            {
                for (const StateCache::Entry *const entry : entries)
                    documents.push_back(cache.document_of(*entry));
            });
        for (const StateCache::Entry *const entry : entries)
            positions.push_back(Int64GetDatum(entry->second.position));
        args.add(array_type_oid(key_type), ids_array(ids, key_type));
        args.add(JSONBARRAYOID, as_array(documents, JSONBOID, -1, false, TYPALIGN_INT));
        args.add(INT8ARRAYOID, as_array(positions, INT8OID, 8, true, TYPALIGN_DOUBLE));
    }
    pg::Rows rows = upsert_statement.execute(args);
    expect_rows(rows, entries.size(), name);
}

void StateStore::remove(std::span<StateCache::Entry *const> entries)
{
    const pg::OwnedContext scratch(CurrentMemoryContext, "pg_readmodel state ids");
    pg::Args args;
    {
        const pg::InContext in(scratch.get());
        std::vector<Datum> ids = ids_of(entries, key_type);
        args.add(array_type_oid(key_type), ids_array(ids, key_type));
    }
    pg::Rows rows = remove_statement.execute(args);
    expect_rows(rows, entries.size(), name);
}

void StateStore::write(const StateCache &cache)
{
    std::vector<StateCache::Entry *> written;
    std::vector<StateCache::Entry *> removed;
    for (StateCache::Entry *const entry : cache.dirty_entries())
    {
        const CachedState &state = entry->second;
        if (state.exists)
            written.push_back(entry);
        else if (state.stored)
            removed.push_back(entry);
    }
    if (written.empty() && removed.empty())
        return;

    // In the order of the primary key: the index is then walked once.
    const auto by_id = [this](const StateCache::Entry *a, const StateCache::Entry *b)
    { return id_before(key_type, a->first, b->first); };
    std::sort(written.begin(), written.end(), by_id);
    std::sort(removed.begin(), removed.end(), by_id);

    const pg::AsUser as_owner(owner, true);
    pg::set_local("search_path", "pg_catalog, pg_temp");
    pg::set_local("row_security", "off");
    std::vector<StateCache::Entry *> left;
    const bool all_left = !write_rows(table, key_type, cache, written, alone, left);
    const std::span<StateCache::Entry *const> rows(all_left ? written : left);
    for (StateCache::Entry *const entry : rows)
        ItemPointerSetInvalid(&entry->second.tid);
    for (StateCache::Entry *const entry : removed)
        ItemPointerSetInvalid(&entry->second.tid);
    size_t from = 0;
    while (from < rows.size())
    {
        size_t to = from;
        size_t bytes = 0;
        while (to < rows.size() && to - from < portion_rows && bytes < portion_bytes)
            bytes += StateCache::document_size(*rows[to++]);
        upsert(rows.subspan(from, to - from), cache);
        from = to;
    }
    if (removed.empty())
        return;
    plan_with_the_index();
    const std::span<StateCache::Entry *const> gone(removed);
    for (from = 0; from < gone.size(); from += portion_rows)
        remove(gone.subspan(from, std::min(portion_rows, gone.size() - from)));
}

} // namespace query
