"""paho-mqtt: what MQTT 5 adds to a message and to a subscription."""

import time

import expect
from peer import Peer, message


def properties(version):
    """All properties of a PUBLISH passed on unchanged, user properties in order with repeats."""
    subscriber = Peer(version, "subscriber").subscribe(expect.topic("properties/#"), 2)
    publisher = Peer(version, "publisher")
    pairs = [("b", "1"), ("a", "2"), ("b", "3"), ("b", "1"), ("", ""), ("é", "x" * 5000)]
    carried = {
        "PayloadFormatIndicator": 1,
        "ContentType": "text/plain; charset=utf-8",
        "ResponseTopic": "answer/here",
        "CorrelationData": bytes(range(256)),
        "UserProperty": pairs,
    }
    expected = []
    for level in (0, 1, 2):
        name = expect.topic(f"properties/{level}")
        cases = [carried, {}, {"PayloadFormatIndicator": 0}]
        cases += [{key: value} for key, value in carried.items()]
        cases.append({"UserProperty": [("key", f"{number}") for number in range(50)]})
        for case in cases:
            publisher.publish(name, "héllo".encode(), level, **case)
            expected.append(message(name, "héllo".encode(), level, **case))
        publisher.flush()
        subscriber.expect_exactly(f"properties at QoS {level}", expected)
        expected.clear()
    name = expect.topic("properties/kept")
    publisher.send(name, b"kept", 1, retain=True, **carried)
    subscriber.expect_exactly("retained, live", [message(name, b"kept", 1, **carried)])
    late = Peer(version, "late").subscribe(name, 2)
    late.expect_exactly("retained", [message(name, b"kept", 1, 1, **carried)])
    publisher.send(name, b"", 2, retain=True)
    publisher.send(name, b"last", 2)
    deleted = [message(name, b"", 2), message(name, b"last", 2)]
    late.expect_exactly("deleted", deleted)
    subscriber.expect_exactly("deleted", deleted)


def expiry(version):
    """Message expiry is counted down while a message waits; what has expired never comes."""
    name, kept, gone = (expect.topic(f"expiry/{part}") for part in ("a", "kept", "gone"))
    publisher = Peer(version, "publisher")
    away = Peer(version, "away", clean=False, expiry=300).subscribe(name, 1)
    for payload in (b"live", b"live again"):
        publisher.send(name, payload, 1, MessageExpiryInterval=50)
        away.expect_exactly("live", [message(name, payload, 1, MessageExpiryInterval=50)])
    away.disconnect()
    for payload, seconds in ((b"too old", 1), (b"fresh", 100), (b"too old", 1)):
        publisher.send(name, payload, 1, MessageExpiryInterval=seconds)
    publisher.send(name, b"for ever", 1)
    publisher.send(kept, b"kept", 1, retain=True, MessageExpiryInterval=100)
    publisher.send(gone, b"gone", 1, retain=True, MessageExpiryInterval=1)
    time.sleep(2.2)  # time itself is what is tested
    away = Peer(version, "away", clean=False, expiry=300)
    publisher.send(name, b"last", 1)
    away.arrivals.wait_until(lambda messages: messages[-1:] and messages[-1][1] == b"last", "last")
    expected = [message(name, payload, 1) for payload in (b"fresh", b"for ever", b"last")]
    expect.compare("queued", _counted_down(away, {b"fresh"}), expected)
    away.disconnect()
    late = Peer(version, "late").subscribe(expect.topic("expiry/#"), 1)
    late.arrivals.wait_count(1)
    publisher.send(name, b"last", 1)
    late.arrivals.wait_until(lambda messages: messages[-1][1] == b"last", "last")
    expected = [message(kept, b"kept", 1, 1), message(name, b"last", 1)]
    expect.compare("retained", _counted_down(late, {b"kept"}), expected)
    Peer(version, "away").disconnect()


def _counted_down(peer, expiring):
    """What `peer` received, less the expiry of `expiring`: 100 s, given more than 2 s ago."""
    received = []
    for *rest, carried in peer.arrivals.take():
        left = carried.get("MessageExpiryInterval")
        if rest[1] in expiring:
            if left is None or not 50 <= left <= 98:
                raise expect.Failure(f"received {rest[1]} expiring in {left} s, expected 50 to 98")
            carried = {key: value for key, value in carried.items() if key != "MessageExpiryInterval"}
        received.append((*rest, carried))
    return received


def subscribe_options(version):
    """No local, retain as published, and retain handling 0, 1 and 2."""
    name = expect.topic("options")
    publisher = Peer(version, "publisher")
    publisher.send(name, b"kept", 1, retain=True)
    kept = message(name, b"kept", 1, 1)
    always, new, never = (Peer(version, label) for label in ("always", "new", "never"))
    for _ in range(2):
        always.subscribe(name, 1, retainHandling=0)
        always.expect_exactly("retain handling 0", [kept])
    new.subscribe(name, 1, retainHandling=1)
    new.expect_exactly("retain handling 1, new", [kept])
    new.subscribe(name, 1, retainHandling=1)
    never.subscribe(name, 1, retainHandling=2)
    published = Peer(version, "published").subscribe(name, 1, retainAsPublished=True)
    published.expect_exactly("retained", [kept])
    local = Peer(version, "local").subscribe(name, 1, noLocal=True)
    local.expect_exactly("no local, retained by another", [kept])
    local.send(name, b"from local", 1, retain=True)
    publisher.send(name, b"last", 1)
    last, live = message(name, b"last", 1), message(name, b"from local", 1)
    local.expect_exactly("no local", [last])
    published.expect_exactly(
        "retain as published", [message(name, b"from local", 1, 1), last]
    )
    for peer in (always, new, never):
        peer.expect_exactly("live", [live, last])


def subscription_identifiers(version):
    """Each delivery carries the identifiers of all the subscriptions it answers to."""
    name = expect.topic("identified/a")
    subscriber = Peer(version, "subscriber")
    subscriber.subscribe(name, 0, identifier=1)
    subscriber.subscribe(expect.topic("identified/+"), 2, identifier=268_435_455)
    subscriber.subscribe(expect.topic("identified/#"), 1)
    other = Peer(version, "other").subscribe(name, 1, identifier=9)
    publisher = Peer(version, "publisher")
    publisher.send(name, b"both", 2)
    other.expect_exactly("its own", [message(name, b"both", 1, SubscriptionIdentifier=[9])])
    publisher.send(expect.topic("identified/last"), b"last", 2)
    subscriber.arrivals.wait_until(
        lambda messages: any(got[:3] == (expect.topic("identified/last"), b"last", 2)
                             for got in messages), "the last message")
    wanted = message(name, b"both", 2, SubscriptionIdentifier=[1, 268_435_455])
    received = subscriber.arrivals.take()
    if expect.AGAINST_MOSQUITTO:  # a copy for each subscription instead, with its identifier
        received = _merged(received)
    for got in received:
        got[5].get("SubscriptionIdentifier", []).sort()
    last = message(expect.topic("identified/last"), b"last", 2, SubscriptionIdentifier=[268_435_455])
    expect.compare("both identifiers", received, [wanted, last])
    subscriber.unsubscribe(expect.topic("identified/+"))
    subscriber.unsubscribe(expect.topic("identified/#"))
    subscriber.subscribe(name, 1, identifier=2)
    publisher.send(name, b"replaced", 2)
    expected = message(name, b"replaced", 1, SubscriptionIdentifier=[2])
    publisher.send(name, b"last", 2)
    last = message(name, b"last", 1, SubscriptionIdentifier=[2])
    subscriber.expect_exactly("replaced", [expected, last])
    others = [message(name, text, 1, SubscriptionIdentifier=[9]) for text in (b"replaced", b"last")]
    other.expect_exactly("its own", others)


def _merged(copies):
    """One message in place of the copies of each, with the identifiers of all."""
    identifiers = {}
    for topic, payload, *_, properties in copies:
        found = identifiers.setdefault((topic, payload), [])
        found += properties.get("SubscriptionIdentifier", [])
    return [
        message(topic, payload, 2, SubscriptionIdentifier=found)
        for (topic, payload), found in identifiers.items()
    ]


SCENARIOS = {
    "properties": properties,
    "expiry": expiry,
    "subscribe-options": subscribe_options,
    "subscription-identifiers": subscription_identifiers,
}
