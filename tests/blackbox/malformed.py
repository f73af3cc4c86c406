#!/usr/bin/env python3
"""Packets that the standards forbid, and strangers who want to cost the broker something.

One broker takes every case of the grid (wire/malformed_cases.py and wire/malformed_connects.py),
each on a connection of its own. What must happen: before CONNECT nothing is answered; a refused
CONNECT gets the CONNACK that its version has, or nothing; after CONNECT, MQTT 5 gets a DISCONNECT
with the right code, 3.x is just closed; nothing else happens because of it, which a subscriber to
`#` watches; and the broker goes on serving.
"""

import concurrent.futures
import selectors
import socket
import time

from wire import packets as p
from wire.connection import Connection, Failure, client, expect, until
from wire.malformed_cases import cases
from wire.malformed_connects import connects
from wire.script import Script

script = Script("Malformed and forbidden packets, and what strangers can cost.")

# Failures that are shown of one grid; the rest are counted.
SHOWN = 12


# Cases that run at the same time: a broker may let a connection that it has refused linger for a moment.
AT_ONCE = 32


def run_grid(port, grid, check):
    """Runs every case and fails with all that went wrong. Those that are accepted go one after the other, as
    they may have the same client id."""

    def failure_of(case):
        try:
            check(port, case)
        except Failure as failure:
            return f"{p.NAMES[case.version]} {case.name}: {failure}"
        return None

    grid = list(grid)
    names = {(case.version, case.name) for case in grid}
    expect(len(names) == len(grid), "two cases have the same name")
    accepted = [case for case in grid if case.codes in (None, {0})]
    refused = [case for case in grid if case.codes not in (None, {0})]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        failures = [*map(failure_of, accepted), *pool.map(failure_of, refused)]
    failures = [failure for failure in failures if failure]
    script.note(f"{len(accepted)} cases that are allowed, {len(refused)} that are not")
    if failures:
        more = f"; and {len(failures) - SHOWN} more" if len(failures) > SHOWN else ""
        raise Failure(f"{len(failures)} of {len(grid)} cases:\n   " + "\n   ".join(failures[:SHOWN]) + more)


def check_established(port, case):
    """Sends the bytes of a case on a connection that is logged in."""
    # 3.1 has no empty client id.
    with client(port, case.version, f"{hash(case.name):x}" if case.version == p.V31 else "") as connection:
        connection.send(case.data)
        if case.codes is None:
            connection.send(p.PING)
            seen = []
            while True:
                got = connection.receive()
                expect(got is not None, f"closed, after {list(map(str, seen))}")
                expect(got.kind != p.DISCONNECT, f"refused with 0x{p.reason(case.version, got):02X}")
                if got.kind == p.PINGRESP:
                    return
                seen.append(got)
        seen = connection.remains()
        if case.version != p.V5:
            expect(not seen, f"answered with {seen[0] if seen else None}")
            return
        expect([got.kind for got in seen] == [p.DISCONNECT], f"answered with {list(map(str, seen))}")
        code = p.reason(p.V5, seen[0])
        wanted = " or ".join(f"0x{code:02X}" for code in sorted(case.codes))
        expect(code in case.codes, f"DISCONNECT 0x{code:02X} ({p.reason_string(seen[0])}), not {wanted}")


def check_first(port, case):
    """Sends the bytes of a case as the first of a connection."""
    with Connection(port, case.version) as connection:
        connection.send(case.data)
        if case.codes == {0}:
            code = p.reason(case.version, connection.expect(p.CONNACK))
            expect(code == 0, f"refused with 0x{code:02X}")
            connection.ping()
            return
        seen = connection.remains()
        if not case.codes:
            expect(not seen, f"answered with {list(map(str, seen))}")
            return
        expect([got.kind for got in seen] == [p.CONNACK], f"answered with {list(map(str, seen))}")
        body = seen[0].body
        wanted = " or ".join(f"0x{code:02X}" for code in sorted(case.codes))
        expect(body[0] == 0 and body[1] in case.codes, f"CONNACK {body.hex()}, not {wanted}")
        short = len(body) == 2
        expect(short == (case.version != p.V5), f"CONNACK {body.hex()} is in the form of another version")


def grid_case(grid, check, allowed_topics):
    """Runs a grid beside a witness that must hear nothing of it but what is allowed."""
    # Nothing in a grid is to wait for a deadline.
    with script.broker(settings={"limits.first_packet_timeout": "1 h"}) as broker:
        witness = client(broker.port, client_id="witness").subscribe("#")
        run_grid(broker.port, grid, check)
        with client(broker.port) as last:
            last.publish("end", b"end", qos=1, packet_id=1)
            last.expect(p.PUBACK)
        heard = set()
        while (message := witness.message())[0] != "end":
            heard.add(message[0])
        unexpected = sorted(topic for topic in heard if not allowed_topics(topic))
        expect(not unexpected, f"published by packets that were refused: {unexpected[:5]}")
        witness.close()
        broker.stop()


@script.case
def after_connect():
    # What cases that are allowed publish to; they end well.
    good = {"m/t", "m/dup", "m" + 127 * "/", "\ufeffm", "m/\uffff", "m/\U0001f600"}
    grid_case(cases(), check_established, good.__contains__)


@script.case
def nothing_is_delivered_of_what_is_refused():
    """As above, but only what is forbidden, each publishing to a topic that nobody else has."""
    shapes = {
        "QoS 3": p.packet(0x36, p.text("refused") + b"\0\1\0x"),
        "user properties": p.publish(5, "refused", b"x", block=p.properties(*[p.user()] * 300)),
        "subscription identifier": p.publish(5, "refused", b"x", block=p.properties((0x0B, b"\1"))),
        "alias 0": p.publish(5, "refused", b"x", block=p.properties((0x23, b"\0\0"))),
        "retained": p.publish(5, "refused", b"x", retain=True, block=p.properties((0x01, b"\7"))),
        "behind a bad packet": p.packet(0xC0, b"x") + p.publish(5, "refused", b"x", retain=True),
        "in front of its end": p.publish(5, "refused", b"x", qos=1, packet_id=0),
    }
    with script.broker() as broker:
        witness = client(broker.port).subscribe("#")
        for words, data in shapes.items():
            with client(broker.port) as bad:
                bad.send(data)
                expect(bad.receive().kind == p.DISCONNECT, words)
        with client(broker.port) as late:
            late.subscribe("#")
            late.publish("end")
            expect(late.message()[0] == "end", "something was retained")
        expect(witness.message()[0] == "end", "something was delivered")
        witness.close()
        broker.stop()


@script.case
def before_connect():
    # Wills of connections that ended without DISCONNECT: those cases that are accepted.
    grid_case(connects(), check_first, {"will"}.__contains__)


@script.case
def filters_that_are_too_deep_are_refused_one_by_one():
    with script.broker() as broker:
        deep = "/" * 65_535
        for version, code in ((p.V31, 0x80), (p.V311, 0x80), (p.V5, 0x8F)):
            with client(broker.port, version, f"deep-{version}") as connection:
                connection.send(p.subscribe(version, 1, ("good", 1), (deep, 1), ("+/" * 32_767, 1)))
                codes = connection.expect(p.SUBACK).body[-3:]
                expect(codes == bytes([1, code, code]), f"SUBACK {codes.hex()}")
                connection.send(p.unsubscribe(version, 2, deep))
                connection.expect(p.UNSUBACK)
                connection.publish("good", b"still here")
                expect(connection.message()[2] == b"still here", "the good filter does not hold")
        broker.stop()


def flood(port, count, first=b""):
    """Opens `count` sockets, sends `first` on each, and watches when they are closed: pairs of
    (socket, time at which its connect began)."""
    opened = []
    for _ in range(count):
        began = time.monotonic()
        one = socket.create_connection(("127.0.0.1", port), timeout=30)
        if first:
            one.sendall(first)
        opened.append((one, began))
    return opened


def closings(opened, deadline, drip=b"", dripping=()):
    """Waits until every socket is closed by the broker; the life of each in seconds. `drip` is sent every half
    second on those in `dripping` that are open."""
    lives, end = {}, time.monotonic() + deadline
    with selectors.DefaultSelector() as selector:
        for one, began in opened:
            selector.register(one, selectors.EVENT_READ, began)
        next_drip = time.monotonic() + 0.5
        while selector.get_map():
            left = end - time.monotonic()
            expect(left > 0, f"{len(selector.get_map())} of {len(opened)} sockets are still open after {deadline} s")
            for key, _ in selector.select(min(left, 0.25)):
                try:
                    data = key.fileobj.recv(64)
                except ConnectionResetError:
                    data = b""
                expect(not data, f"a stranger was answered {data!r}")
                lives[key.fileobj] = time.monotonic() - key.data
                selector.unregister(key.fileobj)
                key.fileobj.close()
            if drip and time.monotonic() >= next_drip:
                next_drip += 0.5
                for key in list(selector.get_map().values()):
                    if key.fileobj in dripping:
                        try:
                            key.fileobj.send(drip)
                        except OSError:
                            pass  # Closed just now; the next look tells.
    return sorted(lives.values())


@script.case
def silent_and_dripping_strangers_are_closed_at_the_deadline():
    with script.broker(settings={"limits.first_packet_timeout": "2 s"}) as broker:
        good = client(broker.port)
        silent = flood(broker.port, 1000)
        dripping = flood(broker.port, 50, b"\x10\xc8\x01\x00\x04MQTT\x04")
        good.ping()
        lives = closings(silent + dripping, deadline=30, drip=b"\0", dripping={one for one, _ in dripping})
        script.note(f"{len(lives)} closed after {lives[0]:.2f} s to {lives[-1]:.2f} s")
        # The clock of the broker ticks in milliseconds.
        expect(lives[0] > 1.98, f"one was closed after {lives[0]:.2f} s, where it has 2 s")
        good.ping()
        good.close()
        broker.stop()


@script.case
def a_huge_announcement_is_refused_at_once_and_costs_nothing():
    with script.broker(settings={"limits.first_packet_timeout": "1 h"}) as broker:
        before = broker.memory()
        for announced in ((1 << 28) - 1, 1 << 27, 262_145):
            for opened in flood(broker.port, 200, b"\x10" + p.variable(announced)):
                # No later byte and no deadline ends these: only the announcement does.
                lives = closings([opened], deadline=20)
                expect(len(lives) == 1, "not closed")
        grown = broker.memory() - before
        expect(grown < 8 << 20, f"the broker grew by {grown >> 10} KiB")
        broker.stop()


@script.case
def what_is_announced_is_not_allocated():
    strangers, announced, drop = 500, 200_000, 1000
    with script.broker(settings={"limits.first_packet_timeout": "1 h"}) as broker:
        # Warm up: the threads and their buffers are there.
        for _ in range(50):
            with client(broker.port) as connection:
                connection.ping()
        before = broker.memory()
        opened = flood(broker.port, strangers, p.packet(0x10, b"\0\4MQTT\5\0\0\0" + bytes(announced))[:drop])
        sent = drop
        while sent < 10 * drop:
            grown = settled_memory(broker) - before
            # A buffer that makes room for as much again, and doubles to get it, holds at most four times what
            # came; 8 KiB are for task and socket.
            allowed = strangers * (4 * sent + 8192) + (4 << 20)
            expect(grown <= allowed, f"{sent} bytes each from {strangers}: {grown >> 10} KiB, not {allowed >> 10}")
            for one, _ in opened:
                one.sendall(bytes(drop))
            sent += drop
        script.note(f"{sent} of {announced} bytes each from {strangers}: {(settled_memory(broker) - before) >> 10} KiB")
        for one, _ in opened:
            one.close()
        broker.stop()


def settled_memory(broker):
    """The memory once the broker has read what was sent: when it has used no processor time for a while."""

    def rested():
        used = broker.cpu_seconds()
        time.sleep(0.1)
        return broker.cpu_seconds() == used

    until(rested, "the broker comes to rest")
    return broker.memory()


@script.case
def one_packet_over_many_writes_and_many_packets_in_one():
    with script.broker() as broker:
        for version in p.VERSIONS:
            with Connection(broker.port, version) as connection:
                for byte in p.connect(version, "byte-by-byte"):
                    connection.send(bytes([byte]))
                expect(connection.expect(p.CONNACK).body[1] == 0, "refused")
                connection.subscribe("b")
                for byte in p.publish(version, "b", b"one by one"):
                    connection.send(bytes([byte]))
                expect(connection.message()[2] == b"one by one", "another payload")
            with Connection(broker.port, version) as connection:
                many = [p.connect(version, "all-at-once"), p.subscribe(version, 1, ("m", 0))]
                many += [p.publish(version, "m", str(number).encode()) for number in range(500)]
                connection.send(b"".join(many) + p.PING)
                connection.expect(p.CONNACK)
                connection.expect(p.SUBACK)
                got = [connection.message()[2] for _ in range(500)]
                expect(got == [str(number).encode() for number in range(500)], "not every message in order")
                connection.expect(p.PINGRESP)
        broker.stop()


if __name__ == "__main__":
    script.main()
