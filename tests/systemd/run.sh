#!/usr/bin/env bash
# The units: accepted by systemd-analyze, well sandboxed by its measure, and (as root) run by a real systemd that this script boots in
# namespaces of its own, with mwid.service as an operator has it.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=tests/systemd
threshold=20   # exposure times ten; see systemd/mwid.service for what is left open and why

# systemd-analyze looks for the programs that a unit names: stand-ins, so that the check needs no installed mwid.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for unit in systemd/*.service; do sed 's|/usr/bin/mwid|/bin/true|; s|/usr/local/bin/mwid|/bin/true|' "$unit" > "$scratch/$(basename "$unit")"; done
cp systemd/*.socket "$scratch/"
said=$(systemd-analyze verify --recursive-errors=one "$scratch"/*.service "$scratch"/*.socket 2>&1) || { echo "$said"; echo "FAILED: systemd-analyze verify"; exit 1; }
[ -z "$said" ] || { echo "$said"; echo "FAILED: systemd-analyze verify has something to say"; exit 1; }
echo "ok  1  systemd-analyze verify accepts the units without a word"
systemd-analyze security --offline=yes --no-pager --threshold=$threshold "$scratch/mwid.service" | tail -1
echo "ok  2  exposure is at most $threshold (times ten)"

if [ "$(id -u)" != 0 ]; then echo "skipped: booting a systemd needs root"; exit 0; fi
cargo build -q -p mwid --bin mwid 2>&1
payload=$scratch/payload
mkdir -p "$payload/systemd"
cp "${CARGO_TARGET_DIR:-target}/debug/mwid" "$payload/mwid"
cp -r systemd/. "$payload/systemd/"
cp $here/checks.sh tests/interop/pki.sh "$payload/"
bash $here/boot.sh "$payload"
