"""Checks of the hash table against peers of other implementations."""
import hashlib
import os

from p2pd import P2PD, base58_decode
from processes import until


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


def varied(number):
    """A CID of a block that nobody has: raw, SHA2-256."""
    return b"\x01\x55\x12\x20" + hashlib.sha256(os.urandom(8) + number.to_bytes(4, "big")).digest()


def text(cid):
    """A CID in base 16."""
    return "f" + cid.hex()


def only(lines, event):
    return next(line for line in lines if line["event"] == event)


def p2pd_servers(peers):
    """Two servers of go-libp2p that know each other, and Waggle connected with the first."""
    first, second = peers.kad_p2pd
    second.connect(first.address)
    knows(first, second.peer)
    knows(second, first.peer)
    return first, second


def knows(p2pd, peer):
    """Waits until the peer is in p2pd's table, which it enters only after identify and a first question."""
    def has():
        try:
            # Answers are PeerIDs in binary here, where other questions give them in text.
            return base58_decode(peer) in p2pd.dht(P2PD.GET_CLOSEST, key=base58_decode(peer))
        except RuntimeError:
            return False

    until(f"{peer} is in the table of {p2pd.name}", has)


def we_ask_p2pd(peers):
    first, second = p2pd_servers(peers)
    cid = varied(1)
    second.dht(P2PD.PROVIDE, cid=cid)
    lines = peers.kad_dial(first.address, "kad-wait:2", f"kad-find:{second.peer}", f"kad-closest:{second.peer}", f"kad-providers:{text(cid)}")
    expect(f"/tcp/{second.port}" in only(lines, "kad-find")["addresses"], lines)
    expect(second.peer == only(lines, "kad-closest")["peers"].split()[0], lines)
    expect(second.peer in only(lines, "kad-providers")["providers"], lines)
    return "find, closest, providers"


def we_store_at_p2pd(peers):
    first, second = p2pd_servers(peers)
    cid = varied(2)
    lines = peers.kad_dial(
        first.address, "kad-wait:2", f"kad-provide:{text(cid)}", "kad-put", listen=True)
    found = first.dht(P2PD.FIND_PROVIDERS, cid=cid)
    expect(len(found) == 1, found)
    key = second.dht(P2PD.GET_VALUE, key=b"/pk/" + base58_decode(found[0]))
    expect(key and key[0] == base58_decode(found[0])[2:], key)
    return f"{len(lines)} lines; they find our provider record and our public key"


def p2pd_stores_at_us(peers):
    first, second = p2pd_servers(peers)
    server = peers.kad_waggle
    address, us = server.wait("ready")["addresses"][0], server.wait("ready")["peer"]
    first.connect(address)
    second.connect(address)
    knows(first, us)
    knows(second, us)
    cid = varied(3)
    first.dht(P2PD.PROVIDE, cid=cid)
    key = b"/pk/" + base58_decode(first.peer)
    first.dht(P2PD.PUT_VALUE, key=key, value=base58_decode(first.peer)[2:])
    # Asked of Waggle alone: a new node of ours that knows nobody else.
    lines = peers.kad_dial(address, "kad-wait:1", f"kad-providers:{text(cid)}", f"kad-get:{first.peer}", f"kad-find:{second.peer}")
    expect(first.peer in only(lines, "kad-providers")["providers"], lines)
    expect(only(lines, "kad-get")["value"] == base58_decode(first.peer)[2:].hex(), lines)
    expect(second.dht(P2PD.FIND_PEER, peer=base58_decode(us)) == [us], "we are not found")
    expect(base58_decode(us) in second.dht(P2PD.GET_CLOSEST, key=base58_decode(us)), "we are not among the closest")
    return "provide, put, find, closest"


def we_ask_py(peers):
    py = peers.kad_py.wait("ready")
    cid = varied(4)
    lines = peers.kad_dial(
        py["address"], "kad-wait:1", f"kad-closest:{py['peer']}", f"kad-provide:{text(cid)}", "kad-store:/example/ours=from waggle", listen=True)
    expect(only(lines, "kad-closest")["peers"] == py["peer"], lines)
    # Another node of ours, which knows only py-libp2p, finds both there.
    lines = peers.kad_dial(py["address"], "kad-wait:1", f"kad-providers:{text(cid)}", "kad-value:/example/ours")
    expect("/ip4/127.0.0.1/tcp/" in only(lines, "kad-providers")["providers"], lines)
    expect(only(lines, "kad-value")["value"] == "from waggle", lines)
    return "closest, provide, put, and found again"


def py_asks_us(peers):
    server = peers.kad_waggle.wait("ready")
    address = server["addresses"][0]
    cid = varied(5)
    done = peers.py_kad(address, f"find:{server['peer']}", f"provide:{cid[2:].hex()}", "put:/example/theirs=from py", "get:/example/theirs")
    expect(only(done, "found")["ok"] and only(done, "provided")["ok"] and only(done, "value")["value"] == "from py", done)
    lines = peers.kad_dial(address, "kad-wait:1", f"kad-providers:{text(cid)}", "kad-value:/example/theirs")
    expect(only(done, "connected")["self"] in only(lines, "kad-providers")["providers"], lines)
    expect(only(lines, "kad-value")["value"] == "from py", lines)
    return "find, provide, put, get, and found again at us"


def stranger_through_kubo(peers):
    """A daemon of ours that knows only another daemon of ours gets a file of Kubo, of which it has never heard."""
    kubo, here = peers.kad_kubo, peers.kad_daemon("here")
    here.run("swarm", "connect", kubo.address)
    # Kubo's own file, through us: Kubo tells its local network, which is us.
    path = os.path.join(peers.work, "kad-theirs")
    with open(path, "wb") as file:
        file.write(os.urandom(300_000))
    cid = kubo.ask("add", path)
    reader = peers.kad_daemon("reader")
    # From here on it is told of Kubo, at once or when it asks.
    expect(reader.run("swarm", "peers") == "", "the reader knows somebody already")
    reader.run("swarm", "connect", here.address())
    copy = os.path.join(peers.work, "kad-copy")
    with open(copy, "wb") as output:
        reader.run("cat", cid, output=output, seconds=120)
    with open(copy, "rb") as got, open(path, "rb") as wanted:
        expect(got.read() == wanted.read(), "the file differs")
    expect(kubo.peer in reader.run("swarm", "peers"), "the reader got it from somebody else")
    return "a file of Kubo's, by way of the local network's table"


CHECKS = [
    ("kad: Kubo's file for one who knows only us", stranger_through_kubo),
    ("kad: we find peers and providers through p2pd", we_ask_p2pd),
    ("kad: we provide and put at p2pd", we_store_at_p2pd),
    ("kad: p2pd provides and puts at us", p2pd_stores_at_us),
    ("kad: we find, provide and put at py-libp2p", we_ask_py),
    ("kad: py-libp2p finds, provides and puts at us", py_asks_us),
]
