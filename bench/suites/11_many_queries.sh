# shellcheck shell=bash
# Suite 11, cost of the 2nd to 100th query: the time that the tail needs per event, for one live query, for a hundred that share the same
# events among them, and for ten that all take every event. Events come in bursts of one transaction.

# shellcheck disable=SC2034
suite_title='Cost of the 2nd to 100th query'
# shellcheck disable=SC2034
suite_seconds=90

# many_queries WANTED KIND: sets $MICROSECONDS
many_queries()
{
    local wanted=$1 kind=$2 burst round all='' one
    burst=$(quick 20000 2000)
    new_database many sql/log_appended.sql sql/counter.sql sql/many_queries.sql
    quietly many -c "CALL bench.define_many('$wanted', '$kind')"
    for round in $(seq 0 "$(quick 5 2)"); do
        load main many -c 1 -t 1 -D burst="$burst" -f "$BENCH/pgbench/burst.pgbench"
        until_caught_up many ''
        one=$(ask many "SELECT bench.microseconds_of_last_burst($burst)")
        # The first one makes all instances.
        if [ "$round" -gt 0 ]; then
            all+=" $one"
        fi
    done
    quietly many -c "CALL bench.check_many('$wanted')" || wrong "$wanted, $kind"
    # shellcheck disable=SC2086
    MICROSECONDS=$(median $all)
    progress "$kind, $wanted: $MICROSECONDS microseconds an event (rounds:$all)"
    drop_database many
}
MICROSECONDS=

suite()
{
    local kind one
    chart many bars 'Time of the tail per event' '' microseconds
    for kind in function spec; do
        if ! available "$kind"; then
            row_missing "$kind: time per event" µs
            continue
        fi
        many_queries one "$kind"
        one=$MICROSECONDS
        point many "$kind" 'one query' "$one"
        many_queries hundred "$kind"
        point many "$kind" '100 queries, 1 of 100 types each' "$MICROSECONDS"
        row "$kind: 100 live queries, 1 of 100 types each" "$MICROSECONDS" µs/event 'one query, the same events' "$one" "$(ratio "$MICROSECONDS" "$one")" 'ratio <= 3'
        many_queries ten "$kind"
        point many "$kind" '10 queries, every event' "$MICROSECONDS"
        row "$kind: 10 live queries, every event" "$MICROSECONDS" µs/event 'one query' "$one" "$(ratio "$MICROSECONDS" "$one")" 'ratio <= 6'
    done
}
