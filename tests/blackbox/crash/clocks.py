"""Scenarios about time that passes while the broker is down: wills, sessions and messages that expire.

Nothing here hopes. What must not have happened yet has an exact bound, and is judged only if it was looked at in time;
what must have happened has a generous one.
"""

import math
import time

from wire import packets as p
from wire.connection import PATIENCE, client

from .clients import FOR_EVER, Lasting, Subscriber, drive, properties_at, u32
from .verdict import demand

WILL_DELAY, MESSAGE_EXPIRY = 0x18, 0x02
# What a broker may take to notice that a time is over, beside other work.
GRACE = 1.0


def wait_until(moment):
    """Wall-clock time is what is tested; this is no wait for something to happen."""
    time.sleep(max(0.0, moment - time.time()))


def leave(one, reason=0):
    """DISCONNECT, of which the broker is known to have heard; the session stays. Reason 4 asks for the will."""
    one.link.send(p.packet(0xE0, bytes([reason])))
    one.link.remains()
    one.close()


def stored(port, topic):
    """A durable message that is acknowledged: what the broker wrote before it is stored, too."""
    with client(port) as one:
        one.publish(topic, b"stored", qos=1, packet_id=1, retain=True)
        one.expect(p.PUBACK)


# ---- wills ----


class Heir(Subscriber):
    """Hears of wills, and when."""

    def __init__(self, run):
        super().__init__("heir", "wills/#", 1, run.version())
        self.heard_of = {}

    def message(self, got):
        topic, packet_id, _ = p.delivered(self.version, got)
        self.answers.append((p.acknowledge(p.PUBACK, packet_id), None))
        self.heard_of.setdefault(topic, []).append(time.time())

    def has(self, *names):
        """Whether these wills have come."""
        return all(name in self.heard_of for name in names)


def mortal(port, name, delay, version=p.V5):
    """A lasting client with a will, and the delay of that."""
    one = Lasting(name.replace("/", "-"), version)
    will = p.Will(name, b"gone", qos=1, block=p.properties((WILL_DELAY, u32(delay))))
    one.connect(port, will=will)
    return one


def wills(run):
    """The broker is killed while delays run and while clients with wills are attached."""
    with run.lives() as lives:
        lives.start()
        heir = Heir(run)
        heir.connect(lives.port)
        for number in run.each_round():
            prefix = f"wills/{number}"
            names = ("gone", "attached", "back", "late", "old")
            gone, attached, back, late, old = (f"{prefix}/{name}" for name in names)
            leaver = mortal(lives.port, gone, 2)
            stayers = [mortal(lives.port, attached, 1), mortal(lives.port, late, 4), mortal(lives.port, old, 0, p.V311)]
            returner = mortal(lives.port, back, 3)
            left = time.time()
            leave(leaver, 4)
            # The will of a client that said goodbye is void, before and after.
            leave(mortal(lives.port, f"{prefix}/parted", 1))
            stored(lives.port, "other")
            drive([heir], lambda end=left + run.random.random(): time.time() > end)
            lives.kill()
            for one in (heir, *stayers, returner):
                one.hear_the_rest()
            if run.chance():
                wait_until(lives.killed + run.random.random() * 1.5)
            lives.start()
            # Its connection is new before the delay is over: its will must not be published. [MQTT-3.1.3-9]
            demand(returner.connect(lives.port), "the session with a will is not present")
            is_back = time.time() < lives.killed + 3
            demand(heir.connect(lives.port), "the session of the heir is not present")
            drive([heir], lambda names=(gone, attached, late, old): heir.has(*names), patience=4 + PATIENCE)
            not_before(heir, {gone: left + 2, attached: lives.killed + 1, late: lives.killed + 4, old: lives.killed})
            not_after(heir, {gone: lives.born + 2, attached: lives.born + 1, late: lives.born + 4, old: lives.born})
            demand(not is_back or back not in heir.heard_of, f"{back} came although its client did")
            returner.close(goodbye=True)
            settle(heir, lives)
            lives.kill()
            heir.hear_the_rest()
            lives.start()
            demand(heir.connect(lives.port), "the session of the heir is not present")
            # Another will with a delay ends after all that the start could publish once more.
            mortal(lives.port, f"{prefix}/last", 1).close()
            drive([heir], lambda name=f"{prefix}/last": heir.has(name))
            twice = [name for name, times in heir.heard_of.items() if len(times) > 1]
            demand(not twice, f"published twice: {twice}")
            settle(heir, lives)
            demand(f"{prefix}/parted" not in heir.heard_of, f"{prefix}/parted came after a DISCONNECT")


def settle(heir, lives):
    """The broker has stored what was acknowledged to it: nothing has to be sent again."""
    heir.ask()
    drive([heir], lambda: heir.heard is not None)
    stored(lives.port, "other")


def not_before(heir, bounds):
    """Exact."""
    for name, bound in bounds.items():
        early = bound - heir.heard_of[name][0]
        demand(early <= 0, f"{name} came {early:.3f} s before its delay was over")


def not_after(heir, bounds):
    """Generous: as if the delay had begun with the start."""
    for name, bound in bounds.items():
        late = heir.heard_of[name][0] - bound
        demand(late < PATIENCE, f"{name} came {late:.1f} s after its delay was over")


# ---- sessions ----


def session_expiry(run):
    """Sessions of 2 and 3 seconds and of an hour, before and while the broker is down."""
    judged = 0
    with run.lives() as lives:
        lives.start()
        for number in run.each_round():
            short = [Lasting(f"short-{number}-{k}", expiry=2) for k in range(3)]
            middle = Lasting(f"middle-{number}", expiry=3)
            long = [Lasting(f"long-{number}-{k}", expiry=FOR_EVER) for k in range(2)]
            for one in (*short, middle, *long):
                one.connect(lives.port)
            left = time.time()
            # One of each is attached when the broker is killed.
            for one in (short[0], short[1], middle, long[0]):
                leave(one)
            stored(lives.port, "other")
            lives.restart()
            is_present = short[1].connect(lives.port)
            if time.time() < left + 2:
                judged += 1
                demand(is_present, f"round {number}: a session of 2 s is gone before that")
            leave(short[1])
            stored(lives.port, "other")
            lives.kill()
            # The last moment from which on 2 s may have been counted.
            wait_until(lives.killed + 2 + 0.01)
            lives.start()
            for one in (short[0], short[1]):
                demand(not one.connect(lives.port), f"round {number}: {one.name} is there after more than 2 s")
            # A broker that begins to count when it starts would keep this one for 3 s from here.
            wait_until(left + 3 + GRACE)
            if time.time() < lives.born + 3:
                judged += 1
                demand(not middle.connect(lives.port), f"round {number}: a session of 3 s was there {GRACE} s later")
            # It was attached: its time begins with the kill, or when the broker finds it without a connection.
            wait_until(lives.born + 2 + GRACE)
            demand(not short[2].connect(lives.port), f"round {number}: {short[2].name} outlived its connection by more")
            for one in long:
                demand(one.connect(lives.port), f"round {number}: a session of an hour is gone")
            for one in (*short, middle, *long):
                one.close()
    demand(judged, "nothing was looked at in time: this machine is too slow")
    run.note(f"{judged} of {2 * run.rounds} sessions were looked at in time")


# ---- messages ----


def message_expiry(run):
    """Messages in a queue and retained ones, of which some expire while the broker is down."""
    with run.lives() as lives:
        lives.start()
        for number in run.each_round():
            reader = Reader(number)
            reader.connect(lives.port)
            reader.exchange(p.subscribe(p.V5, 1, (f"queue/{number}/#", 1)), p.SUBACK)
            leave(reader)
            with client(lives.port) as one:
                before = time.time()
                for packet_id, (place, name, expiry) in enumerate(contents(number), 1):
                    block = p.properties((MESSAGE_EXPIRY, u32(expiry))) if expiry else b"\0"
                    topic = f"{place}/{name}"
                    one.publish(topic, b"x", qos=1, packet_id=packet_id, retain=place[0] == "k", block=block)
                for _ in contents(number):
                    one.expect(p.PUBACK)
                after = time.time()
            lives.kill()
            wait_until(after + 2 + 0.01)
            lives.start()
            began = time.time()
            found = reader.read_all(lives.port)
            ended = time.time()
            for place in (f"queue/{number}", f"kept/{number}"):
                copies = found[place]
                demand("short" not in copies, f"{place}/short came {ended - after:.1f} s after it was published")
                demand(copies.get("none", 0) is None, f"{place}/none: expiry {copies.get('none', 'lost')}")
                left = copies.get("long", -1)
                most, least = math.ceil(60 - (began - after)), math.floor(60 - (ended - before))
                demand(least <= left <= most, f"{place}/long: {left} s are left, and not {least} to {most}")


class Reader(Lasting):
    """Notes the remaining expiry of every copy, by place and name."""

    def __init__(self, number):
        super().__init__(f"reader-{number}")
        self.number, self.ends, self.found = number, 0, {f"queue/{number}": {}, f"kept/{number}": {}}

    def handle(self, got):
        if got.kind == p.SUBACK:
            return
        topic, packet_id, _ = p.delivered(p.V5, got)
        self.out += p.acknowledge(p.PUBACK, packet_id)
        place, _, name = topic.rpartition("/")
        self.ends += name == "~end"
        self.found[place][name] = properties_at(got.body, 2 + len(topic) + 2)[0].get(MESSAGE_EXPIRY)

    def read_all(self, port):
        """All that is queued and all that is retained. The last comes by a subscription of its own once more."""
        demand(self.connect(port), "the session is not present")
        for packet_id, name in ((2, "+"), (3, "~end")):
            self.out += p.subscribe(p.V5, packet_id, (f"kept/{self.number}/{name}", 1))
        drive([self], lambda: self.ends == 3)
        return self.found


def contents(number):
    """Place, name and expiry of what is published in a round."""
    places = (f"queue/{number}", f"kept/{number}")
    return [(place, *rest) for place in places for rest in (("short", 2), ("long", 60), ("none", 0), ("~end", 0))]
