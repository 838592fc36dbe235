#!/bin/bash
# bench.sh: the figures that the project promises, each with its baseline from the same run. See bench/README.md.
#
#   SUITE="2 9"        only these, by number or name; default: all
#   EVENTS=1000000     of the log that is replayed; the other sizes follow it
#   QUICK=1            tiny sizes, to see whether everything works; the figures mean nothing
set -euo pipefail
shopt -s inherit_errexit # a wrong result within $(..) ends the run too

BENCH=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=test/tools/throwaway-server.sh
. "$BENCH/../test/tools/throwaway-server.sh"
QUICK=${QUICK:-}
if [ "$QUICK" = 0 ]; then
    QUICK=
fi
for part in results measure server serving http; do
    # shellcheck source=/dev/null
    . "$BENCH/lib/$part.sh"
done

EVENTS=${EVENTS:-$(quick 1000000 10000)}
if ! [[ $EVENTS =~ ^[0-9]+$ ]] || [ "$EVENTS" -lt 5000 ] || [ "$EVENTS" -gt 50000000 ]; then
    echo "EVENTS: \"$EVENTS\" is not a number from 5000 to 50000000" >&2
    exit 2
fi

say() { printf '\n== %s\n' "$*"; }
progress() { printf '   %(%H:%M:%S)T %s\n' -1 "$*" >&2; }

# The files of the suites in $SUITE; all without it.
chosen_suites()
{
    local wanted file
    if [ -z "${SUITE:-}" ]; then
        printf '%s\n' "$BENCH"/suites/*.sh
        return
    fi
    for wanted in $SUITE; do
        if [[ $wanted =~ ^[0-9]+$ ]]; then
            file=$(printf '%s/suites/%02d_*.sh' "$BENCH" "$((10#$wanted))")
        else
            file="$BENCH/suites/??_${wanted//-/_}.sh"
        fi
        # shellcheck disable=SC2086
        if ! compgen -G "$file"; then
            echo "SUITE: no suite \"$wanted\"; there are:" >&2
            (cd "$BENCH/suites" && printf '  %s\n' *.sh | sed 's/\.sh$//' >&2)
            exit 2
        fi
    done
}

# Whatever hangs, the run ends, and its servers with it.
watch_the_clock()
{
    local limit=$1 begin=$SECONDS main=$$
    while [ -d "$TA_DIR" ] && kill -0 "$main" 2>/dev/null; do
        sleep 2
        if [ $((SECONDS - begin)) -gt "$limit" ]; then
            echo "The run takes longer than $limit s: ended" >&2
            kill -TERM "$main"
            ta_stop_all INT # what the script waits for ends with its server
            return
        fi
    done
}

run_suite()
{
    local file=$1 from
    # shellcheck source=/dev/null
    . "$file"
    SUITE_NUMBER=$((10#$(basename "$file" | cut -c 1-2)))
    say "Suite $SUITE_NUMBER: $suite_title (about $(quick "$suite_seconds" $((suite_seconds / 20 + 3))) s)"
    from=$(now)
    suite
    record suites "$SUITE_NUMBER" "$(basename "$file" .sh | cut -c 4-)" "$suite_title" "$(seconds_since "$from")"
}

files=$(chosen_suites)
expected=15
for file in $files; do
    expected=$((expected + $(sed -n 's/^suite_seconds=//p' "$file")))
done
say "About $(quick "$((expected / 60 + 1)) minutes" "$((expected / 1000 + 1)) minutes")${QUICK:+, with tiny sizes: the figures mean nothing}"

require_pg_config
say "Building and installing the extension"
install_extension
say "Starting a throw-away server"
throwaway_create
results_begin
start_main_server
facts_of_the_machine
find_out_what_there_is
fact events "$EVENTS"
watch_the_clock "$(quick 3600 900)" &

began=$(now)
for file in $files; do
    run_suite "$file"
done
fact seconds "$(seconds_since "$began")"
server_lives_on

name=$(date -u +%Y%m%dT%H%M%SZ)${QUICK:+-quick}
mkdir -p "$BENCH/results"
say "Figures"
perl "$BENCH/lib/results.pl" "$RESULTS" "${QUICK:-0}" "$BENCH/results/$name.json"
printf '\nWritten to bench/results/%s.json\n' "$name"
