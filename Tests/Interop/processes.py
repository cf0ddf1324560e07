"""The processes that a check starts. Each keeps a log, none outlives its check, and all of them listen where the kernel finds a free port."""
import json
import os
import subprocess
import tempfile
import threading
import time

# Of the check that runs now, in the order they were started.
started = []

# The environment of programs in Go: what they do with messages that they refuse is worth knowing.
GO_LOG = {**os.environ, "GOLOG_LOG_LEVEL": "error,pubsub=debug"}


def until(what, condition, seconds=180):
    """What `condition` says as soon as it is true."""
    end = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.05)
    return answer


class Child:
    """A process whose standard error, and standard output unless it is asked for, goes to a log."""

    def __init__(self, name, command, **options):
        self.name = name
        self.log = tempfile.TemporaryFile()
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", self.log)
        self.process = subprocess.Popen(command, stderr=self.log, **options)
        started.append(self)

    def text(self):
        """The log. The child writes where the file's position is, so it is read without moving that."""
        return os.pread(self.log.fileno(), 1 << 26, 0)

    def tail(self, lines=25, width=400):
        """Whether it runs, and the end of its log, for people to read."""
        shown = self.text().decode(errors="replace").splitlines()[-lines:]
        status = self.process.poll()
        state = "runs" if status is None else f"ended with status {status}"
        return "\n".join([f"    --- {self.name} {state}", *(f"    {line[:width]}" for line in shown)])

    def stop(self, signal=None):
        """Asks it to end; kills it when it does not. Returns its status."""
        if self.process.poll() is None:
            self.process.terminate() if signal is None else self.process.send_signal(signal)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()


def stop_all():
    """Ends what a check left running, the youngest first. Returns what is wrong with how they ended."""
    problems = []
    while started:
        child = started.pop()
        status = child.stop()
        if status not in getattr(child, "good_ends", (status,)):
            problems.append(f"{child.name} ended with status {status}\n{child.tail()}")
    return problems


class Talker(Child):
    """A peer that prints JSON lines."""

    def __init__(self, name, command):
        self.lines = []
        self.arrived = threading.Condition()
        super().__init__(name, command, stdout=subprocess.PIPE)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            try:
                value = json.loads(line)
            except ValueError:
                continue
            with self.arrived:
                self.lines.append(value)
                self.arrived.notify_all()
        with self.arrived:
            self.lines.append({"event": "ended"})
            self.arrived.notify_all()

    def wait(self, event, seconds=180, **values):
        """The first line of that kind."""
        def find():
            for line in self.lines:
                if line.get("event") == event and all(line.get(k) == v for k, v in values.items()):
                    return line
            return None
        with self.arrived:
            self.arrived.wait_for(lambda: find() or any(line["event"] == "ended" for line in self.lines), seconds)
            found = find()
            if not found:
                raise AssertionError(f"no {event} line from {self.name} within {seconds} s; last: {self.lines[-3:]}")
            return found

    def finish(self, seconds):
        """Waits for the end and returns the lines."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.stop()
            raise AssertionError(f"{self.name} is not done within {seconds} s; last: {self.lines[-3:]}")
        with self.arrived:
            self.arrived.wait_for(lambda: self.lines and self.lines[-1]["event"] == "ended", 60)
        if status != 0:
            raise AssertionError(f"{self.name}: status {status}; last: {self.lines[-3:]}; {self.text()[-2000:].decode(errors='replace')}")
        return self.lines
