#include "worker/adoption.hpp"

#include "pg/locks.hpp"
#include "pg/spi.hpp"

namespace worker
{

namespace
{

bool has_primary_key(Oid table)
{
    return pg::call(
        [&]
        {
            const Relation relation = try_relation_open(table, AccessShareLock);
            if (!relation)
                return false;
            const Oid key = RelationGetPrimaryKeyIndex(relation);
            relation_close(relation, NoLock);
            return OidIsValid(key);
        });
}

pg::Error missing(const source::EventSource &source, const std::string &what)
{
    return pg::Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                     "source " + pg::shown(source.name) + " is being restored: " + what);
}

} // namespace

std::optional<pg::Error> adopt_restored(const source::EventSource &source,
                                        const std::vector<query::Generation> &generations)
{
    if (std::optional<pg::Error> fault = source::check_source(source))
        return missing(source, fault->message_text);
    source::MaybePosition furthest;
    for (const query::Generation &generation : generations)
    {
        if (generation.source_id != source.id)
            continue;
        if (!OidIsValid(generation.state_table) || !has_primary_key(generation.state_table))
            return missing(source,
                           "the states of query " + pg::shown(generation.query_name) + " have no primary key yet");
        if (OidIsValid(generation.alias_table) && !has_primary_key(generation.alias_table))
            return missing(source,
                           "the aliases of query " + pg::shown(generation.query_name) + " have no primary key yet");
        if (source::before(furthest, generation.relied_on()))
            furthest = generation.relied_on();
    }
    if (OidIsValid(source.sequence) && furthest && pg::sequence_last_drawn(source.sequence) < *furthest)
        return missing(source, "its sequence is behind the checkpoints");

    const pg::Spi spi;
    pg::Args args;
    args.integer(source.id).text(source::source_stamp(source.events));
    pg::execute("UPDATE readmodel_catalog.source SET stamp = $2 WHERE source_id = $1", args);
    return std::nullopt;
}

} // namespace worker
