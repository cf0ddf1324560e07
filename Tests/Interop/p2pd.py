"""Drives p2pd, the daemon of go-libp2p 0.32, through its control socket."""
import os
import socket
import tempfile
import threading

from processes import GO_LOG, Child, until

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def base58_encode(data):
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = ALPHABET[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def base58_decode(text):
    number = 0
    for letter in text:
        number = number * 58 + ALPHABET.index(letter)
    return b"\0" * (len(text) - len(text.lstrip("1"))) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def tcp_multiaddr(port):
    """/ip4/127.0.0.1/tcp/port in binary."""
    return bytes([4, 127, 0, 0, 1, 6]) + port.to_bytes(2, "big")


# Just enough protobuf for the control protocol.

def varint(value):
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, str):
        value = value.encode()
    return varint(number << 3 | 2) + varint(len(value)) + value


def fields(data):
    """Pairs of field number and value."""
    index = 0

    def read():
        nonlocal index
        value = shift = 0
        while True:
            byte = data[index]
            index += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    found = []
    while index < len(data):
        tag = read()
        value = read()
        if tag & 7 == 2:
            value, index = data[index:index + value], index + value
        found.append((tag >> 3, value))
    return found


class P2PD(Child):
    IDENTIFY, CONNECT, STREAM_OPEN, STREAM_HANDLER, DHT = range(5)
    FIND_PEER, FIND_PEERS_CONNECTED, FIND_PROVIDERS, GET_CLOSEST, GET_PUBLIC_KEY, GET_VALUE, SEARCH_VALUE, PUT_VALUE, PROVIDE = range(9)

    def __init__(self, name, binary, folder, *options):
        # A name that nobody had before; the socket's path must be short.
        self.path = os.path.join(tempfile.mkdtemp(dir=folder), "control")
        super().__init__(
            name, [binary, "-listen", "/unix" + self.path, "-hostAddrs", "/ip4/127.0.0.1/tcp/0", "-bootstrapPeers", "", "-idleTimeout", "0", *options],
            env=GO_LOG)
        self.peer, self.port = until(f"{name} listens", self.identify)
        self.address = f"/ip4/127.0.0.1/tcp/{self.port}/p2p/{self.peer}"

    def request(self, kind, body=b"", number=None):
        control = socket.socket(socket.AF_UNIX)
        control.settimeout(120)
        control.connect(self.path)
        message = field(1, kind) + (field(number, body) if number else b"")
        control.sendall(varint(len(message)) + message)
        response = dict(fields(self.receive(control)))
        if response.get(1) != 0:
            raise RuntimeError(dict(fields(response[2]))[1].decode())
        return control, response

    @staticmethod
    def receive(control):
        length = shift = 0
        while True:
            byte = control.recv(1)
            if not byte:
                raise EOFError("p2pd closed the control socket")
            length |= (byte[0] & 0x7F) << shift
            shift += 7
            if byte[0] < 0x80:
                break
        data = b""
        while len(data) < length:
            part = control.recv(length - len(data))
            if not part:
                raise EOFError("p2pd closed the control socket")
            data += part
        return data

    def identify(self):
        """Its PeerID and port, or nil while it does not listen."""
        try:
            control, response = self.request(self.IDENTIFY)
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        control.close()
        known = fields(response[4])
        loopback = tcp_multiaddr(0)[:-2]
        ports = [int.from_bytes(value[-2:], "big") for number, value in known if number == 2 and value[:-2] == loopback]
        return (base58_encode(dict(known)[1]), ports[0]) if ports else None

    def connect(self, address):
        where, peer = address.rsplit("/p2p/", 1)
        body = field(1, base58_decode(peer)) + field(2, tcp_multiaddr(int(where.rsplit("/", 1)[1]))) + field(3, 60)
        self.request(self.CONNECT, body, 2)[0].close()

    def open_stream(self, peer, protocol):
        """A socket that carries the stream."""
        return self.request(self.STREAM_OPEN, field(1, base58_decode(peer)) + field(2, protocol) + field(3, 60), 3)[0]

    def serve_echo(self, protocol):
        """Lets the daemon hand streams of `protocol` to an echo in this process."""
        server = socket.create_server(("127.0.0.1", 0), backlog=128)
        body = field(1, tcp_multiaddr(server.getsockname()[1])) + field(2, protocol) + field(3, 0)
        self.request(self.STREAM_HANDLER, body, 4)[0].close()

        def echo(stream):
            self.receive(stream)
            while data := stream.recv(1 << 16):
                stream.sendall(data)
            stream.shutdown(socket.SHUT_WR)
            stream.close()

        def accept():
            while True:
                threading.Thread(target=echo, args=(server.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()

    # Publish-subscribe, with the option -pubsub.
    PUBSUB = 8
    LIST_PEERS, PUBLISH, SUBSCRIBE = 1, 2, 3

    def subscribers(self, topic):
        """The peers that it knows to be in a topic."""
        control, response = self.request(self.PUBSUB, field(1, self.LIST_PEERS) + field(2, topic), 8)
        control.close()
        return [base58_encode(value) for number, value in fields(response.get(7, b"")) if number == 2]

    def publish(self, topic, data):
        self.request(self.PUBSUB, field(1, self.PUBLISH) + field(2, topic) + field(3, data), 8)[0].close()

    def subscribe(self, topic):
        """A list that grows with what arrives: pairs of author and data."""
        stream = self.request(self.PUBSUB, field(1, self.SUBSCRIBE) + field(2, topic), 8)[0]
        stream.settimeout(None)
        messages = []

        def read():
            try:
                while True:
                    message = dict(fields(self.receive(stream)))
                    messages.append((base58_encode(message[1]), message[2]))
            except (EOFError, OSError):
                pass

        threading.Thread(target=read, daemon=True).start()
        return messages

    def dht(self, kind, peer=None, cid=None, key=None, value=None, seconds=60):
        """The answers of the hash table: PeerIDs with their addresses, or values."""
        body = field(1, kind) + field(6, 10) + field(7, seconds)
        for number, part in ((2, peer), (3, cid), (4, key), (5, value)):
            if part is not None:
                body += field(number, part)
        control, response = self.request(self.DHT, body, 5)
        answers = [dict(fields(response[5]))] if 5 in response else []
        # A list: BEGIN, then one answer after the other, then END.
        if answers and answers[0].get(1) == 0:
            answers = []
            while (answer := dict(fields(self.receive(control)))).get(1) != 2:
                answers.append(answer)
        control.close()
        return [base58_encode(dict(fields(answer[2]))[1]) if 2 in answer else answer.get(3) for answer in answers]
