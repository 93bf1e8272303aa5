#!/usr/bin/env bash
# The four SPIFFE client libraries and grpcurl, unmodified and pointed here by SPIFFE_ENDPOINT_SOCKET alone, against the daemon's Workload API:
# what each of them gets, and that each of them lives through what a daemon's users live through. Prints a table.
set -euo pipefail
cd "$(dirname "$0")/../../.."
here=$PWD/tests/interop/spiffe
[ "$(id -u)" = 0 ] || { echo "this stage needs root: callers are other users"; exit 1; }
for program in python3 go mvn java cargo openssl setpriv; do
    command -v $program >/dev/null || { echo "interop with SPIFFE clients needs $program"; exit 1; }
done
cargo build -q -p mwid --bins
target=${CARGO_TARGET_DIR:-$PWD/target}
export MWID=${MWID_BINARY:-$target/debug/mwid}

work=$(mktemp -d)
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT

echo "installing the clients"
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check spiffe==0.3.2
(cd "$here/go" && go build -o "$work/go-client" . && GOBIN=$work go install github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4)
(cd "$here/java" && mvn -q -B -DbuildDirectory="$work/java" package dependency:copy-dependencies -DoutputDirectory="$work/java/libs")
CARGO_TARGET_DIR=$target cargo build -q --manifest-path "$here/rust/Cargo.toml"
cp "$target/debug/spiffe-clients" "$work/rust-client"
chmod -R a+rX "$work"
python3 "$here/drive.py" "$work"
