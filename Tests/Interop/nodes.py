"""Nodes that exchange files: Waggle's daemon, and Kubo."""
import base64
import functools
import json
import os
import select
import signal
import subprocess
import sys
import time

from processes import GO_LOG, Child, until

HERE = os.path.dirname(os.path.abspath(__file__))


class Waggle(Child):
    """A daemon with a repository of its own. It must end cleanly when it is asked to."""

    good_ends = (0,)

    def __init__(self, binary, folder, name, *init, settings={}, environment={}, log="debug", prefix=()):
        self.binary, self.prefix = binary, list(prefix)
        self.environment = {**os.environ, "WAGGLE_PATH": os.path.join(folder, name), **environment}
        self.run("init", "--profile=test", *init)
        for key, value in settings.items():
            self.run("config", "--json", key, json.dumps(value))
        super().__init__(name, [*self.prefix, binary, "daemon"], env={**self.environment, "WAGGLE_LOG_LEVEL": log})
        until(f"{name} gets ready", lambda: b"Daemon is ready" in self.text() or self.process.poll() is not None)
        if self.process.poll() is not None:
            raise RuntimeError(self.text().decode(errors="replace"))

    def run(self, *arguments, output=None, seconds=300):
        """The standard output of a command, or where it was written to."""
        done = subprocess.run(
            [*self.prefix, self.binary, *arguments], env=self.environment, stdin=subprocess.DEVNULL, stdout=output or subprocess.PIPE, stderr=subprocess.PIPE,
            timeout=seconds)
        if done.returncode != 0:
            raise RuntimeError(f"waggle {' '.join(arguments)}: {done.stderr.decode().strip()[-500:]}")
        return None if output else done.stdout.decode().strip()

    def said(self, name):
        with open(os.path.join(self.environment["WAGGLE_PATH"], name)) as file:
            return file.read().strip()

    @property
    def api(self):
        """Where the daemon's RPC API listens."""
        return self.said("api")

    @property
    def gateway(self):
        """Where the daemon's gateway listens."""
        return self.said("gateway")

    @functools.cached_property
    def peer(self):
        return self.run("id", "-f", "<id>")

    def address(self):
        """On the loopback, with its PeerID."""
        return next(a for a in json.loads(self.run("id"))["Addresses"] if "/127.0.0.1/" in a)


class Subscription(Child):
    """`waggle pubsub sub`, and what it has printed so far."""

    def __init__(self, daemon, topic):
        super().__init__(
            f"subscription of {daemon.name}", [daemon.binary, "pubsub", "sub", "--enc=json", topic], env=daemon.environment, stdout=subprocess.PIPE)
        self.messages = []
        self.pending = b""
        until("the subscription is there", lambda: topic in daemon.run("pubsub", "ls").split())

    def wait(self, data, seconds=180):
        """The PeerID of who said `data`."""
        end = time.monotonic() + seconds
        while True:
            for author, said in self.messages:
                if said == data:
                    return author
            if time.monotonic() > end:
                raise RuntimeError(f"{data} did not arrive; there are {self.messages}")
            if select.select([self.process.stdout], [], [], 0.5)[0]:
                part = os.read(self.process.stdout.fileno(), 1 << 16)
                if not part:
                    raise RuntimeError(f"the subscription ended before {data}; there are {self.messages}")
                self.pending += part
            *lines, self.pending = self.pending.split(b"\n")
            for line in lines:
                message = json.loads(line)
                text = message["data"][1:]
                self.messages.append((message["from"], base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))))


class Kubo(Child):
    """Kubo 0.22 in a process of its own; see kubo.py."""

    def __init__(self, library, folder, routing="none"):
        name = f"kubo-{routing}"
        super().__init__(
            name, [sys.executable, os.path.join(HERE, "kubo.py"), library, os.path.join(folder, name), routing],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder, env=GO_LOG)
        self.peer = self.ask("id")
        self.address = json.loads(self.ask("addresses"))[0] + "/p2p/" + self.peer

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
        return super().stop(signal.SIGKILL)
