# shellcheck shell=bash
# Suite 1, time to serve after a start: from the start of the server until the first state is read from a query that is ready,
# over the number of events. What keeps its read models in memory has to replay all of them at this point.

# shellcheck disable=SC2034
suite_title='Time to serve after a start'
# shellcheck disable=SC2034
suite_seconds=150

suite()
{
    local sizes events round connected ready answered again first='' last rounds
    local all_again=0
    local -A all_answered
    read -r -a sizes <<<"$(quick '10000 100000 1000000 5000000' '10000 20000 40000')"
    rounds=$(quick 5 2)
    chart serve lines 'From the start of the server to the first answer' 'events in the log' seconds logx logy
    for events in "${sizes[@]}"; do
        BUILD_SECONDS=
        serving_database "$events"
        serve_only "serve_$events"
        served_state "serve_$events"
        for round in $(seq "$rounds"); do
            throwaway_stop
            read -r connected ready answered again <<<"$(start_and_ask "serve_$events")"
            progress "$(printf '%8s events, round %s: connected after %s ms, ready %s, answered %s' "$events" "$round" "$connected" "$ready" "$answered")"
            all_answered[$events]+=" $answered"
            all_again=$((all_again + again))
        done
        # shellcheck disable=SC2086
        last=$(calc "$(median ${all_answered[$events]}) / 1000")
        first=${first:-$last}
        point serve 'start to first answer' "$events" "$last"
        if [ -n "$BUILD_SECONDS" ]; then
            point serve "replay of the log ($(fastest_kind))" "$events" "$BUILD_SECONDS"
            row "first answer after a start, $events events" "$last" s 'replay of the log' "$BUILD_SECONDS" "$(ratio "$last" "$BUILD_SECONDS")"
        else
            row "first answer after a start, $events events" "$last" s
        fi
    done
    row "the same, ${sizes[-1]} events against ${sizes[0]}" "$last" s "${sizes[0]} events" "$first" "$(ratio "$last" "$first")" 'ratio <= 1.5'
    row 'events read again after these starts' "$all_again" events - - - 'value <= 0'
    over_http
    serve_only ''
    throwaway_restart
}

# The HTTP service is started together with the server: how long is it until it says that it lives? It does not look at the log.
over_http()
{
    local sizes events round health ready first='' last
    local -A all
    read -r -a sizes <<<"$(quick '1000 10000 100000' '1000 10000')"
    need_service
    chart health lines 'From the start of server and service to the first /health' 'events in the log' ms logx
    for events in "${sizes[@]}"; do
        serving_database "$events"
        let_service_read "serve_$events"
    done
    for round in $(seq "$(quick 5 2)"); do
        for events in "${sizes[@]}"; do
            serve_only "serve_$events"
            throwaway_stop
            read -r health ready <<<"$(http_first_answers "serve_$events")"
            progress "$(printf '%8s events, round %s: /health after %s ms, /ready %s' "$events" "$round" "$health" "$ready")"
            all[$events]+=" $health"
        done
    done
    for events in "${sizes[@]}"; do
        # shellcheck disable=SC2086
        last=$(median ${all[$events]})
        first=${first:-$last}
        point health /health "$events" "$last"
        row "/health after a start, $events events" "$last" ms "${sizes[0]} events" "$first" "$(ratio "$last" "$first")" 'ratio <= 1.5'
    done
}
