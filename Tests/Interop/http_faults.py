"""Clients of the RPC API that misbehave: they leave in the middle, do not read, or send what is no HTTP.

check(api, pid) raises AssertionError where the daemon with that process id does not get over it.
"""
import http.client
import os
import socket
import time

HEAD = (b"POST /api/v0/add HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n")
PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\nContent-Type: application/octet-stream\r\n\r\n'
FORM = {"Content-Type": "multipart/form-data; boundary=b"}


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


class Daemon:
    def __init__(self, api, pid):
        self.host, self.port = api.split("/")[2], int(api.split("/")[4])
        self.pid = pid

    def request(self, method, path, body=None, headers={}):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, data

    def send(self, data):
        connection = socket.create_connection((self.host, self.port), 30)
        connection.sendall(data)
        return connection

    def sockets(self):
        folder = f"/proc/{self.pid}/fd"
        count = 0
        for name in os.listdir(folder):
            try:
                count += os.readlink(os.path.join(folder, name)).startswith("socket:")
            except FileNotFoundError:
                pass
        return count

    def resident(self):
        with open(f"/proc/{self.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

    def settles(self, sockets, what):
        """Answers, and has no more connections than before."""
        for _ in range(200):
            if self.sockets() <= sockets:
                break
            time.sleep(0.05)
        assert self.sockets() <= sockets, f"{what}: {self.sockets()} sockets instead of {sockets}"
        assert self.request("POST", "/api/v0/version")[0] == 200, what


def check(api, pid):
    daemon = Daemon(api, pid)
    assert daemon.request("POST", "/api/v0/version")[0] == 200
    time.sleep(0.2)
    before = daemon.sockets()

    for _ in range(20):
        daemon.send(HEAD + chunk(PART + os.urandom(300_000))).close()
    daemon.settles(before, "uploads that end in the middle")

    stalled = [daemon.send(HEAD + chunk(PART + os.urandom(100_000))) for _ in range(50)]
    assert daemon.request("POST", "/api/v0/id")[0] == 200, "an answer beside stalled uploads"
    for connection in stalled:
        connection.close()
    daemon.settles(before, "stalled uploads")

    status, added = daemon.request("POST", "/api/v0/add?quieter=true", b"--b\r\n\r\n" + bytes(30_000_000) + b"\r\n--b--", FORM)
    cid = added.decode().split('"Hash":"')[1].split('"')[0]
    assert status == 200, added
    readers = [daemon.send(f"POST /api/v0/cat?arg={cid} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()) for _ in range(8)]
    time.sleep(0.5)
    assert daemon.request("POST", "/api/v0/id")[0] == 200, "an answer beside readers that do not read"
    resident = daemon.resident()
    for connection in readers:
        connection.close()
    daemon.settles(before, "readers that do not read")

    followers = [daemon.send(b"POST /api/v0/log/tail HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n") for _ in range(20)]
    time.sleep(0.5)
    for connection in followers:
        connection.close()
    daemon.settles(before, "followers of a log that says nothing")

    for garbage in (b"A" * 300_000, b"POST / HTTP/1.1\r\nX: " + b"a" * 400_000, b"\x00\xff" * 1000, b"POST /api/v0/cat?arg=" + b"%41" * 50_000 + b" HTTP/1.1\r\n\r\n"):
        try:
            daemon.send(garbage).close()
        except OSError:
            pass  # It hung up first.
    daemon.settles(before, "garbage")

    for body, word in ((b"--b\r\nbad\r\n\r\n--b--", b"malformed"), (b"--b\r\n\r\ncut", b"endsEarly"), (b"", b"endsEarly"),
                       (b'--b\r\nContent-Disposition: form-data; filename="../../x"\r\n\r\nx\r\n--b--', b"leaves its directory")):
        status, answer = daemon.request("POST", "/api/v0/add", body, FORM)
        assert status == 400 and word in answer, (body, status, answer)
    assert daemon.request("GET", "/api/v0/id")[0] == 405
    assert daemon.request("POST", "/api/v0/id", headers={"Host": "evil.example"})[0] == 403
    assert daemon.request("POST", "/api/v0/id", headers={"Origin": "http://evil.example"})[0] == 403
    assert daemon.request("POST", "/api/v0/id", headers={"User-Agent": "Mozilla/5.0"})[0] == 403
    assert daemon.request("POST", "/api/v0/none")[0] == 404
    for path in ("/metrics", "/healthz"):
        assert daemon.request("GET", path)[0] == 200
        assert daemon.request("GET", path, headers={"Host": "evil.example"})[0] == 403
        assert daemon.request("GET", path, headers={"Origin": "http://evil.example"})[0] == 403
    return f"{before} sockets before and after, {resident // 1024} MiB beside 8 readers that do not read"
