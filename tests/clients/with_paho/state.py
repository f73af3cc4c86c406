"""paho-mqtt: what the broker keeps: retained messages, wills, sessions; take-over."""

import time

import expect
from peer import Peer, message


def _retained_exactly(version, publisher, label, expected):
    """A new subscriber receives exactly `expected` (any order among topics), then live messages."""
    late = Peer(version, label).subscribe(expect.topic("kept/#"), 2)
    late.arrivals.wait_count(len(expected))
    last = message(expect.topic("kept/last"), b"last", 2)
    publisher.send(last[0], last[1], 2)
    late.arrivals.wait_until(lambda messages: last in messages, "the last message")
    late.expect_any_order(label, [*expected, last])
    late.disconnect()


def retained(version):
    """Set, replaced, deleted; RETAIN is 1 only on what was kept; a deletion is delivered live."""
    a, b, c = (expect.topic(f"kept/{name}") for name in "abc")
    live = Peer(version, "live").subscribe(expect.topic("kept/+"), 2)
    publisher = Peer(version, "publisher")

    def put(topic, payload, qos, retain=True):
        publisher.send(topic, payload, qos, retain)
        live.expect_exactly(f"{payload} live", [message(topic, payload, qos)])

    put(a, b"one", 1)
    put(b, b"two", 0)
    put(c, b"three", 2)
    live.unsubscribe(expect.topic("kept/+"))
    first = [message(a, b"one", 1, 1), message(b, b"two", 0, 1), message(c, b"three", 2, 1)]
    _retained_exactly(version, publisher, "set", first)
    live.subscribe(expect.topic("kept/+"), 2)
    live.expect_any_order("subscribed again", first)
    put(a, b"uno", 2)
    put(b, b"not kept", 1, retain=False)
    live.unsubscribe(expect.topic("kept/+"))
    replaced = [message(a, b"uno", 2, 1), message(b, b"two", 0, 1), message(c, b"three", 2, 1)]
    _retained_exactly(version, publisher, "replaced", replaced)
    live.subscribe(expect.topic("kept/+"), 2)
    live.expect_any_order("replaced", replaced)
    put(b, b"", 1)
    put(c, b"", 0)
    put(expect.topic("kept/never"), b"", 2)
    live.disconnect()
    _retained_exactly(version, publisher, "deleted", [message(a, b"uno", 2, 1)])
    publisher.send(a, b"", 1, retain=True)
    _retained_exactly(version, publisher, "all deleted", [])


def will(version):
    """Published on an abrupt close with QoS, RETAIN, properties; not after a clean DISCONNECT."""
    watcher = Peer(version, "watcher").subscribe(expect.topic("kept/#"), 2)
    publisher = Peer(version, "publisher")
    carried = {}
    if version == "5":
        pairs = [("cause", "power"), ("cause", "again")]
        carried = {"ContentType": "text/plain", "UserProperty": pairs, "PayloadFormatIndicator": 1}
    kept = []
    for level in (0, 1, 2):
        for retain in (False, True):
            name, payload = expect.topic(f"kept/{level}/{int(retain)}"), f"died {level}".encode()
            last_words = (name, payload, level, retain)
            mortal = Peer(version, f"mortal{level}{retain}")
            mortal.disconnect()  # a will belongs to one connection: this one had none
            mortal = Peer(version, f"mortal{level}{retain}", will=last_words, will_properties=carried)
            mortal.kill()
            watcher.expect_exactly("will", [message(name, payload, level, **carried)])
            if retain:
                kept.append(message(name, payload, level, 1, **carried))
    clean = (expect.topic("kept/clean"), b"in good order", 1, False)
    Peer(version, "clean", will=clean).disconnect()
    if version == "5":
        Peer(version, "asking", will=clean).disconnect(reason="Disconnect with will message")
        watcher.expect_exactly("DISCONNECT with 0x04", [message(*clean[:3])])
    publisher.send(expect.topic("kept/end"), b"end", 2)
    watcher.expect_exactly("after DISCONNECT", [message(expect.topic("kept/end"), b"end", 2)])
    _retained_exactly(version, publisher, "retained wills", kept)
    watcher.expect_exactly("last", [message(expect.topic("kept/last"), b"last", 2)])


def will_delay(version):
    """A delayed will waits its delay; a session resumed in time never dies."""
    watcher = Peer(version, "watcher").subscribe(expect.topic("died/#"), 1)

    def mortal(name, clean=True, delay=2):
        last_words, delayed = (expect.topic(f"died/{name}"), b"died", 1), {"WillDelayInterval": delay}
        return Peer(version, name, clean, expiry=60, will=last_words, will_properties=delayed)

    saved, lost = mortal("saved"), mortal("lost")
    saved.kill()
    back = mortal("saved", clean=False)
    expect.equal("session present", back.session_present, True)
    lost.kill()
    killed = time.monotonic()
    watcher.expect_exactly("will", [message(expect.topic("died/lost"), b"died", 1)])
    waited = time.monotonic() - killed
    if waited < 1.5:
        raise expect.Failure(f"the will with a delay of 2 s was published after {waited:.2f} s")
    if not expect.AGAINST_MOSQUITTO:  # Mosquitto 2.0 loses this will
        mortal("replaced", delay=300).kill()
        Peer(version, "replaced").disconnect()  # a clean start ends the session, and so the delay
        died = message(expect.topic("died/replaced"), b"died", 1)
        watcher.expect_exactly("session ended", [died])
    back.send(expect.topic("died/last"), b"last", 1)
    watcher.expect_exactly("last", [message(expect.topic("died/last"), b"last", 1)])
    back.disconnect()
    for name in ("saved", "lost"):
        Peer(version, name).disconnect()


def session(version):
    """A lasting session queues QoS 1 and 2 while its client is away, whole and in order."""
    publisher = Peer(version, "publisher")
    name = expect.topic("session/a")

    def present(expected_present):
        peer = Peer(version, "lasting", clean=False, expiry=300)
        expect.equal("session present", peer.session_present, expected_present)
        return peer

    def send(level, count):
        expected = [message(name, f"{number}".encode(), level) for number in range(count)]
        for topic, payload, *_ in expected:
            publisher.publish(topic, payload, level)
        publisher.flush()
        return expected

    def by_qos(peer, what, expected, compares_dup=True):
        # Order is promised within a QoS: a client shows QoS 2 only at PUBREL, after QoS 1.
        peer.arrivals.wait_count(len(expected))
        received = sorted(peer.arrivals.take(), key=lambda got: got[2])
        if not compares_dup:
            received = [(*got[:4], 0, got[5]) for got in received]
        expect.compare(what, received, sorted(expected, key=lambda got: got[2]))

    present(False).subscribe(expect.topic("session/#"), 2).disconnect()
    expected = send(2, 300) + send(1, 300) + send(2, 50)
    peer = present(True)
    by_qos(peer, "queued while away", expected)
    peer.expect_exactly("live", send(1, 5))
    peer.kill()
    expected = send(2, 20) + send(1, 20)
    peer = present(True)
    # The first of these may have been sent to the connection that was just ending.
    by_qos(peer, "queued after an abrupt close", expected, compares_dup=False)
    peer.disconnect()
    peer = present(True)
    peer.expect_exactly("nothing twice", send(1, 1))
    peer.disconnect()
    send(1, 3)
    Peer(version, "lasting").disconnect()  # a clean session: the old one is gone
    peer = present(False).subscribe(expect.topic("session/#"), 2)
    peer.expect_exactly("a new session begins empty", send(2, 1))
    peer.disconnect()
    Peer(version, "lasting").disconnect()


def redelivery(version):
    """What was received but not acknowledged comes again, first, in order and with DUP."""
    name = expect.topic("again")
    publisher = Peer(version, "publisher")
    peer = Peer(version, "forgetful", clean=False, expiry=300, manual=True).subscribe(name, 1)
    for number in range(5):
        publisher.send(name, f"{number}".encode(), 1)
    first = [message(name, f"{number}".encode(), 1) for number in range(5)]
    peer.expect_exactly("the first time", first)
    peer.kill()
    publisher.send(name, b"5", 1)
    peer = Peer(version, "forgetful", clean=False, expiry=300)
    expect.equal("session present", peer.session_present, True)
    peer.arrivals.wait_count(6)
    received = peer.arrivals.take()
    again = [message(name, f"{number}".encode(), 1, dup=1) for number in range(5)]
    # The last one may have been sent to the connection that was just ending: its DUP may be either.
    again.append(message(name, b"5", 1, dup=received[-1][4]))
    expect.compare("the second time", received, again)
    peer.disconnect()
    peer = Peer(version, "forgetful", clean=False, expiry=300)
    publisher.send(name, b"last", 1)
    peer.expect_exactly("acknowledged at last", [message(name, b"last", 1)])
    peer.disconnect()
    Peer(version, "forgetful").disconnect()


def exactly_once(version):
    """QoS 2 over a reconnect, whichever answer is lost on the way: each message comes once."""
    name = expect.topic("once")
    numbered = [message(name, f"{number}".encode(), 2) for number in range(5)]
    publisher = Peer(version, "publisher")

    def present(loses=None):
        return Peer(version, "once", clean=False, expiry=300, loses=loses)

    def lost_all(peer):
        what = f"{peer.name} to have received {len(numbered)} and lost as many: {peer.client.loses}"
        expect.wait_for(lambda: peer.client.lost == len(numbered), what, expect.DEADLINE)
        peer.kill()

    peer = present("PUBREC").subscribe(name, 2)
    for topic, payload, *_ in numbered:
        publisher.send(topic, payload, 2)
    lost_all(peer)
    expect.compare("received without PUBREC", peer.unreleased(), numbered)
    expect.compare("without PUBREC there is no PUBREL", peer.arrivals.take(), [])
    peer = present("PUBCOMP")
    again = [message(name, payload, 2, dup=1) for _, payload, *_ in numbered]
    peer.expect_exactly("PUBREC was lost", again)
    lost_all(peer)
    back = present()
    publisher.send(name, b"last", 2)
    back.expect_exactly("PUBCOMP was lost", [message(name, b"last", 2)])
    expect.equal("PUBREL again", back.client.released[:-1], peer.client.released)
    for loses in ("PUBREC received", "PUBCOMP received"):
        sender = Peer(version, f"{loses[:7]}-loser", clean=False, expiry=300, loses=loses)
        for topic, payload, *_ in numbered:
            sender.publish(topic, payload, 2)
        lost_all(sender)
        sender.client.loses = None
        sender.reconnect()
        expect.equal("session present", sender.session_present, True)
        sender.flush()
        sender.disconnect()
        Peer(version, f"{loses[:7]}-loser").disconnect()
        publisher.send(name, b"last", 2)
        back.expect_exactly(f"{loses} was lost", [*numbered, message(name, b"last", 2)])
    back.disconnect()
    Peer(version, "once").disconnect()


def unsubscribe(version):
    """A filter taken back brings nothing more; another filter on the same topic stays."""
    peer = Peer(version, "changing")
    name, wide = expect.topic("changing/a"), expect.topic("changing/+")
    peer.subscribe(name, 2)
    peer.send(name, b"heard", 2)
    peer.expect_exactly("subscribed", [message(name, b"heard", 2)])
    peer.subscribe(wide, 1)
    peer.unsubscribe(name)
    peer.send(name, b"heard at QoS 1", 2)
    peer.expect_exactly("the wide one", [message(name, b"heard at QoS 1", 1)])
    peer.subscribe(expect.topic("last"), 1)
    peer.unsubscribe(wide)
    peer.send(name, b"not heard", 2)
    peer.send(expect.topic("last"), b"last", 1)
    peer.expect_exactly("unsubscribed", [message(expect.topic("last"), b"last", 1)])


def take_over(version):
    """A second client with the same id ends the first one's connection and takes its session."""
    name = expect.topic("take-over")
    publisher = Peer(version, "publisher")
    first = Peer(version, "same", clean=False, expiry=300).subscribe(name, 1)
    publisher.send(name, b"before", 1)
    first.expect_exactly("before", [message(name, b"before", 1)])
    first.settle()
    second = Peer(version, "same", clean=False, expiry=300)
    expect.equal("session present", second.session_present, True)
    if not first.closed.wait(expect.CONTROL_DEADLINE):
        raise expect.Failure("the first client is still connected after the take-over")
    if version == "5" and not expect.AGAINST_MOSQUITTO:  # Mosquitto 2.0.11 just closes
        expect.equal("reason of the DISCONNECT", first.client.disconnect_reason, 0x8E)
    publisher.send(name, b"after", 1)
    publisher.send(name, b"last", 1)
    second.expect_exactly("after", [message(name, b"after", 1), message(name, b"last", 1)])
    expect.compare("the first, after the take-over", first.arrivals.take(), [])
    second.disconnect()
    Peer(version, "same").disconnect()


SCENARIOS = {
    "retained": retained,
    "will": will,
    "will-delay": will_delay,
    "session": session,
    "redelivery": redelivery,
    "exactly-once": exactly_once,
    "unsubscribe": unsubscribe,
    "take-over": take_over,
}
