"""One TCP connection to a broker. Whatever waits, waits for an event and has a deadline."""

import socket
import time

from . import packets

# Seconds for anything that takes milliseconds on an idle machine.
PATIENCE = 30.0


class Failure(Exception):
    """What was seen is not what had to be."""


def expect(truth, words):
    """Fails with `words` unless `truth`."""
    if not truth:
        raise Failure(words)


def until(condition, words, patience=PATIENCE, pause=0.02):
    """Asks `condition` again and again until it answers something true, and returns that."""
    deadline = time.monotonic() + patience
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise Failure(f"not within {patience} s: {words}")
        time.sleep(pause)


class Connection:
    """A socket and the bytes that were received and not looked at yet."""

    def __init__(self, port, version=packets.V5, receive_buffer=None, source=None):
        self.version = version
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE)
        if source:
            self.socket.bind((source, 0))
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = bytearray()
        self.connack = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Closes without a DISCONNECT."""
        self.socket.close()

    def send(self, data):
        """Sends everything. A broker that has closed already is no failure: the reading side tells."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def receive(self, patience=PATIENCE):
        """The next packet; `None` when the broker has closed the connection."""
        deadline = time.monotonic() + patience
        while True:
            taken = packets.take(self.data)
            if taken:
                del self.data[: taken[1]]
                return taken[0]
            if not self.fill(deadline - time.monotonic()):
                return None

    def fill(self, patience):
        """Reads once. False when there is nothing more to come."""
        self.socket.settimeout(max(patience, 0.001))
        try:
            more = self.socket.recv(1 << 18)
        except TimeoutError:
            raise Failure("the broker neither answers nor closes the connection") from None
        except ConnectionResetError:
            return False
        finally:
            self.socket.settimeout(PATIENCE)
        self.data += more
        return bool(more)

    def expect(self, kind, patience=PATIENCE):
        """The next packet, which has to be of this type."""
        got = self.receive(patience)
        expect(got is not None, f"closed, where a packet of type {kind} was to come")
        expect(got.kind == kind, f"{got}, where a packet of type {kind} was to come")
        return got

    def remains(self, patience=PATIENCE):
        """Everything up to the end of the connection, as packets."""
        seen = []
        while (got := self.receive(patience)) is not None:
            seen.append(got)
        expect(not self.data, f"an incomplete packet at the end: {bytes(self.data[:40])!r}")
        return seen

    # ---- what a client does ----

    def login(self, client_id="", **more):
        """CONNECT and its CONNACK, which has to say yes."""
        code = self.try_login(client_id, **more)
        expect(code == 0, f"CONNACK with code 0x{code:02X}")
        return self

    def try_login(self, client_id="", **more):
        """CONNECT, and the code of its CONNACK."""
        self.send(packets.connect(self.version, client_id, **more))
        self.connack = self.expect(packets.CONNACK)
        return packets.reason(self.version, self.connack)

    def subscribe(self, *filters, options=0, packet_id=1):
        """SUBSCRIBE; every filter has to be granted."""
        self.send(packets.subscribe(self.version, packet_id, *((name, options) for name in filters)))
        codes = self.expect(packets.SUBACK).body[-len(filters) :]
        expect(all(code <= 2 for code in codes), f"SUBACK {codes.hex()}")
        return self

    def publish(self, topic, payload=b"", **more):
        """Sends a PUBLISH and waits for nothing."""
        self.send(packets.publish(self.version, topic, payload, **more))

    def ping(self, patience=PATIENCE):
        """PINGREQ, which has to be answered next."""
        self.send(packets.PING)
        self.expect(packets.PINGRESP, patience)

    def message(self, patience=PATIENCE):
        """The next PUBLISH as topic, packet identifier and payload."""
        return packets.delivered(self.version, self.expect(packets.PUBLISH, patience))


def client(port, version=packets.V5, client_id="", **more):
    """A connection that is logged in."""
    return Connection(port, version).login(client_id, **more)
