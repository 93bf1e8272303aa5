"""Drives mwid, Envoys and peers; see run.sh. Standard library only."""

import base64
import hashlib
import http.client
import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request

WORK, MWID, ENVOY, EXAMPLE = (pathlib.Path(a) for a in sys.argv[1:5])
ROTATIONS = int(os.environ["ROTATIONS"])
DOMAIN, PARTNER = "pool.global.123.workload.id.goog", "partner.example"
ID = f"spiffe://{DOMAIN}/ns/shop/sa/payments"
# A user without an account: the rule names it by number. Without root, Envoy runs as mwid's own user, who needs no rule.
ENVOY_USER, DENIED_USER = 45011, 45012
IS_ROOT = os.geteuid() == 0
started = []


class Failed(Exception):
    pass


def start(name, argv, user=None):
    log = open(WORK / f"{name}.log", "ab")
    more = {"user": user, "group": user, "extra_groups": []} if user and IS_ROOT else {}
    process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", **more)
    started.append(process)
    return process


def stop(process):
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    started.remove(process)


def until(seconds, what, question, pause=0.01):
    """Waits for a thing, not for a time."""
    end = time.monotonic() + seconds
    while not (answer := question()):
        if time.monotonic() > end:
            raise Failed(f"not within {seconds} s: {what}")
        time.sleep(pause)
    return answer


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


# The identity, delivered as the newer of Google's guest agents does.

def roots(*names):
    def key(name):
        der = ssl.PEM_cert_to_DER_cert((WORK / name / "root.pem").read_text())
        return {"use": "x509-svid", "kty": "EC", "x5c": [base64.b64encode(der).decode()]}
    domains = {DOMAIN: {"keys": [key(name) for name in names]}, PARTNER: {"keys": [key("partner")]}}
    return json.dumps({"trust_domains": domains})


def deliver(n, *trusted):
    contents = WORK / "secrets" / f"contents{time.monotonic_ns()}"
    contents.mkdir(mode=0o755, parents=True)
    for file in ("certificates.pem", "private_key.pem"):
        shutil.copy(WORK / f"leaf{n}" / file, contents)
        (contents / file).chmod(0o644)
    (contents / "trust_bundles.json").write_text(roots(*trusted))
    link, public = WORK / "secrets" / "link.tmp", WORK / "secrets" / "workload-spiffe-credentials"
    link.symlink_to(contents)
    link.replace(public)


def leaf_of(n):
    pem = (WORK / f"leaf{n}" / "certificates.pem").read_text()
    first = pem[: pem.index("-----END CERTIFICATE-----") + 26]
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(first)).hexdigest()


# The program behind Envoy, and the one that Envoy talks to.

class App(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = self.headers.get("x-forwarded-client-cert", "nobody").encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class AppServer(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        pass  # A client that is refused breaks off.


def serve(server):
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def tls_context(side, material=None):
    context = ssl.SSLContext(side)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if material:
        context.load_cert_chain(WORK / material / "certificates.pem", WORK / material / "private_key.pem")
    return context


class Ledger(AppServer):
    """An mTLS server whose certificate the test chooses, and which wants the VM's from Envoy, verified by OpenSSL."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), App)
        self.material, self.seen = "ledger", None

    def get_request(self):
        stream, address = super().get_request()
        context = tls_context(ssl.PROTOCOL_TLS_SERVER, self.material)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(WORK / "new" / "root.pem")
        stream.settimeout(10)
        try:
            tls = context.wrap_socket(stream, server_side=True)
            self.seen = hashlib.sha256(tls.getpeercert(True)).hexdigest()
            return tls, address
        except (ssl.SSLError, OSError) as error:
            stream.close()
            raise OSError(str(error)) from error


# Envoys: the example, with other ports and names.

class Envoy:
    def __init__(self, name, app, api="GRPC", roots="ROOTCA", own="default", plain=None, ledger=None, user=ENVOY_USER):
        self.name, self.user = name, user
        self.mtls, self.out, self.admin = free_ports(3)
        self.spiffe, self.has_all = plain is None, roots == "ALL"
        self.about = f"{api}, {'SPIFFE validator' if self.spiffe else 'trusted_ca'}, {'default' if own == 'default' else 'SPIFFE ID'} and " + (
            "spiffe://DOMAIN" if roots.startswith("spiffe") else roots)
        text = EXAMPLE.read_text()
        swaps = {
            "/run/mwid/workload.sock": f"{WORK}/run/workload.sock",
            "0.0.0.0, port_value: 8443": f"127.0.0.1, port_value: {self.mtls}",
            "port_value: 9001": f"port_value: {self.out}",
            "port_value: 9901": f"port_value: {self.admin}",
            "port_value: 8080": f"port_value: {app}",
            "ledger.internal, port_value: 8443": f"127.0.0.1, port_value: {ledger or self.mtls}",
            "api_type: GRPC": f"api_type: {api}",
            "name: ROOTCA": f"name: {roots}",
            "name: default": f"name: {own}",
            # Each request a handshake: a rotation has no place to hide.
            "idle_timeout: 300s": "max_requests_per_connection: 1",
        }
        if ledger is None:
            swaps['exact: "spiffe://pool.global.123.workload.id.goog/ns/bank/sa/ledger"'] = f'exact: "{ID}"'
        if roots == "ALL":
            # Whom each trust domain vouches for.
            swaps[f'prefix: "spiffe://{DOMAIN}/ns/shop/"'] = 'prefix: "spiffe://"'
        # As much as a mesh says of a node; with its extensions that is more than 64 KB, in each request.
        asked = "" if plain is None else f", disable_spiffe_cert_validation: {plain}"
        swaps["# metadata: { disable_spiffe_cert_validation: true }"] = f"metadata: {{ labels: {'x' * 8192}{asked} }}"
        for old, new in swaps.items():
            if old not in text:
                raise Failed(f"the example has no {old!r} any more")
            text = text.replace(old, new)
        self.config = WORK / f"{name}.yaml"
        self.config.write_text(text)
        self.config.chmod(0o644)
        self.process = start(name, [ENVOY, "-c", self.config, "--concurrency", "1", "--disable-hot-restart", "-l", "warning"], self.user)

    def stats(self, pattern):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/stats?filter={pattern}", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return {name: int(value) for name, _, value in (line.rpartition(": ") for line in lines) if value.isdigit()}

    def total(self, pattern):
        return sum(self.stats(pattern).values())

    def shown(self):
        """The fingerprint of the certificate that it shows now."""
        try:
            with socket.create_connection(("127.0.0.1", self.mtls), 5) as tcp:
                with tls_context(ssl.PROTOCOL_TLS_CLIENT).wrap_socket(tcp) as tls:
                    return hashlib.sha256(tls.getpeercert(True)).hexdigest()
        except (OSError, ssl.SSLError):
            return None

    def ask(self):
        """One request from the plain side. (status, body)"""
        connection = http.client.HTTPConnection("127.0.0.1", self.out, timeout=10)
        try:
            connection.request("GET", "/")
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError as error:
            return 0, str(error)
        finally:
            connection.close()

    def admits(self, material):
        """Whether the mTLS side lets a peer with this certificate in."""
        try:
            with socket.create_connection(("127.0.0.1", self.mtls), 5) as tcp:
                with tls_context(ssl.PROTOCOL_TLS_CLIENT, material).wrap_socket(tcp) as tls:
                    tls.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                    return tls.recv(4096).startswith(b"HTTP/1.1 200 ")
        except (OSError, ssl.SSLError):
            return False


class Load:
    """Requests of eight at once, each in a closed loop."""

    AT_ONCE = 8

    def __init__(self, envoy, wanted=f"URI={ID}"):
        self.envoy, self.wanted, self.failures, self.stopped = envoy, wanted, [], threading.Event()
        self.each = [0] * self.AT_ONCE
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(self.AT_ONCE)]
        for thread in self.threads:
            thread.start()

    @property
    def done(self):
        return sum(self.each)

    def went_on(self, before):
        """Each of them has had an answer that he asked for since."""
        return all(now >= then + 2 for now, then in zip(self.each, before, strict=True))

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join(15)
            if thread.is_alive():
                raise Failed(f"{self.envoy.name}: a request has no end")

    def run(self, i):
        connection = http.client.HTTPConnection("127.0.0.1", self.envoy.out, timeout=10)
        while not self.stopped.wait(0.002):
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                body = answer.read().decode()
                good = answer.status == 200 and self.wanted in body
                what = f"{answer.status} {body}"
            except (OSError, http.client.HTTPException) as error:
                good, what = False, repr(error)
                connection.close()
            if good:
                self.each[i] += 1
            else:
                self.failures.append(what)


def mwid_config(denied=False):
    rule = f"  - {{ who: {{ uid: {ENVOY_USER} }}, may: {{ identity: true }} }}\n"
    if not denied:
        rule += f"  - {{ who: {{ uid: {DENIED_USER} }}, may: {{ identity: true }} }}\n"
    (WORK / "mwid.yaml").write_text(
        f"identity:\n  source: {{ guest_agent: {{ directory: {WORK}/secrets/workload-spiffe-credentials, poll: 30s }} }}\n"
        f"runtime_dir: {WORK}/run\npublish: []\napi: {{ metadata: {{ listen: off, socket: off }} }}\ntokens: {{ source: none }}\naccess:\n{rule}"
    )


def start_mwid():
    daemon = start("mwid", [MWID, "run", "--config", WORK / "mwid.yaml"])
    until(20, "mwid's socket", lambda: (WORK / "run" / "workload.sock").exists())
    return daemon


def metric(name):
    out = subprocess.run(
        ["curl", "-sS", "--unix-socket", WORK / "run" / "admin.sock", "http://localhost/metrics"], capture_output=True, text=True, check=True
    ).stdout
    return {m[1]: float(m[2]) for m in re.finditer(rf"^{name}(\S*) (\S+)$", out, re.M)}


passed = 0


def ok(what):
    global passed
    passed += 1
    print(f"ok {passed:2}  {what}", flush=True)


def check(good, what):
    if not good:
        raise Failed(what)
    ok(what)


def rotate(envoys, loads):
    """All rotations; how long each Envoy took to show each new certificate, in ms."""
    took = {envoy: [] for envoy in envoys}
    half = ROTATIONS // 2
    for n in range(1, ROTATIONS + 1):
        # The new root is trusted a rotation before a leaf of it comes, and the old one is left after the last leaf of it is gone.
        trusted = ["old"] if n < half else ["old", "new"] if n <= half + 1 else ["new"]
        wanted, before = leaf_of(n), {load: list(load.each) for load in loads}
        began = time.monotonic()
        deliver(n, *trusted)
        waiting = set(envoys)

        def all_show():
            for envoy in [e for e in waiting if e.shown() == wanted]:
                took[envoy].append((time.monotonic() - began) * 1000)
                waiting.discard(envoy)
            return not waiting

        until(20, f"rotation {n}: all Envoys show the new certificate", all_show)
        until(20, f"rotation {n}: requests go on", lambda: all(load.went_on(before[load]) or load.failures for load in loads))
        for load in loads:
            if load.failures:
                raise Failed(f"rotation {n}, {load.envoy.name}: {load.failures[:3]}")
    return took


def refusals(envoys):
    """Who comes in where: by the example's policy, and, with ALL, whoever his own trust domain vouches for."""
    for material, who, by_policy, with_all in [
        ("orders", "a service of the allowed namespace", True, True),
        ("other", "one of another namespace", False, True),
        ("partner-orders", "one of another trust domain that is known", False, True),
        ("forged", "the own domain's ID from the known domain's CA", False, False),
        ("strange", "the own domain's ID from nobody's CA", False, False),
        (None, "nobody's certificate", False, False),
    ]:
        for envoy in envoys:
            expected = with_all if envoy.has_all else by_policy
            if envoy.admits(material) != expected:
                raise Failed(f"{envoy.name} ({envoy.about}): {who} was {'not ' if expected else ''}let in")
        word = {True: "let in", False: "refused"}
        ok(f"{who}: {word[by_policy]}; with ALL and no policy: {word[with_all]}")


def main():
    (WORK / "secrets").mkdir(mode=0o755)
    mwid_config(denied=True)
    app = serve(AppServer(("127.0.0.1", 0), App))
    daemon = start_mwid()
    envoys = [
        Envoy("stream-spiffe", app, roots="ALL"),
        Envoy("delta-spiffe", app, api="DELTA_GRPC"),
        Envoy("stream-plain", app, plain="true"),
        Envoy("delta-plain", app, api="DELTA_GRPC", own=ID, roots=f"spiffe://{DOMAIN}", plain='"true"'),
    ]
    for envoy in envoys:
        until(20, f"{envoy.name} is connected", lambda: envoy.total("^cluster.mwid.upstream_cx_total$") if up(envoy) else 0)
    # The identity comes after Envoy asked for it.
    deliver(0, "old")
    for envoy in envoys:
        until(20, f"{envoy.name} shows the first certificate", lambda: envoy.shown() == leaf_of(0))
        until(20, f"{envoy.name} talks to itself", lambda: envoy.ask()[0] == 200)
    ok("Envoys that asked before there was an identity have the first one")

    began = time.monotonic()
    loads = [Load(envoy) for envoy in envoys]
    took = rotate(envoys, loads)
    for load in loads:
        load.stop()
    seconds = time.monotonic() - began
    failed = sum(len(load.failures) for load in loads)
    for load in loads:
        rejected = load.envoy.total("update_rejected$")
        if rejected:
            raise Failed(f"{load.envoy.name} refused {rejected} updates")
        broken = load.envoy.stats(r"^cluster\.ledger\.(upstream_cx_connect_fail|ssl\.(connection_error|fail_verify.*))$")
        if any(broken.values()):
            raise Failed(f"{load.envoy.name} had failed handshakes: {broken}")
    check(failed == 0, f"{ROTATIONS} rotations, the root's among them, {sum(l.done for l in loads)} requests in {seconds:.0f} s, {Load.AT_ONCE} at once "
                       f"at each Envoy and each with its own handshake: {failed} failed")
    refusals(envoys)
    for n, api in enumerate(["GRPC", "DELTA_GRPC"], ROTATIONS + 1):
        as_client(app, api, n)
    for envoy in envoys:
        until(20, f"{envoy.name} shows the last certificate", lambda: envoy.shown() == leaf_of(ROTATIONS + 2))
    restart(daemon, envoys)
    if IS_ROOT:
        denied(app)
    nacks = metric("mwid_sds_nacks_total")
    check(sum(nacks.values()) == 0, f"no update was refused by Envoy: {nacks}")

    print(f"\n{'Envoy 1.40':<72}{'requests':>9}{'failed':>8}{'rotation to new certificate, ms':>34}")
    for load in loads:
        times = sorted(took[load.envoy])
        shown = f"p50 {times[len(times) // 2]:.0f}, max {times[-1]:.0f}"
        print(f"{load.envoy.about:<72}{load.done:>9}{len(load.failures):>8}{shown:>34}")


def up(envoy):
    try:
        envoy.stats("^server.live$")
        return True
    except OSError:
        if envoy.process.poll() is not None:
            raise Failed(f"{envoy.name} ended")
        return False


def as_client(app, api, n):
    """Who Envoy talks to: the ledger and nobody else, each time with the VM's certificate verified by OpenSSL, also with the next one."""
    ledger = Ledger()
    envoy = Envoy(f"client-{api}", app, api=api, ledger=serve(ledger))
    until(20, "the client has its secrets", lambda: up(envoy) and envoy.ask()[0] == 200)
    for material, good in [("ledger", True), ("other", False), ("forged-ledger", False), ("ledger", True)]:
        ledger.material = material
        status, body = envoy.ask()
        if (status == 200) != good or (not good and status != 503):
            raise Failed(f"Envoy as client of {material}: {status} {body}")
    ok(f"as client ({api}): talks to the ledger, refuses another service of its domain and the ledger's ID from another domain's CA")
    if ledger.seen == leaf_of(n):
        raise Failed("the next certificate came before it was there")
    load = Load(envoy, wanted="nobody")  # the ledger sees no proxy's header
    deliver(n, "new")
    until(20, "the ledger sees the new certificate", lambda: ledger.seen == leaf_of(n) or load.failures)
    before = list(load.each)
    until(20, "requests go on", lambda: load.went_on(before) or load.failures)
    load.stop()
    check(not load.failures and ledger.seen == leaf_of(n),
          f"as client ({api}): a rotation under {load.done} requests, 0 failed {load.failures[:3] or ''}")
    stop(envoy.process)


def restart(daemon, envoys):
    """mwid comes back with the same identity: Envoys ask again and have nothing to load anew."""
    before = {e: e.total("ssl_context_update_by_sds$") for e in envoys}
    stop(daemon)
    for envoy in envoys:
        if envoy.ask()[0] != 200:
            raise Failed(f"{envoy.name} does not work while mwid is away")
    start_mwid()

    def all_back():
        # Two names each; those with increments say what they have and are told nothing.
        return sum(metric("mwid_sds_streams").values()) == 2 * len(envoys) and metric("mwid_sds_updates_total")['{kind="stream"}'] >= len(envoys)

    until(40, "all Envoys ask again", all_back, 0.05)
    for envoy in envoys:
        if envoy.total("ssl_context_update_by_sds$") != before[envoy]:
            raise Failed(f"{envoy.name} loaded the same secrets again after a restart of mwid")
    check(metric("mwid_sds_updates_total")['{kind="delta"}'] == 0, "after a restart of mwid, Envoys with DELTA_GRPC have all and are sent nothing")
    ok("a restart of mwid: all Envoys work on meanwhile, come back alone, and load nothing anew")


def denied(app):
    """A denial that a reload lifts."""
    envoy = Envoy("denied", app, user=DENIED_USER)
    until(20, "the denial is on record", lambda: "no identity issued" in (WORK / "denied.log").read_text())
    mwid_config()
    subprocess.run([MWID, "reload", "--config", WORK / "mwid.yaml"], check=True, capture_output=True)
    until(40, "the lifted denial", lambda: up(envoy) and envoy.ask()[0] == 200, 0.1)
    ok("an Envoy that the rules deny reads why in its own log, and has its secrets after the reload that lets it")
    stop(envoy.process)


try:
    main()
except Failed as failure:
    print(f"FAILED: {failure}")
    for log in sorted(WORK.glob("*.log")):
        tail = log.read_text(errors="replace").splitlines()[-25:]
        print(f"--- {log.name}", *tail, sep="\n")
    sys.exit(1)
finally:
    for process in list(started):
        stop(process)
