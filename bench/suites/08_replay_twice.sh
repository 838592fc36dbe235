# shellcheck shell=bash
# Suite 8, replay twice: the same states, byte for byte, and the same positions, whatever the size of a batch and the interval of flushes;
# a spec gives what the function of the same meaning gives.

# shellcheck disable=SC2034
suite_title='Replay twice, byte-identical'
# shellcheck disable=SC2034
suite_seconds=60

set_and_reload()
{
    local setting
    for setting in "$@"; do
        quietly postgres -c "ALTER SYSTEM SET $setting"
    done
    quietly postgres -c 'SELECT pg_reload_conf()'
}

# replay_digest KIND: "content positions" of a replay with the settings as they are
replay_digest()
{
    rebuild_seconds shop "$1" >/dev/null
    ask shop "SELECT content, positions FROM bench.digest(readmodel.state_table('customers'))"
    quietly shop -c "SELECT readmodel.drop_query('customers')"
}

suite()
{
    local kind turn digest content positions oracle different=0 replays=0
    declare -A first_positions
    need_shop_log
    oracle=$(ask shop "SELECT md5(string_agg(md5(id || ' ' || state::text), '' ORDER BY id COLLATE \"C\")) FROM bench.customers")
    for kind in function spec parallel; do
        available "$kind" || { row_missing "$kind: replays that differ" replays; continue; }
        for turn in first again 'batches of 333, flushes every 50 ms'; do
            case $turn in
                batches*) set_and_reload 'readmodel.batch_size = 333' "readmodel.flush_interval = '50 ms'" ;;
            esac
            digest=$(replay_digest "$kind")
            read -r content positions <<<"$digest"
            replays=$((replays + 1))
            progress "$kind, $turn: states $content, positions $positions"
            [ "$content" = "$oracle" ] || wrong "$kind, $turn: the states differ from the fold over the events"
            first_positions[$kind]=${first_positions[$kind]:-$positions}
            if [ "$positions" != "${first_positions[$kind]}" ]; then
                wrong "$kind, $turn: the positions differ from those of the first replay"
            fi
        done
        set_and_reload 'readmodel.batch_size = DEFAULT' 'readmodel.flush_interval = DEFAULT'
        if [ "${first_positions[$kind]}" != "${first_positions[function]}" ]; then
            different=$((different + 1))
        fi
    done
    # A difference has ended the run by now.
    row 'replays with the same states as the oracle' "$replays" replays
    row 'kinds with other positions than the function' "$different" kinds - - - 'value <= 0'
}
