# shellcheck shell=bash
# The HTTP service beside the main server, and load on it.

SERVICE=
SERVICE_PID=
SERVICE_URL=

# Builds it and makes the role as which it asks.
need_service()
{
    [ -n "$SERVICE" ] && return
    progress "building the HTTP service"
    cmake -S "$TA_TOP" -B "$TA_TOP/build/http" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DPG_CONFIG="$PG_CONFIG" >"$TA_DIR/cmake.log" &&
        cmake --build "$TA_TOP/build/http" --target readmodel-http -j "$(nproc)" >>"$TA_DIR/cmake.log" 2>&1 ||
        { cat "$TA_DIR/cmake.log" >&2; wrong "the HTTP service cannot be built"; }
    SERVICE=$TA_TOP/build/http/readmodel-http
    quietly postgres -c 'CREATE ROLE bench_web LOGIN'
}

# let_service_read DATABASE: the queries that are defined by now
let_service_read()
{
    quietly "$1" -c "SELECT readmodel.grant_reader('bench_web')" -c 'GRANT SELECT ON ALL TABLES IN SCHEMA readmodel TO bench_web'
}

service_database() { echo "host=$TA_DIR/main dbname=$1 user=bench_web"; }

# start_service DATABASE OPTION..: returns once it is ready
start_service()
{
    local limit=$(($(now) + 60000000000))
    : >"$TA_DIR/service.log"
    "$SERVICE" --port 0 --database "$(service_database "$1")" "${@:2}" >"$TA_DIR/service.log" 2>&1 &
    SERVICE_PID=$!
    end_with_the_run "$SERVICE_PID" &
    until SERVICE_URL=$(sed -n 's/.*listening on \(http:[^ ]*\).*/\1/p' "$TA_DIR/service.log") && [ -n "$SERVICE_URL" ] &&
            [ "$(perl "$BENCH/lib/http_get.pl" "$SERVICE_URL/ready")" = 200 ]; do
        [ "$(now)" -lt "$limit" ] || { cat "$TA_DIR/service.log" >&2; wrong "the HTTP service does not become ready"; }
    done
}

# A run that is ended early leaves nothing behind.
end_with_the_run()
{
    exec >/dev/null 2>&1
    while [ -d "$TA_DIR" ] && kill -0 "$1"; do
        sleep 0.5
    done
    kill -TERM "$1" || true
}

stop_service()
{
    kill -TERM "$SERVICE_PID"
    wait "$SERVICE_PID" || wrong "the HTTP service failed"
    SERVICE_PID=
}

# http_load SECONDS PATH [SCRIPT]: 64 connections by wrk; sets $HTTP_RATE and $HTTP_P99 (ms). Any other status than 200 ends the run.
HTTP_RATE=
HTTP_P99=
http_load()
{
    local log=$TA_DIR/wrk.log
    wrk -t 2 -c 64 -d "$1s" --latency ${3:+-s "$3"} "$SERVICE_URL$2" >"$log" 2>&1 || { cat "$log" >&2; wrong "wrk failed"; }
    if grep -E 'Non-2xx|Socket errors' "$log" >&2; then
        wrong "the HTTP service answered otherwise than with 200"
    fi
    HTTP_RATE=$(sed -n 's/^Requests\/sec: *\([0-9.]*\)$/\1/p' "$log")
    HTTP_P99=$(awk '$1 == "99%" { v = $2; f = v ~ /us$/ ? 0.001 : v ~ /ms$/ ? 1 : 1000; sub(/[a-z]+$/, "", v); print v * f }' "$log")
}

# http_first_answers DATABASE: starts the server and the service at once, and prints the milliseconds until /health and until /ready are 200.
http_first_answers()
{
    local begin health ready
    begin=$(now)
    as_server_user "$BINDIR/pg_ctl" -D "$TA_DATA" -l "$TA_LOG" -W -s start
    read -r health ready < <(perl "$BENCH/lib/http_first_answers.pl" "$SERVICE" "$(service_database "$1")") || wrong "no answer over HTTP"
    awk -v b="$begin" -v h="$health" -v r="$ready" 'BEGIN { printf "%.1f %.1f\n", h - b / 1e6, r - b / 1e6 }'
}
