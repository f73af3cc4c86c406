"""Scenarios about what is no message on its way: retained messages and subscriptions."""

import collections

from wire import packets as p
from wire.connection import Connection, client

from .clients import Lasting, Publisher, drive, drive_to_a_random_moment, packet_id_of, properties_at
from .verdict import demand, possible_values

TOPICS = 24
# Subscribed to all the time: what comes to it comes last.
END = "on/end"


class Keeper(Publisher):
    """Sets the retained messages of some topics again and again, and removes some."""

    def __init__(self, run):
        super().__init__("keeper", "", 1, 40, run.version())
        self.random = run.random
        # Which topic each number went to, and whether it removes.
        self.contents = {}

    def content(self, number):
        if number not in self.contents:
            self.contents[number] = f"kept/{self.random.randrange(TOPICS)}", self.random.random() < 0.25
        topic, removes = self.contents[number]
        return topic, b"" if removes else f"{number} ".encode() * (1 + number % 90), True

    def possible(self):
        """For each topic the payloads that it may have; an empty one stands for none."""
        sent = collections.defaultdict(list)
        for number in range(1, self.sent + 1):
            sent[self.content(number)[0]].append(number)
        possible = {topic: possible_values(numbers, self.acknowledged) for topic, numbers in sent.items()}
        return {
            topic: {self.content(number)[1] if number else b"" for number in numbers}
            for topic, numbers in possible.items()
        }


def what_is_retained(port, version):
    """What a new subscriber gets. The end is told by a second subscription, whose replay comes behind the first."""
    found = {}
    with client(port, version) as one:
        one.publish("the/end", b"end", qos=1, packet_id=3, retain=True)
        one.expect(p.PUBACK)
        one.send(p.subscribe(version, 1, ("kept/+", 1)) + p.subscribe(version, 2, ("the/end", 1)))
        while True:
            got = one.receive()
            demand(got is not None, "the reader of retained messages was disconnected")
            if got.kind != p.PUBLISH:
                continue
            topic, packet_id, payload = p.delivered(version, got)
            one.send(p.acknowledge(p.PUBACK, packet_id))
            if topic == "the/end":
                return found
            demand(topic not in found, f"{topic} came twice to one new subscription")
            demand(got.flags & 1, f"{topic} came without RETAIN")
            found[topic] = payload


def retained(run):
    """What is set and removed at QoS 1: after each start a topic has its last acknowledged value or a later one."""
    with run.lives() as lives:
        lives.start()
        keeper = Keeper(run)
        for number in run.each_round():
            keeper.connect(lives.port)
            keeper.until = 1 << 60
            target = len(keeper.acknowledged) + run.random.randrange(1, 1500)
            drive([keeper], lambda: len(keeper.acknowledged) >= target)
            drive_to_a_random_moment([keeper], run.random)
            lives.kill()
            keeper.lose_connection(run.random)
            lives.start()
            compare(keeper, lives, f"round {number}")
        keeper.until = keeper.sent
        keeper.connect(lives.port)
        drive([keeper], keeper.is_done)
        lives.restart()
        compare(keeper, lives, "in the end")
        demand(not keeper.sessions_lost, f"the session of the publisher was lost {keeper.sessions_lost} times")
        run.note(f"{keeper.sent} changes of {TOPICS} topics, {sum(keeper.resent.values())} sent again")


def compare(keeper, lives, where):
    """Every topic has what it may have."""
    found = what_is_retained(lives.port, p.V5)
    for topic, payloads in keeper.possible().items():
        got = found.get(topic, b"")
        demand(
            got in payloads,
            f"{where}: {topic} has {got[:12]!r} and may have {sorted(payload[:12] for payload in payloads)}",
        )


class Changing(Lasting):
    """A session that subscribes and unsubscribes with a few requests in flight."""

    def __init__(self, run, version):
        super().__init__(f"changing-{p.NAMES[version]}", version)
        self.random = run.random
        self.is_changing = False
        self.next_id, self.changes = 1, 0
        # By packet identifier, the filter.
        self.unanswered = {}
        # By filter, what it may be since the last answer: the request, and (QoS, identifier) or `None`.
        self.possible = {f"on/{k}": [(0, None)] for k in range(30)}
        self.copies = collections.defaultdict(list)

    def produce(self):
        while self.is_changing and len(self.unanswered) < 5:
            name = self.random.choice(list(self.possible))
            packet_id, self.next_id = self.next_id, self.next_id % 65_535 + 1
            wanted = None
            if self.random.random() < 0.6:
                # 3.x has no subscription identifiers.
                wanted = self.random.randrange(3), self.random.randrange(1, 1000) if self.version == p.V5 else None
            self.unanswered[packet_id] = name
            self.possible[name].append((packet_id, wanted))
            self.out += self.request(packet_id, name, wanted)

    def request(self, packet_id, name, wanted):
        """A SUBSCRIBE or an UNSUBSCRIBE."""
        if wanted is None:
            return p.unsubscribe(self.version, packet_id, name)
        block = p.properties((0x0B, p.variable(wanted[1]))) if self.version == p.V5 else b"\0"
        return p.subscribe(self.version, packet_id, (name, wanted[0]), block=block)

    def handle(self, got):
        if got.kind in (p.SUBACK, p.UNSUBACK):
            packet_id = packet_id_of(got)
            name = self.unanswered.pop(packet_id)
            requests = [request for request, _ in self.possible[name]]
            # What was before this one is over; if a later one is answered already, so is this one.
            if packet_id in requests:
                del self.possible[name][: requests.index(packet_id)]
            self.changes += 1
        elif got.kind == p.PUBLISH:
            topic, packet_id, payload = p.delivered(self.version, got)
            qos, identifier = got.flags >> 1 & 3, None
            if self.version == p.V5:
                at = 2 + len(topic) + (2 if qos else 0)
                identifier = properties_at(got.body, at)[0].get(0x0B)
            self.copies[topic, payload].append((qos, identifier))
            if qos:
                self.out += p.acknowledge(p.PUBACK if qos == 1 else p.PUBREC, packet_id)
        elif got.kind == p.PUBREL:
            self.out += p.acknowledge(p.PUBCOMP, packet_id_of(got))
        else:
            super().handle(got)

    def crashed(self):
        """Requests without an answer are void for the client; the broker may have heard them."""
        self.lose_connection(self.random)
        self.unanswered.clear()


def subscriptions(run):
    """After each start what was acknowledged is there with its QoS and identifier, or gone."""
    for version in (p.V311, p.V5):
        subscriptions_of(version, run)


def subscriptions_of(version, run):
    """Only version 5 has identifiers."""
    with run.lives() as lives:
        lives.start()
        one = Changing(run, version)
        one.connect(lives.port)
        one.exchange(p.subscribe(one.version, 65_535, (END, 1)), p.SUBACK)
        for number in run.each_round():
            one.is_changing = True
            target = one.changes + run.random.randrange(1, 400)
            drive([one], lambda: one.changes >= target)
            drive_to_a_random_moment([one], run.random)
            lives.kill()
            one.crashed()
            one.is_changing = False
            lives.start()
            demand(one.connect(lives.port), f"round {number}: the session is not present")
            shown(one, lives, f"round {number}")
        run.note(f"{one.changes} subscriptions made and ended")


def shown(one, lives, where):
    """Publishes to every topic and looks at the copies. What is found is what is so from now on."""
    payload = where.encode()
    with Connection(lives.port, p.V5).login() as publisher:
        for packet_id, topic in enumerate([*one.possible, END], 1):
            publisher.publish(topic, payload, qos=2, packet_id=packet_id)
            publisher.expect(p.PUBREC)
            publisher.send(p.acknowledge(p.PUBREL, packet_id))
            publisher.expect(p.PUBCOMP)
    drive([one], lambda: one.copies[END, payload])
    for topic, requests in one.possible.items():
        copies, possible = one.copies[topic, payload], [wanted for _, wanted in requests]
        demand(len(copies) < 2, f"{where}: {len(copies)} copies for one subscription to {topic}")
        found = copies[0] if copies else None
        demand(found in possible, f"{where}: {topic} is {found} and may be {possible} (QoS, identifier)")
        one.possible[topic] = [(0, found)]
