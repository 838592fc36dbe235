#!/bin/bash
# run.sh [NAME..]: has spin go through the model (readmodel.pml), all of it or the checks that are named. Every part of the right
# model must hold in every reachable state; for every broken variant a counterexample must be found. Prints a line for each, and for
# what went wrong the steps that lead there. Needs spin and gcc. MODEL_JOBS: how many at a time (default: the processors).
# READMODEL_LONG: the largest checks too.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
model=$here/readmodel.pml
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# name | holds, or where its counterexample shows | definitions
# A counterexample must show as the fault that the line is there to prevent, not as any fault.
late='mine&'                  # an event is committed at or below what was called settled, or a checkpoint
incomplete='applied.g_.==.committed' # a checkpoint is past an event that is not applied
twice='batch.g_'              # an event is applied twice
checks=(
    "handover                  | holds       | REBUILD WRITERS=3 POSITIONS=4"
    "guarded-many-events       | holds       | GUARDED WRITERS=2 POSITIONS=3"
    "guarded-crash             | holds       | GUARDED CRASHES=1 WRITERS=2 POSITIONS=3"
    "guarded-killed            | holds       | GUARDED RESTARTS=1 WRITERS=2 POSITIONS=3"
    "guarded-session           | holds       | GUARDED SESSION WRITERS=2 POSITIONS=3"
    "worker-killed             | holds       | REBUILD RESTARTS=1 WRITERS=2 POSITIONS=3"
    "second-worker             | holds       | SECOND WRITERS=2 POSITIONS=2"
    "settled-unread            | holds       | REBUILD IDLE WRITERS=2 POSITIONS=3"
    "snapshot-before-test      | $incomplete | BROKEN_SNAPSHOT_BEFORE_TEST WRITERS=2 POSITIONS=3"
    "holders-before-high       | $late       | BROKEN_HOLDERS_BEFORE_HIGH WRITERS=2 POSITIONS=3"
    "run-over-holes            | $late       | BROKEN_RUN_OVER_HOLES WRITERS=2 POSITIONS=3"
    "same-snapshot             | $incomplete | BROKEN_SAME_SNAPSHOT WRITERS=2 POSITIONS=3"
    "lock-released-first       | $late       | BROKEN_LOCK_RELEASED_FIRST WRITERS=2 POSITIONS=3"
    "snapshot-before-published | $incomplete | BROKEN_SNAPSHOT_BEFORE_PUBLISHED REBUILD WRITERS=2 POSITIONS=3"
    "whole-page                | $twice      | BROKEN_WHOLE_PAGE REBUILD WRITERS=2 POSITIONS=3"
    "not-compared              | $twice      | BROKEN_NOT_COMPARED REBUILD WRITERS=2 POSITIONS=3"
    "not-compared-second       | $twice      | BROKEN_NOT_COMPARED SECOND WRITERS=2 POSITIONS=2"
    "floor-before-lock         | $late       | BROKEN_FLOOR_BEFORE_LOCK GUARDED WRITERS=2 POSITIONS=3"
    "lock-of-savepoint         | $late       | BROKEN_LOCK_OF_SAVEPOINT GUARDED WRITERS=2 POSITIONS=3"
    "announced-after-holders   | $late       | BROKEN_ANNOUNCED_AFTER_HOLDERS GUARDED WRITERS=2 POSITIONS=3"
    "no-floor-of-holder        | $late       | BROKEN_NO_FLOOR_OF_HOLDER GUARDED WRITERS=2 POSITIONS=3"
    "no-stored-floor           | $late       | BROKEN_NO_STORED_FLOOR GUARDED CRASHES=1 WRITERS=2 POSITIONS=3"
    "not-unique                | $late       | BROKEN_NOT_UNIQUE GUARDED WRITERS=2 POSITIONS=3"
)
if [ -n "${READMODEL_LONG:-}" ] || [[ " $* " == *" guarded "* ]]; then
    checks+=("guarded                   | holds       | GUARDED ONE_EVENT WRITERS=3 POSITIONS=3")
fi

# The steps that lead to what was found, a line each.
show_steps()
{
    local log=$1
    shift
    spin "$@" -t -k trail -T "$model" >steps 2>&1 || true
    sed -n -e '/^spin: text of failed assertion/p' -e '/^\(writer\|worker\|the server\)/p' steps >>"$log"
}

# check NAME EXPECTED DEFINITION..: writes the line to NAME.line, and what is to be said besides to NAME.log.
check()
{
    local name=$1 expected=$2 definition definitions=() states seconds verdict started=$SECONDS
    shift 2
    for definition in "$@"; do
        definitions+=("-D$definition")
    done
    mkdir "$work/$name"
    cd "$work/$name"
    : >log
    verdict=wrong
    # -O2 takes twice as long to compile and runs no faster. -DCOLLAPSE would halve the memory (1.1 GB at most) and run half as
    # long again.
    if spin "${definitions[@]}" -a "$model" >log 2>&1 &&
            gcc -w -O1 -DSAFETY -DMEMLIM=2500 -o pan pan.c >>log 2>&1; then
        : >log # what both say of unused parts
        # -m: the longest path that is followed. Beyond it the search would be cut off, which counts as a failure.
        ./pan -m20000 -w23 >out 2>&1 || true
        if [ -e readmodel.pml.trail ]; then
            mv readmodel.pml.trail trail
        fi
        if grep -q -e 'max search depth too small' -e 'out of memory' -e 'Search not completed' out && [ ! -e trail ]; then
            cat out >>log
        elif [ "$expected" = holds ]; then
            if grep -q 'errors: 0' out && [ ! -e trail ]; then
                verdict=holds
            fi
        elif grep -q 'assertion violated' out && grep -q -e "assertion violated .*$expected" out; then
            verdict=found
        fi
        if [ "$verdict" = wrong ]; then
            grep -E '^pan|errors:' out >>log || cat out >>log
            if [ -e trail ]; then
                show_steps log "${definitions[@]}"
            fi
        elif [ -e trail ] && [ -n "${STEPS:-}" ]; then
            show_steps log "${definitions[@]}"
        fi
    fi
    states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' out 2>/dev/null || true)
    seconds=$((SECONDS - started))
    case $verdict in
        holds) verdict="holds in every state" ;;
        found) verdict="counterexample found, as it must be" ;;
        wrong) verdict="FAILED: $([ "$expected" = holds ] && echo "it must hold" || echo "it must have a counterexample")" ;;
    esac
    printf '%-26s %9s states %4s s  %s\n' "$name" "${states:-no}" "$seconds" "$verdict" >line
}

names=()
running=0
for entry in "${checks[@]}"; do
    IFS='|' read -r name expected definitions <<<"$entry"
    name=${name%% *} expected=${expected// /}
    if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then
        continue
    fi
    names+=("$name")
    if [ "$running" -ge "${MODEL_JOBS:-$(nproc)}" ]; then
        wait -n
        running=$((running - 1))
    fi
    read -r -a definitions <<<"$definitions"
    (check "$name" "$expected" "${definitions[@]}") &
    running=$((running + 1))
done
wait

if [ ${#names[@]} -eq 0 ]; then
    echo "run.sh: no check is named ${*@Q}" >&2
    exit 2
fi
failed=()
for name in "${names[@]}"; do
    cat "$work/$name/line"
    sed 's/^/    /' "$work/$name/log"
    if ! grep -q -e 'holds in every' -e 'as it must' "$work/$name/line"; then
        failed+=("$name")
    fi
done
if [ ${#failed[@]} -gt 0 ]; then
    echo "The model fails: ${failed[*]}"
    exit 1
fi
echo "The model holds, and each of its broken variants is caught: ${#names[@]} checks in $SECONDS s"
