#!/usr/bin/env bash
# The proxy between programs that we did not write: openssl, curl, and, where they are installed, nginx, haproxy, PostgreSQL, Node, Envoy and go-spiffe, each
# on the other side of a route with mutual TLS. PEERS="nginx haproxy psql web envoy go" makes a peer that is not there a failure instead of a line;
# Envoy is downloaded if PEERS has it or ENVOY says where it is.
set -euo pipefail
cd "$(dirname "$0")/../../.."
. tests/interop/pki.sh
. tests/interop/envoy/install.sh
for program in openssl curl python3; do command -v $program >/dev/null || { echo "interop needs $program"; exit 1; }; done
profile=${PROFILE:-debug}
[ "$profile" = debug ] && flags=() || flags=(--profile "$profile")
[ -n "${MWID:-}" ] || cargo build -q "${flags[@]}" -p mwid --bins
mwid=${MWID:-${CARGO_TARGET_DIR:-target}/$profile/mwid}

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
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
passed=0
ok() { passed=$((passed + 1)); printf 'ok %2d  %s\n' $passed "$*"; }
# there PROGRAM NAME: whether a peer is installed; PEERS says which must be
there() {
    command -v "$1" >/dev/null && return 0
    case " ${PEERS:-} " in *" $2 "*) fail "$2 is not installed" ;; esac
    echo "--     $2 is not installed here"
    return 1
}

domain=pool.global.123.workload.id.goog
id=spiffe://$domain/ns/shop/sa/vm
peer=spiffe://$domain/ns/shop/sa/peer
pki_make "$work/pki" $domain
mkdir "$work/secrets" "$work/run" "$work/www"
pki_leaf "$work/pki" $id "$work/leaf" > /dev/null
pki_leaf "$work/pki" $peer "$work/peer" > /dev/null
pki_leaf "$work/pki" spiffe://$domain/ns/other/sa/peer "$work/other" > /dev/null
pki_make "$work/stranger" $domain
pki_leaf "$work/stranger" $peer "$work/unknown" > /dev/null
cat "$work/peer/certificates.pem" "$work/peer/private_key.pem" > "$work/peer/both.pem"
echo "plain words" > "$work/www/words"
head -c 3000000 /dev/urandom > "$work/www/large"

app=$(free_port); inbound=$(free_port); remote=$(free_port); outbound=$(free_port); chain=$(free_port); postgres=$(free_port)
inbound12=$(free_port); sessions=$(free_port)
pg_in=$(free_port); pg_out=$(free_port); web_app=$(free_port); web_in=$(free_port); web_out=$(free_port); rpc_app=$(free_port); rpc_in=$(free_port); rpc_out=$(free_port)
h2_app=$(free_port); h2_in=$(free_port); h2_out=$(free_port); web2_out=$(free_port)
cat > "$work/mwid.yaml" <<YAML
identity:
  source: { guest_agent: { directory: $work/secrets/workload-spiffe-credentials, poll: 30s } }
runtime_dir: $work/run
api: { metadata: { listen: "off" } }
proxy:
  inbound:
    - { name: in, listen: "127.0.0.1:$inbound", forward: "127.0.0.1:$app", allow: ["spiffe://$domain/ns/shop/**"] }
    - { name: in12, listen: "127.0.0.1:$inbound12", forward: "127.0.0.1:$app", allow: ["spiffe://$domain/ns/shop/**"], tls12: true }
    - { name: pg-in, listen: "127.0.0.1:$pg_in", forward: "127.0.0.1:$postgres", allow: ["$id"] }
    - { name: web-in, listen: "127.0.0.1:$web_in", forward: "127.0.0.1:$web_app", allow: ["spiffe://$domain/ns/shop/**"], http: true }
    - { name: rpc-in, listen: "127.0.0.1:$rpc_in", forward: "127.0.0.1:$rpc_app", allow: ["$id"], http: true }
    - { name: h2-in, listen: "127.0.0.1:$h2_in", forward: "127.0.0.1:$h2_app", allow: ["$id"], http: { to: h2c } }
  outbound:
    - { name: web2-out, listen: "127.0.0.1:$web2_out", connect: "127.0.0.1:$web_in", expect: "$id", alpn: [h2] }
    - { name: h2-out, listen: "127.0.0.1:$h2_out", connect: "127.0.0.1:$h2_in", expect: "$id", alpn: [h2] }
    - { name: web-out, listen: "127.0.0.1:$web_out", connect: "127.0.0.1:$web_in", expect: "$id" }
    - { name: rpc-out, listen: "127.0.0.1:$rpc_out", connect: "127.0.0.1:$rpc_in", expect: "$id", alpn: [h2] }
    - { name: out, listen: "127.0.0.1:$outbound", connect: "127.0.0.1:$remote", expect: "$peer" }
    - { name: chain, listen: "127.0.0.1:$chain", connect: "127.0.0.1:$inbound", expect: "$id" }
    - { name: pg-out, listen: "127.0.0.1:$pg_out", connect: "127.0.0.1:$pg_in", expect: "$id" }
YAML
"$mwid" run --config "$work/mwid.yaml" 2> "$work/mwid.log" & started+=($!)
swap "$work/secrets" "$work/leaf" legacy
"$mwid" wait --config "$work/mwid.yaml" --timeout 20s || fail "mwid is not ready"
python3 -m http.server --directory "$work/www" --bind 127.0.0.1 "$app" > "$work/app.log" 2>&1 & started+=($!)
until_true 20 listens "$app" || fail "the application does not listen"
status() { "$mwid" status --config "$work/mwid.yaml" --json; }
refusal_of() { status | python3 -c 'import json,sys; r=[r for r in json.load(sys.stdin)["routes"] if r["name"]==sys.argv[1]][0]["last_refusal"]; print(r["text"].split(":")[0] if r else "")' "$1"; }
refused_as() { [ "$(refusal_of "$1")" = "$2" ]; }

# --- clients of an inbound route
show() { echo --cert "$1/certificates.pem" --key "$1/private_key.pem"; }
# shellcheck disable=SC2046
curl -sS --max-time 20 --tlsv1.3 -k $(show "$work/peer") "https://127.0.0.1:$inbound/large" -o "$work/got" || fail "curl to the inbound route"
cmp -s "$work/got" "$work/www/large" || fail "curl got other bytes"
ok "curl with a client certificate, 3 MB"
printf 'GET /words HTTP/1.0\r\n\r\n' | timeout 20 openssl s_client -quiet -connect "127.0.0.1:$inbound" -verify_return_error -verify 3 \
    -cert "$work/peer/certificates.pem" -cert_chain "$work/peer/certificates.pem" -key "$work/peer/private_key.pem" \
    -CAfile "$work/pki/root.pem" > "$work/s_client.out" 2> "$work/s_client.log" || true
grep -q "plain words" "$work/s_client.out" || fail "s_client got no answer"
ok "s_client, our certificate verified"
refuses() { # refuses REASON WHAT OPENSSL-ARGUMENTS...
    local reason=$1 what=$2; shift 2
    printf 'GET /words HTTP/1.0\r\n\r\n' | timeout 20 openssl s_client -quiet -connect "127.0.0.1:$inbound" "$@" > "$work/s_client.out" 2> "$work/s_client.log" || true
    ! grep -q "plain words" "$work/s_client.out" || fail "$what was let in"
    until_true 10 refused_as in "$reason" || fail "$what: refused as $(refusal_of in), not $reason"
    ok "$what is refused: $reason"
}
as() { echo -cert "$1/certificates.pem" -cert_chain "$1/certificates.pem" -key "$1/private_key.pem"; }
refuses no_certificate "s_client without a certificate"
# shellcheck disable=SC2046
refuses no_rule "s_client with an ID that no rule allows" $(as "$work/other")
# shellcheck disable=SC2046
refuses bad_signature "s_client of another root of the same name" $(as "$work/unknown")
# shellcheck disable=SC2046
refuses tls_version "s_client with TLS 1.2" -tls1_2 $(as "$work/peer")
# A session of another server's is refused, and the client has to show its certificate: without one it is not let in.
openssl s_server -quiet -accept "127.0.0.1:$sessions" -cert "$work/leaf/certificates.pem" -key "$work/leaf/private_key.pem" > "$work/sessions.log" 2>&1 < /dev/null & started+=($!)
until_true 20 listens "$sessions" || fail "s_server does not listen"
not_resumed() { metrics | sed -n 's/^mwid_proxy_resumptions_refused_total{route="in12"} //p'; }
metrics() { curl -sS --unix-socket "$work/run/admin.sock" http://mwid/metrics; }
asked=0
for version in tls1_3 tls1_2 no_ticket; do
    how=(-"$version"); [ $version = no_ticket ] && how=(-tls1_2 -no_ticket)
    rm -f "$work/session"
    sleep 1 | timeout 20 openssl s_client -connect "127.0.0.1:$sessions" "${how[@]}" -sess_out "$work/session" > /dev/null 2>&1 || true
    [ -s "$work/session" ] || fail "s_server gave no session ($version)"
    for who in peer nobody; do
        show=(); [ $who = nobody ] || read -ra show <<< "$(as "$work/peer")"
        printf 'GET /words HTTP/1.0\r\n\r\n' | timeout 20 openssl s_client -ign_eof -connect "127.0.0.1:$inbound12" "${how[@]}" -sess_in "$work/session" \
            "${show[@]}" > "$work/s_client.out" 2> "$work/s_client.log" || true
        asked=$((asked + 1))
        [ "$(not_resumed)" = $asked ] || fail "$version, $who: $(not_resumed) sessions were refused, not $asked"
        if [ $who = peer ]; then
            grep -q "plain words" "$work/s_client.out" || fail "$version: s_client with a session got no answer"
            ! grep -q "Reused" "$work/s_client.out" || fail "$version: a session was resumed"
        else
            ! grep -q "plain words" "$work/s_client.out" || fail "$version: a session is as good as a certificate"
        fi
    done
    ok "s_client's session of another server is refused, its certificate asked for ($version)"
done
curl -sS --max-time 5 "http://127.0.0.1:$inbound/words" > /dev/null 2>&1 && fail "plain HTTP was answered"
until_true 10 refused_as in not_tls || fail "plain HTTP: refused as $(refusal_of in)"
ok "plain HTTP is refused: not_tls"
# shellcheck disable=SC2046
timeout 20 openssl s_client -connect "127.0.0.1:$inbound" $(as "$work/peer") -sess_out "$work/session" < /dev/null > "$work/s_client.out" 2> "$work/s_client.log" || true
[ ! -s "$work/session" ] || ! grep -q "BEGIN SSL" "$work/session" || {
    # shellcheck disable=SC2046
    timeout 20 openssl s_client -connect "127.0.0.1:$inbound" $(as "$work/peer") -sess_in "$work/session" < /dev/null > "$work/s_client.out" 2>&1 || true
    ! grep -q "^Reused" "$work/s_client.out" || fail "a session was resumed"
}
ok "no session is resumed"

# --- servers behind an outbound route
answers() { curl -sS --max-time 20 "http://127.0.0.1:$outbound/$1"; }
# shellcheck disable=SC2046
(cd "$work/www" && exec openssl s_server -accept "127.0.0.1:$remote" -WWW -tls1_3 -Verify 3 -verify_return_error $(as "$work/peer") -CAfile "$work/pki/root.pem") > "$work/s_server.log" 2>&1 & server=$!; started+=($server)
until_true 10 listens "$remote" || fail "s_server does not listen"
answers words > "$work/got" || fail "curl through the outbound route to s_server"
grep -q "plain words" "$work/got" || fail "s_server's answer did not come"
ok "curl through an outbound route to s_server with client verification"
kill "$server"; wait "$server" 2>/dev/null || true
# shellcheck disable=SC2046
(cd "$work/www" && exec openssl s_server -accept "127.0.0.1:$remote" -WWW -tls1_3 -Verify 3 $(as "$work/other") -CAfile "$work/pki/root.pem") > "$work/s_server.log" 2>&1 & server=$!; started+=($server)
until_true 10 listens "$remote" || fail "s_server does not listen"
answers words > /dev/null 2>&1 && fail "a server with the wrong ID was talked to"
until_true 10 refused_as out no_rule || fail "wrong ID: refused as $(refusal_of out)"
ok "a server with another ID is refused: no_rule"
"$mwid" check --config "$work/mwid.yaml" > "$work/check.out" 2>&1 || true
grep -q "the route out does not reach" "$work/check.out" && grep -q "correct \`expect\`" "$work/check.out" || { cat "$work/check.out"; fail "mwid check does not explain the wrong ID"; }
ok "mwid check explains it"
kill "$server"; wait "$server" 2>/dev/null || true

if there nginx nginx; then
    cat > "$work/nginx.conf" <<NGINX
$([ -e /usr/lib/nginx/modules/ngx_stream_module.so ] && echo "load_module /usr/lib/nginx/modules/ngx_stream_module.so;")
daemon off; pid $work/nginx.pid; error_log $work/nginx.log error;
events {}
stream {
    server {
        listen 127.0.0.1:$remote ssl;
        ssl_certificate $work/peer/certificates.pem; ssl_certificate_key $work/peer/private_key.pem;
        ssl_verify_client on; ssl_client_certificate $work/pki/root.pem; ssl_verify_depth 3; ssl_protocols TLSv1.3;
        proxy_pass 127.0.0.1:$app;
    }
}
NGINX
    nginx -e "$work/nginx.log" -c "$work/nginx.conf" & server=$!; started+=($server)
    until_true 10 listens "$remote" || fail "nginx does not listen"
    answers large > "$work/got" || fail "curl through the outbound route to nginx"
    cmp -s "$work/got" "$work/www/large" || fail "nginx: other bytes"
    ok "curl through an outbound route to nginx stream with client verification, 3 MB"
    kill "$server"; wait "$server" 2>/dev/null || true
fi

if there haproxy haproxy; then
    cat > "$work/haproxy.cfg" <<HAPROXY
defaults
    mode tcp
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend f
    bind 127.0.0.1:$remote ssl crt $work/peer/both.pem ca-file $work/pki/root.pem verify required ssl-min-ver TLSv1.3
    default_backend b
backend b
    server s 127.0.0.1:$app
HAPROXY
    haproxy -db -f "$work/haproxy.cfg" > "$work/haproxy.log" 2>&1 & server=$!; started+=($server)
    until_true 10 listens "$remote" || fail "haproxy does not listen"
    answers large > "$work/got" || fail "curl through the outbound route to haproxy"
    cmp -s "$work/got" "$work/www/large" || fail "haproxy: other bytes"
    ok "curl through an outbound route to haproxy with client verification, 3 MB"
    kill "$server"; wait "$server" 2>/dev/null || true
fi

# --- an outbound route and an inbound one, one after the other
curl -sS --max-time 20 "http://127.0.0.1:$chain/large" -o "$work/got" || fail "curl through both routes"
cmp -s "$work/got" "$work/www/large" || fail "both routes: other bytes"
ok "curl through an outbound and an inbound route, 3 MB"

initdb=$(ls /usr/lib/postgresql/*/bin/initdb 2>/dev/null | tail -1 || true)
if there "${initdb:-initdb}" psql && there psql psql; then
    run=(); [ "$(id -u)" != 0 ] || { run=(setpriv --reuid=postgres --regid=postgres --clear-groups); chmod 755 "$work"; install -d -o postgres "$work/pg"; }
    "${run[@]}" "$initdb" -D "$work/pg" -A trust -U postgres > "$work/initdb.log" 2>&1 || fail "initdb"
    "${run[@]}" "$(dirname "$initdb")/postgres" -D "$work/pg" -h 127.0.0.1 -p "$postgres" -k "" > "$work/postgres.log" 2>&1 & started+=($!)
    sql() { psql -h 127.0.0.1 -p "$pg_out" -U postgres -At "$@"; }
    until_true 20 sql -c 'select 1' > /dev/null 2>&1 || fail "psql through both routes"
    [ "$(sql -c 'select sum(n) from generate_series(1, 200000) n')" = 20000100000 ] || fail "psql: a wrong sum"
    [ "$(sql -c 'select n from generate_series(1, 200000) n' | md5sum)" = "$(seq 200000 | md5sum)" ] || fail "psql: other rows"
    ok "psql through an outbound and an inbound route to PostgreSQL"
fi
# --- HTTP: applications are told of the peer
if there node web && there npm web; then
    cp -r tests/interop/proxy/node "$work/node"
    (cd "$work/node" && timeout 180 npm install --silent --no-audit --no-fund --no-package-lock) || fail "npm"
    node "$work/node/web.js" serve "$web_app" "$rpc_app" "$h2_app" > "$work/web.log" 2>&1 & started+=($!)
    until_true 20 listens "$web_app" || fail "the web application does not listen"
    until_true 20 listens "$h2_app" || fail "the HTTP/2 application does not listen"
    until_true 20 listens "$rpc_app" || fail "the gRPC application does not listen"
    hash_of() { openssl x509 -in "$1/certificates.pem" -outform der | sha256sum | cut -d' ' -f1; }
    said="By=$id;Hash=$(hash_of "$work/peer");URI=$peer"
    for version in 1.1 2; do
        # shellcheck disable=SC2046
        curl -sS --max-time 20 --http$version -k $(show "$work/peer") -D "$work/head" -H 'X-Forwarded-Client-Cert: evil' -H 'x_forwarded_client_cert: evil' \
            "https://127.0.0.1:$web_in/" > "$work/got" || fail "curl over HTTP/$version"
        [ "$(cat "$work/got")" = "$said" ] || fail "the application was told $(cat "$work/got"), not $said"
        grep -q "^HTTP/$version 200" "$work/head" && grep -qi "^version: 1.1" "$work/head" || fail "not HTTP/$version: $(cat "$work/head")"
    done
    ok "curl over HTTP/1.1 and HTTP/2; a plain application is told of the peer, and not by the client"
    said="By=$id;Hash=$(hash_of "$work/leaf");URI=$id"
    timeout 60 node "$work/node/web.js" ask "$web_out" "$rpc_out" "$said" "$web2_out" "$h2_out" > "$work/ask.log" 2>&1 || fail "WebSocket and gRPC through both routes"
    [ "$(tr '\n' ' ' < "$work/ask.log")" = "websocket grpc extended extended extended extended extended extended " ] || fail "WebSocket and gRPC through both routes"
    ok "WebSocket and a gRPC stream with trailers, through an outbound and an inbound route"
    ok "WebSocket in HTTP/2, to an application that speaks HTTP/1.1 and to one that speaks HTTP/2"
    # A client that has said all it has to say (close_notify, then FIN): the answer comes all the same.
    timeout 20 node "$work/node/web.js" half "$web_in" "$work/peer/certificates.pem" "$work/peer/private_key.pem" > "$work/half.log" 2>&1 || fail "no end"
    grep -q "^By=" "$work/half.log" && grep -q "^ended$" "$work/half.log" || fail "who has sent all gets no answer: $(cat "$work/half.log")"
    ok "who ends his side when he has asked gets a slow answer"
fi
# --- peers that verify and match SPIFFE IDs themselves: Envoy and go-spiffe, through rotations
envoy=-; go=-
case " ${PEERS:-} ${ENVOY:+envoy} " in *" envoy "*) envoy_install || fail "Envoy cannot be installed" ;; *) echo "--     envoy is in neither PEERS nor ENVOY" ;; esac
if there go go; then
    (cd tests/interop/spiffe/go && go build -o "$work/go-client" .) || fail "go build"
    go=$work/go-client
fi
if [ "$envoy$go" != -- ]; then
    mkdir "$work/peers"
    cp -r "$work/pki" "$work/peer" "$work/peers/"
    openssl pkcs8 -topk8 -nocrypt -in "$work/peer/private_key.pem" -out "$work/peers/peer/private_key.pem"   # go-spiffe reads PKCS#8 only
    for n in 0 1 2; do pki_leaf "$work/pki" $id "$work/peers/leaf$n" > /dev/null; done
    python3 tests/interop/proxy/peers.py "$work/peers" "$mwid" "$envoy" "$go" || fail "Envoy and go-spiffe"
    ok "Envoy and go-spiffe on the other side: the rows above"
fi
echo "proxy interop: $passed passed"
