"""Envoy and go-spiffe's spiffetls on the other side of mwid's routes, in both directions, through rotations of mwid's certificate. Standard library only.

usage: peers.py WORK MWID ENVOY|- GO_CLIENT|-   (what WORK has: run.sh)
Prints a row for each peer; a row that is missing is a failure."""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse

WORK, MWID = pathlib.Path(sys.argv[1]), sys.argv[2]
ENVOY, GO = (None if a == "-" else a for a in sys.argv[3:5])
DOMAIN = "pool.global.123.workload.id.goog"
ID, PEER, NOBODY = (f"spiffe://{DOMAIN}/ns/{name}" for name in ("shop/sa/vm", "shop/sa/peer", "none/sa/nobody"))
ROTATIONS = 2
started = []


class Failed(Exception):
    pass


def start(name, argv, **more):
    log = open(WORK / f"{name}.log", "ab")
    process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log, **more)
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


def until(seconds, what, question):
    """Waits for a thing, not for a time."""
    end = time.monotonic() + seconds
    while not (answer := question()):
        if time.monotonic() > end:
            raise Failed(f"not within {seconds} s: {what}")
        time.sleep(0.02)
    return answer


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Application:
    """Behind inbound routes, and behind Envoy: says everything back. What it got is counted."""

    def __init__(self):
        self.listener, self.bytes = socket.create_server(("127.0.0.1", 0)), 0
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            stream, _ = self.listener.accept()
            threading.Thread(target=self.echo, args=(stream,), daemon=True).start()

    def echo(self, stream):
        with stream:
            try:
                while piece := stream.recv(65536):
                    self.bytes += len(piece)
                    stream.sendall(piece)
            except OSError:
                pass  # The other side broke off; who asked for the bytes says so.


def exchange(stream, size=200_000):
    """Sends random bytes and reads as many; whether they are the same."""
    sent, got = os.urandom(size), b""
    writer = threading.Thread(target=stream.sendall, args=(sent,), daemon=True)
    writer.start()
    while len(got) < size and (piece := stream.recv(size - len(got))):
        got += piece
    if got == sent:
        writer.join()
    return got == sent


def connect(port):
    return socket.create_connection(("127.0.0.1", port), 10)


def reaches(port):
    """Whether any byte comes back from behind this port."""
    with connect(port) as stream:
        try:
            stream.sendall(b"secret")
            return stream.recv(1) != b""
        except OSError:
            return False


class Load:
    """Plain callers: each exchange a connection of its own, and one connection that is held all the time and asked in between."""

    def __init__(self, port):
        self.port, self.done, self.held, self.failures, self.stopped = port, 0, 0, [], threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            with connect(self.port) as held:
                while not self.stopped.wait(0.005):
                    with connect(self.port) as stream:
                        if not exchange(stream):
                            raise OSError("other bytes came back")
                        # Each side says that it has no more.
                        stream.shutdown(socket.SHUT_WR)
                        if stream.recv(1):
                            raise OSError("more came than was sent")
                    self.done += 1
                    if not exchange(held, 5000):
                        raise OSError("other bytes on the held connection")
                    self.held += 1
        except OSError as error:
            self.failures.append(repr(error))

    def stop(self):
        self.stopped.set()
        self.thread.join(30)
        if self.thread.is_alive():
            self.failures.append("no end")


# mwid, with the identity delivered as Google's guest agent does

def deliver(n):
    contents = WORK / "secrets" / f"contents{n}"
    shutil.copytree(WORK / f"leaf{n}", contents)
    for file in contents.iterdir():
        file.chmod(0o644)
    (contents / "config_status").write_text('{"partnerMetadataConfigsErrors": {}}')
    link = WORK / "secrets" / "link.tmp"
    link.symlink_to(contents)
    link.replace(WORK / "secrets" / "workload-spiffe-credentials")


def serial_of(pem):
    out = subprocess.run(["openssl", "x509", "-noout", "-serial"], input=pem, capture_output=True, text=True, check=True).stdout
    return out.split("=")[1].strip().lower().lstrip("0")


def refusals_of(route, reason):
    url = ["--unix-socket", WORK / "run" / "admin.sock", "http://localhost/metrics"]
    metrics = subprocess.run(["curl", "-sS", *url], capture_output=True, text=True, check=True).stdout
    line = f'mwid_proxy_handshakes_total{{route="{route}",reason="{reason}"}} '
    return next((int(one.removeprefix(line)) for one in metrics.splitlines() if one.startswith(line)), 0)


def is_refused(what, route, reason, act):
    """By mwid: nothing comes back, nothing gets to the application, and the route counts it by its reason."""
    bytes_before, refusals = application.bytes, refusals_of(route, reason)
    if act():
        raise Failed(f"{what}: bytes came back")
    until(10, f"{what}: {route} counts {reason}", lambda: refusals_of(route, reason) > refusals)
    if application.bytes != bytes_before:
        raise Failed(f"{what}: bytes went on to the application")


# Envoy: each port a listener, each target a cluster

def validation(kind, wants):
    names = {"match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": wants}}]}
    root = {"filename": str(WORK / "pki" / "root.pem")}
    if kind == "trusted_ca":
        return names | {"trusted_ca": root}
    config = {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig",
        "trust_domains": [{"name": DOMAIN, "trust_bundle": root}],
    }
    return names | {"custom_validator_config": {"name": "envoy.tls.cert_validator.spiffe", "typed_config": config}}


def tls(side, kind, wants):
    own = {"certificate_chain": {"filename": str(WORK / "peer/certificates.pem")}, "private_key": {"filename": str(WORK / "peer/private_key.pem")}}
    v3 = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
    common = {
        "tls_certificates": [own],
        "validation_context": validation(kind, wants),
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
    }
    context = {"@type": f"{v3}.{side}TlsContext", "common_tls_context": common}
    if side == "Downstream":
        context["require_client_certificate"] = True
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


class Envoy:
    def __init__(self):
        self.listeners, self.clusters, self.admin = [], [], free_ports(1)[0]

    def way(self, name, port, target, inward=None, outward=None, serial="-"):
        address = lambda at: {"socket_address": {"address": "127.0.0.1", "port_value": at}}
        log = {
            "name": "envoy.access_loggers.file",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                "path": str(WORK / f"envoy-{name}.access"),
                "log_format": {"text_format_source": {"inline_string": f"{serial}\n"}},
            },
        }
        proxy = {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": name, "cluster": name, "access_log": [log],
        }
        chain = {"filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}]}
        if inward:
            chain["transport_socket"] = inward
        self.listeners.append({"name": name, "stat_prefix": name, "address": address(port), "filter_chains": [chain]})
        hosts = [{"endpoint": {"address": address(target)}}]
        cluster = {"name": name, "type": "STATIC", "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": hosts}]}}
        if outward:
            cluster["transport_socket"] = outward
        self.clusters.append(cluster)

    def start(self):
        admin = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": self.admin}}}
        config = {"admin": admin, "static_resources": {"listeners": self.listeners, "clusters": self.clusters}}
        (WORK / "envoy.json").write_text(json.dumps(config))
        start("envoy", [ENVOY, "-c", WORK / "envoy.json", "--concurrency", "1", "--disable-hot-restart", "-l", "warning"])
        until(30, "Envoy is ready", lambda: self.ask("ready").startswith("LIVE"))

    def ask(self, what):
        return subprocess.run(["curl", "-s", f"http://127.0.0.1:{self.admin}/{what}"], capture_output=True, text=True).stdout

    def refusals(self, name):
        """Peers whose name is not the one that it wants, on either side."""
        return sum(int(n) for n in re.findall(r": (\d+)$", self.ask(f"stats?filter={name}\\..*fail_verify_san"), re.M))

    def serials(self, name):
        """mwid's certificates, as Envoy has seen them."""
        lines = set((WORK / f"envoy-{name}.access").read_text().split()) - {"-"}
        return {serial_of(urllib.parse.unquote(line)) if "BEGIN" in line else line.lstrip("0") for line in lines}


# go-spiffe

class GoLog:
    def __init__(self, name):
        self.name, self.path = name, WORK / f"{name}.log"

    def words(self, word):
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        return [line.split("\t", 1)[1] for line in lines if line.startswith(f"{word}\t")]


def go(log, *args):
    return start(log.name, [GO, *args], env=os.environ | {"SPIFFE_ENDPOINT_SOCKET": f"unix://{WORK}/run/workload.sock"})


# The rows

class Row:
    """One peer in one direction. `seen`: mwid's serial numbers as the peer saw them; `begin` begins exchanges, and gives what counts them and what ends them."""

    def __init__(self, name, seen, begin, refusals):
        self.name, self.seen, self.begin, self.refusals = name, seen, begin, refusals
        self.counts = self.stop = None


WAYS = ["trusted_ca", "spiffe"] if ENVOY else []
SOURCES = ["workload", "files"] if GO else []
WANTED = [f"Envoy as client, {way}" for way in WAYS] + [f"Envoy as server, {way}" for way in WAYS]
WANTED += [f"spiffetls.Dial, {source}" for source in SOURCES] + [f"spiffetls.Listen, {source}" for source in SOURCES]
application = Application()
envoy = Envoy()
inbound, closed = free_ports(2)
# A kind: a port each for the peer that takes mwid, one that does not, mwid's routes to either, and one that wants another peer.
ports = {kind: dict(zip(["good", "strict", "out", "refused", "wrong"], free_ports(5))) for kind in WAYS + SOURCES}


def config():
    # Who uses the Workload API has mwid's own ID.
    server = {kind: ID if kind == "workload" else PEER for kind in ports}
    routes = "".join(
        f'    - {{ name: out-{k}, listen: "127.0.0.1:{p["out"]}", connect: "127.0.0.1:{p["good"]}", expect: "{server[k]}" }}\n'
        f'    - {{ name: refused-{k}, listen: "127.0.0.1:{p["refused"]}", connect: "127.0.0.1:{p["strict"]}", expect: "{server[k]}" }}\n'
        f'    - {{ name: wrong-{k}, listen: "127.0.0.1:{p["wrong"]}", connect: "127.0.0.1:{p["good"]}", expect: "{NOBODY}" }}\n'
        for k, p in ports.items()
    )
    (WORK / "mwid.yaml").write_text(
        f"identity:\n  source: {{ guest_agent: {{ directory: {WORK}/secrets/workload-spiffe-credentials, poll: 30s }} }}\n"
        f"runtime_dir: {WORK}/run\npublish: []\napi: {{ metadata: {{ listen: off, socket: off }} }}\ntokens: {{ source: none }}\nproxy:\n  inbound:\n"
        f'    - {{ name: in, listen: "127.0.0.1:{inbound}", forward: "127.0.0.1:{application.port}", allow: ["{PEER}", "{ID}"] }}\n'
        f'    - {{ name: closed, listen: "127.0.0.1:{closed}", forward: "127.0.0.1:{application.port}", allow: ["{NOBODY}"] }}\n'
        f"  outbound:\n{routes}"
    )


def plain(port):
    load = Load(port)
    return lambda: (load.done, load.held, load.failures), load.stop


def rows_of_envoy():
    to_mwid = {way: free_ports(3) for way in WAYS}
    for way, (good, strict, denied) in to_mwid.items():
        serial = "%UPSTREAM_PEER_CERT%"
        envoy.way(f"client-{way}", good, inbound, outward=tls("Upstream", way, ID), serial=serial)
        envoy.way(f"client-strict-{way}", strict, inbound, outward=tls("Upstream", way, NOBODY))
        envoy.way(f"client-denied-{way}", denied, closed, outward=tls("Upstream", way, ID))
        serial = "%DOWNSTREAM_PEER_SERIAL%"
        envoy.way(f"server-{way}", ports[way]["good"], application.port, inward=tls("Downstream", way, ID), serial=serial)
        envoy.way(f"server-strict-{way}", ports[way]["strict"], application.port, inward=tls("Downstream", way, NOBODY))
    envoy.start()
    for way, (good, strict, denied) in to_mwid.items():
        name, to = f"Envoy as client, {way}", ports[way]
        refusals = [
            lambda: is_refused(name, "closed", "no_rule", lambda: reaches(denied)),
            # It is mwid that reads the alert.
            lambda: is_refused(name, "in", "refused_by_peer", lambda: refuses_mwid(f"client-strict-{way}", strict)),
        ]
        yield Row(name, lambda way=way: envoy.serials(f"client-{way}"), lambda good=good: plain(good), refusals)
        name = f"Envoy as server, {way}"
        refusals = [
            lambda: is_refused(name, f"wrong-{way}", "no_rule", lambda: reaches(to["wrong"])),
            lambda: refuses_mwid(f"server-strict-{way}", to["refused"]),
        ]
        yield Row(name, lambda way=way: envoy.serials(f"server-{way}"), lambda to=to: plain(to["out"]), refusals)


def refuses_mwid(name, port):
    """By Envoy, whose numbers say why."""
    before, got = envoy.refusals(name), application.bytes
    if reaches(port):
        raise Failed(f"{name}: bytes came back")
    until(10, f"{name}: Envoy counts a wrong name", lambda: envoy.refusals(name) > before)
    if application.bytes != got:
        raise Failed(f"{name}: bytes went on to the application")


def rows_of_go():
    for source in SOURCES:
        where, to = source if source == "workload" else WORK / "peer", ports[source]
        name = f"spiffetls.Dial, {source}"
        refusals = [
            lambda: is_refused(name, "closed", "no_rule", lambda: go_gets(source, where, closed, ID)),
            lambda: is_refused(name, "in", "refused_by_peer", lambda: go_refuses(source, where)),
        ]
        log = GoLog(f"go-dial-{source}")
        yield Row(name, lambda log=log: set(log.words("ok")), lambda log=log, where=where: go_dials(log, where), refusals)
        server, strict = GoLog(f"go-serve-{source}"), GoLog(f"go-serve-strict-{source}")
        for serve, port, wants in [(server, to["good"], ID), (strict, to["strict"], NOBODY)]:
            go(serve, "serve", where, f"127.0.0.1:{port}", wants)
            until(20, f"spiffetls.Listen with {source}", lambda: "listens" in serve.path.read_text())
        name = f"spiffetls.Listen, {source}"
        refusals = [
            lambda: is_refused(name, f"wrong-{source}", "no_rule", lambda: reaches(to["wrong"])),
            lambda: go_server_refuses(strict, to["refused"]),
        ]
        yield Row(name, lambda log=server: set(log.words("ok")), lambda to=to: plain(to["out"]), refusals)


def go_dials(log, where):
    process = go(log, "dial", where, f"127.0.0.1:{inbound}", ID)

    def counts():
        done = len(log.words("ok"))
        return done, max(done - 1, 0), log.words("refused") + log.words("lost") + log.words("end")

    return counts, lambda: stop(process)


def go_gets(source, where, port, wants):
    """Whether anything comes back; go-spiffe's own word for it."""
    log = GoLog(f"go-once-{source}-{port}-{wants.rpartition('/')[2]}")
    process = go(log, "dial-once", where, f"127.0.0.1:{port}", wants)
    process.wait(30)
    started.remove(process)
    return log.words("ok")


def go_refuses(source, where):
    if go_gets(source, where, inbound, NOBODY):
        return True
    why = GoLog(f"go-once-{source}-{inbound}-nobody").words("refused")
    if not why or "unexpected ID" not in why[0]:
        raise Failed(f"spiffetls.Dial to another ID: {why}")
    return False


def go_server_refuses(log, port):
    before = len(log.words("refused"))
    if reaches(port):
        raise Failed("spiffetls.Listen for another ID: bytes came back")
    why = until(10, "spiffetls.Listen refuses", lambda: log.words("refused")[before:])
    if "unexpected ID" not in why[0]:
        raise Failed(f"spiffetls.Listen for another ID: {why}")


def rotate(rows):
    for n in range(ROTATIONS + 1):
        wanted = serial_of((WORK / f"leaf{n}" / "certificates.pem").read_text())
        before = {row: row.counts() for row in rows}
        if n:
            deliver(n)

        def settled(row):
            done, held, failures = row.counts()
            if failures:
                raise Failed(f"{row.name}: {failures[:3]}")
            # As many again: some began after the one that was under way.
            return done >= before[row][0] + 2 and held >= before[row][1] + 2 and wanted in row.seen()

        for row in rows:
            until(60, f"{row.name}: exchanges go on and show certificate {n}: {wanted}, not {row.seen()}", lambda: settled(row))


def main():
    (WORK / "secrets").mkdir(mode=0o755)
    config()
    deliver(0)
    start("mwid", [MWID, "run", "--config", WORK / "mwid.yaml"])
    subprocess.run([MWID, "wait", "--config", WORK / "mwid.yaml", "--timeout", "20s"], check=True)
    rows = []
    for make in ([rows_of_envoy] if ENVOY else []) + ([rows_of_go] if GO else []):
        for row in make():
            rows.append(row)
            for refusal in row.refusals:
                refusal()
    # Now that nobody counts what is refused.
    for row in rows:
        row.counts, row.stop = row.begin()
    rotate(rows)
    print(f"{'peer':<34}{'connections':>12}{'failed':>8}{'held, asked':>13}{'certificates':>14}   refused")
    for row in rows:
        row.stop()
        done, held, failures = row.counts()
        if failures:
            raise Failed(f"{row.name}: {failures[:3]}")
        seen = len(row.seen())
        if seen != ROTATIONS + 1:
            raise Failed(f"{row.name} saw {row.seen()}")
        print(f"{row.name:<34}{done:>12}{len(failures):>8}{held:>13}{seen:>14}   an ID by mwid, mwid's by the peer")
    missing = set(WANTED) - {row.name for row in rows}
    if missing or not rows:
        raise Failed(f"no row of {missing}")


try:
    main()
except (Failed, subprocess.SubprocessError) as failure:
    print(f"FAILED: {failure}")
    for log in sorted(WORK.glob("*.log")):
        print(f"--- {log.name}", *log.read_text(errors="replace").splitlines()[-25:], sep="\n")
    sys.exit(1)
finally:
    for process in list(started):
        stop(process)
