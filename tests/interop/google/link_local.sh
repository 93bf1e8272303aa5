#!/usr/bin/env bash
# Runs in a network and mount namespace of its own: mwid has the link-local address there, for clients that know no environment; then the nftables
# example is put in force around a stand-in for the platform.
# link_local.sh WORK CONFIG USER_WITH_GRANT USER_WITHOUT SCOPE AUDIENCE
set -euo pipefail
work=$1 config=$2 granted=$3 stranger=$4 scope=$5 audience=$6
here=$(dirname "$0")
started=()
trap 'for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done' EXIT
ip link set lo up
ip address add 169.254.169.254/32 dev lo
printf '127.0.0.1 localhost\n169.254.169.254 metadata.google.internal metadata.google.internal. metadata metadata.goog\n' > "$work/hosts"
mount --bind "$work/hosts" /etc/hosts
as() { local uid=$1; shift; setpriv --reuid "$uid" --regid "$uid" --clear-groups --no-new-privs "$@"; }

"$MWID" run --config "$config" 2> "$work/mwid-ns.log" & started+=($!)
"$MWID" wait --config "$config" --timeout 20s
as "$granted" env -i PATH="$PATH" HOME="$work" timeout 60 "$work/rust-client" gcp_auth "$scope" "$audience" > "$work/gcp_auth.out"

# What gcloud asks, in its shape: a text listing that has the e-mail with a slash, plain values, an ID token.
ask() { as "$granted" curl -sS --fail --max-time 10 -H 'Metadata-Flavor: Google' -A 'google-cloud-sdk' "http://metadata.google.internal/computeMetadata/v1/$1"; }
email=$(ask instance/service-accounts/default/email)
ask instance/service-accounts/ | grep -qx "$email/"
ask instance/service-accounts/ | grep -qx "default/"
ask instance/zone | grep -q '^projects/[0-9]*/zones/'
token() { python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])'; }
{
    printf 'project\t%s\n' "$(ask project/project-id)"
    printf 'email\t%s\n' "$email"
    printf 'access\t%s\n' "$(ask "instance/service-accounts/$email/token" | token)"
    printf 'scoped\t%s\n' "$(ask "instance/service-accounts/$email/token?scopes=$scope" | token)"
    printf 'id\t%s\n' "$(ask "instance/service-accounts/default/identity?audience=$audience&format=standard&licenses=FALSE")"
    printf 'universe\t%s\n' "$(ask universe/universe-domain)"
} > "$work/gcloud.out"
jwks=$(sed -n 's|.*\(http://127.0.0.1:[0-9]*/oauth2/v3/certs\).*|\1|p' "$work/mwid-ns.log" | head -1)
"$work/venv/bin/python" "$here/verify.py" "$work" "$jwks" "$scope" "$audience" gcp_auth gcloud
kill "${started[0]}" && wait "${started[0]}" || true
started=()

# The firewall example, with a stand-in that listens where the platform does.
python3 - <<'PY' & started+=($!)
import http.server, threading
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Metadata-Flavor", "Google"); self.end_headers(); self.wfile.write(b"platform")
    def log_message(self, *_): pass
servers = [http.server.ThreadingHTTPServer(("169.254.169.254", port), Answer) for port in (80, 443, 8083, 53, 123)]
for server in servers[1:]:
    threading.Thread(target=server.serve_forever, daemon=True).start()
servers[0].serve_forever()
PY
reaches() { as "$1" curl -sS --max-time 5 -o /dev/null "http://169.254.169.254:$2/" 2>/dev/null; }
for _ in $(seq 100); do reaches 0 123 && break; sleep 0.05; done
for port in 80 443 8083 53 123; do reaches "$stranger" $port || { echo "without the rules everybody reaches port $port"; exit 1; }; done
# The example names mwid's user; here another one stands for it.
sed "s/\"mwid\"/$granted/" examples/metadata-firewall.nft | nft -f -
for port in 80 443 8083; do
    reaches 0 $port || { echo "root does not reach port $port any more"; exit 1; }
    reaches "$granted" $port || { echo "mwid's user does not reach port $port any more"; exit 1; }
    if reaches "$stranger" $port; then echo "others still reach port $port"; exit 1; fi
done
for port in 53 123; do reaches "$stranger" $port || { echo "the rules take away port $port, which is DNS or NTP"; exit 1; }; done
echo "ok: examples/metadata-firewall.nft leaves 80, 443 and 8083 to root and mwid, and DNS and NTP to all"
