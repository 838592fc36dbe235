#!/bin/bash
# demo.sh: the main job from an event table to read models, on a throw-away server.
#
#   EVENTS=file.csv[.gz]  uses that log (columns entity, stream_id, version, type, occurred_at, data) instead of a made-up shop
#   KEEP=1                leaves the server up and prints how to reach and to end it
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=test/tools/throwaway-server.sh
. "$here/../tools/throwaway-server.sh"
# shellcheck source=test/tools/suites.sh
. "$here/../tools/suites.sh"

EVENTS=${EVENTS:-}
KEEP=${KEEP:-}
if [ -n "$EVENTS" ] && [ ! -r "$EVENTS" ]; then
    echo "EVENTS: cannot read \"$EVENTS\"" >&2
    exit 1
fi

say() { printf '\n== %s\n' "$*"; }
sql() { psql -X -q -v ON_ERROR_STOP=1 -d demo "$@"; }
now() { date +%s%N; }
milliseconds_since() { echo $((($(now) - $1) / 1000000)); }

require_pg_config
say "Building and installing the extension"
install_extension

HTTP_PID=
stop_http()
{
    [ -n "$HTTP_PID" ] || return 0
    kill "$HTTP_PID" 2>/dev/null || true
    wait "$HTTP_PID" 2>/dev/null || true
    HTTP_PID=
}

# A role that may see how all queries stand, and what it was granted. Port 0: any that is free.
start_http()
{
    local deadline
    sql -c 'CREATE ROLE web LOGIN' -c "SELECT readmodel.grant_reader('web')" -o /dev/null
    build_http build/http
    deadline=$((SECONDS + 20))
    # Not in the terminal's group, so that Ctrl-C ends the demo, and the demo the service.
    setsid "$READMODEL_HTTP_PROGRAM" --port 0 --database "host=$PGHOST port=$PGPORT user=web dbname=demo" 2>"$TA_DIR/http.log" &
    HTTP_PID=$!
    until HTTP_PORT=$(sed -n 's#.*listening on http://127\.0\.0\.1:\([0-9]*\).*#\1#p' "$TA_DIR/http.log" | head -n 1) && [ -n "$HTTP_PORT" ]; do
        if ! kill -0 "$HTTP_PID" 2>/dev/null || [ "$SECONDS" -gt "$deadline" ]; then
            echo "the HTTP service does not start:" >&2
            cat "$TA_DIR/http.log" >&2
            exit 1
        fi
        sleep 0.05
    done
    until [ "$(http_status /ready)" != 503 ] || [ "$(http_body /ready)" != '{"status":"unavailable"}' ]; do
        if [ "$SECONDS" -gt "$deadline" ]; then
            echo "the HTTP service does not reach the database:" >&2
            cat "$TA_DIR/http.log" >&2
            exit 1
        fi
        sleep 0.05
    done
}

# What curl would show, where there may be none.
http_get()
{
    exec 3<>"/dev/tcp/127.0.0.1/$HTTP_PORT"
    printf 'GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n' "$1" >&3
    tr -d '\r' <&3
    exec 3<&-
}
http_status() { http_get "$1" | sed -n '1s/^[^ ]* \([0-9]*\).*/\1/p'; }
http_body() { http_get "$1" | sed '1,/^$/d'; }
http_show() { printf '  GET %-22s %s  %s\n' "$1" "$(http_status "$1")" "$(http_body "$1" | head -c "${2:-110}" | head -n 1)"; }

say "Starting a throw-away server"
throwaway_create
trap 'stop_http; ta_cleanup' EXIT
# A read model keeps no promise that needs fsync here: the server is thrown away.
# Flushed more often than by default, so that the progress of so short a rebuild can be seen.
throwaway_configure "fsync = off" "shared_buffers = 256MB" "max_wal_size = 4GB" "readmodel.flush_interval = '300 ms'"
throwaway_start
echo "$TA_DIR"
psql -X -q -c 'CREATE DATABASE demo'
sql -c 'CREATE EXTENSION pg_readmodel'

say "Starting the HTTP service"
start_http
echo "http://127.0.0.1:$HTTP_PORT/ shows the queries, live"
http_show /health
http_show /ready

# The header names the columns, in whatever order.
load_log()
{
    local header column
    header=$({ gzip -dcf -- "$EVENTS" || true; } 2>/dev/null | head -n 1 | tr -d '\r"')
    for column in entity stream_id version type occurred_at data; do
        if [[ ",$header," != *",$column,"* ]]; then
            echo "EVENTS: \"$EVENTS\" has no column \"$column\" (its first line: $header)" >&2
            exit 1
        fi
    done
    if ! [[ $header =~ ^[a-z_]+(,[a-z_]+){5}$ ]]; then
        echo "EVENTS: \"$EVENTS\" has other columns than entity, stream_id, version, type, occurred_at, data" >&2
        exit 1
    fi
    sql -f "$here/log/events.sql"
    gzip -dcf -- "$EVENTS" | sql -c "\\copy log.events ($header) FROM pstdin WITH (FORMAT csv, HEADER)"
    sql -f "$here/log/source.sql"
}

explain_and_exit()
{
    sql -x -c 'SELECT * FROM readmodel.status()' -c 'SELECT * FROM readmodel.source_status()' >&2
    grep -E 'WARNING|ERROR|FATAL|PANIC' "$TA_LOG" | tail -n 20 >&2
    exit 1
}

show_progress()
{
    local deadline=$((SECONDS + 900)) pending
    while true; do
        sql -At -F ' ' -c "
            SELECT format('  %s %s position %s of %s  %s  %s', rpad(name, 16), rpad(status, 11),
                          lpad(coalesce(position::text, '-'), 8), coalesce(head_position::text, '-'),
                          lpad(coalesce(round(events_per_second::numeric)::text || ' events/s', ''), 16),
                          CASE WHEN status <> 'ready' AND estimated_seconds_remaining IS NOT NULL
                               THEN 'ETA ' || round(estimated_seconds_remaining::numeric, 1) || ' s'
                               ELSE reason END)
            FROM readmodel.status() ORDER BY name"
        pending=$(sql -At -c "SELECT count(*) FILTER (WHERE status <> 'ready') || ' ' || count(*) FILTER (WHERE status = 'failed')
                              FROM readmodel.status()")
        if [ "${pending#* }" != 0 ]; then
            explain_and_exit
        fi
        [ "${pending% *}" != 0 ] || return 0
        if [ "$SECONDS" -gt "$deadline" ]; then
            echo "the queries are not ready after 15 minutes" >&2
            explain_and_exit
        fi
        sleep 0.5
    done
}

wait_until_ready()
{
    local started=$1 deadline=$((SECONDS + 60))
    until [ "$(sql -At -c 'SELECT readmodel.ready()' 2>/dev/null)" = t ]; do
        if [ "$SECONDS" -gt "$deadline" ]; then
            echo "the queries are not ready a minute after the restart" >&2
            explain_and_exit
        fi
        sleep 0.02
    done
    echo "ready $(milliseconds_since "$started") ms after the server was told to start"
}

applied() { sql -At -F ' ' -c 'SELECT name, position, events_applied FROM readmodel.status() ORDER BY name'; }

if [ -n "$EVENTS" ]; then
    scene=$here/log
    say "Loading $EVENTS into an event table and registering it"
    load_log
else
    scene=$here/shop
    say "Making the events of a small shop in the built-in event table"
    sql -f "$scene/events.sql"
fi

say "Defining the queries (${scene##*/}/queries.sql); they rebuild in the background"
started=$(now)
# In one transaction, so that they start together and share one pass over the log.
sql -1 -o /dev/null -f "$scene/queries.sql"
http_show /ready
show_progress
echo "all queries ready after $(milliseconds_since "$started") ms"
http_show /ready

say "Some states"
sql -f "$scene/states.sql"

say "The same over HTTP, for a role that may read the views"
sql -At -c "SELECT format('GRANT SELECT ON %s TO web;', view) FROM readmodel_catalog.query" | sql
while IFS= read -r path; do
    http_show "$path"
done < <(sql -At -c "SELECT '/queries/' || name FROM readmodel.status() ORDER BY name")
http_show /metrics 60

say "Appending live: from the commit of the event to the commit of the state"
for n in 1 2 3 4 5 6 7 8 9 10; do
    sql -At -v n="$n" -f "$scene/append.sql" -f "$here/visible.sql"
done

say "Comparing every state with an independent fold by plain SQL"
sql -f "$scene/oracle.sql" -f "$here/compare.sql"
echo "All states equal the fold over the events."

say "Restarting the server"
before=$(applied)
throwaway_stop
started=$(now)
throwaway_start
http_show /health
wait_until_ready "$started"
sql -c "SELECT name, status, position, events_applied FROM readmodel.status() ORDER BY name" \
    -c "SELECT name AS source, events_read AS \"events read since the start\" FROM readmodel.source_status()"
after=$(applied)
if [ "$before" != "$after" ]; then
    echo "the restart applied events again: before: $before; after: $after" >&2
    exit 1
fi
sql -f "$here/compare.sql" -o /dev/null
echo "Nothing was replayed, and all states still equal the fold."

if [ -n "$KEEP" ]; then
    throwaway_keep
    disown "$HTTP_PID"
    trap ta_cleanup EXIT
    say "The server stays up"
    as=
    if [ "$(id -u)" -eq 0 ]; then
        as='runuser -u postgres -- '
    fi
    echo "  psql -h $PGHOST -p $PGPORT -U $PGUSER demo"
    echo "  http://127.0.0.1:$HTTP_PORT/"
    echo "End it with:"
    echo "  kill $HTTP_PID; $as$BINDIR/pg_ctl -D $TA_DATA stop && rm -rf $TA_DIR"
fi
