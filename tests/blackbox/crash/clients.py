"""Clients with state of their own that outlives connections, as section 4.4 of MQTT 3.1.1 and 5.0 has it.

One thread drives all of them (`drive`), so that a kill comes between two of their steps and no step is forgotten.
Packets are sent when the socket takes them and the rest is kept, so that nobody waits for anybody.
"""

import collections
import itertools
import select
import socket
import struct
import time

from wire import packets as p
from wire.connection import PATIENCE, Connection, Failure, expect

from .verdict import Arrival

# Payload sizes, one after the other: small as telemetry is, and a few that need many blocks of a disk.
SIZES = (20, 64, 200, 120, 900, 33, 400, 5_000, 100, 250, 61, 8, 1_500, 40, 333, 30_000)
# Never zero: so the last byte of a log that is not zero belongs to its last frame.
PATTERN = bytes(1 + (7 * at + at // 251) % 255 for at in range(max(SIZES)))
NUMBER = struct.Struct(">Q")
# Numbers from here on are no messages of a publisher but say that what came before them is complete.
MARKS = itertools.count(1 << 62)
# Bytes that may wait for the socket before no more messages are made.
AHEAD = 1 << 16
FOR_EVER = 3600
RECEIVE_MAXIMUM, SESSION_EXPIRY = 0x21, 0x11


def u32(number):
    """Four Byte Integer."""
    return number.to_bytes(4, "big")


def payload_of(number):
    """The payload of a message."""
    return NUMBER.pack(number) + PATTERN[8 : SIZES[number % len(SIZES)]]


def properties_at(body, at):
    """The whole numbers among the properties of the block at `at`, and where it ends. Enough for what is needed here:
    sizes of all properties are known, of texts only where they end."""
    length, at = p.take_variable(body, at)
    end, found = at + length, {}
    while at < end:
        identifier, at = body[at], at + 1
        if identifier == 0x0B:
            found[identifier], at = p.take_variable(body, at)
            continue
        sample = p.SAMPLE[identifier]
        if identifier in (0x03, 0x08, 0x09, 0x12, 0x15, 0x16, 0x1A, 0x1C, 0x1F, 0x26):
            for _ in range(2 if identifier == 0x26 else 1):
                at += 2 + int.from_bytes(body[at : at + 2], "big")
            continue
        found[identifier] = int.from_bytes(body[at : at + len(sample)], "big")
        at += len(sample)
    return found, end


def packet_id_of(got):
    """The packet identifier of an acknowledgement."""
    return int.from_bytes(got.body[:2], "big")


class Late(Failure):
    """What was waited for has not come."""


class Lasting:
    """A client whose session is meant to outlive its connections."""

    def __init__(self, name, version=p.V5, expiry=FOR_EVER):
        self.name, self.version, self.expiry = name, version, expiry
        self.link = None
        self.out = bytearray()
        self.connections = 0
        # A CONNACK has promised this session; how often a later one did not know it any more.
        self.is_known = False
        self.sessions_lost = 0
        self.receive_maximum = 65_535

    def connect(self, port, **more):
        """CONNECT without a clean start, and what has to be sent again. Whether the session was present."""
        self.close()
        block = p.properties((SESSION_EXPIRY, u32(self.expiry)))
        link = Connection(port, self.version).login(self.name, clean=False, block=block, **more)
        is_present = bool(link.connack.body[0] & 1)
        expect(self.is_known or not is_present, f"{self.name}: a session is present before there was any")
        if self.version == p.V5:
            found, _ = properties_at(link.connack.body, 2)
            self.receive_maximum = found.get(RECEIVE_MAXIMUM, 65_535)
        self.link, self.connections = link, self.connections + 1
        if not is_present:
            self.sessions_lost += self.is_known
            self.is_known = True
            self.begin_anew()
        else:
            self.resume()
        self.handle_all()
        return is_present

    def close(self, goodbye=False):
        """Ends the connection: without a word, or with a DISCONNECT that keeps the session."""
        if self.link:
            if goodbye:
                self.link.send(bytes(self.out) + p.GOODBYE)
            self.link.close()
        self.link = None
        self.out.clear()

    def handle_all(self):
        """Takes the packets that are whole."""
        while self.link and (taken := p.take(self.link.data)):
            del self.link.data[: taken[1]]
            self.handle(taken[0])

    def read(self):
        """Reads once. False at the end of the connection."""
        is_open = self.link.fill(PATIENCE)
        self.handle_all()
        return is_open

    def write(self):
        """Writes what the socket takes."""
        try:
            del self.out[: self.link.socket.send(self.out[:AHEAD])]
        except (BrokenPipeError, ConnectionResetError):
            # What was received before is still to be read.
            self.out.clear()

    def shove(self):
        """Writes as much as there is to do, and does not wait for what comes of it."""
        if self.link:
            self.produce()
            self.link.socket.settimeout(0)
            try:
                self.write()
            except BlockingIOError:
                # The socket is full: the broker has enough to do.
                pass

    def hear_the_rest(self):
        """Everything that a killed broker had sent: it counts as what came before the kill."""
        while self.link and self.read():
            pass
        self.close()

    def lose_connection(self, random):
        """The broker was killed. What it had sent until then is heard, or lost: a broker that has answered cannot
        know that the answer arrived."""
        if random.random() < 0.4:
            self.hear_the_rest()
        self.close()

    def exchange(self, packet, kind):
        """Sends a packet of which the answer is to be waited for; other packets are handled meanwhile."""
        self.out += packet
        answers = []
        handle, self.handle = self.handle, lambda got: answers.append(got) if got.kind == kind else handle(got)
        try:
            drive([self], lambda: answers)
        finally:
            del self.handle
        return answers[0]

    # ---- what differs ----

    def begin_anew(self):
        """The broker has no session of this client."""

    def resume(self):
        """The session is present: what is unfinished is sent again."""

    def produce(self):
        """Puts what there is to do into `out`."""

    def handle(self, got):
        """A packet has come."""
        raise Failure(f"{self.name}: {got} was not to come")


class Publisher(Lasting):
    """Publishes numbered messages with many in flight, and sends again what was not acknowledged."""

    def __init__(self, name, topic, qos, window, version=p.V5):
        super().__init__(name, version)
        self.topic, self.qos, self.window = topic, qos, window
        # The highest number that was sent; numbers up to `until` are to be.
        self.sent = self.until = 0
        # By packet identifier, in the order in which they were sent: PUBLISH without an answer; PUBREC received.
        self.waiting, self.released = {}, {}
        # What the broker is responsible for: PUBACK or PUBREC came.
        self.acknowledged = set()
        self.highest = 0
        self.resent = collections.Counter()
        self.next_id = 1

    def content(self, number):
        """Topic, payload and RETAIN of a message."""
        return self.topic, payload_of(number), False

    def is_done(self):
        """Nothing is to be sent or unfinished."""
        return self.sent >= self.until and not self.waiting and not self.released

    def send(self, packet_id, number, dup=False):
        """A PUBLISH."""
        topic, payload, retain = self.content(number)
        self.out += p.publish(self.version, topic, payload, qos=self.qos, packet_id=packet_id, dup=dup, retain=retain)

    def free_id(self):
        """An identifier that is not in use."""
        while self.next_id in self.waiting or self.next_id in self.released:
            self.next_id = self.next_id % 65_535 + 1
        found, self.next_id = self.next_id, self.next_id % 65_535 + 1
        return found

    def produce(self):
        most = min(self.window, self.receive_maximum)
        while self.sent < self.until and len(self.waiting) + len(self.released) < most and len(self.out) < AHEAD:
            self.sent += 1
            packet_id = self.free_id()
            self.waiting[packet_id] = self.sent
            self.send(packet_id, self.sent)

    def resume(self):
        """[MQTT-4.4.0-1], and [MQTT-4.6.0-1], [MQTT-4.6.0-4] for the order."""
        for packet_id in self.released:
            self.out += p.acknowledge(p.PUBREL, packet_id)
        for packet_id, number in self.waiting.items():
            self.resent[number] += 1
            self.send(packet_id, number, dup=True)

    def begin_anew(self):
        """State that the broker does not share any more is discarded; what is not acknowledged is published anew."""
        again = list(self.waiting.values())
        self.waiting.clear()
        self.released.clear()
        for number in again:
            self.resent[number] += 1
            packet_id = self.free_id()
            self.waiting[packet_id] = number
            self.send(packet_id, number)

    def handle(self, got):
        packet_id = packet_id_of(got)
        code = got.body[2] if len(got.body) > 2 else 0
        if got.kind == p.PUBCOMP:
            # 0x92: the broker had released it before a crash. It is finished all the same.
            expect(code in (0, 0x92), f"{self.name}: PUBCOMP with code 0x{code:02X}")
            expect(self.released.pop(packet_id, None) is not None, f"{self.name}: {got} was not to come")
            return
        expect(got.kind == (p.PUBACK if self.qos == 1 else p.PUBREC), f"{self.name}: {got} was not to come")
        expect(code < 0x80, f"{self.name}: refused with code 0x{code:02X}")
        if packet_id in self.waiting:
            number = self.waiting.pop(packet_id)
            self.acknowledged.add(number)
            self.highest = max(self.highest, number)
            if self.qos == 2:
                self.released[packet_id] = number
        else:
            expect(packet_id in self.released, f"{self.name}: {got} was not to come")
        if self.qos == 2:
            self.out += p.acknowledge(p.PUBREL, packet_id)


class Subscriber(Lasting):
    """Keeps what arrives, and the identifiers of QoS 2 that are not released. It leaves the last `lazy` deliveries
    unanswered, so that there is always something in flight."""

    def __init__(self, name, wanted, qos, version=p.V5):
        super().__init__(name, version)
        self.wanted, self.qos, self.lazy = wanted, qos, 0
        self.arrivals, self.marks = [], set()
        # QoS 2: by packet identifier, what was received and is not released.
        self.unreleased = {}
        # Answers that are not sent yet, each with its number at QoS 1; and the numbers whose answers are.
        self.answers, self.answered = collections.deque(), []
        # How many were answered before the last PINGREQ, and before the last PINGRESP if that has come.
        self.asked, self.heard = 0, None
        # The pairs for `at_least_once`.
        self.settled = []

    def subscribe(self):
        """SUBSCRIBE and its SUBACK."""
        got = self.exchange(p.subscribe(self.version, 1, (self.wanted, self.qos)), p.SUBACK)
        expect(got.body[-1] == self.qos, f"{self.name}: SUBACK {got}")

    def begin_anew(self):
        self.unreleased.clear()
        self.answers.clear()
        self.subscribe()

    def resume(self):
        self.answers.clear()
        self.heard = None

    def produce(self):
        while len(self.answers) > self.lazy:
            packet, number = self.answers.popleft()
            self.out += packet
            if number is not None:
                self.answered.append(number)

    def ask(self):
        """A PINGREQ: once it is answered the broker has seen all answers before it."""
        self.asked, self.heard = len(self.answered), None
        self.out += p.PING

    def handle(self, got):
        if got.kind == p.PUBLISH:
            self.message(got)
        elif got.kind == p.PUBREL:
            packet_id = packet_id_of(got)
            is_known = self.unreleased.pop(packet_id, None) is not None
            tail = b"" if is_known or self.version != p.V5 else b"\x92"
            self.answers.append((p.acknowledge(p.PUBCOMP, packet_id, tail), None))
        elif got.kind == p.PINGRESP:
            self.heard = self.asked
        else:
            raise Failure(f"{self.name}: {got} was not to come")

    def message(self, got):
        """A PUBLISH."""
        topic, packet_id, payload = p.delivered(self.version, got)
        qos, dup = got.flags >> 1 & 3, bool(got.flags & 8)
        expect(qos == self.qos, f"{self.name}: {topic} came at QoS {qos}")
        number = NUMBER.unpack_from(payload)[0]
        if number < 1 << 62:
            expect(payload == payload_of(number), f"{self.name}: message {number} has changed")
        if qos == 2:
            before = self.unreleased.get(packet_id)
            expect(before in (None, number), f"{self.name}: message {number} came under the identifier of {before}")
            expect(before is None or dup, f"{self.name}: message {number} was sent again without DUP")
            self.unreleased[packet_id] = number
            self.answers.append((p.acknowledge(p.PUBREC, packet_id), None))
            if before is not None:
                return
        else:
            self.answers.append((p.acknowledge(p.PUBACK, packet_id), number))
        if number < 1 << 62:
            self.arrivals.append(Arrival(number, self.connections, dup))
        else:
            self.marks.add(number)


def drive(clients, until, patience=2 * PATIENCE):
    """Lets all that are connected read and write until `until()`. None may be disconnected meanwhile."""
    deadline = time.monotonic() + patience
    while not until():
        for one in clients:
            if one.link:
                one.produce()
        present = {one.link.socket: one for one in clients if one.link}
        writers = [sock for sock, one in present.items() if one.out]
        readable, writable, _ = select.select(list(present), writers, [], 0.01)
        for sock in writable:
            present[sock].write()
        for sock in readable:
            expect(present[sock].read(), f"{present[sock].name} was disconnected")
        if time.monotonic() > deadline:
            raise Late(f"not within {patience} s: {[one.name for one in clients]}")


def drive_to_a_random_moment(clients, random):
    """A few milliseconds more, and then so much work at once that the broker is in the middle of it."""
    end = time.monotonic() + random.random() * 0.005
    drive(clients, lambda: time.monotonic() >= end)
    for one in clients:
        one.shove()
    time.sleep(random.random() * random.choice((0.001, 0.005, 0.02)))


def mark(port, topic, qos, version=p.V5):
    """Publishes a message that comes last, and returns its number once the broker is responsible for it."""
    number = next(MARKS)
    with Connection(port, version).login() as one:
        one.publish(topic, NUMBER.pack(number), qos=qos, packet_id=1)
        if qos == 1:
            one.expect(p.PUBACK)
        else:
            one.expect(p.PUBREC)
            one.send(p.acknowledge(p.PUBREL, 1))
            one.expect(p.PUBCOMP)
        one.send(p.GOODBYE)
        one.socket.shutdown(socket.SHUT_WR)
    return number
