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

# Skipped below: the embedded CA's tokens outlive this stage, so an expired one is looked at after it (validate.expired); and mwid issues no
# WIT-SVIDs, which wit.all-or-none looks at.
known_skips='validate\.expired|wit\.(headers|claims)'
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
echo "skipped: wit.headers and wit.claims, since mwid issues no WIT-SVIDs (wit.all-or-none); validate.expired comes next, on tokens of our own key"
look --run-as $entitled
skips 'denied\..*'   # who runs as somebody else cannot become a third: the table above has them
echo "as uid $entitled: $(tail -1 "$work/table")"

# A token that has expired and is right in all else, signed by a key of the trust bundle: one more daemon, whose platform we are.
. tests/interop/pki.sh
domain=example.org audience=spiffe-conformance
mkdir "$work/agent"
chmod 755 "$work/agent"
pki_make "$work/pki" $domain
pki_leaf "$work/pki" "spiffe://$domain/payments" "$work/leaf" > "$work/serial"
openssl genrsa -out "$work/jwt.key" 2048 2>/dev/null
base64url() { base64 -w0 | tr '+/' '-_' | tr -d '='; }
modulus=$(openssl rsa -in "$work/jwt.key" -noout -modulus | cut -d= -f2 | sed 's/../\\x&/g')
modulus=$(printf "$modulus" | base64url)
bundle_map $domain "$work/pki/root.pem" | sed "s|\"keys\":\[|&{\"use\":\"jwt-svid\",\"kty\":\"RSA\",\"kid\":\"k1\",\"n\":\"$modulus\",\"e\":\"AQAB\"},|" \
    > "$work/leaf/trust_bundles.json"
swap "$work/agent" "$work/leaf" current
token() { # SECONDS FROM NOW: a JWT-SVID that ends then
    local signed
    signed=$(printf '{"alg":"RS256","kid":"k1","typ":"JWT"}' | base64url).$(printf '{"sub":"spiffe://%s/payments","aud":["%s"],"exp":%d}' \
        $domain $audience $(($(date +%s) + $1)) | base64url)
    echo "$signed.$(printf %s "$signed" | openssl dgst -sha256 -sign "$work/jwt.key" | base64url)"
}
cat > "$work/expired.yaml" <<YAML
identity: { source: { guest_agent: { directory: $work/agent/workload-spiffe-credentials } } }
runtime_dir: $work/expired
publish: []
tokens: { source: none }
api: { metadata: { listen: off, socket: off } }
YAML
"$mwid" run --config "$work/expired.yaml" 2> "$work/mwid.log" & started+=($!)
"$mwid" wait --config "$work/expired.yaml" --timeout 20s || fail "mwid is not ready"
socket=unix://$work/expired/workload.sock
token 60 | "$mwid" validate jwt --audience $audience --socket "$socket" > /dev/null || fail "a token that has not expired is not taken"
token -60 > "$work/expired.jwt"
"$bin/conformance" --socket "$socket" --only validate.expired --jwt-audience $audience --expired-jwt "$work/expired.jwt" > "$work/table" \
    || { cat "$work/table"; fail "a token that has expired"; }
cat "$work/table"
grep -q '^validate\.expired .*  pass  ' "$work/table" || fail "validate.expired was not looked at"
