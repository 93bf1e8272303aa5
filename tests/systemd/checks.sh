#!/usr/bin/env bash
# Runs inside the booted systemd: mwid.service as an operator installs it.
set -euo pipefail
cd /run/payload
. ./pki.sh
passed=2
ok() { passed=$((passed + 1)); printf 'ok %2d  %s\n' $passed "$*"; }
fail() { echo "FAILED: $*"; systemctl status --no-pager -l mwid.service || true; exit 1; }
until_true() { local deadline=$((SECONDS + $1)); shift; until "$@"; do [ $SECONDS -lt $deadline ] || return 1; sleep 0.05; done; }

install -m 755 mwid /usr/bin/mwid
install -D -m 644 systemd/mwid.sysusers.conf /usr/lib/sysusers.d/mwid.conf
systemd-sysusers mwid.conf
install -m 644 systemd/mwid.service /etc/systemd/system/mwid.service
mkdir -p /etc/mwid /run/secrets /work

# An application whose reloads can be counted, and a polkit rule that lets mwid reload it.
cat > /etc/systemd/system/app.service <<'UNIT'
[Service]
ExecStart=/bin/sleep infinity
ExecReload=/bin/sh -c 'echo reloaded >> /run/app.reloads'
UNIT
cat > /etc/systemd/system/broken.service <<'UNIT'
[Service]
ExecStart=/bin/sleep infinity
ExecReload=/bin/false
UNIT
cat > /etc/mwid/mwid.yaml <<'YAML'
identity:
  source: { guest_agent: { directory: /run/secrets/workload-spiffe-credentials } }
publish:
  - directory: /run/mwid/identity
    then:
      - { reload: app.service }
YAML
systemctl daemon-reload
systemctl start dbus.service app.service broken.service
domain=pool.global.123.workload.id.goog
pki_make /work/pki $domain
for n in 1 2; do
    pki_leaf /work/pki spiffe://$domain/ns/shop/sa/payments /work/leaf$n >/dev/null
    bundle_map $domain /work/pki/root.pem > /work/leaf$n/trust_bundles.json
done
swap /run/secrets /work/leaf1 legacy

touch /run/app.reloads
reloads() { wc -l < /run/app.reloads; }
reloaded() { [ "$(reloads)" -ge "$1" ]; }
status_has() { mwid status --json 2>/dev/null | grep -q "$1"; }

systemctl start mwid.service || fail "mwid.service did not start"
[ "$(systemctl show -P ActiveState mwid.service)" = active ] || fail "not active after start returned"
ok "Type=notify: start returned when the daemon had said READY=1"
mwid wait --timeout 20s || fail "not ready"
pid=$(systemctl show -P MainPID mwid.service)
[ "$(stat -c %U "/proc/$pid/task/$pid/cmdline" 2>/dev/null || true)" = root ] || fail "the process is dumpable: /proc shows it to its own user"
[ "$(awk '/^Uid:/{print $2}' "/proc/$pid/status")" = "$(id -u mwid)" ] || fail "does not run as mwid"
[ "$(awk '/^CapEff:/{print $2}' "/proc/$pid/status")" = 0000000000000000 ] || fail "has capabilities"
[ "$(awk '/^NoNewPrivs:/{print $2}' "/proc/$pid/status")" = 1 ] || fail "may gain privileges"
ok "runs as mwid, without capabilities, not dumpable"
openssl verify -CAfile /run/mwid/identity/ca_certificates.pem -untrusted /run/mwid/identity/certificates.pem /run/mwid/identity/certificates.pem >/dev/null
[ "$(stat -L -c '%U %a' /run/mwid/identity/private_key.pem)" = "mwid 640" ] || fail "owner or mode of the published key"
ok "publishes into /run/mwid under the unit's sandbox"
[ -n "$(systemctl show -P StatusText mwid.service)" ] || fail "no STATUS= text"
journalctl -u mwid.service --no-pager -o json > /run/mwid.journal.json # not by a pipe, which grep -q would break
grep -q '"GENERATION\|"F_GENERATION\|generation' /run/mwid.journal.json || fail "no generation in the journal"
ok "status text and journal"

# Without a polkit rule the reload of another unit is refused; the status says so and how to allow it; nothing else suffers.
until_true 20 status_has 'app.service' || fail "no reaction in the status"
if command -v pkaction >/dev/null && [ -f systemd/50-mwid-reload.rules ]; then
    until_true 20 status_has 'polkit' || fail "a reload without permission is not explained"
    ok "a reload that polkit refuses is explained in the status"
    mkdir -p /etc/polkit-1/rules.d
    sed 's|"nginx.service", "haproxy.service"|"app.service", "broken.service"|' systemd/50-mwid-reload.rules > /etc/polkit-1/rules.d/50-mwid-reload.rules
    chmod 644 /etc/polkit-1/rules.d/50-mwid-reload.rules
    systemctl restart polkit.service
    until_true 60 reloaded 1 || fail "with the polkit rule the retry did not reload app.service"
    ok "with the polkit rule the retry reloads the unit, as the user mwid"
else
    echo "skipped: no polkit on this machine; the reload is tried as root instead"
    mkdir -p /etc/systemd/system/mwid.service.d
    printf '[Service]\nUser=root\nGroup=root\n' > /etc/systemd/system/mwid.service.d/root.conf
    systemctl daemon-reload
    systemctl restart mwid.service
    until_true 30 reloaded 1 || fail "app.service was not reloaded"
fi
before=$(reloads)
swap /run/secrets /work/leaf2 current
until_true 30 reloaded $((before + 1)) || fail "a rotation did not reload app.service"
ok "a rotation reloads the unit over D-Bus"

# Reload, good and bad.
sed -i 's/^publish:/publsh:/' /etc/mwid/mwid.yaml
systemctl reload mwid.service || true
until_true 20 sh -c "journalctl -u mwid.service --no-pager | grep -q publsh" || fail "a bad file is not named in the journal"
mwid wait --timeout 5s || fail "a bad file changed something"
sed -i 's/^publsh:/publish:/; s/app.service/broken.service/' /etc/mwid/mwid.yaml
systemctl reload mwid.service
until_true 20 status_has 'broken.service' || fail "a good file by systemctl reload changed nothing"
swap /run/secrets /work/leaf1 current
until_true 30 status_has '"failures": *[1-9]' || fail "a failed reload job is not shown"
ok "systemctl reload: a bad file changes nothing, a good one is in force; a failing reload job is seen as failed"

# Killed: restarted by systemd, the identity is restored from what was published although the source is gone.
rm /run/secrets/workload-spiffe-credentials
systemctl kill -s KILL mwid.service
restarted() { local now; now=$(systemctl show -P MainPID mwid.service); [ "$now" != 0 ] && [ "$now" != "$pid" ]; }
until_true 20 restarted || fail "not restarted after SIGKILL"
mwid wait --timeout 20s || fail "not ready after SIGKILL without a source"
status_has 'restored_from": *"/' || fail "the status does not say that the identity was restored"
ok "after SIGKILL without a source: restarted, restored from what was published"

# Tokens by systemd unit, as the sandboxed service attests its callers: by their process on the socket, by their cgroup on TCP.
cat > /etc/mwid/mwid.yaml <<'YAML'
tokens: { source: dev }
access:
  - who: { unit: payments.service }
    may: { access_tokens: true }
YAML
systemctl reload mwid.service
token=/computeMetadata/v1/instance/service-accounts/default/token
# The status of an answer to a process in a unit of its own, as an ordinary user.
asks() { # UNIT CURL_ARGUMENTS...
    local unit=$1; shift
    systemd-run --quiet --wait --pipe --collect --unit="$unit" -p User=daemon \
        curl -s -o /dev/null -w '%{http_code}' --max-time 20 -H 'Metadata-Flavor: Google' "$@" "http://127.0.0.1:8174$token"
}
until_true 20 sh -c "curl -s -o /dev/null -H 'Metadata-Flavor: Google' --max-time 5 http://127.0.0.1:8174$token" || fail "no metadata-compatible API"
[ "$(asks payments.service --unix-socket /run/mwid/metadata.sock)" = 200 ] || fail "a unit with a grant got no token on the socket"
[ "$(asks other.service --unix-socket /run/mwid/metadata.sock)" = 403 ] || fail "a unit without a grant got a token on the socket"
ok "a rule on a unit grants to that unit alone, on the socket"
[ "$(asks other.service)" = 403 ] || fail "a unit without a grant got a token over TCP"
by_tcp=$(asks payments.service)
[ "$by_tcp" = 200 ] || fail "a unit with a grant got no token over TCP ($by_tcp): $(journalctl -u mwid.service --no-pager | grep -i denied | tail -2)"
ok "and over TCP, by the cgroup of the socket"

# What a service's earlier run left is not of the next one, although it is in the same control group: KillMode=process.
cat > /run/ask.py <<PY
import os, socket, sys, time
while not os.path.exists(sys.argv[1]):
    time.sleep(0.05)
s = socket.socket(socket.AF_UNIX)
s.connect("/run/mwid/metadata.sock")
s.sendall(b"GET $token HTTP/1.1\\r\\nHost: metadata.google.internal\\r\\nMetadata-Flavor: Google\\r\\n\\r\\n")
with open(sys.argv[2], "w") as out:
    out.write(s.recv(4096).split()[1].decode())
PY
cat > /etc/systemd/system/payments.service <<'UNIT'
[Service]
User=daemon
KillMode=process
ExecStart=/bin/sh -c 'test -e /run/first.over || /usr/bin/python3 /run/ask.py /run/second /run/left.code & /usr/bin/python3 /run/ask.py /run/payload /run/run.code; exec sleep 1000'
UNIT
touch /run/left.code /run/run.code; chown daemon /run/left.code /run/run.code
systemctl daemon-reload
systemctl start payments.service
until_true 20 test -s /run/run.code || fail "the first run got no answer"
[ "$(cat /run/run.code)" = 200 ] || fail "the first run got $(cat /run/run.code)"
: > /run/run.code
# Starts within some hundredths of a second are not told apart.
aged() { [ "$(ps -o etimes= -p "$(pgrep -f '/run/left.code$')" | tr -d ' ')" -ge 1 ]; }
until_true 20 aged || fail "the first run started nothing that it leaves"
systemctl stop payments.service
touch /run/first.over
systemctl start payments.service
until_true 20 test -s /run/run.code || fail "the second run got no answer"
[ "$(cat /run/run.code)" = 200 ] || fail "the second run got $(cat /run/run.code)"
touch /run/second
until_true 20 test -s /run/left.code || fail "what the first run left is gone"
[ "$(cat /run/left.code)" = 403 ] || fail "what the first run left got $(cat /run/left.code) in the second"
systemctl stop payments.service
ok "what an earlier run of a service left gets nothing in the next one"
until_true 20 sh -c "journalctl -u mwid.service --no-pager | grep -q 'granted.*payments.service'" || fail "no audit line names the unit"
journalctl -u mwid.service --no-pager -o cat > /run/mwid.journal
grep -q 'denied.*other.service' /run/mwid.journal || fail "no audit line names the unit that was denied"
if grep -q 'eyJ' /run/mwid.journal; then fail "a token is in the journal"; fi
ok "grants and denials are in the journal, tokens are not"

# A unit's stop ends a long answer and open streams to what is left of it, although its process lives on: KillMode=process.
cat > /etc/mwid/mwid.yaml <<'YAML'
tokens: { source: dev }
identity: { source: { dev_ca: { trust_domain: dev.internal, lifetime: 1h } } }
access:
  - who: { unit: payments.service }
    may: { identity: true }
  - who: { unit: strict.service, user: daemon }
    may: { identity: true }
YAML
systemctl restart mwid.service
mwid wait --timeout 20s || fail "not ready with a development CA"
tree='http://metadata.google.internal/computeMetadata/v1/instance/?recursive=true&alt=json&wait_for_change=true'
# A stream of each kind with a key; how it went, a word at a time: open, ended, and whether the next call is served.
cat > /run/streams.py <<'PY'
import socket
ENDED = 1
def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
def text(value):
    return bytes([len(value)]) + value
def call(stream, path, message, flags):
    head = b"\x83\x86\x04" + text(path) + b"\x01" + text(b"localhost")
    for name, value in (b"content-type", b"application/grpc"), (b"te", b"trailers"), (b"workload.spiffe.io", b"true"):
        head += b"\0" + text(name) + text(value)
    return frame(1, 4, stream, head) + frame(0, flags, stream, b"\0" + len(message).to_bytes(4, "big") + message)
def said(word):
    with open("/run/streams.said", "a") as file:
        file.write(word + "\n")
sds, default = b"/envoy.service.secret.v3.SecretDiscoveryService/", b"\x1a\x07default"
server = socket.socket(socket.AF_UNIX)
server.connect("/run/mwid/workload.sock")
server.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0)
    + call(1, b"/SpiffeWorkloadAPI/FetchX509SVID", b"", ENDED)
    + call(3, sds + b"StreamSecrets", default, 0) + call(5, sds + b"DeltaSecrets", default, 0))
have, open_, ended = b"", set(), set()
while True:
    while len(have) < 9 or len(have) < 9 + int.from_bytes(have[:3], "big"):
        part = server.recv(65536)
        assert part, "closed"
        have += part
    length, kind, flags, stream = int.from_bytes(have[:3], "big"), have[3], have[4], int.from_bytes(have[5:9], "big")
    have = have[9 + length:]
    if kind == 4 and not flags & 1:
        server.sendall(frame(4, 1, 0))
    if kind == 0 and length:
        if ended or stream == 7:
            said("served")
        if stream not in open_:
            open_.add(stream)
            if open_ == {1, 3, 5}:
                said("open")
    if kind == 1 and flags & ENDED:
        ended.add(stream)
        if ended == {1, 3, 5}:
            said("ended")
            server.sendall(call(7, b"/SpiffeWorkloadAPI/FetchX509SVID", b"", ENDED))
        if stream == 7:
            said("denied")
            break
PY
cat > /run/long.sh <<SH
/usr/bin/python3 /run/streams.py &
curl -s -o /run/long.body -w '%{http_code}' --max-time 60 -H 'Metadata-Flavor: Google' --unix-socket /run/mwid/metadata.sock '$tree' > /run/long.code &
sleep 1000
SH
cat > /etc/systemd/system/payments.service <<'UNIT'
[Service]
User=daemon
KillMode=process
ExecStart=/bin/sh /run/long.sh
UNIT
touch /run/long.code /run/long.body /run/streams.said
chown daemon /run/long.code /run/long.body /run/streams.said
systemctl daemon-reload
systemctl start payments.service
waits() { curl -s --unix-socket /run/mwid/admin.sock http://x/metrics | grep '^mwid_token_server_platform_waiting 1$' >/dev/null; }
until_true 20 waits || fail "no long answer is under way: $(curl -s --unix-socket /run/mwid/admin.sock http://x/metrics | grep waiting)"
until_true 20 grep -q open /run/streams.said || fail "the unit's streams did not get the identity"
systemctl stop payments.service
until_true 10 test -s /run/long.code || fail "a stop of the unit did not end its long answer"
[ "$(cat /run/long.code)" = 403 ] || fail "a long answer to a stopped unit ended with $(cat /run/long.code)"
ok "a unit that is stopped loses its long answer at once, under the shipped sandbox"
until_true 10 grep -q denied /run/streams.said || fail "a stop of the unit did not end its streams: $(tr '\n' ' ' < /run/streams.said)"
[ "$(tr '\n' ' ' < /run/streams.said)" = "open ended denied " ] || fail "what is left of a stopped unit was served: $(tr '\n' ' ' < /run/streams.said)"
curl -s --unix-socket /run/mwid/admin.sock http://x/metrics > /run/mwid.metrics
grep -q '^mwid_workload_refusals_total{method="FetchX509SVID",code="PERMISSION_DENIED"} 2$' /run/mwid.metrics || fail "streams of a stopped unit ended otherwise: $(grep refusals /run/mwid.metrics)"
ok "and its streams of the Workload API and of the secret discovery service, which it cannot open again"

# LoadCredential= with the shipped socket.
cat > /etc/systemd/system/payments.service <<'UNIT'
[Service]
Type=oneshot
User=daemon
LoadCredential=private_key.pem:/run/mwid/credential.sock
LoadCredential=certificates.pem:/run/mwid/credential.sock
LoadCredential=ca_certificates.pem:/run/mwid/credential.sock
ExecStart=/bin/sh -c 'cat $CREDENTIALS_DIRECTORY/*.pem > /run/got.pem; openssl verify -CAfile $CREDENTIALS_DIRECTORY/ca_certificates.pem -untrusted $CREDENTIALS_DIRECTORY/certificates.pem $CREDENTIALS_DIRECTORY/certificates.pem && test "$(openssl pkey -in $CREDENTIALS_DIRECTORY/private_key.pem -pubout)" = "$(openssl x509 -in $CREDENTIALS_DIRECTORY/certificates.pem -pubkey -noout)"'
UNIT
for other in other strict; do sed '/certificates.pem:/d; s|^ExecStart=.*|ExecStart=/bin/touch /run/started|' /etc/systemd/system/payments.service > /etc/systemd/system/$other.service; done
sed 's|private_key.pem:|mwid.yaml:|; s|^ExecStart=.*|ExecStart=/bin/touch /run/started|' /etc/systemd/system/payments.service > /run/wrong.service
systemctl daemon-reload
touch /run/got.pem; chown daemon /run/got.pem
[ "$(stat -c '%U %a' /run/mwid/credential.sock)" = "mwid 600" ] || fail "owner or mode of the credential socket"
systemctl start payments.service || fail "a unit with a grant did not start: $(journalctl -u payments.service -u mwid.service --no-pager | tail -5)"
grep -q 'PRIVATE KEY' /run/got.pem || fail "no key in the unit's credentials"
ok "LoadCredential= gives a unit by its rule a key and a chain that belong together and verify"
for other in other strict; do
    if systemctl start $other.service 2>/dev/null; then fail "$other.service started without a grant"; fi
    [ "$(systemctl show -P ExecMainStatus $other.service)" = 243 ] || fail "$other.service failed otherwise than by its credentials"
done
[ ! -e /run/started ] || fail "a unit was started without its credential"
cp /run/wrong.service /etc/systemd/system/payments.service
systemctl daemon-reload
if systemctl start payments.service 2>/dev/null; then fail "a credential that is no file of mwid's was given"; fi
[ ! -e /run/started ] || fail "a unit was started with a wrong credential"
journalctl -u mwid.service --no-pager -o cat > /run/mwid.journal
grep -q 'denied.*other.service' /run/mwid.journal || fail "no audit line names the unit without a credential"
grep -q 'strict.service.*a rule on the unit alone\|a rule on the unit alone' /run/mwid.journal || fail "no hint at a rule that wants too much"
grep -q 'no file of this name' /run/mwid.journal || fail "a wrong name is not told"
if grep -q 'PRIVATE KEY' /run/mwid.journal; then fail "a key is in the journal"; fi
ok "without a rule, by a rule that wants more than the unit, and by a wrong name a unit does not start"
# Root elsewhere, a forged name, an ordinary user.
cat > /run/forge.py <<'PY'
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(b"\0f00/unit/payments.service/private_key.pem")
s.connect("/run/mwid/credential.sock")
s.shutdown(socket.SHUT_WR)
got = b""
while len(got) < 4 << 20 and (part := s.recv(65536)):
    got += part
sys.exit(0 if len(got) > 1 << 20 and b"PRIVATE" not in got else 1)
PY
/usr/bin/python3 /run/forge.py || fail "a forged name of root in another control group was believed"
systemd-run --quiet --wait --pipe --collect --unit=forger.service /usr/bin/python3 /run/forge.py || fail "another unit's root was believed"
if systemd-run --quiet --wait --pipe --collect --unit=user.service -p User=daemon /usr/bin/python3 /run/forge.py 2>/dev/null; then fail "an ordinary user may connect"; fi
ok "a forged name is believed neither of root elsewhere nor of another unit"
# README's example: a sandboxed service has its copy, and a rotation is in its hands because mwid, as its own user, has it started anew.
if command -v pkaction >/dev/null; then
    cp /etc/mwid/mwid.yaml /run/before.yaml
    cat > /etc/systemd/system/payments.service <<'UNIT'
[Unit]
Wants=mwid.service
After=mwid.service
[Service]
DynamicUser=yes
CapabilityBoundingSet=
PrivateDevices=yes
PrivateTmp=yes
ProtectHome=yes
ProtectSystem=strict
SystemCallFilter=@system-service
RuntimeDirectory=payments
LoadCredential=credential-bundle.private-key.x509.pem:/run/mwid/credential.sock
LoadCredential=ca_certificates.pem:/run/mwid/credential.sock
Environment=PAIR=%d/credential-bundle.private-key.x509.pem ROOTS=%d/ca_certificates.pem
ExecStartPre=/usr/bin/openssl verify -CAfile ${ROOTS} -untrusted ${PAIR} ${PAIR}
ExecStart=/bin/sh -c 'openssl x509 -noout -serial -in $PAIR > /run/payments/serial && openssl pkey -noout -check -in $PAIR && exec sleep infinity'
UNIT
    cat > /etc/mwid/mwid.yaml <<'YAML'
identity:
  source: { guest_agent: { directory: /run/secrets/workload-spiffe-credentials } }
access:
  - who: { unit: payments.service }
    may: { identity: true }
publish:
  - directory: /run/mwid/identity
    then: [{ run: [/usr/bin/systemctl, try-restart, payments.service] }]
YAML
    sed 's|"nginx.service", "haproxy.service"|"payments.service"|; s|"reload", "kill"|"reload", "kill", "try-restart"|' systemd/50-mwid-reload.rules > /etc/polkit-1/rules.d/50-mwid-reload.rules
    systemctl restart polkit.service
    systemctl daemon-reload
    swap /run/secrets /work/leaf1 current
    serial() { openssl x509 -noout -serial -in "/work/leaf$1/certificates.pem"; }
    published() { [ "$(openssl x509 -noout -serial -in /run/mwid/identity/certificates.pem)" = "$(serial "$1")" ]; }
    holds() { [ "$(cat /run/payments/serial 2>/dev/null)" = "$(serial "$1")" ]; }
    systemctl reload mwid.service
    until_true 30 published 1 || fail "the first of two identities was not published"
    systemctl start payments.service || fail "the sandboxed unit did not start: $(journalctl -u payments.service -u mwid.service --no-pager | tail -5)"
    until_true 20 holds 1 || fail "the sandboxed unit has another certificate: $(journalctl -u payments.service --no-pager | tail -5)"
    swap /run/secrets /work/leaf2 current
    until_true 30 holds 2 || fail "a rotation did not reach the sandboxed unit: $(mwid status 2>&1 | tail -5; journalctl -u payments.service -u mwid.service --no-pager | tail -8)"
    ok "a sandboxed unit has its copy, and has a new one after a rotation: mwid's own user may start it anew"
    systemctl stop payments.service
    cp /run/before.yaml /etc/mwid/mwid.yaml
fi
systemctl stop mwid.service
[ "$(systemctl show -P Result mwid.service)" = success ] || fail "stop was not clean"
ok "stops cleanly"
# systemd holds the socket: a client's connection starts mwid, and is answered.
install -m 644 systemd/mwid-workload.socket /etc/systemd/system/mwid-workload.socket
echo 'api: { workload: { socket: off, listen: "systemd:workload" } }' >> /etc/mwid/mwid.yaml
systemctl daemon-reload
systemctl start mwid-workload.socket
[ "$(systemctl show -P ActiveState mwid.service)" = inactive ] || fail "mwid runs before anybody asks"
until_true 30 sh -c 'mwid fetch x509 --socket unix:///run/mwid-workload/workload.sock --timeout 20s 2>&1 | grep -q dev.internal' || fail "the socket that systemd holds is not served: $(journalctl -u mwid.service --no-pager | tail -3)"
[ "$(systemctl show -P ActiveState mwid.service)" = active ] || fail "nobody started mwid"
ok "the shipped socket unit starts mwid when a client comes, who is answered"
# A route of the proxy listens at a socket of systemd's: TLS begins when somebody comes.
printf '[Socket]\nListenStream=127.0.0.1:7005\nFileDescriptorName=ledger\nService=mwid.service\n' > /etc/systemd/system/mwid-ledger.socket
echo 'proxy: { outbound: [{ name: ledger, listen: "systemd:ledger", connect: "127.0.0.1:7006", expect: "spiffe://dev.internal/x" }] }' >> /etc/mwid/mwid.yaml
systemctl daemon-reload
systemctl stop mwid.service mwid-workload.socket
systemctl start mwid-ledger.socket mwid-workload.socket
timeout 30 python3 -c "
import socket
peer = socket.create_server(('127.0.0.1', 7006))
program = socket.create_connection(('127.0.0.1', 7005))
peer.settimeout(20)
assert peer.accept()[0].recv(1) == b'\\x16'" || fail "systemd's socket serves no route: $(journalctl -u mwid.service --no-pager | tail -3)"
ok "a route listens at a socket of systemd's"
# A container with README's two directories mounted: what it sees outlives a stop and a start of mwid. /run/mwid would not: it is made anew.
systemctl stop mwid-ledger.socket
cat > /etc/mwid/mwid.yaml <<'YAML'
identity: { source: { dev_ca: { trust_domain: dev.internal, lifetime: 1h } } }
publish: [{ directory: /run/tls/identity }]
api: { workload: { socket: off, listen: "systemd:workload" } }
YAML
sed 's|^#d    /run/tls|d /run/tls|' systemd/mwid.tmpfiles.conf > /usr/lib/tmpfiles.d/mwid.conf
systemd-tmpfiles --create mwid.conf
mkdir -p /etc/systemd/system/mwid.service.d
printf '[Service]\nReadWritePaths=/run/tls\n' > /etc/systemd/system/mwid.service.d/tls.conf
systemctl daemon-reload
systemctl restart mwid.service
mwid wait --timeout 20s || fail "not ready with a directory of its own"
mkdir -p /run/container/workload /run/container/tls /run/container/all
unshare --mount --propagation private sh -c '
    mount --bind /run/mwid-workload /run/container/workload
    mount --bind /run/tls /run/container/tls
    mount --bind /run/mwid /run/container/all
    exec sleep infinity' &
container=$!
inside() { nsenter --target $container --mount -- "$@"; }
until_true 10 inside test -S /run/container/workload/workload.sock || fail "the container has no socket"
until_true 10 inside test -S /run/container/all/admin.sock || fail "the container does not see /run/mwid"
for path in workload/admin.sock workload/metadata.sock tls/admin.sock; do
    if inside test -e /run/container/$path; then fail "the container sees $path"; fi
done
before=$(inside cat /run/container/tls/identity/certificates.pem)
systemctl stop mwid.service
systemctl start mwid.service
mwid wait --timeout 20s || fail "not ready after stop and start"
until_true 20 sh -c '[ "$(cat /run/tls/identity/certificates.pem)" != "$1" ]' sh "$before" || fail "no new identity after a start"
[ "$(inside cat /run/container/tls/identity/certificates.pem)" = "$(cat /run/tls/identity/certificates.pem)" ] || fail "the container has files of before"
inside mwid fetch x509 --socket unix:///run/container/workload/workload.sock --timeout 20s > /run/container/fetched || fail "the container's socket is dead after a stop and a start"
if inside test -e /run/container/all/admin.sock; then fail "/run/mwid itself can be mounted: README says that it cannot"; fi
kill $container
ok "a container's mounts of the workload socket's directory and of a published one live through a stop and a start; /run/mwid does not"
echo "systemd: $passed passed, 0 failed"
