#!/bin/bash
# packages.sh GROUP..: installs the Debian packages of these groups that are missing, and does nothing if none is.
# Groups: build, http, test, http-test (Prometheus, and a browser for the page), long, bench, micro, lint. Needs root or sudo only
# when something is missing.
set -euo pipefail

build=(make g++ postgresql-15 postgresql-server-dev-15 nlohmann-json3-dev libboost-dev)
http=(make g++ cmake pkg-config nlohmann-json3-dev libboost-dev libboost-program-options-dev libpq-dev libsystemd-dev)
test=(cmake clang libgtest-dev nlohmann-json3-dev libipc-run-perl libdbd-pg-perl perl spin gcc)
http_test=(curl prometheus chromium chromium-driver fonts-inter fonts-dejavu-core)
long=(valgrind libc6-dbg)
bench=(gnuplot-nox perl wrk)
micro=(cmake libbenchmark-dev)
lint=(cmake libgtest-dev clang-format clang-tidy)

wanted=()
for group in "$@"; do
    case $group in
        build) wanted+=("${build[@]}") ;;
        http) wanted+=("${http[@]}") ;;
        test) wanted+=("${test[@]}") ;;
        http-test) wanted+=("${http_test[@]}") ;;
        long) wanted+=("${long[@]}") ;;
        bench) wanted+=("${bench[@]}") ;;
        micro) wanted+=("${micro[@]}") ;;
        lint) wanted+=("${lint[@]}") ;;
        *) echo "packages.sh: unknown group \"$group\"" >&2; exit 2 ;;
    esac
done

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "Not a Debian system: these are expected to be there: ${wanted[*]}" >&2
    exit 0
fi

missing=()
for package in "${wanted[@]}"; do
    if [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)" != installed ]; then
        missing+=("$package")
    fi
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "These packages are missing: ${missing[*]}" >&2
        echo "Run this as root or with sudo installed, or install them yourself." >&2
        exit 1
    fi
    as_root=(sudo)
fi

# This package starts a server, and would at every boot. Tests run their own, as an ordinary process.
for package in "${missing[@]}"; do
    if [ "$package" = prometheus ] && [ ! -e /usr/sbin/policy-rc.d ]; then
        trap '"${as_root[@]}" rm -f /usr/sbin/policy-rc.d' EXIT
        # shellcheck disable=SC2016
        printf '#!/bin/sh\ncase $1 in prometheus*) exit 101 ;; esac\n' |
            "${as_root[@]}" install -m 0755 /dev/stdin /usr/sbin/policy-rc.d
    fi
done

echo "Installing: ${missing[*]}"
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
if [[ " ${missing[*]} " == *" prometheus "* ]] && command -v systemctl >/dev/null; then
    "${as_root[@]}" systemctl disable prometheus.service >/dev/null 2>&1 || true
fi
