"""Rendezvous with py-libp2p (which speaks the protocol's first version) and among daemons, and a bootstrap list in a document."""
import http.server
import json
import os
import subprocess
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def until(what, condition, seconds=40):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.1)


class Daemon:
    """A daemon with settings of its own."""

    def __init__(self, waggle, folder, name, environment=None, **settings):
        self.waggle = waggle
        self.environment = dict(os.environ, WAGGLE_PATH=os.path.join(folder, name), **(environment or {}))
        self("init", "--profile=test")
        for key, value in settings.items():
            self("config", "--json", key.replace("_", "."), json.dumps(value))
        self.log = open(os.path.join(folder, name + ".log"), "w+b")
        self.process = subprocess.Popen([waggle, "daemon"], env=self.environment, stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT)
        until("the daemon gets ready", lambda: b"Daemon is ready" in self.text() or self.process.poll() is not None, 30)
        self.peer = self("id", "-f", "<id>")
        self.address = next(line for line in self("swarm", "addrs", "listen").splitlines() if "127.0.0.1" in line) + "/p2p/" + self.peer

    def text(self):
        self.log.seek(0)
        return self.log.read()

    def __call__(self, *words):
        done = subprocess.run([self.waggle, *words], env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        if done.returncode != 0:
            raise AssertionError(f"waggle {' '.join(words)}: {done.stderr.decode().strip()}")
        return done.stdout.decode().strip()

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def with_py(peers, Process):
    """Both ways: py-libp2p at our server, and we at theirs."""
    folder = os.path.join(peers.work, "meeting")
    os.makedirs(folder, exist_ok=True)
    server = Daemon(peers.binary, folder, "server", Waggle_Rendezvous_Server=True)
    client = Daemon(peers.binary, folder, "client")
    other = None
    try:
        # We register at our own server; py-libp2p comes, registers too, and hears of both.
        client("rendezvous", "register", "hall", "--at", server.address)
        script = os.path.join(HERE, "pypeer.py")
        done = subprocess.run([peers.python, script, "meet", server.address, "hall"], capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr.decode()[-800:]
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        found = {peer for line in lines if line["event"] == "met" for peer in line["peers"]}
        own = next(line["peer"] for line in lines if line["event"] == "self")
        assert {client.peer, own} <= found, (found, client.peer, own)
        seen = client("rendezvous", "discover", "hall", "--at", server.address)
        assert own not in seen, "a peer without a signed record is told of"
        # At a server of theirs.
        other = Process([peers.python, script, "point"])
        ready = other.wait("ready", 30)
        client("rendezvous", "register", "yard", "--at", ready["address"])
        server("rendezvous", "register", "yard", "--at", ready["address"])
        seen = server("rendezvous", "discover", "yard", "--at", ready["address"], "--connect")
        assert client.peer in seen and "(connected)" in seen, seen
        server("rendezvous", "unregister", "yard", "--at", ready["address"])
        until("the registration is gone", lambda: server.peer not in client("rendezvous", "discover", "yard", "--at", ready["address"]), 10)
        return "registered, found and unregistered both ways"
    finally:
        if other:
            other.stop()
        client.stop()
        server.stop()


def seeds(peers):
    """BOOTSTRAP with a document, host:port, and none at all."""
    folder = os.path.join(peers.work, "seeds")
    os.makedirs(folder, exist_ok=True)
    first = Daemon(peers.binary, folder, "first", {"BOOTSTRAP": ""})
    page = json.dumps({"seeds": [first.address, "nonsense"]}).encode()

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/seeds.json" else 404)
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_):
            pass

    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    running = [first]
    try:
        port = first.address.split("/")[4]
        until("the first node says so", lambda: b"no bootstrap peers" in first.text(), 10)
        for name, value in (("document", f"http://127.0.0.1:{web.server_port}/seeds.json"), ("port", f"127.0.0.1:{port}"), ("peer", first.address)):
            daemon = Daemon(peers.binary, folder, name, {"BOOTSTRAP": value})
            running.append(daemon)
            until(f"BOOTSTRAP={value}", lambda: first.peer in daemon("swarm", "peers"), 30)
        assert b"warning" not in first.text().lower(), first.text()
        return "a document, host:port, an address, and none"
    finally:
        web.shutdown()
        for daemon in running:
            daemon.stop()
