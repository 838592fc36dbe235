#!/bin/bash
# run.sh: the differential test of the spec language on a throw-away server. ROUNDS (default 60; 300 with READMODEL_LONG) logs
# from a random seed on; SEED=n only the log of that seed, as a difference names it.
set -euo pipefail

# shellcheck source=test/tools/throwaway-server.sh
. "$(dirname "$0")/../tools/throwaway-server.sh"

rounds=${READMODEL_LONG:+300}
export DIFFERENTIAL_ROUNDS=${ROUNDS:-${rounds:-60}} DIFFERENTIAL_ONLY=${SEED:-} DIFFERENTIAL_SEED=$((RANDOM * 32768 + RANDOM))
case "$DIFFERENTIAL_ROUNDS$DIFFERENTIAL_ONLY" in
    *[!0-9]*) echo "ROUNDS and SEED are whole numbers" >&2; exit 2 ;;
esac

differential_run()
{
    local status=0 file
    # Without workers until run.pl wants them: the launcher may hear later than others that they are not wanted.
    throwaway_configure \
        "fsync = off" \
        "readmodel.enabled = off" \
        "max_worker_processes = 16" \
        "readmodel.flush_interval = '10ms'"
    throwaway_start
    # From a copy: a checkout that belongs to someone else may not be readable for that user.
    cp -R "$TA_TOP/test/differential" "$TA_DIR/"
    for file in compile interpreter cases more_cases check_cases; do
        as_server_user "$BINDIR/psql" -X -q -v ON_ERROR_STOP=1 -f "$TA_DIR/differential/$file.sql"
    done
    export DIFFERENTIAL_DATA=$TA_DATA DIFFERENTIAL_LOG=$TA_LOG
    as_server_user env PATH="$PATH" perl "$TA_DIR/differential/run.pl" || status=$?
    if grep -E 'PANIC|TRAP:|was terminated by signal' "$TA_LOG"; then
        echo "FAILED: the server crashed"
        status=1
    fi
    return "$status"
}

require_pg_config
install_extension
throwaway_create
differential_run
