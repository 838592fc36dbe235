#include "query/replay_subject.hpp"

#include "pg/locks.hpp"
#include "pg/memory.hpp"
#include "query/generation_check.hpp"

namespace query
{

namespace
{

constexpr int rows_at_a_time = 1000;

// ALTER TABLE and TRUNCATE give a table another file, which rows of older snapshots are not in.
void require_same_file(Oid relation)
{
    const pg::Rows rows = pg::execute("SELECT relfilenode FROM pg_class WHERE oid = $1 AND relfilenode <> 0",
                                      pg::Args().oid(relation), true);
    const Oid now = pg::file_of(relation);
    const std::string name = pg::relation_name(relation);
    if (name.empty() || (OidIsValid(now) && (rows.empty() || rows.oid(0, 1) != now)))
        throw pg::Error(ERRCODE_T_R_SERIALIZATION_FAILURE, name.empty() ? "a table was dropped concurrently"
                                                                        : "table " + name + " was changed concurrently")
            .hint("Run the transaction again.");
}

} // namespace

std::vector<ReplaySubject> replay_subjects(const QueryRow &query)
{
    // In this order: a generation that was defined by a changed mapping is not read by the one before.
    std::vector<Generation> generations = load_generations();
    std::optional<source::EventSource> source;
    for (source::EventSource &one : source::load_sources())
        if (one.id == query.source_id)
            source = std::move(one);
    if (!source || !OidIsValid(source->events))
        throw pg::Error(ERRCODE_UNDEFINED_OBJECT, "the source of query " + pg::shown(query.name) + " is gone");
    if (source->restored)
        throw pg::Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                        "source " + pg::shown(source->name) + " was restored and is not adopted yet")
            .hint("The tail worker adopts it once everything is restored; status() says what it waits for.");
    if (const std::optional<pg::Error> fault = source::check_source(*source))
        throw pg::Error(*fault);
    std::vector<ReplaySubject> subjects;
    for (Generation &generation : generations)
        if (generation.query_id == query.id &&
            (generation.phase == Phase::live || generation.phase == Phase::rebuilding))
            subjects.push_back({std::move(generation), *source});
    return subjects;
}

void lock_for_replay(const ReplaySubject &subject, LOCKMODE states)
{
    (void)pg::lock_with_inheritors(subject.source.events, AccessShareLock);
    for (const Oid table : {subject.generation.state_table, subject.generation.alias_table})
        if (OidIsValid(table))
            pg::call([&] { LockRelationOid(table, states); });
}

void require_not_rewritten(const ReplaySubject &subject)
{
    std::vector<Oid> tables = pg::inheritors(subject.source.events);
    tables.push_back(subject.generation.state_table);
    for (const Oid table : tables)
        require_same_file(table);
}

std::optional<pg::Error> replay_fault(const ReplaySubject &subject)
{
    const Generation &generation = subject.generation;
    if (!generation.shares.empty())
        return pg::Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "generation " + std::to_string(generation.number) +
                                                                       " of query " + pg::shown(generation.query_name) +
                                                                       " is being rebuilt by several lanes")
            .detail("Until they are done its states are as of no one position.")
            .hint("Call it again when they are: readmodel.status() shows how far they are.");
    if (std::optional<pg::Error> fault = check_generation(generation, subject.source))
        return fault;
    if (!definition_unchanged(generation))
        return pg::Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                         "the definition of generation " + std::to_string(generation.number) + " of query " +
                             pg::shown(generation.query_name) + " was changed")
            .detail("The updater that made its states, or the mapping of the events that they were made from, is gone.")
            .hint("readmodel.define_query() starts a generation of the new definition.");
    return std::nullopt;
}

std::set<Position> dead_letters_of(int32 generation_id)
{
    const pg::Rows rows = pg::execute("SELECT position FROM readmodel_catalog.dead_letter WHERE generation_id = $1",
                                      pg::Args().integer(generation_id), true);
    std::set<Position> positions;
    for (uint64 row = 0; row < rows.size(); row++)
        positions.insert(*rows.bigint(row, 1));
    return positions;
}

StoredStates::StoredStates(const Generation &generation_)
    : generation(generation_),
      find_statement("SELECT id, state, position FROM " + pg::relation_name(generation.state_table) +
                     " WHERE id OPERATOR(pg_catalog.=) $1"),
      first_statement("SELECT id, state, position FROM " + pg::relation_name(generation.state_table) +
                      " ORDER BY id LIMIT " + std::to_string(rows_at_a_time)),
      next_statement("SELECT id, state, position FROM " + pg::relation_name(generation.state_table) +
                     " WHERE id OPERATOR(pg_catalog.>) $1 ORDER BY id LIMIT " + std::to_string(rows_at_a_time)),
      sample_query("SELECT id FROM " + pg::relation_name(generation.state_table) +
                   " ORDER BY pg_catalog.random() LIMIT $1")
{
}

template <class F>
auto StoredStates::as_owner(F &&f) -> decltype(f())
{
    const pg::AsUser owner(generation.owner, true);
    pg::set_local("search_path", "pg_catalog, pg_temp");
    pg::set_local("row_security", "off");
    return f();
}

namespace
{

std::string id_in(const pg::Rows &rows, uint64 row, KeyType type)
{
    const Datum id = rows.get(row, 1).value();
    const Datum plain =
        type == KeyType::text ? pg::call([&] { return PointerGetDatum(PG_DETOAST_DATUM_PACKED(id)); }) : id;
    return std::string(id_bytes(type, plain));
}

StoredState state_in(const pg::Rows &rows, uint64 row)
{
    StoredState state;
    // Whoever has altered the table may have put a null there: no state is the same as that.
    if (const std::optional<Datum> document = rows.get(row, 2))
    {
        const struct varlena *const plain = pg::call([&] { return PG_DETOAST_DATUM(*document); });
        state.document.assign(reinterpret_cast<const char *>(plain), VARSIZE(plain));
    }
    state.position = rows.bigint(row, 3).value_or(0);
    return state;
}

} // namespace

std::optional<StoredState> StoredStates::find(std::string_view id)
{
    return as_owner(
        [&]() -> std::optional<StoredState>
        {
            const KeyType type = generation.definition.key_type;
            pg::Args args;
            args.add(type_oid(type), pg::call([&] { return id_datum(type, id); }));
            pg::Rows rows = find_statement.execute(args, true);
            if (rows.empty())
                return std::nullopt;
            StoredState state = state_in(rows, 0);
            rows.free();
            return state;
        });
}

std::optional<std::string> StoredStates::after(const std::optional<std::string> &id, const Row &f)
{
    const KeyType type = generation.definition.key_type;
    const pg::OwnedContext scratch(CurrentMemoryContext, "pg_readmodel stored states");
    const pg::InContext in(scratch.get());
    pg::Rows rows = as_owner(
        [&]
        {
            if (!id)
                return first_statement.execute({}, true);
            pg::Args args;
            args.add(type_oid(type), pg::call([&] { return id_datum(type, *id); }));
            return next_statement.execute(args, true);
        });
    std::optional<std::string> last;
    for (uint64 row = 0; row < rows.size(); row++)
    {
        last = id_in(rows, row, type);
        f(*last, state_in(rows, row));
    }
    if (rows.size() < static_cast<uint64>(rows_at_a_time))
        last.reset();
    rows.free();
    return last;
}

std::vector<std::string> StoredStates::sample(int count)
{
    return as_owner(
        [&]
        {
            std::vector<std::string> ids;
            pg::Rows rows = pg::execute(sample_query, pg::Args().bigint(int64{count}), true);
            for (uint64 row = 0; row < rows.size(); row++)
                ids.push_back(id_in(rows, row, generation.definition.key_type));
            rows.free();
            return ids;
        });
}

Datum document_datum(const std::string &document)
{
    return pg::call(
        [&]
        {
            void *const copy = palloc(document.size());
            std::memcpy(copy, document.data(), document.size());
            return PointerGetDatum(copy);
        });
}

namespace
{

std::string printed(const std::string &document)
{
    const char *const text = pg::call(
        [&]
        {
            auto *const jsonb = const_cast<Jsonb *>(reinterpret_cast<const Jsonb *>(document.data()));
            return static_cast<const char *>(JsonbToCString(nullptr, &jsonb->root, VARSIZE(jsonb)));
        });
    return text;
}

} // namespace

bool same_document(const std::string &a, const std::string &b)
{
    if (a == b)
        return true;
    if (a.empty() || b.empty())
        return false;
    return printed(a) == printed(b);
}

std::string document_of(const StateCache &cache, const StateCache::Entry &entry)
{
    const Datum datum = cache.document_of(entry);
    return std::string(reinterpret_cast<const char *>(DatumGetPointer(datum)), VARSIZE(DatumGetPointer(datum)));
}

} // namespace query
