#!/usr/bin/env python3
"""A broker that lives for a while: clients come and go in every way there is, messages of every kind pass, and
afterwards nothing is left of them: no session, no message, no memory. Ten minutes with ALDIS_LONG, else a few
seconds, which is enough to see that something stays behind, not how slowly."""

import os
import random
import time

from wire import packets as p
from wire.connection import Connection, expect, until
from wire.script import Script

script = Script("Memory and counts after a life of comings and goings.")

SECONDS = 600 if os.environ.get("ALDIS_LONG") else 8
# Seconds that a session outlives its connection here.
EXPIRY = 3
# Rounds before memory is compared: tables and buffers have their size by then.
WARM = 5


def connected(port, name, version=p.V5, **more):
    """A client; one that lasts says so in the way of its version."""
    return Connection(port, version).login(name, **more)


def lasting(port, name):
    """A session that is kept for EXPIRY seconds after its connection."""
    block = p.properties((0x11, EXPIRY.to_bytes(4, "big")))
    return connected(port, name, clean=False, block=block)


def answer(one, got):
    """Acknowledges a delivery as its QoS demands."""
    qos = got.flags >> 1 & 3
    _, packet_id, _ = p.delivered(one.version, got)
    if qos == 1:
        one.send(p.acknowledge(p.PUBACK, packet_id))
    elif qos == 2:
        one.send(p.acknowledge(p.PUBREC, packet_id))


def hear(one, count, prefix=""):
    """Receives and acknowledges until `count` messages with a topic that begins with `prefix` were seen."""
    while count:
        got = one.receive()
        expect(got is not None, "closed while messages were to come")
        if got.kind == p.PUBLISH:
            answer(one, got)
            count -= p.delivered(one.version, got)[0].startswith(prefix)
        elif got.kind == p.PUBREL:
            one.send(p.acknowledge(p.PUBCOMP, int.from_bytes(got.body[:2], "big")))


class Life:
    """What goes on, round by round."""

    def __init__(self, broker):
        self.broker = broker
        self.random = random.Random(2026)
        self.round = 0

    def live(self):
        """One round."""
        self.round += 1
        self.short_lives()
        self.lasting_lives()
        self.shared_lives()
        self.retained()

    def short_lives(self):
        """Clients of every version that stay for a few messages; half of them leave without a word."""
        for number in range(15):
            version = p.VERSIONS[number % 3]
            name = f"short-{number}"
            will = p.Will(f"last/{name}", b"gone") if number % 2 else None
            with connected(self.broker.port, name, version, will=will) as one:
                # Wills of others may come before SUBACK does: the route is there first.
                one.send(p.subscribe(version, 1, (f"own/{name}/+", number % 3), ("last/#", number % 3)))
                for k in range(6):
                    one.publish(f"own/{name}/{k}", os.urandom(self.random.randrange(2000)), qos=0)
                hear(one, 6, "own/")
                if number % 2 == 0:
                    one.send(p.GOODBYE)

    def lasting_lives(self):
        """Sessions that go away while messages come; every second one returns for them, the rest expire."""
        names = [f"lasting-{self.round}-{k}" for k in range(6)]
        for name in names:
            with lasting(self.broker.port, name) as one:
                one.subscribe(f"for/{name}/#", options=2)
        with connected(self.broker.port, "feeder") as feeder:
            for packet_id in range(1, 41):
                for name in names:
                    feeder.publish(f"for/{name}/x", bytes(500), qos=1, packet_id=packet_id)
                    feeder.expect(p.PUBACK)
        for name in names[::2]:
            with lasting(self.broker.port, name) as one:
                hear(one, 40)
                one.send(p.unsubscribe(one.version, 9, f"for/{name}/#"))
                while one.receive().kind != p.UNSUBACK:
                    pass

    def shared_lives(self):
        """Members of a shared subscription, one of which vanishes with messages it never acknowledged."""
        with connected(self.broker.port, "member-a") as first, connected(self.broker.port, "publisher") as publisher:
            first.subscribe("$share/group/jobs/#", options=1)
            with connected(self.broker.port, "member-b") as second:
                second.subscribe("$share/group/jobs/#", options=1)
                for packet_id in range(1, 21):
                    publisher.publish("jobs/x", b"job", qos=1, packet_id=packet_id)
                    publisher.expect(p.PUBACK)
            hear(first, 20)

    def retained(self):
        """Topics that are set, read through a wildcard and removed."""
        topics = [f"kept/{self.round}/{k}" for k in range(40)]
        with connected(self.broker.port, "keeper") as one:
            for topic in topics:
                one.publish(topic, bytes(200), retain=True)
            one.ping()
            with connected(self.broker.port, "reader") as reader:
                reader.subscribe(f"kept/{self.round}/#")
                hear(reader, len(topics))
            for topic in topics:
                one.publish(topic, b"", retain=True)
            one.ping()


def nothing_is_left(broker):
    """Every figure of what is held is back at nothing, and the account of deliveries adds up."""

    def empty():
        now = broker.metrics()
        held = ("aldis_sessions", "aldis_deliveries_waiting", "aldis_deliveries_in_flight", "aldis_queued_bytes",
                "aldis_subscriptions", "aldis_retained_messages", "aldis_held_bytes")  # fmt: skip
        return now if not any(now[name] for name in held) else None

    now = until(empty, "sessions, messages and subscriptions are gone", patience=60)
    dropped = sum(value for name, value in now.items() if name.startswith("aldis_dropped_total"))
    offered = now["aldis_deliveries_offered_total"]
    ended = now["aldis_deliveries_completed_total"] + now["aldis_deliveries_expired_total"] + dropped
    expect(offered == ended, f"{offered} deliveries offered, {ended} ended")
    return offered


@script.case
def after_a_life_nothing_is_left():
    # $SYS off: its own retained messages are not what is looked for.
    with script.broker(settings={"sys_interval": "0"}, metrics=True) as broker:
        life, memory, held = Life(broker), [], []
        end = time.monotonic() + SECONDS
        while time.monotonic() < end or life.round < 3 * WARM:
            life.live()
            memory.append(broker.memory())
            held.append(broker.metrics()["aldis_held_bytes"])
        offered = nothing_is_left(broker)
        third = (len(memory) - WARM) // 3
        early, late = max(memory[WARM : WARM + third]), max(memory[-third:])
        # The faster the rounds, the more sessions wait for their expiry at a time, and an allocator keeps what it
        # once had. So what is compared is memory without the most that was held until then.
        held_early, held_late = max(held[: WARM + third]), max(held)
        script.note(
            f"{life.round} rounds, {offered:.0f} deliveries, memory "
            f"{early / 1e6:.1f} MB early with {held_early / 1e6:.1f} MB held, "
            f"{late / 1e6:.1f} MB late with {held_late / 1e6:.1f}"
        )
        early, late = early - held_early, late - held_late
        expect(late <= early * 1.15 + 2e6, f"memory grows beside what is held: {early} bytes early, {late} late")
        broker.stop()


if __name__ == "__main__":
    script.main()
