# shellcheck shell=bash
# Numbers, clocks, and what is sampled while something else runs.

now() { date +%s%N; }
seconds_since() { awk -v from="$1" -v to="$(now)" 'BEGIN { printf "%.4f", (to - from) / 1e9 }'; }

# calc 'EXPRESSION': awk's arithmetic. The expression is a script's own, its numbers are psql's and pgbench's.
calc() { awk "BEGIN { printf \"%.10g\", ($1) }"; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.4g", (b == 0 ? 0 : a / b) }'; }
median()
{
    printf '%s\n' "$@" | sort -g |
        awk '{ a[NR] = $1 } END { printf "%.10g", NR % 2 ? a[(NR + 1) / 2] : (a[NR / 2] + a[NR / 2 + 1]) / 2 }'
}
least() { printf '%s\n' "$@" | sort -g | head -n 1; }
most() { printf '%s\n' "$@" | sort -g | tail -n 1; }

# quick FULL QUICK: which of the two sizes this run takes
quick() { if [ -n "$QUICK" ]; then echo "$2"; else echo "$1"; fi; }

# load SERVER DATABASE PGBENCH-ARGUMENT..: runs pgbench to its end; its figures are then in $LOAD_TPS and $LOAD_LATENCY (ms).
# A pgbench whose transactions failed, or that did none, ends the run.
LOAD_TPS=
LOAD_LATENCY=
load()
{
    local log=$TA_DIR/pgbench.log
    PGHOST=$TA_DIR/$1 pgbench -n "${@:3}" "$2" >"$log" 2>&1 || { cat "$log" >&2; wrong "pgbench failed"; }
    load_figures "$log"
}

load_figures()
{
    LOAD_TPS=$(sed -n 's/^tps = \([0-9.]*\) .*/\1/p' "$1")
    LOAD_LATENCY=$(sed -n 's/^latency average = \([0-9.]*\) ms.*/\1/p' "$1")
    if [ -z "$LOAD_TPS" ] || ! grep -q '^number of failed transactions: 0 ' "$1"; then
        cat "$1" >&2
        wrong "pgbench says that transactions failed"
    fi
}

# background_load SERVER DATABASE PGBENCH-ARGUMENT..; then end_load, before or after it has come to its end by itself
LOAD_PID=
background_load()
{
    PGHOST=$TA_DIR/$1 pgbench -n "${@:3}" "$2" >"$TA_DIR/background.log" 2>&1 &
    LOAD_PID=$!
}

wait_load()
{
    wait "$LOAD_PID" || { cat "$TA_DIR/background.log" >&2; wrong "pgbench failed"; }
    LOAD_PID=
    load_figures "$TA_DIR/background.log"
}

# Ends it early. Its transactions under way are rolled back, so it has no figures.
end_load()
{
    kill -TERM "$LOAD_PID" 2>/dev/null || { cat "$TA_DIR/background.log" >&2; wrong "pgbench ended too early"; }
    wait "$LOAD_PID" || true
    LOAD_PID=
}

# sample FILE SECONDS SERVER DATABASE STATEMENT: appends what the statement returns to the file, again and again, until end_sampling
SAMPLER=
sample()
{
    local stop=$TA_DIR/sampled
    rm -f "$stop"
    until [ -e "$stop" ] || [ ! -d "$TA_DIR" ]; do
        echo "$5"
        sleep "$2"
    done | on "$3" "$4" -At -F ' ' >"$1" &
    SAMPLER=$!
}

# sample_memory FILE: "milliseconds pid kB" of RssAnon of every rebuild worker of the main server
sample_memory()
{
    local stop=$TA_DIR/sampled
    rm -f "$stop"
    perl "$BENCH/lib/sample_memory.pl" "$(head -n 1 "$TA_DIR/main/data/postmaster.pid")" 'pg_readmodel rebuild' "$stop" >"$1" &
    SAMPLER=$!
}

end_sampling()
{
    touch "$TA_DIR/sampled"
    wait "$SAMPLER"
    SAMPLER=
}
