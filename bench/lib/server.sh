# shellcheck shell=bash
# The servers and databases of a run: "main" with the library preloaded, "plain" without it.

# on SERVER DATABASE PSQL-ARGUMENT..
on() { PGHOST=$TA_DIR/$1 psql -X -q -v ON_ERROR_STOP=1 -d "$2" "${@:3}"; }
# ask DATABASE STATEMENT: what it returns, columns separated by a blank; nothing else may be printed
ask() { on main "$1" -At -F ' ' -c "$2"; }
# quietly DATABASE PSQL-ARGUMENT..: for statements whose results nobody wants to see
quietly() { on main "$1" -o /dev/null "${@:2}"; }

# The processors are to be measured and not the disk; compiling an expression takes longer than most of what is measured.
SERVER_SETTINGS=("shared_buffers = 512MB" "max_wal_size = 8GB" "checkpoint_timeout = 30min" "synchronous_commit = off" "jit = off"
    "max_connections = 220" "statement_timeout = $(quick 10min 1min)")

start_main_server()
{
    throwaway_configure "${SERVER_SETTINGS[@]}"
    throwaway_start
    local setting
    for setting in "${SERVER_SETTINGS[@]}"; do
        fact "${setting%% =*}" "${setting#*= }"
    done
    for setting in batch_size flush_interval state_cache batch_delay synchronous_commit; do
        fact "readmodel.$setting" "$(ask postgres "SHOW readmodel.$setting")"
    done
}

# The server without the library, from when a suite first needs it.
need_plain_server()
{
    [ -d "$TA_DIR/plain" ] && return
    throwaway_add plain
    throwaway_configure "${SERVER_SETTINGS[@]}" "shared_preload_libraries = ''"
    throwaway_start
    throwaway_use main
}

# new_database NAME FILE..: with the extension, the benchmark's own functions and these files of sql/
new_database()
{
    local name=$1 file
    shift
    quietly postgres -c "CREATE DATABASE \"$name\""
    quietly "$name" -c 'CREATE EXTENSION pg_readmodel' -f "$BENCH/sql/common.sql"
    for file in "$@"; do
        quietly "$name" -f "$BENCH/$file"
    done
}

drop_database() { quietly postgres -c "DROP DATABASE IF EXISTS \"$1\" (FORCE)"; }

until_ready() { quietly "$1" -c "CALL bench.until_ready('$2')"; }
until_caught_up() { quietly "$1" -c "CALL bench.until_caught_up('$2')"; }

# Every state of the query equals the oracle's, byte for byte.
check_states()
{
    quietly "$1" -c "SELECT bench.must_equal(readmodel.state_table('$2'), '$3')" || wrong "query \"$2\" in database \"$1\""
}

# A crash takes the server through a restart, which most figures would hide.
server_lives_on()
{
    if grep -hE 'PANIC|TRAP:|was terminated by signal|terminating any other active server' "$TA_DIR"/*/server.log >&2; then
        wrong "a server crashed"
    fi
}

# --- what this build can do ---------------------------------------------------------------------------------------------

HAS_SPEC=
HAS_PARALLEL=

find_out_what_there_is()
{
    new_database probe shop.sql sql/shop_queries.sql
    quietly probe -c "SELECT readmodel.create_source('shop', 'shop.events')"
    HAS_SPEC=$(ask probe "SELECT bench.has('spec')")
    HAS_PARALLEL=$(ask probe "SELECT bench.has('parallel')")
    drop_database probe
    fact spec "${HAS_SPEC:-no}"
    fact parallel "${HAS_PARALLEL:-no}"
}

# available KIND: kinds of updaters are function, spec, and parallel (a spec, rebuilt by two lanes)
available()
{
    case $1 in
        function) ;;
        spec) [ -n "$HAS_SPEC" ] ;;
        parallel) [ -n "$HAS_PARALLEL" ] ;;
    esac
}

# The faster one that this build has, for suites whose subject is another.
fastest_kind() { if available spec; then echo spec; else echo function; fi; }

# --- the log of the shop ------------------------------------------------------------------------------------------------

# shop_log DATABASE EVENTS: a database with that many events of the shop, its source, and the oracle's states in a table
shop_log()
{
    local customers=$(($2 / 50))
    new_database "$1" shop.sql sql/shop_queries.sql
    progress "making the log: $2 events, $customers customers"
    quietly "$1" -c "CALL shop.generate($customers, 500, ($2 - $customers) / 4)" -c 'VACUUM ANALYZE shop.events' \
        -c "SELECT readmodel.create_source('shop', 'shop.events')" -c 'CALL bench.keep_oracle()' -c CHECKPOINT
}

# The database "shop" is the log that several suites only read.
need_shop_log()
{
    [ -n "$(ask postgres "SELECT 1 FROM pg_database WHERE datname = 'shop'")" ] || shop_log shop "$EVENTS"
    SHOP_EVENTS=$(ask shop 'SELECT count(*) FROM shop.events')
}
SHOP_EVENTS=

# rebuild_seconds DATABASE KIND: from the call of define_query to "ready", the query being "customers"
rebuild_seconds() { ask "$1" "CALL bench.rebuild('$2', NULL)"; }
