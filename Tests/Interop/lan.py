"""Discovery in a network of its own: two network namespaces with a cable between them, which nothing outside can see.

lan.py WAGGLE PYTHON     in a fresh user, network and mount namespace (see `check`)

Multicast DNS between Waggle's daemon and py-libp2p and between two daemons; `/dnsaddr` through a name server of the test's own.
"""
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

from nodes import Waggle
from processes import Child, Talker, started, stop_all, until

HERE = os.path.dirname(os.path.abspath(__file__))
HERE_IP, THERE_IP = "10.77.0.1", "10.77.0.2"


def check(peers):
    """Runs this file in namespaces of its own and returns what it saw; says so where the kernel does not allow them."""
    inside = ["unshare", "--user", "--map-root-user", "--net", "--mount"]
    probe = "ip link add probe0 type veth peer name probe1 && ip link set lo up"
    if subprocess.run([*inside, "sh", "-c", probe], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 0:
        return "left out: this kernel lets nobody make network namespaces"
    play = Child("the LAN", [*inside, sys.executable, os.path.abspath(__file__), peers.binary, peers.python], stdout=subprocess.PIPE)
    said = play.process.stdout.read().decode().strip()
    if play.process.wait(60) != 0:
        raise AssertionError(play.text().decode(errors="replace").strip())
    return said


def run(*words):
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


class NameServer:
    """Answers TXT questions on this side's port 53; what is too long for a datagram of old, over TCP only."""

    def __init__(self, texts):
        self.texts = texts
        self.asked = self.asked_again = 0
        self.datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.datagrams.bind((HERE_IP, 53))
        self.streams = socket.create_server((HERE_IP, 53))
        threading.Thread(target=self.serve_datagrams, daemon=True).start()
        threading.Thread(target=self.serve_streams, daemon=True).start()

    def reply(self, question):
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
        return reply, index + 5

    def serve_datagrams(self):
        while True:
            question, asker = self.datagrams.recvfrom(4096)
            self.asked += 1
            reply, end = self.reply(question)
            if len(reply) > 512:
                # Cut off, and said so.
                reply = question[:2] + struct.pack(">HHHHH", 0x8380, 1, 0, 0, 0) + question[12:end]
            self.datagrams.sendto(reply, asker)

    def serve_streams(self):
        while True:
            stream = self.streams.accept()[0].makefile("rwb")
            with stream:
                while length := stream.read(2):
                    self.asked_again += 1
                    reply, _ = self.reply(stream.read(struct.unpack(">H", length)[0]))
                    stream.write(struct.pack(">H", len(reply)) + reply)
                    stream.flush()


def main():
    waggle, python = sys.argv[1:]
    # Leaves through the clean-up, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    run("mount", "-t", "tmpfs", "none", "/mnt")
    with open("/mnt/resolv.conf", "w") as file:
        file.write(f"nameserver {HERE_IP}\n")
    run("mount", "--bind", "/mnt/resolv.conf", "/etc/resolv.conf")
    run("ip", "link", "add", "cable0", "type", "veth", "peer", "name", "cable1")
    try:
        # The other side lives as long as this process.
        other = Child("the other side", ["unshare", "--net", "sleep", "3600"]).process.pid
        there = ["nsenter", "--net", "--target", str(other)]
        until("the other namespace", lambda: os.readlink(f"/proc/{other}/ns/net") != os.readlink("/proc/self/ns/net"))
        run("ip", "link", "set", "cable1", "netns", str(other))
        for prefix, cable, last in (((), "cable0", 1), (there, "cable1", 2)):
            run(*prefix, "ip", "link", "set", "lo", "up")
            run(*prefix, "ip", "address", "add", f"10.77.0.{last}/24", "dev", cable)
            run(*prefix, "ip", "address", "add", f"fd77::{last}/64", "dev", cable, "nodad")
            run(*prefix, "ip", "link", "set", cable, "up")
        with tempfile.TemporaryDirectory(prefix="waggle-lan-") as folder:
            said = play(waggle, python, folder, there)
            problems = stop_all()
            assert not problems, "\n".join(problems)
            print(said)
    except Exception as error:
        print(f"{type(error).__name__}: {error}", *(child.tail() for child in started), sep="\n", file=sys.stderr)
        sys.exit(1)
    finally:
        stop_all()


def play(waggle, python, folder, there):
    everywhere = ["/ip4/0.0.0.0/tcp/4701", "/ip6/::/tcp/4701"]

    def daemon(name, listen, prefix=()):
        settings = {"Addresses.Swarm": listen, "Discovery.MDNS.Enabled": True}
        return Waggle(waggle, folder, name, settings=settings, prefix=prefix, log="info")

    def sees(one, other):
        return other in one.run("swarm", "peers")

    one = daemon("one", everywhere)
    # Among daemons.
    start = time.monotonic()
    two = daemon("two", everywhere, there)
    until("two daemons find each other", lambda: sees(one, two.peer) and sees(two, one.peer))
    among = time.monotonic() - start
    two.stop()
    until("the connection ends", lambda: not sees(one, two.peer))

    # With py-libp2p.
    py = Talker("py-libp2p", [*there, python, os.path.join(HERE, "pypeer.py"), "mdns", THERE_IP, "4002"])
    peer = py.wait("ready")["peer"]
    until("Waggle finds py-libp2p", lambda: sees(one, peer))
    found = py.wait("found", peer=one.peer)["addresses"]
    assert any(address.startswith("/ip4/10.77.0.1/tcp/4701") for address in found), found
    assert not any("127.0.0.1" in address for address in found), found
    py.stop()

    # Names.
    three = daemon("three", ["/ip4/10.77.0.2/tcp/4703"], there)
    for here, other in ((one, three), (three, one)):
        try:
            here.run("swarm", "disconnect", f"/p2p/{other.peer}")
        except RuntimeError as error:
            assert "not found" in str(error), error
    truth = f"dnsaddr=/ip4/10.77.0.2/tcp/4703/p2p/{three.peer}"
    server = NameServer({
        "_dnsaddr.net.test": [truth, "dnsaddr=/ip4/10.77.0.9/tcp/1"],
        "_dnsaddr.long.test": [f"dnsaddr=/ip4/10.77.0.{number}/tcp/4703/p2p/12D3KooWA6EGcHyLd5zLwJkP8X5sVTQpGqDwgBR3yqkgXJQaMcxR" for number in range(100, 140)] + [truth],
    })
    said = one.run("swarm", "connect", f"/dnsaddr/net.test/p2p/{three.peer}")
    assert "success" in said, said
    one.run("swarm", "connect", "/dnsaddr/net.test")
    one.run("swarm", "disconnect", f"/p2p/{three.peer}")
    said = one.run("swarm", "connect", f"/dnsaddr/long.test/p2p/{three.peer}")
    assert "success" in said and server.asked_again, said
    try:
        one.run("swarm", "connect", "/dnsaddr/none.test/p2p/12D3KooWA6EGcHyLd5zLwJkP8X5sVTQpGqDwgBR3yqkgXJQaMcxR")
    except RuntimeError as error:
        assert "no such name" in str(error), error
    else:
        raise AssertionError("a name that nobody has was reached")
    # Another cable, later: what listens everywhere follows.
    run("ip", "link", "add", "later0", "type", "veth", "peer", "name", "later1")
    run("ip", "address", "add", "10.78.0.1/24", "dev", "later0")
    run("ip", "link", "set", "later0", "up")
    until("a cable is noticed", lambda: "/ip4/10.78.0.1/tcp/4701" in one.run("swarm", "addrs", "listen"))
    run("ip", "link", "delete", "later0")
    until("its end is noticed", lambda: "/ip4/10.78.0.1/tcp/4701" not in one.run("swarm", "addrs", "listen"))
    log = one.text().lower()
    assert b"warning" not in log or b"mdns" not in log, log
    return f"two daemons after {among:.1f} s, py-libp2p both ways, /dnsaddr with {server.asked} questions, {server.asked_again} of them again over TCP"


if __name__ == "__main__":
    main()
