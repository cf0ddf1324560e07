"""Checks of names and of routing over HTTP: among daemons, and with the hash tables of other implementations."""
import json
import os
import subprocess
import urllib.error
import urllib.request

from p2pd import P2PD, base58_decode
from processes import until

RECORD = "application/vnd.ipfs.ipns-record"


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


def output_of(node, *arguments):
    """The bytes that a command writes."""
    return subprocess.run([node.binary, *arguments], env=node.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True, timeout=120).stdout


def add(peers, node, text):
    path = os.path.join(peers.work, "named.txt")
    with open(path, "w") as file:
        file.write(text)
    return node.run("add", "-Q", path)


def peer_of(node, name):
    """The PeerID in base58 that a name of the node stands for."""
    return node.run("key", "ls", "-l", "--ipns-base=b58mh").split(f" {name}")[0].split()[-1]


def eventually(question, seconds=180):
    """What `question` says as soon as it is true; until then it may fail."""
    failures = []

    def ask():
        try:
            return question()
        except RuntimeError as error:
            failures[:] = [error]
            return None

    try:
        return until("the answer", ask, seconds)
    except AssertionError as late:
        raise AssertionError(f"{late}; {failures}")


def among_daemons(peers):
    """Published on one daemon, resolved and read on another one, through the local network's table."""
    writer, reader = peers.kad_daemon("writer"), peers.kad_daemon("resolver")
    reader.run("swarm", "connect", writer.address())
    first, second = add(peers, writer, "first\n"), add(peers, writer, "second\n")
    eventually(lambda: writer.run("stats", "dht", "lan").startswith("DHT lan (1"))
    for kind in ("ed25519", "ml-dsa-65", "slh-dsa-shake-128s"):
        name = writer.run("key", "gen", f"--type={kind}", f"key-{kind}")
        for cid, text in ((first, "first"), (second, "second")):
            said = writer.run("name", "publish", f"--key=key-{kind}", f"/ipfs/{cid}")
            expect(said == f"Published to {name}: /ipfs/{cid}", said)
            expect(reader.run("name", "resolve", "-n", name) == f"/ipfs/{cid}", f"{kind} is not resolved")
        expect(reader.run("cat", f"/ipns/{name}") == "second", f"{kind} is not read")
        expect(reader.run("resolve", f"/ipns/{name}") == f"/ipfs/{second}", kind)
        record = os.path.join(peers.work, "record")
        with open(record, "wb") as file:
            file.write(output_of(reader, "routing", "get", f"/ipns/{name}"))
        inspected = json.loads(reader.run("name", "inspect", "--enc=json", f"--verify={name}", record))
        expect(inspected["Validation"]["Valid"] and inspected["Entry"]["Sequence"] == 1, inspected)
    expect(eventually(lambda: reader.run("routing", "findprovs", "-n", "1", first)), "no provider")
    peer = json.loads(writer.run("id"))["ID"]
    expect("/127.0.0.1/" in reader.run("routing", "findpeer", peer), "the peer is not found")
    return "three kinds of keys, published twice, resolved and read"


def p2pd_keeps(peers):
    """go-libp2p's validator takes our records, newer ones in place of older ones, and no forged ones."""
    first, second = peers.kad_p2pd
    second.connect(first.address)
    node = peers.kad_daemon("signer")
    cid = add(peers, node, "kept\n")
    eventually(lambda: base58_decode(second.peer) in first.dht(P2PD.GET_CLOSEST, key=base58_decode(second.peer)))
    kept = 0
    for kind in ("ed25519", "rsa", "secp256k1"):
        for compatible in ("true", "false"):
            name = f"{kind}-{compatible}"
            try:
                node.run("key", "gen", f"--type={kind}", name)
            except RuntimeError:
                break
            key = b"/ipns/" + base58_decode(peer_of(node, name))
            for path in (f"/ipfs/{cid}", f"/ipfs/{cid}/two"):
                node.run("name", "publish", "--allow-offline", "--resolve=false", f"--v1compat={compatible}", f"--key={name}", path)
                record = output_of(node, "name", "get", node.run("key", "ls", "-l").split(f" {name}")[0].split()[-1])
                first.dht(P2PD.PUT_VALUE, key=key, value=record)
                expect(second.dht(P2PD.GET_VALUE, key=key) == [record], f"{name}: another record comes back")
                kept += 1
            forged = bytearray(record)
            forged[-1] ^= 1
            try:
                first.dht(P2PD.PUT_VALUE, key=key, value=bytes(forged))
            except RuntimeError:
                continue
            raise AssertionError("a forged record was taken")
    return f"{kept} records"


def through_kubo(peers):
    """A name that Kubo's table keeps, for a daemon that knows only Kubo; what it stands for too."""
    kubo = peers.kad_kubo
    writer, reader = peers.kad_daemon("namer"), peers.kad_daemon("stranger")
    for node in (writer, reader):
        node.run("swarm", "connect", kubo.address)
        eventually(lambda: kubo.peer in node.run("stats", "dht", "lan"))
    cid = add(peers, writer, "by way of Kubo\n")
    name = writer.run("name", "publish", "-Q", f"/ipfs/{cid}")
    expect(reader.run("name", "resolve", name) == f"/ipfs/{cid}", "the name is not resolved")
    eventually(lambda: json.loads(writer.run("id"))["ID"] in reader.run("routing", "findprovs", cid))
    expect(reader.run("cat", f"/ipns/{name}") == "by way of Kubo", "the file differs")
    return "resolved and read"


def as_messages(peers):
    """Daemons without a hash table that follow names by publish-subscribe."""
    settings = {"Routing_Type": "none", "Ipns_UsePubsub": True}
    writer, reader = peers.kad_daemon("author", **settings), peers.kad_daemon("follower", **settings)
    reader.run("swarm", "connect", writer.address())
    expect(writer.run("name", "pubsub", "state") == "enabled", "not enabled")
    for text in ("one\n", "two\n"):
        cid = add(peers, writer, text)
        name = writer.run("name", "publish", "-Q", f"/ipfs/{cid}")
        eventually(lambda: reader.run("name", "resolve", "-n", name) == f"/ipfs/{cid}")
    expect(reader.run("name", "pubsub", "subs") == f"/ipns/{name}", "the name is not followed")
    expect(reader.run("name", "pubsub", "cancel", name) == "canceled", "it cannot be cancelled")
    return "published twice, followed, cancelled"


def ask(url, method="GET", accept=None, body=None, kind=None):
    """Status, type and body of an answer."""
    request = urllib.request.Request(url, data=body, method=method)
    for field, value in (("Accept", accept), ("Content-Type", kind)):
        if value:
            request.add_header(field, value)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers.get("Content-Type"), answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("Content-Type"), error.read(), error.headers


def over_http(peers):
    """The server as the specification has it, and a daemon without a hash table that asks it."""
    server = peers.kad_daemon("server")
    partner = peers.kad_daemon("partner")
    partner.run("swarm", "connect", server.address())
    eventually(lambda: partner.run("stats", "dht", "lan").startswith("DHT lan (1"))
    cid = add(peers, partner, "asked over HTTP\n")
    partner_id, server_id = (json.loads(node.run("id"))["ID"] for node in (partner, server))
    name = partner.run("name", "publish", "-Q", f"/ipfs/{cid}")
    eventually(lambda: partner_id in server.run("routing", "findprovs", cid))
    base = server.gateway + "/routing/v1"

    status, kind, body, headers = ask(f"{base}/providers/{cid}")
    expect(status == 200 and kind == "application/json" and headers["Access-Control-Allow-Origin"] == "*", (status, kind))
    expect([p["ID"] for p in json.loads(body)["Providers"]] == [partner_id], body)
    status, kind, body, _ = ask(f"{base}/providers/{cid}", accept="application/x-ndjson")
    expect(kind == "application/x-ndjson" and json.loads(body.splitlines()[0])["Schema"] == "peer", body)
    status, _, body, _ = ask(f"{base}/peers/{partner_id}")
    expect(status == 200 and json.loads(body)["Peers"][0]["Addrs"], body)
    status, kind, record, headers = ask(f"{base}/ipns/{name}")
    expect(status == 200 and kind == RECORD and "max-age" in headers["Cache-Control"] and headers["Etag"], (status, kind))
    for url, method, wanted in (
            ("/providers/x", "GET", 422), ("/nothing", "GET", 400), ("/providers/", "PUT", 501), (f"/ipns/{name}", "PUT", 406)):
        expect(ask(base + url, method, body=b"x" if method == "PUT" else None)[0] == wanted, url)

    # A daemon that has only this router, as finder and as publisher.
    client = peers.kad_daemon(
        "client", Routing_Type="delegated", Routing_DelegatedRouters=[server.gateway], Ipns_DelegatedPublishers=[base])
    expect(client.run("routing", "findprovs", cid) == partner_id, "no provider")
    expect("/127.0.0.1/" in client.run("routing", "findpeer", server_id), "no addresses")
    expect(client.run("name", "resolve", name) == f"/ipfs/{cid}", "the name is not resolved")
    expect(client.run("cat", f"/ipns/{name}") == "asked over HTTP", "the file is not found")
    own = client.run("name", "publish", "-Q", "--allow-delegated", f"/ipfs/{cid}")
    expect(partner.run("name", "resolve", own) == f"/ipfs/{cid}", "what was published over HTTP is not resolved")
    expect(ask(f"{base}/ipns/{own}", "PUT", body=record, kind=RECORD)[0] == 400, "a foreign record was taken")
    expect(ask(f"{base}/ipns/{name}", "PUT", body=record, kind=RECORD)[0] == 200, "the record was not taken again")
    return "lists, streams, records; a daemon without a hash table finds, reads and publishes"


CHECKS = [
    ("names: among daemons, keys of three kinds", among_daemons),
    ("names: p2pd keeps our records", p2pd_keeps),
    ("names: Kubo keeps our name for a stranger", through_kubo),
    ("names: as messages, without a hash table", as_messages),
    ("routing over HTTP: server, client, publisher", over_http),
]
