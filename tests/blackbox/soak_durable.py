#!/usr/bin/env python3
"""A store that is turned over many times: messages are published, consumed, left behind by sessions that reconnect
late, and expire in sessions that never do. Memory and the data directory stay within what is live, nothing is lost or
out of order, and at the end nothing is left.

Twenty minutes with ALDIS_LONG, else a few seconds; `--seconds` says otherwise. Nothing here depends on how fast the
machine is: the bounds are on what is held, not on how much passes.
"""

import collections
import os
import random
import struct
import time

from wire import packets as p
from wire.connection import Connection, expect, until
from wire.script import Script

script = Script("Memory and disk of a broker that keeps what it acknowledges, over a long time.")
script.parser.add_argument(
    "--seconds", type=int, default=1200 if os.environ.get("ALDIS_LONG") else 10, help="how long (default: %(default)s)"
)

MIB = 1 << 20
# Messages that one session is sent in a round, and how many sessions there are of each kind.
MESSAGES, SESSIONS = 150, 4
# Seconds that the session of somebody who never comes back outlives its connection, and that some messages wait.
GONE, SHORT = 3, 2
# In how many rounds a session that is slow comes once.
SLOW = 5
# Rounds before anything is compared: tables and buffers have their size by then.
WARM = 5
SESSION_EXPIRY, MESSAGE_EXPIRY = 0x11, 0x02
SIZES = (20, 64, 200, 120, 900, 33, 400, 5_000, 100, 250, 61, 16, 1_500, 40, 333, 20_000)
FILLING = bytes(at % 251 for at in range(max(SIZES)))
NUMBER = struct.Struct(">Q")


def lasting(port, name, expiry=3600):
    """A session that is kept for so many seconds after its connection."""
    block = p.properties((SESSION_EXPIRY, expiry.to_bytes(4, "big")))
    return Connection(port).login(name, clean=False, block=block)


class Life:
    """What goes on, round by round."""

    def __init__(self, broker):
        self.port = broker.port
        self.random = random.Random(2026)
        self.round = self.received = 0
        # By topic: the number of the message that was published last, and of the one that was received last.
        self.published, self.seen = collections.Counter(), collections.Counter()
        self.publisher = Connection(self.port).login("publisher")
        self.online = []
        for kind, qos in (("online", 1), ("online", 2), ("away", 1), ("away", 2), ("slow", 1)):
            for number in range(SESSIONS):
                one = lasting(self.port, f"{kind}-{qos}-{number}").subscribe(f"{kind}/{qos}/{number}", options=qos)
                if kind == "online":
                    self.online.append((one, f"{kind}/{qos}/{number}"))
                else:
                    one.send(p.GOODBYE)
                    one.close()

    def publish(self, topics, qos=1, block=b"\0"):
        """MESSAGES to each topic, and all of their acknowledgements."""
        for topic in topics:
            out = bytearray()
            for packet_id in range(1, MESSAGES + 1):
                number = self.published[topic] = self.published[topic] + 1
                payload = NUMBER.pack(number) + FILLING[: self.random.choice(SIZES) - 8]
                out += p.publish(p.V5, topic, payload, qos=qos, packet_id=packet_id, block=block)
            self.publisher.send(out)
            self.answered(p.PUBACK if qos == 1 else p.PUBREC)
            if qos == 2:
                releases = (p.acknowledge(p.PUBREL, packet_id) for packet_id in range(1, MESSAGES + 1))
                self.publisher.send(b"".join(releases))
                self.answered(p.PUBCOMP)

    def answered(self, kind):
        """One for each message that was sent, in order."""
        for packet_id in range(1, MESSAGES + 1):
            got = self.publisher.expect(kind)
            code = got.body[2] if len(got.body) > 2 else 0
            expect(got.body[:2] == packet_id.to_bytes(2, "big") and code < 0x80, f"{got} for number {packet_id}")

    def hear(self, one, topic):
        """Receives and acknowledges everything that was published on a topic: once, and in order."""
        open_releases, out = 0, bytearray()
        while self.seen[topic] < self.published[topic] or open_releases:
            if out and p.take(one.data) is None:
                one.send(out)
                out.clear()
            got = one.receive()
            expect(got is not None, f"{topic}: closed while messages were to come")
            if got.kind == p.PUBREL:
                out += p.acknowledge(p.PUBCOMP, int.from_bytes(got.body[:2], "big"))
                open_releases -= 1
                continue
            qos = got.flags >> 1 & 3
            _, packet_id, payload = p.delivered(p.V5, got)
            (number,) = NUMBER.unpack_from(payload)
            expect(number == self.seen[topic] + 1, f"{topic}: {number} came after {self.seen[topic]}")
            self.seen[topic], self.received = number, self.received + 1
            out += p.acknowledge(p.PUBACK if qos == 1 else p.PUBREC, packet_id)
            open_releases += qos == 2
        one.send(out)

    def back(self, kind, qos):
        """Sessions that were away come, take what waits, and go again; every second one without a word."""
        for number in range(SESSIONS):
            with lasting(self.port, f"{kind}-{qos}-{number}") as one:
                expect(one.connack.body[0] & 1, f"{kind}-{qos}-{number} is not known any more")
                self.hear(one, f"{kind}/{qos}/{number}")
                if number % 2:
                    one.send(p.GOODBYE)

    def live(self):
        """One round."""
        self.round += 1
        for qos in (1, 2):
            self.publish([topic for _, topic in self.online if f"/{qos}/" in topic], qos)
            self.publish([f"away/{qos}/{number}" for number in range(SESSIONS)], qos)
        self.publish([f"slow/1/{number}" for number in range(SESSIONS)])
        for one, topic in self.online:
            self.hear(one, topic)
        self.back("away", 1)
        self.back("away", 2)
        if self.round % SLOW == 0:
            self.back("slow", 1)
        self.expire()
        self.retain()

    def expire(self):
        """Sessions that never come back, with messages; half of those expire before the session does."""
        name = f"gone-{self.round}"
        with lasting(self.port, name, GONE) as one:
            one.subscribe(f"gone/{self.round}", options=1)
        self.publish([f"gone/{self.round}"])
        self.publish([f"gone/{self.round}"], block=p.properties((MESSAGE_EXPIRY, SHORT.to_bytes(4, "big"))))

    def retain(self):
        """Retained messages: some are replaced, some are removed."""
        out = bytearray()
        for packet_id in range(1, MESSAGES + 1):
            payload = FILLING[: self.random.choice(SIZES)] if self.random.random() < 0.8 else b""
            topic = f"state/{self.random.randrange(2 * MESSAGES)}"
            out += p.publish(p.V5, topic, payload, qos=1, packet_id=packet_id, retain=True)
        self.publisher.send(out)
        self.answered(p.PUBACK)

    def end(self):
        """Everybody ends the session, and what is retained is removed."""
        for one, _ in self.online:
            one.close()
        for kind, qos in (("online", 1), ("online", 2), ("away", 1), ("away", 2), ("slow", 1)):
            for number in range(SESSIONS):
                with Connection(self.port).login(f"{kind}-{qos}-{number}", clean=True):
                    pass
        for number in range(2 * MESSAGES):
            self.publisher.publish(f"state/{number}", b"", retain=True)
        self.publisher.ping()
        self.publisher.close()


class Looks:
    """What was seen of memory and disk after each round."""

    def __init__(self, broker):
        self.broker = broker
        self.memory, self.held, self.disk, self.largest = [], [], [], 0

    def look(self):
        """Looks once."""
        sizes = []
        with os.scandir(self.broker.data_dir) as files:
            for file in files:
                try:
                    size = file.stat().st_size
                except FileNotFoundError:
                    # Checkpoints and segments come and go.
                    continue
                sizes.append(size)
                if file.name.startswith("segment-"):
                    self.largest = max(self.largest, size)
        self.disk.append(sum(sizes))
        self.memory.append(self.broker.memory())
        self.held.append(self.broker.metrics()["aldis_held_bytes"])

    def most(self, values):
        """The most early and the most late, each over a third of the time."""
        third = max((len(values) - WARM) // 3, 1)
        return max(values[WARM : WARM + third]), max(values[-third:])

    def judge(self):
        """Neither memory nor disk grows, and the disk is bounded by what is live."""
        held, disk, memory = self.most(self.held), self.most(self.disk), self.most(self.memory)
        script.note(
            "early and late: held {:.1f} and {:.1f} MB, memory {:.1f} and {:.1f} MB, directory {:.1f} and {:.1f} MB, "
            "largest segment {:.1f} MB".format(*(n / 1e6 for n in (*held, *memory, *disk, self.largest)))
        )
        # An allocator keeps what it once had, so the most that was held until then is left out.
        early, late = memory[0] - max(self.held[: len(self.held) // 3 + WARM]), memory[1] - max(self.held)
        expect(late <= early * 1.15 + 4e6, f"memory grows beside what is held: {early} bytes early, {late} late")
        bound = self.bound(max(self.held))
        expect(max(self.disk) <= bound, f"the directory had {max(self.disk)} bytes, {bound} are allowed")
        few = 4 * self.largest + 4 * MIB
        expect(disk[1] <= disk[0] + few, f"the directory grows: {disk[0]} bytes early, {disk[1]} late")

    def bound(self, live):
        """Twice what is live and a few segments: those that wait to be used, the current one, what a checkpoint has not
        freed yet."""
        return 2 * live + 10 * self.largest + 16 * MIB


@script.case
def a_store_that_is_turned_over_stays_small():
    settings = {"sys_interval": "0", "limits.queue_messages": 1_000_000}
    with script.broker("--durability", "fsync", settings=settings, metrics=True) as broker:
        life, looks = Life(broker), Looks(broker)
        end = time.monotonic() + script.given.seconds
        while time.monotonic() < end or life.round < 3 * WARM:
            life.live()
            looks.look()
        now = broker.metrics()
        written = {kind: now[f'aldis_store_written_bytes_total{{purpose="{kind}"}}'] for kind in ("log", "zeros", "checkpoints")}
        times = written["log"] / max(looks.disk)
        script.note(
            f"{life.round} rounds, {sum(life.published.values())} messages published, {life.received} consumed, "
            f"{now['aldis_deliveries_expired_total']:.0f} expired, {now['aldis_sessions_expired_total']:.0f} sessions too; "
            f"written {written['log'] / 1e6:.0f} MB of log, {written['zeros'] / 1e6:.0f} of zeros, "
            f"{written['checkpoints'] / 1e6:.0f} of checkpoints: {times:.1f} times the directory"
        )
        looks.judge()
        expect(times >= script.given.seconds / 60, f"the store was turned over {times:.1f} times only")
        life.end()
        left = ("aldis_sessions", "aldis_deliveries_waiting", "aldis_deliveries_in_flight", "aldis_retained_messages",
                "aldis_held_bytes")  # fmt: skip

        def nothing():
            now = broker.metrics()
            return not any(now[name] for name in left)

        until(nothing, "sessions and messages are gone", patience=60)
        looks.look()
        bound = looks.bound(0)
        expect(looks.disk[-1] <= bound, f"nothing is live, and the directory has {looks.disk[-1]} bytes")
        broker.stop()


if __name__ == "__main__":
    script.main()
