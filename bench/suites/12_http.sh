# shellcheck shell=bash
# Suite 12, the HTTP service: requests a second and how long they take, with 64 connections that are kept, a hundred queries, and everything on
# the same processors: the load, the service, and the server.

# shellcheck disable=SC2034
suite_title='The HTTP service'
# shellcheck disable=SC2034
suite_seconds=130

# Rounds in which what is compared takes turns.
suite()
{
    local round seconds rounds states p99=0 before after loader kept answered
    local -A rates
    need_service
    seconds=$(quick 5 1)
    rounds=$(quick 5 1)
    new_database http sql/log_table.sql sql/counter.sql sql/many_queries.sql
    progress "a log, and a hundred queries"
    quietly http -c "CALL log.fill($(quick 1000000 20000), 10000)" -c 'VACUUM ANALYZE log.events'
    quietly http -c "SELECT bench.define_counter('counters', '$(fastest_kind)')" \
        -c "SELECT bench.define_counter('query_' || i, '$(fastest_kind)', ARRAY['T' || i]) FROM generate_series(2, 100) AS i"
    until_ready http ''
    let_service_read http
    states=$(ask http "SELECT readmodel.state_table('counters')")
    # Only a number can be a variable of a prepared statement.
    sed "/^SELECT/s/states/$states/" "$BENCH/pgbench/select_state.pgbench" >"$TA_DIR/select_state.pgbench"
    start_service http

    for round in $(seq "$rounds"); do
        http_load "$seconds" /health
        rates[health]+=" $HTTP_RATE"
        http_load "$seconds" /ready
        rates[ready]+=" $HTTP_RATE"
        http_load "$seconds" '' "$BENCH/wrk/state.lua"
        rates[state]+=" $HTTP_RATE"
        load main http -c 8 -j 2 -T "$seconds" -M prepared -f "$TA_DIR/select_state.pgbench"
        rates[select]+=" $LOAD_TPS"
        progress "round $round: /health, /ready, a state, selects:${rates[health]##* } ${rates[ready]##* } ${rates[state]##* } ${rates[select]##* }"
    done
    for round in health ready state select; do
        # shellcheck disable=SC2086
        rates[$round]=$(median ${rates[$round]})
    done
    row '/health' "${rates[health]}" requests/s
    row '/ready, 100 queries' "${rates[ready]}" requests/s /health "${rates[health]}" "$(ratio "${rates[ready]}" "${rates[health]}")" 'ratio >= 0.5'
    row '/queries/{name}/{id}' "${rates[state]}" requests/s 'prepared point selects, 8 clients' "${rates[select]}" \
        "$(ratio "${rates[state]}" "${rates[select]}")" 'ratio >= 0.5'

    # A rebuild at full speed, begun anew whenever it is done.
    (while [ ! -e "$TA_DIR/rebuilt" ] && [ -d "$TA_DIR" ]; do
        quietly http -c "SELECT readmodel.rebuild('counters')" -c "CALL bench.until_ready('counters')"
    done) &
    loader=$!
    # Only the others are asked for, since what is rebuilt is not ready.
    for round in $(seq "$rounds"); do
        http_load "$seconds" "/ready?$(printf 'query=query_%s&' $(seq 2 100) | sed 's/&$//')"
        p99+=" $HTTP_P99"
    done
    touch "$TA_DIR/rebuilt"
    wait "$loader"
    rm "$TA_DIR/rebuilt"
    # shellcheck disable=SC2086
    row '/ready, 99 of 100 queries, during a rebuild at full speed: p99' "$(median $p99)" ms - - - 'value <= 10'
    stop_service

    # Connections that are kept and silent; then a flood of halves of requests.
    start_service http --idle-timeout 10min --header-timeout 10min
    before=$(awk '/^VmRSS/ { print $2 }' "/proc/$SERVICE_PID/status")
    kept=$(quick 10000 500)
    coproc KEPT { perl "$BENCH/lib/http_connections.pl" "${SERVICE_URL##*:}" "$kept" 'GET /health HTTP/1.1\nHost: localhost\n\n'; }
    read -r answered <&"${KEPT[0]}" && [ "$answered" = open ] || wrong "$kept connections cannot be opened"
    after=$(awk '/^VmRSS/ { print $2 }' "/proc/$SERVICE_PID/status")
    row "$kept idle connections: memory of the service" "$(calc "$after / 1024")" MB 'without them' "$(calc "$before / 1024")" \
        "$(ratio "$after" "$before")" 'value <= 200'
    exec {KEPT[1]}>&-
    wait "$KEPT_PID" || true
    coproc HALF { perl "$BENCH/lib/http_connections.pl" "${SERVICE_URL##*:}" "$kept" 'GET /health HTTP/1.1\nHo'; }
    read -r answered <&"${HALF[0]}" && [ "$answered" = open ] || wrong "$kept halves of requests cannot be sent"
    http_load "$seconds" /health
    row "/health beside $kept halves of requests" "$HTTP_RATE" requests/s 'without them' "${rates[health]}" "$(ratio "$HTTP_RATE" "${rates[health]}")"
    exec {HALF[1]}>&-
    wait "$HALF_PID" || true
    stop_service
    drop_database http
}
