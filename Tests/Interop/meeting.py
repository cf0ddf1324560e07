"""Rendezvous with py-libp2p (which speaks the protocol's first version) and among daemons, and a bootstrap list in a document."""
import http.server
import json
import threading

from nodes import Waggle
from processes import until


def start(peers, name, environment=None, **settings):
    """A daemon with settings of its own."""
    return Waggle(
        peers.binary, peers.work, name, settings={key.replace("_", "."): value for key, value in settings.items()},
        environment=environment or {}, log="info")


def with_py(peers):
    """Both ways: py-libp2p at our server, and we at theirs."""
    server, client = start(peers, "server", Waggle_Rendezvous_Server=True), start(peers, "client")
    # We register at our own server; py-libp2p comes, registers too, and hears of both.
    client.run("rendezvous", "register", "hall", "--at", server.address())
    lines = peers.make_py("meet", server.address(), "hall").finish(120)
    found = {peer for line in lines if line["event"] == "met" for peer in line["peers"]}
    own = next(line["peer"] for line in lines if line["event"] == "self")
    assert {client.peer, own} <= found, (found, client.peer, own)
    seen = client.run("rendezvous", "discover", "hall", "--at", server.address())
    assert own not in seen, "a peer without a signed record is told of"
    # At a server of theirs.
    there = peers.make_py("point").wait("ready")["address"]
    client.run("rendezvous", "register", "yard", "--at", there)
    server.run("rendezvous", "register", "yard", "--at", there)
    seen = server.run("rendezvous", "discover", "yard", "--at", there, "--connect")
    assert client.peer in seen and "(connected)" in seen, seen
    server.run("rendezvous", "unregister", "yard", "--at", there)
    until("the registration is gone", lambda: server.peer not in client.run("rendezvous", "discover", "yard", "--at", there))
    return "registered, found and unregistered both ways"


def seeds(peers):
    """BOOTSTRAP with a document, host:port, and none at all."""
    first = start(peers, "first", {"BOOTSTRAP": ""})
    page = json.dumps({"seeds": [first.address(), "nonsense"]}).encode()

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/seeds.json" else 404)
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_):
            pass

    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    try:
        port = first.address().split("/")[4]
        until("the first node says so", lambda: b"no bootstrap peers" in first.text())
        for name, value in (("document", f"http://127.0.0.1:{web.server_port}/seeds.json"), ("port", f"127.0.0.1:{port}"), ("peer", first.address())):
            daemon = start(peers, name, {"BOOTSTRAP": value})
            until(f"BOOTSTRAP={value}", lambda: first.peer in daemon.run("swarm", "peers"))
        assert b"warning" not in first.text().lower(), first.text()
        return "a document, host:port, an address, and none"
    finally:
        web.shutdown()
        web.server_close()
