#include "query/definition.hpp"

#include "pg/search_path.hpp"
#include "pg/sqlstate.hpp"
#include "query/arguments.hpp"
#include "query/catalog.hpp"
#include "query/definition_hash.hpp"
#include "query/key_expression.hpp"
#include "query/parse_spec.hpp"

namespace query
{

namespace
{

std::optional<Datum> argument(FunctionCallInfo fcinfo, int number)
{
    return PG_ARGISNULL(number) ? std::nullopt : std::optional<Datum>(PG_GETARG_DATUM(number));
}

// Raises as PostgreSQL does.
void raise_unless_updater(Oid updater)
{
    const HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(updater));
    if (!HeapTupleIsValid(tuple))
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION), errmsg("function with OID %u does not exist", updater)));
    const auto *const function = reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple));
    const char *const name = format_procedure(updater);
    const char *wrong = nullptr;
    if (function->prokind != PROKIND_FUNCTION)
        wrong = "It is a procedure, an aggregate or a window function.";
    else if (function->proretset)
        wrong = "It returns a set.";
    else if (function->pronargs != 2 || function->proargtypes.values[0] != JSONBOID ||
             function->proargtypes.values[1] != JSONBOID || OidIsValid(function->provariadic))
        wrong = "It does not take two arguments of type jsonb, the state and the event.";
    else if (function->prorettype != JSONBOID)
        wrong = psprintf("It returns %s.", format_type_be(function->prorettype));
    else if (function->proisstrict)
        wrong = "It is STRICT, so it would not be called for an instance's first event, when the state is NULL.";
    else if (isAnyTempNamespace(function->pronamespace))
        wrong = "It is temporary, and the workers that call it have sessions of their own.";
    if (wrong)
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_OBJECT_DEFINITION), errmsg("function %s cannot be an updater", name),
                 errdetail("%s", wrong),
                 errhint("An updater is a function (state jsonb, event jsonb) RETURNS jsonb that is not STRICT.")));
    ReleaseSysCache(tuple);

    const AclResult execute = pg_proc_aclcheck(updater, GetUserId(), ACL_EXECUTE);
    if (execute != ACLCHECK_OK)
        aclcheck_error(execute, OBJECT_FUNCTION, get_func_name(updater));
}

std::vector<std::string> checked_event_types(Datum array)
{
    Datum *values = nullptr;
    bool *nulls = nullptr;
    int count = 0;
    pg::call(
        [&]
        { deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &count); });
    if (count == 0)
        throw pg::Error(ERRCODE_INVALID_PARAMETER_VALUE, "event_types must not be empty")
            .hint("Leave it out for all types of events.");
    std::set<std::string> types; // sorted by bytes: part of the definition hash
    for (int i = 0; i < count; i++)
    {
        if (nulls[i])
            throw pg::Error(ERRCODE_NULL_VALUE_NOT_ALLOWED, "event_types must not contain nulls");
        const auto [type, is_new] = types.insert(pg::text_of(values[i]));
        if (!is_new)
            throw pg::Error(ERRCODE_INVALID_PARAMETER_VALUE,
                            "event_types names type " + pg::shown(*type) + " more than once");
    }
    return {types.begin(), types.end()};
}

struct SourceRow
{
    int32 id;
    Oid events;
};

SourceRow find_source(const std::string &name, bool lock)
{
    const CatalogScope scope;
    const std::string select =
        "SELECT s.source_id, c.oid FROM readmodel_catalog.source s LEFT JOIN pg_class c ON c.oid = s.events"
        " WHERE s.name = $1";
    const pg::Rows rows = pg::execute(lock ? select + " FOR KEY SHARE OF s" : select, pg::Args().text(name));
    if (rows.empty())
        throw pg::Error(pg::sqlstate::no_such_object, "event source " + pg::shown(name) + " does not exist")
            .hint("readmodel.source_status() lists the sources; readmodel.create_source makes one.");
    if (!OidIsValid(rows.oid(0, 2)))
        throw pg::Error(ERRCODE_UNDEFINED_TABLE, "the event table of source " + pg::shown(name) + " does not exist");
    return {*rows.integer(0, 1), rows.oid(0, 2)};
}

void check_may_read(Oid events)
{
    pg::call(
        [&]
        {
            const AclResult read = pg_class_aclcheck(events, GetUserId(), ACL_SELECT);
            if (read != ACLCHECK_OK)
                aclcheck_error(read, get_relkind_objtype(get_rel_relkind(events)), get_rel_name(events));
        });
}

[[noreturn]] void missing(const char *argument, const char *hint)
{
    throw pg::Error(ERRCODE_NULL_VALUE_NOT_ALLOWED, "argument " + pg::shown(argument) + " must not be null").hint(hint);
}

void require_function_arguments(const DefinitionArguments &arguments)
{
    if (!OidIsValid(arguments.updater))
        missing("updater", "Name a function (state jsonb, event jsonb) RETURNS jsonb, or give a spec.");
    if (!arguments.key)
        missing("key", "Give an SQL expression over position, type, stream, data, metadata and occurred_at, such as "
                       "key => $$data->>'id'$$.");
}

void refuse_function_arguments(const DefinitionArguments &arguments)
{
    const auto refuse = [](const char *argument, const char *hint)
    {
        throw pg::Error(ERRCODE_INVALID_PARAMETER_VALUE,
                        "argument " + pg::shown(argument) + " must not be given together with a spec")
            .hint(hint);
    };
    if (OidIsValid(arguments.updater))
        refuse("updater", "Give either an updater with a key, or a spec.");
    if (arguments.key)
        refuse("key", "The key of a declarative updater is the member \"key\" of its spec.");
    if (arguments.event_types)
        refuse("event_types", "A declarative updater reads the types that its spec's \"on\" names.");
}

void define_by_function(const DefinitionArguments &arguments, Definition &definition)
{
    check_updater(arguments.updater);
    definition.updater_oid = arguments.updater;
    definition.updater =
        pg::call([&] { return static_cast<const char *>(format_procedure_qualified(arguments.updater)); });
    if (arguments.event_types)
        definition.event_types = checked_event_types(*arguments.event_types);
    // What is checked here is what the workers will evaluate: the same path, temporary objects last.
    const pg::AsUser scope(GetUserId(), false);
    pg::set_local("search_path", definition.search_path.c_str());
    const KeyCheck key = check_key(*arguments.key);
    definition.key_expression = key.deparsed;
    definition.key_type = key.type;
    definition.key_is_array = key.is_array;
}

// No error: what is missing is left out, and a spec may serve sources of both kinds.
void tell_of_unmapped(int32 source_id, const fold::Spec &spec)
{
    const CatalogScope scope;
    const pg::Rows rows = pg::execute("SELECT metadata_expression IS NULL, occurred_at_expression IS NULL"
                                      "  FROM readmodel_catalog.source WHERE source_id = $1",
                                      pg::Args().integer(source_id), true);
    const auto tell = [](const char *path, const char *argument)
    {
        pg::call(
            [&]
            {
                ereport(NOTICE, (errmsg("the spec reads %s, which is missing in all events of this source", path),
                                 errhint("readmodel.create_source() maps it, by its argument \"%s\".", argument)));
            });
    };
    if (spec.reads_metadata() && rows.boolean(0, 1))
        tell("$event.metadata", "metadata");
    if (spec.reads_occurred_at() && rows.boolean(0, 2))
        tell("$event.occurredAt", "occurred_at");
}

void define_by_spec(Datum given, const std::optional<int32> &source_id, Definition &definition)
{
    if (GetDatabaseEncoding() != PG_UTF8)
        throw pg::Error(ERRCODE_FEATURE_NOT_SUPPORTED, "declarative updaters need a database with encoding UTF8")
            .detail(std::string("The encoding of this one is ") + GetDatabaseEncodingName() + ".")
            .hint("Give a function: updater and key instead of spec.");
    // jsonb has one text for a document, however it was formatted and its members were ordered; numbers keep their digits.
    definition.spec = std::string(pg::call(
        [&]
        {
            Jsonb *const document = DatumGetJsonbP(given);
            return static_cast<const char *>(JsonbToCString(nullptr, &document->root, VARSIZE(document)));
        }));
    const fold::Spec spec = parse_spec(*definition.spec);
    definition.event_types = spec.event_types();
    if (source_id)
        tell_of_unmapped(*source_id, spec);
}

} // namespace

void check_updater(Oid updater)
{
    pg::call([&] { raise_unless_updater(updater); });
}

DefinitionArguments DefinitionArguments::read(FunctionCallInfo fcinfo, int first)
{
    DefinitionArguments arguments;
    arguments.source = maybe_text_argument(fcinfo, first);
    arguments.updater = PG_ARGISNULL(first + 1) ? InvalidOid : PG_GETARG_OID(first + 1);
    arguments.key = maybe_text_argument(fcinfo, first + 2);
    arguments.event_types = argument(fcinfo, first + 3);
    arguments.spec = argument(fcinfo, first + 4);
    arguments.options = argument(fcinfo, first + 5);
    return arguments;
}

CheckedDefinition check_definition(const DefinitionArguments &arguments, SourceLock lock)
{
    CheckedDefinition checked;
    Definition &definition = checked.definition;
    // Names are written, and the key's literals read, as in the workers, whatever the session's settings are; the path is left
    // as it is.
    const pg::AsUser pinned(GetUserId(), false);
    for (const auto &[setting, value] : pg::pinned_settings())
        pg::set_local(setting, value);
    definition.search_path = pg::captured_search_path();
    checked.options = parse_options(arguments.options);

    if (!arguments.source)
        missing("source", "Name the event source that the query reads.");
    if (arguments.spec)
        refuse_function_arguments(arguments);
    else
        require_function_arguments(arguments);

    // Only who may read the events may make others wait for the source's row.
    SourceRow source = find_source(*arguments.source, false);
    check_may_read(source.events);
    if (lock == SourceLock::held)
    {
        source = find_source(*arguments.source, true);
        check_may_read(source.events); // it may be another source by now
    }
    checked.source_id = source.id;
    checked.source = *arguments.source;

    if (arguments.spec)
        define_by_spec(*arguments.spec, source.id, definition);
    else
        define_by_function(arguments, definition);
    definition.version = checked.options.version;
    checked.hash = definition_hash(source.id, definition);
    return checked;
}

Definition check_definition_alone(const DefinitionArguments &arguments)
{
    Definition definition;
    const pg::AsUser pinned(GetUserId(), false);
    for (const auto &[setting, value] : pg::pinned_settings())
        pg::set_local(setting, value);
    definition.search_path = pg::captured_search_path();
    if (arguments.spec)
    {
        refuse_function_arguments(arguments);
        define_by_spec(*arguments.spec, std::nullopt, definition);
    }
    else
    {
        require_function_arguments(arguments);
        define_by_function(arguments, definition);
    }
    return definition;
}

} // namespace query
