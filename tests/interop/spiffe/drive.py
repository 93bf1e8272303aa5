"""Drives the clients and the daemon: starts, rotates, denies, restarts, and looks at what each client says.

Everything is waited for, nothing is slept for, but for the pauses that a case is about. Ends with exit code 1 and the logs at the first surprise.
"""
import os
import pathlib
import queue
import shlex
import socket
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
WORK = pathlib.Path(sys.argv[1])
MWID = os.environ["MWID"]
UID = 45011  # no account, no group: rules name it by number
DENIED = 45012
CROWD = 45013  # has as many streams open as one user may
SEATS = 10_000  # that many: a quarter of the server's
LATER = range(45021, 45025)  # of each library one, who is let in later: the daemon's record tells of users
ID = "spiffe://example.org/ns/shop/sa/payments"
PATIENCE = 90  # the longest back-off of these libraries is 30 s, and the machine may be loaded

CLIENTS = {
    "py-spiffe": [WORK / "venv/bin/python", HERE / "client.py"],
    "go-spiffe": [WORK / "go-client"],
    "rust spiffe": [WORK / "rust-client"],
    "java-spiffe": ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", f"{WORK}/java/libs/*:{WORK}/java/classes", "Client"],
}
rows = []
running = []


def fail(why):
    print("FAILED:", why)
    for log in sorted(WORK.glob("*.log")) + sorted(WORK.glob("*.err")):
        if log.stat().st_size:
            print(f"--- {log.name}")
            print("\n".join(log.read_text(errors="replace").splitlines()[-25:]))
    sys.exit(1)


def shell(script):
    """The PKI and the agent's way of replacing its directory are those of the other stages."""
    made = subprocess.run(["bash", "-c", f"set -euo pipefail; . {HERE.parent}/pki.sh; {script}"], capture_output=True, text=True)
    if made.returncode:
        fail(f"{script}: {made.stderr}")
    return made.stdout.strip()


class Pki:
    """The platform: a directory that is replaced."""

    def __init__(self):
        self.pki, self.agent, self.made = WORK / "pki", WORK / "agent", 0
        self.agent.mkdir()
        os.chmod(self.agent, 0o755)
        shell(f"pki_make {self.pki} example.org")
        self.ready = []

    def prepare(self, count):
        """Certificates ahead of time, so that a rotation costs a rename."""
        while len(self.ready) < count:
            self.made += 1
            leaf = WORK / f"leaf{self.made}"
            serial = shell(f"pki_leaf {self.pki} {ID} {leaf}")
            self.ready.append((leaf, serial.lower().lstrip("0")))

    def rotate(self):
        self.prepare(1)
        leaf, serial = self.ready.pop(0)
        shell(f"swap {self.agent} {leaf} legacy")
        return serial


class Daemon:
    def __init__(self, name, source, lifetime=None):
        self.config, self.run, self.log = WORK / f"{name}.yaml", WORK / f"{name}.run", WORK / f"{name}.log"
        self.source, self.process = source, None
        self.grant([UID])

    @property
    def endpoint(self):
        return f"unix://{self.run}/workload.sock"

    def grant(self, uids):
        rules = "\n".join(f"  - {{ who: {{ uid: {uid} }}, may: {{ identity: true }} }}" for uid in uids)
        access = f"access:\n{rules}\n" if uids else ""
        # Replaced as a careful operator does.
        new = self.config.with_suffix(".new")
        new.write_text(f"identity: {{ source: {self.source} }}\nruntime_dir: {self.run}\npublish: []\ntokens: {{ source: none }}\n"
                       f"api: {{ metadata: {{ listen: off }} }}\n{access}")
        new.replace(self.config)

    def start(self):
        self.process = subprocess.Popen([MWID, "run", "--config", self.config], stderr=open(self.log, "a"))
        running.append(self.process)
        until = time.monotonic() + PATIENCE
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > until:
                fail("the daemon does not serve")
            time.sleep(0.05)

    def answers(self):
        with socket.socket(socket.AF_UNIX) as asked:
            return asked.connect_ex(f"{self.run}/workload.sock") == 0

    def cli(self, *words):
        return subprocess.run([MWID, *words, "--config", self.config], capture_output=True, text=True)

    def wait(self):
        if self.cli("wait", "--timeout", "30s").returncode:
            fail("the daemon is not ready")

    def reload(self):
        done = self.cli("reload")
        if done.returncode:
            fail(f"reload: {done.stderr}")

    def has_denied(self, uid, client):
        """It came, and was told no."""
        until = time.monotonic() + PATIENCE
        while not any(f"uid={uid} " in line and "denied" in line for line in self.log.read_text().splitlines()):
            if time.monotonic() > until:
                fail(f"{client.name} was not denied: {client.silent()}")
            time.sleep(0.1)
        if any(line[0] == "x509" for line in client.silent()):
            fail(f"{client.name} got an identity that it was denied")

    def stop(self):
        self.process.terminate()
        if self.process.wait(30):
            fail(f"the daemon ended with {self.process.returncode}")

    def kill(self):
        """As the kernel does when memory is short: nobody says goodbye, and the socket's file stays."""
        self.process.kill()
        self.process.wait(30)
        if not (self.run / "workload.sock").is_socket():
            fail("a killed daemon left no socket's file: the case is another one")
        if self.answers():
            fail("somebody answers for a daemon that was killed")


def command(name, uid, words):
    # They may read what lies under another user's home, where an interpreter may be installed; that makes them nobody else.
    caps = ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
    who = ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups", "--no-new-privs", *caps]
    return [*who, *map(str, CLIENTS[name]), *words]


class Client:
    """One client program that runs; what it says is read as it comes."""

    def __init__(self, name, daemon, *words, uid=UID):
        self.name, self.lines = name, queue.Queue()
        err = WORK / f"{name.replace(' ', '-')}-{words[0]}.err"
        environment = {**os.environ, "SPIFFE_ENDPOINT_SOCKET": daemon.endpoint, "HOME": str(WORK)}
        self.process = subprocess.Popen(command(name, uid, words), stdout=subprocess.PIPE, stderr=open(err, "a"), text=True, env=environment)
        running.append(self.process)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n").split("\t"))
        self.lines.put(["gone"])

    def expect(self, wanted, patience=PATIENCE):
        """Waits for a line that begins with these words; others may come before it. How long it took, and the line."""
        began = time.monotonic()
        seen = []
        while True:
            try:
                line = self.lines.get(timeout=max(0.01, began + patience - time.monotonic()))
            except queue.Empty:
                fail(f"{self.name}: no {wanted} within {patience} s, but {seen}")
            if line[: len(wanted)] == wanted:
                return time.monotonic() - began, line
            seen.append(line)
            if line == ["gone"]:
                fail(f"{self.name} ended without {wanted}: {seen}")

    def silent(self):
        """What has come that nobody asked for."""
        lines = []
        while not self.lines.empty():
            lines.append(self.lines.get())
        return lines

    def stop(self):
        self.process.kill()
        self.process.wait()


def row(name, case, outcome):
    rows.append((name, case, outcome))
    print(f"{name:12} {case:46} {outcome}", flush=True)


def everybody(clients, case, wanted):
    for client in clients:
        took, _ = client.expect(wanted)
        row(client.name, case, f"{took:.1f} s")


def lives(pki):
    """One watcher of each library through everything that happens to a daemon."""
    daemon = Daemon("mwid", f"{{ guest_agent: {{ directory: {pki.agent}/workload-spiffe-credentials }} }}")
    daemon.start()
    clients = [Client(name, daemon, "watch") for name in CLIENTS]
    pki.prepare(8)
    time.sleep(5)  # the case is an identity that comes late
    for client in clients:
        if client.silent():
            fail(f"{client.name} had something before there was an identity")
    serial = pki.rotate()
    everybody(clients, "a first identity that comes 5 s late", ["x509", ID, serial])
    serial = pki.rotate()
    everybody(clients, "a rotation", ["x509", ID, serial])

    daemon.stop()
    serial = pki.rotate()
    daemon.start()
    everybody(clients, "a restart of the daemon, and a rotation meanwhile", ["x509", ID, serial])

    daemon.kill()
    serial = pki.rotate()
    daemon.start()
    everybody(clients, "a daemon that was killed, its socket left behind", ["x509", ID, serial])

    starters = [Client(name, daemon, "watch", uid=uid) for name, uid in zip(CLIENTS, LATER, strict=True)]
    for starter, uid in zip(starters, LATER, strict=True):
        daemon.has_denied(uid, starter)
    daemon.grant([UID, *LATER])
    daemon.reload()
    everybody(starters, "started while denied, let in by a reload", ["x509", ID, serial])
    for starter in starters:
        starter.stop()

    next_java = Client("java-spiffe", daemon, "next")
    next_java.expect(["x509", ID, serial])
    daemon.grant([])
    daemon.reload()
    # By the next java-spiffe's rule a denial is the end; README says so.
    _, line = next_java.expect(["end"])
    if line[1:] != ["PERMISSION_DENIED", "no identity issued"]:
        fail(f"a watcher with the next java-spiffe's rule was told {line}")
    row("java, next", "a denial ends its watch for good", line[1])
    serial = pki.rotate()
    time.sleep(1)  # the case is a denial that lasts
    for client in clients:
        said = client.silent()
        if any(line[0] == "x509" for line in said):
            fail(f"{client.name} got an identity that it was denied")
        # 0.8.17 of java-spiffe, and the others: a denial does not end them.
        if any(line[0] in ("end", "gone") for line in said):
            fail(f"{client.name} ends on a denial: README says that this version does not ({said})")
    daemon.grant([UID])
    daemon.reload()
    everybody(clients, "a denial that is lifted by a reload", ["x509", ID, serial])
    for client in clients:
        client.stop()
    return daemon


def while_it_rotates(daemon, pki):
    """Clients that connect anew, again and again, while the identity is replaced: each gets one whole identity, proven by its own bundle."""
    times, fewest = 12, 3
    pki.prepare(40)
    clients = [Client(name, daemon, "once", str(times)) for name in CLIENTS]
    stop = threading.Event()

    def rotate():
        while not stop.is_set():
            pki.rotate()  # made as it goes when none is left: until the last client has ended
            time.sleep(0.1)  # the pace of the rotations

    rotator = threading.Thread(target=rotate, daemon=True)
    rotator.start()
    for client in clients:
        got, runs = set(), 0
        while True:
            got |= {client.expect(["x509", ID])[1][2] for _ in range(times)}
            runs += 1
            if client.process.wait(PATIENCE):
                fail(f"{client.name}: once")
            if len(got) >= fewest:
                break
            if runs == 20:
                fail(f"{client.name}: {runs * times} connections saw {len(got)} certificates: it did not rotate while they connected")
            # Faster than the rotations: once more.
            client = Client(client.name, daemon, "once", str(times))
        row(client.name, f"{runs * times} connections while it rotates", f"{len(got)} certificates, all whole")
    stop.set()
    rotator.join()


def mtls(daemon, pki):
    pki.prepare(20)
    client = Client("go-spiffe", daemon, "mtls", "8")
    time.sleep(1)
    for _ in range(20):
        pki.rotate()
        time.sleep(0.25)  # the pace of the rotations
    _, line = client.expect(["mtls"])
    ok, failed, seen = map(int, line[1:])
    if failed or ok < 50 or seen < 15:
        fail(f"go-spiffe mTLS: {line}")
    row("go-spiffe", "mTLS server and client, 20 rotations", f"{ok} connections, {failed} failed, {seen} certificates")


def denied(daemon):
    client = Client("go-spiffe", daemon, "once", "1", uid=DENIED)
    _, line = client.expect(["end"])
    if "no identity issued" not in line[1]:
        fail(f"a user without a grant was told {line}")
    row("go-spiffe", "a user without a grant", "no identity issued")


def crowded(daemon):
    """A user with all the streams that one user may have: his next ones are refused, other users' are not, and his come back by themselves."""
    daemon.grant([UID, CROWD])
    daemon.reload()
    crowd = Client("go-spiffe", daemon, "crowd", str(SEATS), uid=CROWD)
    crowd.expect(["crowd", str(SEATS)])
    for name in ("go-spiffe", "py-spiffe"):
        _, line = Client(name, daemon, "once", "1", uid=CROWD).expect(["end"])
        if "this user has as many calls open as one user may" not in line[1] or "unavailable" not in line[1].lower():
            fail(f"{name}, with all seats of its user taken, was told {line}")
        row(name, "a call more than its user's share", "UNAVAILABLE")
    Client("go-spiffe", daemon, "once", "1").expect(["x509", ID])
    row("go-spiffe", "another user meanwhile", "served")
    waiting = [Client(name, daemon, "watch", uid=CROWD) for name in CLIENTS]
    time.sleep(5)  # the case is a share that stays taken; java's machine starts in that time
    for client in waiting:
        if said := client.silent():
            fail(f"{client.name} had no seat, and said {said}")
    if said := crowd.silent():
        fail(f"of those who had a seat one said {said}")
    crowd.stop()
    everybody(waiting, "started without a seat, when there is one", ["x509", ID])
    for client in waiting:
        client.stop()


def jwt():
    daemon = Daemon("dev", "{ dev_ca: { trust_domain: dev.internal, lifetime: 1h } }")
    daemon.start()
    daemon.wait()
    for name in CLIENTS:
        took, line = Client(name, daemon, "jwt", "reports").expect(["jwt"])
        if not line[1].startswith("spiffe://dev.internal/"):
            fail(f"{name}: {line}")
        row(name, "JWT-SVID fetched, proven, validated", line[1])
    return daemon


def grpcurl(daemon):
    address = f"{daemon.run}/workload.sock"

    def ask(*words):
        return subprocess.run([WORK / "grpcurl", "-plaintext", "-unix", *words[:-1], address, *shlex.split(words[-1])], capture_output=True, text=True)

    listed = ask("list").stdout.split()
    wanted = ["SpiffeWorkloadAPI", "envoy.service.secret.v3.SecretDiscoveryService", "grpc.health.v1.Health"]
    if missing := [name for name in wanted if name not in listed]:
        fail(f"reflection lists {listed}, not {missing}")
    row("grpcurl", "reflection", f"{len(listed)} services")
    described = ask("describe SpiffeWorkloadAPI").stdout
    if "rpc FetchX509SVID" not in described:
        fail(f"reflection describes {described}")
    headless = ask("SpiffeWorkloadAPI/FetchX509Bundles")
    if "InvalidArgument" not in headless.stderr or "security header missing" not in headless.stderr:
        fail(f"a call without the header was answered {headless.stderr}")
    row("grpcurl", "a call without the header", "InvalidArgument")
    health = ask("grpc.health.v1.Health/Check")
    if "SERVING" not in health.stdout:
        fail(f"health: {health.stdout} {health.stderr}")
    row("grpcurl", "health", "SERVING")


def survival():
    """What each library lived through, by what the checks above have said. A cell that none of them filled is a failure."""
    cases = {
        "restart of the daemon": "a restart of the daemon",
        "first identity 5 s late": "a first identity that comes 5 s late",
        "rotation while connecting": "connections while it rotates",
        "killed, socket left behind": "a daemon that was killed",
        "denial lifted by a reload": "a denial that is lifted",
        "started while denied": "started while denied",
        "started without a seat": "started without a seat",
    }
    print("\n" + " " * 28 + "".join(f"{name:30}" for name in CLIENTS))
    missing = []
    for title, words in cases.items():
        cells = [next((outcome for name, case, outcome in rows if name == client and words in case), None) for client in CLIENTS]
        print(f"{title:28}" + "".join(f"{cell or 'NOT LOOKED AT':30}" for cell in cells))
        missing += [f"{client}: {title}" for client, cell in zip(CLIENTS, cells) if not cell]
    if missing:
        fail(f"not looked at: {missing}")


def main():
    pki = Pki()
    daemon = lives(pki)
    while_it_rotates(daemon, pki)
    mtls(daemon, pki)
    denied(daemon)
    crowded(daemon)
    daemon.stop()
    dev = jwt()
    grpcurl(dev)
    dev.stop()
    survival()
    print(f"ok: {len(rows)} outcomes of {len(CLIENTS)} libraries and grpcurl")


try:
    main()
finally:
    for process in running:
        if process.poll() is None:
            process.kill()
