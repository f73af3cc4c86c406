"""mosquitto_pub and mosquitto_sub: what the broker keeps: retained messages, wills, sessions."""

import time

import expect
from tools import Subscriber, message, publish, publish_lines, retain_until_clean_up


def _retained_exactly(version, name, expected):
    """A new subscriber receives exactly `expected` (any order among topics), then live messages."""
    late = Subscriber(version, name, [expect.topic("kept/#")], 2)
    late.arrivals.wait_count(len(expected))
    publish(version, expect.topic("kept/last"), b"last", 2)
    last = message(expect.topic("kept/last"), b"last", 2)
    late.arrivals.wait_until(lambda messages: last in messages, "the last message")
    late.expect_any_order(name, [*expected, last])
    late.stop()


def retained(version):
    """Set, replaced, deleted; RETAIN is 1 only on what was kept; a deletion is delivered live."""
    a, b, c = (expect.topic(f"kept/{name}") for name in "abc")
    live = Subscriber(version, "live", [expect.topic("kept/+")], 2)

    def put(topic, payload, qos, retain=True):
        publish(version, topic, payload, qos, retain)
        live.expect_exactly(f"{payload} live", [message(topic, payload, qos)])

    put(a, b"one", 1)
    put(b, b"two", 0)
    put(c, b"three", 2)
    live.stop()
    first = [message(a, b"one", 1, 1), message(b, b"two", 0, 1), message(c, b"three", 2, 1)]
    _retained_exactly(version, "set", first)
    live = Subscriber(version, "live2", [a, b, c, expect.topic("kept/x")], 2)
    live.expect_any_order("replay", first)
    put(a, b"uno", 2)
    put(b, b"not kept", 1, retain=False)
    _retained_exactly(version, "replaced", [message(a, b"uno", 2, 1), *first[1:]])
    put(b, b"", 1)
    put(c, b"", 0)
    put(expect.topic("kept/x"), b"", 2)
    _retained_exactly(version, "deleted", [message(a, b"uno", 2, 1)])
    put(a, b"", 1)
    _retained_exactly(version, "all deleted", [])


def will(version):
    """Published on an abrupt close with its QoS and RETAIN, not on a clean DISCONNECT."""
    watcher = Subscriber(version, "watcher", [expect.topic("kept/#")], 2)
    kept = []
    for level in (0, 1, 2):
        for retain in (False, True):
            name = expect.topic(f"kept/{level}/{int(retain)}")
            retain_until_clean_up(name)
            arguments = ["--will-topic", name, "--will-payload", f"died {level}"]
            arguments += ["--will-qos", str(level)] + (["--will-retain"] if retain else [])
            mortal = Subscriber(
                version, f"mortal{level}{retain}", [expect.topic("unused")], arguments=arguments
            )
            mortal.kill()
            watcher.expect_exactly("will", [message(name, f"died {level}".encode(), level)])
            if retain:
                kept.append(message(name, f"died {level}".encode(), level, 1))
    _will_after_disconnect(version, watcher)
    _retained_exactly(version, "retained wills", kept)
    watcher.expect_exactly("last", [message(expect.topic("kept/last"), b"last", 2)])


def _will_after_disconnect(version, watcher):
    """No will after DISCONNECT; in MQTT 5 one where DISCONNECT has the reason code 0x04."""
    enough, name = expect.topic("enough"), expect.topic("kept/clean")
    arguments = ["--will-topic", name, "--will-payload", "in good order"]
    mortal = Subscriber(version, "clean", [enough], arguments=[*arguments, "-C", "1"])
    publish(version, enough, b"go")
    mortal.wait_end()
    if version == "5":
        Subscriber(version, "asking", [enough], arguments=arguments).stop()
        watcher.expect_exactly("DISCONNECT with 0x04", [message(name, b"in good order", 0)])
    publish(version, expect.topic("kept/end"), b"end", 2)
    watcher.expect_exactly("after DISCONNECT", [message(expect.topic("kept/end"), b"end", 2)])


def will_delay(version):
    """A delayed will waits its delay; a session resumed in time never dies."""
    watcher = Subscriber(version, "watcher", [expect.topic("died/#")], 1)

    def mortal(name):
        arguments = ["-c", "-x", "60", "--will-topic", expect.topic(f"died/{name}")]
        arguments += ["--will-payload", name, "--will-qos", "1"]
        arguments += ["-D", "will", "will-delay-interval", "2"]
        arguments += ["-D", "will", "content-type", "text/plain"]
        arguments += ["-D", "will", "user-property", "cause", "power"]
        return Subscriber(version, name, [expect.topic("unused")], 1, arguments=arguments)

    saved, lost = mortal("saved"), mortal("lost")
    saved.kill()
    back = mortal("saved")
    lost.kill()
    killed = time.monotonic()
    expected = {"content-type": "text/plain", "user-property": "cause:power"}
    watcher.expect_exactly("will", [message(expect.topic("died/lost"), b"lost", 1, 0, expected)])
    waited = time.monotonic() - killed
    if waited < 1.5:
        raise expect.Failure(f"the will with a delay of 2 s was published after {waited:.2f} s")
    publish(version, expect.topic("died/last"), b"last", 1)
    watcher.expect_exactly("last", [message(expect.topic("died/last"), b"last", 1)])
    back.stop()


def session(version):
    """A lasting session queues QoS 1 and 2 while its client is away, whole and in order."""
    name = expect.topic("session/a")

    def present():
        return Subscriber(version, "lasting", [expect.topic("session/#")], 2, arguments=["-c"])

    def send(level, count):
        texts = [f"QoS {level} number {number}" for number in range(count)]
        publish_lines(version, name, texts, level)
        return [message(name, text.encode(), level) for text in texts]

    present().stop()
    expected = send(1, 100) + send(2, 100)
    subscriber = present()
    subscriber.expect_exactly("queued while away", expected)
    subscriber.expect_exactly("live", send(1, 5))
    subscriber.kill()
    expected = send(2, 20) + send(1, 20)
    subscriber = present()
    subscriber.arrivals.wait_count(len(expected))
    # Order is promised within a QoS: mosquitto_sub shows QoS 2 only at PUBREL, after QoS 1. DUP is left
    # out: the first may have been sent to the connection that was just ending.
    received = [message(*got[:4], got[5]) for got in subscriber.arrivals.take()]
    received.sort(key=lambda got: -got[2])
    expect.compare("queued after an abrupt close", received, expected)
    subscriber.stop()
    subscriber = present()
    subscriber.expect_exactly("nothing twice", send(1, 1))
    subscriber.stop()
    send(1, 3)
    Subscriber(version, "lasting", [expect.topic("unused")], 1).stop()
    subscriber = Subscriber(version, "lasting", [expect.topic("session/#")], 2)
    subscriber.expect_exactly("a clean session begins empty", send(1, 1))
    subscriber.stop()


def unsubscribe(version):
    """A filter taken back with -U brings nothing more, in the same lasting session."""
    old, new = expect.topic("old"), expect.topic("new")
    subscriber = Subscriber(version, "changing", [old], 1, arguments=["-c"])
    for payload in (b"heard", b"heard again"):
        publish(version, old, payload, 1)
        subscriber.expect_exactly("subscribed", [message(old, payload, 1)])
    subscriber.stop()
    subscriber = Subscriber(version, "changing", [new], 1, arguments=["-c", "-U", old])
    publish(version, new, b"first", 1)
    subscriber.expect_exactly("the new filter", [message(new, b"first", 1)])
    publish(version, old, b"not heard", 1)
    publish(version, new, b"last", 1)
    subscriber.expect_exactly("unsubscribed", [message(new, b"last", 1)])
    subscriber.stop()
    Subscriber(version, "changing", [expect.topic("unused")], 1).stop()


def take_over(version):
    """A second client with the same id ends the first one's connection and session."""
    first = Subscriber(version, "same", [expect.topic("take-over")], 1)
    # Two: a copy of the first would come before the second, and not when this subscriber is gone.
    for payload in (b"before", b"still before"):
        publish(version, expect.topic("take-over"), payload, 1)
    before = [message(expect.topic("take-over"), payload, 1) for payload in (b"before", b"still before")]
    first.expect_exactly("before", before)
    arguments = ["-i", expect.client_id("same")]
    publish(version, expect.topic("elsewhere"), b"I am the same", 0, arguments=arguments)
    expect.wait_for(
        lambda: first.arrivals.ended or first.count_log("Subscribed") == 2,
        "mosquitto_sub to be thrown out",
    )
    if version == "5" and not expect.AGAINST_MOSQUITTO:  # Mosquitto 2.0.11 just closes
        expect.equal("DISCONNECT", first.log[-1], "Received DISCONNECT (142)")
    if first.arrivals.ended:  # as mosquitto_sub does on DISCONNECT; otherwise it connects again
        first = Subscriber(version, "same", [expect.topic("take-over")], 1)
    publish(version, expect.topic("take-over"), b"after", 1)
    publish(version, expect.topic("take-over"), b"last", 1)
    after = [message(expect.topic("take-over"), payload, 1) for payload in (b"after", b"last")]
    first.expect_exactly("after", after)


def properties(version):
    """All properties of a PUBLISH passed on unchanged; message expiry counted down."""
    name = expect.topic("kept/properties")
    subscriber = Subscriber(
        version, "lasting", [expect.topic("kept/#")], 1, arguments=["-c"]
    )
    wanted = [("user-property", "b", "1"), ("user-property", "a", "2"), ("user-property", "b", "3")]
    wanted += [("user-property", "b", "1"), ("content-type", "text/plain; charset=utf-8")]
    wanted += [("payload-format-indicator", "1"), ("response-topic", "answer/here")]
    wanted += [("correlation-data", "id 17")]
    arguments = [word for property in wanted for word in ("-D", "publish", *property)]
    expected = {key: value for key, value, *_ in wanted}
    expected["user-property"] = "b:1 a:2 b:3 b:1"
    for text in ("héllo", "héllo again"):
        publish(version, name, text.encode(), 1, arguments=arguments)
        subscriber.expect_exactly("properties", [message(name, text.encode(), 1, 0, expected)])
    subscriber.stop()
    expiry = ["-D", "publish", "message-expiry-interval"]
    publish(version, name, b"too old", 1, arguments=[*expiry, "1"])
    publish(version, name, b"fresh", 1, arguments=[*expiry, "100", *arguments])
    publish(version, name, b"too old", 1, retain=True, arguments=[*expiry, "1"])
    publish(version, expect.topic("kept/b"), b"kept", 1, retain=True, arguments=[*expiry, "100"])
    time.sleep(2.2)  # time itself is what is tested
    subscriber = Subscriber(version, "lasting", [expect.topic("kept/none")], 1, arguments=["-c"])
    kept, end = expect.topic("kept/b"), message(expect.topic("kept/end"), b"end", 1)
    publish(version, end[0], end[1], 1)
    _counted_down(subscriber, "queued", [message(name, b"fresh", 1, 0, expected), message(kept, b"kept", 1), end])
    subscriber.stop()
    late = Subscriber(version, "lasting", [expect.topic("kept/+")], 1)
    publish(version, end[0], end[1], 1)
    _counted_down(late, "retained", [message(kept, b"kept", 1, 1), end])
    late.stop()


def _counted_down(subscriber, what, expected):
    """Compares messages, all but the last with an expiry of 100 s at least 2 s ago, taking that out."""
    subscriber.arrivals.wait_until(lambda messages: expected[-1] in messages, "the last message")
    received = []
    for *rest, properties in subscriber.arrivals.take():
        left = int(properties.pop("message-expiry-interval", "0"))
        if tuple(rest) != expected[-1][:5] and not 50 <= left <= 98:
            raise expect.Failure(f"{what}: received {rest[1]} expiring in {left} s, expected at most 98")
        received.append((*rest, properties))
    expect.compare(what, received, expected)


def subscribe_options(version):
    """Subscription identifier and retain-as-published (mosquitto_sub 2.0 offers no other option)."""
    name = expect.topic("kept/options")
    publish(version, name, b"kept", 1, retain=True)
    identifier = ["-D", "subscribe", "subscription-identifier", "268435455"]
    plain = Subscriber(version, "plain", [name], 1)
    plain.expect_exactly("retained", [message(name, b"kept", 1, 1)])
    options = [*identifier, "--retain-as-published"]
    published = Subscriber(version, "published", [name], 1, arguments=options)
    known = {"subscription-identifier": "268435455"}
    published.expect_exactly("retained", [message(name, b"kept", 1, 1, known)])
    publish(version, name, b"new", 1, retain=True)
    plain.expect_exactly("retain cleared", [message(name, b"new", 1)])
    published.expect_exactly("retain as published", [message(name, b"new", 1, 1, known)])
    publish(version, name, b"last", 1)
    plain.expect_exactly("not retained", [message(name, b"last", 1)])
    published.expect_exactly("not retained", [message(name, b"last", 1, 0, known)])


SCENARIOS = {
    "retained": retained,
    "will": will,
    "will-delay": will_delay,
    "session": session,
    "unsubscribe": unsubscribe,
    "take-over": take_over,
    "properties": properties,
    "subscribe-options": subscribe_options,
}
