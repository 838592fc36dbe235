# shellcheck shell=bash
# Suite 2, cold replay rate: events per second from define_query to "ready", beside what plain SQL and PL/pgSQL need.

# shellcheck disable=SC2034
suite_title='Cold replay rate'
# shellcheck disable=SC2034
suite_seconds=200

# --- the whole log, from the start ----------------------------------------------------------------------------------------

# replay_once VARIANT: prints its seconds; its states are right, or the run ends
replay_once()
{
    local variant=$1 from seconds
    case $variant in
        scan)
            ask shop "SELECT bench.by_hand_seconds('scan')"
            ;;
        group_by_*)
            quietly shop -c 'TRUNCATE bench.state'
            ask shop "SELECT bench.by_hand_seconds('$variant')"
            quietly shop -c 'SELECT bench.check_by_hand()' || wrong "$variant"
            ;;
        loop_*)
            quietly shop -c 'TRUNCATE bench.state'
            from=$(now)
            quietly shop -c "CALL bench.$variant()"
            seconds=$(seconds_since "$from")
            if [ "$variant" = loop_with_state ]; then
                quietly shop -c "SELECT bench.must_equal('bench.state', 'bench.customers')" || wrong "$variant"
            fi
            echo "$seconds"
            ;;
        *)
            rebuild_seconds shop "$variant"
            check_states shop customers bench.customers
            quietly shop -c "SELECT readmodel.drop_query('customers')"
            ;;
    esac
}

declare -A rates_of rate_of

replay_rates()
{
    local rounds=$1 round variant seconds rate
    for round in $(seq "$rounds"); do
        for variant in "${@:2}"; do
            # The loop takes longest and scatters least.
            [[ $variant == loop_* && $round -gt 2 ]] && continue
            seconds=$(replay_once "$variant")
            rate=$(calc "$SHOP_EVENTS / $seconds")
            rates_of[$variant]+=" $rate"
            progress "$(printf 'round %s: %-20s %s events/s' "$round" "$variant" "$(shown "$rate")")"
        done
    done
    for variant in "${@:2}"; do
        # shellcheck disable=SC2086
        rate_of[$variant]=$(median ${rates_of[$variant]})
        point replay 'events/s' "$variant" "${rate_of[$variant]}"
    done
}

# against KIND BASELINE-VARIANT LABEL TARGET
against() { row "$1: rebuild" "${rate_of[$1]}" events/s "$3" "${rate_of[$2]}" "$(ratio "${rate_of[$1]}" "${rate_of[$2]}")" "$4"; }

replay_rows()
{
    local hand=group_by_join
    if [ "$(calc "${rate_of[group_by_array]} > ${rate_of[group_by_join]}")" = 1 ]; then
        hand=group_by_array
    fi
    against function loop_with_state 'PL/pgSQL loop with states' 'ratio >= 3'
    against function loop_without_writes 'PL/pgSQL loop that writes nothing' 'ratio >= 0.8'
    against function scan 'plain scan' -
    if available spec; then
        row 'spec: rebuild' "${rate_of[spec]}" events/s - - - 'value >= 1100000'
        against spec scan 'plain scan' 'ratio >= 0.6'
        against spec loop_with_state 'PL/pgSQL loop with states' 'ratio >= 20'
        against spec $hand 'best INSERT .. GROUP BY by hand' 'ratio > 1'
    else
        row_missing 'spec: rebuild' events/s
    fi
    if available parallel; then
        row 'spec: rebuild, parallel 2' "${rate_of[parallel]}" events/s 'one lane' "${rate_of[spec]}" \
            "$(ratio "${rate_of[parallel]}" "${rate_of[spec]}")" 'ratio >= 1.35'
    else
        row_missing 'spec: rebuild, parallel 2' events/s
    fi
}

# --- a generation that has rows already -----------------------------------------------------------------------------------

# copy_events FROM TO: of the shop's log, to the database "catchup"
copy_events()
{
    on main shop -c "COPY (SELECT stream_id, version, type, data FROM shop.events WHERE position > $1 AND position <= $2
                           ORDER BY position) TO STDOUT" |
        on main catchup -c 'COPY shop.events (stream_id, version, type, data) FROM STDIN'
}

# Lets one paused query catch up. Prints its seconds, and how many times its checkpoint was written.
catch_up_once()
{
    ask catchup "CALL bench.catch_up('$1', NULL, NULL)"
}

# catch_up_part KIND EVENTS INTERVAL: lets the query catch up with that many events, with that flush_interval in ms
catch_up_part()
{
    local kind=$1 events=$2 interval=$3 seconds flushes
    on main catchup -c "ALTER SYSTEM SET readmodel.flush_interval = '$interval ms'" -c 'SELECT pg_reload_conf()' -o /dev/null
    read -r seconds flushes <<<"$(catch_up_once "customers_$kind")"
    CAUGHT_UP_RATE=$(calc "$events / $seconds")
    BETWEEN_FLUSHES=$(calc "$events / ($flushes < 1 ? 1 : $flushes)")
    progress "$(printf '%s catches up %s events: %s events/s, %s events between two flushes (flush_interval %s ms)' \
        "$kind" "$events" "$(shown "$CAUGHT_UP_RATE")" "$(shown "$BETWEEN_FLUSHES")" "$interval")"
}
CAUGHT_UP_RATE=
BETWEEN_FLUSHES=

# Flushes come by time, so a first part of what is missing tells at which interval 100,000 events lie between two of them.
catch_up_rates()
{
    local wanted=$((SHOP_EVENTS / 10)) # 100,000 of a million
    local first=$((SHOP_EVENTS * 3 / 10)) second=$((SHOP_EVENTS * 5 / 10)) last from loop seconds kind
    local -A interval=([function]=300 [spec]=150)
    local kinds=(function)
    if available spec; then
        kinds+=(spec)
    fi
    last=$(ask shop 'SELECT max(position) FROM shop.events')
    new_database catchup shop.sql sql/shop_queries.sql sql/loops.sql sql/catch_up.sql
    quietly catchup -c "SELECT readmodel.create_source('shop', 'shop.events')"
    progress "a log of $first events, and queries over it"
    copy_events -1 "$first"
    for kind in "${kinds[@]}"; do
        quietly catchup -c "SELECT bench.define('customers_$kind', '$kind')"
    done
    until_ready catchup ''
    quietly catchup -c 'SELECT bench.copy_states()' -c "SELECT readmodel.pause(name) FROM readmodel.status()"

    progress "the part with which the interval is found: $((second - first)) events"
    copy_events "$first" "$second"
    quietly catchup -c 'VACUUM ANALYZE shop.events'
    for kind in "${kinds[@]}"; do
        catch_up_part "$kind" $((second - first)) "${interval[$kind]}"
        interval[$kind]=$(awk -v rate="$CAUGHT_UP_RATE" -v n="$wanted" 'BEGIN { ms = 1000 * n / rate; printf "%d", (ms < 10 ? 10 : ms) }')
        quietly catchup -c "SELECT readmodel.pause('customers_$kind')"
    done
    quietly catchup -c "CALL bench.loop_with_state($first)"

    progress "the part that is measured: $((last - second)) events"
    copy_events "$second" "$last"
    quietly catchup -c 'VACUUM ANALYZE shop.events' -c CHECKPOINT -c 'CALL bench.keep_oracle()'
    from=$(now)
    quietly catchup -c "CALL bench.loop_with_state($second)"
    seconds=$(seconds_since "$from")
    loop=$(calc "($last - $second) / $seconds")
    quietly catchup -c "SELECT bench.must_equal('bench.state', 'bench.customers')" || wrong 'the PL/pgSQL loop'
    progress "the loop: $(shown "$loop") events/s"
    point catchup 'events/s' loop "$loop"
    for kind in "${kinds[@]}"; do
        catch_up_part "$kind" $((last - second)) "${interval[$kind]}"
        check_states catchup "customers_$kind" bench.customers
        point catchup 'events/s' "$kind" "$CAUGHT_UP_RATE"
        if [ "$kind" = spec ]; then
            row 'spec: catch-up with rows there' "$CAUGHT_UP_RATE" events/s - - - 'value >= 400000'
        fi
        row "$kind: catch-up with rows there" "$CAUGHT_UP_RATE" events/s 'PL/pgSQL loop, same part' "$loop" \
            "$(ratio "$CAUGHT_UP_RATE" "$loop")" "$(if [ "$kind" = function ]; then echo 'ratio >= 3'; else echo -; fi)"
        row "$kind: events between two flushes of that" "$BETWEEN_FLUSHES" events wanted "$wanted" "$(ratio "$BETWEEN_FLUSHES" "$wanted")"
    done
    available spec || row_missing 'spec: catch-up with rows there' events/s
    on main catchup -c 'ALTER SYSTEM RESET readmodel.flush_interval' -c 'SELECT pg_reload_conf()' -o /dev/null
    drop_database catchup
}

suite()
{
    local kind variants=(scan group_by_join group_by_array loop_with_state loop_without_writes function)
    need_shop_log
    quietly shop -f "$BENCH/sql/loops.sql" -f "$BENCH/sql/by_hand.sql"
    for kind in spec parallel; do
        if available "$kind"; then
            variants+=("$kind")
        fi
    done
    chart replay bars "Cold replay of $SHOP_EVENTS events" '' 'events/s'
    replay_rates "$(quick 3 1)" "${variants[@]}"
    replay_rows
    chart catchup bars 'Catching up, with rows there' '' 'events/s'
    catch_up_rates
    quietly shop -c 'DROP TABLE bench.state, bench.by_hand CASCADE' -c 'DROP PROCEDURE bench.loop_with_state, bench.loop_without_writes' \
        -c 'DROP FUNCTION bench.by_hand_seconds, bench.check_by_hand'
}
