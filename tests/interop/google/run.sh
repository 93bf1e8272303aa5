#!/usr/bin/env bash
# Google's own client libraries, unmodified and pointed here by the environment alone, against the daemon on its embedded platform; and, in a
# network namespace that has the link-local address, those that know no environment. Prints a table of who got what.
set -euo pipefail
cd "$(dirname "$0")/../../.."
here=$PWD/tests/interop/google
[ "$(id -u)" = 0 ] || { echo "this stage needs root: callers are other users, and a network namespace is made"; exit 1; }
for program in python3 node npm go mvn java cargo curl unshare ip setpriv nft; do
    command -v $program >/dev/null || { echo "interop with Google's clients needs $program"; exit 1; }
done
profile=${PROFILE:-debug}
[ "$profile" = debug ] && flags=() || flags=(--profile "$profile")
cargo build -q "${flags[@]}" -p mwid --bins
export MWID=${MWID_BINARY:-$PWD/${CARGO_TARGET_DIR:-target}/$profile/mwid}
target=${CARGO_TARGET_DIR:-$PWD/target}

work=$(mktemp -d)
chmod 755 "$work"
started=()
cleanup() {
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT
fail() { echo "FAILED: $*"; for log in "$work"/*.log "$work"/*.err; do [ -s "$log" ] && { echo "--- $log"; tail -30 "$log"; }; done; exit 1; }

echo "installing the clients"
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check google-auth==2.62.2 requests 'pyjwt[crypto]' || fail "pip"
cp -r "$here/node" "$work/node" && (cd "$work/node" && npm install --silent --no-audit --no-fund --no-package-lock) || fail "npm"
(cd "$here/go" && go build -o "$work/go-client" .) || fail "go"
(cd "$here/java" && mvn -q -B -DbuildDirectory="$work/java" package dependency:copy-dependencies -DoutputDirectory="$work/java/libs") || fail "mvn"
CARGO_TARGET_DIR=$target cargo build -q --manifest-path "$here/rust/Cargo.toml" || fail "cargo"
cp "$target/debug/google-clients" "$work/rust-client"
chmod -R a+rX "$work"

scope=https://www.googleapis.com/auth/devstorage.read_only
audience=https://reports-abc.a.run.app
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
# Users that have no account and no group: the rules name them by number.
open_to_all=45001
scoped_only=45002
nobody_here=45003
# They may read what lies under another user's home, where an interpreter may be installed; that makes them nobody else.
as() {
    local uid=$1; shift
    setpriv --reuid "$uid" --regid "$uid" --clear-groups --no-new-privs --inh-caps +dac_read_search --ambient-caps +dac_read_search "$@"
}

config() { # LISTEN MORE
    cat <<YAML
identity: { source: none }
runtime_dir: $work/run
publish: []
tokens: { source: dev }
api:
  metadata: { $1 }
access:
  - who: { uid: $open_to_all }
    may: { access_tokens: true, id_tokens: true }
  - who: { uid: $scoped_only }
    may: { access_tokens: { scopes: ["$scope"] }, id_tokens: { audiences: ["https://*.a.run.app"] } }
YAML
}

port=$(free_port)
config "listen: \"127.0.0.1:$port\"" > "$work/mwid.yaml"
"$MWID" run --config "$work/mwid.yaml" 2> "$work/mwid.log" & started+=($!)
"$MWID" wait --config "$work/mwid.yaml" --timeout 20s || fail "mwid is not ready"
"$MWID" env --config "$work/mwid.yaml" > "$work/env"
grep -q "GCE_METADATA_HOST='127.0.0.1:$port'" "$work/env" || fail "mwid env does not name the API"

client() { # NAME UID COMMAND...: one client's lines into NAME.out, in the environment that mwid env prints and no other
    local name=$1 uid=$2; shift 2
    (
        set -a; . "$work/env"; set +a
        unset GOOGLE_APPLICATION_CREDENTIALS
        export HOME=$work
        as "$uid" timeout 120 "$@" > "$work/$name.out" 2> "$work/$name.err"
    ) || { tail -20 "$work/$name.err"; return 1; }
}

arguments=("$scope" "$audience")
python=("$work/venv/bin/python" "$here/client.py")
client python "$open_to_all" "${python[@]}" "${arguments[@]}" || fail "python"
client node "$open_to_all" node "$work/node/client.js" "${arguments[@]}" || fail "node"
client go "$open_to_all" "$work/go-client" "${arguments[@]}" || fail "go"
client java "$open_to_all" java -cp "$work/java/libs/*:$work/java/classes" Client "${arguments[@]}" || fail "java"
client rust "$open_to_all" "$work/rust-client" google-cloud-auth "${arguments[@]}" || fail "rust"
# A grant of one scope: the same program gets that scope, asked or not, and is told so by the account itself.
client python-scoped "$scoped_only" "${python[@]}" "${arguments[@]}" || fail "python with a grant of one scope"
# Nobody's grant: nothing.
if client python-denied "$nobody_here" "${python[@]}" "${arguments[@]}" > /dev/null; then fail "a user without a grant got tokens"; fi
if grep -q access "$work/python-denied.out"; then fail "a user without a grant got a token"; fi
grep -q 'Status: 403' "$work/python-denied.err" || fail "a denial is not a 403 that names itself"
rm "$work/python-denied.err"

"$MWID" token access --config "$work/mwid.yaml" > "$work/cli-access.out" || fail "mwid token access"
"$MWID" token id --audience "$audience" --config "$work/mwid.yaml" > "$work/cli-id.out" || fail "mwid token id"
"$MWID" status --json --config "$work/mwid.yaml" > "$work/status.json" || fail "mwid status"
curl -sS --fail --unix-socket "$work/run/admin.sock" http://localhost/metrics > "$work/metrics.txt" || fail "metrics"

# Where the platform publishes its keys, the log says.
jwks=$(sed -n 's|.*\(http://127.0.0.1:[0-9]*/oauth2/v3/certs\).*|\1|p' "$work/mwid.log" | head -1)
"$work/venv/bin/python" "$here/verify.py" "$work" "$jwks" "$scope" "$audience" python node go java rust python-scoped cli || fail "verification"

echo "in a network namespace with the link-local address"
config 'listen: ["169.254.169.254:80", "127.0.0.1:8174"], unsafe_listen: true' | sed "s|runtime_dir: .*|runtime_dir: $work/run-ns|" > "$work/mwid-ns.yaml"
unshare --net --mount bash "$here/link_local.sh" "$work" "$work/mwid-ns.yaml" "$open_to_all" "$nobody_here" "${arguments[@]}" || fail "link-local"

# No token in anything that the daemon said.
cat "$work"/*.out | awk -F'\t' '$1 == "access" || $1 == "scoped" || $1 == "id" { print $2 } NF == 1' | sort -u > "$work/tokens"
[ "$(wc -l < "$work/tokens")" -ge 4 ] || fail "the list of tokens is too short to look for"
if grep -F -l -f "$work/tokens" "$work"/mwid*.log "$work/status.json" "$work/metrics.txt"; then fail "a token is in what the daemon wrote"; fi
echo "ok: none of $(wc -l < "$work/tokens") tokens is in the daemon's logs, status or metrics"
