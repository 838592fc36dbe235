# shellcheck shell=bash
# Suite 6, selective replay: of ten live queries one is defined anew, while events are appended. It alone is replayed; the others keep
# their generation, their position and their lag, and stay ready.

# shellcheck disable=SC2034
suite_title='Selective replay: one changed query of ten'
# shellcheck disable=SC2034
suite_seconds=60

suite()
{
    local kind events all_seconds one_seconds from appended first last unready went_back before during applied_twice
    kind=$(fastest_kind)
    shop_log selective "$((EVENTS / 5))"
    events=$(ask selective 'SELECT count(*) FROM shop.events')
    progress "building all ten queries"
    from=$(now)
    quietly selective -c "SELECT bench.define('query_' || i, '$kind') FROM generate_series(1, 10) AS i"
    until_ready selective ''
    all_seconds=$(seconds_since "$from")
    quietly selective -f "$BENCH/sql/selective.sql"

    progress "appending while one query is defined anew"
    background_load main selective -M prepared -c 2 -j 1 -R 100 -T 300 -f "$BENCH/pgbench/append.pgbench"
    sample "$TA_DIR/others" 0.02 main selective 'SELECT bench.look_at_others();'
    sleep "$(quick 3 1)" # how the others stand without a rebuild
    from=$(now)
    quietly selective -c "INSERT INTO bench.phase VALUES ('rebuild')" -c "SELECT bench.define('query_5', '$kind', '{\"version\": \"2\"}')"
    until_ready selective query_5
    one_seconds=$(seconds_since "$from")
    quietly selective -c "INSERT INTO bench.phase VALUES ('after')"
    end_sampling
    end_load
    until_caught_up selective ''

    progress "comparing with the oracle"
    appended=$(($(ask selective 'SELECT count(*) FROM shop.events') - events))
    quietly selective -c 'DROP TABLE bench.customers' -c 'CALL bench.keep_oracle()'
    for i in $(seq 10); do
        check_states selective "query_$i" bench.customers
    done
    read -r first last unready went_back before during <<<"$(ask selective 'SELECT * FROM bench.others()')"
    # What a query has applied tells whether it was replayed.
    applied_twice=$(ask selective "SELECT count(*) FROM readmodel.status()
        WHERE generation <> CASE name WHEN 'query_5' THEN 2 ELSE 1 END OR events_applied <> $((events + appended))")
    [ "$applied_twice" = 0 ] || wrong "$applied_twice queries have applied other events than each once"
    progress "$appended events appended; the others went from position $first to $last"
    row 'one of ten rebuilt, others live' "$one_seconds" s 'all ten rebuilt' "$all_seconds" "$(ratio "$one_seconds" "$all_seconds")" 'ratio < 1'
    row 'looks at which one of the others was not ready' "$unready" looks - - - 'value <= 0'
    row 'looks at which a position had gone back' "$went_back" looks - - - 'value <= 0'
    row 'lag of the others meanwhile, 95th percentile' "$during" events 'before the rebuild' "$before" "$(ratio "$during" "$before")"
    chart selective bars "Rebuild over $events events" '' seconds
    point selective seconds 'all ten' "$all_seconds"
    point selective seconds 'the changed one' "$one_seconds"
    drop_database selective
}
