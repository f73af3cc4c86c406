#!/usr/bin/env python3
"""State that is no message: what clients make the broker remember stays near the memory watermark, whoever is small
is served all the while, and everything is given back.

Each case sends several times what the watermark allows, and looks at the memory of the process, not only at what the
broker says it holds.
"""

import contextlib
import struct

from wire import packets as p
from wire.connection import Connection, client, expect, until
from wire.script import Script

script = Script("State that is no message, at the memory watermark.")

MIB = 1 << 20
WATERMARK = 32 * MIB
# What is let in beyond the watermark is a quarter of it; the allocator and the tables around it need their part, and
# buffers of readers and threads are nobody's in particular.
ALLOWED = 2 * WATERMARK + 32 * MIB

NEVER = p.properties((0x11, b"\xff\xff\xff\xff"))
LONG = "x" * 60_000


def large_will(*properties):
    """A will of 180 KB."""
    more = [p.user("k", "v" * 60_000)] * 2
    return p.Will("w", bytes(60_000), block=p.properties(*properties, *more))


@contextlib.contextmanager
def attacked():
    """A broker with a low watermark, of which `broker.idle` is the memory before anything happens."""
    settings = {"limits.memory_watermark": WATERMARK, "limits.session_expiry_max": "1 h"}
    with script.broker(settings=settings, metrics=True) as broker:
        with client(broker.port) as one:
            one.ping()
        broker.idle = broker.memory()
        yield broker
        broker.stop()


def bounded(broker):
    """The memory is in its bounds, and so close to them that the attack was one; and somebody small is served."""
    grown = broker.memory() - broker.idle
    expect(grown <= ALLOWED, f"{grown / MIB:.0f} MiB above idle, {ALLOWED / MIB:.0f} are allowed")
    held = broker.metrics()["aldis_held_bytes"]
    expect(held <= WATERMARK * 1.3, f"{held / MIB:.0f} MiB are held, the watermark is {WATERMARK / MIB:.0f}")
    expect(held >= WATERMARK * 0.9, f"only {held / MIB:.0f} MiB are held")
    script.note(f"{grown / MIB:.0f} MiB above idle, {held / MIB:.0f} held")
    small(broker)


def small(broker):
    """A client with a short name, a short will and a few short filters exchanges a message."""
    with Connection(broker.port) as one:
        one.login("small", will=p.Will("small/will", b"gone")).subscribe("small/+", "other/+", options=0)
        one.publish("small/x", b"hello", qos=1, packet_id=1)
        kinds = {one.receive().kind, one.receive().kind}
        expect(kinds == {p.PUBLISH, p.PUBACK}, f"packets of types {kinds} came")


def nothing_held(broker, within=60):
    """Held bytes are back at what an idle broker has."""
    until(lambda: broker.metrics()["aldis_held_bytes"] < MIB, "bytes are still held", patience=within)


@script.case
def large_filters_of_lasting_sessions():
    """200 lasting sessions with 16 filters of 60 KB each: 190 MB are sent."""
    with attacked() as broker:
        codes = set()
        for number in range(200):
            with Connection(broker.port) as one:
                if one.try_login(f"s{number}", clean=False, block=NEVER) != 0:
                    continue
                for k in range(16):
                    one.send(p.subscribe(p.V5, 1 + k, (f"{LONG}/{number}/{k}", 0)))
                    codes.add(one.expect(p.SUBACK).body[-1])
        expect(codes == {0, 0x97}, f"codes {codes}")
        bounded(broker)
        for number in range(200):
            with Connection(broker.port) as one:
                expect(one.try_login(f"s{number}") == 0, "a clean start was refused")
        nothing_held(broker)


@script.case
def large_wills_and_client_ids_of_lasting_sessions():
    """500 lasting sessions with wills of 180 KB that are never due, then 1,000 with client ids of 60 KB."""
    with attacked() as broker:
        codes = []
        for number in range(500):
            with Connection(broker.port) as one:
                will = large_will((0x18, b"\xff\xff\xff\xff"))
                codes.append(one.try_login(f"w{number}", clean=False, block=NEVER, will=will))
        expect(set(codes) == {0, 0x97}, f"codes {set(codes)}")
        expect(codes.count(0) * 180_000 <= WATERMARK + 300_000, f"{codes.count(0)} wills of 180 KB were taken")
        late = []
        for number in range(1_000):
            with Connection(broker.port) as one:
                late.append(one.try_login(f"{number}{LONG}", clean=False, block=NEVER))
        # What a CONNECT takes while it is read makes room for a few when it is gone.
        expect(set(late) <= {0, 0x97} and late.count(0) < 20, f"{late.count(0)} long client ids, codes {set(late)}")
        broker.wait_for("limits.memory_watermark is reached")
        bounded(broker)


@script.case
def large_topic_aliases():
    """200 connections with 16 aliases for topics of 60 KB: 190 MB are sent."""
    with attacked() as broker:
        held, ended = [], 0
        for number in range(200):
            one = client(broker.port)
            for alias in range(1, 17):
                topic = f"{LONG}/{number}/{alias}"
                one.publish(topic, b"", block=p.properties((0x23, struct.pack(">H", alias))))
            one.send(p.PING)
            got = one.receive()
            if got is not None and got.kind == p.DISCONNECT:
                ended += 1
                expect(p.reason(p.V5, got) == 0x97, f"{got}")
            held.append(one)
        expect(100 < ended < 200, f"{ended} of 200 were ended")
        bounded(broker)
        for one in held:
            one.close()
        nothing_held(broker)


@script.case
def packets_that_never_become_whole():
    """400 connections send all of a packet of 1 MB but its last byte."""
    with attacked() as broker:
        packet = p.publish(p.V5, "t", bytes(1_000_000))[:-1]
        held = []
        for _ in range(400):
            one = client(broker.port)
            one.send(packet)
            held.append(one)
        # The others wait for the rest.
        reason = 'aldis_connections_ended_total{reason="quota_exceeded"}'
        until(lambda: broker.metrics()[reason] > 300, "hardly anybody was ended")
        ended = broker.metrics()[reason]
        expect(ended < 400, f"{ended} of 400 were ended")
        bounded(broker)
        for one in held:
            one.close()
        nothing_held(broker)


@script.case
def connects_that_never_become_whole():
    """1,000 strangers send 180 KB of a CONNECT, and never the rest."""
    with attacked() as broker:
        whole = p.connect(p.V5, "stranger", will=large_will())[:-1]
        strangers = []
        for _ in range(1_000):
            one = Connection(broker.port)
            one.send(whole)
            strangers.append(one)
        until(lambda: broker.metrics()["aldis_held_bytes"] >= WATERMARK * 0.9, "they are not held")
        bounded(broker)
        for one in strangers:
            one.close()
        nothing_held(broker)


if __name__ == "__main__":
    script.main()
