"""What the Python scenarios share: where the broker is, deadlines, and exact comparison.

A scenario is one process. It learns everything from environment variables that `run.py` sets,
prints nothing when it succeeds, and ends with one line on stderr when it does not. It knows no
MQTT: that is the part of the client under test.
"""

import os
import sys
import threading
import time
import traceback

HOST = os.environ.get("ALDIS_TEST_HOST", "127.0.0.1")
PORT = int(os.environ.get("ALDIS_TEST_PORT", "1883"))
# Unique to one run of one scenario; begins every topic, group and client id.
PREFIX = os.environ.get("ALDIS_TEST_PREFIX", f"t{os.getpid()}")
# Seconds to wait for messages; the self-test makes it short.
DEADLINE = float(os.environ.get("ALDIS_TEST_DEADLINE", "30"))
# Seconds to wait for anything that is no message: a connection, an acknowledgement.
CONTROL_DEADLINE = 30.0
# In the self-test every subscriber listens where nobody publishes; each scenario must fail then.
DEAF = os.environ.get("ALDIS_TEST_DEAF", "") == "1"
# The self-tests do not need the largest numbers.
SMALL = os.environ.get("ALDIS_TEST_SMALL", "") == "1"
# Mosquitto sends one copy for each overlapping subscription, which MQTT allows [MQTT-3.3.5-1].
AGAINST_MOSQUITTO = os.environ.get("ALDIS_TEST_BROKER", "aldis") == "mosquitto"


class Failure(Exception):
    """The broker (or the machine) did not do what the scenario expects."""


def topic(name):
    """The topic `name` of this run, which no other run uses."""
    return f"{PREFIX}/{name}"


def client_id(name):
    """The client id `name` of this run."""
    return f"{PREFIX}-{name}"


def heard_filter(topic_filter):
    """The filter to subscribe to in place of `topic_filter`: itself, unless made deaf."""
    if not DEAF:
        return topic_filter
    if topic_filter.startswith("$share/"):
        group = topic_filter.split("/")[1]
        return f"$share/{group}/deaf/{PREFIX}"
    return f"deaf/{PREFIX}/{topic_filter.replace('#', 'x').replace('+', 'x')}"


def shorten(value, limit=200):
    """`value` readable in one line: large payloads cut, everything else whole."""
    text = repr(value)
    if len(text) > limit:
        return f"{text[:limit]}… ({len(text)} characters)"
    return text


def compare(what, received, expected):
    """Fails with the first difference unless the two lists are the same, in order and length."""
    for index, (got, wanted) in enumerate(zip(received, expected)):
        if got != wanted:
            raise Failure(
                f"{what}: message {index} of {len(expected)} differs: "
                f"received {shorten(got)}, expected {shorten(wanted)}"
            )
    if len(received) > len(expected):
        extra = received[len(expected)]
        raise Failure(
            f"{what}: received {len(received)} messages, expected {len(expected)}; "
            f"the first too many is {shorten(extra)}"
        )
    if len(received) < len(expected):
        missing = expected[len(received)]
        raise Failure(
            f"{what}: received {len(received)} of {len(expected)} messages; "
            f"the first missing is {shorten(missing)}"
        )


def equal(what, got, wanted):
    """Fails unless the two values are equal."""
    if got != wanted:
        raise Failure(f"{what}: got {shorten(got)}, expected {shorten(wanted)}")


class Arrivals:
    """The complete list of messages a subscriber received, filled by another thread."""

    def __init__(self, owner):
        self.owner = owner
        self.ended = None  # why nothing more can come, once that is known
        self._messages = []
        self._changed = threading.Condition()

    def add(self, message):
        with self._changed:
            self._messages.append(message)
            self._changed.notify_all()

    def end(self, reason):
        with self._changed:
            self.ended = reason
            self._changed.notify_all()

    def all(self):
        with self._changed:
            return list(self._messages)

    def take(self):
        """What came so far, none of which is seen again: the next comparison begins here."""
        with self._changed:
            taken, self._messages = self._messages, []
            return taken

    def wait_until(self, condition, what, seconds=DEADLINE):
        """Waits until `condition(messages)` holds; fails at the deadline, naming `what`."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while not condition(self._messages):
                left = deadline - time.monotonic()
                if self.ended is not None or left <= 0:
                    why = self.ended or f"the deadline of {seconds:g} s passed"
                    last = shorten(self._messages[-1]) if self._messages else "none"
                    raise Failure(
                        f"{self.owner} received {len(self._messages)} messages, "
                        f"waiting for {what}: {why}; the last one: {last}"
                    )
                self._changed.wait(left)

    def wait_count(self, count):
        self.wait_until(lambda messages: len(messages) >= count, f"{count} messages")


class Receiver:
    """A client that receives: its arrivals, and what is expected of them."""

    def __init__(self, owner):
        self.arrivals = Arrivals(owner)

    def expect_exactly(self, what, expected):
        """Waits for `expected`, compares the complete list, and begins a new one."""
        self.arrivals.wait_count(len(expected))
        compare(f"{self.arrivals.owner}, {what}", self.arrivals.take(), expected)

    def expect_any_order(self, what, expected):
        """The same where the order among topics is the broker's own: a retained replay."""
        self.arrivals.wait_count(len(expected))
        received = sorted(self.arrivals.take(), key=_content)
        compare(f"{self.arrivals.owner}, {what}", received, sorted(expected, key=_content))

    def expect_by_topic(self, what, expected):
        """The same where order is promised only within a topic."""
        self.arrivals.wait_count(len(expected))
        received = sorted(self.arrivals.take(), key=_topic)
        compare(f"{self.arrivals.owner}, {what}", received, sorted(expected, key=_topic))


def _content(message):
    """Topic, payload and QoS: what tells messages of a retained replay apart."""
    return message[:3]


def _payload(message):
    return message[1]


def _topic(message):
    return message[0]


def wait_for(condition, what, seconds=None):
    """Polls `condition` (no event exists for it) until it holds; fails at the deadline."""
    deadline = time.monotonic() + (seconds or CONTROL_DEADLINE)
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(f"waited in vain for {what}")
        time.sleep(0.005)


def wait_together(group, count):
    """Waits until the members of a shared subscription have received `count` messages together."""
    wait_for(
        lambda: sum(len(member.arrivals.all()) for member in group) >= count,
        f"{len(group)} members to have received {count} messages together",
        DEADLINE,
    )


def shared_exactly(group, expected, done):
    """The members together have received each message once, each in order, each member some, and each `done`."""
    together = []
    for member in group:
        member.arrivals.wait_until(lambda messages: done in messages, "the last message")
        *part, last = member.arrivals.take()
        equal("the last message", last, done)
        compare("the part of one member", part, sorted(part, key=_payload))
        if not part:
            raise Failure(f"one of {len(group)} members received nothing")
        together += part
    compare(f"group of {len(group)}", sorted(together, key=_payload), expected)


def _thread_broke(broken):
    """A mistake in a client's own thread ends the scenario at once, visibly."""
    traceback.print_exception(broken.exc_type, broken.exc_value, broken.exc_traceback)
    sys.stderr.flush()
    os._exit(3)


def main(scenarios, clean_up):
    """Runs the scenario named on the command line: `main.py NAME VERSION`, or lists them."""
    if sys.argv[1:] == ["--list"]:
        for name in scenarios:
            print(name)
        return
    name, version = sys.argv[1], sys.argv[2]
    scenario = scenarios.get(name)
    if scenario is None:
        sys.exit(f"no scenario is called {name}")
    run_to_end(lambda: scenario(version), lambda: clean_up(version))


def run_to_end(*steps):
    """Runs the steps, whatever becomes of those before, and ends the process.

    Code 0: all went well; 1: a Failure, in one line; 3: the scenario itself broke. What goes
    wrong first is what is reported.
    """
    threading.excepthook = _thread_broke
    code = 0
    for step in steps:
        try:
            step()
        except Failure as failure:
            if code == 0:
                code = 1
                print(f"{failure}", file=sys.stderr)
        except Exception:
            if code == 0:
                code = 3
                traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # clients' threads that are still connected do not hold the process
