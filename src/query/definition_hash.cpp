#include "query/definition_hash.hpp"

#include "pg/sqlstate.hpp"
#include "query/catalog.hpp"

namespace query
{

namespace
{

constexpr const char *format = "pg_readmodel definition 1";

// Every item carries its name and its length, and NULL differs from an empty text: no two definitions have one text.
class CanonicalText
{
public:
    CanonicalText() : text(format) { text += '\n'; }

    void item(const char *name, std::string_view value)
    {
        text += name;
        text += ' ';
        text += std::to_string(value.size());
        text += ' ';
        text += value;
        text += '\n';
    }
    void item(const char *name, const std::optional<std::string> &value)
    {
        if (value)
            item(name, std::string_view(*value));
        else
            text += std::string(name) + " null\n";
    }
    void list(const char *name, const std::vector<std::string> &values)
    {
        item(name, std::string_view(std::to_string(values.size())));
        for (const std::string &value : values)
            item("-", std::string_view(value));
    }

    std::string sha256() const
    {
        std::array<uint8, PG_SHA256_DIGEST_LENGTH> digest;
        pg::call(
            [&]
            {
                pg_cryptohash_ctx *const context = pg_cryptohash_create(PG_SHA256);
                if (pg_cryptohash_init(context) < 0 ||
                    pg_cryptohash_update(context, reinterpret_cast<const uint8 *>(text.data()), text.size()) < 0 ||
                    pg_cryptohash_final(context, digest.data(), digest.size()) < 0)
                    elog(ERROR, "could not compute SHA-256: %s", pg_cryptohash_error(context));
                pg_cryptohash_free(context);
            });
        std::string hex;
        for (const uint8 byte : digest)
        {
            constexpr const char *digits = "0123456789abcdef";
            hex += digits[byte >> 4];
            hex += digits[byte & 15];
        }
        return hex;
    }

private:
    std::string text;
};

// What of a function can change its result. Not here: cost, rows and support function (planning only), parallel safety and
// LEAKPROOF (where it may run), its owner (a role's name is not part of what it computes; with SECURITY DEFINER the owner's
// rights can only make it fail), STRICT (an updater is not).
void add_updater(CanonicalText &text, Oid updater)
{
    const pg::Rows rows = pg::execute(
        "SELECT l.lanname::text, p.prosrc, p.probin, pg_get_function_sqlbody(p.oid), p.provolatile::text,"
        "       p.prosecdef::text,"
        "       ARRAY(SELECT setting FROM unnest(p.proconfig) setting ORDER BY setting COLLATE \"C\")::text[],"
        "       ARRAY(SELECT format_type(t, NULL) FROM unnest(p.protrftypes) t ORDER BY format_type(t, NULL) COLLATE "
        "\"C\")::text[]"
        "  FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang"
        " WHERE p.oid = $1",
        pg::Args().oid(updater), true);
    if (rows.empty())
        throw pg::Error(ERRCODE_UNDEFINED_FUNCTION, "function with OID " + std::to_string(updater) + " does not exist");
    const std::string signature =
        pg::call([&] { return static_cast<const char *>(format_procedure_qualified(updater)); });
    text.item("updater", std::string_view(signature));
    text.item("language", rows.text(0, 1));
    // With a deparsed body prosrc is empty; for C and internal functions it is the symbol, and probin the library.
    text.item("source", rows.text(0, 2));
    text.item("library", rows.text(0, 3));
    text.item("body", rows.text(0, 4));
    text.item("volatility", rows.text(0, 5));
    text.item("security definer", rows.text(0, 6));
    text.list("settings", pg::texts_of(*rows.get(0, 7)));
    text.list("transforms", pg::texts_of(*rows.get(0, 8)));
}

// A mapping expression over the event table's row. Raises as PostgreSQL does.
Node *parse_mapping(Relation events, const char *text)
{
    const auto *const select =
        castNode(SelectStmt, linitial_node(RawStmt, raw_parser(text, RAW_PARSE_PLPGSQL_EXPR))->stmt);
    ParseState *const state = make_parsestate(nullptr);
    state->p_sourcetext = text;
    ParseNamespaceItem *const item =
        addRangeTableEntryForRelation(state, events, AccessShareLock, nullptr, false, true);
    addNSItemToQuery(state, item, true, true, true);
    Node *const expression = transformExpr(state, linitial_node(ResTarget, select->targetList)->val, EXPR_KIND_OTHER);
    assign_expr_collations(state, expression);
    free_parsestate(state);
    return expression;
}

void add_source(CanonicalText &text, int32 source_id)
{
    const pg::Rows rows = pg::execute("SELECT name, events, position_column::text, type_expression, stream_expression,"
                                      "       data_expression, metadata_expression, occurred_at_expression, search_path"
                                      "  FROM readmodel_catalog.source WHERE source_id = $1",
                                      pg::Args().integer(source_id), true);
    if (rows.empty())
        throw pg::Error(pg::sqlstate::no_such_object, "source " + std::to_string(source_id) + " does not exist");
    text.item("event source", rows.text(0, 1));

    const Oid events = rows.oid(0, 2);
    const std::string path = *rows.text(0, 9);
    static constexpr const char *names[] = {"position", "type", "stream", "data", "metadata", "occurred_at"};
    Bitmapset *columns = nullptr;
    std::array<Node *, 6> parsed{};
    for (int i = 0; i < 6; i++)
    {
        const std::optional<std::string> given = rows.text(0, 3 + i);
        if (!given)
            continue;
        const std::string expression = i == 0 ? pg::quoted(*given) : *given;
        pg::set_local("search_path", path.c_str());
        parsed[static_cast<size_t>(i)] = pg::call(
            [&]
            {
                const Relation relation = table_open(events, AccessShareLock);
                Node *const node = parse_mapping(relation, expression.c_str());
                table_close(relation, NoLock);
                pull_varattnos(node, 1, &columns);
                return node;
            });
    }

    // Names print with their schema wherever the path does not lead to them.
    pg::set_local("search_path", "pg_catalog, pg_temp");
    for (int i = 0; i < 6; i++)
    {
        std::optional<std::string> deparsed;
        if (Node *const node = parsed[static_cast<size_t>(i)])
            deparsed = pg::call(
                [&]
                {
                    List *const context = deparse_context_for("event", events);
                    return static_cast<const char *>(deparse_expression(node, context, false, false));
                });
        text.item(names[i], deparsed);
    }

    // By name: the order of a table's columns is no part of what is computed. A whole row reads all of them.
    const auto reads = [&](int column)
    { return pg::call([&] { return bms_is_member(column - FirstLowInvalidHeapAttributeNumber, columns); }); };
    const pg::Rows attributes =
        pg::execute("SELECT attnum::integer, quote_ident(attname) || ' ' || format_type(atttypid, atttypmod)"
                    "  FROM pg_attribute WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped"
                    " ORDER BY attname COLLATE \"C\"",
                    pg::Args().oid(events), true);
    std::vector<std::string> types;
    for (uint64 row = 0; row < attributes.size(); row++)
        if (reads(0) || reads(*attributes.integer(row, 1)))
            types.push_back(*attributes.text(row, 2));
    text.list("columns", types);
}

} // namespace

std::string definition_hash(int32 source_id, const Definition &definition)
{
    const CatalogScope scope;
    const LatestSnapshot snapshot;
    pg::pin_surroundings("pg_catalog, pg_temp");
    CanonicalText text;
    if (definition.spec)
        text.item("spec", std::string_view(*definition.spec)); // which event types it reads follows from it
    else
    {
        add_updater(text, definition.updater_oid);
        text.item("key", std::string_view(definition.key_expression));
        text.item("key type", std::string_view(pg::call(
                                  [&]
                                  {
                                      return format_type_be_qualified(definition.key_is_array
                                                                          ? array_type_oid(definition.key_type)
                                                                          : type_oid(definition.key_type));
                                  })));
        if (definition.event_types)
            text.list("event types", *definition.event_types); // sorted and distinct
        else
            text.item("event types", std::optional<std::string>());
        text.item("search_path", std::string_view(definition.search_path));
    }
    text.item("version", definition.version);
    add_source(text, source_id);
    return text.sha256();
}

} // namespace query
