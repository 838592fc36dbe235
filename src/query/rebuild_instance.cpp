// rebuild_instance: one instance is folded afresh and stored, after events of it were corrected or erased.

#include "pg/log.hpp"
#include "pg/transaction.hpp"
#include "query/arguments.hpp"
#include "query/catalog_rows.hpp"
#include "query/correction.hpp"
#include "query/generation_check.hpp"
#include "query/instance_id.hpp"
#include "query/replay.hpp"
#include "worker/wakeup.hpp"

namespace query
{

namespace
{

const char *told(Correction::Change change)
{
    switch (change)
    {
    case Correction::Change::changed:
        return "was changed";
    case Correction::Change::made:
        return "was made";
    case Correction::Change::deleted:
        return "was deleted";
    case Correction::Change::none:
        break;
    }
    return "is unchanged";
}

// Reads the log to the checkpoint before that is locked, and what came meanwhile after it: the query goes on until then.
std::string rebuild_in(const ReplaySubject &subject, const std::string &id, const std::string &bytes)
{
    const Generation &generation = subject.generation;
    ChosenInstances chosen;
    chosen.ids.insert(bytes);
    LogReplay replay(generation, subject.source, divisible(generation) ? InstanceShare::only(chosen) : InstanceShare(),
                     {});
    {
        const LatestSnapshot snapshot;
        replay.leave_out(dead_letters_of(generation.id));
        replay.run(catalog::checkpoint_of(generation.id).position);
    }
    Correction correction(subject);
    if (!correction.checkpoint())
        return "has applied nothing yet";
    const LatestSnapshot snapshot;
    replay.leave_out(dead_letters_of(generation.id));
    replay.run(correction.checkpoint());
    const Correction::Change change = correction.store(replay.states(), replay.states().at(bytes));
    const int aliases = correction.store_aliases_of(replay.fold().aliases(), bytes);
    // Also where nothing differs: a lane may just have read an event that this transaction has erased.
    correction.finish(0);
    return "instance " + pg::shown(id) + " " + told(change) +
           (aliases > 0 ? ", and " + std::to_string(aliases) + " of its aliases" : "");
}

// It stands still since its definition was changed. Put back, it would go on with what was corrected or erased still in its states.
void leave_uncorrected(const Generation &generation, const std::string &id)
{
    record_failure(generation.id, "late_event", std::nullopt, "",
                   "instance " + pg::shown(id) + " was corrected while this generation could not be");
}

Datum rebuild_instance(FunctionCallInfo fcinfo)
{
    const std::string name = text_argument(fcinfo, 0, "name");
    const std::string id = text_argument(fcinfo, 1, "id");
    const QueryRow query = lock_own_query(name);
    {
        const CatalogScope scope;
        const std::vector<ReplaySubject> subjects = [&]
        {
            const LatestSnapshot snapshot;
            return replay_subjects(query);
        }();
        std::optional<pg::Error> fault;
        std::optional<pg::PgError> no_value;
        bool any = false;
        // As everybody does it: relations before rows of the catalog, tables by generation.
        for (const ReplaySubject &subject : subjects)
            lock_for_replay(subject, RowExclusiveLock);
        for (const ReplaySubject &subject : subjects)
        {
            const std::string generation =
                "query " + pg::shown(name) + ", generation " + std::to_string(subject.generation.number) + ": ";
            if (std::optional<pg::Error> why = replay_fault(subject))
            {
                if (!subject.generation.newest && !definition_unchanged(subject.generation))
                    leave_uncorrected(subject.generation, id);
                if (subjects.size() > 1)
                    pg::log(NOTICE, generation + "left as it is: " + why->message_text);
                fault = std::move(why);
                continue;
            }
            // The key of another generation can be of another type.
            std::string bytes;
            if (std::optional<pg::PgError> why =
                    pg::attempt(true, [&] { bytes = id_bytes_of(subject.generation.definition.key_type, id); }))
            {
                if (subjects.size() > 1)
                    pg::log(NOTICE, generation + "left as it is: " + std::string(why->message()));
                no_value = std::move(why);
                continue;
            }
            pg::log(NOTICE, generation + rebuild_in(subject, id, bytes));
            any = true;
        }
        if (!any && no_value)
            throw pg::PgError(*no_value);
        if (!any && fault)
            throw pg::Error(*fault);
    }
    worker::announce_definitions();
    PG_RETURN_VOID();
}

} // namespace

} // namespace query

READMODEL_FUNCTION(readmodel_rebuild_instance, query::rebuild_instance);
