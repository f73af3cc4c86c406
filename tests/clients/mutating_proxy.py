"""A proxy between clients and a broker that damages one PUBLISH on its way to a client.

For the self-test of the scenarios: each must notice each damage that can show in it. Knows of MQTT what it needs
to find the PUBLISH packets of one run, by the prefix of their topics, and changes nothing else.
"""

import asyncio
import hashlib
import struct
import threading

CONNECT, PUBLISH, PUBACK = 1, 3, 4
# How long a message is held back for a neighbour to swap places with.
NEIGHBOUR = 0.1
CHUNK = 1 << 16


def take_variable(data, at):
    """The Variable Byte Integer at `at` and where it ends; IndexError while it is not whole."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at


def variable(value):
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def packets(buffer):
    """Takes the whole packets off the front of `buffer`, a bytearray."""
    found, at = [], 0
    while True:
        try:
            length, begin = take_variable(buffer, at + 1)
        except IndexError:
            break
        if begin + length > len(buffer):
            break
        found.append(bytes(buffer[at : begin + length]))
        at = begin + length
    del buffer[:at]
    return found


class Publish:
    """A PUBLISH and where its parts are."""

    def __init__(self, raw, five):
        self.raw = raw
        self.qos = raw[0] >> 1 & 3
        _, self.body = take_variable(raw, 1)
        at = self.body + 2 + struct.unpack_from(">H", raw, self.body)[0]
        self.topic = raw[self.body + 2 : at]
        self.packet_id = struct.unpack_from(">H", raw, at)[0] if self.qos else None
        at += 2 if self.qos else 0
        self.properties = at
        if five:
            length, at = take_variable(raw, at)
            at += length
        self.payload_at = at
        self.payload = raw[at:]

    def with_first(self, byte):
        return bytes([byte]) + self.raw[1:]

    def with_user_property(self):
        raw = self.raw
        length, at = take_variable(raw, self.properties)
        more = b"\x26\0\6mutant\0\1v"
        block = variable(length + len(more)) + more + raw[at:]
        body = raw[self.body : self.properties] + block
        return raw[:1] + variable(len(body)) + body

    def with_changed_payload(self):
        raw = bytearray(self.raw)
        raw[self.payload_at + len(self.payload) // 2] ^= 1
        return bytes(raw)

    def is_neighbour_of(self, other):
        """Whether MQTT promises the order of these two."""
        same = (self.topic, self.qos, self.raw[0] & 1) == (other.topic, other.qos, other.raw[0] & 1)
        return same and not self.raw[0] & 1 and self.payload != other.payload


# What is done to the first PUBLISH that it can be done to, by name. Each gives the packets to send in its place,
# or None where it cannot be done.
CHANGES = {
    "retain flipped": lambda got, five: [got.with_first(got.raw[0] ^ 1)],
    "dup set": lambda got, five: (
        [got.with_first(got.raw[0] | 8)] if got.qos and not got.raw[0] & 8 else None
    ),
    "qos 1 doubled": lambda got, five: [got.raw, got.raw] if got.qos == 1 else None,
    "payload changed": lambda got, five: [got.with_changed_payload()] if got.payload else None,
    "property added": lambda got, five: [got.with_user_property()] if five else None,
}
SWAPPED, LOST, NOTHING = "neighbours swapped", "last lost", "nothing"
MUTATIONS = (*CHANGES, SWAPPED, LOST)


class Connection:
    """One client's connection: what passes, and in which state the mutation is."""

    def __init__(self, proxy):
        self.proxy = proxy
        self.client_id = b""
        self.five = False
        self.connected = False
        self.held = None  # a PUBLISH that waits for its neighbour
        self.surplus = []  # packet identifiers whose next PUBACK the broker does not expect
        self.from_client, self.from_broker = bytearray(), bytearray()

    def to_broker(self, data):
        """What of the client's bytes goes on."""
        if self.connected and self.proxy.mutation != "qos 1 doubled":
            return data
        self.from_client += data
        out = b""
        for raw in packets(self.from_client):
            if raw[0] >> 4 == CONNECT:
                self._read_connect(raw)
            elif raw[0] >> 4 == PUBACK and self._is_surplus(raw):
                continue
            out += raw
        return out

    def _read_connect(self, raw):
        _, at = take_variable(raw, 1)
        at += 2 + struct.unpack_from(">H", raw, at)[0]
        self.five = raw[at] == 5
        at += 4
        if self.five:
            length, at = take_variable(raw, at)
            at += length
        size = struct.unpack_from(">H", raw, at)[0]
        self.client_id = raw[at + 2 : at + 2 + size]
        self.connected = True
        self.proxy.is_over |= self.client_id == self.proxy.prefix + b"-cleaner"

    def _is_surplus(self, raw):
        _, at = take_variable(raw, 1)
        packet_id = struct.unpack_from(">H", raw, at)[0]
        if packet_id not in self.surplus:
            return False
        self.surplus.remove(packet_id)
        return True

    def to_client(self, data):
        """What of the broker's bytes goes on, changed if this is the place."""
        proxy = self.proxy
        if proxy.is_done and self.held is None and not self.from_broker:
            return data
        self.from_broker += data
        out = []
        for raw in packets(self.from_broker):
            if raw[0] >> 4 != PUBLISH:
                out.append(raw)
                continue
            got = Publish(raw, self.five)
            if proxy.is_done or not got.topic.startswith(proxy.prefix):
                out += [*self.release(), raw]
            else:
                out += self._mutated(got)
        if proxy.is_done:  # the rest passes as it is
            out += [*self.release(), bytes(self.from_broker)]
            self.from_broker.clear()
        return b"".join(out)

    def release(self):
        """What was held back in vain."""
        held, self.held = self.held, None
        return [held.raw] if held else []

    def _mutated(self, got):
        proxy = self.proxy
        if proxy.mutation == SWAPPED:
            if self.held is not None and got.is_neighbour_of(self.held):
                proxy.applied = True
                return [got.raw, *self.release()]
            out, self.held = self.release(), got
            return out
        if proxy.mutation in (LOST, NOTHING):
            return [] if proxy.counted(self.client_id, got) else [got.raw]
        changed = CHANGES[proxy.mutation](got, self.five)
        if changed is None:
            return [got.raw]
        proxy.applied = True
        if len(changed) > 1:
            self.surplus.append(got.packet_id)
        return changed


class Proxy:
    """Listens on `port` of 127.0.0.1 for one run of one scenario; with `with`."""

    def __init__(self, host, broker_port, prefix, mutation, target=None):
        self.address = (host, broker_port)
        self.prefix = prefix.encode()
        self.mutation = mutation
        self.target = target  # with LOST: `last` of a run with NOTHING
        self.applied = False
        self.last = None  # which message came last: client, topic, payload, and which of those that are equal
        self.port = None
        self.is_over = False  # the scenario has judged: what comes now is its cleaning up
        self._seen = {}
        self._server = None
        self._serving = set()

    @property
    def is_done(self):
        """Whether everything passes from now on."""
        return self.applied or self.is_over

    def counted(self, client_id, got):
        """Takes note of a message; whether it is the one to lose."""
        # What the run's prefix makes different from run to run is left out.
        content = hashlib.sha256(got.payload.replace(self.prefix, b"")).digest()
        key = (client_id.replace(self.prefix, b""), got.topic.replace(self.prefix, b""), content)
        self._seen[key] = self._seen.get(key, 0) + 1
        self.last = (key, self._seen[key])
        if self.last == self.target:
            self.applied = True
            return True
        return False

    def __enter__(self):
        asyncio.run_coroutine_threadsafe(self._listen(), _loop()).result()
        return self

    def __exit__(self, *_):
        _loop().call_soon_threadsafe(self._server.close)

    async def _listen(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, client_reader, client):
        try:
            broker_reader, broker = await asyncio.open_connection(*self.address)
        except OSError:
            client.close()
            return
        connection = Connection(self)
        # The event loop itself holds a task weakly.
        task = asyncio.current_task()
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        try:
            await asyncio.gather(
                self._pass_to_broker(connection, client_reader, broker),
                self._pass_to_client(connection, broker_reader, client),
            )
        except (OSError, asyncio.CancelledError):
            pass  # one side is gone; the other one learns it now
        finally:
            client.transport.abort()
            broker.transport.abort()

    @staticmethod
    async def _pass_to_broker(connection, reader, writer):
        while data := await reader.read(CHUNK):
            writer.write(connection.to_broker(data))
            await writer.drain()
        writer.write_eof()  # the broker closes then, and the other direction ends

    @staticmethod
    async def _pass_to_client(connection, reader, writer):
        while True:
            limit = NEIGHBOUR if connection.held else None
            try:
                data = await asyncio.wait_for(reader.read(CHUNK), limit)
            except asyncio.TimeoutError:
                writer.write(b"".join(connection.release()))
                continue
            if not data:
                break
            writer.write(connection.to_client(data))
            await writer.drain()
        writer.write(b"".join(connection.release()))
        writer.close()
        await writer.wait_closed()


_starting = threading.Lock()
_running = []


def _loop():
    """The event loop of all proxies, in a thread of its own."""
    with _starting:
        if not _running:
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, daemon=True).start()
            _running.append(loop)
        return _running[0]
