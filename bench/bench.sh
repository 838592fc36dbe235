#!/bin/bash
# bench.sh: the figures that the project promises, each with its baseline from the same run. See bench/README.md.
#
#   SCALE=0.1            a tenth of the events and shorter runs; the figures are then only a hint
#   SUITES="rebuild ..." only these of: rebuild, latency, append, torture-load
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=test/tools/throwaway-server.sh
. "$here/../test/tools/throwaway-server.sh"

SCALE=${SCALE:-1}
SUITES=${SUITES:-rebuild latency append torture-load}
if ! [[ $SCALE =~ ^[0-9]*\.?[0-9]+$ ]] || [ "$(awk -v s="$SCALE" 'BEGIN { print (s > 0 && s <= 10) }')" != 1 ]; then
    echo "SCALE: \"$SCALE\" is not a number above 0 and up to 10" >&2
    exit 2
fi

say() { printf '\n== %s\n' "$*"; }
# on SERVER DATABASE PSQL-ARGUMENT..
on() { PGHOST=$TA_DIR/$1 psql -X -q -v ON_ERROR_STOP=1 -d "$2" "${@:3}"; }
results() { on plain postgres "$@"; }
scaled() { awk -v x="$1" -v s="$SCALE" -v least="${2:-1}" 'BEGIN { v = x * s; printf "%d", (v < least ? least : v) }'; }
seconds_of() { awk -v from="$1" -v to="$2" 'BEGIN { printf "%.3f", (to - from) / 1e9 }'; }
now() { date +%s%N; }

start_servers()
{
    local settings=("shared_buffers = 512MB" "max_wal_size = 8GB" "checkpoint_timeout = 30min" "synchronous_commit = off")
    throwaway_create
    throwaway_configure "${settings[@]}"
    throwaway_start
    throwaway_add plain
    throwaway_configure "${settings[@]}" "shared_preload_libraries = ''"
    throwaway_start
    throwaway_use main
    results -f "$here/figures.sql"
}

new_database()
{
    on main postgres -c "CREATE DATABASE $1"
    on main "$1" -c 'CREATE EXTENSION pg_readmodel'
}

# --- rebuild: events per second, and the memory of the worker meanwhile ------------------------------------------------

# Prints "pid start peak samples" (kB of RssAnon) once the query's worker was seen and has ended its rebuild.
sample_memory()
{
    local pid='' start='' peak=0 samples=0 key value
    until [[ $pid =~ ^[0-9]+$ ]]; do
        pid=$(on main rebuild -At -c "SELECT worker_pid FROM readmodel.status() WHERE name = 'customers' AND status = 'rebuilding'" || true)
        [ ! -e "$TA_DIR/rebuilt" ] || break
    done
    while [[ $pid =~ ^[0-9]+$ ]] && [ ! -e "$TA_DIR/rebuilt" ] && [ -r "/proc/$pid/status" ]; do
        while read -r key value _; do
            if [ "$key" = RssAnon: ]; then
                start=${start:-$value}
                peak=$((value > peak ? value : peak))
                samples=$((samples + 1))
            fi
        done <"/proc/$pid/status" 2>/dev/null || break
        sleep 0.02
    done
    echo "${pid:-0} ${start:-0} $peak $samples"
}

suite_rebuild()
{
    local events round from to rate pid start peak samples variant
    new_database rebuild
    on main rebuild -o /dev/null -f "$here/shop.sql" -f "$here/rebuild.sql"
    say "Making the events"
    on main rebuild -c "CALL shop.generate($(scaled 20000), 500, $(scaled 245000))" -c 'VACUUM ANALYZE shop.events' \
        -o /dev/null -c "SELECT readmodel.create_source('shop', 'shop.events')"
    on main rebuild -c "SELECT count(*) AS events, count(DISTINCT data ->> 'customer') AS instances,
                               round(avg(pg_column_size(e.*))) AS \"bytes per event\" FROM shop.events AS e"
    events=$(on main rebuild -At -c 'SELECT count(*) FROM shop.events')
    say "Rebuild against PL/pgSQL loops, three rounds"
    for round in 1 2 3; do
        rm -f "$TA_DIR/rebuilt"
        sample_memory >"$TA_DIR/memory" &
        local sampler=$!
        from=$(now)
        on main rebuild -c 'CALL bench.rebuild()'
        to=$(now)
        touch "$TA_DIR/rebuilt"
        wait "$sampler"
        rate=$(awk -v n="$events" -v s="$(seconds_of "$from" "$to")" 'BEGIN { printf "%.0f", n / s }')
        read -r pid start peak samples <"$TA_DIR/memory"
        results -c "INSERT INTO bench.rebuild_run VALUES ($round, 'rebuild', $rate)" \
            -c "INSERT INTO bench.memory_run VALUES ($round, $pid, $start, $peak, $samples)"
        echo "round $round: rebuild             $rate events/s, worker $pid: RssAnon $start kB at first, $peak kB at most ($samples samples)"
        on main rebuild -o /dev/null -c "SELECT bench.check_states(readmodel.state_table('customers'))" \
            -c "SELECT readmodel.drop_query('customers')"
        for variant in loop_with_state loop_without_writes; do
            on main rebuild -c 'TRUNCATE bench.state'
            from=$(now)
            on main rebuild -c "CALL bench.$variant()"
            to=$(now)
            rate=$(awk -v n="$events" -v s="$(seconds_of "$from" "$to")" 'BEGIN { printf "%.0f", n / s }')
            results -c "INSERT INTO bench.rebuild_run VALUES ($round, '$variant', $rate)"
            printf 'round %s: %-19s %s events/s\n' "$round" "$variant" "$rate"
            if [ "$variant" = loop_with_state ]; then
                on main rebuild -o /dev/null -c "SELECT bench.check_states('bench.state')"
            fi
        done
    done
    local cache_kb
    cache_kb=$(on main rebuild -At -c "SELECT pg_size_bytes(current_setting('readmodel.state_cache')) / 1024")
    results -v cache_kb="$cache_kb" <<'SQL'
INSERT INTO bench.figure (suite, name, measured, unit, baseline_name, baseline, ratio, target, met)
SELECT 'rebuild', 'rebuild against ' || b.label, round(bench.median(array_agg(r.events_per_second))), 'events/s', b.label,
       round(bench.median(array_agg(l.events_per_second))), round(bench.median(array_agg(r.events_per_second / l.events_per_second)), 2),
       '>= ' || b.least, bench.median(array_agg(r.events_per_second / l.events_per_second)) >= b.least
FROM bench.rebuild_run AS r
JOIN bench.rebuild_run AS l USING (round)
JOIN (VALUES ('loop_with_state', 'PL/pgSQL loop, state and commit per 1,000', 3.0),
             ('loop_without_writes', 'PL/pgSQL loop, no writes', 0.8)) AS b(variant, label, least) ON b.variant = l.variant
WHERE r.variant = 'rebuild'
GROUP BY b.label, b.least ORDER BY b.least DESC;

INSERT INTO bench.figure (suite, name, measured, unit, baseline_name, baseline, ratio, target, met)
SELECT 'rebuild', 'worker memory above its start, peak', round((peak_kb - started_kb) / 1024.0, 1), 'MB', 'state_cache',
       round(:cache_kb / 1024.0, 1), round((peak_kb - started_kb)::numeric / :cache_kb, 2),
       '<= state_cache + 32 MB', peak_kb - started_kb <= :cache_kb + 32 * 1024 AND samples > 0
FROM bench.memory_run ORDER BY peak_kb - started_kb DESC LIMIT 1;
SQL
    on main postgres -c 'DROP DATABASE rebuild (FORCE)'
}

# --- latency: commit of the event to commit of the state ----------------------------------------------------------------

suite_latency()
{
    local seconds
    seconds=$(scaled 30 5)
    say "Latency of a live query at 100 appends/s, $seconds s"
    new_database latency
    # One instance an order: no state is written over before it is measured.
    on main latency -o /dev/null -f "$here/shop.sql" -c "SELECT readmodel.create_source('shop', 'shop.events')" \
        -c "SELECT readmodel.define_query('orders', 'shop', 'shop.customer(jsonb, jsonb)', key => \$\$data->>'order'\$\$)"
    wait_caught_up latency orders
    pgbench -n -M prepared -c 4 -j 1 -R 100 -T "$seconds" -f "$here/append.pgbench" latency >"$TA_DIR/pgbench.log" 2>&1 ||
        { cat "$TA_DIR/pgbench.log" >&2; return 1; }
    wait_caught_up latency orders
    local states events median p99 worst
    states=$(on main latency -At -c "SELECT readmodel.state_table('orders')")
    read -r events median p99 worst <<<"$(on main latency -At -F ' ' -c "
        SELECT count(*), round(percentile_cont(0.5) WITHIN GROUP (ORDER BY ms)::numeric, 3),
               round(percentile_cont(0.99) WITHIN GROUP (ORDER BY ms)::numeric, 3), round(max(ms)::numeric, 3)
        FROM (SELECT 1000 * extract(epoch FROM pg_xact_commit_timestamp(s.xmin) - pg_xact_commit_timestamp(e.xmin)) AS ms
              FROM shop.events AS e JOIN $states AS s ON s.id = e.data ->> 'order') AS event")"
    if [ "$events" != "$(on main latency -At -c 'SELECT count(*) FROM shop.events')" ]; then
        echo "not every event has its state" >&2
        return 1
    fi
    echo "$events events: median $median ms, p99 $p99 ms, longest $worst ms"
    results -c "INSERT INTO bench.figure (suite, name, measured, unit, baseline_name, baseline, ratio, target, met) VALUES
        ('latency', 'commit to visible, median', $median, 'ms', 'limit', 0.5, round($median / 0.5, 2), '< 0.5 ms', $median < 0.5),
        ('latency', 'commit to visible, p99', $p99, 'ms', 'limit', 2, round($p99 / 2.0, 2), '< 2 ms', $p99 < 2)"
    on main postgres -c 'DROP DATABASE latency (FORCE)'
}

# Waits until the query has applied all that is committed, and is ready.
wait_caught_up()
{
    on main "$1" -v query="$2" -o /dev/null <<'SQL'
SELECT max(position) AS head FROM shop.events \gset
\if :{?head}
SELECT coalesce(readmodel.wait_for(:'query', nullif(:'head', '')::bigint, '10 min'), 0);
\endif
SELECT set_config('bench.query', :'query', false);
DO $$
BEGIN
    FOR i IN 1..6000 LOOP
        EXIT WHEN readmodel.readiness(current_setting('bench.query')) = 'ready';
        IF i = 6000 THEN
            RAISE EXCEPTION 'query "%" does not become ready', current_setting('bench.query');
        END IF;
        PERFORM pg_sleep(0.01);
        COMMIT;
    END LOOP;
END $$;
SQL
}

# --- append: what writers pay -------------------------------------------------------------------------------------------

append_tps()
{
    local clients=$1 variant=$2 seconds=$3 server=plain
    case $variant in source | query) server=main ;; esac
    PGHOST=$TA_DIR/$server pgbench -n -M prepared -c "$clients" -j "$((clients > 1 ? 2 : 1))" -T "$seconds" \
        -f "$here/append.pgbench" "$variant" >"$TA_DIR/pgbench.log" 2>&1 || { cat "$TA_DIR/pgbench.log" >&2; return 1; }
    sed -n 's/^tps = \([0-9.]*\) .*/\1/p' "$TA_DIR/pgbench.log"
}

append_rounds()
{
    local clients=$1 seconds=$2 round variant tps order line
    local variants=("${@:3}")
    for round in 1 2 3 4 5 6 7 8 9; do
        order=("${variants[@]}")
        if [ $((round % 2)) -eq 0 ]; then
            # Every other round the other way round: what drifts, drifts for all.
            order=()
            for variant in "${variants[@]}"; do
                order=("$variant" "${order[@]}")
            done
        fi
        line=
        for variant in "${order[@]}"; do
            tps=$(append_tps "$clients" "$variant" "$seconds")
            results -c "INSERT INTO bench.append_run VALUES ($clients, $round, '$variant', $tps)"
            line+=$(printf '  %s %.0f' "$variant" "$tps")
            # A backlog would be worked off at the next one's cost.
            if [ "$variant" = query ]; then
                wait_caught_up query customers
            fi
        done
        echo "$clients clients, round $round, appends/s:$line"
    done
}

suite_append()
{
    local updater variant
    for variant in plain trigger notify; do
        on plain postgres -c "CREATE DATABASE \"$variant\""
        on plain "$variant" -f "$here/append_plain.sql"
    done
    # The same updater for the trigger: that part of shop.sql that needs no extension.
    updater=$(sed -n '/^CREATE FUNCTION shop.customer(/,/^END \$\$;/p' "$here/shop.sql")
    on plain trigger -c "$updater" -f "$here/append_trigger.sql"
    on plain notify -f "$here/append_notify.sql"
    for variant in source query; do
        new_database "$variant"
        on main "$variant" -o /dev/null -f "$here/shop.sql" -c "SELECT readmodel.create_source('shop', 'shop.events')"
    done
    on main query -o /dev/null -c "SELECT readmodel.define_query('customers', 'shop', 'shop.customer(jsonb, jsonb)',
                                                                 key => \$\$data->>'customer'\$\$)"
    wait_caught_up query customers

    say "Appending, 8 clients, nine rounds"
    append_rounds 8 "$(scaled 4 1)" plain source query trigger notify
    say "Appending, 1 client, nine rounds"
    append_rounds 1 "$(scaled 2 1)" plain source query
    results <<'SQL'
INSERT INTO bench.figure (suite, name, measured, unit, baseline_name, baseline, ratio, target, met)
SELECT 'append', format('%s client%s, %s', v.clients, CASE WHEN v.clients > 1 THEN 's' END, label), round(bench.median(array_agg(r.tps))), 'appends/s', 'no extension',
       round(bench.median(array_agg(p.tps))), round(bench.median(array_agg(r.tps / p.tps)), 3),
       '>= ' || least, bench.median(array_agg(r.tps / p.tps)) >= least
FROM bench.append_run AS r
JOIN bench.append_run AS p ON (p.clients, p.round, p.variant) = (r.clients, r.round, 'plain')
JOIN (VALUES (1, 8, 'source', 'a source, no query', 0.97), (2, 8, 'query', 'one live query', 0.70),
             (3, 8, 'trigger', 'PL/pgSQL projection trigger', NULL), (4, 8, 'notify', 'NOTIFY trigger', NULL),
             (5, 1, 'source', 'a source, no query', NULL), (6, 1, 'query', 'one live query', 0.90))
     AS v(ord, clients, variant, label, least) ON (v.clients, v.variant) = (r.clients, r.variant)
GROUP BY v.clients, label, least, ord ORDER BY ord;

-- With a live query fewer appends are lost than to what one would otherwise do.
INSERT INTO bench.figure (suite, name, measured, unit, baseline_name, baseline, ratio, target, met)
SELECT 'append', '8 clients, lost to one live query', 100 * (1 - q.ratio), '%', o.label, 100 * (1 - o.ratio),
       round((1 - q.ratio) / nullif(1 - o.ratio, 0), 2), '< the other', 1 - q.ratio < 1 - o.ratio
FROM (SELECT ratio FROM bench.figure WHERE name = '8 clients, one live query') AS q,
     (SELECT name, ratio, replace(name, '8 clients, ', 'lost to ') AS label FROM bench.figure
      WHERE name IN ('8 clients, PL/pgSQL projection trigger', '8 clients, NOTIFY trigger')) AS o
ORDER BY o.name DESC;
SQL
}

# --- torture-load: does the tail keep up with writers who take the processors and leave holes ------------------------------

# A sample of the lag several times a second, until the file that ends it is there.
sample_lag()
{
    until [ -e "$TA_DIR/load_ended" ]; do
        echo "INSERT INTO bench.lag SELECT clock_timestamp(), max(lag) FROM readmodel.status();"
        sleep 0.1
    done | on main load
}

torture_load()
{
    local queries=$1 seconds=$2 query log from ratio first last share batches lookups tps
    new_database load
    # Each batch tells what it needed; source_status() has the sums.
    on main postgres -c "ALTER DATABASE load SET log_min_messages = debug1"
    on main load -o /dev/null -f "$here/shop.sql" -c "SELECT readmodel.create_source('shop', 'shop.events')" \
        -c 'CREATE SCHEMA bench CREATE TABLE lag (at timestamptz, lag bigint)' \
        -c "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
            WHERE backend_type = 'pg_readmodel tail' AND datname = 'load'" # the next one has the new setting
    for query in $(seq "$queries"); do
        on main load -o /dev/null -c "SELECT readmodel.define_query('customers_$query', 'shop', 'shop.customer(jsonb, jsonb)',
                                                                    key => \$\$data->>'customer'\$\$)"
    done
    for query in $(seq "$queries"); do
        wait_caught_up load "customers_$query"
    done
    log=$TA_LOG
    from=$(($(stat -c %s "$log") + 1))
    rm -f "$TA_DIR/load_ended"
    sample_lag &
    local sampler=$!
    pgbench -n -M prepared -c 8 -j 2 -T "$seconds" -f "$here/torture.pgbench" load >"$TA_DIR/pgbench.log" 2>&1 ||
        { cat "$TA_DIR/pgbench.log" >&2; return 1; }
    touch "$TA_DIR/load_ended"
    wait "$sampler"
    tps=$(sed -n 's/^tps = \([0-9]*\).*/\1/p' "$TA_DIR/pgbench.log")
    for query in $(seq "$queries"); do
        wait_caught_up load "customers_$query"
        on main load -At -c "SELECT CASE WHEN count(*) > 0 THEN 'states of customers_$query that differ: ' || count(*) END
            FROM readmodel.customers_$query AS s FULL JOIN shop.customer_oracle AS o USING (id)
            WHERE s.state::text IS DISTINCT FROM o.state::text" >"$TA_DIR/differing"
        if grep . "$TA_DIR/differing" >&2; then
            return 1
        fi
    done
    read -r first last ratio <<<"$(on main load -At -F ' ' -c "
        SELECT first, last, round(last / greatest(first, 1), 2) FROM (
            SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY lag) FILTER (WHERE quarter = 1)::numeric AS first,
                   percentile_cont(0.5) WITHIN GROUP (ORDER BY lag) FILTER (WHERE quarter = 4)::numeric AS last
            FROM (SELECT lag, ntile(4) OVER (ORDER BY at) AS quarter FROM bench.lag) AS sample) AS quarters")"
    read -r batches share <<<"$(tail -c "+$from" "$log" | grep -o 'a batch of source.*' |
        awk '{ n++; few += $(NF - 2) <= 1 } END { printf "%d %.1f", n, n ? 100 * few / n : 0 }')"
    lookups=$(on main load -At -c 'SELECT lock_lookups FROM readmodel.source_status()')
    echo "$queries live: $tps transactions/s, lag $first events at first, $last at last; $batches batches, $lookups look-ups, $share % of batches with at most one"
    results -c "INSERT INTO bench.figure (suite, name, measured, unit, baseline_name, baseline, ratio, target, met) VALUES
        ('torture-load', '8 writers, 10 % rollbacks, $queries live: lag, last quarter', $last, 'events', 'first quarter', $first, $ratio, '<= 2', $ratio <= 2),
        ('torture-load', '8 writers, 10 % rollbacks, $queries live: batches with at most one lock look-up', $share, '%', 'batches', $batches, NULL, '>= 95 %', $share >= 95)"
    on main postgres -c 'DROP DATABASE load (FORCE)'
}

suite_torture_load()
{
    local seconds queries
    seconds=$(scaled 60 8)
    say "8 writers, every tenth transaction rolled back, $seconds s"
    for queries in 1 3; do
        torture_load "$queries" "$seconds"
    done
}

# --------------------------------------------------------------------------------------------------------------------------

require_pg_config
say "Building and installing the extension"
install_extension
start_servers

for suite in $SUITES; do
    case $suite in
        rebuild | latency | append) "suite_$suite" ;;
        torture-load) suite_torture_load ;;
        *) echo "SUITES: unknown suite \"$suite\"" >&2; exit 2 ;;
    esac
done

say "Figures (scale $SCALE, $(nproc) cores, $("$PG_CONFIG" --version))"
results -P null=- -c "SELECT name, measured || ' ' || unit AS measured, baseline_name AS \"baseline\", baseline AS \"of baseline\", ratio, target,
                             CASE WHEN met THEN 'yes' WHEN NOT met THEN 'NO' END AS met FROM bench.figure ORDER BY ord"
file=$here/results/$(date -u +%Y%m%dT%H%M%SZ).json
mkdir -p "$here/results"
results -At -v scale="$SCALE" -v cores="$(nproc)" >"$file" <<'SQL'
SELECT jsonb_pretty(jsonb_build_object(
    'at', now(), 'scale', :scale, 'cores', :cores, 'server', version(),
    'figures', (SELECT jsonb_agg(to_jsonb(f) - 'ord' ORDER BY ord) FROM bench.figure AS f),
    'rebuild_runs', (SELECT jsonb_agg(r) FROM bench.rebuild_run AS r),
    'memory_runs', (SELECT jsonb_agg(m) FROM bench.memory_run AS m),
    'append_runs', (SELECT jsonb_agg(a) FROM bench.append_run AS a)));
SQL
echo "Written to bench/results/$(basename "$file")"
