#!/bin/bash
# check-valgrind.sh: some of the tests on servers that run under valgrind's memcheck.
#
#   TESTS="regress tap"   the suites; REGRESS, ISOLATION and TAP choose tests
#
# Debian's server does not tell valgrind about palloc: chunks inside one block of malloc are one piece. What is seen: the use of
# what was never written, faults on the C++ heap, and what is leaked there.
set -euo pipefail

here=$(dirname "$0")
# shellcheck source=test/tools/throwaway-server.sh
. "$here/throwaway-server.sh"
# shellcheck source=test/tools/suites.sh
. "$here/suites.sh"
# shellcheck source=test/tools/private-build.sh
. "$here/private-build.sh"
# shellcheck source=test/tools/checked-server.sh
. "$here/checked-server.sh"

# Every kind of function, and a rebuild that is stopped, goes on after a restart, and ends in the tail.
REGRESS=${REGRESS:-append drop_query get key_expression readiness sources status}
TAP=${TAP:-test/t/006_stop_in_rebuild.pl}
# What takes a second takes half a minute.
export PGCTLTIMEOUT=300 PG_TEST_TIMEOUT_DEFAULT=${PG_TEST_TIMEOUT_DEFAULT:-1800} PGISOLATIONTIMEOUT=900

require_pg_config
throwaway_create
private_build valgrind DEBUG=1
as_server_user tee "$TA_DIR/valgrind.supp" <"$TA_TOP/test/valgrind.supp" >/dev/null

checked_server \
    "checker=(valgrind -q --log-file='$TA_DIR/reports/%p' --suppressions='$TA_DIR/valgrind.supp' --gen-suppressions=all" \
    "    --num-callers=30 --leak-check=full --show-leak-kinds=definite)"

throwaway_configure "fsync = off" "jit = off" # its compiler takes minutes
status=0
# shellcheck disable=SC2086
run_suites ${TESTS:-regress tap} || status=1
no_reports || status=1
exit "$status"
