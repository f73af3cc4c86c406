#!/usr/bin/env python3
"""Subscribers that never read, beside a fast publisher and a subscriber that keeps up.

What has to hold: the broker's memory stays below what it was idle plus the limits that are set plus 32 MB,
sampled every 100 ms; the good subscriber gets every numbered message, in order and unchanged; and every message
that the slow ones did not get is counted: what the metrics say is compared with what each subscriber is
found to have received when it reads in the end.

The publisher stays at most a window ahead of the good subscriber: so it is the slow one that is slow.
"""

import struct
import threading
import time

from wire import packets as p
from wire.connection import PATIENCE, Connection, Failure, client, expect, until
from wire.script import Script

script = Script("Subscribers that do not read, under load.")

MIB = 1 << 20
# Memory that is nobody's in particular: threads, allocator, buffers of readers.
SLACK = 32 * 1000 * 1000
# Payload sizes, one after the other. Those below 4 KiB are copied by the broker, the others shared.
SIZES = (1024, 65536, 4096, 32768, 2048, 16384, 8192)
CYCLE = sum(SIZES)
# Every payload is the rest of this, behind its number.
PATTERN = bytes((7 * at + at // 251) & 0xFF for at in range(max(SIZES)))
NUMBER = struct.Struct(">Q")
# Bytes that the publisher may be ahead of the good subscriber.
WINDOW = MIB


def size_of(number):
    """Payload bytes of a message."""
    return SIZES[number % len(SIZES)]


def topic_of(number):
    """The topic of a stream; all have the same length."""
    return f"load/{number:03}"


class Parcel:
    """A buffer with many PUBLISH packets of MQTT 3.1.1, built once; only numbers, packet identifiers and the
    streams that they go to change."""

    def __init__(self, qos, cycles, streams):
        data, self.payloads, self.qos, self.streams = bytearray(), [], qos, streams
        for size in SIZES * cycles:
            payload = NUMBER.pack(0) + PATTERN[8:size]
            one = p.publish(p.V311, topic_of(0), payload, qos=qos, packet_id=1 if qos else None)
            self.payloads.append(len(data) + len(one) - size)
            data += one
        self.data = data
        self.count = len(self.payloads)

    def numbered(self, first):
        """The buffer with messages `first`, `first` + 1 and so on, each to the next stream."""
        for number, at in enumerate(self.payloads, first):
            NUMBER.pack_into(self.data, at, number)
            if self.qos:
                at -= 2
                struct.pack_into(">H", self.data, at, number % 65_535 + 1)
            if self.streams > 1:
                topic = topic_of(number % self.streams).encode()
                self.data[at - len(topic) : at] = topic
        return self.data


class Subscriber(Connection):
    """Reads numbered messages and checks every byte of them."""

    def __init__(self, port, client_id, wanted, qos, receive_buffer=None):
        super().__init__(port, p.V311, receive_buffer)
        self.login(client_id)
        self.subscribe(wanted, options=qos)
        self.qos = qos
        # Bytes between the fixed header and the payload.
        self.before = 2 + len(topic_of(0)) + (2 if qos else 0)
        self.acknowledgements = bytearray()

    def numbers(self):
        """Reads once; the numbers of all messages that are whole by then. `None` at the end of the connection."""
        if not self.fill(PATIENCE):
            return None
        return self.parse()

    def parse(self):
        """Takes the messages that are whole, and acknowledges them."""
        found, at = [], 0
        view = memoryview(self.data)
        while True:
            try:
                length, begin = p.take_variable(view, at + 1)
            except IndexError:
                break
            end = begin + length
            if end > len(view):
                break
            if view[at] >> 4 != p.PUBLISH:
                raise Failure(f"a packet {bytes(view[at : at + 8])!r} between the messages")
            payload = begin + self.before
            number = NUMBER.unpack_from(view, payload)[0]
            size = end - payload
            if size != size_of(number) or view[payload + 8 : end] != PATTERN[8:size]:
                raise Failure(f"message {number} has changed: {size} bytes")
            if self.qos:
                self.acknowledgements += b"\x40\x02" + view[payload - 2 : payload]
            found.append(number)
            at = end
        view.release()
        del self.data[:at]
        if self.acknowledgements:
            self.send(self.acknowledgements)
            self.acknowledgements.clear()
        return found


class Memory:
    """What the broker may grow by, from now on."""

    def __init__(self, broker, allowed):
        self.broker, self.allowed = broker, allowed
        self.idle = self.most = broker.memory()

    def grown(self):
        """The most that it has grown by, in MiB."""
        return (self.most - self.idle) / MIB

    def watch(self, over):
        """Samples it every 100 ms until the event `over`."""
        while True:
            self.most = max(self.most, self.broker.memory())
            if self.most > self.idle + self.allowed:
                allowed = self.allowed / MIB
                raise Failure(f"the broker grew by {self.grown():.1f} MiB, where {allowed:.1f} are allowed")
            if over.wait(0.1):
                return


class Run:
    """One publisher and one good subscriber, while the memory is watched."""

    def __init__(self, broker, qos, streams, memory):
        self.qos, self.streams, self.memory = qos, streams, memory
        self.port = broker.port
        self.good = Subscriber(broker.port, "good", "load/+", qos)
        self.received = 0
        self.failure = None
        self.turn = threading.Condition()
        self.over = threading.Event()

    def offer(self, total, enough):
        """Publishes at least `total` bytes of payload, or until there is `enough`; the number of messages."""
        works = (lambda: self.memory.watch(self.over), self.receive)
        threads = [threading.Thread(target=self.guarded, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        try:
            count = self.publish(total, enough)
            with self.turn:
                arrived = self.turn.wait_for(lambda: self.failure or self.received == count, 2 * PATIENCE)
            expect(arrived or self.failure, f"the good subscriber has {self.received} of {count} messages")
        finally:
            self.over.set()
            self.good.socket.shutdown(2)
            for thread in threads:
                thread.join()
            self.good.close()
        if self.failure:
            raise self.failure
        return count

    def guarded(self, work):
        """Runs a part of it; what goes wrong ends everything."""
        try:
            work()
        except Exception as error:
            with self.turn:
                self.failure = self.failure or error
                self.turn.notify_all()

    def receive(self):
        """The good subscriber: every number, in order."""
        while not self.over.is_set():
            found = self.good.numbers()
            if found is None:
                expect(self.over.is_set(), "the good subscriber was disconnected")
                return
            expected = list(range(self.received, self.received + len(found)))
            if found != expected:
                at = next(i for i, (a, b) in enumerate(zip(found, expected)) if a != b)
                raise Failure(f"the good subscriber got message {found[at]} where {expected[at]} comes next")
            with self.turn:
                self.received += len(found)
                self.turn.notify_all()

    def publish(self, total, enough):
        """Publishes, never further than the window ahead of the good subscriber."""
        cycles = WINDOW // 2 // CYCLE
        parcel = Parcel(self.qos, cycles, self.streams)
        ahead = 2 * parcel.count
        publisher = client(self.port, p.V311, "publisher")
        sent = acknowledged = 0
        for _ in range(-(-total // (CYCLE * cycles))):
            with self.turn:
                self.turn.wait_for(lambda: self.failure or sent + parcel.count - self.received <= ahead, 2 * PATIENCE)
                if self.failure:
                    break
                expect(sent + parcel.count - self.received <= ahead, f"the good subscriber stops at {self.received}")
            publisher.send(parcel.numbered(sent))
            sent += parcel.count
            # Read them now and then, so that they do not pile up; all of them at the end.
            if self.qos and sent - acknowledged > 4 * parcel.count:
                acknowledged = self.collect(publisher, acknowledged, sent - 2 * parcel.count)
            if enough():
                break
        if self.qos and not self.failure:
            self.collect(publisher, acknowledged, sent)
        publisher.close()
        return sent

    @staticmethod
    def collect(publisher, have, want):
        """Reads PUBACKs, which have to come in order, up to message number `want`."""
        while have < want:
            got = publisher.expect(p.PUBACK)
            expect(got.body == struct.pack(">H", have % 65_535 + 1), f"PUBACK {got.body.hex()} for message {have}")
            have += 1
        return have


def dropped_by(samples):
    """How many messages each reason dropped, if any."""
    begin, end = 'aldis_dropped_total{reason="', '"}'
    found = {name[len(begin) : -len(end)]: value for name, value in samples.items() if name.startswith(begin)}
    return {reason: value for reason, value in found.items() if value}


def account(broker):
    """The deliveries by what became of them."""
    samples = broker.metrics()
    names = ("offered_total", "completed_total", "expired_total", "waiting", "in_flight")
    sums = {name: samples[f"aldis_deliveries_{name}"] for name in names}
    sums["dropped"] = sum(dropped_by(samples).values())
    return sums


def balanced(broker):
    """The account once it balances: nothing is on its way any more."""

    def look():
        sums = account(broker)
        kept = sum(value for name, value in sums.items() if name != "offered_total")
        return sums if kept == sums["offered_total"] else None

    return until(look, f"every delivery is accounted for: {account(broker)}")


def drain(broker, slow, memory):
    """Lets the slow ones read now, while the memory is watched; the numbers that each received, which have to be
    in order."""
    got = [[] for _ in slow]
    stop = threading.Event()
    failures = []

    def guarded(work, *arguments):
        try:
            work(*arguments)
        except Exception as error:
            if not stop.is_set():
                failures.append(error)

    def read(one, numbers):
        while not stop.is_set() and (found := one.numbers()) is not None:
            numbers += found

    threads = [threading.Thread(target=guarded, args=(read, *pair)) for pair in zip(slow, got)]
    watching = threading.Thread(target=guarded, args=(memory.watch, stop))
    for thread in (*threads, watching):
        thread.start()
    try:
        # Then every byte is with the operating system, or acknowledged.
        until(lambda: failures or not any(account(broker)[name] for name in ("waiting", "in_flight")),
              "the queues run empty", patience=2 * PATIENCE)  # fmt: skip
        # A connection whose writing side is closed here is read to its end.
        for one in slow:
            one.socket.shutdown(1)
        for thread in threads:
            thread.join(2 * PATIENCE)
            expect(not thread.is_alive() or failures, "a slow subscriber is still reading")
    finally:
        stop.set()
        for one in slow:
            one.close()
        for thread in (*threads, watching):
            thread.join()
    if failures:
        raise failures[0]
    for numbers in got:
        expect(all(a < b for a, b in zip(numbers, numbers[1:])), "a slow subscriber got messages out of order or twice")
    return got


def slow_readers(qos, readers, total, settings, allowed, streams=1, enough=None):
    """The whole story, and what everybody got compared with what was counted. With several streams each slow
    reader has one of its own, otherwise all have the same. Less is offered if `enough`, which is given the
    metrics, says so after a parcel. Answers how often each reason dropped something."""
    with script.broker(settings=settings, metrics=True) as broker:
        # Once through everything, so that threads and their buffers are there.
        with client(broker.port, p.V311, "warm") as warm:
            warm.subscribe("warm", options=0)
            warm.publish("warm", bytes(max(SIZES)))
            warm.message()
        # A `$SYS` figure is no delivery: nobody subscribes there. The one above may be counted a moment after it came.
        before = until(lambda: (sums := balanced(broker))["offered_total"] and sums, "the first message is counted")
        wanted = [topic_of(number % streams) for number in range(readers)]
        slow = [Subscriber(broker.port, f"slow-{name}-{at}", name, qos, 8192) for at, name in enumerate(wanted)]
        start = time.monotonic()
        memory = Memory(broker, allowed + SLACK)
        count = Run(broker, qos, streams, memory).offer(total, lambda: enough is not None and enough(broker.metrics()))
        # How many messages each slow one is offered.
        shares = [len(range(number % streams, count, streams)) for number in range(readers)]
        took = time.monotonic() - start
        sums = balanced(broker)
        change = {name: sums[name] - before[name] for name in sums}
        offered = f"{count} messages, {count // len(SIZES) * CYCLE / 1e9:.2f} GB in {took:.1f} s"
        expect(change["offered_total"] == count + sum(shares), f"{change}, where {count + sum(shares)} were offered")
        expect(change["dropped"] > 0, "nothing was dropped: the slow ones were not slow")
        queued = change["waiting"] + change["in_flight"]
        expect(change["dropped"] == change["offered_total"] - change["completed_total"] - queued, f"{change}")
        loaded = memory.grown()
        numbers = drain(broker, slow, memory)
        script.note(
            f"QoS {qos}: {offered} to 1 + {readers}; {loaded:.1f} MiB more than idle,"
            f" {memory.grown():.1f} with the reading, {memory.allowed / MIB:.1f} are allowed"
        )
        received = sum(map(len, numbers))
        dropped = balanced(broker)["dropped"] - before["dropped"]
        expect(dropped == change["dropped"], "something was dropped while the slow ones read")
        expect(
            received + dropped == sum(shares),
            f"the slow ones got {received} of {sum(shares)} messages and {dropped:.0f} were counted as dropped",
        )
        expect(all(numbers), "a slow subscriber got nothing at all")
        if streams > 1:
            strangers = [at for at, got in enumerate(numbers) if any(number % streams != at % streams for number in got)]
            expect(not strangers, f"slow subscribers {strangers[:5]} got messages of others")
        reasons = dropped_by(broker.metrics())
        broker.stop()
        return reasons


ONE = {"limits.queue_bytes": "16 MiB", "limits.outbox_bytes": "256 KiB", "limits.answers_bytes": "256 KiB"}
# For both subscribers, although the good one needs next to nothing of it: a packet on its way, what the limits
# allow the slow one, and an Outbox each.
ONE_ALLOWED = 16 * MIB + 2 * (256 + 256 + 64) * 1024


@script.case
def one_slow_reader_at_qos_0():
    slow_readers(0, 1, 2_000_000_000, ONE, ONE_ALLOWED)


@script.case
def one_slow_reader_at_qos_1():
    slow_readers(1, 1, 2_000_000_000, ONE, ONE_ALLOWED)


# Each has a stream of its own, so that nothing in their queues is shared and the limits are used to the full.
MANY = {"limits.queue_bytes": "512 KiB", "limits.outbox_bytes": "64 KiB", "limits.answers_bytes": "64 KiB"}
# In an Outbox, a message that is begun may be more than the limit.
MANY_ALLOWED = 201 * (512 + 64 + 64 + 64) * 1024


@script.case
def two_hundred_slow_readers_at_qos_0():
    slow_readers(0, 200, 1_200_000_000, MANY, MANY_ALLOWED, streams=200)


@script.case
def two_hundred_slow_readers_at_qos_1():
    slow_readers(1, 200, 1_200_000_000, MANY, MANY_ALLOWED, streams=200)


# Their queues could hold 800 MiB together; the memory watermark is what bounds them. It slows the publisher down,
# to one read every 100 ms: so this one ends as soon as it has been seen. The Outbox has room for two such reads,
# as by default.
FULL = {**ONE, "limits.queue_bytes": "4 MiB", "limits.memory_watermark": "16 MiB"}
FULL_ALLOWED = 16 * MIB + 201 * (256 + 256 + 64) * 1024


@script.case
def two_hundred_slow_readers_at_the_memory_watermark():
    seen = {0}

    def enough(samples):
        seen.add(samples["aldis_memory_watermark_reached"])
        return dropped_by(samples).get("memory_watermark", 0) > 200

    # No queue is ever full, so each message that is dropped is dropped at the watermark.
    reasons = slow_readers(1, 200, 3_000_000_000, FULL, FULL_ALLOWED, streams=200, enough=enough)
    expect(reasons.keys() == {"memory_watermark"}, f"dropped for other reasons than the watermark: {reasons}")
    expect(1 in seen, "aldis_memory_watermark_reached was never 1")


if __name__ == "__main__":
    script.main()
