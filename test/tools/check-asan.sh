#!/bin/bash
# check-asan.sh: the suites with the extension, and the HTTP service, built with AddressSanitizer, LeakSanitizer and
# UndefinedBehaviorSanitizer.
#
#   TESTS="regress isolation tap http"   the suites; TAP, REGRESS and ISOLATION choose tests
#
# The server itself is not instrumented, but its malloc is the sanitizer's. What is out of its sight: chunks of palloc inside
# one block of malloc.
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

# Three times as slow, and the limits of the tests are for a quick machine.
export PG_TEST_TIMEOUT_DEFAULT=${PG_TEST_TIMEOUT_DEFAULT:-720}

require_pg_config
throwaway_create
# With the PG_CONFIG of the lasting installation, since cmake remembers what it has found.
[[ " ${TESTS:-http} " != *" http "* ]] || build_http build/sanitized -DSANITIZE=ON
private_build asan SANITIZE=1
"${CC:-gcc}" -shared -fPIC -Wl,-z,initfirst -o "$TA_DIR/asan-first.so" "$here/asan-first.c"
chmod 0755 "$TA_DIR/asan-first.so"

# detect_stack_use_after_return would move locals to the heap, and check_stack_depth() measures by their addresses.
# libubsan, once loaded, takes over the path of the reports from libasan, so both are given the same.
# exitcode is for leaks: a process that has leaked is to end as ever, or the server would take it for a crash.
checked_server \
    "export LD_PRELOAD='$("${CXX:-g++}" -print-file-name=libasan.so):$TA_DIR/asan-first.so'" \
    "ASAN_OPTIONS='log_path=$TA_DIR/reports/asan:abort_on_error=1:disable_coredump=1:exitcode=0'" \
    "export ASAN_OPTIONS+=':detect_leaks=1:detect_stack_use_after_return=0:check_initialization_order=1'" \
    "export UBSAN_OPTIONS='log_path=$TA_DIR/reports/asan:print_stacktrace=1'"

# The service has both of them inside. The one that starts last, libubsan, takes its own options for what they have in common.
# handle_abort is for the standard library's assertions.
export ASAN_OPTIONS="log_path=$reports/http:abort_on_error=1:handle_abort=1:disable_coredump=1:exitcode=0:detect_leaks=1"
export ASAN_OPTIONS+=':detect_stack_use_after_return=1:strict_string_checks=1:check_initialization_order=1'
export UBSAN_OPTIONS="$ASAN_OPTIONS:print_stacktrace=1"

throwaway_configure "fsync = off"
status=0
# shellcheck disable=SC2086
run_suites ${TESTS:-regress isolation tap http} || status=1
no_reports || status=1
exit "$status"
