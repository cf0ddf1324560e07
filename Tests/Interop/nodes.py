"""Nodes that exchange files: Waggle's daemon, and Kubo."""
import base64
import json
import os
import select
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))


class Waggle:
    """A daemon with a repository of its own."""

    def __init__(self, binary, folder, name, *init, settings={}):
        self.binary = binary
        self.environment = dict(os.environ, WAGGLE_PATH=os.path.join(folder, name))
        self.run("init", "--profile=test", *init)
        for key, value in settings.items():
            self.run("config", "--json", key, json.dumps(value))
        self.log = open(os.path.join(folder, name + ".log"), "w+b")
        self.process = subprocess.Popen(
            [binary, "daemon"], env=self.environment, stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT)
        for _ in range(600):
            self.log.seek(0)
            if b"Daemon is ready" in self.log.read():
                break
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        else:
            raise RuntimeError("the daemon does not get ready")
        if self.process.poll() is not None:
            self.log.seek(0)
            raise RuntimeError(self.log.read().decode())

    def run(self, *arguments, output=None, seconds=300):
        """The standard output of a command, or where it was written to."""
        done = subprocess.run(
            [self.binary, *arguments], env=self.environment, stdin=subprocess.DEVNULL, stdout=output or subprocess.PIPE, stderr=subprocess.PIPE,
            timeout=seconds)
        if done.returncode != 0:
            raise RuntimeError(f"waggle {' '.join(arguments)}: {done.stderr.decode().strip()[-500:]}")
        return None if output else done.stdout.decode().strip()

    @property
    def gateway(self):
        """Where the daemon's gateway listens."""
        with open(os.path.join(self.environment["WAGGLE_PATH"], "gateway")) as file:
            return file.read().strip()

    def address(self):
        """On the loopback, with its PeerID."""
        return next(a for a in json.loads(self.run("id"))["Addresses"] if "/127.0.0.1/" in a)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Subscription:
    """`waggle pubsub sub`, and what it has printed so far."""

    def __init__(self, daemon, topic):
        self.process = subprocess.Popen(
            [daemon.binary, "pubsub", "sub", "--enc=json", topic], env=daemon.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL)
        self.messages = []
        self.pending = b""

    def wait(self, data, seconds=30):
        """The PeerID of who said `data`."""
        end = time.monotonic() + seconds
        while True:
            for author, said in self.messages:
                if said == data:
                    return author
            if time.monotonic() > end:
                raise RuntimeError(f"{data} did not arrive; there are {self.messages}")
            if select.select([self.process.stdout], [], [], 0.5)[0]:
                self.pending += os.read(self.process.stdout.fileno(), 1 << 16)
            *lines, self.pending = self.pending.split(b"\n")
            for line in lines:
                message = json.loads(line)
                text = message["data"][1:]
                self.messages.append((message["from"], base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))))

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Kubo:
    """Kubo 0.22 in a process of its own; see kubo.py."""

    def __init__(self, library, folder, port, routing="none"):
        self.address = f"/ip4/127.0.0.1/tcp/{port}"
        self.log = open(os.path.join(folder, f"kubo-{routing}.log"), "wb")
        self.process = subprocess.Popen(
            [sys.executable, os.path.join(HERE, "kubo.py"), library, os.path.join(folder, f"kubo-{routing}"), str(port), routing],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, cwd=folder)
        self.peer = self.ask("id")
        self.address += "/p2p/" + self.peer

    def ask(self, *request, seconds=300):
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            raise RuntimeError(f"Kubo does not answer {request[0]} within {seconds} s")
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"Kubo ended at {request[0]}")
        return json.loads(line)

    def stop(self):
        # It ignores SIGTERM.
        self.process.kill()
        self.process.wait()
