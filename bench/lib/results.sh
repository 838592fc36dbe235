# shellcheck shell=bash
# The figures of a run. Suites call these; lib/results.pl makes the table and the JSON of what they collect.
#
#   row FIGURE VALUE UNIT [BASELINE_NAME BASELINE RATIO TARGET]   TARGET: 'ratio >= 3' or 'value <= 96'; '' or '-': none
#   row_missing FIGURE UNIT              what this build cannot do yet
#   chart ID TYPE TITLE XLABEL YLABEL [OPTION..]   TYPE: lines or bars; options: logx, logy
#   point ID SERIES X Y                  bars: X is a name
#   fact NAME VALUE                      about the machine and the settings
#   wrong MESSAGE                        a result that is wrong: ends the run, and not with status 0

RESULTS=
SUITE_NUMBER=0

results_begin()
{
    RESULTS=$TA_DIR/results
    mkdir -p "$RESULTS"
    : >"$RESULTS/rows"
    : >"$RESULTS/charts"
    : >"$RESULTS/points"
    : >"$RESULTS/facts"
    : >"$RESULTS/suites"
}

record() { (IFS=$'\t'; printf '%s\n' "${*:2}") >>"$RESULTS/$1"; }

row()
{
    record rows "$SUITE_NUMBER" "$1" "$2" "$3" "${4:--}" "${5:--}" "${6:--}" "${7:--}"
    local against=
    if [ "${4:--}" != - ]; then
        against=" ($(shown "$6") of \"$4\")"
    fi
    printf '   %s: %s %s%s\n' "$1" "$(shown "$2")" "$3" "$against"
}

row_missing()
{
    record rows "$SUITE_NUMBER" "$1" - "$2" - - - -
    echo "   $1: not available in this build"
}

chart() { record charts "$SUITE_NUMBER" "$@"; }
point() { record points "$@"; }
fact() { record facts "$@"; }

wrong()
{
    echo "WRONG RESULT: $*" >&2
    exit 1
}

# Four significant digits, and no fewer before the point.
shown()
{
    awk -v x="$1" 'BEGIN { if (x !~ /^-?[0-9.]+(e[-+]?[0-9]+)?$/) print x; else { a = x < 0 ? -x : x; printf (a >= 1000 ? "%.0f" : "%.4g") "\n", x } }'
}

facts_of_the_machine()
{
    fact date "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
    fact processor "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)"
    fact cores "$(nproc)"
    fact memory_mb "$(awk '/^MemTotal/ { printf "%d", $2 / 1024 }' /proc/meminfo)"
    fact kernel "$(uname -sr)"
    fact system "$(. /etc/os-release 2>/dev/null && echo "${PRETTY_NAME:-unknown}" || echo unknown)"
    fact server "$(on main postgres -At -c 'SHOW server_version')"
    fact extension "$(on main postgres -At -c "SELECT default_version FROM pg_available_extensions WHERE name = 'pg_readmodel'")"
    fact commit "$(git -C "$BENCH" describe --always --dirty 2>/dev/null || echo unknown)"
    fact compiler "$(g++ --version | head -n 1)"
    fact load_before "$(cut -d ' ' -f 1 /proc/loadavg)"
}
