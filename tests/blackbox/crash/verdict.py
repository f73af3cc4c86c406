"""What was lost, duplicated and reordered, from what was sent and what arrived. Nothing here knows a broker."""

import collections
import dataclasses

from wire.connection import Failure

# A message that arrived: its number, in which connection of the subscriber it came, and its DUP flag.
Arrival = collections.namedtuple("Arrival", "number connection dup", defaults=(1, False))


@dataclasses.dataclass
class Verdict:
    """The numbers of messages to which something happened that was promised not to."""

    lost: list = dataclasses.field(default_factory=list)
    duplicated: list = dataclasses.field(default_factory=list)
    reordered: list = dataclasses.field(default_factory=list)
    # Acknowledged by the subscriber, known to be stored, and sent again all the same.
    returned: list = dataclasses.field(default_factory=list)
    # Never sent by anybody.
    invented: list = dataclasses.field(default_factory=list)
    # Sessions that a CONNACK had promised and another one no longer knew.
    sessions_lost: int = 0

    def wrong(self):
        """The names of what is not empty."""
        return [name for name, value in vars(self).items() if value]

    def __str__(self):
        parts = []
        for name in self.wrong():
            value = getattr(self, name)
            if isinstance(value, list):
                first = ", ".join(map(str, value[:5])) + (", …" if len(value) > 5 else "")
                parts.append(f"{len(value)} {name} ({first})")
            else:
                parts.append(f"{value} {name.replace('_', ' ')}")
        return ", ".join(parts) or "nothing lost, duplicated or reordered"


class Broken(Failure):
    """A promise was broken: what a scenario is there to find. Any other Failure says that it could not look."""

    def __init__(self, words, verdict=None):
        super().__init__(words)
        self.verdict = verdict


def judge(verdict, where):
    """Fails unless nothing is wrong."""
    if verdict.wrong():
        raise Broken(f"{where}: {verdict}", verdict)


def demand(truth, words):
    """Fails with a broken promise unless `truth`."""
    if not truth:
        raise Broken(words)


def first_arrivals(arrivals):
    """The numbers in the order in which each came for the first time."""
    return list(dict.fromkeys(arrival.number for arrival in arrivals))


def out_of_order(numbers):
    """Those that came after a higher one."""
    found, highest = [], 0
    for number in numbers:
        if number < highest:
            found.append(number)
        highest = max(highest, number)
    return found


def at_least_once(sent, required, arrivals, resent=None, settled=(), sessions_lost=0):
    """QoS 1. `sent`: the highest number; `required`: the numbers that were acknowledged; `resent`: how often the
    publisher sent each again; `settled`: pairs of numbers and the length of `arrivals` from which on these must not
    come any more.

    A number comes at most once a connection, and once more for each time that its publisher sent it again: the
    broker cannot know that these are one. A new connection may bring everything again that was in flight.
    """
    resent = resent or {}
    came = {arrival.number for arrival in arrivals}
    times = collections.Counter((arrival.connection, arrival.number) for arrival in arrivals)
    last = {arrival.number: at for at, arrival in enumerate(arrivals)}
    too_late = {number for numbers, position in settled for number in numbers if last.get(number, -1) >= position}
    return Verdict(
        lost=sorted(set(required) - came),
        duplicated=sorted({number for (_, number), count in times.items() if count > 1 + resent.get(number, 0)}),
        reordered=out_of_order(first_arrivals(arrivals)),
        returned=sorted(number for number in too_late if not resent.get(number)),
        invented=sorted(number for number in came if not 1 <= number <= sent),
        sessions_lost=sessions_lost,
    )


def exactly_once(sent, required, arrivals, sessions_lost=0):
    """QoS 2: no number twice, whatever happened; all in order."""
    times = collections.Counter(arrival.number for arrival in arrivals)
    return Verdict(
        lost=sorted(set(required) - set(times)),
        duplicated=sorted(number for number, count in times.items() if count > 1),
        reordered=out_of_order(first_arrivals(arrivals)),
        invented=sorted(number for number in times if not 1 <= number <= sent),
        sessions_lost=sessions_lost,
    )


def exactly_one_member(sent, required, members, resent=None, sessions_lost=0):
    """A shared subscription at QoS 1 whose members answer all that they get before they leave: each message comes to
    one of them, and to one more for each time that it was sent again. There is no order between members."""
    resent = resent or {}
    owners = collections.Counter(arrival.number for arrivals in members for arrival in arrivals)
    return Verdict(
        lost=sorted(set(required) - set(owners)),
        duplicated=sorted(number for number, count in owners.items() if count > 1 + resent.get(number, 0)),
        invented=sorted(number for number in owners if not 1 <= number <= sent),
        sessions_lost=sessions_lost,
    )


def possible_values(sent, acknowledged):
    """What a retained topic may hold: the last value of `sent` that is in `acknowledged`, or one that was sent after
    it. Before the first acknowledged one it may hold nothing (`None`)."""
    known = [at for at, value in enumerate(sent) if value in acknowledged]
    return sent[known[-1] :] if known else [None, *sent]


def came(*numbers, connection=1):
    """Arrivals of one connection."""
    return [Arrival(number, connection) for number in numbers]


# What is wrong with what was seen, for one kind of mistake each.
EXAMPLES = [
    (at_least_once(3, {1, 2, 3}, came(1, 2, 3)), Verdict()),
    (at_least_once(3, {1, 2}, came(1, 2)), Verdict()),
    (at_least_once(3, {1, 2, 3}, came(1, 3)), Verdict(lost=[2])),
    (at_least_once(3, {1, 2, 3}, []), Verdict(lost=[1, 2, 3])),
    (at_least_once(3, {1}, came(1, 3, 2)), Verdict(reordered=[2])),
    (at_least_once(3, {1}, came(1, 2, 3, 2)), Verdict(duplicated=[2])),
    (at_least_once(3, {1}, came(1, 2, 3, 2), {2: 1}), Verdict()),
    (at_least_once(3, {1}, came(1, 2, 2, 2), {2: 1}), Verdict(duplicated=[2])),
    (at_least_once(3, {1}, came(1, 2) + came(1, 2, 3, connection=2)), Verdict()),
    (at_least_once(3, {1}, came(1, 2) + came(1, 2, 3, connection=2), settled=[([1], 2)]), Verdict(returned=[1])),
    (at_least_once(3, {1}, came(1, 2) + came(1, 3, connection=2), {1: 1}, [([1], 2)]), Verdict()),
    (at_least_once(3, {1}, came(1, 4)), Verdict(invented=[4])),
    (at_least_once(3, {1}, came(1), sessions_lost=1), Verdict(sessions_lost=1)),
    (exactly_once(3, {1, 2, 3}, came(1, 2, 3)), Verdict()),
    (exactly_once(3, {1, 2, 3}, came(1, 2) + came(3, connection=2)), Verdict()),
    (exactly_once(3, {1, 2, 3}, came(1, 2) + came(2, 3, connection=2)), Verdict(duplicated=[2])),
    (exactly_once(3, {1, 2, 3}, came(1, 3)), Verdict(lost=[2])),
    (exactly_once(3, {1, 2, 3}, came(2, 1, 3)), Verdict(reordered=[1])),
    (exactly_once(3, {1}, came(1, 0)), Verdict(reordered=[0], invented=[0])),
    (exactly_one_member(3, {1, 2, 3}, [came(1, 3), came(2)]), Verdict()),
    (exactly_one_member(3, {1, 2, 3}, [came(1, 1, 3), came(2)]), Verdict(duplicated=[1])),
    (exactly_one_member(3, {1, 2, 3}, [came(1, 3), came(1, 2)]), Verdict(duplicated=[1])),
    (exactly_one_member(3, {1, 2, 3}, [came(1, 3), came(1, 2)], {1: 1}), Verdict()),
    (exactly_one_member(3, {1, 2, 3}, [came(1), came(2)]), Verdict(lost=[3])),
    (possible_values([1, 2, 3], {1, 2}), [2, 3]),
    (possible_values([1, 2, 3], {1, 2, 3}), [3]),
    (possible_values([1, 2, 3], {1, 3}), [3]),
    (possible_values([1, 2], set()), [None, 1, 2]),
    (possible_values([], set()), [None]),
]  # fmt: skip
