#!/usr/bin/env python3
"""What a few bytes make the broker keep: many filters of one client that all match one topic.

Of a topic of 16 levels `a`, each level may be written as `a` or as `+`, so one client has 65,536 filters that match
it, and a PUBLISH of 40 bytes leads to all of them. In every case the bound is one of memory, or of what the metrics
say of it: what publishers keep of the way, what is counted as held, what is left when the subscriptions are over.
"""

import contextlib

from wire import packets as p
from wire.connection import Connection, client, expect, until
from wire.script import Script

script = Script("Small packets with large effects.")

MIB = 1 << 20
# Memory that is nobody's in particular: threads, allocator, buffers of readers.
SLACK = 24 * MIB
LEVELS = 16
SUBSCRIPTION_ID, SESSION_EXPIRY = 0x0B, 0x11
LASTING = p.properties((SESSION_EXPIRY, b"\xff\xff\xff\xff"))


def topic(levels=LEVELS):
    return "/".join("a" * levels)


def filters(levels=LEVELS):
    """All filters of `a` and `+` that match the topic."""
    return ["/".join("+" if n >> level & 1 else "a" for level in range(levels)) for n in range(1 << levels)]


def overlapping(broker, **more):
    """A client with all of the filters, at QoS 0."""
    one, all_of_them = client(broker.port, **more), filters()
    for first in range(0, len(all_of_them), 4096):
        one.send(p.subscribe(p.V5, 1, *((text, 0) for text in all_of_them[first : first + 4096])))
        one.expect(p.SUBACK)
    return one


def published_once(broker):
    """A connection that publishes one message to the topic and is idle from then on."""
    one = client(broker.port)
    one.send(p.publish(p.V5, topic(), b"x"))
    one.ping()
    return one


@contextlib.contextmanager
def started(**limits):
    """A broker with metrics and these limits, and its idle memory; at the end it stops well."""
    settings = {f"limits.{name}": value for name, value in limits.items()}
    with script.broker(settings=settings, metrics=True) as broker:
        with client(broker.port) as one:
            one.ping()
        broker.idle = broker.memory()
        yield broker
        broker.stop()


def held(broker):
    return broker.metrics()["aldis_held_bytes"]


@script.case
def publishers_do_not_each_keep_a_way_to_many_subscriptions():
    """200 connections that publish once to 65,536 overlapping subscriptions keep nothing of them."""
    with started() as broker, contextlib.ExitStack() as stack:
        subscriber = stack.enter_context(overlapping(broker))
        stack.enter_context(published_once(broker))
        subscriber.message()
        before = broker.memory()
        for _ in range(200):
            stack.enter_context(published_once(broker))
            subscriber.message()
        grown = broker.memory() - before
        expect(grown <= SLACK, f"200 publishers took {grown / MIB:.1f} MiB, {SLACK / MIB:.0f} are allowed")


@script.case
def what_is_counted_for_subscriptions_is_what_they_take():
    """Filters that share their levels: held is within a factor of two of the memory that is really there."""
    with started() as broker, overlapping(broker):
        grown, counted = broker.memory() - broker.idle, held(broker)
        script.note(f"{grown / MIB:.1f} MiB of memory, {counted / MIB:.1f} MiB are counted")
        expect(counted <= 2 * grown, f"{counted / MIB:.1f} MiB are counted for {grown / MIB:.1f} MiB of memory")
        expect(grown <= 2 * counted + SLACK, f"{grown / MIB:.1f} MiB of memory, {counted / MIB:.1f} are counted")


@script.case
def idle_publishers_do_not_keep_the_memory_of_ended_subscriptions_counted():
    """Six times, 65,536 subscriptions come, are published to by a connection that stays, and go."""
    with started(memory_watermark=str(64 * MIB)) as broker, contextlib.ExitStack() as stack:
        before = held(broker)
        for _ in range(6):
            with overlapping(broker) as subscriber:
                stack.enter_context(published_once(broker))
                subscriber.message()
                subscriber.send(p.GOODBYE)
            until(lambda: broker.metrics()["aldis_subscriptions"] == 0, "the subscriptions are still there")
            until(lambda: held(broker) <= before + MIB, f"{held(broker) / MIB:.1f} MiB are still held")
        grown, allowed = broker.memory() - broker.idle, 64 * MIB + SLACK
        expect(grown <= allowed, f"{grown / MIB:.1f} MiB are left, {allowed / MIB:.0f} are allowed")
        # Nobody else is told that there is no room.
        with Connection(broker.port) as away:
            away.login("away", clean=False, block=LASTING).subscribe("for/away", options=1)
            away.send(p.GOODBYE)
        until(lambda: broker.metrics()["aldis_sessions_connected"] == 6, "not only the publishers are connected")
        with client(broker.port) as publisher:
            for _ in range(10):
                publisher.publish("for/away", b"m", qos=1, packet_id=1)
                publisher.expect(p.PUBACK)
            # What a turn counts is posted behind what it writes, and before the next.
            publisher.ping()
        figures = broker.metrics()
        expect(figures['aldis_dropped_total{reason="memory_watermark"}'] == 0, "messages met the memory watermark")
        expect(figures["aldis_deliveries_waiting"] == 10, f"{figures['aldis_deliveries_waiting']:.0f} of 10 wait")


@script.case
def identifiers_of_many_subscriptions_are_counted_where_they_wait():
    """4,096 filters, each with an identifier of its own: 40 bytes are 15,000 for a subscriber that does not read."""
    levels, messages = 12, 1000
    with started(queue_bytes=str(8 * MIB)) as broker, contextlib.ExitStack() as stack:
        subscriber = stack.enter_context(client(broker.port))
        for number, text in enumerate(filters(levels)):
            block = p.properties((SUBSCRIPTION_ID, p.variable(200 + number)))
            subscriber.send(p.subscribe(p.V5, 1, (text, 1), block=block))
            if number % 512 == 511:
                for _ in range(512):
                    subscriber.expect(p.SUBACK)
        before = broker.memory()
        publisher = stack.enter_context(client(broker.port))
        for _ in range(messages):
            publisher.publish(topic(levels), b"x", qos=1, packet_id=1)
            publisher.expect(p.PUBACK)
        publisher.ping()
        figures = broker.metrics()
        dropped = figures['aldis_dropped_total{reason="queue_full"}']
        kept = figures["aldis_deliveries_waiting"] + figures["aldis_deliveries_in_flight"]
        expect(dropped > 0, "the queue was never full")
        expect(kept + dropped == messages, f"{kept:.0f} are kept and {dropped:.0f} dropped, of {messages}")
        grown, counted = broker.memory() - before, held(broker)
        script.note(f"{grown / MIB:.1f} MiB of memory, {counted / MIB:.1f} MiB are counted, {dropped:.0f} dropped")
        expect(grown <= counted + SLACK, f"{grown / MIB:.1f} MiB of memory, {counted / MIB:.1f} are counted")
        expect(counted <= 32 * MIB, f"{counted / MIB:.1f} MiB are held for a queue of 8")


if __name__ == "__main__":
    script.main()
