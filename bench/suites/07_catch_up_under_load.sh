# shellcheck shell=bash
# Suite 7, catch-up under live appends: a rebuild while events keep coming, and the lag of live queries behind writers who take the
# processors and leave holes.

# shellcheck disable=SC2034
suite_title='Catch-up under live appends'
# shellcheck disable=SC2034
suite_seconds=200

# --- a new query on a busy log ---------------------------------------------------------------------------------------------

rebuild_while_appending()
{
    local kind quiet busy rate
    kind=$(fastest_kind)
    rate=$(quick 2000 500)
    shop_log busy "$((EVENTS / 2))"
    quiet=$(rebuild_seconds busy "$kind")
    quietly busy -c "SELECT readmodel.drop_query('customers')"
    background_load main busy -M prepared -c 4 -j 1 -R "$rate" -T 300 -f "$BENCH/pgbench/append.pgbench"
    busy=$(rebuild_seconds busy "$kind")
    end_load
    until_caught_up busy customers
    quietly busy -c 'DROP TABLE bench.customers' -c 'CALL bench.keep_oracle()'
    check_states busy customers bench.customers
    row "rebuild to ready while $rate events/s are appended" "$busy" s 'on a quiet log' "$quiet" "$(ratio "$busy" "$quiet")" 'ratio <= 2'
    drop_database busy
}

# --- writers at full speed -------------------------------------------------------------------------------------------------

# lag_behind KIND QUERIES SECONDS
lag_behind()
{
    local kind=$1 queries=$2 seconds=$3 label query log from ended drained first last ratio share batches lookups
    label="8 writers, 10 % rollbacks, $queries live ($kind)"
    new_database load shop.sql sql/shop_queries.sql
    # Each batch tells what it needed; source_status() has the sums.
    quietly postgres -c "ALTER DATABASE load SET log_min_messages = debug1"
    quietly load -c "SELECT readmodel.create_source('shop', 'shop.events')" \
        -c "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
            WHERE backend_type = 'pg_readmodel tail' AND datname = 'load'" # the next one has the new setting
    for query in $(seq "$queries"); do
        quietly load -c "SELECT bench.define('customers_$query', '$kind')"
    done
    until_ready load ''
    log=$TA_DIR/main/server.log
    from=$(($(stat -c %s "$log") + 1))
    sample "$TA_DIR/lag" 0.1 main load 'SELECT extract(epoch FROM clock_timestamp()), coalesce(max(lag), 0) FROM readmodel.status();'
    load main load -M prepared -c 8 -j 2 -T "$seconds" -f "$BENCH/pgbench/torture.pgbench"
    end_sampling
    ended=$(now)
    until_caught_up load ''
    drained=$(seconds_since "$ended")
    quietly load -c 'CALL bench.keep_oracle()'
    for query in $(seq "$queries"); do
        check_states load "customers_$query" bench.customers
    done
    # Medians of the first and the last quarter.
    read -r first last <<<"$(awk -v n="$(wc -l <"$TA_DIR/lag")" 'NR <= n / 4 { print 1, $2 } NR > n * 3 / 4 { print 4, $2 }' "$TA_DIR/lag" | sort -k 1,1n -k 2,2n |
        awk '{ v[$1, ++n[$1]] = $2 } END { print v[1, int((n[1] + 1) / 2)] + 0, v[4, int((n[4] + 1) / 2)] + 0 }')"
    awk '{ if (!n++) begin = $1; print $1 - begin, $2 }' "$TA_DIR/lag" | while read -r at lag; do
        point lag "$queries live ($kind)" "$at" "$lag"
    done
    ratio=$(ratio "$last" "$((first > 1 ? first : 1))")
    read -r batches share <<<"$(tail -c "+$from" "$log" | grep -o 'a batch of source.*' |
        awk '{ n++; few += $(NF - 2) <= 1 } END { printf "%d %.1f", n, n ? 100 * few / n : 0 }')"
    lookups=$(ask load 'SELECT lock_lookups FROM readmodel.source_status()')
    progress "$label: $(shown "$LOAD_TPS") transactions/s; $batches batches, $lookups look-ups"
    row "$label: lag, last quarter" "$last" events 'first quarter' "$first" "$ratio" 'ratio <= 2'
    row "$label: caught up after the load" "$drained" s 'length of the load' "$seconds" "$(ratio "$drained" "$seconds")"
    row "$label: batches with at most one lock look-up" "$share" % - - - 'value >= 95'
    drop_database load
}

suite()
{
    rebuild_while_appending
    chart lag lines 'Lag of live queries behind writers at full speed' seconds events
    lag_behind function 1 "$(quick 40 3)"
    lag_behind function 3 "$(quick 40 3)"
    if available spec; then
        lag_behind spec 3 "$(quick 40 3)"
    fi
}
