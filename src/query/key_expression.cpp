#include "query/key_expression.hpp"

#include "pg/transaction.hpp"
#include "query/catalog.hpp"

namespace query
{

namespace
{

struct ColumnInfo
{
    const char *name;
    Oid type;
};

// In the order of EventColumn, and of the attributes of the type readmodel_catalog.event.
constexpr ColumnInfo columns[] = {
    {"position", INT8OID}, {"type", TEXTOID},      {"stream", TEXTOID},
    {"data", JSONBOID},    {"metadata", JSONBOID}, {"occurred_at", TIMESTAMPTZOID},
};
constexpr int column_count = static_cast<int>(std::size(columns));

constexpr const char *columns_hint =
    "A key expression can name position, type, stream, data, metadata and occurred_at.";

// What follows up to check_key() raises as PostgreSQL does and runs inside pg::call: no C++ object with a destructor here.

// Names the expression in every error that comes from it; the position, where there is one, counts within it.
void name_expression(void *argument)
{
    const auto *const text = static_cast<const char *>(argument);
    const int position = geterrposition();
    if (position > 0)
    {
        errposition(0);
        internalerrposition(position);
        internalerrquery(text);
    }
    errcontext("key expression \"%s\"", text);
}

struct NamedExpression
{
    explicit NamedExpression(const char *text)
        : callback{error_context_stack, name_expression, const_cast<char *>(text)}
    {
        error_context_stack = &callback;
    }
    // pg::call restores the stack when an error jumps over this frame.
    void done() { error_context_stack = callback.previous; }

    ErrorContextCallback callback;
};

Node *column_as_parameter(ParseState *state, ColumnRef *reference)
{
    if (list_length(reference->fields) == 1 && IsA(linitial(reference->fields), String))
    {
        const char *const name = strVal(linitial(reference->fields));
        for (int i = 0; i < column_count; i++)
        {
            if (std::strcmp(name, columns[i].name) != 0)
                continue;
            Param *const parameter = makeNode(Param);
            parameter->paramkind = PARAM_EXTERN;
            parameter->paramid = i + 1;
            parameter->paramtype = columns[i].type;
            parameter->paramtypmod = -1;
            parameter->paramcollid = get_typcollation(columns[i].type);
            parameter->location = reference->location;
            return reinterpret_cast<Node *>(parameter);
        }
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN), errmsg("column \"%s\" does not exist", name),
                        errhint("%s", columns_hint), parser_errposition(state, reference->location)));
    }
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                    errmsg("\"%s\" does not name a column of an event", NameListToString(reference->fields)),
                    errhint("%s", columns_hint), parser_errposition(state, reference->location)));
    pg_unreachable();
}

bool refuse_subqueries(Node *node, void *state)
{
    if (!node)
        return false;
    if (IsA(node, SubLink))
        ereport(ERROR,
                (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("cannot use subquery in key expression"),
                 errhint("Put what the event needs to say about its instance into the event."),
                 parser_errposition(static_cast<ParseState *>(state), reinterpret_cast<SubLink *>(node)->location)));
    return raw_expression_tree_walker(node, pg::any_function(refuse_subqueries), state);
}

// The one expression that the text holds, not transformed.
Node *parse_one_expression(const char *text)
{
    // In this mode the text is what may follow SELECT, and nothing may follow that.
    List *const statements = raw_parser(text, RAW_PARSE_PLPGSQL_EXPR);
    Assert(list_length(statements) == 1);
    const auto *const select = castNode(SelectStmt, linitial_node(RawStmt, statements)->stmt);
    if (list_length(select->targetList) == 0)
        ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("key expression is empty"), errhint("%s", columns_hint)));
    const auto *const target = linitial_node(ResTarget, select->targetList);
    if (list_length(select->targetList) != 1 || target->name || select->distinctClause || select->fromClause ||
        select->whereClause || select->groupClause || select->havingClause || select->windowClause ||
        select->sortClause || select->limitOffset || select->limitCount || select->lockingClause)
        ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("key expression must be one SQL expression"),
                        errhint("%s", columns_hint)));
    return target->val;
}

bool is_temporary_function(Oid function, void *)
{
    return isAnyTempNamespace(get_func_namespace(function));
}

// Another session, such as a worker's, has no temporary functions and types, or others of the same names.
bool uses_temporary_object(Node *node, void *context)
{
    if (!node)
        return false;
    if (check_functions_in_node(node, is_temporary_function, context))
        return true;
    if (!IsA(node, List))
    {
        const HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(exprType(node)));
        const bool temporary = HeapTupleIsValid(tuple) &&
                               isAnyTempNamespace(reinterpret_cast<Form_pg_type>(GETSTRUCT(tuple))->typnamespace);
        if (HeapTupleIsValid(tuple))
            ReleaseSysCache(tuple);
        if (temporary)
            return true;
    }
    return expression_tree_walker(node, pg::any_function(uses_temporary_object), context);
}

struct ParsedKey
{
    Node *expression; // of the type below, collations assigned, not planned
    KeyType type;
    bool is_array;
};

bool known_type(Oid type, ParsedKey *key)
{
    switch (type)
    {
    case TEXTOID:
    case VARCHAROID:
    case UNKNOWNOID: // a literal: one global instance
        key->type = KeyType::text;
        return true;
    case UUIDOID:
        key->type = KeyType::uuid;
        return true;
    case INT2OID:
    case INT4OID:
    case INT8OID:
        key->type = KeyType::bigint;
        return true;
    default:
        return false;
    }
}

// A cast of jsonb to text would give a text its quotes.
char *cast_advice(const char *text, const Node *raw, Oid type)
{
    if (type != JSONBOID && type != JSONOID)
        return psprintf("Cast it, for example: (%s)::text", text);
    if (IsA(raw, A_Expr))
    {
        const A_Expr *const operation = reinterpret_cast<const A_Expr *>(raw);
        const char *const name = strVal(linitial(operation->name));
        const int at = operation->location; // of the operator itself
        if (operation->kind == AEXPR_OP && list_length(operation->name) == 1 && at >= 0 &&
            at < static_cast<int>(strlen(text)) && strncmp(text + at, name, strlen(name)) == 0 &&
            (strcmp(name, "->") == 0 || strcmp(name, "#>") == 0))
        {
            const int end = at + 2;
            return psprintf("Take it as text: %.*s>%s", end, text, text + end);
        }
    }
    return psprintf(IsA(raw, ColumnRef) ? "Take a member as text, for example: %s->>'id'"
                                        : "Take a member as text, for example: (%s)->>'id'",
                    text);
}

ParsedKey parse_key(const char *text)
{
    Node *const raw = parse_one_expression(text);

    ParseState *const state = make_parsestate(nullptr);
    state->p_sourcetext = text;
    state->p_pre_columnref_hook = column_as_parameter;
    (void)refuse_subqueries(raw, state);

    Node *expression = transformExpr(state, raw, EXPR_KIND_OTHER);
    // EXPR_KIND_OTHER leaves these to its caller.
    if (state->p_hasAggs)
        ereport(ERROR,
                (errcode(ERRCODE_GROUPING_ERROR), errmsg("aggregate functions are not allowed in key expressions")));
    if (state->p_hasWindowFuncs)
        ereport(ERROR,
                (errcode(ERRCODE_WINDOWING_ERROR), errmsg("window functions are not allowed in key expressions")));
    if (state->p_hasTargetSRFs || expression_returns_set(expression))
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("set-returning functions are not allowed in key expressions"),
                        errhint("An event that concerns several instances has an array as its key.")));
    if (state->p_hasSubLinks)
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("cannot use subquery in key expression")));

    ParsedKey key{nullptr, KeyType::text, false};
    const Oid actual = exprType(expression);
    const Oid base = getBaseType(actual);
    const Oid element = get_element_type(base);
    if (known_type(base, &key))
        key.is_array = false;
    else if (OidIsValid(element) && known_type(getBaseType(element), &key))
        key.is_array = true;
    else
        ereport(ERROR,
                (errcode(ERRCODE_DATATYPE_MISMATCH), errmsg("key expression is of type %s", format_type_be(actual)),
                 errdetail("A key is of type text, uuid or bigint, or an array of one of these."),
                 errhint("%s", cast_advice(text, raw, base))));

    const Oid wanted = key.is_array ? array_type_oid(key.type) : type_oid(key.type);
    key.expression =
        coerce_to_target_type(state, expression, actual, wanted, -1, COERCION_IMPLICIT, COERCE_IMPLICIT_CAST, -1);
    if (!key.expression)
        elog(ERROR, "could not coerce a key of type %s", format_type_be(actual));
    assign_expr_collations(state, key.expression);

    if (uses_temporary_object(key.expression, nullptr))
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_OBJECT_DEFINITION), errmsg("key expression uses a temporary function or type"),
                 errdetail("The workers that evaluate it have sessions of their own.")));
    free_parsestate(state);
    return key;
}

// Under the path of evaluation: planning parses the bodies of SQL functions and calls functions of constants.
void refuse_volatile_functions(Node *expression)
{
    // After planning, because arguments by default and inlined functions are seen only then.
    if (contain_volatile_functions_after_planning(reinterpret_cast<Expr *>(expression)))
        ereport(ERROR, (errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
                        errmsg("functions in a key expression must not be volatile"),
                        errdetail("The same event must have the same key whenever it is read.")));
}

Node *parameters_as_columns(Node *node, void *)
{
    if (!node)
        return nullptr;
    if (IsA(node, Param) && reinterpret_cast<Param *>(node)->paramkind == PARAM_EXTERN)
    {
        const auto *const parameter = reinterpret_cast<Param *>(node);
        return reinterpret_cast<Node *>(makeVar(1, static_cast<AttrNumber>(parameter->paramid), parameter->paramtype,
                                                parameter->paramtypmod, parameter->paramcollid, 0));
    }
    return expression_tree_mutator(node, pg::any_function(parameters_as_columns), nullptr);
}

// Names print with their schema where deparsed_path does not lead to them, so the text means the same as long as it is parsed
// under that path: another one may lead to something else where the name has no schema.
constexpr const char *deparsed_path = "pg_catalog, pg_temp";

std::string deparse(const ParsedKey &key)
{
    const Oid event_type = catalog_relation("event");
    const pg::AsUser scope(GetUserId(), false);
    pg::pin_surroundings(deparsed_path);
    return pg::call(
        [&]
        {
            Node *const expression = parameters_as_columns(key.expression, nullptr);
            return static_cast<const char *>(
                deparse_expression(expression, deparse_context_for("event", event_type), false, false));
        });
}

} // namespace

KeyCheck check_key(const std::string &text)
{
    const ParsedKey key = pg::call(
        [&]
        {
            NamedExpression named(text.c_str());
            const ParsedKey parsed = parse_key(text.c_str());
            refuse_volatile_functions(parsed.expression);
            named.done();
            return parsed;
        });
    const std::string deparsed = deparse(key);

    // Compiled once, as the workers do it, for the current user's right to execute the functions in it.
    (void)KeyExpression(deparsed, key.type, key.is_array);
    return {key.type, key.is_array, deparsed};
}

struct KeyExpression::Compiled
{
    Compiled() : memory(TopMemoryContext, "pg_readmodel key expression") {}

    pg::OwnedContext memory; // everything below lives in it
    const char *text = nullptr;
    KeyType type = KeyType::text;
    bool is_array = false;
    ExprState *state = nullptr;
    ExprContext *context = nullptr;
    ParamListInfo parameters = nullptr;
};

KeyExpression::KeyExpression(const std::string &text, KeyType type, bool is_array)
    : compiled(std::make_unique<Compiled>())
{
    Compiled &c = *compiled;
    const pg::OwnedContext scratch(c.memory.get());
    c.type = type;
    c.is_array = is_array;
    const ParsedKey key = [&]
    {
        const pg::AsUser scope(GetUserId(), false);
        pg::set_local("search_path", deparsed_path);
        return pg::call(
            [&]
            {
                const MemoryContext caller = MemoryContextSwitchTo(scratch.get());
                NamedExpression named(text.c_str());
                const ParsedKey parsed = parse_key(text.c_str());
                named.done();
                MemoryContextSwitchTo(caller);
                return parsed;
            });
    }();
    pg::call(
        [&]
        {
            const MemoryContext caller = MemoryContextSwitchTo(scratch.get());
            NamedExpression named(text.c_str());
            if (key.type != type || key.is_array != is_array)
                ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH), errmsg("the key expression's type has changed"),
                                errdetail("It is of type %s now.", format_type_be(exprType(key.expression))),
                                errhint("Call readmodel.define_query again, which starts a new generation.")));
            refuse_volatile_functions(key.expression);
            Expr *const planned = expression_planner(reinterpret_cast<Expr *>(key.expression));

            MemoryContextSwitchTo(c.memory.get());
            c.text = pstrdup(text.c_str());
            c.parameters = makeParamList(column_count);
            for (int i = 0; i < column_count; i++)
            {
                c.parameters->params[i].ptype = columns[i].type;
                c.parameters->params[i].pflags = 0;
            }
            // Checks the current user's right to execute the functions.
            c.state = ExecInitExprWithParams(static_cast<Expr *>(copyObjectImpl(planned)), c.parameters);
            c.context = CreateStandaloneExprContext();
            c.context->ecxt_param_list_info = c.parameters;
            named.done();
            MemoryContextSwitchTo(caller);
        });
}

KeyExpression::~KeyExpression() = default;
KeyExpression::KeyExpression(KeyExpression &&) noexcept = default;
KeyExpression &KeyExpression::operator=(KeyExpression &&) noexcept = default;

namespace
{

// Bytes decide, as in the state table's key (COLLATE "C").
int compare(Datum a, Datum b, KeyType type)
{
    switch (type)
    {
    case KeyType::bigint:
    {
        const int64 x = DatumGetInt64(a);
        const int64 y = DatumGetInt64(b);
        return x < y ? -1 : x > y ? 1 : 0;
    }
    case KeyType::uuid:
        return std::memcmp(DatumGetUUIDP(a)->data, DatumGetUUIDP(b)->data, UUID_LEN);
    case KeyType::text:
        break;
    }
    const auto *const x = reinterpret_cast<const varlena *>(DatumGetPointer(a));
    const auto *const y = reinterpret_cast<const varlena *>(DatumGetPointer(b));
    const size_t x_length = VARSIZE_ANY_EXHDR(x);
    const size_t y_length = VARSIZE_ANY_EXHDR(y);
    const int order = std::memcmp(VARDATA_ANY(x), VARDATA_ANY(y), std::min(x_length, y_length));
    return order != 0 ? order : x_length < y_length ? -1 : x_length > y_length ? 1 : 0;
}

Datum copy_key(Datum value, KeyType type)
{
    switch (type)
    {
    case KeyType::bigint:
        return value;
    case KeyType::uuid:
        return datumCopy(value, false, UUID_LEN);
    case KeyType::text:
        break;
    }
    return PointerGetDatum(pg_detoast_datum_copy(reinterpret_cast<varlena *>(DatumGetPointer(value))));
}

// Marks as null whatever repeats an earlier element. Small arrays, the usual ones, need no sort.
void drop_repeats(Datum *values, bool *nulls, int count, KeyType type)
{
    if (count <= 16)
    {
        for (int i = 1; i < count; i++)
            for (int j = 0; j < i && !nulls[i]; j++)
                nulls[i] = !nulls[j] && compare(values[i], values[j], type) == 0;
        return;
    }
    auto *const order = static_cast<int *>(palloc(sizeof(int) * static_cast<size_t>(count)));
    int kept = 0;
    for (int i = 0; i < count; i++)
        if (!nulls[i])
            order[kept++] = i;
    std::sort(order, order + kept,
              [&](int a, int b)
              {
                  const int result = compare(values[a], values[b], type);
                  return result != 0 ? result < 0 : a < b;
              });
    for (int i = 1; i < kept; i++)
        if (compare(values[order[i]], values[order[i - 1]], type) == 0)
            nulls[order[i]] = true;
}

} // namespace

KeyExpression::Keys KeyExpression::evaluate(const EventValues &event)
{
    Compiled &c = *compiled;
    for (int i = 0; i < column_count; i++)
    {
        c.parameters->params[i].value = event.values[i];
        c.parameters->params[i].isnull = event.nulls[i];
    }

    NamedExpression named(c.text);
    ResetExprContext(c.context);
    bool is_null = false;
    const Datum result = ExecEvalExprSwitchContext(c.state, c.context, &is_null);
    Keys keys{nullptr, 0};
    if (!is_null && !c.is_array)
    {
        keys.values = static_cast<Datum *>(palloc(sizeof(Datum)));
        keys.values[0] = copy_key(result, c.type);
        keys.count = 1;
    }
    else if (!is_null)
    {
        const MemoryContext caller = MemoryContextSwitchTo(c.context->ecxt_per_tuple_memory);
        ArrayType *const array = DatumGetArrayTypeP(result);
        if (ARR_NDIM(array) > 1)
            ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
                            errmsg("key expression returned an array of %d dimensions", ARR_NDIM(array)),
                            errdetail("An array of keys has one dimension.")));
        Datum *values = nullptr;
        bool *nulls = nullptr;
        int count = 0;
        if (c.type == KeyType::bigint)
            deconstruct_array(array, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &values, &nulls, &count);
        else if (c.type == KeyType::uuid)
            deconstruct_array(array, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR, &values, &nulls, &count);
        else
            deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &count);
        if (c.type == KeyType::text)
            for (int i = 0; i < count; i++)
                if (!nulls[i])
                    values[i] = PointerGetDatum(PG_DETOAST_DATUM_PACKED(values[i]));
        drop_repeats(values, nulls, count, c.type);
        MemoryContextSwitchTo(caller);

        if (count > 0)
            keys.values = static_cast<Datum *>(palloc(sizeof(Datum) * static_cast<size_t>(count)));
        for (int i = 0; i < count; i++)
            if (!nulls[i])
                keys.values[keys.count++] = copy_key(values[i], c.type);
    }
    named.done();
    return keys;
}

} // namespace query
