#!/bin/bash
# torture.sh: the torture test on a throw-away server. TORTURE_SECONDS (default 60), SEED (default: a random one); PLAN=1 only prints
# the plan; KEEP=1 keeps the server's log and the actors' diaries. The Makefile passes SECONDS on as TORTURE_SECONDS, since SECONDS
# counts up by itself in bash.
set -euo pipefail

# shellcheck source=test/tools/throwaway-server.sh
. "$(dirname "$0")/throwaway-server.sh"

TORTURE_SECONDS=${TORTURE_SECONDS:-60}
SEED=${SEED:-$((RANDOM * 32768 + RANDOM))}
case "$TORTURE_SECONDS$SEED" in
    *[!0-9]*) echo "SECONDS and SEED are whole numbers" >&2; exit 2 ;;
esac
if [ "$TORTURE_SECONDS" -lt 5 ]; then
    echo "SECONDS has to be at least 5" >&2
    exit 2
fi
export TORTURE_SECONDS TORTURE_SEED=$SEED TORTURE_PLAN=${PLAN:-}

torture_run()
{
    local status=0 work=$TA_SERVER/torture
    throwaway_configure \
        "fsync = off" \
        "max_connections = 60" \
        "max_prepared_transactions = 200" \
        "max_worker_processes = 16" \
        "deadlock_timeout = '100ms'" \
        "restart_after_crash = on" \
        "include_if_exists 'torture.conf'"
    as_server_user mkdir -p "$work/diaries" "$work/faults"
    # From a copy: a checkout that belongs to someone else may not be readable for that user.
    cp -R "$TA_TOP/test/torture" "$TA_DIR/"
    export TORTURE_DATA=$TA_DATA TORTURE_LOG=$TA_LOG TORTURE_DIARIES=$work/diaries TORTURE_FAULTS=$work/faults
    as_server_user env PATH="$PATH" perl "$TA_DIR/torture/torture.pl" || status=$?
    torture_crashes || status=1
    if [ -n "${KEEP:-}" ]; then
        local kept
        kept=$(mktemp -d "${TMPDIR:-/tmp}/pg_readmodel-torture.XXXXXX")
        cp -R "$work/." "$TA_LOG" "$kept/"
        echo "The server's log and the diaries are in $kept."
    fi
    return "$status"
}

# Processes are killed on purpose; nothing else may crash.
torture_crashes()
{
    if grep -E 'PANIC|TRAP:|was terminated by signal ([0-8]|[0-8][0-9]|1[0-9][0-9])\b' "$TA_LOG"; then
        echo "FAILED: a process crashed (SEED=$SEED)"
        return 1
    fi
}

if [ -n "$TORTURE_PLAN" ]; then
    exec perl "$TA_TOP/test/torture/torture.pl"
fi
require_pg_config
install_extension
throwaway_create
torture_run
