#!/bin/bash
# lint.sh: formatting and clang-tidy, both as errors.
set -euo pipefail
cd "$(dirname "$0")/../.."

failed=
files=$(find src test bench -name '*.cpp' -o -name '*.hpp')
# shellcheck disable=SC2086
clang-format --dry-run -Werror $files || failed=yes

build=build/lint # each source by itself
cmake -S . -B "$build" -DPG_CONFIG="${PG_CONFIG:-}" -DUNITY=OFF >/dev/null
# shellcheck disable=SC2046
printf '%s\n' $(find src test/unit -name '*.cpp') |
    xargs -r -n 1 -P "$(nproc)" clang-tidy --quiet -p "$build" 2>/dev/null || failed=yes

if [ -n "$failed" ]; then
    echo "lint: there are findings"
    exit 1
fi
echo "lint: no findings"
