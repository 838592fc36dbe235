# shellcheck shell=bash
# Servers that run under a checker of memory; to be sourced after private-build.sh.
#
#   checked_server 'LINE'..   puts these lines of shell before the start of every server of the current installation, which must
#                             be a private copy; they may set an array "checker" of words to put before the program
#   reports                   the directory to which the checker must write, one file a process, and nothing if all is well
#   no_reports                stops the servers; fails, and prints the reports, if there are any
#
# The program is replaced by a script that becomes it, so pg_ctl, signals and the TAP tests' own servers work as ever.
# shellcheck disable=SC2016 # the lines are for that script

checked_server()
{
    reports=$TA_DIR/reports
    as_server_user mkdir -p "$reports"
    # initdb, and the programs that only ask for something, start no server of ours.
    in_front_of postgres \
        'checker=()' \
        'case $1 in --boot | --single | --check | --describe-config | --version | -V | -C) ;; *)' "$@" ';; esac' \
        'exec "${checker[@]}" "$0.checked" "$@"'
    # "pg_ctl restart" starts what postmaster.opts names: the program itself.
    in_front_of pg_ctl \
        "find '$TA_DIR' -name postmaster.opts -exec sed -i 's,/postgres\\.checked\\b,/postgres,' {} +" \
        'exec "$0.checked" "$@"'
}

# in_front_of PROGRAM 'LINE'..: a script takes the place of this program of the installation, which gets ".checked" to its name.
in_front_of()
{
    local program=$BINDIR/$1
    shift
    mv "$program" "$program.checked"
    printf '%s\n' '#!/bin/bash' "$@" >"$program"
    chmod 0755 "$program"
}

# A server's leak is ours if the extension is in the stack. PostgreSQL leaves many things to the end of the process.
keep_our_leaks()
{
    local file
    find "$reports" -type f -size +0 ! -name 'http.*' -print0 | while IFS= read -r -d '' file; do
        grep -q 'ERROR: LeakSanitizer' "$file" || continue
        awk -v RS= -v ORS='\n\n' '/(Direct|Indirect) leak of/ { if (/pg_readmodel\.so| src\//) print; next }
                                  !/^(=+\n)?==[0-9]+==ERROR: LeakSanitizer|^SUMMARY: .*leaked/' "$file" >"$file.ours"
        mv "$file.ours" "$file"
    done
}

# A process reports its leaks when all else is over: the postmaster has removed postmaster.pid by then. Each has its server's
# directory as its current one.
stop_checked_servers()
{
    local directory waited=0 left=yes
    ta_stop_all INT
    while [ -n "$left" ]; do
        left=
        for directory in /proc/[0-9]*/cwd; do
            [[ $(readlink "$directory" 2>/dev/null) != "$TA_DIR"/* ]] || left=$directory
        done
        [ -z "$left" ] || sleep 0.1
        waited=$((waited + 1))
        [ "$waited" -lt 1200 ] || { echo "a process of a server does not end: $left" >&2; return 1; }
    done
}

no_reports()
{
    local files=() file
    stop_checked_servers || return 1
    keep_our_leaks
    # Beside libasan, libubsan writes where the server's log goes, whatever its options say.
    find "$TA_DIR" -name '*.log' -exec grep -hE -A 3 'runtime error: |ERROR: AddressSanitizer' {} + >"$reports/server_logs" || true
    mapfile -t files < <(find "$reports" -type f -size +0 | sort)
    [ ${#files[@]} -gt 0 ] || return 0
    echo "=== reports of ${#files[@]} processes; what they found:"
    # The same fault shows in many processes: each once, with its count, and then the first reports as they are.
    cat "${files[@]}" | grep -hE 'runtime error: |^SUMMARY: |^(Direct|Indirect) leak|definitely lost|^==[0-9]+== [A-Z]' |
        sed -E 's/^==[0-9]+== //; s/0x[0-9a-f]+/0x../g' | sort | uniq -c | sort -rn | head -n 40 || true
    for file in "${files[@]:0:5}"; do
        echo "--- $(basename "$file")"
        head -n 120 "$file"
    done
    return 1
}
