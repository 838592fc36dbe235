// append(): events to the end of a stream, with optimistic concurrency, as the caller.
//
// Appends to one stream take turns: each holds a lock on the stream until its transaction ends, and reads the stream's
// version only after it has the lock, under a snapshot that is taken then. So two appends never want the same version,
// a loser learns the winner's version exactly, and it has drawn no position that would leave a hole. A writer that
// inserts without append() does not take the lock: against that one only the unique index helps, and so it does under
// REPEATABLE READ, where the snapshot is older than the lock.

#include "pg/spi.hpp"
#include "pg/sqlstate.hpp"
#include "source/append_plans.hpp"
#include "source/event_documents.hpp"

namespace source
{

namespace
{

// Streams share this many locks per table, so that a transaction that appends to any number of streams does not fill
// the server's lock table. Two streams that share one wait for each other, nothing worse.
constexpr uint32 stream_locks = 1024;

// Tells our locks from those of pg_advisory_lock, which has 1 and 2 here.
constexpr uint16 lock_class = 0x524D;

struct Request
{
    Oid table;
    Datum stream;
    EventDocuments events;
    bool any_version;
    int64 expected;
};

struct Appended
{
    int64 last_version;
    int64 first_position;
    int64 last_position;
};

// How an attempt ended that raised no error.
struct Outcome
{
    enum
    {
        appended_events,
        conflict,      // the stream is at another version than the expected one
        stale_snapshot // the transaction's snapshot does not see the stream's end
    } kind;
    int64 actual; // the stream's version
    Appended appended;
};

void lock_stream(const Request &request)
{
    const text *const stream = DatumGetTextPP(request.stream);
    const uint32 hash = hash_bytes(reinterpret_cast<const unsigned char *>(VARDATA_ANY(stream)),
                                   static_cast<int>(VARSIZE_ANY_EXHDR(stream)));
    LOCKTAG tag;
    SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, request.table, hash % stream_locks, lock_class);
    (void)LockAcquire(&tag, ExclusiveLock, false, false);
}

void check_result(int result)
{
    if (result < 0)
        elog(ERROR, "SPI_execute_plan failed: %s", SPI_result_code_string(result));
}

int64 returned_bigint(uint64 row)
{
    bool is_null = false;
    return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 1, &is_null));
}

// The result of plans->highest_version; 0 for a new stream.
int64 highest_found()
{
    const int64 version = SPI_processed > 0 ? returned_bigint(0) : 0;
    SPI_freetuptable(SPI_tuptable);
    return version;
}

// As the current statement's snapshot sees it: the newest one under READ COMMITTED.
int64 highest_seen(const AppendPlans *plans, const Request &request)
{
    Datum values[] = {request.stream};
    check_result(SPI_execute_plan(plans->highest_version, values, nullptr, false, 0));
    return highest_found();
}

int64 highest_committed(const AppendPlans *plans, const Request &request)
{
    Datum values[] = {request.stream};
    check_result(SPI_execute_snapshot(plans->highest_version, values, nullptr, GetLatestSnapshot(), InvalidSnapshot,
                                      false, false, 0));
    return highest_found();
}

void insert_one(const AppendPlans *plans, const Request &request, int64 version)
{
    const EventDocuments &events = request.events;
    Datum values[] = {request.stream, Int64GetDatum(version), events.types[0], events.data[0], events.metadata[0]};
    check_result(SPI_execute_plan(plans->insert_one, values, events.no_metadata[0] ? "    n" : "     ", false, 0));
}

void insert_many(const AppendPlans *plans, const Request &request, int64 first_version)
{
    const EventDocuments &events = request.events;
    auto *const versions = static_cast<Datum *>(palloc(static_cast<Size>(events.count) * sizeof(Datum)));
    for (int i = 0; i < events.count; i++)
        versions[i] = Int64GetDatum(first_version + i);
    int dimensions[] = {events.count};
    int lower_bounds[] = {1};
    Datum values[] = {
        request.stream,
        PointerGetDatum(
            construct_array(versions, events.count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)),
        PointerGetDatum(construct_array(events.types, events.count, TEXTOID, -1, false, TYPALIGN_INT)),
        PointerGetDatum(construct_array(events.data, events.count, JSONBOID, -1, false, TYPALIGN_INT)),
        PointerGetDatum(construct_md_array(events.metadata, events.no_metadata, 1, dimensions, lower_bounds, JSONBOID,
                                           -1, false, TYPALIGN_INT)),
    };
    check_result(SPI_execute_plan(plans->insert_many, values, nullptr, false, 0));
}

Outcome attempt(const AppendPlans *plans, const Request &request)
{
    lock_stream(request);
    Outcome outcome{};
    outcome.actual = IsolationUsesXactSnapshot() ? highest_committed(plans, request) : highest_seen(plans, request);
    if (!request.any_version && request.expected != outcome.actual)
        outcome.kind = Outcome::conflict;
    else if (request.any_version && IsolationUsesXactSnapshot() && highest_seen(plans, request) != outcome.actual)
        outcome.kind = Outcome::stale_snapshot;
    if (outcome.kind != Outcome::appended_events)
        return outcome;
    int64 last = 0;
    if (pg_add_s64_overflow(outcome.actual, request.events.count, &last))
        ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
                        errmsg("version of stream \"%s\" out of range", TextDatumGetCString(request.stream))));
    if (request.events.count == 1)
        insert_one(plans, request, last);
    else
        insert_many(plans, request, outcome.actual + 1);
    if (SPI_processed != static_cast<uint64>(request.events.count))
        ereport(ERROR,
                (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                 errmsg("a trigger or rule of table \"%s\" dropped appended events", get_rel_name(request.table)),
                 errdetail("%llu of %d events were inserted.", static_cast<unsigned long long>(SPI_processed),
                           request.events.count)));
    outcome.appended = {last, returned_bigint(0), returned_bigint(SPI_processed - 1)};
    SPI_freetuptable(SPI_tuptable);
    return outcome;
}

pg::Error version_conflict(const Request &request, const std::string &detail)
{
    return pg::Error(pg::sqlstate::version_conflict,
                     "version conflict in stream " + pg::shown(pg::text_of(request.stream)))
        .detail(std::string(detail))
        .hint("Read the stream again and decide anew.");
}

pg::Error serialization_failure(const Request &request)
{
    return pg::Error(ERRCODE_T_R_SERIALIZATION_FAILURE,
                     "could not serialize access due to a concurrent append to stream " +
                         pg::shown(pg::text_of(request.stream)))
        .hint("The transaction might succeed if retried.");
}

// A unique violation on (stream_id, version) says that another transaction has committed the version that we wanted.
pg::Error lost_race(const Request &request)
{
    if (request.any_version)
        return serialization_failure(request);
    return version_conflict(request, "Expected version " + std::to_string(request.expected) +
                                         ", but a concurrent transaction has appended after it.");
}

// An append can run inside another one's trigger.
struct Nesting
{
    static inline int depth = 0;
    Nesting() { depth++; }
    ~Nesting() { depth--; }
    Nesting(const Nesting &) = delete;
    Nesting &operator=(const Nesting &) = delete;
};

Appended append_events(const Request &request)
{
    const Nesting nesting;
    const pg::Spi spi;
    const AppendPlans *const plans = pg::call([&] { return plans_for(request.table, Nesting::depth > 1); });
    std::optional<Outcome> outcome;
    try
    {
        outcome = pg::call([&] { return attempt(plans, request); });
    }
    catch (const pg::PgError &error)
    {
        if (error.sqlstate() == ERRCODE_UNIQUE_VIOLATION && plans->guards_versions(error.data().constraint_name))
            throw lost_race(request);
        throw;
    }
    switch (outcome->kind)
    {
    case Outcome::conflict:
        throw version_conflict(request, "Expected version " + std::to_string(request.expected) +
                                            ", but the stream is at version " + std::to_string(outcome->actual) + ".");
    case Outcome::stale_snapshot:
        throw serialization_failure(request);
    default:
        return outcome->appended;
    }
}

Request request_of_arguments(FunctionCallInfo fcinfo)
{
    static constexpr const char *names[] = {"event_table", "stream", "events"};
    for (int argument = 0; argument < 3; argument++)
        if (PG_ARGISNULL(argument))
            throw pg::Error(ERRCODE_NULL_VALUE_NOT_ALLOWED,
                            "argument " + pg::shown(names[argument]) + " must not be null");
    Request request{};
    request.table = PG_GETARG_OID(0);
    request.stream = pg::call([&] { return PointerGetDatum(PG_GETARG_TEXT_PP(1)); });
    if (VARSIZE_ANY_EXHDR(DatumGetPointer(request.stream)) == 0)
        throw pg::Error(ERRCODE_INVALID_PARAMETER_VALUE, "argument \"stream\" must not be empty");
    request.any_version = PG_ARGISNULL(3);
    request.expected = request.any_version ? 0 : PG_GETARG_INT64(3);
    if (request.expected < 0)
        throw pg::Error(ERRCODE_INVALID_PARAMETER_VALUE, "argument \"expected_version\" must not be negative")
            .hint("Use 0 for a new stream, and NULL for any version.");
    request.events = pg::call([&] { return event_documents(PG_GETARG_JSONB_P(2)); });
    return request;
}

Datum append(FunctionCallInfo fcinfo)
{
    const Appended appended = append_events(request_of_arguments(fcinfo));
    pg::call(
        [&]
        {
            InitMaterializedSRF(fcinfo, 0);
            const auto *const result = reinterpret_cast<const ReturnSetInfo *>(fcinfo->resultinfo);
            Datum values[] = {Int64GetDatum(appended.last_version), Int64GetDatum(appended.first_position),
                              Int64GetDatum(appended.last_position)};
            bool nulls[] = {false, false, false};
            tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
        });
    return Datum{0};
}

} // namespace

} // namespace source

READMODEL_FUNCTION(readmodel_append, source::append);
