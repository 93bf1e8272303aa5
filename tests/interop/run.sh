#!/usr/bin/env bash
# Parts that we did not write against parts that we did: openssl's certificates through mwid's published directory to the example server
# and client, spoken to by openssl s_client, s_server and curl, across replacements in the way of both guest agents.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/interop/pki.sh
for program in openssl curl; do command -v $program >/dev/null || { echo "interop needs $program"; exit 1; }; done
profile=${PROFILE:-debug}
[ "$profile" = debug ] && flags=() || flags=(--profile "$profile")
cargo build -q "${flags[@]}" -p mwid --bins --examples
bin=${CARGO_TARGET_DIR:-target}/$profile

work=$(mktemp -d)
started=()
cleanup() {
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT
fail() { echo "FAILED: $*"; for log in "$work"/*.log; do echo "--- $log"; tail -20 "$log"; done; exit 1; }
# until_true SECONDS COMMAND...: waits for a thing, not for a time
until_true() {
    local deadline=$((SECONDS + $1)); shift
    until "$@"; do [ $SECONDS -lt $deadline ] || return 1; sleep 0.02; done
}

domain=pool.global.123.workload.id.goog
id=spiffe://$domain/ns/shop/sa/payments
rounds=${ROUNDS:-12}
pki_make "$work/pki" $domain
mkdir "$work/secrets" "$work/run"
declare -a serials
for n in $(seq 0 "$rounds"); do
    serials[n]=$(pki_leaf "$work/pki" $id "$work/leaf$n")
    bundle_map $domain "$work/pki/root.pem" > "$work/leaf$n/trust_bundles.json"
done

cat > "$work/mwid.yaml" <<YAML
identity:
  source: { guest_agent: { directory: $work/secrets/workload-spiffe-credentials, poll: 30s } }
  expect: spiffe://$domain/**
runtime_dir: $work/run
publish:
  - directory: $work/run/identity
    files: [gce, credential_bundle, haproxy, spiffe_bundle]
    key_mode: "0600"
YAML
"$bin/mwid" run --config "$work/mwid.yaml" 2> "$work/mwid.log" & started+=($!)
swap "$work/secrets" "$work/leaf0" legacy
"$bin/mwid" wait --config "$work/mwid.yaml" --timeout 20s || fail "mwid is not ready"
published=$work/run/identity
published_serial() { [ "$(openssl x509 -noout -serial -in "$published/certificates.pem" 2>/dev/null)" = "serial=$1" ]; }
published_serial "${serials[0]}" || fail "the published certificate is not the delivered one"

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free_port)
"$bin/examples/mtls_server" --identity "$published" --listen "127.0.0.1:$port" --allow "spiffe://$domain/ns/*/sa/*" > "$work/server.log" 2>&1 & started+=($!)
until_true 20 bash -c "exec 3<>/dev/tcp/127.0.0.1/$port" 2>/dev/null || fail "the example server does not listen"

material=(-cert "$published/certificates.pem" -key "$published/private_key.pem" -CAfile "$published/ca_certificates.pem")
s_client_serial() { # the serial number of the certificate that the example server shows; the chain must verify
    printf 'GET / HTTP/1.0\r\n\r\n' | timeout 10 openssl s_client -quiet -connect "127.0.0.1:$port" -verify_return_error \
        -verify 3 -cert_chain "$published/certificates.pem" "${material[@]}" > "$work/s_client.out" 2> "$work/s_client.err" || true
    printf 'GET / HTTP/1.0\r\n\r\n' | timeout 10 openssl s_client -connect "127.0.0.1:$port" -verify_return_error "${material[@]}" \
        -cert_chain "$published/certificates.pem" 2>/dev/null </dev/null | openssl x509 -noout -serial 2>/dev/null
}
shows() { [ "$(s_client_serial)" = "serial=$1" ]; }

passed=0
ok() { passed=$((passed + 1)); printf 'ok %2d  %s\n' $passed "$*"; }
for n in $(seq 1 "$rounds"); do
    how=$([ $((n % 2)) = 0 ] && echo legacy || echo current)
    swap "$work/secrets" "$work/leaf$n" "$how"
    until_true 20 published_serial "${serials[n]}" || fail "round $n ($how): not published"
    until_true 20 shows "${serials[n]}" || fail "round $n ($how): the example server does not show the new certificate"
    grep -q "$id" "$work/s_client.out" || fail "round $n ($how): s_client got no answer that names it"
    ok "s_client, certificate ${serials[n]} delivered in the way of the $how agent"
    answer=$(curl -sS --max-time 10 --tlsv1.3 -k --cert "$published/certificates.pem" --key "$published/private_key.pem" \
        "https://127.0.0.1:$port/") || fail "round $n: curl"
    grep -q "$id" <<<"$answer" || fail "round $n: curl got: $answer"
    ok "curl with client certificate"

    other=$(free_port)
    openssl s_server -accept "127.0.0.1:$other" -www -tls1_3 -Verify 3 -verify_return_error "${material[@]}" \
        -cert_chain "$published/certificates.pem" > "$work/s_server.log" 2>&1 & server=$!; started+=("$server")
    until_true 10 bash -c "exec 3<>/dev/tcp/127.0.0.1/$other" 2>/dev/null || fail "s_server does not listen"
    answer=$("$bin/examples/mtls_client" --identity "$published" --connect "127.0.0.1:$other" --expect "$id" 2> "$work/client.log") \
        || fail "round $n: the example client against s_server"
    grep -q "URI:$id" <<<"$answer" || fail "round $n: s_server did not see the client's identity: $answer"
    kill "$server" 2>/dev/null || true
    ok "the example client against s_server"
done

web=$(free_port)
"$bin/examples/axum_server" --identity "$published" --listen "127.0.0.1:$web" --allow "spiffe://$domain/**" > "$work/axum.log" 2>&1 & started+=($!)
until_true 20 bash -c "exec 3<>/dev/tcp/127.0.0.1/$web" 2>/dev/null || fail "the axum example does not listen"
answer=$(curl -sS --max-time 10 -k --cert "$published/certificates.pem" --key "$published/private_key.pem" "https://127.0.0.1:$web/") \
    || fail "curl to the axum example"
grep -q "$id" <<<"$answer" || fail "the axum example does not know its caller: $answer"
ok "curl to the axum example, whose handler knows the caller"

# Refused: no client certificate; a certificate of another root; a server that is not who the client expects.
if curl -sS --max-time 10 -k "https://127.0.0.1:$port/" >/dev/null 2>&1; then fail "curl without a certificate was answered"; fi
ok "without a client certificate: refused"
pki_make "$work/rogue" $domain
pki_leaf "$work/rogue" $id "$work/rogue/leaf" >/dev/null
if curl -sS --max-time 10 -k --cert "$work/rogue/leaf/certificates.pem" --key "$work/rogue/leaf/private_key.pem" \
    "https://127.0.0.1:$port/" >/dev/null 2>&1; then fail "a certificate of another root was accepted"; fi
ok "right name, other root: refused"
if "$bin/examples/mtls_client" --identity "$published" --connect "127.0.0.1:$port" --expect "spiffe://$domain/ns/shop/sa/other" \
    >/dev/null 2>&1; then fail "the client talked to a server that it does not expect"; fi
ok "a server with another ID than expected: refused"

# A broken delivery displaces nothing.
mkdir "$work/broken"
cp "$work/leaf0/certificates.pem" "$work/leaf0/trust_bundles.json" "$work/broken/"
cp "$work/leaf1/private_key.pem" "$work/broken/private_key.pem"
swap "$work/secrets" "$work/broken" current
refused() { "$bin/mwid" status --config "$work/mwid.yaml" --json 2>/dev/null | grep -q '"refusals": *[1-9]'; }
until_true 20 refused || fail "a key that does not match was not refused"
shows "${serials[rounds]}" || fail "a refused candidate displaced the good certificate"
ok "a key that does not match: refused, the last good certificate goes on"

# The Unix tools' view of what is published.
openssl verify -CAfile "$published/ca_certificates.pem" -untrusted "$published/certificates.pem" "$published/certificates.pem" >/dev/null
openssl pkey -in "$published/private_key.pem" -noout
[ "$(stat -L -c %a "$published/private_key.pem")" = 600 ] || fail "key mode"
ok "openssl reads and verifies what is published"
grep -l 'PRIVATE KEY' "$work"/*.log && fail "a key in a log"
echo "interop: $passed passed, 0 failed"
