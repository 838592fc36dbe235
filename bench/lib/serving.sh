# shellcheck shell=bash
# Databases that are there to be served again after a start; suites 1 and 3 share them.

# serving_database EVENTS: the database serve_EVENTS with a live query over that many events, made unless it is there.
# Sets BUILD_SECONDS: how long the query took to be built from the start.
BUILD_SECONDS=
serving_database()
{
    local database=serve_$1 from
    if [ -n "$(ask postgres "SELECT 1 FROM pg_database WHERE datname = '$database'")" ]; then
        return
    fi
    serve_only ''
    quietly postgres -c 'SELECT pg_reload_conf()'
    new_database "$database" sql/log_table.sql sql/counter.sql
    progress "$1 events by generate_series"
    quietly "$database" -c "CALL log.fill($1, 10000)" -c 'VACUUM ANALYZE log.events'
    progress "building the query over them"
    from=$(now)
    quietly "$database" -c "SELECT bench.define_counter('counters', '$(fastest_kind)')"
    until_ready "$database" counters
    BUILD_SECONDS=$(seconds_since "$from")
    progress "built in $(shown "$BUILD_SECONDS") s"
    check_states "$database" counters log.counter_oracle
    quietly "$database" -f "$BENCH/sql/first_answer.sql" -c CHECKPOINT
}

# Only this database, or with none every one, has workers from the next start on.
serve_only() { throwaway_configure "readmodel.databases = '$1'"; }

# start_and_ask DATABASE: starts the server, and prints the milliseconds from then until it takes a connection, until the query
# is ready, and until its state was read, and the number of events that were read again; ends the run if the state is another.
start_and_ask()
{
    local begin connected ready answered read_again state
    begin=$(now)
    as_server_user "$BINDIR/pg_ctl" -D "$TA_DATA" -l "$TA_LOG" -W -s start
    until read -r connected ready answered read_again state < <(ask "$1" 'CALL bench.first_answer()' 2>"$TA_DIR/first_answer.err"); do
        if [ $(($(now) - begin)) -gt 60000000000 ]; then
            cat "$TA_DIR/first_answer.err" >&2
            wrong "no answer within a minute of the start"
        fi
    done
    [ "$state" = "$SERVED_STATE" ] || wrong "the state after a start is \"$state\", not \"$SERVED_STATE\""
    awk -v b="$begin" -v c="$connected" -v r="$ready" -v a="$answered" -v again="$read_again" \
        'BEGIN { printf "%.1f %.1f %.1f %d\n", c - b / 1e6, r - b / 1e6, a - b / 1e6, again }'
}

# served_state DATABASE: sets what start_and_ask() is to find
served_state() { SERVED_STATE=$(ask "$1" "SELECT replace(state::text, ' ', '') FROM readmodel.counters WHERE id = 'instance-7'"); }
SERVED_STATE=
