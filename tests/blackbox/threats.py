#!/usr/bin/env python3
"""How brokers have been broken: each attack on a broker that also serves two honest clients.

In every case the attack meets the bound that is meant for it, and the bound is seen from outside: what the client
is told, the memory of the process, what the metrics count. Meanwhile the neighbours exchange numbered messages at
QoS 1, of which none may be lost or change places, and newcomers are let in. docs/security.md lists which case
stands for which class of attack.
"""

import contextlib
import os
import struct
import threading
import time

from wire import packets as p
from wire.connection import Connection, Failure, client, expect, until
from wire.script import Script

script = Script("Attacks, beside clients that have to be served.")

MIB = 1 << 20
LONG = "ALDIS_LONG" in os.environ
# Memory that is nobody's in particular: threads, allocator, buffers of readers.
SLACK = 32 * 1000 * 1000
NUMBER = struct.Struct(">Q")


class Neighbours:
    """A publisher and a subscriber who know nothing of the attack. Use it with `with`."""

    def __init__(self, broker):
        self.broker = broker
        self.subscriber = client(broker.port, client_id="honest-s").subscribe("honest/+", options=1)
        self.publisher = client(broker.port, client_id="honest-p")
        self.count = 0
        self.failure = None
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.talk, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        self.over.set()
        self.thread.join()
        self.subscriber.close()
        self.publisher.close()
        if kind is None and self.failure:
            raise Failure(f"after {self.count} messages between neighbours: {self.failure}")
        if kind is None:
            expect(self.count > 10, f"only {self.count} messages between neighbours during the attack")

    def talk(self):
        """One message after the other, each acknowledged from both sides before the next."""
        try:
            while not self.over.is_set():
                self.exchange()
        except Failure as failure:
            self.failure = failure

    def exchange(self):
        self.publisher.publish("honest/x", NUMBER.pack(self.count), qos=1, packet_id=1)
        self.publisher.expect(p.PUBACK)
        _, packet_id, payload = self.subscriber.message()
        number = NUMBER.unpack(payload)[0]
        expect(number == self.count, f"message {number} came where {self.count} was due")
        self.subscriber.send(p.acknowledge(p.PUBACK, packet_id))
        self.count += 1


def newcomer(broker):
    """Somebody new is let in and answered."""
    with client(broker.port) as one:
        one.ping()


def rested(broker, allowed, words):
    """Waits until the process is at most `allowed` bytes larger than a moment after its start."""
    until(lambda: broker.memory() <= broker.idle + allowed, f"{words}: {broker.memory() / MIB:.1f} MiB are resident")


@contextlib.contextmanager
def attacked(**limits):
    """A broker with metrics and these limits, and its neighbours; at the end it lets a newcomer in and stops well."""
    with started(**limits) as broker:
        with Neighbours(broker):
            yield broker
            newcomer(broker)
        broker.stop()


def started(**settings):
    """A broker with metrics and these limits, and its idle memory."""
    settings = {f"limits.{name}": value for name, value in settings.items()}
    broker = script.broker(settings=settings, metrics=True)
    newcomer(broker)
    broker.idle = broker.memory()
    return broker


def code_of_end(connection):
    """The reason code of the DISCONNECT that ends the connection."""
    last = connection.remains()[-1:]
    expect(last and last[0].kind == p.DISCONNECT, f"ended with {last} and not with DISCONNECT")
    return p.reason(p.V5, last[0])


def flood(broker, data, times):
    """Sends the same bytes again and again, and reads whatever comes back so that nothing piles up. Stops early
    when the broker ends the connection."""
    with client(broker.port) as attacker:
        reader = threading.Thread(target=swallow, args=(attacker,), daemon=True)
        reader.start()
        for _ in range(times):
            try:
                attacker.socket.sendall(data)
            except OSError:
                break
        attacker.socket.shutdown(1)
        reader.join()


def swallow(connection):
    try:
        while connection.socket.recv(1 << 18):
            pass
    except OSError:
        pass


# ---- growth by protocol state ----


@script.case
def unreleased_qos_2_identifiers_are_bounded():
    """200 clients that never send PUBREL: each is ended at the Receive Maximum, and an identifier is a few bytes."""
    with attacked(receive_maximum="1000") as broker:
        held = []
        for number in range(200):
            one = client(broker.port, client_id=f"holder-{number}", block=p.properties((0x11, b"\0\0\1\0")))
            burst = b"".join(p.publish(p.V5, "t", b"", qos=2, packet_id=k) for k in range(1, 1001))
            one.send(burst)
            for _ in range(1000):
                one.expect(p.PUBREC)
            held.append(one)
        grown = broker.memory() - broker.idle
        allowed = SLACK + 200 * 1000 * 16
        expect(grown <= allowed, f"200,000 identifiers take {grown / MIB:.1f} MiB, {allowed / MIB:.1f} are allowed")
        for one in held:
            one.publish("t", b"", qos=2, packet_id=1001)
            expect(code_of_end(one) == 0x93, "one more than the receive maximum was not refused with 0x93")
            one.close()
        newcomer(broker)
        for number in range(200):
            with client(broker.port, client_id=f"holder-{number}") as clean:
                clean.ping()
        until(lambda: broker.metrics()["aldis_sessions"] <= 3, "the sessions are still there")


@script.case
def repeated_qos_2_messages_are_kept_once():
    """The same identifier 20,000 times without PUBREL: one message is delivered, none is stored again."""
    with attacked() as broker:
        with client(broker.port).subscribe("t", options=0) as subscriber, client(broker.port) as publisher:
            again = p.publish(p.V5, "t", bytes(1000), qos=2, packet_id=7, dup=True) * 100
            for _ in range(200):
                publisher.send(again)
                for _ in range(100):
                    publisher.expect(p.PUBREC)
            publisher.publish("t", b"marker")
            expect(len(subscriber.message()[2]) == 1000, "the message did not come")
            expect(subscriber.message()[2] == b"marker", "it came more than once")
        rested(broker, SLACK, "after 20,000 repeats")


@script.case
def sessions_and_what_they_hold_end_with_their_expiry():
    """5,000 sessions of two seconds, each with a will, a subscription and a message: afterwards nothing is left."""
    with attacked() as broker:
        before = broker.metrics()
        will = p.Will(topic="last", payload=bytes(200), block=p.properties((0x18, b"\0\0\0\1")))
        short = p.properties((0x11, b"\0\0\0\2"))
        for number in range(5_000):
            with Connection(broker.port) as one:
                name = f"short-{number}"
                one.login(name, block=short, will=will).subscribe(f"own/{name}", options=1)
                one.publish(f"own/{name}", bytes(500), qos=1, packet_id=1)
                one.expect(p.PUBLISH) if one.receive().kind == p.PUBACK else one.expect(p.PUBACK)
        most = broker.memory() - broker.idle
        allowed = SLACK + 5_000 * 6_000
        expect(most <= allowed, f"5,000 sessions take {most / MIB:.1f} MiB, {allowed / MIB:.1f} are allowed")

        def gone():
            now = broker.metrics()
            same = ("aldis_sessions", "aldis_subscriptions", "aldis_deliveries_in_flight", "aldis_deliveries_waiting")
            return all(now[name] <= before[name] + 1 for name in same)

        until(gone, "sessions are left although their expiry has passed")
        now = broker.metrics()
        expect(now["aldis_sessions_expired_total"] >= 4_000, "the sessions are not counted as expired")
        rested(broker, SLACK, "after 5,000 sessions")


# ---- CPU amplification ----


@script.case
def deep_topics_are_refused():
    """A topic of 65,535 slashes, published, subscribed to, unsubscribed from, and as a will."""
    slashes = "/" * 65_535
    with attacked() as broker:
        for _ in range(50):
            with client(broker.port) as one:
                one.publish(slashes, b"x", qos=1, packet_id=1)
                expect(code_of_end(one) == 0x90, "a topic of 65,536 levels was not refused with 0x90")
            with client(broker.port) as one:
                one.send(p.subscribe(p.V5, 1, (slashes, 0), ("+/" * 32_767 + "+", 0), ("fine", 0)))
                codes = one.expect(p.SUBACK).body[-3:]
                expect(codes == b"\x8f\x8f\0", f"SUBACK {codes.hex()}")
                one.send(p.unsubscribe(p.V5, 2, slashes))
                expect(one.expect(p.UNSUBACK).body[-1] == 0x8F, "UNSUBACK without 0x8F")
            with Connection(broker.port) as one:
                expect(one.try_login("w", will=p.Will(slashes)) == 0x90, "a will to such a topic was not refused")
        rested(broker, SLACK, "after deep topics")


@script.case
def filters_full_of_wildcards_cost_no_more_than_they_match():
    """As many of the filters of `a` and `+` over 12 levels as a session may have, all of which match one topic; its
    publisher is served, and so are all others."""
    with attacked() as broker:
        with client(broker.port) as bomber, client(broker.port) as publisher:
            filters = ["/".join("+" if number >> level & 1 else "a" for level in range(12)) for number in range(4096)]
            for first in range(0, 4096, 512):
                block = [(name, 0) for name in filters[first : first + 512]]
                bomber.send(p.subscribe(p.V5, 1 + first, *block))
                expect(set(bomber.expect(p.SUBACK).body[-512:]) == {0}, "not subscribed")
            topic = "/".join("a" * 12)
            for number in range(200):
                publisher.publish(topic, NUMBER.pack(number), qos=1, packet_id=1)
                publisher.expect(p.PUBACK)
                # Overlapping subscriptions of one session are one delivery.
                expect(NUMBER.unpack(bomber.message()[2])[0] == number, "a message is missing, or came twice")
            for _ in range(200):
                publisher.publish("/".join("b" * 100), b"", qos=1, packet_id=1)
                publisher.expect(p.PUBACK)
        rested(broker, SLACK, "after 4,096 filters")


@script.case
def many_user_properties_are_refused():
    """Tens of thousands of them in every packet that may hold some."""
    many = p.properties(*[p.user("", "")] * 40_000)
    with attacked() as broker:
        for _ in range(20):
            with Connection(broker.port) as one:
                expect(one.try_login("c", block=many) == 0x97, "CONNECT was not refused with 0x97")
            with Connection(broker.port) as one:
                expect(one.try_login("c", will=p.Will(block=many)) == 0x97, "a will was not refused with 0x97")
            for packet in (
                p.publish(p.V5, "t", block=many),
                p.subscribe(p.V5, 1, ("t", 0), block=many),
                p.unsubscribe(p.V5, 1, "t", block=many),
                p.acknowledge(p.PUBACK, 1, b"\0" + many),
                p.packet(0xE0, b"\0" + many),
            ):
                with client(broker.port) as one:
                    one.send(packet)
                    expect(code_of_end(one) == 0x97, f"packet type {packet[0] >> 4} was not refused with 0x97")
        rested(broker, SLACK, "after many user properties")


@script.case
def a_wildcard_over_many_retained_messages_stops_nobody():
    """50,000 retained messages; some subscribe to all of them again and again and read slowly, or not at all."""
    count = 200_000 if LONG else 50_000
    with started(retained_messages="1000000") as broker:
        with client(broker.port) as keeper:
            for first in range(0, count, 500):
                some = range(first, first + 500)
                keeper.send(b"".join(p.publish(p.V5, f"kept/{k}", bytes(20), retain=True) for k in some))
                keeper.ping()
        stored = broker.memory()
        with Neighbours(broker):
            deaf = [Connection(broker.port, receive_buffer=4096).login() for _ in range(30)]
            for _ in range(5):
                for one in deaf:
                    one.send(p.subscribe(p.V5, 1, ("kept/#", 1), ("#", 0)))
            with client(broker.port).subscribe("kept/+") as one:
                for _ in range(count):
                    one.message()
            newcomer(broker)
            allowed = SLACK + 30 * 2 * MIB
            expect(broker.memory() <= stored + allowed, f"{(broker.memory() - stored) / MIB:.1f} MiB for 30 readers")
            for one in deaf:
                one.close()
        broker.stop()


@script.case
def a_flood_starves_nobody():
    """Two clients that send as fast as they can, to many subscribers and to nobody."""
    with started() as broker:
        with Neighbours(broker) as neighbours:
            crowd = [client(broker.port).subscribe("flood") for _ in range(20)]
            for one in crowd:
                threading.Thread(target=swallow, args=(one,), daemon=True).start()
            times = 2_000 if LONG else 300
            floods = [
                threading.Thread(target=flood, args=(broker, p.publish(p.V5, topic, bytes(30)) * 1_000, times))
                for topic in ("flood", "nobody")
            ]
            for one in floods:
                one.start()
            for one in floods:
                one.join()
            newcomer(broker)
            script.note(f"{neighbours.count} messages between neighbours beside {2 * times * 1_000} of the floods")
            for one in crowd:
                one.close()
        rested(broker, SLACK, "after the flood")
        broker.stop()


# ---- races ----


@script.case
def take_overs_in_a_stream_lose_nothing():
    """A lasting session is taken over 300 times while messages come to it: each arrives, in order, repeats only
    with DUP."""
    lasting = p.properties((0x11, b"\0\0\2\0"))
    total = 3_000
    with attacked() as broker:
        expected, current = 0, None
        publisher = client(broker.port)
        current = Connection(broker.port).login("victim", clean=False, block=lasting)
        current.send(p.subscribe(p.V5, 1, ("stream", 1)))
        current.expect(p.SUBACK)
        sender = threading.Thread(target=stream, args=(publisher, total), daemon=True)
        sender.start()
        rounds = 0
        while expected < total:
            rounds += 1
            old, current = current, Connection(broker.port).login("victim", clean=False, block=lasting)
            old.close()
            if rounds % 3 == 0:
                # In the middle of a SUBSCRIBE that is never answered.
                current.send(p.subscribe(p.V5, 2, *[(f"other/{k}", 0) for k in range(100)]))
            for _ in range(rounds % 20):
                if expected == total:
                    break
                expected = take_one(current, expected)
        expect(rounds > 100, f"only {rounds} take-overs")
        sender.join()
        script.note(f"{total} messages over {rounds} connections")
        publisher.close()
        current.close()


def stream(publisher, total):
    for number in range(total):
        publisher.publish("stream", NUMBER.pack(number), qos=1, packet_id=number % 1000 + 1)
        publisher.expect(p.PUBACK)


def take_one(connection, expected):
    """Receives one message and acknowledges it; the number that is due next."""
    while True:
        got = connection.receive()
        expect(got is not None, "closed in the middle of the stream")
        if got.kind != p.PUBLISH:
            continue
        _, packet_id, payload = p.delivered(p.V5, got)
        number = NUMBER.unpack(payload)[0]
        connection.send(p.acknowledge(p.PUBACK, packet_id))
        if number == expected:
            return expected + 1
        is_repeat = number < expected and got.flags & 8
        expect(is_repeat, f"message {number} came where {expected} was due, flags {got.flags:x}")


@script.case
def many_connections_with_one_client_id_leave_one():
    """40 threads fight for one client id, with clean and lasting sessions; in the end one session is there."""
    with attacked() as broker:
        over = time.monotonic() + 4

        def fight(number):
            while time.monotonic() < over:
                with Connection(broker.port) as one:
                    one.send(p.connect(p.V5, "prize", clean=number % 3 == 0, block=p.properties((0x11, b"\0\0\0\5"))))
                    one.send(p.subscribe(p.V5, 1, ("prize/#", 1)) + p.publish(p.V5, "prize/x", b"x"))
                    if number % 2:
                        one.receive()

        threads = [threading.Thread(target=fight, args=(number,)) for number in range(40)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        # What they sent last may be read after they are gone: somebody new could still be told to wait for them.
        until(lambda: broker.metrics()["aldis_connections"] == 2, "connections are left of those that fought")
        with client(broker.port, client_id="prize") as last:
            last.ping()
            figures = broker.metrics()
            expect(figures["aldis_sessions_connected"] == 3, f"{figures['aldis_sessions_connected']} are connected")
            expect(figures["aldis_taken_over_total"] > 20, "hardly anybody was taken over")


@script.case
def a_retained_value_never_follows_a_newer_one():
    """Subscribes while its topic is published to: what comes for the subscription is never older than what was
    live before it."""
    with attacked() as broker:
        over = threading.Event()
        publisher = client(broker.port)

        def publish():
            number = 0
            while not over.is_set():
                number += 1
                publisher.publish("value", NUMBER.pack(number), qos=1, packet_id=1, retain=True)
                publisher.expect(p.PUBACK)

        thread = threading.Thread(target=publish, daemon=True)
        thread.start()
        for _ in range(300):
            with client(broker.port) as one:
                one.send(p.subscribe(p.V5, 1, ("value", 0)) + p.subscribe(p.V5, 2, ("value/#", 0), ("value", 0)))
                newest, seen = 0, 0
                while seen < 6:
                    got = one.receive()
                    if got.kind != p.PUBLISH:
                        continue
                    seen += 1
                    number = NUMBER.unpack(p.delivered(p.V5, got)[2])[0]
                    expect(number >= newest, f"value {number} came after {newest}")
                    newest = number
        over.set()
        thread.join()
        publisher.close()


# ---- silent loss ----


@script.case
def what_is_dropped_is_counted_and_said():
    """An offline session with a short queue: of 500 acknowledged messages those that do not come are counted."""
    with attacked(queue_messages="100") as broker:
        lasting = p.properties((0x11, b"\0\0\2\0"))
        with Connection(broker.port) as one:
            one.login("away", clean=False, block=lasting).subscribe("for/away", options=1)
        until(lambda: broker.metrics()["aldis_sessions_connected"] == 2, "still connected")
        with client(broker.port) as publisher:
            for number in range(500):
                publisher.publish("for/away", NUMBER.pack(number), qos=1, packet_id=1)
                publisher.expect(p.PUBACK)
            # What a turn counts is posted behind what it writes, and before the next.
            publisher.ping()
        dropped = sum(value for name, value in broker.metrics().items() if name.startswith("aldis_dropped_total"))
        got = []
        with Connection(broker.port) as one:
            one.login("away", clean=False, block=lasting)
            one.send(p.publish(p.V5, "for/away", NUMBER.pack(999), qos=1, packet_id=1))
            while not got or got[-1] != 999:
                packet = one.receive()
                if packet.kind == p.PUBLISH:
                    _, packet_id, payload = p.delivered(p.V5, packet)
                    one.send(p.acknowledge(p.PUBACK, packet_id))
                    got.append(NUMBER.unpack(payload)[0])
        expect(got[:-1] == list(range(len(got) - 1)), f"{got[:5]} … are not the oldest, in order")
        expect(len(got) - 1 + dropped == 500, f"{len(got) - 1} came and {dropped} are counted as dropped, of 500")
        broker.wait_for("queue")


if __name__ == "__main__":
    script.main()
