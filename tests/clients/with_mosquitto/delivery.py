"""mosquitto_pub and mosquitto_sub: what is published arrives, whole, in order, as often as it must."""

import hashlib
import os
import threading

import expect
from tools import Subscriber, publish, publish_lines, request

QOS_LEVELS = (0, 1, 2)


def qos(version):
    """Every QoS published to a subscription of every QoS: the lower of the two arrives."""
    subscribers = [
        Subscriber(version, f"qos{level}", [expect.topic("qos/#")], level) for level in QOS_LEVELS
    ]
    for level, subscriber in zip(QOS_LEVELS, subscribers):
        expect.equal("granted QoS", subscriber.granted(), [level])
    for published in QOS_LEVELS:
        texts = [f"message {number} at QoS {published}" for number in range(50)]
        publish_lines(version, expect.topic(f"qos/{published}"), texts, published)
        for level, subscriber in zip(QOS_LEVELS, subscribers):
            expected = [
                (expect.topic(f"qos/{published}"), text.encode(), min(level, published), 0)
                for text in texts
            ]
            subscriber.expect_exactly(f"published at QoS {published}", expected)
    publish(version, expect.topic("qos/last"), b"last", 2)
    for level, subscriber in zip(QOS_LEVELS, subscribers):
        subscriber.expect_exactly("last", [(expect.topic("qos/last"), b"last", level, 0)])


def large(version):
    """200 KB and 1 MiB less 1 KiB (a packet just under the usual limit) at each QoS, by SHA-256."""
    subscriber = Subscriber(version, "large", [expect.topic("large/#")], 2)
    for level in QOS_LEVELS:
        for size in (200_000, 1024 * 1024 - 1024):
            payload = os.urandom(size)
            name = expect.topic(f"large/{level}/{size}")
            publish(version, name, payload, level)
            subscriber.arrivals.wait_count(1)
            received = [
                (where, len(bytes_), hashlib.sha256(bytes_).hexdigest(), *flags)
                for where, bytes_, *flags in subscriber.arrivals.all()
            ]
            digest = hashlib.sha256(payload).hexdigest()
            expect.compare("large", received, [(name, size, digest, level, 0)])
            subscriber.arrivals.clear()
    publish(version, expect.topic("large/last"), b"last", 2)
    subscriber.expect_exactly("last", [(expect.topic("large/last"), b"last", 2, 0)])


def overlap(version):
    """Three overlapping subscriptions: one delivery at the highest QoS (or, allowed, a copy each)."""
    filters = [expect.topic(name) for name in ("overlap/#", "overlap/+", "overlap/a")]
    subscriber = Subscriber(version, "overlap", filters, 1)
    texts = [f"message {number}" for number in range(10)]
    publish_lines(version, expect.topic("overlap/a"), texts, 1)
    publish(version, expect.topic("overlap/deep/last"), b"last", 1)
    subscriber.arrivals.wait_until(
        lambda messages: messages and messages[-1][1] == b"last", "the last message"
    )
    received = subscriber.arrivals.all()
    expected = [(expect.topic("overlap/a"), text.encode(), 1, 0) for text in texts]
    expected.append((expect.topic("overlap/deep/last"), b"last", 1, 0))
    if expect.AGAINST_MOSQUITTO:
        most = max(received.count(message) for message in expected)
        if most > len(filters):
            raise expect.Failure(f"overlap: received a message {most} times, at most 3 may come")
        received = list(dict.fromkeys(received))
    expect.compare("overlap", received, expected)


def shared(version):
    """Groups of two and of three members, and an ordinary subscriber beside them."""
    whole = Subscriber(version, "whole", [expect.topic("shared/#")], 1)
    groups = []
    for size in (2, 3):
        share = f"$share/{expect.PREFIX}-{size}/{expect.topic('shared/#')}"
        groups.append(
            [
                Subscriber(version, f"member{size}-{index}", [share, expect.topic("done")], 1)
                for index in range(size)
            ]
        )
    texts = [f"{number:04}" for number in range(300)]
    publish_lines(version, expect.topic("shared/a"), texts, 1)
    expected = [(expect.topic("shared/a"), text.encode(), 1, 0) for text in texts]
    whole.expect_exactly("beside the groups", expected)
    members = [member for group in groups for member in group]
    for group in groups:
        expect.wait_for(
            lambda group=group: sum(len(m.arrivals.all()) for m in group) >= len(texts),
            f"a group of {len(group)} to have received {len(texts)} messages together",
            expect.DEADLINE,
        )
    publish(version, expect.topic("done"), b"done", 1)
    done = (expect.topic("done"), b"done", 1, 0)
    for member in members:
        member.arrivals.wait_until(lambda messages: messages.count(done) == 1, "the last message")
    for group in groups:
        parts = [[m for m in member.arrivals.all() if m != done] for member in group]
        if not all(parts):
            raise expect.Failure(f"one of {len(group)} members received nothing")
        together = sorted(message for part in parts for message in part)
        expect.compare(f"group of {len(group)}", together, expected)


def request_response(version):
    """mosquitto_rr: a request is answered on its response topic with its correlation data."""
    five = version == "5"
    responder = Subscriber(version, "responder", [expect.topic("request")], 2, properties=True)
    for level in QOS_LEVELS:
        response_topic = expect.topic(f"response/{level}")

        def answer(level=level, response_topic=response_topic):
            responder.arrivals.wait_count(1)
            properties = responder.arrivals.all()[0][4]
            back = properties.get("response-topic", response_topic)
            arguments = []
            if five:
                data = properties["correlation-data"]
                arguments = ["-D", "publish", "correlation-data", data]
            publish(version, back, f"answer {level}".encode(), level, arguments=arguments)

        answering = threading.Thread(target=_ignoring_failure(answer), daemon=True)
        answering.start()
        arguments = ["-F", "%t|%q|%r|%D|%p"]
        correlation = f"request-{level}" if five else ""
        if five:
            arguments += ["-D", "publish", "correlation-data", correlation]
        output = request(
            version, expect.topic("request"), response_topic, f"ask {level}", level, arguments
        )
        if not output:
            raise expect.Failure("mosquitto_rr received no answer")
        expect.equal(
            "the answer",
            output.decode(),
            f"{response_topic}|{level}|0|{correlation}|answer {level}",
        )
        answering.join()
        properties = {}
        if five:
            properties = {"response-topic": response_topic, "correlation-data": correlation}
        expected = (expect.topic("request"), f"ask {level}".encode(), level, 0, properties)
        responder.expect_exactly("the request", [expected])


def _ignoring_failure(work):
    """`work` for a thread whose failure shows on the other side, as a missing answer."""

    def quiet():
        try:
            work()
        except expect.Failure:
            pass

    return quiet


def many(version):
    """60 mosquitto_pub at once, 20 numbered messages each: complete, each publisher's in order."""
    publishers, each = 60, 20
    subscriber = Subscriber(version, "many", [expect.topic("many/#")], 2)
    failures = []

    def work(first):
        try:
            texts = [f"{number}" for number in range(each)]
            for index in range(first, publishers, 20):
                publish_lines(version, expect.topic(f"many/{index}"), texts, index % 3)
        except expect.Failure as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    subscriber.arrivals.wait_count(publishers * each)
    publish(version, expect.topic("many/last"), b"last", 2)
    subscriber.arrivals.wait_count(publishers * each + 1)
    by_topic = {}
    for message in subscriber.arrivals.all():
        by_topic.setdefault(message[0], []).append(message)
    for index in range(publishers):
        name = expect.topic(f"many/{index}")
        expected = [(name, f"{number}".encode(), index % 3, 0) for number in range(each)]
        expect.compare(f"publisher {index}", by_topic.pop(name, []), expected)
    expect.equal("the rest", by_topic, {
        expect.topic("many/last"): [(expect.topic("many/last"), b"last", 2, 0)]
    })


def topic_alias(version):
    """mosquitto_pub with a topic alias sends the topic once; subscribers see it every time."""
    subscriber = Subscriber(version, "alias", [expect.topic("alias/#")], 2, properties=True)
    for level in QOS_LEVELS:
        texts = [f"aliased {number}" for number in range(20)]
        name = expect.topic(f"alias/{level}")
        alias = ["-D", "publish", "topic-alias", "1"]
        publish_lines(version, name, texts, level, arguments=alias)
        expected = [(name, text.encode(), level, 0, {}) for text in texts]
        subscriber.expect_exactly(f"aliased at QoS {level}", expected)
    publish(version, expect.topic("alias/last"), b"last", 2)
    subscriber.expect_exactly("last", [(expect.topic("alias/last"), b"last", 2, 0, {})])


SCENARIOS = {
    "qos": qos,
    "large": large,
    "overlap": overlap,
    "shared": shared,
    "request-response": request_response,
    "many": many,
    "topic-alias": topic_alias,
}
