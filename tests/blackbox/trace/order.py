"""Which answers left before the sync that covers what they stand for.

An answer is covered when, in this order and without overlap: its request was read from the socket; bytes that hold what
the request is about were written to a segment of the store; a sync of that segment was called, and returned; the answer
was given to the socket. What the trace itself says of requests is all that is known of clients.
"""

import bisect
import collections
import dataclasses

from wire import packets as p

# What an answer stands for, by the type of the request; PUBLISH is answered by its QoS.
ANSWERS = {p.CONNECT: p.CONNACK, p.SUBSCRIBE: p.SUBACK, p.UNSUBSCRIBE: p.UNSUBACK, p.PUBREL: p.PUBCOMP}
NAMES = {
    p.CONNACK: "CONNACK", p.PUBACK: "PUBACK", p.PUBREC: "PUBREC", p.PUBCOMP: "PUBCOMP",
    p.SUBACK: "SUBACK", p.UNSUBACK: "UNSUBACK",
}  # fmt: skip
WRITES = ("pwrite64", "pwritev", "pwritev2", "write", "writev")
SYNCS = ("fdatasync", "fsync")
SENDS = ("sendto", "sendmsg", "write", "writev")
READS = ("recvfrom", "recvmsg", "read", "readv")
# Topics below this reach nobody that lasts: nothing is written for them.
FREE = "free/"


@dataclasses.dataclass
class Request:
    """What is to be covered before it is answered."""

    # Where the call ended that brought its last byte.
    read: int
    # All of which have to be in one segment each; none if any write will do.
    marks: list
    is_free: bool = False


@dataclasses.dataclass
class Findings:
    """How many answers were looked at, by name, and what is wrong."""

    looked_at: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    free: int = 0
    wrong: list = dataclasses.field(default_factory=list)

    def kinds_wrong(self):
        """The names of answers of which one left too early."""
        return {words.split()[0] for words in self.wrong}


class Disk:
    """Writes to segments, and when each was synced."""

    def __init__(self, calls):
        self.writes, syncs = [], collections.defaultdict(list)
        for call in calls:
            is_segment = "/segment-" in call.target
            if is_segment and call.name in SYNCS and call.result == 0:
                syncs[call.target].append(call)
            elif is_segment and call.name in WRITES:
                self.writes.append(call)
        self.begins = [call.begin for call in self.writes]
        # For each write the first place at which a sync has ended that began after it.
        self.safe = [
            min((sync.end for sync in syncs[call.target] if sync.begin > call.end), default=float("inf"))
            for call in self.writes
        ]

    def safe_at(self, mark, after):
        """Where the first write with these bytes that began after a place is safe; infinite if it never is."""
        for at in range(bisect.bisect_right(self.begins, after), len(self.writes)):
            if mark in self.writes[at].done():
                return self.safe[at]
        return float("inf")

    def holds(self, mark):
        """Whether these bytes were ever written."""
        return any(mark in call.done() for call in self.writes)


def take_all(stream, data, at):
    """The packets that are whole now that `data` has come; the rest stays in `stream`."""
    stream.append((at, data))
    whole = b"".join(data for _, data in stream)
    position, ends, total = 0, [], 0
    for place, piece in stream:
        total += len(piece)
        ends.append((total, place))
    found = []
    while taken := p.take(whole[position:]):
        first = next(place for end, place in ends if end > position)
        last = next(place for end, place in ends if end >= position + taken[1])
        found.append((taken[0], first, last))
        position += taken[1]
    stream[:] = [(at, whole[position:])] if position < len(whole) else []
    return found


class Conversation:
    """One connection, seen from the broker."""

    def __init__(self):
        self.version = p.V5
        self.received, self.sent = [], []
        self.waiting = collections.defaultdict(collections.deque)

    def hears(self, call):
        """Bytes that were read."""
        for packet, _, last in take_all(self.received, call.done(), call.end):
            self.request(packet, last)

    def request(self, packet, read):
        """A packet of the client."""
        kind = packet.kind
        if kind == p.CONNECT:
            name_ends = 2 + int.from_bytes(packet.body[:2], "big")
            self.version = packet.body[name_ends]
            at = name_ends + 4
            if self.version == p.V5:
                length, at = p.take_variable(packet.body, at)
                at += length
            client_id = text_at(packet.body, at)[0]
            # Those that do not last say so in their names.
            request = Request(read, [client_id], client_id.startswith(b"free"))
            self.waiting[p.CONNACK, None].append(request)
        elif kind == p.PUBLISH and packet.flags & 6:
            topic, packet_id, payload = p.delivered(self.version, packet)
            request = Request(read, [payload or topic.encode()], topic.startswith(FREE))
            answer = p.PUBACK if packet.flags >> 1 & 3 == 1 else p.PUBREC
            self.waiting[answer, packet_id].append(request)
        elif kind in (p.SUBSCRIBE, p.UNSUBSCRIBE):
            self.waiting[ANSWERS[kind], id_of(packet)].append(Request(read, self.filters(packet)))
        elif kind == p.PUBREL:
            # What is written for it has no text of its own.
            self.waiting[p.PUBCOMP, id_of(packet)].append(Request(read, [b""]))

    def filters(self, packet):
        """The filters of a SUBSCRIBE or UNSUBSCRIBE."""
        at, found = 2, []
        if self.version == p.V5:
            length, at = p.take_variable(packet.body, at)
            at += length
        while at < len(packet.body):
            name, at = text_at(packet.body, at)
            found.append(name)
            at += packet.kind == p.SUBSCRIBE
        return found

    def says(self, call):
        """The answers among the packets that were sent, with their requests and where their first bytes left."""
        for packet, first, _ in take_all(self.sent, call.done(), call.begin):
            key = (packet.kind, None if packet.kind == p.CONNACK else id_of(packet))
            if packet.kind in NAMES and self.waiting[key]:
                yield packet.kind, self.waiting[key].popleft(), first


def id_of(packet):
    """The packet identifier at the beginning of a body."""
    return int.from_bytes(packet.body[:2], "big")


def text_at(body, at):
    """The bytes of a string, and where it ends."""
    end = at + 2 + int.from_bytes(body[at : at + 2], "big")
    return body[at + 2 : end], end


def judge(calls):
    """Looks at every answer of all connections."""
    disk, findings = Disk(calls), Findings()
    conversations = collections.defaultdict(Conversation)
    # What was read counts from the end of its call, what is sent from the beginning.
    sockets = [call for call in calls if call.target.startswith("TCP:") and call.result > 0]
    for call in sorted(sockets, key=lambda call: call.end if call.name in READS else call.begin):
        conversation = conversations[call.target]
        if call.name in READS:
            conversation.hears(call)
        elif call.name in SENDS:
            for kind, request, left in conversation.says(call):
                look(findings, disk, kind, request, left)
    return findings


def look(findings, disk, kind, request, left):
    """One answer."""
    if request.is_free:
        findings.free += 1
        written = [mark for mark in request.marks if disk.holds(mark)]
        if written:
            findings.wrong.append(f"free: {written} is in the store")
        return
    findings.looked_at[NAMES[kind]] += 1
    for mark in request.marks:
        safe = disk.safe_at(mark, request.read)
        if safe >= left:
            when = "never" if safe == float("inf") else f"at line {safe}"
            findings.wrong.append(f"{NAMES[kind]} for {mark[:30]} left at line {left}, and was safe {when}")
