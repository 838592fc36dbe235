# shellcheck shell=bash
# A throw-away server for tests, the demo and the benchmark; to be sourced by a bash script with set -euo pipefail.
#
#   throwaway_create            makes $TA_DIR (removed at the end), a server named "main" in it, and sets PGHOST, ..
#   throwaway_add NAME          one more server in $TA_DIR, with the same settings; it becomes the current one
#   throwaway_use NAME          makes that server the current one, for psql and for the functions below
#   throwaway_configure 'LINE'..  appends settings to postgresql.conf
#   throwaway_start, throwaway_stop, throwaway_restart
#   as_server_user COMMAND..    runs it as the user that owns the server: postgres when run as root, else oneself
#   throwaway_keep              the server and its directory outlive the script
#   require_pg_config           sets BINDIR, PKGLIBDIR, PGXS_DIR or ends with a message
#   install_extension           make and make install, with sudo where the directories ask for it
#
# It has a data directory, socket directory and settings of its own and listens on no TCP port, so it cannot meet another
# cluster. Whatever ends the script (also Ctrl-C) stops the server, by the pid that this script's server wrote down.

TA_DIR=
TA_KEEP=
TA_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

require_pg_config()
{
    : "${PG_CONFIG:=/usr/lib/postgresql/15/bin/pg_config}"
    if ! command -v "$PG_CONFIG" >/dev/null; then
        echo "no pg_config at \"$PG_CONFIG\": run \"make packages\" or set PG_CONFIG" >&2
        exit 1
    fi
    case $("$PG_CONFIG" --version) in
        'PostgreSQL 15.'*) ;;
        *) echo "PostgreSQL 15 is needed, \"$PG_CONFIG\" belongs to $("$PG_CONFIG" --version)" >&2; exit 1 ;;
    esac
    export PG_CONFIG
    BINDIR=$("$PG_CONFIG" --bindir)
    PKGLIBDIR=$("$PG_CONFIG" --pkglibdir)
    # shellcheck disable=SC2034
    PGXS_DIR=$(dirname "$("$PG_CONFIG" --pgxs)")/../..
    PATH=$BINDIR:$PATH
}

install_extension()
{
    local sudo=()
    if [ ! -w "$PKGLIBDIR" ]; then
        sudo=(sudo)
    fi
    make -C "$TA_TOP" --no-print-directory -s -j"$(nproc)" all
    "${sudo[@]}" make -C "$TA_TOP" --no-print-directory -s PG_CONFIG="$PG_CONFIG" DEBUG="${DEBUG:-}" FAULTS="${FAULTS:-}" install
}

as_server_user()
{
    if [ "$(id -u)" -eq 0 ]; then
        # The caller's directory may be closed to that user, and every program would complain.
        (cd "${TA_DIR:-/}" && exec runuser -u postgres -- "$@")
    else
        "$@"
    fi
}

# Signals every postmaster below $TA_DIR (TAP tests that were interrupted leave theirs) and waits until it is gone.
ta_stop_all()
{
    local signal=$1 file pid waited
    while IFS= read -r file; do
        pid=$(head -n 1 "$file" 2>/dev/null) || continue
        # The file could be a stale one of a crashed server: that pid may be anyone's by now.
        [ "$(readlink "/proc/$pid/cwd" 2>/dev/null)" = "$(dirname "$file")" ] || continue
        kill -"$signal" "$pid" 2>/dev/null || continue
        waited=0
        while kill -0 "$pid" 2>/dev/null; do
            sleep 0.1
            waited=$((waited + 1))
            if [ "$waited" -eq 300 ]; then
                echo "the throw-away server (pid $pid) does not stop: immediate shutdown" >&2
                kill -QUIT "$pid" 2>/dev/null || true
            fi
            [ "$waited" -lt 400 ] || { kill -KILL "$pid" 2>/dev/null || true; break; }
        done
    done < <(find "$TA_DIR" -name postmaster.pid 2>/dev/null)
}

ta_cleanup()
{
    local status=$?
    trap '' INT TERM HUP PIPE
    trap - EXIT
    if [ -n "$TA_DIR" ] && [ -z "$TA_KEEP" ]; then
        ta_stop_all INT
        rm -rf "$TA_DIR"
    fi
    exit "$status"
}

throwaway_create()
{
    trap ta_cleanup EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    trap 'exit 129' HUP
    trap 'exit 141' PIPE # "make demo | head", or the reader of a pipe died of the same Ctrl-C

    # Nothing of the caller's environment may lead a client to another server.
    unset PGHOSTADDR PGSERVICE PGSERVICEFILE PGPASSFILE PGPASSWORD PGOPTIONS PGSSLMODE PGDATA PGTZ PGDATESTYLE
    unset PGCLIENTENCODING PGAPPNAME
    # LANG too: the framework of the TAP tests takes LC_ALL away.
    export PSQLRC=/dev/null LANG=C.UTF-8 LC_ALL=C.UTF-8

    # trust needs no password: the directory is closed to everybody else.
    TA_DIR=$(mktemp -d "${TMPDIR:-/tmp}/pg_readmodel.XXXXXX")
    if [ "$(id -u)" -eq 0 ]; then
        chown postgres "$TA_DIR"
    fi
    throwaway_add main
}

throwaway_use()
{
    TA_SERVER=$TA_DIR/$1
    TA_DATA=$TA_SERVER/data
    TA_LOG=$TA_SERVER/server.log
    export PGHOST=$TA_SERVER PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
}

throwaway_add()
{
    throwaway_use "$1"
    as_server_user mkdir -m 0700 "$TA_SERVER"
    as_server_user "$BINDIR/initdb" -D "$TA_DATA" -U postgres -A trust -E UTF8 --locale=C.UTF-8 -N \
        >"$TA_DIR/initdb.log" || { cat "$TA_DIR/initdb.log" >&2; exit 1; }
    throwaway_configure \
        "listen_addresses = ''" \
        "unix_socket_directories = '$TA_SERVER'" \
        "port = 5432" \
        "shared_preload_libraries = 'pg_readmodel'" \
        "max_worker_processes = 16" \
        "max_prepared_transactions = 20" \
        "track_commit_timestamp = on" \
        "log_line_prefix = '%m [%p] %b %d '"
}

throwaway_configure()
{
    printf '%s\n' "$@" | as_server_user tee -a "$TA_DATA/postgresql.conf" >/dev/null
}

throwaway_start()
{
    if ! as_server_user "$BINDIR/pg_ctl" -D "$TA_DATA" -l "$TA_LOG" -w -t 60 -s start; then
        echo "the throw-away server does not start; its log:" >&2
        tail -n 40 "$TA_LOG" >&2
        exit 1
    fi
}

throwaway_stop()
{
    as_server_user "$BINDIR/pg_ctl" -D "$TA_DATA" -w -t 60 -s -m "${1:-fast}" stop
}

throwaway_restart()
{
    throwaway_stop "${1:-fast}"
    throwaway_start
}

throwaway_keep()
{
    TA_KEEP=yes
}
