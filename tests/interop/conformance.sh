#!/usr/bin/env bash
# The conformance suite (tests/conformance) against the daemon with its embedded CA, whose identities rotate while streams are open: as a user
# with an identity, and as root with another user to be denied. Prints the table; no MUST may be broken, and nothing skipped that is not named here.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ "$(id -u)" = 0 ] || { echo "this stage needs root: callers are other users"; exit 1; }
profile=${PROFILE:-debug}
[ "$profile" = debug ] && flags=() || flags=(--profile "$profile")
cargo build -q "${flags[@]}" -p mwid -p spiffe-conformance --bins
bin=${CARGO_TARGET_DIR:-target}/$profile
mwid=${MWID_BINARY:-$bin/mwid}

work=$(mktemp -d)
chmod 755 "$work"
started=()
cleanup() {
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT
fail() { echo "FAILED: $*"; tail -20 "$work/mwid.log"; exit 1; }

# Users that have no account: the rules name them by number.
entitled=45001
nobody_here=45003
cat > "$work/mwid.yaml" <<YAML
identity: { source: { dev_ca: { trust_domain: dev.internal, lifetime: 20s } } }
runtime_dir: $work/run
publish: []
api: { metadata: { listen: off, socket: off } }
access:
  - { who: { uid: $entitled }, may: { identity: true } }
YAML
"$mwid" run --config "$work/mwid.yaml" 2> "$work/mwid.log" & started+=($!)
"$mwid" wait --config "$work/mwid.yaml" --timeout 20s || fail "mwid is not ready"

# Skipped because mwid does not do it, or because nobody outside can make it happen.
known_skips='validate\.expired|wit\.(headers|claims)|endpoint\.not-extended'
look() { # OPTIONS...
    "$bin/conformance" --socket "unix://$work/run/workload.sock" --sds --await-rotation "$@" > "$work/table" || { cat "$work/table"; fail "conformance $*"; }
}
skips() { # MORE: none but these and the known
    local unknown
    unknown=$(awk '/ skip  / { print $1 }' "$work/table" | grep -vxE "$known_skips|$1" || true)
    [ -z "$unknown" ] || { cat "$work/table"; fail "skipped, and nobody knows why: $unknown"; }
}
look --deny-uid $nobody_here
skips '-'
cat "$work/table"
look --run-as $entitled
skips 'denied\..*'
echo "as uid $entitled: $(tail -1 "$work/table")"
