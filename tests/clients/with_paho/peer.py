"""paho-mqtt as a program would use it: `Peer` is one client with its network thread.

A received message is the tuple (topic, payload, qos, retain, dup, properties), where properties
is a dictionary under paho's names (`UserProperty` is a list of pairs, in order).
"""

import socket
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

import expect

PROTOCOLS = {"31": mqtt.MQTTv31, "311": mqtt.MQTTv311, "5": mqtt.MQTTv5}
# What a message may carry, under paho's names.
CARRIED = [
    "PayloadFormatIndicator",
    "MessageExpiryInterval",
    "ContentType",
    "ResponseTopic",
    "CorrelationData",
    "SubscriptionIdentifier",
    "UserProperty",
]

_peers = []
_retained = set()


def message(topic, payload, qos, retain=0, dup=0, **properties):
    """What a subscriber is expected to receive, in the shape `Peer` records."""
    return topic, payload, qos, retain, dup, properties


def packet_properties(packet_type, values):
    """paho's property object from a dictionary; lists of pairs become repeated properties."""
    properties = Properties(packet_type)
    for name, value in values.items():
        for item in value if name == "UserProperty" else [value]:
            setattr(properties, name, item)
    return properties


def _recorded(got):
    """A message of paho's in that shape."""
    properties = {}
    for name in CARRIED:
        if got.properties is not None and hasattr(got.properties, name):
            properties[name] = getattr(got.properties, name)
    return got.topic, got.payload, got.qos, int(got.retain), int(got.dup), properties


class _Client(mqtt.Client):
    """paho-mqtt with what its interface does not have: the reason code of a DISCONNECT without properties, which
    paho 2.1.0 drops, and a network that loses this client's answers of one kind."""

    disconnect_reason = None  # the reason code the server gave, if it sent DISCONNECT
    loses = None  # "PUBREC" or "PUBCOMP": not sent; "PUBREC received" or "PUBCOMP received": not heard

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.lost = 0  # how many
        self.released = []  # packet identifiers of the PUBRELs received, in order

    def _is_lost(self, packet):
        self.lost += self.loses == packet
        return self.loses == packet

    def _send_pubrec(self, mid):
        return mqtt.MQTT_ERR_SUCCESS if self._is_lost("PUBREC") else super()._send_pubrec(mid)

    def _send_pubcomp(self, mid):
        return mqtt.MQTT_ERR_SUCCESS if self._is_lost("PUBCOMP") else super()._send_pubcomp(mid)

    def _handle_pubrec(self):
        lost = self._is_lost("PUBREC received")
        return mqtt.MQTT_ERR_SUCCESS if lost else super()._handle_pubrec()

    def _handle_pubackcomp(self, cmd):
        lost = cmd == "PUBCOMP" and self._is_lost("PUBCOMP received")
        return mqtt.MQTT_ERR_SUCCESS if lost else super()._handle_pubackcomp(cmd)

    def _handle_pubrel(self):
        self.released.append(int.from_bytes(self._in_packet["packet"][:2], "big"))
        return super()._handle_pubrel()

    def _handle_disconnect(self):
        body = bytes(self._in_packet["packet"])
        self.disconnect_reason = body[0] if body else 0
        return super()._handle_disconnect()


class Peer(expect.Receiver):
    """A connected client. The constructor returns once CONNACK has come."""

    def __init__(
        self, version, name, clean=True, expiry=0, will=None, will_properties=None, manual=False,
        loses=None,
    ):
        super().__init__(f"paho {name}")
        self.name = name
        self.version = version
        self.session_present = None
        self.refused = "the connection was closed"  # until a CONNACK says otherwise
        self.closed = threading.Event()
        self._connected = threading.Event()
        self._granted = {}
        self._answered = threading.Condition()
        self._pending = []
        five = version == "5"
        self.client = _Client(
            mqtt.CallbackAPIVersion.VERSION2,
            client_id=expect.client_id(name),
            clean_session=None if five else clean,
            protocol=PROTOCOLS[version],
            reconnect_on_failure=False,
            manual_ack=manual,
        )
        self.client.loses = loses
        # paho keeps at most 20 messages in flight whatever receive maximum the server states.
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = self._on_disconnect
        self.client.on_message = self._on_message
        self.client.on_subscribe = self.client.on_unsubscribe = self._on_answer
        if will:
            self._set_will(*will, **(will_properties or {}))
        options = {}
        if five:
            values = {"SessionExpiryInterval": expiry}
            options["clean_start"] = clean
            options["properties"] = packet_properties(PacketTypes.CONNECT, values)
        self._connect(options)

    def _set_will(self, topic, payload, qos, retain=False, **properties):
        carried = packet_properties(PacketTypes.WILLMESSAGE, properties) if properties else None
        self.client.will_set(topic, payload, qos, retain, carried)
        if retain:
            _retained.add(topic)

    def _connect(self, options):
        try:
            self.client.connect(expect.HOST, expect.PORT, keepalive=60, **options)
        except OSError as error:
            raise expect.Failure(f"paho {self.name} could not connect: {error}") from None
        _peers.append(self)
        self.client.loop_start()
        if not self._connected.wait(expect.CONTROL_DEADLINE):
            raise expect.Failure(f"paho {self.name} could not connect: no CONNACK")
        if self.refused:
            raise expect.Failure(f"paho {self.name} could not connect: {self.refused}")

    def _on_connect(self, client, userdata, flags, reason, properties):
        self.refused = str(reason) if reason.is_failure else None
        self.session_present = flags.session_present
        self._connected.set()

    def _on_disconnect(self, client, userdata, flags, reason, properties):
        self.arrivals.end(f"disconnected: {reason}")
        self.closed.set()
        self._connected.set()

    def _on_message(self, client, userdata, got):
        self.arrivals.add(_recorded(got))

    def unreleased(self):
        """The messages of QoS 2 that paho holds back until PUBREL."""
        return [_recorded(got) for got in self.client._in_messages.values()]

    def _on_answer(self, client, userdata, packet_id, reasons, properties):
        with self._answered:
            self._granted[packet_id] = [reason.value for reason in reasons]
            self._answered.notify_all()

    def _await_answer(self, packet_id, what):
        with self._answered:
            if not self._answered.wait_for(
                lambda: packet_id in self._granted, expect.CONTROL_DEADLINE
            ):
                raise expect.Failure(f"paho {self.name}: no acknowledgement of {what}")
            return self._granted.pop(packet_id)

    def subscribe(self, topic_filter, qos=0, identifier=None, **options):
        """Subscribes to one filter, waits for SUBACK, and checks that the QoS was granted."""
        heard = expect.heard_filter(topic_filter)
        if self.version == "5":
            carried = Properties(PacketTypes.SUBSCRIBE)
            if identifier is not None:
                carried.SubscriptionIdentifier = identifier
            chosen = SubscribeOptions(qos=qos, **options)
            _, packet_id = self.client.subscribe(heard, options=chosen, properties=carried)
        else:
            _, packet_id = self.client.subscribe(heard, qos)
        granted = self._await_answer(packet_id, f"SUBSCRIBE {topic_filter}")
        expect.equal(f"granted for {topic_filter}", granted, [qos])
        return self

    def unsubscribe(self, topic_filter):
        _, packet_id = self.client.unsubscribe(expect.heard_filter(topic_filter))
        self._await_answer(packet_id, f"UNSUBSCRIBE {topic_filter}")

    def publish(self, topic, payload=b"", qos=0, retain=False, **properties):
        """Publishes without waiting; `flush` waits for everything published so far."""
        carried = packet_properties(PacketTypes.PUBLISH, properties) if properties else None
        if retain:
            _retained.add(topic)
        self._pending.append(self.client.publish(topic, payload, qos, retain, carried))

    def flush(self):
        for sent in self._pending:
            try:
                sent.wait_for_publish(expect.CONTROL_DEADLINE)
                done = sent.is_published()
            except (RuntimeError, ValueError):
                done = False
            if not done:
                raise expect.Failure(f"paho {self.name}: a message was never acknowledged")
        self._pending.clear()

    def send(self, topic, payload=b"", qos=0, retain=False, **properties):
        """Publishes one message and waits until the broker has it."""
        self.publish(topic, payload, qos, retain, **properties)
        self.flush()

    def reconnect(self):
        """The same client connects anew, with what it remembers of its session."""
        for event in (self.closed, self._connected):
            event.clear()
        self.arrivals.ended = None
        self.client.loop_stop()
        self.client.reconnect()
        self.client.loop_start()
        if not self._connected.wait(expect.CONTROL_DEADLINE) or self.refused:
            raise expect.Failure(f"paho {self.name} could not connect again: {self.refused}")

    def settle(self):
        """Waits until what was received is acknowledged: paho does that after its callback."""
        self.send(expect.topic("settled"), b"", 1)

    def disconnect(self, reason=None):
        """Sends DISCONNECT, in MQTT 5 with `reason` if given; waits until the broker closes too."""
        self.settle()
        code = None if reason is None else mqtt.ReasonCodes(PacketTypes.DISCONNECT, reason)
        held = self.client.socket().dup()  # stays open when paho closes its own
        self.client.disconnect(code)
        if not self.closed.wait(expect.CONTROL_DEADLINE):
            raise expect.Failure(f"paho {self.name} could not disconnect")
        with held:
            held.settimeout(expect.CONTROL_DEADLINE)
            try:
                while held.recv(65536):
                    pass
            except TimeoutError:
                raise expect.Failure("the broker leaves open what DISCONNECT ended") from None
            except OSError:
                pass  # reset: closed as well

    def kill(self):
        """Ends the connection without DISCONNECT; returns when the broker has closed it too."""
        if self.client.loses is None:
            self.settle()
        self.client.socket().shutdown(socket.SHUT_WR)
        if not self.closed.wait(expect.CONTROL_DEADLINE):
            raise expect.Failure(f"the broker did not notice the end of paho {self.name}")


def clean_up(version):
    """Deletes what was retained, with one more client, and leaves."""
    if _retained:
        cleaner = Peer(version, "cleaner")
        for topic in _retained:
            cleaner.client.publish(topic, b"", 1, True)
        last = cleaner.client.publish(expect.topic("cleaned"), b"", 1)
        last.wait_for_publish(expect.CONTROL_DEADLINE)
        cleaner.disconnect()
