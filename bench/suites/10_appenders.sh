# shellcheck shell=bash
# Suite 10, what appenders pay: single-row inserts as fast as they go, into the same table without the extension, as a source, and
# under a live query; and with what one would do otherwise, a projection trigger and a NOTIFY trigger.

# shellcheck disable=SC2034
suite_title='What appenders pay'
# shellcheck disable=SC2034
suite_seconds=240

declare -A append_tps append_ratios

# append_rounds CLIENTS SECONDS ROUNDS VARIANT..: the first variant is the baseline
append_rounds()
{
    local clients=$1 seconds=$2 rounds=$3 round variant order line server base="$1 $4"
    local variants=("${@:4}")
    local -A tps
    for round in $(seq "$rounds"); do
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
            case $variant in source | function | spec) server=main ;; *) server=plain ;; esac
            load "$server" "append_$variant" -M prepared -c "$clients" -j "$((clients > 1 ? 2 : 1))" -T "$seconds" -f "$BENCH/pgbench/append.pgbench"
            tps[$variant]=$LOAD_TPS
            line+=$(printf '  %s %.0f' "$variant" "$LOAD_TPS")
            # A backlog would be worked off at the next one's cost.
            case $variant in
                function | spec) until_caught_up "append_$variant" customers ;;
            esac
        done
        progress "$clients clients, round $round, appends/s:$line"
        for variant in "${variants[@]}"; do
            append_tps["$clients $variant"]+=" ${tps[$variant]}"
            append_ratios["$clients $variant"]+=" $(ratio "${tps[$variant]}" "${tps[$4]}")"
        done
    done
    for variant in "${variants[@]}"; do
        # shellcheck disable=SC2086
        point append "$clients client$(if [ "$clients" -gt 1 ]; then echo s; fi)" "$variant" "$(median ${append_tps["$clients $variant"]})"
    done
}

# append_row CLIENTS VARIANT LABEL TARGET
# shellcheck disable=SC2086 # lists of numbers
append_row()
{
    local key="$1 $2" label
    label="$1 client$(if [ "$1" -gt 1 ]; then echo s; fi), $3"
    if [ -z "${append_tps[$key]:-}" ]; then
        row_missing "$label" appends/s
        return
    fi
    row "$label" "$(median ${append_tps[$key]})" appends/s 'no extension' "$(median ${append_tps["$1 plain"]})" "$(median ${append_ratios[$key]})" "$4"
}

# less_than_otherwise KIND OTHER LABEL: with a live query fewer appends are lost than to what one would otherwise do
# shellcheck disable=SC2086 # lists of numbers
less_than_otherwise()
{
    local ours others
    ours=$(calc "100 * (1 - $(median ${append_ratios["8 $1"]}))")
    others=$(calc "100 * (1 - $(median ${append_ratios["8 $2"]}))")
    row "8 clients, lost to one live query, $1" "$ours" % "lost to a $3" "$others" "$(ratio "$ours" "$others")" 'ratio < 1'
}

suite()
{
    local variant updater kind kinds=(function)
    if available spec; then
        kinds+=(spec)
    fi
    need_plain_server
    for variant in plain trigger notify; do
        on plain postgres -c "CREATE DATABASE append_$variant"
        on plain "append_$variant" -f "$BENCH/sql/append_plain.sql"
    done
    # The same updater for the trigger: that part of shop.sql that needs no extension.
    updater=$(sed -n '/^CREATE FUNCTION shop.customer(/,/^END \$\$;/p' "$BENCH/shop.sql")
    on plain append_trigger -c "$updater" -f "$BENCH/sql/append_trigger.sql"
    on plain append_notify -f "$BENCH/sql/append_notify.sql"
    for variant in source "${kinds[@]}"; do
        new_database "append_$variant" shop.sql sql/shop_queries.sql
        quietly "append_$variant" -c "SELECT readmodel.create_source('shop', 'shop.events')"
    done
    for kind in "${kinds[@]}"; do
        quietly "append_$kind" -c "SELECT bench.define('customers', '$kind')"
        until_ready "append_$kind" customers
    done

    chart append bars 'Appends of one event' '' 'appends/s'
    append_rounds 8 "$(quick 3 1)" "$(quick 7 1)" plain source "${kinds[@]}" trigger notify
    append_rounds 1 "$(quick 2 1)" "$(quick 7 1)" plain source "${kinds[@]}"
    for kind in "${kinds[@]}"; do
        quietly "append_$kind" -c 'CALL bench.keep_oracle()'
        check_states "append_$kind" customers bench.customers
    done

    append_row 8 source 'a source, no query' 'ratio >= 0.97'
    append_row 8 function 'one live query, function' 'ratio >= 0.7'
    append_row 8 spec 'one live query, spec' 'ratio >= 0.7'
    append_row 8 trigger 'PL/pgSQL projection trigger' -
    append_row 8 notify 'NOTIFY trigger' -
    append_row 1 source 'a source, no query' -
    append_row 1 function 'one live query, function' 'ratio >= 0.9'
    append_row 1 spec 'one live query, spec' 'ratio >= 0.9'
    for kind in "${kinds[@]}"; do
        less_than_otherwise "$kind" trigger 'projection trigger'
        less_than_otherwise "$kind" notify 'NOTIFY trigger'
    done
    for variant in source "${kinds[@]}"; do
        drop_database "append_$variant"
    done
    for variant in plain trigger notify; do
        on plain postgres -c "DROP DATABASE append_$variant"
    done
}
