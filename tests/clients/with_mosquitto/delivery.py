"""mosquitto_pub and mosquitto_sub: what is published arrives, whole, in order, as often as it must."""

import hashlib
import os
import threading

import expect
from tools import Subscriber, message, publish, publish_lines, request

QOS_LEVELS = (0, 1, 2)


def qos(version):
    """Every QoS published to a subscription of every QoS: the lower of the two arrives."""
    subscribers = [
        Subscriber(version, f"qos{level}", [expect.topic("qos/#")], level) for level in QOS_LEVELS
    ]
    for level, subscriber in zip(QOS_LEVELS, subscribers):
        expect.equal("granted QoS", subscriber.granted(), [level])
    for published in QOS_LEVELS:
        name = expect.topic(f"qos/{published}")
        texts = [f"message {number} at QoS {published}" for number in range(50)]
        publish_lines(version, name, texts, published)
        for level, subscriber in zip(QOS_LEVELS, subscribers):
            expected = [message(name, text.encode(), min(level, published)) for text in texts]
            subscriber.expect_exactly(f"published at QoS {published}", expected)
    publish(version, expect.topic("qos/last"), b"last", 2)
    for level, subscriber in zip(QOS_LEVELS, subscribers):
        subscriber.expect_exactly("last", [message(expect.topic("qos/last"), b"last", level)])


def large(version):
    """200 KB and exactly 1 MiB at each QoS, by SHA-256."""
    subscriber = Subscriber(version, "large", [expect.topic("large/#")], 2)
    for level in QOS_LEVELS:
        expected = []
        for size in (200_000, 1024 * 1024):
            payload, name = os.urandom(size), expect.topic(f"large/{level}/{size}")
            publish(version, name, payload, level)
            expected.append(message(name, _digest(payload), level))
        subscriber.arrivals.wait_count(len(expected))
        received = [(got[0], _digest(got[1]), *got[2:]) for got in subscriber.arrivals.take()]
        expect.compare(f"large at QoS {level}", received, expected)
    publish(version, expect.topic("large/last"), b"last", 2)
    subscriber.expect_exactly("last", [message(expect.topic("large/last"), b"last", 2)])


def _digest(payload):
    """What stands for a payload that is too long to show."""
    return len(payload), hashlib.sha256(payload).hexdigest()


def overlap(version):
    """Three overlapping subscriptions: one delivery at the highest QoS (or, allowed, a copy each)."""
    filters = [expect.topic(name) for name in ("overlap/#", "overlap/+", "overlap/a")]
    subscriber = Subscriber(version, "overlap", filters, 1)
    texts = [f"message {number}" for number in range(10)]
    publish_lines(version, expect.topic("overlap/a"), texts, 1)
    publish(version, expect.topic("overlap/deep/last"), b"last", 1)
    last = message(expect.topic("overlap/deep/last"), b"last", 1)
    subscriber.arrivals.wait_until(
        lambda messages: messages and messages[-1][1] == b"last", "the last message"
    )
    received = subscriber.arrivals.take()
    expected = [message(expect.topic("overlap/a"), text.encode(), 1) for text in texts] + [last]
    if expect.AGAINST_MOSQUITTO:
        most = max(received.count(one) for one in expected)
        if most > len(filters):
            raise expect.Failure(f"overlap: received a message {most} times, at most 3 may come")
        received = [one for at, one in enumerate(received) if one not in received[:at]]
    expect.compare("overlap", received, expected)


def shared(version):
    """Groups of two and of three members, each QoS, and an ordinary subscriber beside them."""
    whole = Subscriber(version, "whole", [expect.topic("shared/#")], 2)
    groups = []
    for size in (2, 3):
        filters = [f"$share/{expect.PREFIX}-{size}/{expect.topic('shared/#')}", expect.topic("done")]
        groups.append(
            [Subscriber(version, f"member{size}-{index}", filters, 2) for index in range(size)]
        )
    for level in QOS_LEVELS:
        name = expect.topic(f"shared/{level}")
        texts = [f"{number:04}" for number in range(300)]
        publish_lines(version, name, texts, level)
        expected = [message(name, text.encode(), level) for text in texts]
        whole.expect_exactly(f"beside the groups at QoS {level}", expected)
        for group in groups:
            expect.wait_together(group, len(expected))
        done = message(expect.topic("done"), f"done {level}".encode(), 2)
        publish(version, done[0], done[1], 2)
        for group in groups:
            expect.shared_exactly(group, expected, done)


def request_response(version):
    """mosquitto_rr: a request is answered on its response topic with its correlation data."""
    five = version == "5"
    responder = Subscriber(version, "responder", [expect.topic("request")], 2)
    for level in QOS_LEVELS:
        response_topic = expect.topic(f"response/{level}")

        def answer(level=level, response_topic=response_topic):
            responder.arrivals.wait_count(1)
            properties = responder.arrivals.all()[0][5]
            back = properties.get("response-topic", response_topic)
            arguments = []
            if five:
                data = properties["correlation-data"]
                arguments = ["-D", "publish", "correlation-data", data]
            publish(version, back, f"answer {level}".encode(), level, arguments=arguments)

        answering = threading.Thread(target=_ignoring_failure(answer), daemon=True)
        answering.start()
        arguments = ["-F", "%t|%q|%r|%P|%D|%p"]
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
            f"{response_topic}|{level}|0||{correlation}|answer {level}",
        )
        answering.join()
        properties = {}
        if five:
            properties = {"response-topic": response_topic, "correlation-data": correlation}
        asked = message(expect.topic("request"), f"ask {level}".encode(), level, 0, properties)
        responder.expect_exactly("the request", [asked])
    publish(version, expect.topic("request"), b"last", 2)
    responder.expect_exactly("last", [message(expect.topic("request"), b"last", 2)])


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
    publishers, each = (10, 5) if expect.SMALL else (60, 20)
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
    expected = [
        message(expect.topic(f"many/{index}"), f"{number}".encode(), index % 3)
        for index in range(publishers)
        for number in range(each)
    ]
    last = message(expect.topic("many/last"), b"last", 2)
    subscriber.expect_by_topic("many", [*expected, last])


def topic_alias(version):
    """mosquitto_pub with a topic alias sends the topic once; subscribers see it every time."""
    subscriber = Subscriber(version, "alias", [expect.topic("alias/#")], 2)
    for level in QOS_LEVELS:
        texts = [f"aliased {number}" for number in range(20)]
        name = expect.topic(f"alias/{level}")
        alias = ["-D", "publish", "topic-alias", "1"]
        publish_lines(version, name, texts, level, arguments=alias)
        expected = [message(name, text.encode(), level) for text in texts]
        subscriber.expect_exactly(f"aliased at QoS {level}", expected)
    publish(version, expect.topic("alias/last"), b"last", 2)
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
