#!/usr/bin/env python3
"""A disk that is full, and one that fails, under the release binary: on the file system of crates/powercut, which has
as much space as it is told, and syncs and writes that fail when it is told.

Full: what has to be kept is refused, QoS 0 goes on, readers drain their queues and so free space, and the broker goes
on by itself. Failed: it acknowledges nothing that has to be kept until it is started anew. Either way what was
acknowledged is there after a kill and a loss of power.
"""

import collections
import contextlib
import dataclasses
import os
import random
import time

from crash.clients import (
    FOR_EVER, MARKS, NUMBER, SESSION_EXPIRY, Late, Publisher, Subscriber, drive, mark, packet_id_of, u32,
)  # fmt: skip
from crash.lives import RECOVERY
from crash.power import Disk
from crash.verdict import at_least_once, judge
from wire import packets as p
from wire.connection import Connection, expect, until
from wire.script import Script

QUOTA, IMPLEMENTATION, UNAVAILABLE = 0x97, 0x83, 0x88
TOPIC = "load/numbers"
GOOD, FULL, FAILED = 0, 1, 2
# With the six segments of a new store there is room for a few thousand messages.
SPACE = 6 << 20
# Seconds for which a disk has to be full to count as such: twice what the broker waits before it looks again.
SETTLED = 2.5
LASTING = p.properties((SESSION_EXPIRY, u32(FOR_EVER)))

script = Script("Fills the disk of the broker, lets it fail, and looks at what it says.")
script.parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32), help="of all chance")
script.parser.add_argument("--rounds", type=int, default=20 if os.environ.get("ALDIS_LONG") else 3, help="a case")


class Loader(Publisher):
    """Publishes, and notes what is refused. A refused message is not sent again."""

    def __init__(self, name, qos, window=50):
        super().__init__(name, TOPIC, qos, window)
        self.refused = set()

    def handle(self, got):
        code = got.body[2] if len(got.body) > 2 else 0
        if got.kind in (p.PUBACK, p.PUBREC) and code >= 0x80:
            expect(code == QUOTA, f"{self.name}: refused with code 0x{code:02X}, where 0x97 was to come")
            self.refused.add(self.waiting.pop(packet_id_of(got)))
            return
        super().handle(got)


@dataclasses.dataclass
class Place:
    """A disk, and the broker that lives on it."""

    disk: Disk
    random: random.Random
    broker: object = None
    lives: int = 0

    def start(self):
        """A new life."""
        self.broker = script.spawn(
            "--durability", "fsync", data_dir=f"{self.disk.folder}/data", metrics=True, settings={"sys_interval": "1s"}
        )
        self.broker.started(RECOVERY)
        self.lives += 1

    @property
    def port(self):
        """Where it listens."""
        return self.broker.port

    def end(self, power=False):
        """SIGKILL, or a loss of power."""
        broker, self.broker = self.broker, None
        if power:
            self.disk.tell("cut", self.random.randrange(1 << 63))
        broker.process.kill()
        if power:
            self.disk.tell("restore")
        broker.wait()
        panics = [line for line in broker.log() if "panicked" in line]
        broker.__exit__()
        expect(not panics, f"a panic: {panics[:3]}")

    def condition(self):
        """What the metrics say of the store."""
        return int(self.broker.metrics()["aldis_store_condition"])

    def becomes(self, condition):
        """Waits for it, in the metrics and in $SYS."""
        until(lambda: self.condition() == condition, f"aldis_store_condition is {self.condition()}, not {condition}")
        with Connection(self.port).login() as one:
            topic = "$SYS/broker/store/condition"
            one.subscribe(topic)
            while one.message()[2] != str(condition).encode():
                pass

    def fill_up(self, left=0):
        """Somebody else takes all but `left` bytes of what is left."""
        self.disk.tell("space", self.disk.tell("counts")["used"] + left)


@contextlib.contextmanager
def place():
    """An empty disk with a broker on it. Its end is that of the case."""
    script.note(f"--seed {script.given.seed}")
    with Disk(script.binary) as disk:
        one = Place(disk, random.Random(script.given.seed))
        try:
            one.start()
            yield one
        finally:
            if one.broker:
                one.broker.__exit__()


class Away(Subscriber):
    """A lasting session that is away most of the time."""

    def __init__(self, port, qos=1):
        super().__init__("away", TOPIC, qos)
        self.connect(port)
        self.close(goodbye=True)

    def fetch(self, port, number=None):
        """Comes, reads up to a message that is known to be the last, and goes."""
        expect(self.connect(port), "the session is gone")
        try:
            drive([self], lambda: number in {arrival.number for arrival in self.arrivals} or number in self.marks)
        except Late:
            pass
        self.ask()
        drive([self], lambda: self.heard is not None)
        self.close(goodbye=True)

    def judge(self, loader, where):
        """What was acknowledged has come; what was refused has not."""
        verdict = at_least_once(loader.sent, loader.acknowledged, self.arrivals, loader.resent)
        judge(verdict, where)
        # One that was sent twice may have been taken the first time.
        refused = loader.refused - set(loader.resent)
        came = {arrival.number for arrival in self.arrivals}
        expect(not came & refused, f"{where}: {len(came & refused)} came although they were refused")


def fill_for_good(one, loader):
    """Publishes until the disk is full and stays so: what the store frees by itself is filled up, too."""
    while True:
        fill(one, loader)
        end = time.monotonic() + SETTLED
        while one.condition() == FULL and time.monotonic() < end:
            time.sleep(0.05)
        if time.monotonic() >= end:
            return


def fill(one, loader, count=20):
    """Publishes until `count` messages are refused."""
    loader.connect(one.port)
    loader.until = 1 << 60
    target = len(loader.refused) + count
    drive([loader], lambda: len(loader.refused) >= target, patience=120)
    loader.until = loader.sent
    drive([loader], loader.is_done)
    loader.close(goodbye=True)


def goes_on_for_what_does_not_last(port):
    """QoS 0 to everybody, and QoS 1 to whoever is gone with his connection."""
    with Connection(port).login() as listener, Connection(port).login() as speaker:
        listener.subscribe("free/#", TOPIC, options=1)
        speaker.publish(TOPIC, (0).to_bytes(8, "big"))
        expect(listener.message()[0] == TOPIC, "a message at QoS 0 does not come")
        speaker.publish("free/1", b"at least once", qos=1, packet_id=1)
        code = speaker.expect(p.PUBACK).body[2:3]
        expect(code in (b"", b"\0"), f"PUBACK with code {code.hex()} for what nobody keeps")
        listener.expect(p.PUBLISH)


def refuses_what_lasts(port, session_code):
    """Each kind of client is told as its version can be."""
    with Connection(port).login() as one:
        for number, (topic, qos, retain) in enumerate(((TOPIC, 1, False), (TOPIC, 2, False), ("kept", 1, True)), 1):
            one.publish(topic, NUMBER.pack(next(MARKS)), qos=qos, packet_id=number, retain=retain)
            got = one.expect(p.PUBACK if qos == 1 else p.PUBREC)
            expect(got.body[2] == QUOTA, f"QoS {qos} to {topic}: {got}")
    for qos in (1, 2):
        with Connection(port, p.V311).login() as old:
            old.publish(TOPIC, NUMBER.pack(next(MARKS)), qos=qos, packet_id=1)
            expect(old.receive() is None, "a client of 3.1.1 was answered")
    with Connection(port) as stranger:
        code = stranger.try_login("stranger", clean=False, block=LASTING)
        expect(code == session_code, f"CONNACK with code 0x{code:02X} for a new session that would last")


def takes_what_lasts(port, qos=1):
    """Whether a durable message is acknowledged: its number, or none."""
    number = next(MARKS)
    with Connection(port).login() as one:
        one.publish(TOPIC, NUMBER.pack(number), qos=qos, packet_id=1)
        got = one.expect(p.PUBACK if qos == 1 else p.PUBREC)
        return number if len(got.body) < 3 or got.body[2] < 0x80 else None


@script.case
def a_full_disk_refuses_what_lasts_and_goes_on_when_it_was_read():
    with place() as one:
        one.disk.tell("space", SPACE)
        away, loader = Away(one.port), Loader("loader", 1)
        for number in range(1, script.given.rounds + 1):
            fill_for_good(one, loader)
            one.broker.wait_for("the disk of the store is full")
            one.becomes(FULL)
            goes_on_for_what_does_not_last(one.port)
            refuses_what_lasts(one.port, UNAVAILABLE)
            # Whatever is the end of it, what was acknowledged is there; and a full disk is one to start from.
            for power in (False, True):
                one.end(power)
                one.start()
            before = len(away.arrivals)
            away.fetch(one.port, max(loader.acknowledged))
            away.judge(loader, f"round {number}, after it was full")
            expect(len(away.arrivals) > before + 100, f"only {len(away.arrivals) - before} messages fitted")
            one.becomes(GOOD)
            away.fetch(one.port, until(lambda: takes_what_lasts(one.port), "a durable message is acknowledged again"))
        script.note(f"{len(loader.acknowledged)} messages kept, {len(loader.refused)} refused, {one.lives} lives")


@script.case
def many_starts_on_a_full_disk_take_no_space_that_is_missing_later():
    with place() as one:
        one.disk.tell("space", SPACE)
        away, loader = Away(one.port, 2), Loader("loader", 2)
        fill(one, loader)
        for number in range(12):
            one.end(number % 2 == 0)
            one.start()
        away.fetch(one.port, max(loader.acknowledged))
        came = {arrival.number for arrival in away.arrivals}
        expect(loader.acknowledged <= came, f"{len(loader.acknowledged - came)} messages are gone")
        one.becomes(GOOD)


@script.case
def space_that_somebody_else_takes_and_gives_back():
    """The disk is full at a moment that the broker does not choose, and nobody reads."""
    with place() as one:
        away, loader = Away(one.port), Loader("loader", 1)
        for number in range(1, script.given.rounds + 1):
            loader.connect(one.port)
            loader.until = 1 << 60
            target = len(loader.acknowledged) + one.random.randrange(1, 1500)
            drive([loader], lambda target=target: len(loader.acknowledged) >= target)
            one.fill_up(one.random.choice((0, 0, 100_000, 600_000)))
            loader.close()
            fill_for_good(one, loader)
            one.becomes(FULL)
            goes_on_for_what_does_not_last(one.port)
            if one.random.random() < 0.5:
                one.end(one.random.random() < 0.5)
                one.start()
            one.disk.tell("space", "plenty")
            one.becomes(GOOD)
            until(lambda: takes_what_lasts(one.port), "a durable message is acknowledged again")
            one.end(one.random.random() < 0.5)
            one.start()
            away.fetch(one.port, max(loader.acknowledged))
            away.judge(loader, f"round {number}")
        script.note(f"{len(loader.acknowledged)} messages kept, {len(loader.refused)} refused, {one.lives} lives")


def fails(what):
    """A disk of which `what` fails under load: nothing that lasts is acknowledged until there is a new broker."""
    with place() as one:
        for number in range(1, script.given.rounds + 1):
            loader = Loader("loader", one.random.choice((1, 2)))
            away = Away(one.port, loader.qos)
            loader.connect(one.port)
            loader.until = 1 << 60
            target = len(loader.acknowledged) + one.random.randrange(1, 1500)
            drive([loader], lambda loader=loader, target=target: len(loader.acknowledged) >= target)
            late = [begun(one.port, f"late-{number}-{at}") for at in range(3)]
            one.disk.tell(what, "failing")
            # Whoever is owed an answer is told to go, and hears nothing that could be taken for one.
            before = one.disk.tell("counts")
            said = farewell(loader)
            expect(said in (None, IMPLEMENTATION), f"DISCONNECT with code 0x{said or 0:02X}")
            one.broker.wait_for("the store has failed")
            one.becomes(FAILED)
            comes_too_late(late)
            stays_failed(one)
            # That the disk works again changes nothing: nobody knows what it has lost.
            one.disk.tell(what, "honest")
            stays_failed(one)
            after = one.disk.tell("counts")
            expect(after["writes"] - before["writes"] < 20, "a broker whose store has failed goes on writing")
            one.end(power=True)
            one.start()
            one.becomes(GOOD)
            expect(takes_what_lasts(one.port, loader.qos), "a new broker does not keep what it is given")
            away.fetch(one.port, max(loader.acknowledged))
            came = collections.Counter(arrival.number for arrival in away.arrivals)
            lost = loader.acknowledged - set(loader.released.values()) - set(came)
            expect(not lost, f"round {number}: {len(lost)} of {len(loader.acknowledged)} acknowledged are lost")
            for name in (away.name, loader.name):
                with Connection(one.port) as last:
                    last.login(name, clean=True)
        script.note(f"{one.lives} lives")


def begun(port, name):
    """A lasting client with a subscription, that has begun a message at QoS 2."""
    one = Connection(port).login(name, clean=False, block=LASTING).subscribe("made")
    one.publish(TOPIC, NUMBER.pack(next(MARKS)), qos=2, packet_id=1)
    one.expect(p.PUBREC)
    return one


def comes_too_late(late):
    """What is asked for after the failure is refused or ends the connection, and is not left without an answer."""
    asked = (p.acknowledge(p.PUBREL, 1), p.subscribe(p.V5, 2, ("late", 1)), p.unsubscribe(p.V5, 3, "made"))
    for one, packet in zip(late, asked):
        with one:
            one.send(packet)
            got = one.receive()
            expect(got is None or got.kind == p.DISCONNECT or got.body[-1] >= 0x80, f"{got} for {packet}")


def farewell(loader):
    """Reads on until the connection ends; the code of the DISCONNECT, if there was one."""
    codes, handle = [], loader.handle

    def watch(got):
        if got.kind == p.DISCONNECT:
            codes.append(p.reason(p.V5, got))
        else:
            handle(got)

    loader.handle = watch
    while loader.link:
        loader.shove()
        loader.link.socket.settimeout(None)
        if not loader.read():
            loader.close()
    del loader.handle
    return codes[0] if codes else None


def stays_failed(one):
    """Refused again and again, and everything else goes on."""
    for _ in range(5):
        refuses_what_lasts(one.port, UNAVAILABLE)
        goes_on_for_what_does_not_last(one.port)
    expect(one.condition() == FAILED, "the store is said to work again")


@script.case
def a_sync_that_fails_ends_all_promises():
    fails("syncs")


@script.case
def a_write_that_fails_ends_all_promises():
    fails("writes")


if __name__ == "__main__":
    script.main()
