#!/usr/bin/env python3
"""Every limit of docs/limits.md, reached on the binary: what the client is told, what is counted and what is logged.

A row of the table is one limit for some versions. The broker is a new one for each version, so that the counter
begins at 0 and the line is the first of its kind.
"""

import dataclasses
import pathlib
import struct
import tempfile
import time
from typing import Any, Callable

from wire import packets as p
from wire.broker import Broker
from wire.connection import Connection, client, expect, until
from wire.script import Script

script = Script("Every limit: reason code, counter and log line together.")

LASTS = p.properties((0x11, b"\0\0\x0e\x10"))
PAST = ("3.1", "3.1.1")


@dataclasses.dataclass(frozen=True)
class Row:
    """One limit, and what reaching it looks like."""

    name: str
    settings: dict[str, Any]
    # Called with the broker and the version; answers what the client saw.
    reach: Callable[..., Any]
    # What it is to see, in MQTT 5 and before; `...` leaves a version out.
    modern: Any
    old: Any
    counter: str
    # Words of the log line; `None`: no line at the default level.
    line: str | None
    amount: int = 1
    # Where 3.x counts differently.
    old_counter: str | None = None
    options: tuple[str, ...] = ()


def ended(reason):
    """The counter of connections refused or ended with a reason code."""
    return f'aldis_connections_ended_total{{reason="{reason}"}}'


def filters(reason):
    """The counter of filters refused."""
    return f'aldis_filters_refused_total{{reason="{reason}"}}'


def dropped(reason):
    """The counter of messages dropped."""
    return f'aldis_dropped_total{{reason="{reason}"}}'


# ---- reaching them ----


def code_of_end(connection):
    """The code of the DISCONNECT or CONNACK that ends a connection; `None` if it is closed without one."""
    codes = [p.reason(connection.version, got) for got in connection.remains() if got.kind in (p.CONNACK, p.DISCONNECT)]
    expect(len(codes) <= 1, f"{codes}")
    return codes[0] if codes else None


def sends(make, login=True):
    """Sends what `make` makes of the version, and sees how the connection ends."""

    def reach(broker, version):
        with Connection(broker.port, version) as connection:
            if login:
                connection.login("me")
            connection.send(make(version))
            return code_of_end(connection)

    return reach


def answers(make, kind, last):
    """Sends what `make` makes of the version; answers the last `last` bytes of the answer of this type."""

    def reach(broker, version):
        with client(broker.port, version, "me") as connection:
            connection.send(make(version))
            body = connection.expect(kind).body
            connection.ping()
            if kind == p.PUBACK:
                return puback(version, body)
            return body[-last:].hex() if version == p.V5 or kind == p.SUBACK else body.hex()

    return reach


def puback(version, body):
    """The identifier and, in MQTT 5, the code of a PUBACK instead. A refusal has to say why, in words."""
    if version != p.V5:
        return body.hex()
    if len(body) > 2:
        words = p.reason_string(p.Packet(p.DISCONNECT, 0, body[2:]))
        expect("limits." in words or "$SYS" in words, f"the reason string is {words!r}")
    return body[2:3].hex()


def no_place(broker, version):
    """All places are taken by clients that stay."""
    stay = [client(broker.port, client_id=f"c{number}") for number in range(2)]
    with Connection(broker.port, version) as connection:
        code = connection.try_login("one-more")
        expect(not connection.remains(), "something follows the refusal")
    for one in stay:
        one.ping()
        one.close()
    return code


def silence(broker, version):
    """A connection that says nothing."""
    with Connection(broker.port, version) as connection:
        return code_of_end(connection)


def idle(broker, version):
    """A client that asks for no keep alive and then says nothing."""
    with client(broker.port, version, "me") as connection:
        if version == p.V5:
            expect(b"\x13\0\x01" in connection.connack.body, "no Server Keep Alive of 1 s")
        return code_of_end(connection)


def unread_answers(broker, version):
    """Pings without end, and none of the answers is read."""
    with Connection(broker.port, version, receive_buffer=4096).login("me") as connection:
        connection.socket.settimeout(0.5)
        deadline = time.monotonic() + 60
        while not ended_by_broker(broker, "quota_exceeded"):
            expect(time.monotonic() < deadline, "answers pile up and nothing happens")
            try:
                connection.socket.sendall(p.PING * 32768)
            except TimeoutError:
                # A send that was cut in the middle of a PINGREQ would make the next one malformed.
                pass
            except OSError:
                break
        return "ended"


def ended_by_broker(broker, reason):
    """Whether a connection has ended with this reason code."""
    return broker.metrics()[ended(reason)] > 0


def offline(broker, version, count=4, payload=b"x", qos=1):
    """Messages for a session that is offline."""
    block = LASTS if version == p.V5 else b"\0"
    with client(broker.port, version, "away", clean=False, block=block) as away:
        away.subscribe("t", options=1)
        away.send(p.GOODBYE)
        expect(away.receive() is None, "not closed")
    with client(broker.port, version, "me") as sender:
        ids = range(1, count + 1) if qos else [None] * count
        sender.send(b"".join(p.publish(version, "t", payload, qos=qos, packet_id=number) for number in ids))
        for number in ids if qos else ():
            body = sender.expect(p.PUBACK).body
            expect(body == struct.pack(">H", number), f"the publisher is told: {body.hex()}")
        sender.ping()
    return "PUBACK" if qos else "nothing"


def window(broker, version):
    """More QoS 1 messages than may be in flight, to a client that acknowledges none."""
    slow = client(broker.port, version, "slow").subscribe("t", options=1)
    with slow, client(broker.port, version, "sender") as sender:
        for number in range(1, 6):
            sender.publish("t", b"x", qos=1, packet_id=number)
            sender.expect(p.PUBACK)
        got = [slow.message()[1] for _ in range(2)]
        slow.ping()

        def held():
            # What a turn counts is posted behind what it writes.
            samples = broker.metrics()
            return samples["aldis_deliveries_in_flight"], samples["aldis_deliveries_waiting"]

        until(lambda: held() == (2, 3), f"in flight and waiting: {held()}")
        for _ in range(3):
            slow.send(p.acknowledge(p.PUBACK, got.pop(0)))
            got.append(slow.message()[1])
        slow.send(b"".join(p.acknowledge(p.PUBACK, number) for number in got))
        slow.ping()
    return "waits"


def full_outbox(broker, version):
    """QoS 0 messages for a client that reads nothing: beyond the Outbox they queue."""
    slow = Connection(broker.port, version, receive_buffer=4096).login("slow").subscribe("t")
    with client(broker.port, version, "sender") as sender:
        for _ in range(64):
            sender.publish("t", bytes(65536))
        until(lambda: broker.metrics()["aldis_queued_bytes"] > 0, "messages queue")
        sender.ping()
    slow.close()
    return "queues"


def aliases_out(broker, version):
    """One alias for several topics."""
    block = p.properties((0x22, b"\0\x0a"))
    with client(broker.port, version, "me", block=block).subscribe("#") as connection:
        seen = []
        for topic in ("first", "first", "first", "other", "other", "other", "first"):
            connection.publish(topic, b"x")
            body = connection.expect(p.PUBLISH).body
            seen.append(body[2 : 2 + body[1]].decode())
            alias = body[-3:-1] if len(body) > 2 + body[1] + 2 else None
            expect(alias in (b"\0\x01", None), f"another alias: {body!r}")
        return seen


def expires(asked):
    """A session that its client leaves behind; `asked` is the expiry interval of MQTT 5."""

    def reach(broker, version):
        block = p.properties((0x11, asked)) if version == p.V5 else b"\0"
        with client(broker.port, version, "away", clean=False, block=block) as away:
            if version == p.V5:
                expect(b"\x11\0\0\0\x01" in away.connack.body, f"another interval: {away.connack.body.hex()}")
            away.send(p.GOODBYE)
            expect(away.receive() is None, "not closed")
        return "expires"

    return reach


def retained(*payloads):
    """Retained messages of QoS 1, each to a topic of its own; answers the last PUBACK, and whether it came live."""

    def reach(broker, version):
        watcher = client(broker.port, version, "watcher").subscribe("r/#")
        with watcher, client(broker.port, version, "sender") as sender:
            for number, payload in enumerate(payloads, 1):
                sender.publish(f"r/{number}", payload, qos=1, packet_id=number, retain=True)
                body = sender.expect(p.PUBACK).body
            sender.publish("r/end")
            topics = []
            while not topics or topics[-1] != "r/end":
                topics.append(watcher.message()[0])
            said = puback(version, body) if version == p.V5 else body[2:].hex()
            return said, f"r/{len(payloads)}" in topics

    return reach


def aliased(version):
    """A PUBLISH with an alias above the maximum."""
    return p.publish(version, "t", b"x", block=p.properties((0x23, b"\0\x03")))


def three_unreleased(version):
    """Three QoS 2 messages."""
    return b"".join(p.publish(version, "t", b"x", qos=2, packet_id=number) for number in (1, 2, 3))


def received_maximum(broker, version):
    """As many as are allowed are answered, one more is the end."""
    with client(broker.port, version, "me") as connection:
        connection.send(three_unreleased(version))
        return [got.kind for got in connection.remains() if got.kind == p.DISCONNECT and got.body[0] == 0x93]


LONG, DEEP = "0123456789/0123456789", "1/2/3/4"
LEVELS, BYTES = {"limits.topic_levels": 3}, {"limits.topic_bytes": 20}
TOO_DEEP, TOO_LONG = "it has 4 levels, and limits.topic_levels is 3", "it has 21 bytes, and limits.topic_bytes is 20"
MANY = p.properties(p.user(), p.user(), p.user())
STORE = {"sys_interval": 0}

ROWS = [
    Row("connections", {"limits.connections": 2}, no_place, 0x97, 3,
        "aldis_connections_turned_away_total", "all 2 places of limits.connections are taken; raise it"),
    Row("first_packet_size", {"limits.first_packet_size": 1024},
        sends(lambda v: p.connect(v, "x" * 2000), login=False), 0x95, None,
        ended("packet_too_large"), "refused: connection from 127.0.0.1:"),
    Row("first_packet_timeout", {"limits.first_packet_timeout": "1 s"}, silence, None, None,
        "aldis_first_packet_timeouts_total", "no CONNECT within limits.first_packet_timeout (1 s)"),
    Row("packet_size", {"limits.packet_size": 1024}, sends(lambda v: p.publish(v, "t", bytes(2000))), 0x95, None,
        ended("packet_too_large"), '"me" disconnected: the packet is larger than allowed'),
    Row("user_properties in CONNECT", {"limits.user_properties": 2},
        sends(lambda v: p.connect(v, "x", block=MANY), login=False), 0x97, ...,
        ended("quota_exceeded"), "more user properties than this server takes"),
    Row("user_properties", {"limits.user_properties": 2}, sends(lambda v: p.publish(v, "t", block=MANY)), 0x97, ...,
        ended("quota_exceeded"), "more user properties than this server takes"),
    Row("topic_levels in PUBLISH", LEVELS, sends(lambda v: p.publish(v, DEEP)), 0x90, None,
        ended("topic_name_invalid"), "the topic name has more levels than limits.topic_levels"),
    Row("topic_levels in a will", LEVELS, sends(lambda v: p.connect(v, "x", will=p.Will(DEEP)), login=False), 0x90, 3,
        ended("topic_name_invalid"), 'refused: client "x", anonymous, from 127.0.0.1:'),
    Row("topic_levels in SUBSCRIBE", LEVELS, answers(lambda v: p.subscribe(v, 1, (DEEP, 0), ("a", 0)), p.SUBACK, 2),
        "8f00", "8000", filters("topic_levels"), f'client "me", SUBSCRIBE to "{DEEP}": {TOO_DEEP} (0x8F)'),
    Row("topic_levels in UNSUBSCRIBE", LEVELS, answers(lambda v: p.unsubscribe(v, 1, DEEP), p.UNSUBACK, 1),
        "8f", "0001", filters("topic_levels"), f'client "me", UNSUBSCRIBE from "{DEEP}": {TOO_DEEP} (0x8F)'),
    Row("topic_bytes in PUBLISH", BYTES, sends(lambda v: p.publish(v, LONG)), 0x90, None,
        ended("topic_name_invalid"), "the topic name is longer than limits.topic_bytes"),
    Row("topic_bytes in SUBSCRIBE", BYTES, answers(lambda v: p.subscribe(v, 1, (LONG, 0), ("a", 0)), p.SUBACK, 2),
        "8f00", "8000", filters("topic_bytes"), f'client "me", SUBSCRIBE to "{LONG}": {TOO_LONG} (0x8F)'),
    Row("topic_bytes in UNSUBSCRIBE", BYTES, answers(lambda v: p.unsubscribe(v, 1, LONG), p.UNSUBACK, 1),
        "8f", "0001", filters("topic_bytes"), f'client "me", UNSUBSCRIBE from "{LONG}": {TOO_LONG} (0x8F)'),
    Row("topic_bytes in a will", BYTES, sends(lambda v: p.connect(v, "x", will=p.Will(LONG)), login=False), 0x90, 3,
        ended("topic_name_invalid"), 'refused: client "x", anonymous, from 127.0.0.1:'),
    Row("filters_in_packet", {"limits.filters_in_packet": 2},
        sends(lambda v: p.subscribe(v, 1, ("a", 0), ("b", 0), ("c", 0))), 0x97, None,
        ended("quota_exceeded"), "more topic filters in one packet than limits.filters_in_packet"),
    Row("filters_in_packet in UNSUBSCRIBE", {"limits.filters_in_packet": 2},
        sends(lambda v: p.unsubscribe(v, 1, "a", "b", "c")), 0x97, None,
        ended("quota_exceeded"), "more topic filters in one packet than limits.filters_in_packet"),
    Row("receive_maximum", {"limits.receive_maximum": 2}, received_maximum, [p.DISCONNECT], ...,
        ended("receive_maximum_exceeded"), "more unacknowledged PUBLISH packets than the receive maximum allows"),
    Row("topic_alias_maximum", {"limits.topic_alias_maximum": 2}, sends(aliased), 0x94, ...,
        ended("topic_alias_invalid"), "the topic alias is 0 or above the topic alias maximum"),
    Row("keep_alive_max", {"limits.keep_alive_max": "1 s"}, idle, 0x8D, None, ended("keep_alive_timeout"), None),
    Row("keep_alive_max with -v", {"limits.keep_alive_max": "1 s"}, idle, 0x8D, None, ended("keep_alive_timeout"),
        '"me" disconnected: nothing was heard for one and a half times the keep alive', options=("-v",)),
    Row("subscriptions", {"limits.subscriptions": 1},
        answers(lambda v: p.subscribe(v, 1, ("a", 0), ("b", 0), ("a", 1)), p.SUBACK, 3), "009701", "008001",
        filters("subscriptions"),
        'client "me", SUBSCRIBE to "b": it would be one more than limits.subscriptions, which is 1 (0x97)'),
    Row("shared_subscriptions", {"limits.shared_subscriptions": 1},
        answers(lambda v: p.subscribe(v, 1, ("$share/g/a", 0), ("$share/g/b", 0), ("b", 0)), p.SUBACK, 3),
        "009700", "008000", filters("shared_subscriptions"),
        'client "me", SUBSCRIBE to "$share/g/b": it would be one more than limits.shared_subscriptions, which is 1'),
    Row("sessions", {"limits.sessions": 2}, no_place, 0x97, 3, ended("quota_exceeded"),
        'refused: client "one-more", anonymous, from 127.0.0.1:'),
    Row("session_expiry_max", {"limits.session_expiry_max": "1 s"}, expires(b"\0\0\0\x64"), "expires", "expires",
        "aldis_sessions_expired_total", None),
    Row("session_expiry_default", {"limits.session_expiry_default": "1 s"}, expires(b""), ..., "expires",
        "aldis_sessions_expired_total", None),
    Row("in_flight", {"limits.in_flight": 2}, window, "waits", "waits", "aldis_deliveries_offered_total", None, 5),
    Row("outbox_bytes", {"limits.outbox_bytes": "64 KiB"}, full_outbox, "queues", "queues",
        "aldis_deliveries_offered_total", None, 64),
    Row("queue_messages", {"limits.queue_messages": 2}, offline, "PUBACK", "PUBACK", dropped("queue_full"),
        "dropped 2 messages: queue_full: ", 2),
    Row("queue_bytes", {"limits.queue_bytes": 1024}, lambda b, v: offline(b, v, 2, bytes(600)), "PUBACK", "PUBACK",
        dropped("queue_full"), "dropped 1 message: queue_full: "),
    Row("queue_qos0", {}, lambda b, v: offline(b, v, 3, qos=0), "nothing", "nothing", dropped("offline"), None, 3),
    Row("answers_bytes", {"limits.answers_bytes": "64 KiB", "limits.outbox_bytes": "64 KiB"}, unread_answers,
        "ended", "ended", ended("quota_exceeded"),
        '"me" disconnected: answers pile up unread beyond limits.answers_bytes'),
    Row("topic_aliases_out", {"limits.topic_aliases_out": 1}, aliases_out,
        ["first", "first", "", "other", "other", "", "first"], ..., "aldis_deliveries_completed_total", None, 7),
    Row("retained_messages", {"limits.retained_messages": 1, **STORE}, retained(b"1", b"2"), ("97", False), ("", True),
        'aldis_refused_total{reason="retained_full"}', 'PUBLISH to "r/2": limits.retained_messages (1) is reached',
        old_counter="aldis_not_retained_total"),
    Row("retained_bytes", {"limits.retained_bytes": 1024, **STORE}, retained(b"1", bytes(1000)), ("97", False),
        ("", True), 'aldis_refused_total{reason="retained_full"}',
        'PUBLISH to "r/2": limits.retained_bytes (1024) is reached',
        old_counter="aldis_not_retained_total"),
    Row("memory_watermark, retained", {"limits.memory_watermark": "1 MiB", **STORE},
        retained(bytes(600_000), bytes(600_000)), ("97", False), ("", True),
        'aldis_refused_total{reason="retained_full"}',
        'PUBLISH to "r/2": three quarters of limits.memory_watermark (1048576 bytes) are retained messages',
        old_counter="aldis_not_retained_total"),
    Row("memory_watermark, queued", {"limits.memory_watermark": "1 MiB", **STORE},
        lambda b, v: offline(b, v, 3, bytes(900_000)), "PUBACK", "PUBACK", dropped("memory_watermark"),
        ": memory_watermark: queued and retained messages together, ", 2),
    Row("the rule of $SYS", {}, answers(lambda v: p.publish(v, "$SYS/x", b"x", qos=1, packet_id=7), p.PUBACK, 1),
        "87", "0007", 'aldis_refused_total{reason="not_authorized"}',
        'refused: client "me", PUBLISH to "$SYS/x": only the broker publishes under $SYS'),
    Row("a will under $SYS", {}, sends(lambda v: p.connect(v, "x", will=p.Will("$SYS/x")), login=False), 0x87, 5,
        ended("not_authorized"), 'its will to "$SYS/x": only the broker publishes under $SYS'),
]  # fmt: skip


def lines_beyond_the_start(broker):
    """Log lines of refusals and drops."""
    return [line for line in broker.log() if "refused: " in line or "dropped " in line or "disconnected" in line]


def check(row, version, wanted):
    """Reaches the limit of one row in one version."""
    counter = row.counter if version == p.V5 else row.old_counter or row.counter
    with script.broker(*row.options, settings=row.settings, metrics=True) as broker:
        expect(broker.metrics().get(counter) == 0, f"{counter} is not there, with 0, from the start")
        seen = row.reach(broker, version)
        expect(seen == wanted, f"MQTT {p.NAMES[version]}: {seen}, not {wanted}")
        until(lambda: broker.metrics()[counter] >= row.amount, f"{counter} counts {row.amount}")
        counted = broker.metrics()[counter]
        expect(counted == row.amount, f"MQTT {p.NAMES[version]}: {counter} is {counted}")
        if row.line:
            line = broker.wait_for(row.line)
            expect(row.options or " WARN " in line, f"not a warning: {line}")
        broker.stop()
        if not row.line:
            expect(not lines_beyond_the_start(broker), f"logged: {lines_beyond_the_start(broker)}")


def case_of(row):
    """A case of the script: the row in each of its versions."""

    def case():
        for version in p.VERSIONS:
            wanted = row.modern if version == p.V5 else row.old
            if wanted is not ...:
                check(row, version, wanted)

    case.__name__ = row.name.replace(" ", "_").replace(",", "").replace("$", "")
    return case


for each in ROWS:
    script.case(case_of(each))


# ---- how lines come ----


@script.case
def a_sum_after_ten_seconds_and_the_rest_at_the_stop():
    with script.broker() as broker:
        for _ in range(3):
            with Connection(broker.port) as stranger:
                stranger.send(b"GET / HTTP/1.1\r\n\r\n")
                expect(not stranger.remains(), "answered")
        broker.wait_for("the first packet is not a CONNECT")
        start = time.monotonic()
        broker.wait_for("2 more within 10 s")
        took = time.monotonic() - start
        expect(5 < took < 15, f"after {took:.1f} s")
        for _ in range(2):
            with Connection(broker.port) as stranger:
                stranger.send(b"GET / HTTP/1.1\r\n\r\n")
                expect(not stranger.remains(), "answered")
        broker.stop()
        rest = [line for line in broker.log() if "2 more within 10 s" in line]
        expect(len(rest) == 2, f"not written at the stop: {broker.log()[-5:]}")


@script.case
def verbose_names_subscriptions_and_holds_nothing_back():
    for version in p.VERSIONS:
        with script.broker("-v") as broker:
            with client(broker.port, version, "me") as connection:
                connection.subscribe("a/#", "b", options=1)
                connection.send(p.unsubscribe(version, 2, "b"))
                connection.expect(p.UNSUBACK)
                for number in range(1, 4):
                    connection.publish("$SYS/x", b"", qos=1, packet_id=number)
                    connection.expect(p.PUBACK)
            for words in ('"me" subscribes to "a/#": granted QoS 1', '"me" subscribes to "b": granted QoS 1',
                          '"me" unsubscribes from "b": done', 'connects as "me", anonymous, MQTT'):  # fmt: skip
                expect("DEBUG" in broker.wait_for(words), f"another level: {words}")
            until(lambda: sum("only the broker publishes" in line for line in broker.log()) == 3, "three lines")
            broker.stop()


@script.case
def twice_verbose_shows_the_refusal_as_it_is_sent():
    with script.broker("-v", "-v", settings={"auth.allow_anonymous": "false"}) as broker:
        for _ in range(2):
            with Connection(broker.port) as connection:
                expect(connection.try_login("me") == 0x87, "let in")
        until(lambda: sum("<- CONNACK 0x87" in line for line in broker.log()) == 2, "two CONNACKs")
        words = 'refused: client "me", anonymous, from 127.0.0.1:'
        until(lambda: sum(words in line for line in broker.log()) == 2, "two refusals")
        broker.stop()


@script.case
def a_bridge_of_mosquitto_may_tell_its_state():
    with script.broker() as broker:
        state = "$SYS/broker/connection/edge/state"
        watcher = client(broker.port).subscribe("$SYS/broker/connection/#")
        will = p.Will(state, b"0", qos=1, retain=True)
        with Connection(broker.port, p.V311) as other:
            expect(other.try_login("other", will=will) == 5, "another client speaks for the bridge")
        edge = client(broker.port, p.V311, "edge", will=will)
        edge.publish(state, b"1", qos=1, packet_id=1, retain=True)
        edge.expect(p.PUBACK)
        expect(watcher.message()[2] == b"1", "another state")
        edge.close()
        expect(watcher.message()[2] == b"0", "the will did not come")
        watcher.close()
        broker.stop()


@script.case
def a_process_without_free_files_says_what_to_raise():
    with tempfile.TemporaryDirectory(prefix="aldis-") as folder:
        limited = pathlib.Path(folder) / "aldis"
        limited.write_text(f'#!/bin/sh\nulimit -n 40\nexec "{script.binary}" "$@"\n')
        limited.chmod(0o755)
        with Broker(str(limited), settings={"limits.connections": 1000}).started() as broker:
            many = [Connection(broker.port) for _ in range(60)]
            line = broker.wait_for("cannot accept connections: this process has all its 40 files open; ")
            expect(line.endswith("raise LimitNOFILE= or lower limits.connections"), line)
            for one in many:
                one.close()
            client(broker.port).close()
            broker.stop()


@script.case
def a_client_comes_back_although_all_places_are_taken():
    with script.broker(settings={"limits.connections": 1}, metrics=True) as broker:
        for version in p.VERSIONS:
            # It is half open: the client is gone and has not said so.
            old = client(broker.port, version, f"me-{version}")
            new = client(broker.port, version, f"me-{version}")
            new.ping()
            with Connection(broker.port, version) as another:
                code = another.try_login("another")
                expect(code == (0x97 if version == p.V5 else 3), f"let in: {code}")
            old.close()
            new.close()
            until(lambda: broker.metrics()["aldis_connections"] == 0, "all are gone")
        broker.stop()


if __name__ == "__main__":
    script.main()
