#include "query/generation_check.hpp"

#include "pg/text.hpp"
#include "query/definition_hash.hpp"

namespace query
{

std::optional<pg::Error> check_generation(const Generation &generation, const source::EventSource &source)
{
    const std::string name = pg::shown(generation.query_name);
    if (!OidIsValid(generation.state_table))
        return pg::Error(ERRCODE_UNDEFINED_TABLE, "the table of states of query " + name + " is gone")
            .hint("readmodel.rebuild() builds the query anew.");
    if (generation.aliases_gone)
        return pg::Error(ERRCODE_UNDEFINED_TABLE, "the table of aliases of query " + name + " is gone")
            .hint("readmodel.rebuild() builds the query anew.");
    const bool calls_function = !generation.definition.spec;
    if (calls_function && !OidIsValid(generation.definition.updater_oid))
        return pg::Error(ERRCODE_UNDEFINED_FUNCTION, "the updater " + generation.definition.updater + " is gone")
            .hint("Create it again, or define the query with another updater.");
    const std::string owner = pg::call([&] { return GetUserNameFromId(generation.owner, false); });
    if (pg::call([&] { return pg_class_aclcheck(source.events, generation.owner, ACL_SELECT); }) != ACLCHECK_OK)
        return pg::Error(ERRCODE_INSUFFICIENT_PRIVILEGE,
                         "the owner of query " + name + " may not read table " + pg::relation_name(source.events))
            .hint("Grant SELECT on it to " + pg::quoted(owner) + ".");
    if (calls_function &&
        pg::call([&] { return pg_proc_aclcheck(generation.definition.updater_oid, generation.owner, ACL_EXECUTE); }) !=
            ACLCHECK_OK)
        return pg::Error(ERRCODE_INSUFFICIENT_PRIVILEGE,
                         "the owner of query " + name + " may not call " + generation.definition.updater)
            .hint("Grant EXECUTE on it to " + pg::quoted(owner) + ".");
    return std::nullopt;
}

bool definition_unchanged(const Generation &generation)
{
    return definition_hash(generation.source_id, generation.definition) == generation.definition_hash;
}

} // namespace query
