"""MQTT packets as bytes, both ways. Builders take the version as the protocol level: 3, 4 or 5.

Builders do not check anything: most of what they are for is forbidden. A body that is not what a
builder makes goes through `packet(first_byte, body)` or plain bytes.
"""

import dataclasses
import struct

V31, V311, V5 = 3, 4, 5
VERSIONS = (V31, V311, V5)
NAMES = {V31: "3.1", V311: "3.1.1", V5: "5"}

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 1, 2, 3, 4, 5, 6, 7
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = 8, 9, 10, 11, 12, 13, 14, 15

# The first byte of a packet of each type, with the flags that the standard prescribes.
FIRST = {kind: kind << 4 | (2 if kind in (PUBREL, SUBSCRIBE, UNSUBSCRIBE) else 0) for kind in range(1, 16)}


def variable(value):
    """A Variable Byte Integer, in its shortest form."""
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def binary(data):
    """Binary data: two bytes of length and the bytes."""
    return struct.pack(">H", len(data)) + data


def text(words):
    """A UTF-8 string; bytes are taken as they are."""
    return binary(words if isinstance(words, bytes) else words.encode())


def packet(first, body=b""):
    """A whole packet from its first byte and what follows the Remaining Length."""
    return bytes([first]) + variable(len(body)) + body


def properties(*pairs):
    """A property block with its length, from (identifier, encoded value) pairs."""
    block = b"".join(bytes([identifier]) + value for identifier, value in pairs)
    return variable(len(block)) + block


def user(name="n", value="v"):
    """A user property."""
    return (0x26, text(name) + text(value))


# A valid value for each property of MQTT 5, by its identifier (Table 2-4).
SAMPLE = {
    0x01: b"\x01", 0x02: b"\0\0\0\x09", 0x03: text("text/plain"), 0x08: text("answers"), 0x09: binary(b"c"),
    0x0B: b"\x05", 0x11: b"\0\0\0\0", 0x12: text("id"), 0x13: b"\0\x09", 0x15: text("method"),
    0x16: binary(b"data"), 0x17: b"\x01", 0x18: b"\0\0\0\0", 0x19: b"\x01", 0x1A: text("info"),
    0x1C: text("elsewhere"), 0x1F: text("why"), 0x21: b"\0\x0a", 0x22: b"\0\x0a", 0x23: b"\0\x01",
    0x24: b"\x01", 0x25: b"\x01", 0x26: text("n") + text("v"), 0x27: b"\0\0\x10\0", 0x28: b"\x01",
    0x29: b"\x01", 0x2A: b"\x01",
}  # fmt: skip


@dataclasses.dataclass
class Will:
    """A will; `block` is its property block of MQTT 5, with its length."""

    topic: str | bytes = "will"
    payload: bytes = b"gone"
    qos: int = 0
    retain: bool = False
    block: bytes = b"\0"


def connect(version, client_id="", *, clean=True, keep_alive=0, block=b"\0", will=None, user_name=None,
            password=None, flags=None, name=None, level=None, first=0x10, end=b""):  # fmt: skip
    """A CONNECT. `flags`, `name` and `level` replace what would be right."""
    byte = 2 * clean
    payload = text(client_id)
    if will is not None:
        byte |= 4 | will.qos << 3 | will.retain << 5
        payload += (will.block if version == V5 else b"") + text(will.topic) + binary(will.payload)
    if user_name is not None:
        byte |= 0x80
        payload += text(user_name)
    if password is not None:
        byte |= 0x40
        payload += binary(password)
    body = text(("MQIsdp" if version == V31 else "MQTT") if name is None else name)
    body += bytes([version if level is None else level, byte if flags is None else flags])
    body += struct.pack(">H", keep_alive) + (block if version == V5 else b"")
    return packet(first, body + payload + end)


def publish(version, topic, payload=b"", *, qos=0, packet_id=None, retain=False, dup=False, block=b"\0"):
    """A PUBLISH."""
    body = text(topic)
    if packet_id is not None:
        body += struct.pack(">H", packet_id)
    if version == V5:
        body += block
    return packet(0x30 | dup << 3 | qos << 1 | retain, body + payload)


def acknowledge(kind, packet_id, tail=b""):
    """PUBACK, PUBREC, PUBREL or PUBCOMP; `tail` holds reason code and properties, if any."""
    return packet(FIRST[kind], struct.pack(">H", packet_id) + tail)


def subscribe(version, packet_id, *filters, block=b"\0"):
    """A SUBSCRIBE from (filter, options byte) pairs."""
    body = struct.pack(">H", packet_id) + (block if version == V5 else b"")
    return packet(0x82, body + b"".join(text(name) + bytes([options]) for name, options in filters))


def unsubscribe(version, packet_id, *filters, block=b"\0"):
    """An UNSUBSCRIBE."""
    body = struct.pack(">H", packet_id) + (block if version == V5 else b"")
    return packet(0xA2, body + b"".join(map(text, filters)))


PING = packet(0xC0)
PONG = packet(0xD0)
GOODBYE = packet(0xE0)


@dataclasses.dataclass(frozen=True)
class Packet:
    """A received packet: its type, its flags, and what follows the fixed header."""

    kind: int
    flags: int
    body: bytes

    def __str__(self):
        return f"type {self.kind} flags {self.flags} {self.body[:60]!r}"


def take(data):
    """The first packet in `data` and its size; `None` while it is not whole."""
    length = shift = 0
    for at in range(1, min(len(data), 5)):
        length |= (data[at] & 0x7F) << shift
        shift += 7
        if not data[at] & 0x80:
            size = at + 1 + length
            if len(data) < size:
                return None
            return Packet(data[0] >> 4, data[0] & 15, bytes(data[at + 1 : size])), size
    return None


def take_variable(data, at):
    """The Variable Byte Integer at `at`, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at


def delivered(version, got):
    """Topic, packet identifier (`None` at QoS 0) and payload of a received PUBLISH."""
    body, qos = got.body, got.flags >> 1 & 3
    at = 2 + struct.unpack_from(">H", body)[0]
    topic, packet_id = body[2:at].decode(), None
    if qos:
        packet_id = struct.unpack_from(">H", body, at)[0]
        at += 2
    if version == V5:
        length, at = take_variable(body, at)
        at += length
    return topic, packet_id, body[at:]


def reason(version, got):
    """The code of a CONNACK or a DISCONNECT."""
    if got.kind == CONNACK:
        return got.body[1]
    return got.body[0] if version == V5 and got.body else 0


def reason_string(got):
    """The reason string of a DISCONNECT of MQTT 5, if it is the first property; else an empty text."""
    body = got.body
    if len(body) < 5 or body[2] != 0x1F:
        return ""
    return body[5:].decode()[: struct.unpack_from(">H", body, 3)[0]]
