# shellcheck shell=bash
# Suite 4, memory during replay: RssAnon of the rebuild's worker, above its first sample, against readmodel.state_cache; with few
# instances, which fit, and with so many that the cache has to let some go.

# shellcheck disable=SC2034
suite_title='Memory during replay'
# shellcheck disable=SC2034
suite_seconds=200

# replay_memory SERIES DATABASE QUERY EVENTS STATEMENT: rebuilds by that statement, and adds the rows
replay_memory()
{
    local series=$1 database=$2 query=$3 events=$4 samples above from seconds
    sample_memory "$TA_DIR/memory"
    from=$(now)
    quietly "$database" -c "$5"
    until_ready "$database" "$query"
    seconds=$(seconds_since "$from")
    end_sampling
    # Several workers of one rebuild, if there are, are to keep within the limit together: per moment, their sum.
    read -r samples above <<<"$(awk '
        !($2 in first) { first[$2] = $3 } { over[$2] = $3 - first[$2]; sum = 0; for (p in over) sum += over[p]; n++; if (sum > peak) peak = sum }
        END { printf "%d %.1f", n, peak / 1024 }' "$TA_DIR/memory")"
    if [ "$samples" -lt 2 ] && [ -z "$QUICK" ]; then
        wrong "the memory of the worker was seen only $samples times"
    fi
    # At most 200 points of each.
    awk '{ if (!n++) begin = $1; if (!($2 in first)) first[$2] = $3; t[n] = ($1 - begin) / 1000; mb[n] = ($3 - first[$2]) / 1024 }
        END { step = int(n / 200) + 1; for (i = 1; i <= n; i += step) printf "%.2f %.1f\n", t[i], mb[i] }' "$TA_DIR/memory" |
        while read -r t mb; do
            point memory "$series" "$t" "$mb"
        done
    longest=$(most "$longest" "$seconds")
    row "$series: worker above its start, peak" "$above" MB state_cache "$CACHE_MB" "$(ratio "$above" "$CACHE_MB")" "value <= $(calc "$CACHE_MB + 32")"
    row "$series: events" "$(calc "$events / $seconds")" events/s
}
CACHE_MB=
longest=0

suite()
{
    local kind many again
    CACHE_MB=$(ask postgres "SELECT pg_size_bytes(current_setting('readmodel.state_cache')) / 1024.0 / 1024")
    chart memory lines 'Memory of the rebuild worker above its start' seconds MB
    need_shop_log
    for kind in function spec; do
        if available "$kind"; then
            replay_memory "$((SHOP_EVENTS / 50)) instances, $kind" shop customers "$SHOP_EVENTS" "SELECT bench.define('customers', '$kind')"
            check_states shop customers bench.customers
            quietly shop -c "SELECT readmodel.drop_query('customers')"
        fi
    done

    # Every instance once, and a fifth of them again, when they are long out of the cache.
    many=$((EVENTS * 5))
    again=$((many / 5))
    kind=$(fastest_kind)
    new_database memory sql/log_table.sql sql/counter.sql
    progress "$((many + again)) events of $many instances"
    quietly memory -c "CALL log.fill($((many + again)), $many)" -c 'VACUUM ANALYZE log.events' -c CHECKPOINT
    progress "building the query over them"
    replay_memory "$many instances, $kind" memory counters $((many + again)) "SELECT bench.define_counter('counters', '$kind')"
    progress "comparing all states with the oracle's"
    check_states memory counters log.counter_oracle
    drop_database memory
    point memory state_cache 0 "$CACHE_MB"
    point memory state_cache "$longest" "$CACHE_MB"
}
