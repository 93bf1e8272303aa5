#!/usr/bin/env bash
# The real Envoy, with examples/envoy-sds.yaml as it is but for ports and names: mTLS server and mTLS client before a plain HTTP program, with secrets
# from mwid's socket, in both kinds of stream and both ways to verify, through rotations of leaf and root under load. Prints a table; the first
# request that fails ends it.
set -euo pipefail
cd "$(dirname "$0")/../../.."
. tests/interop/pki.sh
. tests/interop/envoy/install.sh
for program in python3 openssl curl; do command -v $program >/dev/null || { echo "interop with Envoy needs $program"; exit 1; }; done
profile=${PROFILE:-debug}
[ "$profile" = debug ] && flags=() || flags=(--profile "$profile")
cargo build -q "${flags[@]}" -p mwid --bins
mwid=${MWID_BINARY:-$PWD/${CARGO_TARGET_DIR:-target}/$profile/mwid}
export ROTATIONS=${ROTATIONS:-20}

work=$(mktemp -d)
chmod 755 "$work"
cleanup() { rm -rf "$work"; }
trap cleanup EXIT

envoy_install
# Other users run it, who may not be let into the project's directory.
[ -n "${ENVOY:-}" ] || { cp "$envoy" "$work/envoy-server"; envoy=$work/envoy-server; }

domain=pool.global.123.workload.id.goog
partner=partner.example
id=spiffe://$domain/ns/shop/sa/payments
pki_make "$work/old" $domain
pki_make "$work/new" $domain        # the root that takes over half way
pki_make "$work/partner" $partner   # known, and another domain
pki_make "$work/stranger" $domain   # nobody's
for n in $(seq 0 $((ROTATIONS + 2))); do   # two more for Envoys as clients
    ca=$([ "$n" -gt $((ROTATIONS / 2)) ] && echo new || echo old)
    pki_leaf "$work/$ca" $id "$work/leaf$n" >/dev/null
done
pki_leaf "$work/new" spiffe://$domain/ns/bank/sa/ledger "$work/ledger" >/dev/null
pki_leaf "$work/new" spiffe://$domain/ns/bank/sa/other "$work/other" >/dev/null
pki_leaf "$work/new" spiffe://$domain/ns/shop/sa/orders "$work/orders" >/dev/null
pki_leaf "$work/partner" spiffe://$partner/ns/shop/sa/orders "$work/partner-orders" >/dev/null
pki_leaf "$work/partner" $id "$work/forged" >/dev/null
pki_leaf "$work/partner" spiffe://$domain/ns/bank/sa/ledger "$work/forged-ledger" >/dev/null
pki_leaf "$work/stranger" $id "$work/strange" >/dev/null
chmod -R a+rX "$work"

python3 tests/interop/envoy/drive.py "$work" "$mwid" "$envoy" examples/envoy-sds.yaml
