# shellcheck shell=bash
# Suite 9, commit to visible: from the commit of an event to the commit of its state, at 100 appends/s.

# shellcheck disable=SC2034
suite_title='Commit-to-visible latency'
# shellcheck disable=SC2034
suite_seconds=75

# latency KIND SECONDS
latency()
{
    local kind=$1 seconds=$2 events median p99 worst percentile ms
    progress "$kind: 100 appends/s for $seconds s"
    # One instance an order: no state is written over before it is measured.
    new_database latency shop.sql sql/latency.sql
    quietly latency -c "SELECT readmodel.create_source('shop', 'shop.events')" -c "SELECT bench.define_orders('$kind')"
    until_ready latency orders
    load main latency -M prepared -c 4 -j 1 -R 100 -T "$seconds" -f "$BENCH/pgbench/append.pgbench"
    until_caught_up latency orders
    check_states latency orders bench.order_oracle
    quietly latency -c 'CALL bench.note_latencies()'
    read -r events median p99 worst <<<"$(ask latency 'SELECT * FROM bench.latencies()')"
    progress "$events events: median $median ms, p99 $p99 ms, longest $worst ms"
    row "$kind: commit to visible, median" "$median" ms 'latency of an append' "$LOAD_LATENCY" "$(ratio "$median" "$LOAD_LATENCY")" 'value < 0.5'
    row "$kind: commit to visible, p99" "$p99" ms 'latency of an append' "$LOAD_LATENCY" "$(ratio "$p99" "$LOAD_LATENCY")" 'value < 2'
    ask latency 'SELECT * FROM bench.percentiles()' >"$TA_DIR/percentiles"
    while read -r percentile ms; do
        point latency "$kind" "$percentile" "$ms"
    done <"$TA_DIR/percentiles"
    drop_database latency
}

suite()
{
    chart latency lines 'Commit to visible' percentile ms logy
    latency function "$(quick 30 4)"
    if available spec; then
        latency spec "$(quick 30 4)"
    else
        row_missing 'spec: commit to visible' ms
    fi
}
