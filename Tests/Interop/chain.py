"""Daemons of chain networks: /animica/1 between processes."""
import json
import os
import subprocess

from nodes import Waggle


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


def check(peers):
    """Nodes of one chain exchange files; another chain and another policy are refused with words that say why, on both sides."""
    binary, folder, nodes = peers.binary, peers.work, {}
    only = {"Waggle.Chain": 7, "Waggle.ChainChannel": "only"}
    nodes["alice"] = Waggle(binary, folder, "alice", "--identity=ml-dsa-65", settings=only)
    nodes["bob"] = Waggle(binary, folder, "bob", "--identity=slh-dsa-shake-128s", settings={"Waggle.Chain": "7"})
    nodes["carol"] = Waggle(binary, folder, "carol", "--identity=ml-dsa-65", settings={**only, "Waggle.Chain": 8})
    strict = ["ML-KEM-768", "ML-DSA-65", "ChaCha20-Poly1305", "SHA3-256"]
    nodes["dave"] = Waggle(binary, folder, "dave", "--identity=ml-dsa-65", settings={**only, "Waggle.AlgorithmPolicy": strict})
    alice, bob = nodes["alice"], nodes["bob"]
    bob.run("swarm", "connect", alice.address())
    said = bob.run("swarm", "peers", "-v")
    expect("/animica/1" in said and "ML-KEM-768 mutual" in said and "ML-DSA-65" in said and "verified" in said, said)
    expect("SLH-DSA-SHAKE-128s" in alice.run("swarm", "peers", "-v"), "the hash-based identity is not named")
    expect("Average latency" in bob.run("ping", "-n", "3", json.loads(alice.run("id"))["ID"]), "no answer to a ping")
    path = os.path.join(folder, "file")
    with open(path, "wb") as file:
        file.write(os.urandom(8 << 20))
    cid = alice.run("add", "-Q", path)
    copy = os.path.join(folder, "copy")
    with open(copy, "wb") as file:
        bob.run("cat", cid, output=file)
    with open(path, "rb") as left, open(copy, "rb") as right:
        expect(left.read() == right.read(), "the file differs")
    for name, words in ("carol", "this node is on chain 8, the peer on chain 7"), ("dave", "algorithm policy has the root"):
        try:
            nodes[name].run("swarm", "connect", alice.address())
        except RuntimeError as error:
            expect("the peer refused" in str(error) and words in str(error), f"{name}: {error}")
        else:
            raise AssertionError(f"{name} connected")
    classical = dict(bob.environment, WAGGLE_PATH=os.path.join(folder, "eve"))
    subprocess.run([binary, "init", "--profile=test"], env=classical, check=True, capture_output=True)
    subprocess.run([binary, "config", "--json", "Waggle.Chain", "7"], env=classical, check=True, capture_output=True)
    done = subprocess.run([binary, "daemon"], env=classical, capture_output=True, text=True, timeout=60)
    expect(done.returncode != 0 and "needs an identity of ML-DSA-65" in done.stderr + done.stdout, done.stderr + done.stdout)
    nodes["two"] = two = Waggle(binary, folder, "two", "--identity=dual", settings=only)
    names = json.loads(two.run("id"))
    for name in names["ID"], names["SecondID"]:
        bob.run("swarm", "connect", two.address().rpartition("/")[0] + "/" + name)
        said = bob.run("swarm", "peers", "-v")
        expect(names["ID"] in said and "Ed25519+ML-DSA-65" in said, said)
        bob.run("swarm", "disconnect", "/p2p/" + names["ID"])
    two.run("swarm", "connect", alice.address())
    expect("Ed25519+ML-DSA-65" in alice.run("swarm", "peers", "-v"), "the second identity is not named")
    pair = bob.run("swarm", "identities")
    expect(pair.startswith(f"{names['ID']} {names['SecondID']} until "), pair)
    bob.run("swarm", "identities", "rm", names["SecondID"])
    expect(bob.run("swarm", "identities") == "", "the pair is not forgotten")
    return ("8 MiB between ML-DSA and SLH-DSA identities, a node with two; another chain, another policy and a classical identity "
            "are refused plainly")
