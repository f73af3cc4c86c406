#!/usr/bin/env python3
"""What 10,000 idle connections cost, measured as `mqload idle` does: resident memory of a fresh broker before
and after, divided by their number. Each is connected and subscribed; then each is used once. Where the hard
limit of open files is lower, they are fewer."""

import resource
import selectors
import socket
import time

from wire import packets as p
from wire.connection import PATIENCE, expect, until
from wire.script import Script

script = Script("Memory and processor time of idle connections.")

# Every connection is an open file here, and one in the broker; some are needed besides.
FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
COUNT = 10_000 if FILES == resource.RLIM_INFINITY else min(10_000, FILES - 100)
# Bytes of memory that a connection may cost, task, session and subscription included.
ALLOWED = 3500


class Crowd:
    """Many connections that are served together."""

    def __init__(self, port):
        self.selector = selectors.DefaultSelector()
        self.port = port
        self.sockets = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.selector.close()
        for one in self.sockets:
            one.close()

    def join(self, number):
        """Connects one client and subscribes it to a topic of its own."""
        one = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        one.sendall(p.connect(p.V311, f"idle-{number}", keep_alive=300))
        one.sendall(p.subscribe(p.V311, 1, (topic(number), 0)))
        self.sockets.append(one)
        self.selector.register(one, selectors.EVENT_READ, bytearray())

    def hear(self, size):
        """Waits until every connection has received `size` more bytes; answers what each received."""
        missing = len(self.sockets)
        deadline = time.monotonic() + 2 * PATIENCE
        for key in self.selector.get_map().values():
            key.data.clear()
        while missing:
            expect(time.monotonic() < deadline, f"{missing} of {len(self.sockets)} connections hear nothing")
            for key, _ in self.selector.select(1):
                more = key.fileobj.recv(4096)
                expect(more, "closed")
                key.data.extend(more)
                expect(len(key.data) <= size, f"{bytes(key.data[size:])!r} was not asked for")
                missing -= len(key.data) == size
        return [bytes(key.data) for key in self.selector.get_map().values()]


def topic(number):
    """The topic of one client; all have the same length."""
    return f"idle/cmd/c{number:05}/set"


@script.case
def ten_thousand_idle_connections():
    with script.broker() as broker, Crowd(broker.port) as crowd:
        before = broker.memory()
        for number in range(COUNT):
            crowd.join(number)
        welcome = p.packet(0x20, b"\0\0") + p.packet(0x90, b"\0\1\0")
        answers = set(crowd.hear(len(welcome)))
        expect(answers == {welcome}, f"not the answers to CONNECT and SUBSCRIBE: {list(answers)[:2]}")
        fresh = (broker.memory() - before) / COUNT
        used_before = broker.cpu_seconds()
        start = time.monotonic()
        # The one thing here that takes time because it takes time: nothing happens in it.
        until(lambda: time.monotonic() - start >= 5, "five seconds pass", pause=5)
        idle = (broker.cpu_seconds() - used_before) / (time.monotonic() - start)
        payload = bytes(512)
        for number, one in enumerate(crowd.sockets):
            one.sendall(p.publish(p.V311, topic(number), payload))
        size = len(p.publish(p.V311, topic(0), payload))
        heard = set(crowd.hear(size))
        expect(heard == {p.publish(p.V311, topic(number), payload) for number in range(COUNT)}, "other messages")
        used = (broker.memory() - before) / COUNT
        script.note(f"{COUNT} connections: {fresh:.0f} bytes each, {used:.0f} once used; idle {idle:.1%} of a core")
        expect(fresh <= ALLOWED, f"{fresh:.0f} bytes a connection, not {ALLOWED}")
        expect(used <= ALLOWED, f"{used:.0f} bytes a connection that was used once, not {ALLOWED}")
        broker.stop()


@script.case
def they_are_gone_when_they_are_gone():
    with script.broker(metrics=True) as broker:
        sockets = broker.open_sockets()
        with Crowd(broker.port) as crowd:
            for number in range(COUNT):
                crowd.join(number)
            crowd.hear(9)
            counted = broker.metrics()
            for name in ("aldis_connections", "aldis_sessions", "aldis_sessions_connected", "aldis_subscriptions"):
                expect(counted[name] == COUNT, f"{name} is {counted[name]}")
        until(lambda: broker.metrics()["aldis_sessions"] == 0, "every session ends")
        # One may be the connection of the metrics.
        until(lambda: broker.open_sockets() <= sockets + 1, "every socket is closed")
        counted = broker.metrics()
        for name in ("aldis_connections", "aldis_sessions_connected", "aldis_subscriptions", "aldis_queued_bytes"):
            expect(counted[name] == 0, f"{name} is {counted[name]}")
        broker.stop()


if __name__ == "__main__":
    script.main()
