"""The grid of packets that a broker has to refuse, by what is wrong with them. No sockets here.

A `Case` says what is sent and what may come back. `CODES` of several members stand where the
standard leaves the choice between Malformed Packet (0x81) and Protocol Error (0x82).
"""

import dataclasses
import struct

from . import packets as p
from .packets import V31, V311, V5, VERSIONS

MALFORMED, PROTOCOL = frozenset({0x81}), frozenset({0x82})
EITHER = MALFORMED | PROTOCOL


@dataclasses.dataclass(frozen=True)
class Case:
    """Bytes to send on a connection of `version` and what must follow.

    `codes` are the reason codes that MQTT 5 may be told; older versions are told nothing. `None`
    means that the packet is allowed and the connection goes on.
    """

    name: str
    version: int
    data: bytes
    codes: frozenset | None = EITHER


def cases():
    """Every case after CONNECT."""
    for version in VERSIONS:
        yield from fixed_headers(version)
        yield from from_servers(version)
        yield from truncated(version)
        yield from trailing(version)
        yield from publishes(version)
        yield from strings(version)
        yield from filters(version)
        yield from exchanges(version)
    yield from property_grid()
    yield from property_values()
    yield from reason_codes()


def samples(version):
    """A good packet of each type that a client may send: name, bytes, and the lengths at which a
    shortened body is good, too."""
    block = p.properties((0x26, p.SAMPLE[0x26])) if version == V5 else b""
    subscription = p.properties((0x0B, b"\x05")) if version == V5 else b""
    yield "PUBLISH q0", p.publish(version, "m/t", b"pay", block=block), range(5 + len(block), 99)
    yield "PUBLISH q1", p.publish(version, "m/t", b"pay", qos=1, packet_id=7, block=block), range(7 + len(block), 99)
    yield "PUBLISH q2", p.publish(version, "m/t", b"pay", qos=2, packet_id=8, block=block), range(7 + len(block), 99)
    # In MQTT 5 the reason code may be left out, and then the properties.
    optional = (2, 3) if version == V5 else (2,)
    for kind, name in ((p.PUBACK, "PUBACK"), (p.PUBREC, "PUBREC"), (p.PUBREL, "PUBREL"), (p.PUBCOMP, "PUBCOMP")):
        tail = b"\0" + p.properties((0x1F, p.text("y"))) if version == V5 else b""
        yield name, p.acknowledge(kind, 999, tail), optional
    first = 2 + len(subscription) + 6
    yield "SUBSCRIBE", p.subscribe(version, 3, ("m/a", 1), ("m/b", 0), block=subscription), (first,)
    yield "UNSUBSCRIBE", p.unsubscribe(version, 4, "m/a", "m/b", block=block), (2 + len(block) + 5,)
    if version == V5:
        yield "DISCONNECT", p.packet(0xE0, b"\x04" + p.properties((0x1F, p.text("y")))), (0, 1)


def body_of(data):
    """What follows the fixed header."""
    return p.take(data)[0].body


def fixed_headers(version):
    """Flags, lengths and types of the fixed header."""
    for name, data, _ in samples(version):
        if name.startswith("PUBLISH"):
            continue
        for flags in range(16):
            if flags != data[0] & 15:
                # 3.1 has no rule about flags that a packet does not use.
                wanted = None if version == V31 else MALFORMED
                yield Case(f"{name} flags {flags:04b}", version, bytes([data[0] & 0xF0 | flags]) + data[1:], wanted)
    for flags in (1, 2, 15):
        wanted = None if version == V31 else MALFORMED
        yield Case(f"PINGREQ flags {flags:04b}", version, bytes([0xC0 | flags, 0]), wanted)
    yield Case("PINGREQ with a body", version, p.packet(0xC0, b"x"), MALFORMED)
    if version != V5:
        yield Case("DISCONNECT with a body", version, p.packet(0xE0, b"\0"))
        yield Case("AUTH", version, p.packet(0xF0, b"\0\0"))
    for flags in (0, 15):
        yield Case(f"packet type 0 flags {flags:04b}", version, bytes([flags, 0]), MALFORMED)
    yield Case("five bytes of Remaining Length", version, b"\x30\xff\xff\xff\xff\x01", MALFORMED)
    yield Case("five bytes of Remaining Length, the last is 0", version, b"\x30\x80\x80\x80\x80\x00", MALFORMED)
    for length in (b"\x80\x00", b"\x85\x80\x00", b"\x85\x80\x80\x00"):
        yield Case(f"Remaining Length {length.hex()} is not minimal", version, b"\xc0" + length, MALFORMED)
    yield Case("256 MiB announced", version, b"\x30\xff\xff\xff\x7f", frozenset({0x95}))
    yield Case("1 MiB + 1 announced", version, b"\x30" + p.variable((1 << 20) - 3), frozenset({0x95}))


def from_servers(version):
    """What only a server sends, and what belongs before or between."""
    # A packet of the wrong direction that is malformed besides may be called either.
    yield Case("CONNACK", version, p.packet(0x20, b"\0\0" + (b"\0" if version == V5 else b"")), PROTOCOL)
    yield Case("SUBACK", version, p.packet(0x90, b"\0\1" + (b"\0\0" if version == V5 else b"\0")), PROTOCOL)
    yield Case("UNSUBACK", version, p.packet(0xB0, b"\0\1" + (b"\0\0" if version == V5 else b"")), PROTOCOL)
    yield Case("PINGRESP", version, p.PONG, PROTOCOL)
    for other in VERSIONS:
        yield Case(f"a second CONNECT, {p.NAMES[other]}", version, p.connect(other, "second"), PROTOCOL)
    yield Case("a second CONNECT, malformed", version, p.packet(0x10, b"\0\4MQ"))
    if version == V5:
        yield Case("AUTH, short", version, p.packet(0xF0), PROTOCOL)
        method = p.properties((0x15, p.text("m")))
        for code in (0x00, 0x18, 0x19):
            yield Case(f"AUTH 0x{code:02X}", version, p.packet(0xF0, bytes([code]) + method), PROTOCOL)


def truncated(version):
    """Every packet that ends early, at every byte."""
    for name, data, good in samples(version):
        body = body_of(data)
        for length in range(len(body)):
            # DISCONNECT ends the connection where it is good: nothing to tell apart there.
            if length in good and name == "DISCONNECT":
                continue
            wanted = None if length in good else EITHER
            yield Case(f"{name} cut at {length}", version, p.packet(data[0], body[:length]), wanted)


def trailing(version):
    """A byte behind the last field. (Behind a SUBSCRIBE it would be the next field, which is cut.)"""
    for name, data, _ in samples(version):
        if not name.startswith("PUBLISH"):
            yield Case(f"{name} and a byte more", version, p.packet(data[0], body_of(data) + b"\0"))


def publishes(version):
    """PUBLISH, in what is its own."""
    for retain in (0, 1):
        body = p.text("m/t") + b"\0\x07" + (b"\0" if version == V5 else b"")
        yield Case(f"PUBLISH q3 retain {retain}", version, p.packet(0x36 | retain, body), MALFORMED)
        yield Case(f"PUBLISH q3 dup retain {retain}", version, p.packet(0x3E | retain, body), MALFORMED)
    wanted = None if version == V31 else EITHER
    yield Case("PUBLISH q0 dup", version, p.publish(version, "m/dup", dup=True), wanted)
    for qos in (1, 2):
        yield Case(f"PUBLISH q{qos} id 0", version, p.publish(version, "m/t", qos=qos, packet_id=0))
    for topic in ("#", "+", "m/#", "m/+", "+/m", "m+", "m#/t", "/#"):
        data = p.publish(version, topic, b"x")
        yield Case(f"PUBLISH to {topic}", version, data, EITHER | {0x90})
    yield Case("PUBLISH to nothing", version, p.publish(version, "", b"x"), EITHER | {0x90})
    deep = "m" + 127 * "/"
    yield Case("PUBLISH, 128 levels", version, p.publish(version, deep), None)
    yield Case("PUBLISH, 129 levels", version, p.publish(version, deep + "/"), frozenset({0x90}))
    yield Case("PUBLISH, 65,535 levels", version, p.publish(version, 65535 * "/"), frozenset({0x90}))


BAD_TEXT = {
    "U+0000": b"m/\0", "U+0000 alone": b"\0", "a surrogate": b"m/\xed\xa0\x80", "a low surrogate": b"\xed\xbf\xbf",
    "a surrogate pair": b"\xed\xa0\xbd\xed\xb8\x80", "an overlong slash": b"m\xc0\xaf", "an overlong zero": b"\xc0\x80",
    "three overlong bytes": b"\xe0\x80\xaf", "above U+10FFFF": b"\xf4\x90\x80\x80", "a byte that begins nothing": b"\xff",
    "a byte that follows nothing": b"\x80", "a character cut short": b"m/\xe2\x82", "five bytes": b"\xf8\x88\x80\x80\x80",
}  # fmt: skip
GOOD_TEXT = {"a byte order mark": b"\xef\xbb\xbfm", "U+FFFF": b"m/\xef\xbf\xbf", "four bytes": b"m/\xf0\x9f\x98\x80"}


def strings(version):
    """Text that is no UTF-8, wherever a client sends text."""
    for bad, text in BAD_TEXT.items():
        yield Case(f"PUBLISH topic: {bad}", version, p.publish(version, text, b"x"), EITHER | {0x90})
        yield Case(f"SUBSCRIBE filter: {bad}", version, p.subscribe(version, 1, (text, 0)), EITHER | {0x8F})
        yield Case(f"UNSUBSCRIBE filter: {bad}", version, p.unsubscribe(version, 1, text), EITHER | {0x8F})
        if version == V5:
            for where, pair in (
                ("user property name", (0x26, p.text(text) + p.text("v"))),
                ("user property value", (0x26, p.text("n") + p.text(text))),
                ("content type", (0x03, p.text(text))),
                ("response topic", (0x08, p.text(text))),
            ):
                data = p.publish(version, "m/t", b"x", block=p.properties(pair))
                yield Case(f"PUBLISH {where}: {bad}", version, data)
    for good, text in GOOD_TEXT.items():
        yield Case(f"PUBLISH topic: {good}", version, p.publish(version, text), None)


BAD_FILTERS = ("", "a#", "#/a", "a/#/b", "a+", "+a", "a/b+/c", "a/+b", "##", "++", "a/#b", "/a#", "+#")
BAD_SHARES = ("$share/", "$share/g", "$share/g/", "$share//a", "$share/a+/b", "$share/#/b", "$share/+/b", "$share/g#/b")


def filters(version):
    """Filters that break section 4.7 or 4.8, and options that do not exist."""
    for name in BAD_FILTERS + (BAD_SHARES if version == V5 else ()):
        wanted = EITHER | {0x8F}
        yield Case(f"SUBSCRIBE {name!r}", version, p.subscribe(version, 1, (name, 0)), wanted)
        yield Case(f"SUBSCRIBE good and {name!r}", version, p.subscribe(version, 1, ("m/a", 0), (name, 0)), wanted)
        yield Case(f"UNSUBSCRIBE {name!r}", version, p.unsubscribe(version, 1, name), wanted)
    none = struct.pack(">H", 1) + (b"\0" if version == V5 else b"")
    yield Case("SUBSCRIBE without a filter", version, p.packet(0x82, none))
    yield Case("UNSUBSCRIBE without a filter", version, p.packet(0xA2, none))
    yield Case("SUBSCRIBE id 0", version, p.subscribe(version, 0, ("m/a", 0)))
    yield Case("UNSUBSCRIBE id 0", version, p.unsubscribe(version, 0, "m/a"))
    yield Case("SUBSCRIBE q3", version, p.subscribe(version, 1, ("m/a", 3)))
    reserved = {V31: (), V311: range(4, 256, 28), V5: (0x40, 0x80, 0xC0, 0x41)}[version]
    for options in reserved:
        yield Case(f"SUBSCRIBE options 0x{options:02X}", version, p.subscribe(version, 1, ("m/a", options)))
    if version == V31:
        yield Case("SUBSCRIBE upper bits", version, p.subscribe(version, 1, ("m/a", 0xFC)), None)
    if version == V5:
        yield Case("SUBSCRIBE retain handling 3", version, p.subscribe(version, 1, ("m/a", 0x30)))
        yield Case("SUBSCRIBE shared, no local", version, p.subscribe(version, 1, ("$share/g/m", 4)), PROTOCOL)


def exchanges(version):
    """Acknowledgements that belong to nothing are no error; identifier 0 is."""
    for kind in (p.PUBACK, p.PUBREC, p.PUBREL, p.PUBCOMP):
        yield Case(f"acknowledgement {kind} id 0", version, p.acknowledge(kind, 0))
        yield Case(f"acknowledgement {kind} of nothing", version, p.acknowledge(kind, 77), None)


# Which properties of Table 2-4 a packet of a client may hold.
ALLOWED = {
    "PUBLISH": {0x01, 0x02, 0x03, 0x08, 0x09, 0x23, 0x26},
    "PUBACK": {0x1F, 0x26},
    "PUBREC": {0x1F, 0x26},
    "PUBREL": {0x1F, 0x26},
    "PUBCOMP": {0x1F, 0x26},
    "SUBSCRIBE": {0x0B, 0x26},
    "UNSUBSCRIBE": {0x26},
    "DISCONNECT": {0x11, 0x1F, 0x26},
}


def holding(name, block):
    """A packet of MQTT 5 with this property block."""
    kinds = {"PUBACK": p.PUBACK, "PUBREC": p.PUBREC, "PUBREL": p.PUBREL, "PUBCOMP": p.PUBCOMP}
    if name in kinds:
        return p.acknowledge(kinds[name], 99, b"\0" + block)
    if name == "PUBLISH":
        return p.publish(V5, "m/t", b"x", block=block)
    if name == "SUBSCRIBE":
        return p.subscribe(V5, 1, ("m/a", 0), block=block)
    if name == "UNSUBSCRIBE":
        return p.unsubscribe(V5, 1, "m/a", block=block)
    return p.packet(0xE0, b"\x04" + block)


def property_grid():
    """Each property in each packet: where it may not be, twice where it may be once, and cut short."""
    for name, allowed in ALLOWED.items():
        for identifier in (*range(0x00, 0x2C), 0x7F):
            value = p.SAMPLE.get(identifier, b"\0")
            pair = (identifier, value)
            if identifier not in allowed:
                # The server reference of a DISCONNECT is the server's, but no rule forbids it.
                if (name, identifier) != ("DISCONNECT", 0x1C):
                    data = holding(name, p.properties(pair))
                    yield Case(f"{name} property 0x{identifier:02X}", V5, data)
                continue
            # DISCONNECT ends the connection, right or wrong.
            if name != "DISCONNECT":
                yield Case(f"{name} property 0x{identifier:02X}", V5, holding(name, p.properties(pair)), None)
            if identifier != 0x26:
                twice = holding(name, p.properties(pair, pair))
                yield Case(f"{name} property 0x{identifier:02X} twice", V5, twice, PROTOCOL)
            cut = p.properties((identifier, value[:-1]))
            yield Case(f"{name} property 0x{identifier:02X} cut", V5, holding(name, cut), EITHER | {0x90})
        beyond = holding(name, b"\x7f")
        yield Case(f"{name} property length beyond the packet", V5, beyond)
        yield Case(f"{name} property length of five bytes", V5, holding(name, b"\x80\x80\x80\x80\x01"))
        yield Case(f"{name} property length not minimal", V5, holding(name, b"\x80\x00"))
        many = holding(name, p.properties(*[p.user()] * 10_000))
        yield Case(f"{name} with 10,000 user properties", V5, many, frozenset({0x97}))


def property_values():
    """Values that are out of range."""
    bad = {
        "PUBLISH": [
            (0x01, b"\x02", EITHER, "payload format 2"), (0x23, b"\0\0", frozenset({0x94}), "alias 0"),
            (0x23, b"\0\x11", frozenset({0x94}), "alias above the maximum"),
            (0x08, p.text("a/+"), EITHER | {0x90}, "wildcard in the response topic"),
            (0x08, p.text("#"), EITHER | {0x90}, "wildcard as the response topic"),
            (0x0B, b"\x05", PROTOCOL, "subscription identifier"),
        ],
        "SUBSCRIBE": [
            (0x0B, b"\x00", EITHER, "subscription identifier 0"),
            (0x0B, b"\x80\x80\x80\x80\x01", EITHER, "subscription identifier of five bytes"),
            (0x0B, b"\x85\x00", EITHER, "subscription identifier not minimal"),
        ],
        # It was 0 in CONNECT.
        "DISCONNECT": [(0x11, b"\0\0\0\x05", PROTOCOL, "session expiry that CONNECT had as 0")],
    }  # fmt: skip
    for name, values in bad.items():
        for identifier, value, codes, words in values:
            yield Case(f"{name} {words}", V5, holding(name, p.properties((identifier, value))), codes)
    unknown = p.publish(V5, "", b"x", block=p.properties((0x23, b"\0\x03")))
    yield Case("PUBLISH with an alias that is not set", V5, unknown, PROTOCOL | {0x94})


def reason_codes():
    """Reason codes that the packet may not hold."""
    for code in (0x01, 0x18, 0x7F, 0x84, 0x92, 0xFF):
        for kind in (p.PUBACK, p.PUBREC):
            yield Case(f"acknowledgement {kind} reason 0x{code:02X}", V5, p.acknowledge(kind, 9, bytes([code])))
        yield Case(f"DISCONNECT reason 0x{code:02X}", V5, p.packet(0xE0, bytes([code])))
    for code in (0x01, 0x10, 0x80, 0x97, 0xFF):
        for kind in (p.PUBREL, p.PUBCOMP):
            yield Case(f"acknowledgement {kind} reason 0x{code:02X}", V5, p.acknowledge(kind, 9, bytes([code])))
        if code in (0x01, 0x10, 0x80, 0xFF):
            yield Case(f"AUTH reason 0x{code:02X}", V5, p.packet(0xF0, bytes([code]) + b"\0"))
