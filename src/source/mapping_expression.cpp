#include "source/mapping_expression.hpp"

#include "pg/text.hpp"

namespace source
{

namespace
{

// What the parser and the planner say about an expression. Plain memory: it is filled inside pg::call.
struct Parsed
{
    bool is_empty;
    bool is_one_expression;
    bool has_subquery;
    bool has_aggregate;
    bool has_window_function;
    bool returns_set;
    bool reads_system_column;
    bool is_volatile;
    bool is_coercible;
    Oid type;
    const char *type_name;
};

// RAW_PARSE_PLPGSQL_EXPR takes what can follow SELECT, so the text cannot close a parenthesis that it did not open.
Node *only_expression(const char *text, Parsed &parsed)
{
    const List *const statements = raw_parser(text, RAW_PARSE_PLPGSQL_EXPR);
    const SelectStmt *const select = castNode(SelectStmt, linitial_node(RawStmt, statements)->stmt);
    parsed.is_empty = select->targetList == NIL;
    if (parsed.is_empty || list_length(select->targetList) != 1 || select->distinctClause || select->fromClause ||
        select->whereClause || select->groupClause || select->havingClause || select->windowClause ||
        select->sortClause || select->limitOffset || select->limitCount || select->lockingClause)
        return nullptr;
    const ResTarget *const target = linitial_node(ResTarget, select->targetList);
    // A bare * is nothing that transformExpr knows.
    if (target->name || (IsA(target->val, ColumnRef) &&
                         IsA(linitial(reinterpret_cast<const ColumnRef *>(target->val)->fields), A_Star)))
        return nullptr;
    return target->val;
}

bool reads_system_column(Node *expression)
{
    Bitmapset *columns = nullptr;
    pull_varattnos(expression, 1, &columns);
    const int first = bms_next_member(columns, -1);
    // Members are shifted so that system columns come before the whole row (0) and the user's.
    return first >= 0 && first + FirstLowInvalidHeapAttributeNumber < 0;
}

bool is_coercible(ParseState *state, Node **expression, Oid type, Oid target)
{
    const Oid base = getBaseType(type);
    // A timestamp without time zone would mean another instant in every session; a text would depend on DateStyle.
    if (target == TIMESTAMPTZOID && base != TIMESTAMPTZOID && base != UNKNOWNOID)
        return false;
    // Casting json to text keeps the quotes of a string, which nobody means.
    if (target == TEXTOID && (base == JSONBOID || base == JSONOID))
        return false;
    *expression =
        coerce_to_target_type(state, *expression, type, target, -1, COERCION_ASSIGNMENT, COERCE_IMPLICIT_CAST, -1);
    return *expression != nullptr;
}

Parsed parse(Relation events, const char *text, Oid target)
{
    Parsed parsed{};
    Node *const raw = only_expression(text, parsed);
    if (!raw)
        return parsed;
    parsed.is_one_expression = true;

    ParseState *const state = make_parsestate(nullptr);
    ParseNamespaceItem *const row = addRangeTableEntryForRelation(state, events, AccessShareLock, nullptr, false, true);
    addNSItemToQuery(state, row, true, true, true);
    Node *expression = transformExpr(state, raw, EXPR_KIND_OTHER);

    parsed.has_subquery = state->p_hasSubLinks;
    parsed.has_aggregate = state->p_hasAggs;
    parsed.has_window_function = state->p_hasWindowFuncs;
    parsed.returns_set = expression_returns_set(expression); // EXPR_KIND_OTHER notes none in the state
    if (parsed.has_subquery || parsed.has_aggregate || parsed.has_window_function || parsed.returns_set)
        return parsed;
    parsed.reads_system_column = reads_system_column(expression);
    parsed.type = exprType(expression);
    parsed.type_name = format_type_be(parsed.type);
    parsed.is_coercible = is_coercible(state, &expression, parsed.type, target);
    if (!parsed.is_coercible)
        return parsed;
    assign_expr_collations(state, expression);
    // Once as written, once with default arguments added and functions inlined.
    parsed.is_volatile = contain_volatile_functions(expression) ||
                         contain_volatile_functions(reinterpret_cast<Node *>(
                             expression_planner(static_cast<Expr *>(copyObjectImpl(expression)))));
    free_parsestate(state);
    return parsed;
}

pg::Error invalid(int sqlstate, const char *argument, const std::string &why)
{
    return pg::Error(sqlstate, "invalid expression for argument " + pg::shown(argument) + ": " + why);
}

// The server's error, with the argument in front. Its position would point into the caller's statement.
pg::Error with_argument(const pg::PgError &error, const char *argument, const std::string &text)
{
    const ErrorData &data = error.data();
    return invalid(error.sqlstate(), argument, std::string(error.message()))
        .detail(data.detail ? data.detail : "The expression is: " + text)
        .hint(data.hint ? data.hint : "");
}

// An error of the expression, as opposed to one of the server (a cancel, no memory).
bool is_about_the_expression(const pg::PgError &error)
{
    const int category = ERRCODE_TO_CATEGORY(error.sqlstate());
    return category == ERRCODE_TO_CATEGORY(ERRCODE_SYNTAX_ERROR) ||
           category == ERRCODE_TO_CATEGORY(ERRCODE_DATA_EXCEPTION) || category == ERRCODE_FEATURE_NOT_SUPPORTED;
}

std::string type_hint(Oid target, Oid type)
{
    const Oid base = pg::call([&] { return getBaseType(type); });
    if (target == TIMESTAMPTZOID && (base == TIMESTAMPOID || base == DATEOID))
        return "Say which time zone it is in: write (..) AT TIME ZONE 'UTC'.";
    if (target == TEXTOID)
        return "Use the operator ->> instead of ->, or #>> '{}'.";
    if (target == JSONBOID && (base == TEXTOID || base == VARCHAROID))
        return "Write (..)::jsonb if every row holds JSON, or to_jsonb(..) for a JSON string.";
    if (target == JSONBOID)
        return "Write to_jsonb(..).";
    return "Cast it.";
}

} // namespace

void check_mapping(Relation events, const char *argument, const std::string &text, Oid target)
{
    std::optional<Parsed> parsed;
    try
    {
        parsed = pg::call([&] { return parse(events, text.c_str(), target); });
    }
    catch (const pg::PgError &error)
    {
        if (!is_about_the_expression(error))
            throw;
        throw with_argument(error, argument, text);
    }

    const std::string shown = "The expression is: " + text;
    if (parsed->is_empty)
        throw invalid(ERRCODE_SYNTAX_ERROR, argument, "it is empty")
            .hint("Give an SQL expression over the table's row, a column name being the simplest.");
    if (!parsed->is_one_expression)
        throw invalid(ERRCODE_SYNTAX_ERROR, argument, "it is not a single expression").detail(std::string(shown));
    if (parsed->has_subquery)
        throw invalid(ERRCODE_FEATURE_NOT_SUPPORTED, argument, "it holds a subquery").detail(std::string(shown));
    if (parsed->has_aggregate)
        throw invalid(ERRCODE_GROUPING_ERROR, argument, "it holds an aggregate function").detail(std::string(shown));
    if (parsed->has_window_function)
        throw invalid(ERRCODE_WINDOWING_ERROR, argument, "it holds a window function").detail(std::string(shown));
    if (parsed->returns_set)
        throw invalid(ERRCODE_FEATURE_NOT_SUPPORTED, argument, "it returns a set").detail(std::string(shown));
    if (parsed->reads_system_column)
        throw invalid(ERRCODE_INVALID_COLUMN_REFERENCE, argument, "it reads a system column")
            .detail("The values of system columns change when the table is rewritten or restored.");
    if (!parsed->is_coercible)
        throw invalid(ERRCODE_DATATYPE_MISMATCH, argument,
                      "it gives " + std::string(parsed->type_name) + ", not " +
                          pg::call([&] { return static_cast<const char *>(format_type_be(target)); }))
            .detail(std::string(shown))
            .hint(type_hint(target, parsed->type));
    if (parsed->is_volatile)
        throw invalid(ERRCODE_INVALID_OBJECT_DEFINITION, argument, "it calls a volatile function")
            .detail("An event must read the same every time: " + text)
            .hint("Functions in it must be IMMUTABLE or STABLE.");
}

} // namespace source
