# shellcheck shell=bash
# Suite 3, warm restart to ready: a restart of the server takes as long with many events as with few, and reads none of them.

# shellcheck disable=SC2034
suite_title='Warm restart to ready'
# shellcheck disable=SC2034
suite_seconds=130

# Rounds take turns, and the noise is what differs between restarts over one and the same log. The stop is not counted: pg_ctl
# looks every 100 ms whether the server has ended.
suite()
{
    local few many events round ready again all_again=0 medians spread
    few=10000
    many=$(quick 5000000 40000)
    local -A restarts
    serving_database "$few"
    serving_database "$many"
    chart restart lines 'Restart to ready, round by round' round ms
    for round in $(seq "$(quick 11 3)"); do
        for events in "$few" "$many"; do
            # The restart that counts is the second one, of a server whose workers serve this database already.
            serve_only "serve_$events"
            throwaway_restart
            until_ready "serve_$events" counters
            served_state "serve_$events"
            throwaway_stop
            read -r _ ready _ again <<<"$(start_and_ask "serve_$events")"
            progress "$(printf 'round %s, %8s events: ready %s ms after the start' "$round" "$events" "$ready")"
            restarts[$events]+=" $ready"
            all_again=$((all_again + again))
            point restart "$events events" "$round" "$ready"
        done
    done
    # shellcheck disable=SC2086
    medians=("$(median ${restarts[$few]})" "$(median ${restarts[$many]})")
    # shellcheck disable=SC2086
    spread=$(most "$(calc "$(most ${restarts[$few]}) - $(least ${restarts[$few]})")" \
        "$(calc "$(most ${restarts[$many]}) - $(least ${restarts[$many]})")")
    row "restart to ready, $many events" "${medians[1]}" ms "$few events" "${medians[0]}" "$(ratio "${medians[1]}" "${medians[0]}")" 'ratio <= 1.1'
    row 'the difference of these' "$(calc "${medians[1]} - ${medians[0]}")" ms 'spread of the rounds' "$spread" \
        "$(ratio "$(calc "${medians[1]} - ${medians[0]}")" "$spread")" 'ratio <= 1'
    row 'events read again after these starts' "$all_again" events - - - 'value <= 0'
    over_http
    serve_only ''
    throwaway_restart
}

# The same as a load balancer sees it: server and HTTP service are restarted together.
over_http()
{
    local sizes events round health ready first='' last
    local -A all
    read -r -a sizes <<<"$(quick '1000 10000 100000' '1000 10000')"
    need_service
    chart ready lines 'From the restart of server and service to /ready' 'events in the log' ms logx
    for events in "${sizes[@]}"; do
        serving_database "$events"
        let_service_read "serve_$events"
    done
    for round in $(seq "$(quick 11 2)"); do
        for events in "${sizes[@]}"; do
            serve_only "serve_$events"
            throwaway_restart
            until_ready "serve_$events" counters
            throwaway_stop
            read -r health ready <<<"$(http_first_answers "serve_$events")"
            progress "$(printf 'round %s, %8s events: /health after %s ms, /ready %s' "$round" "$events" "$health" "$ready")"
            all[$events]+=" $ready"
        done
    done
    for events in "${sizes[@]}"; do
        # shellcheck disable=SC2086
        last=$(median ${all[$events]})
        first=${first:-$last}
        point ready /ready "$events" "$last"
        row "/ready after a warm restart, $events events" "$last" ms "${sizes[0]} events" "$first" "$(ratio "$last" "$first")" 'ratio <= 1.5'
    done
}
