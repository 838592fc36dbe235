# shellcheck shell=bash
# The suites, for a script that has sourced throwaway-server.sh, made a server and installed the extension for it.
#
#   run_suites SUITE..   runs these, prints what each runner says and the differences of what failed, and fails if any did or
#                        if there was nothing to run. Suites: unit, fuzz, regress, isolation, model, tap, http, faults, differential, torture.
#                        The server is started for the suites that need it.
#   server_survived      fails, and shows why, if the log of the current server tells of a crash
#
# REGRESS and ISOLATION choose tests of those suites, TAP (test/t/x.pl ..) those of tap, http or faults.

make_variable()
{
    make -C "$TA_TOP" --no-print-directory -s "print-$1"
}

run_unit()
{
    local build=$TA_TOP/build/unit
    cmake -S "$TA_TOP" -B "$build" -DPG_CONFIG="$PG_CONFIG" >"$TA_DIR/cmake.log" || { cat "$TA_DIR/cmake.log"; return 1; }
    cmake --build "$build" --target unit_tests -j "$(nproc)" >"$TA_DIR/cmake.log" 2>&1 ||
        { cat "$TA_DIR/cmake.log"; return 1; }
    ctest --test-dir "$build" --output-on-failure --no-tests=error
}

# Some seconds of each fuzz target with clang's sanitizers; FUZZ_SECONDS for longer, FUZZ_SEED to see the same again. What
# crashes it is kept in build/fuzz.
run_fuzz()
{
    local build=$TA_TOP/build/fuzz target corpus corpora seconds=${FUZZ_SECONDS:-5} seed=${FUZZ_SEED:-$RANDOM} options
    cmake -S "$TA_TOP" -B "$build" -DPG_CONFIG="$PG_CONFIG" -DFUZZ=ON -DCMAKE_CXX_COMPILER=clang++ >"$TA_DIR/cmake.log" &&
        cmake --build "$build" --target fuzz_spec fuzz_fold fuzz_target -j "$(nproc)" >>"$TA_DIR/cmake.log" 2>&1 ||
        { cat "$TA_DIR/cmake.log"; return 1; }
    for target in fuzz_spec fuzz_fold fuzz_target; do
        corpus=$TA_DIR/corpus-$target
        mkdir -p "$corpus"
        corpora=("$corpus")
        options=(-max_total_time="$seconds" -seed="$seed" -max_len=1000 -timeout=20 -artifact_prefix="$build/$target-")
        if [ "$target" = fuzz_spec ]; then
            options+=(-dict="$TA_TOP/test/fuzz/spec.dict")
            corpora+=("$TA_TOP/test/fuzz/specs")
        elif [ "$target" = fuzz_target ]; then
            options+=(-dict="$TA_TOP/test/fuzz/target.dict")
            corpora+=("$TA_TOP/test/fuzz/targets")
        else
            # Its bytes are choices, and a spec with some events takes hundreds: it does not begin with a few.
            options+=(-len_control=0)
            perl -e 'srand shift; for my $i (1 .. 200) { open my $out, ">:raw", "$ARGV[0]/$i" or die; print {$out} map { chr rand 256 } 1 .. 1000 }' \
                "$seed" "$corpus"
        fi
        echo "$target, $seconds s, seed $seed"
        "$build/$target" "${options[@]}" "${corpora[@]}" >"$TA_DIR/$target.log" 2>&1 ||
            { tail -n 60 "$TA_DIR/$target.log"; return 1; }
        grep -E '^Done [1-9][0-9]+ runs' "$TA_DIR/$target.log" || { tail -n 20 "$TA_DIR/$target.log"; return 1; }
    done
}

# A worker that crashes takes the server through a restart, which a test can outlive without noticing.
server_survived()
{
    if grep -E 'PANIC|TRAP:|was terminated by signal|terminating any other active server' "$TA_LOG"; then
        echo "the server crashed during these tests:"
        grep -E -B 5 -A 20 -m 1 'PANIC|TRAP:|was terminated by signal' "$TA_LOG"
        return 1
    fi
}

# run_pg_regress RUNNER DIRECTORY EXTRA.. -- TEST..: on the running throw-away server, from a copy, as its user: a
# checkout that belongs to someone else is not writable for that user, and may not even be readable.
run_pg_regress()
{
    local runner=$1 work=$2
    shift 2
    if [ "$(id -u)" -eq 0 ]; then
        chown -R postgres "$work"
    fi
    if ! (cd "$work" && as_server_user "$runner" --inputdir="$work" --outputdir="$work/out" --bindir="$BINDIR" \
            --host="$PGHOST" --port="$PGPORT" --user="$PGUSER" "$@"); then
        if [ -s "$work/out/regression.diffs" ]; then
            cat "$work/out/regression.diffs"
        fi
        return 1
    fi
    server_survived
}

run_regress()
{
    local tests test work=$TA_DIR/regress
    read -r -a tests <<<"${REGRESS:-$(make_variable REGRESS)}"
    mkdir -p "$work/out"
    cp -R "$TA_TOP/sql" "$TA_TOP/expected" "$work/"
    # pg_regress stops altogether where an expected file is missing; with an empty one the test fails with its whole output.
    for test in "${tests[@]}"; do
        [ -e "$work/expected/$test.out" ] || : >"$work/expected/$test.out"
    done
    run_pg_regress "$PGXS_DIR/src/test/regress/pg_regress" "$work" \
        --dbname=contrib_regression --load-extension=pg_readmodel "${tests[@]}"
}

run_isolation()
{
    local tests work=$TA_DIR/isolation
    read -r -a tests <<<"${ISOLATION:-$(make_variable ISOLATION)}"
    cp -R "$TA_TOP/test/isolation" "$work"
    mkdir -p "$work/out"
    run_pg_regress "$PGXS_DIR/src/test/isolation/pg_isolation_regress" "$work" \
        --dbname=isolation_regression --load-extension=pg_readmodel "${tests[@]}"
}

run_model()
{
    "$TA_TOP/test/model/run.sh"
}

# processes_in DIRECTORY: those that have it, or one below it, as their current directory, with what they run
processes_in()
{
    local cwd
    for cwd in /proc/[0-9]*/cwd; do
        [[ $(readlink "$cwd" 2>/dev/null)/ != "$1"/* ]] || echo "${cwd//[^0-9]/} $(tr '\0' ' ' <"${cwd%cwd}cmdline" 2>/dev/null | cut -c 1-200)"
    done
}

# nothing_left_in DIRECTORY: fails if a test has left a process behind there, and ends it.
nothing_left_in()
{
    local left pid
    left=$(processes_in "$1")
    [ -n "$left" ] || return 0
    echo "tests have left behind:"
    echo "$left"
    while read -r pid _; do
        kill -KILL "$pid" 2>/dev/null || true
    done <<<"$left"
    return 1
}

# prove_tests DIRECTORY: the TAP tests of test/DIRECTORY, or those that TAP names. They wait
# most of the time, so four run at once. Whatever they wait for has a limit that a slow machine does not reach.
prove_tests()
{
    local directory=$1 work=$TA_DIR/tap-$1 tests=() test status=0
    local line='^(\[[0-9:.]+\]\([0-9.]+s\) )?' # of a log: they are timed
    mkdir "$work"
    cp -R "$TA_TOP/test" "$TA_TOP/README.md" "$work/" # its tutorial is tested too
    mkdir -p "$work/src/http"
    cp "$TA_TOP/src/http/"{grafana-dashboard.json,readmodel-http.service.in,readmodel-http.conf} "$work/src/http/" # and what it asks for
    if [ "$(id -u)" -eq 0 ]; then
        chown -R postgres "$work"
    fi
    # The largest first, so that no long one is left for the end.
    for test in ${TAP:-$(cd "$TA_TOP/test/$directory" && ls -S ./*.pl)}; do
        tests+=("$directory/$(basename "$test")")
    done
    # The PG* variables of the other suites' server are cleared by PostgreSQL::Test::Utils itself.
    if ! as_server_user env -C "$work/test" TESTDIR="$work" TMPDIR="$TA_DIR" PATH="$PATH" \
            PG_REGRESS="$PGXS_DIR/src/test/regress/pg_regress" PG_CONFIG="$PG_CONFIG" \
            prove --timer --jobs 4 -I "$PGXS_DIR/src/test/perl" -I "$work/test" "${tests[@]}"; then
        status=1
        for test in "$work"/tmp_check/log/regress_log_*; do
            # prove has named the tests that failed; a log of a test that passed has no such line, and says at the end how many there were.
            if grep -qE "${line}not ok|# *Looks like|died|Bail out" "$test" || ! grep -qE "${line}1\.\.[1-9]" "$test"; then
                echo "--- $(basename "$test") (end)"
                tail -n 60 "$test"
            fi
        done
    fi
    nothing_left_in "$work" || status=1
    return "$status"
}

run_tap()
{
    prove_tests t
}

# build_http DIRECTORY OPTION..: the HTTP service, built with these options for cmake, and installed where the user of the throw-away
# server can read it; sets $READMODEL_HTTP_INSTALLED and $READMODEL_HTTP_PROGRAM
build_http()
{
    local build=$TA_TOP/$1
    shift
    cmake -S "$TA_TOP" -B "$build" -DPG_CONFIG="$PG_CONFIG" "$@" >"$TA_DIR/cmake.log" &&
        cmake --build "$build" --target readmodel-http -j "$(nproc)" >>"$TA_DIR/cmake.log" 2>&1 &&
        DESTDIR=$TA_DIR/http-installed cmake --install "$build" --component http >>"$TA_DIR/cmake.log" ||
        { cat "$TA_DIR/cmake.log"; return 1; }
    chmod -R a+rX "$TA_DIR/http-installed"
    export READMODEL_HTTP_INSTALLED=$TA_DIR/http-installed/usr/local
    export READMODEL_HTTP_PROGRAM=$READMODEL_HTTP_INSTALLED/bin/readmodel-http
}

# Takes away all that build_http has installed, and fails if it was not all.
uninstall_http()
{
    local left
    make -C "$TA_TOP" --no-print-directory -s uninstall-http PREFIX=/usr/local DESTDIR="$TA_DIR/http-installed" || return 1
    left=$(find "$TA_DIR/http-installed" -type f -o -path '*/share/*')
    [ -z "$left" ] || { echo "FAILED: make uninstall-http leaves $left"; return 1; }
}

run_http()
{
    # Whoever runs the suites may have built one of another kind. Otherwise that whose library the unit tests have already.
    [[ ${READMODEL_HTTP_PROGRAM:-} = "$TA_DIR"/* ]] || build_http build/unit || return 1
    prove_tests http || return 1
    uninstall_http
}

# A build of its own with injection points and assertions; the installed one must know nothing of them.
run_faults()
(
    if [ -z "${FAULTS:-}" ] &&
            grep -aoE -m 1 'readmodel_fault|worker6faults|fault at point' "$PKGLIBDIR/pg_readmodel.so"; then
        echo "the library has injection points without FAULTS=1"
        return 1
    fi
    # shellcheck source=test/tools/private-build.sh
    . "$TA_TOP/test/tools/private-build.sh"
    private_build with-faults FAULTS=1 DEBUG=1 THROWAWAY=1
    prove_tests faults
)

# From another seed each time, on a server of its own.
run_differential()
{
    "$TA_TOP/test/differential/run.sh"
}

# Twenty seconds of it, with another seed each time, on a server of its own.
run_torture()
{
    local plan plans=()
    for plan in 1 1 2; do
        plans+=("$(TORTURE_SECONDS=20 SEED=$plan PLAN=1 "$TA_TOP/test/tools/torture.sh")")
    done
    if [ "${plans[0]}" != "${plans[1]}" ] || [ "${plans[0]}" = "${plans[2]}" ]; then
        echo "the seed does not decide the plan"
        return 1
    fi
    TORTURE_SECONDS=20 "$TA_TOP/test/tools/torture.sh"
}

present()
{
    case $1 in
        unit) compgen -G "$TA_TOP/test/unit/*.cpp" ;;
        fuzz) compgen -G "$TA_TOP/test/fuzz/*.cpp" ;;
        regress) compgen -G "$TA_TOP/sql/*.sql" ;;
        isolation) compgen -G "$TA_TOP/test/isolation/specs/*.spec" ;;
        model) compgen -G "$TA_TOP/test/model/*.pml" ;;
        tap) compgen -G "$TA_TOP/test/t/*.pl" ;;
        http) compgen -G "$TA_TOP/test/http/*.pl" ;;
        faults) compgen -G "$TA_TOP/test/faults/*.pl" ;;
        differential) compgen -G "$TA_TOP/test/differential/*.pl" ;;
        torture) compgen -G "$TA_TOP/test/torture/*.pl" ;;
        *) echo "unknown suite \"$1\": TESTS takes unit, fuzz, regress, isolation, model, tap, http, faults, differential, torture" >&2; exit 2 ;;
    esac >/dev/null
}

# What a runner said of what failed, once more in a few lines: what is above may be long, and cut off.
failures_of()
{
    echo "--- $1:"
    { grep -aE "^ *#? *Failed test|\(Wstat|FAILED|^not ok|ERROR: |SUMMARY: |error:|left behind" "$TA_DIR/$1.out" ||
        tail -n 12 "$TA_DIR/$1.out"; } | sed -n 1,12p | cut -c 1-160
}

run_suites()
{
    local suite started='' failed=() ran=()
    for suite in "$@"; do
        if ! present "$suite"; then
            echo "=== $suite: there are no tests of this kind"
            continue
        fi
        echo "=== $suite"
        if [[ $suite =~ ^(regress|isolation)$ && -z $started ]]; then
            throwaway_start
            started=yes
        fi
        ran+=("$suite")
        "run_$suite" 2>&1 | tee -i "$TA_DIR/$suite.out" || failed+=("$suite")
    done
    if [ ${#failed[@]} -gt 0 ]; then
        for suite in "${failed[@]}"; do
            failures_of "$suite"
        done
        echo "FAILED: ${failed[*]}"
        return 1
    fi
    if [ ${#ran[@]} -eq 0 ]; then
        echo "FAILED: no suite has any test"
        return 1
    fi
    echo "All tests passed: ${ran[*]}"
}
