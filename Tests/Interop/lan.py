"""Discovery in a network of its own: two network namespaces with a cable between them, which nothing outside can see.

lan.py WAGGLE PYTHON     in a fresh user, network and mount namespace (see `check`)

Multicast DNS between Waggle's daemon and py-libp2p and between two daemons; `/dnsaddr` through a name server of the test's own.
"""
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
HERE_IP, THERE_IP = "10.77.0.1", "10.77.0.2"


def check(waggle, python):
    """Runs this file in namespaces of its own and returns what it saw; says so where the kernel does not allow them."""
    inside = ["unshare", "--user", "--map-root-user", "--net", "--mount"]
    probe = "ip link add probe0 type veth peer name probe1 && ip link set lo up"
    if subprocess.run([*inside, "sh", "-c", probe], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 0:
        return "left out: this kernel lets nobody make network namespaces"
    done = subprocess.run(
        [*inside, sys.executable, os.path.abspath(__file__), waggle, python], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        timeout=180)
    if done.returncode != 0:
        raise AssertionError(done.stderr.decode(errors="replace").strip()[-1500:])
    return done.stdout.decode().strip()


def run(*words):
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def until(what, condition, seconds=40):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.1)


class Daemon:
    def __init__(self, waggle, folder, name, listen, prefix=()):
        self.waggle, self.prefix = waggle, list(prefix)
        self.environment = dict(os.environ, WAGGLE_PATH=os.path.join(folder, name))
        self("init", "--profile=test")
        self("config", "--json", "Addresses.Swarm", json.dumps(listen))
        self("config", "--json", "Discovery.MDNS.Enabled", "true")
        self.log = open(os.path.join(folder, name + ".log"), "w+b")
        self.process = subprocess.Popen(
            [*self.prefix, waggle, "daemon"], env=self.environment, stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT)
        until("the daemon gets ready", lambda: b"Daemon is ready" in self.text(), 30)
        self.peer = self("id", "-f", "<id>")

    def text(self):
        self.log.seek(0)
        return self.log.read()

    def __call__(self, *words):
        done = subprocess.run([*self.prefix, self.waggle, *words], env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        if done.returncode != 0:
            raise AssertionError(f"waggle {' '.join(words)}: {done.stderr.decode().strip()}")
        return done.stdout.decode().strip()

    def peers(self):
        return self("swarm", "peers")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()


class NameServer:
    """Answers TXT questions on this side's port 53."""

    def __init__(self, texts):
        self.texts = texts
        self.asked = 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((HERE_IP, 53))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            question, asker = self.socket.recvfrom(4096)
            self.asked += 1
            index, labels = 12, []
            while question[index]:
                labels.append(question[index + 1:index + 1 + question[index]].decode())
                index += question[index] + 1
            kind = struct.unpack(">H", question[index + 1:index + 3])[0]
            texts = self.texts.get(".".join(labels), []) if kind == 16 else []
            reply = question[:2] + struct.pack(">HHHHH", 0x8180 if texts else 0x8183, 1, len(texts), 0, 0) + question[12:index + 5]
            for text in texts:
                data = bytes([len(text)]) + text.encode()
                reply += b"\xc0\x0c" + struct.pack(">HHIH", 16, 1, 60, len(data)) + data
            self.socket.sendto(reply, asker)


def main():
    waggle, python = sys.argv[1:]
    run("mount", "-t", "tmpfs", "none", "/mnt")
    with open("/mnt/resolv.conf", "w") as file:
        file.write(f"nameserver {HERE_IP}\n")
    run("mount", "--bind", "/mnt/resolv.conf", "/etc/resolv.conf")
    run("ip", "link", "add", "cable0", "type", "veth", "peer", "name", "cable1")
    # The other side lives as long as this process.
    other = subprocess.Popen(["unshare", "--net", "sleep", "300"])
    there = ["nsenter", "--net", "--target", str(other.pid)]
    try:
        until("the other namespace", lambda: os.readlink(f"/proc/{other.pid}/ns/net") != os.readlink("/proc/self/ns/net"))
        run("ip", "link", "set", "cable1", "netns", str(other.pid))
        for prefix, cable, last in (((), "cable0", 1), (there, "cable1", 2)):
            run(*prefix, "ip", "link", "set", "lo", "up")
            run(*prefix, "ip", "address", "add", f"10.77.0.{last}/24", "dev", cable)
            run(*prefix, "ip", "address", "add", f"fd77::{last}/64", "dev", cable, "nodad")
            run(*prefix, "ip", "link", "set", cable, "up")
        with tempfile.TemporaryDirectory(prefix="waggle-lan-") as folder:
            print(play(waggle, python, folder, there))
    finally:
        other.kill()


def play(waggle, python, folder, there):
    everywhere = ["/ip4/0.0.0.0/tcp/4701", "/ip6/::/tcp/4701"]
    running = []
    try:
        one = Daemon(waggle, folder, "one", everywhere)
        running.append(one)
        # Among daemons.
        start = time.monotonic()
        two = Daemon(waggle, folder, "two", everywhere, there)
        running.append(two)
        until("two daemons find each other", lambda: two.peer in one.peers() and one.peer in two.peers())
        among = time.monotonic() - start
        two.stop()
        running.remove(two)
        until("the connection ends", lambda: two.peer not in one.peers())

        # With py-libp2p.
        heard = open(os.path.join(folder, "py.log"), "w+b")
        py = subprocess.Popen([*there, python, os.path.join(HERE, "pypeer.py"), "mdns", THERE_IP, "4002"], stdin=subprocess.DEVNULL, stdout=heard, stderr=heard)
        try:
            def lines():
                heard.seek(0)
                return [json.loads(line) for line in heard.read().splitlines() if line.startswith(b"{")]

            until("py-libp2p gets ready", lambda: any(line["event"] == "ready" for line in lines()))
            peer = next(line["peer"] for line in lines() if line["event"] == "ready")
            until("Waggle finds py-libp2p", lambda: peer in one.peers())
            until("py-libp2p finds Waggle", lambda: any(line["event"] == "found" and line["peer"] == one.peer for line in lines()))
            found = next(line["addresses"] for line in lines() if line["event"] == "found" and line["peer"] == one.peer)
            assert any(address.startswith("/ip4/10.77.0.1/tcp/4701") for address in found), found
            assert not any("127.0.0.1" in address for address in found), found
        finally:
            py.kill()
            py.wait()

        # Names.
        three = Daemon(waggle, folder, "three", ["/ip4/10.77.0.2/tcp/4703"], there)
        running.append(three)
        for daemon in (one, three):
            daemon("swarm", "disconnect", f"/p2p/{three.peer if daemon is one else one.peer}") if (three.peer in one.peers()) else None
        server = NameServer({"_dnsaddr.net.test": [f"dnsaddr=/ip4/10.77.0.2/tcp/4703/p2p/{three.peer}", "dnsaddr=/ip4/10.77.0.9/tcp/1"]})
        said = one("swarm", "connect", f"/dnsaddr/net.test/p2p/{three.peer}")
        assert "success" in said, said
        one("swarm", "connect", "/dnsaddr/net.test")
        refused = subprocess.run([waggle, "swarm", "connect", f"/dnsaddr/none.test/p2p/12D3KooWA6EGcHyLd5zLwJkP8X5sVTQpGqDwgBR3yqkgXJQaMcxR"], env=one.environment, capture_output=True, timeout=60)
        assert refused.returncode != 0 and b"no such name" in refused.stderr, refused.stderr
        log = one.text()
        assert b"warning" not in log.lower() or b"mdns" not in log.lower(), log
        return f"two daemons after {among:.1f} s, py-libp2p both ways, /dnsaddr with {server.asked} questions"
    finally:
        for daemon in running:
            daemon.stop()


if __name__ == "__main__":
    main()
