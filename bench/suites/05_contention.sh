# shellcheck shell=bash
# Suite 5, contention on one instance: 1, 10 and 100 writers whose events all concern one instance; appended to one stream by
# append(), which serialises them, or inserted into none. Nothing may be lost or counted twice, and writers should not notice.

# shellcheck disable=SC2034
suite_title='Contention on one instance'
# shellcheck disable=SC2034
suite_seconds=150

# contend LOAD WRITERS SECONDS DATABASE
contend() { load main "$4" -M prepared -c "$2" -j "$(($2 > 1 ? 2 : 1))" -T "$3" -f "$BENCH/pgbench/$1.pgbench"; }

# contention LOAD WRITERS LABEL
# shellcheck disable=SC2086 # lists of numbers
contention()
{
    local kind=$1 writers=$2 label seconds round events without='' with='' ratios='' lags='' lag seen tps
    seconds=$(quick 3 1)
    label="$3, $2 writer$(if [ "$2" -gt 1 ]; then echo s; fi)"
    for round in $(seq "$(quick 3 1)"); do
        # Sampled here too: looking takes a part of the processor.
        sample "$TA_DIR/lag" 0.05 main contention_without 'SELECT coalesce(lag, 0) FROM readmodel.status();'
        contend "$kind" "$writers" "$seconds" contention_without
        end_sampling
        tps=$LOAD_TPS
        without+=" $tps"
        sample "$TA_DIR/lag" 0.05 main contention_with 'SELECT coalesce(lag, 0) FROM readmodel.status();'
        contend "$kind" "$writers" "$seconds" contention_with
        end_sampling
        until_caught_up contention_with one
        mapfile -t seen <"$TA_DIR/lag"
        lag=$(median "${seen[@]}")
        with+=" $LOAD_TPS"
        ratios+=" $(ratio "$LOAD_TPS" "$tps")"
        lags+=" $lag"
        progress "$(printf '%s, round %s: %.0f appends/s without, %.0f with a query; lag %s events' "$label" "$round" "$tps" "$LOAD_TPS" "$lag")"
    done
    check_states contention_with one log.counter_oracle
    events=$(ask contention_with "SELECT count(*) FROM log.events")
    if [ "$(ask contention_with "SELECT (state->>'events')::bigint FROM readmodel.one")" != "$events" ]; then
        wrong "the instance has not counted each of $events events once"
    fi
    if [ "$(ask contention_with "SELECT bool_and(count = last) FROM
            (SELECT count(*), max(version) AS last FROM log.events WHERE version IS NOT NULL GROUP BY stream_id) AS stream")" = f ]; then
        wrong 'the versions of the stream have holes'
    fi
    row "$label, one live query" "$(median $with)" appends/s 'no query' "$(median $without)" "$(median $ratios)" 'ratio >= 0.7'
    row "$label: lag meanwhile, median" "$(median $lags)" events 'appended in a second' "$(median $with)" "$(ratio "$(median $lags)" "$(median $with)")"
    point contention "$3, no query" "${label#*, }" "$(median $without)"
    point contention "$3, live query" "${label#*, }" "$(median $with)"
}

suite()
{
    local database writers
    chart contention bars 'Appends that all concern one instance' '' 'appends/s'
    for database in contention_without contention_with; do
        new_database "$database" sql/log_appended.sql sql/counter.sql
    done
    quietly contention_with -c "SELECT bench.define_counter('one', '$(fastest_kind)')"
    until_ready contention_with one
    for writers in 1 10 100; do
        contention one_stream "$writers" 'append() to one stream'
        contention one_instance "$writers" 'inserts'
    done
    for database in contention_without contention_with; do
        drop_database "$database"
    done
}
