#!/bin/bash
# check.sh: every test. Builds and installs, then runs the suites named in TESTS (default: all), prints what each runner
# says, the differences of what failed, and ends with a status other than 0 if any did.
set -euo pipefail

# shellcheck source=test/tools/throwaway-server.sh
. "$(dirname "$0")/throwaway-server.sh"
# shellcheck source=test/tools/suites.sh
. "$(dirname "$0")/suites.sh"

require_pg_config
install_extension
throwaway_create
throwaway_configure "fsync = off"
# shellcheck disable=SC2086
run_suites ${TESTS:-unit fuzz regress isolation model tap http faults differential torture}
