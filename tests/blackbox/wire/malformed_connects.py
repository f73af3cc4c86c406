"""First packets that a broker has to refuse, and how it answers each. No sockets here."""

import dataclasses

from . import packets as p
from .malformed_cases import BAD_TEXT, EITHER, MALFORMED, PROTOCOL, body_of
from .packets import V31, V311, V5, VERSIONS

SILENCE = frozenset()
OK = frozenset({0})


@dataclasses.dataclass(frozen=True)
class First:
    """A first packet. `codes` are those that its CONNACK may have, in the form of `version`; empty: nothing
    at all is answered."""

    name: str
    version: int
    data: bytes
    codes: frozenset


def strangers():
    """No CONNECT at all: nothing is answered, whatever it is."""
    yield First("HTTP", V311, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", SILENCE)
    yield First("a TLS hello", V311, bytes.fromhex("16030100c8010000c40303") + bytes(190), SILENCE)
    yield First("zeros", V311, bytes(64), SILENCE)
    yield First("ones", V311, b"\xff" * 64, SILENCE)
    yield First("SSH", V311, b"SSH-2.0-OpenSSH_9.2\r\n", SILENCE)
    for kind in range(16):
        if kind == p.CONNECT:
            continue
        yield First(f"type {kind} first", V5, p.packet(p.FIRST.get(kind, 0), b"\0\1\0\0"), SILENCE)
        yield First(f"type {kind} first, empty", V5, p.packet(p.FIRST.get(kind, 0)), SILENCE)
    yield First("PUBLISH before CONNECT", V5, p.publish(V5, "m/early", b"x") + p.connect(V5, "early"), SILENCE)
    yield First("SUBSCRIBE before CONNECT", V311, p.subscribe(V311, 1, ("#", 0)) + p.connect(V311, "early"), SILENCE)


def connects():
    """CONNECT, of every version, with something wrong."""
    yield from strangers()
    for version in VERSIONS:
        yield from versions(version)
        yield from frames(version)
        yield from flags(version)
        yield from texts(version)
    yield from client_ids()
    yield from property_grid()
    yield from property_values()
    yield from unusual()


def wrong(version, codes):
    """What a CONNECT that breaks a rule is answered: 3.x is told nothing."""
    return codes if version == V5 else SILENCE


def versions(version):
    """Names and levels that are not spoken here. A level above 5 is told in the form of MQTT 5."""
    for name, level in (("MQTT", 6), ("MQTT", 255), ("MQIsdp", 6)):
        data = p.connect(version, "x", name=name, level=level)
        yield First(f"{name} level {level}, as {version}", V5, data, frozenset({0x84}))
    for name, level in (("MQTT", 0), ("MQTT", 1), ("MQIsdp", 0), ("MQIsdp", 4)):
        data = p.connect(version, "x", name=name, level=level)
        yield First(f"{name} level {level}, as {version}", V311, data, frozenset({1}))


def frames(version):
    """The fixed header, and a CONNECT that is cut at every byte."""
    named = p.NAMES[version]
    good = p.connect(version, "cut", will=p.Will(), user_name="u", password=b"p")
    body = body_of(good)
    known = 2 + len("MQIsdp" if version == V31 else "MQTT") + 1
    for length in range(len(body)):
        if version == V31 and length in (len(body) - 6, len(body) - 3):
            continue  # 3.1 lets user name and password be missing at the end; see `unusual`.
        codes = wrong(version, EITHER) if length >= known else SILENCE
        yield First(f"{p.NAMES[version]} CONNECT cut at {length}", version, p.packet(0x10, body[:length]), codes)
    yield First(f"{named} CONNECT and a byte more", version, p.packet(0x10, body + b"\0"), wrong(version, EITHER))
    for bits in range(1, 16):
        data = p.connect(version, f"flags-{bits}", first=0x10 | bits)
        yield First(f"{named} CONNECT flags {bits:04b}", version, data, OK if version == V31 else wrong(version, MALFORMED))
    for words, length in (("of five bytes", b"\xff\xff\xff\xff\x01"), ("not minimal", b"\x8a\x80\x00")):
        yield First(f"{named} Remaining Length {words}", version, b"\x10" + length + body, wrong(version, MALFORMED))
    for announced in (256 * 1024, (1 << 28) - 1):
        # The beginning of the body shows the version, so MQTT 5 can be told.
        data = b"\x10" + p.variable(announced) + body
        yield First(f"{named} CONNECT announces {announced}", version, data, wrong(version, frozenset({0x95})))


def flags(version):
    """The connect flags."""
    lenient = version == V31
    reserved = p.connect(version, "reserved", flags=3)
    yield First(f"{p.NAMES[version]} reserved flag", version, reserved, OK if lenient else wrong(version, MALFORMED))
    for byte, words in ((0x0A, "will QoS 1"), (0x12, "will QoS 2"), (0x1A, "will QoS 3"), (0x22, "will retain")):
        data = p.connect(version, f"no-will-{byte}", flags=byte)
        yield First(f"{p.NAMES[version]} {words} without a will", version, data, OK if lenient else wrong(version, EITHER))
    yield First(f"{p.NAMES[version]} will QoS 3", version, p.connect(version, "x", will=p.Will(qos=3)), wrong(version, EITHER))
    if version != V5:
        yield First(f"{p.NAMES[version]} password without user name", version, p.connect(version, "x", password=b"p"), SILENCE)


def texts(version):
    """Text that is no UTF-8, in every field of CONNECT, and will topics that are none."""
    for bad, text in BAD_TEXT.items():
        name = p.NAMES[version]
        broken = wrong(version, EITHER)
        in_id = broken | wrong(version, frozenset({0x85}))
        in_will = broken | wrong(version, frozenset({0x90}))
        yield First(f"{name} client id: {bad}", version, p.connect(version, text), in_id)
        yield First(f"{name} user name: {bad}", version, p.connect(version, "x", user_name=text), broken)
        yield First(f"{name} will topic: {bad}", version, p.connect(version, "x", will=p.Will(text)), in_will)
    for topic in ("", "#", "+", "a/#", "a/+/b"):
        data = p.connect(version, "x", will=p.Will(topic))
        yield First(f"{p.NAMES[version]} will topic {topic!r}", version, data, wrong(version, EITHER | {0x90}))
    deep = p.connect(version, "x", will=p.Will(65535 * "/"))
    # 3.x has no code for it; any refusal does.
    codes = frozenset({0x90} if version == V5 else {2, 3, 5})
    yield First(f"{p.NAMES[version]} will topic of 65,536 levels", version, deep, codes)


def client_ids():
    """Identifiers that may not be empty."""
    yield First("3.1.1 no client id and no clean session", V311, p.connect(V311, "", clean=False), frozenset({2}))
    yield First("3.1 no client id", V31, p.connect(V31, ""), frozenset({2}))


CONNECT_ALLOWED = {0x11, 0x15, 0x16, 0x17, 0x19, 0x21, 0x22, 0x26, 0x27}
WILL_ALLOWED = {0x01, 0x02, 0x03, 0x08, 0x09, 0x18, 0x26}


def property_grid():
    """Each property in CONNECT and in the will, as for the other packets."""

    def in_connect(block):
        return p.connect(V5, "grid", block=block)

    def in_will(block):
        return p.connect(V5, "grid", will=p.Will(block=block))

    for where, hold, allowed in (("CONNECT", in_connect, CONNECT_ALLOWED), ("will", in_will, WILL_ALLOWED)):
        for identifier in (*range(0x00, 0x2C), 0x7F):
            pair = (identifier, p.SAMPLE.get(identifier, b"\0"))
            name = f"{where} property 0x{identifier:02X}"
            if identifier not in allowed:
                yield First(name, V5, hold(p.properties(pair)), EITHER)
                continue
            if identifier not in (0x15, 0x16):
                yield First(name, V5, hold(p.properties(pair)), OK)
            if identifier != 0x26:
                yield First(f"{name} twice", V5, hold(p.properties(pair, pair)), PROTOCOL)
            yield First(f"{name} cut", V5, hold(p.properties((identifier, pair[1][:-1]))), EITHER)
        yield First(f"{where} property length beyond the packet", V5, hold(b"\x7f"), EITHER)
        yield First(f"{where} property length of five bytes", V5, hold(b"\x80\x80\x80\x80\x01"), EITHER)
        yield First(f"{where} 256 user properties", V5, hold(p.properties(*[p.user()] * 256)), OK)
        yield First(f"{where} 257 user properties", V5, hold(p.properties(*[p.user()] * 257)), frozenset({0x97}))
        yield First(f"{where} 10,000 user properties", V5, hold(p.properties(*[p.user()] * 10_000)), frozenset({0x97}))
    half = p.properties(*[p.user()] * 129)
    both = p.connect(V5, "grid", block=half, will=p.Will(block=half))
    yield First("129 user properties in CONNECT and 129 in its will", V5, both, frozenset({0x97}))


def property_values():
    """Values out of range."""
    for where, identifier, value in (
        ("receive maximum 0", 0x21, b"\0\0"),
        ("maximum packet size 0", 0x27, b"\0\0\0\0"),
        ("request problem information 2", 0x17, b"\x02"),
        ("request response information 2", 0x19, b"\x02"),
        ("authentication data without a method", 0x16, p.binary(b"x")),
    ):
        yield First(f"CONNECT {where}", V5, p.connect(V5, "x", block=p.properties((identifier, value))), EITHER)
    method = p.properties((0x15, p.text("SCRAM-SHA-1")))
    yield First("CONNECT with an unknown authentication method", V5, p.connect(V5, "x", block=method), frozenset({0x8C}))
    for words, identifier, value, codes in (
        ("payload format 2", 0x01, b"\x02", EITHER),
        ("response topic with a wildcard", 0x08, p.text("a/#"), EITHER | {0x90}),
    ):
        data = p.connect(V5, "x", will=p.Will(block=p.properties((identifier, value))))
        yield First(f"will {words}", V5, data, codes)


def unusual():
    """What looks wrong and is not."""
    yield First("5 password without user name", V5, p.connect(V5, "x", password=b"p"), OK)
    yield First("5 no client id", V5, p.connect(V5, "", clean=False), OK)
    yield First("3.1.1 no client id, clean session", V311, p.connect(V311, ""), OK)
    yield First("a client id of 65,535 bytes", V311, p.connect(V311, "i" * 65535), OK)
    yield First("a client id of wildcards", V5, p.connect(V5, "#/+/$share"), OK)
    late = p.Will(block=p.properties((0x18, b"\xff\xff\xff\xff")))
    yield First("a will delay longer than the session expiry", V5, p.connect(V5, "late", will=late), OK)
    full = p.connect(V31, "missing", user_name="u", password=b"p")
    body = body_of(full)
    yield First("3.1 password missing", V31, p.packet(0x10, body[:-3]), OK)
    yield First("3.1 user name and password missing", V31, p.packet(0x10, body[:-6]), OK)
