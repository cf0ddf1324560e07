"""Exchanges files with Kubo 0.22 both ways. Started by scripts/interop.

exchange.py WAGGLE KUBO_LIBRARY
"""
import filecmp
import json
import os
import pathlib
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time

waggle, library = sys.argv[1:3]
HERE = pathlib.Path(__file__).resolve().parent
# The largest is 256 MB.
SIZES = [0, 1, 262_144, 262_145, 174 * 262_144, 175 * 262_144, 256_000_000]
# A transfer that takes longer has stalled.
PATIENCE = 120


def expect(condition, text):
    if not condition:
        sys.exit(f"FAILED {text}")


class Kubo:
    def __init__(self, folder, port):
        self.log = open(folder / "kubo.log", "w")
        self.process = subprocess.Popen(
            [sys.executable, HERE / "kubo_node.py", library, folder / "kubo", str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self.log, text=True)
        expect(self.answer() == "ready", "Kubo did not start")
        self.address = f"/ip4/127.0.0.1/tcp/{port}/p2p/{self('id')}"

    def answer(self):
        return json.loads(self.process.stdout.readline())

    def __call__(self, *words):
        print(json.dumps([str(word) for word in words]), file=self.process.stdin, flush=True)
        return self.answer()

    def stop(self):
        # It does not react to being asked.
        self.process.kill()
        self.process.wait()


class Waggle:
    def __init__(self, folder):
        self.environment = {**os.environ, "WAGGLE_PATH": str(folder / "waggle")}
        self("init", "--profile=test")
        self.process = subprocess.Popen([waggle, "daemon"], env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for line in self.process.stdout:
            if b"Daemon is ready" in line:
                break
        else:
            sys.exit("FAILED the daemon did not start")

    def __call__(self, *words, **options):
        result = subprocess.run(
            [waggle, *map(str, words)], env=self.environment, stdout=options.get("output", subprocess.PIPE), stderr=subprocess.PIPE,
            timeout=PATIENCE)
        expect(result.returncode == 0, f"waggle {words[0]}: {result.stderr.decode()}")
        return (result.stdout or b"").decode().strip()

    def stop(self):
        self.process.terminate()
        expect(self.process.wait(30) == 0, "the daemon did not end cleanly")


def same_tree(left, right):
    compared = filecmp.dircmp(left, right)
    if compared.left_only or compared.right_only or compared.diff_files or compared.funny_files:
        return False
    return all(same_tree(f"{left}/{name}", f"{right}/{name}") for name in compared.common_dirs)


def rate(size, began):
    return f"{size / 1e6 / max(1e-3, time.monotonic() - began):.0f} MB/s"


folder = pathlib.Path(tempfile.mkdtemp(prefix="waggle-exchange-"))
with socket.create_server(("127.0.0.1", 0)) as server:
    port = server.getsockname()[1]
peers = []
try:
    kubo = Kubo(folder, port)
    peers.append(kubo)
    node = Waggle(folder)
    peers.append(node)
    node("swarm", "connect", kubo.address)
    chance = random.Random(7)
    for size in SIZES:
        for way in ["from Kubo", "to Kubo"]:
            path, copy = folder / "file", folder / "copy"
            path.write_bytes(chance.randbytes(size))
            copy.unlink(missing_ok=True)
            began = time.monotonic()
            if way == "from Kubo":
                cid = kubo("add", path)
                expect(cid == node("add", "-Q", "-n", path), f"the CIDs of {size} bytes differ")
                began = time.monotonic()
                with open(copy, "wb") as output:
                    node("cat", cid, output=output)
            else:
                cid = node("add", "-Q", path)
                began = time.monotonic()
                expect(kubo("download", cid, copy) == 0, f"Kubo could not fetch {size} bytes")
            expect(filecmp.cmp(path, copy, shallow=False), f"{size} bytes {way} came out different")
            print(f"ok  kubo: {size} bytes {way}, {rate(size, began)}", flush=True)
    tree = folder / "tree"
    for index in range(300):
        place = tree / f"folder {index % 9}" / ("ä" * (index % 4 + 1))
        place.mkdir(parents=True, exist_ok=True)
        (place / f"file-{index}").write_bytes(chance.randbytes(chance.randrange(0, 3000)))
    cid = node("add", "-r", "-Q", tree)
    expect(cid == kubo("add", tree), "the CIDs of a tree differ")
    expect(kubo("download", cid, folder / "tree-there") == 0 and same_tree(tree, folder / "tree-there"), "a tree to Kubo")
    print("ok  kubo: a tree to Kubo")
    (tree / "new").write_bytes(b"new")
    cid = kubo("add", tree)
    node("get", cid, "-o", folder / "tree-here")
    expect(same_tree(tree, folder / "tree-here"), "a tree from Kubo")
    print("ok  kubo: a tree from Kubo")
finally:
    for peer in peers:
        peer.stop()
    shutil.rmtree(folder, ignore_errors=True)
