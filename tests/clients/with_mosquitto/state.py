"""mosquitto_pub and mosquitto_sub: what the broker keeps: retained messages, wills, sessions."""

import time

import expect
from tools import Subscriber, publish, publish_lines, retain_until_clean_up


def _retained_exactly(version, name, expected, properties=False):
    """A new subscriber receives exactly `expected` (any order among topics), then live messages."""
    late = Subscriber(version, name, [expect.topic("kept/#")], 2, properties)
    late.arrivals.wait_count(len(expected))
    publish(version, expect.topic("kept/last"), b"last", 2)
    last = (expect.topic("kept/last"), b"last", 2, 0) + (({},) if properties else ())
    late.arrivals.wait_until(lambda messages: last in messages, "the last message")
    received = late.arrivals.all()
    received.remove(last)
    expect.compare(name, sorted(received, key=lambda m: m[0]), sorted(expected, key=lambda m: m[0]))
    late.stop()


def retained(version):
    """Set, replaced, deleted; RETAIN is 1 only on what was kept; a deletion is delivered live."""
    a, b, c = (expect.topic(f"kept/{name}") for name in "abc")
    live = Subscriber(version, "live", [expect.topic("kept/+")], 2)

    def put(topic, payload, qos, retain=True):
        publish(version, topic, payload, qos, retain)
        live.expect_exactly(f"{payload} live", [(topic, payload, qos, 0)])

    put(a, b"one", 1)
    put(b, b"two", 0)
    put(c, b"three", 2)
    live.stop()
    _retained_exactly(version, "set", [(a, b"one", 1, 1), (b, b"two", 0, 1), (c, b"three", 2, 1)])
    live = Subscriber(version, "live2", [a, b, c, expect.topic("kept/x")], 2)
    live.expect_exactly_sorted("replay", [(a, b"one", 1, 1), (b, b"two", 0, 1), (c, b"three", 2, 1)])
    put(a, b"uno", 2)
    put(b, b"not kept", 1, retain=False)
    _retained_exactly(
        version, "replaced", [(a, b"uno", 2, 1), (b, b"two", 0, 1), (c, b"three", 2, 1)]
    )
    put(b, b"", 1)
    put(c, b"", 0)
    put(expect.topic("kept/x"), b"", 2)
    _retained_exactly(version, "deleted", [(a, b"uno", 2, 1)])
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
            watcher.expect_exactly("will", [(name, f"died {level}".encode(), level, 0)])
            if retain:
                kept.append((name, f"died {level}".encode(), level, 1))
    _will_after_disconnect(version, watcher)
    _retained_exactly(version, "retained wills", kept)


def _will_after_disconnect(version, watcher):
    """No will after DISCONNECT; in MQTT 5 one where DISCONNECT has the reason code 0x04."""
    enough, name = expect.topic("enough"), expect.topic("kept/clean")
    arguments = ["--will-topic", name, "--will-payload", "in good order"]
    mortal = Subscriber(version, "clean", [enough], arguments=[*arguments, "-C", "1"])
    publish(version, enough, b"go")
    mortal.wait_end()
    if version == "5":
        Subscriber(version, "asking", [enough], arguments=arguments).stop()
        watcher.expect_exactly("DISCONNECT with 0x04", [(name, b"in good order", 0, 0)])
    publish(version, expect.topic("kept/end"), b"end", 2)
    watcher.expect_exactly("after DISCONNECT", [(expect.topic("kept/end"), b"end", 2, 0)])


def will_delay(version):
    """A delayed will waits its delay; a session resumed in time never dies."""
    watcher = Subscriber(version, "watcher", [expect.topic("died/#")], 1, properties=True)

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
    watcher.expect_exactly("will", [(expect.topic("died/lost"), b"lost", 1, 0, expected)])
    waited = time.monotonic() - killed
    if waited < 1.5:
        raise expect.Failure(f"the will with a delay of 2 s was published after {waited:.2f} s")
    publish(version, expect.topic("died/last"), b"last", 1)
    watcher.expect_exactly("last", [(expect.topic("died/last"), b"last", 1, 0, {})])
    back.stop()


def session(version):
    """A lasting session queues QoS 1 and 2 while its client is away, whole and in order."""
    name = expect.topic("session/a")

    def present():
        return Subscriber(version, "lasting", [expect.topic("session/#")], 2, arguments=["-c"])

    def send(level, count):
        texts = [f"QoS {level} number {number}" for number in range(count)]
        publish_lines(version, name, texts, level)
        return [(name, text.encode(), level, 0) for text in texts]

    present().stop()
    expected = send(1, 100) + send(2, 100)
    subscriber = present()
    subscriber.expect_exactly("queued while away", expected)
    subscriber.expect_exactly("live", send(1, 5))
    subscriber.kill()
    expected = send(2, 20) + send(1, 20)
    subscriber = present()
    subscriber.arrivals.wait_count(len(expected))
    # Order is promised within a QoS: mosquitto_sub shows QoS 2 only at PUBREL, after QoS 1.
    received = sorted(subscriber.arrivals.all(), key=lambda message: -message[2])
    expect.compare("queued after an abrupt close", received, expected)
    subscriber.arrivals.clear()
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
    publish(version, old, b"heard", 1)
    subscriber.expect_exactly("subscribed", [(old, b"heard", 1, 0)])
    subscriber.stop()
    subscriber = Subscriber(version, "changing", [new], 1, arguments=["-c", "-U", old])
    publish(version, new, b"first", 1)
    subscriber.expect_exactly("the new filter", [(new, b"first", 1, 0)])
    publish(version, old, b"not heard", 1)
    publish(version, new, b"last", 1)
    subscriber.expect_exactly("unsubscribed", [(new, b"last", 1, 0)])
    subscriber.stop()
    Subscriber(version, "changing", [expect.topic("unused")], 1).stop()


def take_over(version):
    """A second client with the same id ends the first one's connection and session."""
    first = Subscriber(version, "same", [expect.topic("take-over")], 1)
    publish(version, expect.topic("take-over"), b"before", 1)
    first.expect_exactly("before", [(expect.topic("take-over"), b"before", 1, 0)])
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
    first.expect_exactly("after", [(expect.topic("take-over"), b"after", 1, 0)])


def properties(version):
    """All properties of a PUBLISH passed on unchanged; message expiry counted down."""
    name = expect.topic("kept/properties")
    subscriber = Subscriber(
        version, "lasting", [expect.topic("kept/#")], 1, properties=True, arguments=["-c"]
    )
    wanted = [("user-property", "b", "1"), ("user-property", "a", "2"), ("user-property", "b", "3")]
    wanted += [("user-property", "b", "1"), ("content-type", "text/plain; charset=utf-8")]
    wanted += [("payload-format-indicator", "1"), ("response-topic", "answer/here")]
    wanted += [("correlation-data", "id 17")]
    arguments = [word for property in wanted for word in ("-D", "publish", *property)]
    expected = {key: value for key, value, *_ in wanted}
    expected["user-property"] = "b:1 a:2 b:3 b:1"
    publish(version, name, "héllo".encode(), 1, arguments=arguments)
    subscriber.expect_exactly("properties", [(name, "héllo".encode(), 1, 0, expected)])
    subscriber.stop()
    expiry = ["-D", "publish", "message-expiry-interval"]
    publish(version, name, b"too old", 1, arguments=[*expiry, "1"])
    publish(version, name, b"fresh", 1, arguments=[*expiry, "100", *arguments])
    publish(version, name, b"too old", 1, retain=True, arguments=[*expiry, "1"])
    publish(version, expect.topic("kept/b"), b"kept", 1, retain=True, arguments=[*expiry, "100"])
    time.sleep(2.2)  # time itself is what is tested
    subscriber = Subscriber(
        version, "lasting", [expect.topic("kept/none")], 1, properties=True, arguments=["-c"]
    )
    subscriber.arrivals.wait_count(2)
    _counted_down(subscriber, "queued", [
        (name, b"fresh", 1, 0, expected), (expect.topic("kept/b"), b"kept", 1, 0, {})
    ])
    subscriber.stop()
    late = Subscriber(version, "lasting", [expect.topic("kept/+")], 1, properties=True)
    late.arrivals.wait_count(1)
    _counted_down(late, "retained", [(expect.topic("kept/b"), b"kept", 1, 1, {})])
    late.stop()


def _counted_down(subscriber, what, expected):
    """Compares messages published with an expiry of 100 s at least 2 s ago, taking that out."""
    received = []
    for topic, payload, qos, retain, properties in subscriber.arrivals.all():
        left = int(properties.pop("message-expiry-interval", "0"))
        if not 50 <= left <= 98:
            raise expect.Failure(f"{what}: {payload} expires in {left} s, expected at most 98")
        received.append((topic, payload, qos, retain, properties))
    expect.compare(what, received, expected)
    subscriber.arrivals.clear()


def subscribe_options(version):
    """Subscription identifier and retain-as-published (mosquitto_sub 2.0 offers no other option)."""
    name = expect.topic("kept/options")
    publish(version, name, b"kept", 1, retain=True)
    identifier = ["-D", "subscribe", "subscription-identifier", "268435455"]
    plain = Subscriber(version, "plain", [name], 1, properties=True)
    plain.expect_exactly("retained", [(name, b"kept", 1, 1, {})])
    options = [*identifier, "--retain-as-published"]
    published = Subscriber(version, "published", [name], 1, properties=True, arguments=options)
    known = {"subscription-identifier": "268435455"}
    published.expect_exactly("retained", [(name, b"kept", 1, 1, known)])
    publish(version, name, b"new", 1, retain=True)
    plain.expect_exactly("retain cleared", [(name, b"new", 1, 0, {})])
    published.expect_exactly("retain as published", [(name, b"new", 1, 1, known)])
    publish(version, name, b"last", 1)
    plain.expect_exactly("not retained", [(name, b"last", 1, 0, {})])
    published.expect_exactly("not retained", [(name, b"last", 1, 0, known)])


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
