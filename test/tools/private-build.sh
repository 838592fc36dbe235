# shellcheck shell=bash
# A build with other flags beside the installed one; to be sourced after throwaway-server.sh.
#
#   private_build NAME VARIABLE=VALUE..   builds the sources with these variables for make and installs them into a copy of
#                                         the PostgreSQL installation, both below $TA_DIR/NAME, which becomes the current
#                                         installation (PG_CONFIG, BINDIR, ..) of the functions in throwaway-server.sh
#
# The system's installation and the objects in the source tree stay as they are, so that a test that is interrupted leaves
# nothing behind. PostgreSQL finds its other directories relative to its program file (common/path.c, make_relative_path), so
# a copy of the tree serves itself; the headers are only linked.

private_build()
{
    local name=$1 what directory root log
    shift
    root=$TA_DIR/$name
    log=$root/build.log
    mkdir -p "$root/source"
    for what in bindir pkglibdir sharedir; do
        directory=$("$PG_CONFIG" --$what)
        # Debian has its programs below its libraries' parent: each is copied once.
        [ -e "$root$directory" ] || { mkdir -p "$root$directory" && cp -a "$directory/." "$root$directory"; }
    done
    directory=$("$PG_CONFIG" --includedir)
    mkdir -p "$root$(dirname "$directory")"
    ln -s "$directory" "$root$directory"
    cp -R "$TA_TOP/Makefile" "$TA_TOP/pg_readmodel.control" "$TA_TOP/src" "$root/source/"
    find "$root/source" \( -name '*.o' -o -name '*.d' \) -delete

    PG_CONFIG=$root$("$PG_CONFIG" --bindir)/pg_config
    require_pg_config
    # Spelled out: "make check PG_CONFIG=.." hands its own down to every make below, over what the environment says.
    if ! make -C "$root/source" -s -j"$(nproc)" PG_CONFIG="$PG_CONFIG" "$@" all >"$log" 2>&1 ||
            ! make -C "$root/source" -s PG_CONFIG="$PG_CONFIG" "$@" install >>"$log" 2>&1; then
        cat "$log" >&2
        exit 1
    fi
    if [ "$(id -u)" -eq 0 ]; then
        chmod 0755 "$root"
    fi
}
