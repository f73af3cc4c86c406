"""Scenarios about messages on their way from a publisher to a lasting session or a shared subscription."""

import contextlib
import time

from . import verdict
from .clients import Late, Publisher, Subscriber, drive, drive_to_a_random_moment, mark
from .lives import RECOVERY
from .verdict import Broken, judge

TOPIC = "load/numbers"
# Kills in one round of load: each of them is quick, and meets few of all the moments that there are.
KILLS = 3


class Stream:
    """A publisher with many in flight, a subscriber with a lasting session, and the broker between them."""

    def __init__(self, run, lives, qos):
        self.run, self.lives, self.qos, self.random = run, lives, qos, run.random
        self.publisher = Publisher("publisher", TOPIC, qos, run.random.choice((50, 300, 1000)), run.version())
        self.subscriber = Subscriber("subscriber", TOPIC, qos, run.version())
        self.kills = self.in_flight = 0
        # The settling of what the subscriber acknowledged: see `watch`.
        self.point = self.upto = None
        self.settled = 0

    def everybody(self):
        """Both ends."""
        return [self.publisher, self.subscriber]

    def load(self, presence):
        """Publishes until a random number of acknowledgements has come, and a moment longer."""
        publisher, subscriber, choose = self.publisher, self.subscriber, self.random.randrange
        publisher.until = 1 << 60
        target = len(publisher.acknowledged) + choose(1, 2000)
        subscriber.lazy = self.random.choice((0, 0, 3, 30))
        while len(publisher.acknowledged) < target:
            if presence != "reconnecting":
                drive(self.everybody(), lambda: self.watch() or len(publisher.acknowledged) >= target)
                continue
            leave = len(publisher.acknowledged) + choose(1, 400)
            if subscriber.link:
                if self.qos == 1 and self.run.chance():
                    enough = len(subscriber.settled) + 1
                    drive(self.everybody(), lambda: self.watch() or len(subscriber.settled) >= enough)
                subscriber.close(goodbye=self.run.chance(0.3))
                self.upto = self.upto if self.point else None
            else:
                subscriber.connect(self.lives.port)
            drive(self.everybody(), lambda: self.watch() or len(publisher.acknowledged) >= min(leave, target))
        drive_to_a_random_moment(self.everybody(), self.random)

    def watch(self):
        """Learns from time to time which of the subscriber's acknowledgements are stored: the broker has answered a
        PINGREQ that was sent after them, and then acknowledged a message that was published after that answer, which
        is behind them in its log."""
        one = self.subscriber
        if self.qos == 2:
            return
        if self.point is not None:
            if self.publisher.highest > self.point:
                one.settled.append((one.answered[self.settled : self.upto], len(one.arrivals)))
                self.settled = self.upto
                self.point = self.upto = None
        elif one.link and self.upto is None:
            one.ask()
            self.upto = one.asked
        elif one.link and one.heard is not None:
            self.point = self.publisher.sent

    def killed(self):
        """Kills the broker."""
        self.in_flight += len(self.publisher.waiting) + len(self.publisher.released)
        self.lives.kill()
        self.kills += 1
        self.point = self.upto = None
        for one in self.everybody():
            one.lose_connection(self.random)

    def collect(self, kill_on_the_way=False):
        """The subscriber comes and reads all that there is for it."""
        one = self.subscriber
        one.lazy = 0
        if not one.link:
            one.connect(self.lives.port)
        last = mark(self.lives.port, TOPIC, self.qos)
        if kill_on_the_way:
            enough = len(one.arrivals) + self.random.randrange(1, 1000)
            drive([one], lambda: len(one.arrivals) >= enough or last in one.marks)
            self.killed()
            self.lives.start()
            one.connect(self.lives.port)
        try:
            drive([one], lambda: last in one.marks)
        except Late:
            judge(self.verdict(), "while the last message was waited for")
            raise Broken("the message that was acknowledged last has not come") from None

    def finish(self):
        """The publisher completes what it has begun."""
        self.publisher.until = self.publisher.sent
        if not self.publisher.link:
            self.publisher.connect(self.lives.port)
        drive(self.everybody(), self.publisher.is_done)

    def verdict(self):
        """On what has come so far, of what the broker was responsible for."""
        publisher, subscriber = self.publisher, self.subscriber
        known = {"sessions_lost": publisher.sessions_lost + subscriber.sessions_lost}
        if self.qos == 2:
            # The standard lets a broker hold a message back until it is released.
            required = publisher.acknowledged - set(publisher.released.values())
            return verdict.exactly_once(publisher.sent, required, subscriber.arrivals, **known)
        known |= {"resent": publisher.resent, "settled": subscriber.settled}
        return verdict.at_least_once(publisher.sent, publisher.acknowledged, subscriber.arrivals, **known)

    def figures(self):
        """What happened, in a line."""
        sent, arrivals = self.publisher.sent, self.subscriber.arrivals
        again = len(arrivals) - len({arrival.number for arrival in arrivals})
        return (
            f"{sent} messages, {self.kills} kills with {self.in_flight} unfinished, "
            f"{sum(self.publisher.resent.values())} sent again, {again} arrived again, "
            f"{self.settled} acknowledgements known to be stored"
        )


def under_load(run, qos, presence):
    """The broker is killed while the publisher publishes; the subscriber is `offline`, `online` or `reconnecting`."""
    with run.lives() as lives:
        lives.start()
        stream = Stream(run, lives, qos)
        stream.subscriber.connect(lives.port)
        stream.subscriber.close(goodbye=run.chance())
        for number in range(1, run.rounds * KILLS + 1):
            stream.publisher.connect(lives.port)
            if presence != "offline":
                stream.subscriber.connect(lives.port)
            stream.load(presence)
            stream.killed()
            lives.start()
            if presence == "offline":
                stream.collect(kill_on_the_way=run.chance())
                judge(stream.verdict(), f"after kill {stream.kills}, load {number}")
                stream.subscriber.close(goodbye=run.chance())
        stream.finish()
        stream.collect()
        run.note(stream.figures())
        judge(stream.verdict(), "in the end")


def qos_1_offline(run):
    under_load(run, 1, "offline")


def qos_1_online(run):
    under_load(run, 1, "online")


def qos_1_reconnecting(run):
    under_load(run, 1, "reconnecting")


def qos_2_offline(run):
    under_load(run, 2, "offline")


def qos_2_online(run):
    under_load(run, 2, "online")


def qos_2_reconnecting(run):
    under_load(run, 2, "reconnecting")


def killed_while_it_recovers(run):
    """Kill upon kill within the time that a start takes, with a queue that is worth recovering."""
    for qos in (1, 2):
        with run.lives() as lives:
            lives.start()
            stream = Stream(run, lives, qos)
            stream.subscriber.connect(lives.port)
            stream.subscriber.close()
            for number in run.each_round():
                stream.publisher.connect(lives.port)
                stream.publisher.until = stream.publisher.sent + 4000
                drive(stream.everybody(), stream.publisher.is_done)
                stream.load("offline")
                stream.killed()
                before = time.monotonic()
                lives.start()
                usual = time.monotonic() - before
                lives.kill()
                for _ in range(5):
                    lives.begin()
                    time.sleep(usual * 1.2 * run.random.random())
                    lives.kill()
                lives.start()
                stream.collect()
                judge(stream.verdict(), f"QoS {qos}, after kills in recovery, round {number}")
                stream.subscriber.close()
            stream.finish()
            stream.collect()
            run.note(f"QoS {qos}: {stream.figures()}; a start took {usual * 1000:.0f} ms")
            judge(stream.verdict(), f"QoS {qos}, in the end")


class Members:
    """Three members of a shared subscription, each with a lasting session."""

    def __init__(self, run, lives):
        self.lives = lives
        self.all = [Subscriber(f"member-{k}", "$share/group/jobs", 1, run.version()) for k in range(3)]

    def connect(self):
        """All come."""
        for one in self.all:
            one.connect(self.lives.port)

    def leave(self):
        """All go; their sessions stay."""
        for one in self.all:
            one.close(goodbye=True)

    def numbers(self):
        """All that has come to anybody."""
        return {arrival.number for one in self.all for arrival in one.arrivals}


def shared_subscription(run):
    """Messages for a group of which all members are offline."""
    with run.lives() as lives:
        lives.start()
        members = Members(run, lives)
        members.connect()
        publisher = Publisher("publisher", "jobs", 1, 200, run.version())
        for number in run.each_round():
            members.leave()
            publisher.connect(lives.port)
            publisher.until = 1 << 60
            target = len(publisher.acknowledged) + run.random.randrange(1, 1500)
            drive([publisher], lambda: len(publisher.acknowledged) >= target)
            drive_to_a_random_moment([publisher], run.random)
            lives.kill()
            publisher.lose_connection(run.random)
            lives.start()
            members.connect()
            # What comes last is published when the publisher has completed what it had begun.
            publisher.until = publisher.sent + 3
            publisher.connect(lives.port)
            everybody = [publisher, *members.all]
            drive(everybody, publisher.is_done)
            missing = len(set(range(1, publisher.sent + 1)) - members.numbers())
            with contextlib.suppress(Late):
                drive(everybody, lambda: publisher.acknowledged <= members.numbers(), patience=RECOVERY / 4)
            for one in members.all:
                one.ask()
            drive(everybody, lambda: all(one.heard is not None for one in members.all))
            lost = publisher.sessions_lost + sum(one.sessions_lost for one in members.all)
            found = verdict.exactly_one_member(
                publisher.sent, publisher.acknowledged, [one.arrivals for one in members.all], publisher.resent, lost
            )
            judge(found, f"round {number} ({missing} came last)")
        shares = " + ".join(str(len(one.arrivals)) for one in members.all)
        run.note(f"{publisher.sent} messages to {shares}, {sum(publisher.resent.values())} sent again")
