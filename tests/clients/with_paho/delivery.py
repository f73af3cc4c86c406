"""paho-mqtt: what is published arrives, whole, in order, as often as it must."""

import hashlib
import os

import expect
from peer import Peer, message

QOS_LEVELS = (0, 1, 2)


def qos(version):
    """Every QoS published to a subscription of every QoS: the lower of the two arrives."""
    subscribers = [
        Peer(version, f"qos{level}").subscribe(expect.topic("qos/#"), level)
        for level in QOS_LEVELS
    ]
    publisher = Peer(version, "publisher")
    for published in QOS_LEVELS:
        name = expect.topic(f"qos/{published}")
        payloads = [f"message {number} at QoS {published}".encode() for number in range(200)]
        for payload in payloads:
            publisher.publish(name, payload, published)
        publisher.flush()
        for level, subscriber in zip(QOS_LEVELS, subscribers):
            expected = [message(name, payload, min(level, published)) for payload in payloads]
            subscriber.expect_exactly(f"published at QoS {published}", expected)
    name = expect.topic("qos/last")
    publisher.send(name, b"", 2)
    for level, subscriber in zip(QOS_LEVELS, subscribers):
        subscriber.expect_exactly("last", [message(name, b"", level)])


def large(version):
    """200 KB and exactly 1 MiB at each QoS, by SHA-256."""
    subscriber = Peer(version, "large").subscribe(expect.topic("large/#"), 2)
    publisher = Peer(version, "publisher")
    for level in QOS_LEVELS:
        expected = []
        for size in (200_000, 1024 * 1024, 200_001):
            payload, name = os.urandom(size), expect.topic(f"large/{level}/{size}")
            publisher.publish(name, payload, level)
            expected.append(message(name, _digest(payload), level))
        publisher.flush()
        subscriber.arrivals.wait_count(len(expected))
        received = [(got[0], _digest(got[1]), *got[2:]) for got in subscriber.arrivals.take()]
        expect.compare(f"large at QoS {level}", received, expected)
    publisher.send(expect.topic("large/last"), b"last", 2)
    subscriber.expect_exactly("last", [message(expect.topic("large/last"), b"last", 2)])


def _digest(payload):
    """What stands for a payload that is too long to show."""
    return len(payload), hashlib.sha256(payload).hexdigest()


def overlap(version):
    """Overlapping subscriptions of different QoS: one delivery, at the highest."""
    subscriber = Peer(version, "overlap")
    filters = [("overlap/#", 0), ("overlap/+", 2), ("overlap/a", 1)]
    for topic_filter, level in filters:
        subscriber.subscribe(expect.topic(topic_filter), level)
    publisher = Peer(version, "publisher")
    name, last = expect.topic("overlap/a"), expect.topic("overlap/last")
    payloads = [f"message {number}".encode() for number in range(10)]
    for payload in payloads:
        publisher.send(name, payload, 2)
    publisher.send(last, b"last", 2)
    wanted = [message(name, payload, 2) for payload in payloads] + [message(last, b"last", 2)]
    subscriber.arrivals.wait_until(lambda messages: wanted[-1] in messages, "the last message")
    received = subscriber.arrivals.take()
    if expect.AGAINST_MOSQUITTO:  # it sends copies (allowed), in 3.1.1 one at any QoS (a fault)
        received = list(dict.fromkeys((got[0], got[1]) for got in received))
        wanted = [(got[0], got[1]) for got in wanted]
    expect.compare("overlap", received, wanted)


def shared(version):
    """Groups of two and of three members, each QoS, and an ordinary subscriber beside them."""
    whole = Peer(version, "whole").subscribe(expect.topic("shared/#"), 2)
    groups = []
    for size in (2, 3):
        share = f"$share/{expect.PREFIX}-{size}/{expect.topic('shared/#')}"
        groups.append([Peer(version, f"member{size}-{index}") for index in range(size)])
        for member in groups[-1]:
            member.subscribe(share, 2).subscribe(expect.topic("done"), 2)
    publisher = Peer(version, "publisher")
    for level in QOS_LEVELS:
        name = expect.topic(f"shared/{level}")
        expected = [message(name, f"{number:04}".encode(), level) for number in range(300)]
        for topic, payload, *_ in expected:
            publisher.publish(topic, payload, level)
        publisher.flush()
        whole.expect_exactly(f"beside the groups at QoS {level}", expected)
        for group in groups:
            expect.wait_together(group, len(expected))
        done = message(expect.topic("done"), f"done {level}".encode(), 2)
        publisher.send(done[0], done[1], 2)
        for group in groups:
            expect.shared_exactly(group, expected, done)


def request_response(version):
    """At each QoS, a request is answered on the topic it names, with its correlation data."""
    asking, answering = Peer(version, "asking"), Peer(version, "answering")
    responses = [expect.topic(f"response/{number}") for number in range(21)]
    asking.subscribe(expect.topic("response/+"), 2)
    answering.subscribe(expect.topic("request"), 2)
    five = version == "5"
    expected_requests, expected_responses = [], []
    for number, response in enumerate(responses):
        carried, level = {}, number % 3
        if five:
            data = bytes([number, 0, 255]) + b"correlation"
            carried = {"ResponseTopic": response, "CorrelationData": data}
        asking.send(expect.topic("request"), response.encode(), level, **carried)
        asked = message(expect.topic("request"), response.encode(), level, **carried)
        expected_requests.append(asked)
        answering.arrivals.wait_count(number + 1)
        _, payload, *_, properties = answering.arrivals.all()[number]
        back = properties.get("ResponseTopic", payload.decode())
        data = {key: value for key, value in properties.items() if key == "CorrelationData"}
        answering.send(back, f"answer {number}".encode(), level, **data)
        carried.pop("ResponseTopic", None)
        expected_responses.append(message(response, f"answer {number}".encode(), level, **carried))
        asking.arrivals.wait_count(number + 1)
    for peer, name, expected in (
        (answering, "request", expected_requests), (asking, "response/last", expected_responses)
    ):
        asking.send(expect.topic(name), b"last", 2)
        peer.expect_exactly(name, [*expected, message(expect.topic(name), b"last", 2)])


def many(version):
    """200 clients at once, 20 numbered messages each: complete, each publisher's in order."""
    count, each = (20, 5) if expect.SMALL else (200, 20)
    subscriber = Peer(version, "many").subscribe(expect.topic("many/#"), 2)
    publishers = [Peer(version, f"publisher{index}") for index in range(count)]
    for number in range(each):
        for index, publisher in enumerate(publishers):
            publisher.publish(expect.topic(f"many/{index}"), f"{number}".encode(), index % 3)
    for publisher in publishers:
        publisher.flush()
    subscriber.arrivals.wait_count(count * each)
    publishers[0].send(expect.topic("many/last"), b"last", 2)
    expected = [
        message(expect.topic(f"many/{index}"), f"{number}".encode(), index % 3)
        for index in range(count)
        for number in range(each)
    ]
    last = message(expect.topic("many/last"), b"last", 2)
    subscriber.expect_by_topic("many", [*expected, last])


def topic_alias(version):
    """A client sends a topic once and then its alias, sets it anew, and both arrive in full."""
    subscriber = Peer(version, "alias").subscribe(expect.topic("alias/#"), 2)
    publisher = Peer(version, "publisher")
    expected = []
    for level in QOS_LEVELS:
        for round_ in ("first", "second"):
            name = expect.topic(f"alias/{round_}/{level}")
            publisher.publish(name, b"0", level, TopicAlias=1)
            for number in range(1, 20):
                publisher.publish("", f"{number}".encode(), level, TopicAlias=1)
            expected += [message(name, f"{number}".encode(), level) for number in range(20)]
        publisher.flush()
        subscriber.expect_exactly(f"aliased at QoS {level}", expected)
        expected.clear()
    publisher.send(expect.topic("alias/last"), b"last", 2)
    subscriber.expect_exactly("last", [message(expect.topic("alias/last"), b"last", 2)])


SCENARIOS = {
    "qos": qos,
    "large": large,
    "overlap": overlap,
    "shared": shared,
    "request-response": request_response,
    "many": many,
    "topic-alias": topic_alias,
}
