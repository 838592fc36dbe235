#include "query/view.hpp"

#include "query/carry_over.hpp"
#include "query/catalog.hpp"

namespace query
{

namespace
{

std::string view_body(int32 generation_id, Oid state_table)
{
    return " AS SELECT id, state, position, updated_at FROM " + pg::relation_name(state_table) +
           " WHERE readmodel_catalog.is_serving(" + std::to_string(generation_id) + ")";
}

// A statement as the current user, whose path is not to be trusted.
void run_as_caller(const std::string &sql)
{
    const pg::AsUser scope(GetUserId(), false);
    pg::set_local("search_path", "pg_catalog, pg_temp");
    const pg::Spi spi;
    pg::execute(sql);
}

std::string role_name(Oid role)
{
    return pg::quoted(
        std::string_view(pg::call([&] { return static_cast<const char *>(GetUserNameFromId(role, false)); })));
}

Oid relation_in(const std::string &schema, const std::string &name)
{
    return pg::call([&] { return get_relname_relid(name.c_str(), get_namespace_oid(schema.c_str(), false)); });
}

void check_schema(const std::string &schema)
{
    const bool ours = schema == "readmodel_catalog" || schema == "readmodel_data";
    if (ours || schema == "pg_temp" ||
        pg::call(
            [&]
            {
                return IsCatalogNamespace(get_namespace_oid(schema.c_str(), false)) ||
                       isAnyTempNamespace(get_namespace_oid(schema.c_str(), false));
            }))
        throw pg::Error(ERRCODE_INVALID_PARAMETER_VALUE, "a query's view cannot be in schema " + pg::shown(schema));
}

} // namespace

Oid create_view(const std::string &schema, const std::string &name, int32 generation_id, Oid state_table)
{
    check_schema(schema);
    if (OidIsValid(relation_in(schema, name)))
        throw pg::Error(ERRCODE_DUPLICATE_TABLE,
                        "relation " + pg::shown(name) + " already exists in schema " + pg::shown(schema))
            .detail("The view of a query has the query's name.")
            .hint("Give the query another name, or its view another schema with the option \"schema\".");
    const std::string create = "CREATE VIEW " + pg::quoted(schema, name) + " (id, state, position, updated_at)" +
                               view_body(generation_id, state_table);
    if (schema == "readmodel")
    {
        // The schema for everybody's views, in which nobody needs, or has, the right to create anything else.
        const std::string owner = role_name(GetUserId());
        const CatalogScope scope;
        pg::execute(create);
        pg::execute("ALTER VIEW " + pg::quoted(schema, name) + " OWNER TO " + owner);
    }
    else
        run_as_caller(create);
    return relation_in(schema, name);
}

void move_view(Oid view, const std::string &schema)
{
    check_schema(schema);
    const std::string move = "ALTER VIEW " + pg::relation_name(view) + " SET SCHEMA " + pg::quoted(schema);
    if (schema == "readmodel")
    {
        const CatalogScope scope;
        pg::execute(move);
    }
    else
        run_as_caller(move);
}

std::string dependents_of_view(Oid view)
{
    const CatalogScope scope;
    // Of a view it is the rule that depends on ours.
    const pg::Rows rows =
        pg::execute("SELECT string_agg(DISTINCT CASE WHEN r.oid IS NULL"
                    "           THEN pg_describe_object(d.classid, d.objid, d.objsubid)"
                    "           ELSE pg_describe_object('pg_class'::regclass, r.ev_class, 0) END, ', ')"
                    "  FROM pg_depend d"
                    "  LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid"
                    " WHERE (d.refclassid = 'pg_class'::regclass AND d.refobjid = $1"
                    "        OR d.refclassid = 'pg_type'::regclass AND d.refobjid IN"
                    "           (SELECT unnest(ARRAY[t.oid, t.typarray]) FROM pg_type t WHERE t.typrelid = $1))"
                    "   AND d.deptype = 'n'"
                    "   AND r.ev_class IS DISTINCT FROM $1",
                    pg::Args().oid(view));
    return rows.text(0, 1).value_or("");
}

void require_key_can_change(Oid view, const std::string &query_name, KeyType key_type)
{
    if (!OidIsValid(view) || pg::call([&] { return get_atttype(view, 1); }) == type_oid(key_type))
        return;
    const std::string dependents = dependents_of_view(view);
    if (!dependents.empty())
        throw pg::Error(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST, "cannot change the key type of query " +
                                                                   pg::shown(query_name) +
                                                                   " because other objects depend on its view")
            .detail("They are: " + dependents + ".")
            .hint("Drop them first, or give the new query another name.");
}

namespace
{

// What of a view has to be said again when it is replaced or made anew.
struct ViewProperties
{
    std::string columns; // quoted
    std::string options; // " WITH (..)" or empty
};

ViewProperties properties_of(Oid view)
{
    const pg::Rows rows =
        pg::execute("SELECT (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum)"
                    "          FROM pg_attribute WHERE attrelid = c.oid AND attnum BETWEEN 1 AND 4),"
                    "       (SELECT ' WITH (' || string_agg(format('%I = %L', option_name, option_value), ', ') || ')'"
                    "          FROM pg_options_to_table(c.reloptions))"
                    "  FROM pg_class c WHERE c.oid = $1",
                    pg::Args().oid(view));
    if (rows.empty())
        throw pg::Error(ERRCODE_UNDEFINED_TABLE, "view with OID " + std::to_string(view) + " does not exist");
    return {*rows.text(0, 1), rows.text(0, 2).value_or("")};
}

} // namespace

Oid replace_view(Oid view, int32 generation_id, Oid state_table, bool recreate)
{
    const std::string schema = pg::call(
        [&]
        {
            const char *const found = get_namespace_name(get_rel_namespace(view));
            return found ? found : "";
        });
    const std::string name = pg::call(
        [&]
        {
            const char *const found = get_rel_name(view);
            return found ? found : "";
        });
    const CatalogScope scope;
    const ViewProperties properties = properties_of(view);
    const std::string target = pg::quoted(schema, name);
    const std::string rest =
        target + " (" + properties.columns + ")" + properties.options + view_body(generation_id, state_table);
    if (!recreate)
    {
        pg::execute("CREATE OR REPLACE VIEW " + rest);
        return view;
    }

    // Under another name first, so that what the old one has can be read while the new one is there. The name is ours alone: it
    // stands in a transaction only, and generation ids are unique.
    const std::string aside = "replaced view of generation " + std::to_string(generation_id);
    const Oid owner = pg::execute("SELECT relowner FROM pg_class WHERE oid = $1", pg::Args().oid(view)).oid(0, 1);
    pg::execute("ALTER VIEW " + target + " RENAME TO " + pg::quoted(aside));
    pg::execute("CREATE VIEW " + rest);
    pg::execute("ALTER VIEW " + target + " OWNER TO " + role_name(owner));
    carry_over_privileges(view, "VIEW", target);
    pg::execute("DROP VIEW " + pg::quoted(schema, aside));
    return relation_in(schema, name);
}

} // namespace query
