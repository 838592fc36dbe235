#include "query/catalog_rows.hpp"

#include "pg/text.hpp"
#include "query/new_generation.hpp"
#include "query/options.hpp"
#include "query/visibility.hpp"

namespace query::catalog
{

namespace
{

// One column that has to equal a value; of type integer or text.
struct Equals
{
    const char *column;
    Oid type;
    Datum value;
};

Equals equals(const char *column, int32 value)
{
    return {column, INT4OID, Int32GetDatum(value)};
}

Equals equals(const char *column, const std::string &value)
{
    return {column, TEXTOID, pg::text_datum(value)};
}

// Tables and indexes of the catalog that were looked up by their names, until any relation or schema is changed: the messages of that
// arrive before whatever is locked next, and at the beginning of every transaction.
struct KnownRelation
{
    const char *name; // a constant: its address is compared
    Oid oid;
};
constexpr int most_known_relations = 16;
KnownRelation known_relations[most_known_relations];
int known_relation_count = 0;
uint64 relation_changes = 0;

void forget_relations(Datum, int, uint32)
{
    known_relation_count = 0;
    relation_changes++;
}

// Within pg::call.
Oid known_relation(const char *name)
{
    static bool told = false;
    for (int i = 0; i < known_relation_count; i++)
        if (known_relations[i].name == name)
            return known_relations[i].oid;
    if (!told)
    {
        CacheRegisterSyscacheCallback(RELNAMENSP, forget_relations, 0);
        CacheRegisterSyscacheCallback(NAMESPACENAME, forget_relations, 0);
        told = true;
    }
    const uint64 before = relation_changes;
    const Oid oid = get_relname_relid(name, get_namespace_oid("readmodel_catalog", false));
    if (OidIsValid(oid) && relation_changes == before && known_relation_count < most_known_relations)
        known_relations[known_relation_count++] = {name, oid};
    return oid;
}

// The rows of a catalog table under the active snapshot that match, by the index (none: a scan of the table).
class Scan
{
public:
    Scan(const char *table, const char *index, std::initializer_list<Equals> conditions)
        : exceptions(std::uncaught_exceptions())
    {
        pg::call(
            [&]
            {
                relation = table_open(known_relation(table), AccessShareLock);
                ScanKeyData keys[2];
                int count = 0;
                for (const Equals &condition : conditions)
                    // ScanKeyInit would search a text index by the "C" collation, which is not its order.
                    ScanKeyEntryInitialize(&keys[count++], 0, number_of(condition.column), BTEqualStrategyNumber,
                                           InvalidOid, condition.type == TEXTOID ? DEFAULT_COLLATION_OID : InvalidOid,
                                           condition.type == TEXTOID ? F_TEXTEQ : F_INT4EQ, condition.value);
                const Oid index_id = index ? known_relation(index) : InvalidOid;
                scan = systable_beginscan(relation, index_id, OidIsValid(index_id), GetActiveSnapshot(), count, keys);
            });
    }

    ~Scan()
    {
        // On an error the abort closes all of it; before it, PostgreSQL may not be called.
        if (std::uncaught_exceptions() != exceptions)
            return;
        systable_endscan(scan);
        table_close(relation, AccessShareLock);
    }
    Scan(const Scan &) = delete;
    Scan &operator=(const Scan &) = delete;

    bool next()
    {
        tuple = pg::call([&] { return systable_getnext(scan); });
        if (tuple)
            heap_deform_tuple(tuple, RelationGetDescr(relation), values, nulls);
        return tuple != nullptr;
    }

    std::optional<Datum> get(const char *column) const
    {
        const AttrNumber number = number_of(column);
        if (!AttributeNumberIsValid(number) || nulls[number - 1])
            return std::nullopt;
        return values[number - 1];
    }
    int32 integer(const char *column) const { return DatumGetInt32(get(column).value_or(0)); }
    int64 bigint(const char *column) const { return DatumGetInt64(get(column).value_or(0)); }
    Oid oid(const char *column) const { return DatumGetObjectId(get(column).value_or(InvalidOid)); }
    std::optional<std::string> maybe_text(const char *column) const
    {
        const std::optional<Datum> value = get(column);
        return value ? std::optional<std::string>(pg::text_of(*value)) : std::nullopt;
    }
    std::string text(const char *column) const { return maybe_text(column).value_or(""); }
    MaybePosition position(const char *column) const
    {
        const std::optional<Datum> value = get(column);
        return value ? MaybePosition(DatumGetInt64(*value)) : std::nullopt;
    }
    std::optional<TimestampTz> time(const char *column) const
    {
        const std::optional<Datum> value = get(column);
        return value ? std::optional<TimestampTz>(DatumGetTimestampTz(*value)) : std::nullopt;
    }

    // Whether going through all of it is little work for so many queries: a look-up reads two or three pages.
    bool is_small(size_t queries) const
    {
        return pg::call([&] { return RelationGetNumberOfBlocks(relation); }) <= 4 + queries / 4;
    }

    // True when the running transaction wrote this row.
    bool own_uncommitted() const { return TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data)); }

private:
    // By name, not by number: updates of the extension may add columns in other places than a fresh installation. Each row is asked
    // for the same ones in the same order, so the one after the last is the first guess.
    AttrNumber number_of(const char *column) const
    {
        for (int tried = 0; tried < known_count; tried++)
        {
            const Known &one = known[next_known];
            next_known = (next_known + 1) % known_count;
            if (one.column == column)
                return one.number;
        }
        const AttrNumber number = look_up(column);
        if (known_count < most_known)
            known[known_count++] = {column, number};
        next_known = 0;
        return number;
    }

    AttrNumber look_up(const char *column) const
    {
        const TupleDesc descriptor = RelationGetDescr(relation);
        for (int tried = 0; tried < descriptor->natts; tried++)
        {
            const Form_pg_attribute attribute = TupleDescAttr(descriptor, guess++ % descriptor->natts);
            if (!attribute->attisdropped && std::strcmp(NameStr(attribute->attname), column) == 0)
                return attribute->attnum;
        }
        return InvalidAttrNumber;
    }

    Relation relation = nullptr;
    SysScanDesc scan = nullptr;
    HeapTuple tuple = nullptr;
    Datum values[MaxHeapAttributeNumber]; // of the tuple
    bool nulls[MaxHeapAttributeNumber];
    // The columns that were looked up, by the address of the name: it is a constant.
    struct Known
    {
        const char *column;
        AttrNumber number;
    };
    static constexpr int most_known = 24;
    mutable Known known[most_known];
    mutable int known_count = 0;
    mutable int next_known = 0;
    mutable int guess = 0; // of the descriptor's columns
    int exceptions;
};

// A text among the options; nothing if it is not there.
std::optional<std::string> text_option(Datum options, std::string_view name)
{
    std::string_view found;
    const bool there = pg::call(
        [&]
        {
            Jsonb *const document = DatumGetJsonbP(options);
            if (!JB_ROOT_IS_OBJECT(document))
                return false;
            JsonbValue buffer;
            const JsonbValue *const value =
                getKeyJsonValueFromContainer(&document->root, name.data(), static_cast<int>(name.size()), &buffer);
            if (!value || value->type != jbvString)
                return false;
            found = {value->val.string.val, static_cast<size_t>(value->val.string.len)};
            return true;
        });
    return there ? std::optional<std::string>(found) : std::nullopt;
}

QueryRow query_row(const Scan &scan)
{
    QueryRow row;
    row.id = scan.integer("query_id");
    row.name = scan.text("name");
    row.source_id = scan.integer("source_id");
    row.view = scan.oid("view");
    if (const std::optional<Datum> options = scan.get("options"))
    {
        row.serve_previous = text_option(*options, "while_rebuilding") == "serve_previous";
        if (const std::optional<std::string> max_lag = text_option(*options, "max_lag"))
            row.max_lag = interval_us(*max_lag);
    }
    row.newest = scan.integer("newest");
    row.serving = scan.integer("serving");
    row.paused_at = scan.time("paused_at");
    return row;
}

GenerationRow generation_row(const Scan &scan)
{
    GenerationRow row;
    row.id = scan.integer("generation_id");
    row.number = scan.integer("generation");
    row.definition_hash = scan.text("definition_hash");
    row.key_type = key_type_named(scan.text("key_type"));
    if (const std::optional<Datum> types = scan.get("event_types"))
        row.event_types = pg::texts_of(*types);
    row.state_table = scan.oid("state_table");
    row.phase = phase_named(scan.text("phase"));
    row.defined_at = scan.time("defined_at").value_or(0);
    row.rebuild_started_at = scan.time("rebuild_started_at");
    row.ready_at = scan.time("ready_at");
    if (scan.get("events_replayed"))
        row.events_replayed = scan.bigint("events_replayed");
    row.own_uncommitted = scan.own_uncommitted();
    return row;
}

} // namespace

std::optional<QueryRow> find_query(const std::string &name)
{
    Scan scan("query", "query_name_key", {equals("name", name)});
    return scan.next() ? std::optional<QueryRow>(query_row(scan)) : std::nullopt;
}

std::vector<std::optional<QueryRow>> find_queries(const std::vector<std::optional<std::string>> &names)
{
    std::vector<std::optional<QueryRow>> found(names.size());
    if (names.size() >= many)
    {
        Scan scan("query", nullptr, {});
        if (scan.is_small(names.size()))
        {
            std::unordered_map<std::string, QueryRow> rows;
            while (scan.next())
            {
                QueryRow row = query_row(scan);
                rows.emplace(row.name, std::move(row));
            }
            for (size_t i = 0; i < names.size(); i++)
                if (const auto place = names[i] ? rows.find(*names[i]) : rows.end(); place != rows.end())
                    found[i] = place->second;
            return found;
        }
    }
    for (size_t i = 0; i < names.size(); i++)
        found[i] = names[i] ? find_query(*names[i]) : std::nullopt;
    return found;
}

std::optional<Shown> shown_by_view(int32 generation_id)
{
    Scan generation("generation", "generation_pkey", {equals("generation_id", generation_id)});
    if (!generation.next())
        return std::nullopt;
    Scan query("query", "query_pkey", {equals("query_id", generation.integer("query_id"))});
    if (!query.next())
        return std::nullopt;
    return Shown{generation.integer("generation"), query.integer("serving")};
}

Oid owner_of(const QueryRow &query)
{
    const Oid of_view = relation_owner(query.view);
    if (OidIsValid(of_view))
        return of_view;
    Oid owner = InvalidOid;
    for (const GenerationRow &generation : generations_of(query.id)) // the highest number that is there wins
        if (const Oid of_table = relation_owner(generation.state_table); OidIsValid(of_table))
        {
            owner = of_table;
            if (generation.number == query.serving)
                break;
        }
    return OidIsValid(owner) ? owner : catalog_owner();
}

std::vector<QueryRow> all_queries()
{
    std::vector<QueryRow> rows;
    {
        Scan scan("query", nullptr, {});
        while (scan.next())
            rows.push_back(query_row(scan));
    }
    std::sort(rows.begin(), rows.end(), [](const QueryRow &a, const QueryRow &b) { return a.name < b.name; });
    return rows;
}

std::optional<GenerationRow> find_generation(int32 query_id, int32 number)
{
    Scan scan("generation", "generation_query_id_generation_key",
              {equals("query_id", query_id), equals("generation", number)});
    return scan.next() ? std::optional<GenerationRow>(generation_row(scan)) : std::nullopt;
}

std::vector<GenerationRow> generations_of(int32 query_id)
{
    std::vector<GenerationRow> rows;
    {
        Scan scan("generation", "generation_query_id_generation_key", {equals("query_id", query_id)});
        while (scan.next())
            rows.push_back(generation_row(scan));
    }
    std::sort(rows.begin(), rows.end(),
              [](const GenerationRow &a, const GenerationRow &b) { return a.number < b.number; });
    return rows;
}

std::optional<GenerationRow> find_generation(int32 query_id, const std::string &definition_hash)
{
    std::optional<GenerationRow> best;
    for (GenerationRow &row : generations_of(query_id))
        if (row.definition_hash == definition_hash && (!best || row.has_states() || !best->has_states()))
            best = std::move(row);
    return best;
}

// A rebuild that is split is where the last of its shares is.
static void add_shares(CheckpointRow &row, int32 generation_id)
{
    Scan scan("share", "share_pkey", {equals("generation_id", generation_id)});
    for (bool first = true; scan.next(); first = false)
    {
        const MaybePosition position = scan.position("position");
        if (first || source::before(position, row.position))
            row.position = position;
        row.events_applied += scan.bigint("events_applied");
        row.instances += scan.bigint("instances");
    }
}

static CheckpointRow checkpoint_row(const Scan &scan, int32 generation_id)
{
    CheckpointRow row;
    row.position = scan.position("position");
    row.events_applied = scan.bigint("events_applied");
    row.instances = scan.bigint("instances");
    if (scan.integer("shares") > 1)
        add_shares(row, generation_id);
    return row;
}

CheckpointRow checkpoint_of(int32 generation_id)
{
    Scan scan("checkpoint", "checkpoint_pkey", {equals("generation_id", generation_id)});
    return scan.next() ? checkpoint_row(scan, generation_id) : CheckpointRow();
}

static FailureRow failure_row(const Scan &scan)
{
    return {scan.text("reason"), scan.position("position"), scan.maybe_text("sqlstate"), scan.maybe_text("message"),
            scan.time("failed_at")};
}

std::optional<FailureRow> failure_of(int32 generation_id)
{
    Scan scan("failure", "failure_pkey", {equals("generation_id", generation_id)});
    return scan.next() ? std::optional<FailureRow>(failure_row(scan)) : std::nullopt;
}

std::optional<GenerationRows> read_generations(size_t queries)
{
    GenerationRows rows;
    {
        Scan scan("generation", nullptr, {});
        if (!scan.is_small(queries))
            return std::nullopt;
        while (scan.next())
            rows[scan.integer("query_id")].push_back(generation_row(scan));
    }
    for (auto &[query, generations] : rows)
        std::sort(generations.begin(), generations.end(),
                  [](const GenerationRow &a, const GenerationRow &b) { return a.number < b.number; });
    return rows;
}

std::optional<CheckpointRows> read_checkpoints(size_t queries)
{
    CheckpointRows rows;
    Scan scan("checkpoint", nullptr, {});
    if (!scan.is_small(queries))
        return std::nullopt;
    while (scan.next())
    {
        const int32 generation = scan.integer("generation_id");
        rows.emplace(generation, checkpoint_row(scan, generation));
    }
    return rows;
}

std::optional<FailureRows> read_failures(size_t queries)
{
    FailureRows rows;
    Scan scan("failure", nullptr, {});
    if (!scan.is_small(queries))
        return std::nullopt;
    while (scan.next())
        rows.emplace(scan.integer("generation_id"), failure_row(scan));
    return rows;
}

int64 count_dead_letters(int32 generation_id)
{
    int64 count = 0;
    Scan scan("dead_letter", "dead_letter_pkey", {equals("generation_id", generation_id)});
    while (scan.next())
        if (!scan.get("discarded_at"))
            count++;
    return count;
}

std::optional<source::EventSource> find_source(int32 source_id)
{
    Scan scan("source", "source_pkey", {equals("source_id", source_id)});
    if (!scan.next())
        return std::nullopt;
    source::EventSource row;
    row.id = scan.integer("source_id");
    row.name = scan.text("name");
    row.events = scan.oid("events");
    row.owner = relation_owner(row.events);
    if (!OidIsValid(row.owner))
        row.events = InvalidOid;
    if (const std::optional<Datum> column = scan.get("position_column"))
        row.position_column = NameStr(*DatumGetName(*column));
    row.type_expression = scan.text("type_expression");
    row.search_path = scan.text("search_path");
    return row;
}

} // namespace query::catalog
