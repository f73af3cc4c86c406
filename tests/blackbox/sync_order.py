#!/usr/bin/env python3
"""No byte of a PUBACK, PUBREC, PUBCOMP, SUBACK, UNSUBACK or of the CONNACK of a lasting session leaves before the sync
that covers it has returned: the broker runs under strace, and every answer is looked for in the order of its system
calls (tests/blackbox/trace).

It proves itself first: a broker that keeps nothing and one that syncs once an hour answer each of these too early.
"""

import contextlib
import os
import pathlib
import shlex
import subprocess
import tempfile

from crash.clients import FOR_EVER, SESSION_EXPIRY, Lasting, Publisher, Subscriber, drive, packet_id_of, u32
from trace.order import FREE, NAMES, judge
from trace.system_calls import BYTES, CALLS, calls
from wire import packets as p
from wire.broker import Broker
from wire.connection import Connection, expect, until
from wire.script import Script

MESSAGES = 1500 if os.environ.get("ALDIS_LONG") else 300
SESSIONS, FILTERS = 40, 60

script = Script("Traces the broker and looks at the order of its system calls.")


class Load(Publisher):
    """Every message has a text that is nowhere else, and some set or remove what is retained."""

    def __init__(self, name, topic, qos, window, version, retains=False):
        super().__init__(name, topic, qos, window, version)
        self.retains, self.until = retains, MESSAGES

    def content(self, number):
        payload = f"{self.name} message {number:06} ".encode() * (1 + number % 7)
        if not self.retains:
            return f"{self.topic}/{number % 10}", payload, False
        # A topic of its own, which the next message removes again.
        return f"kept/{self.name}/{(number + 1) // 2:06}", payload if number % 2 else b"", True


class Listener(Subscriber):
    """Takes what comes."""

    def message(self, got):
        _, packet_id, _ = p.delivered(self.version, got)
        is_second = got.flags >> 1 & 3 == 2
        self.answers.append((p.acknowledge(p.PUBREC if is_second else p.PUBACK, packet_id), None))
        if is_second:
            self.unreleased[packet_id] = 0


class Asking(Lasting):
    """Makes and ends subscriptions with a few requests in flight; no filter comes twice."""

    def __init__(self, name, version):
        super().__init__(name, version)
        names = [f"asked/{name}/{number:04}" for number in range(FILTERS)]
        # Filters in pairs, each of which is ended once it has been made.
        self.requests = [(make, pair) for pair in zip(names[::2], names[1::2]) for make in (True, False)]
        self.sent = self.unanswered = 0

    def produce(self):
        while self.unanswered < 4 and self.sent < len(self.requests):
            make, pair = self.requests[self.sent]
            self.sent, self.unanswered = self.sent + 1, self.unanswered + 1
            if make:
                self.out += p.subscribe(self.version, self.sent, *((name, 1) for name in pair))
            else:
                self.out += p.unsubscribe(self.version, self.sent, *pair)

    def handle(self, got):
        expect(got.kind in (p.SUBACK, p.UNSUBACK) and packet_id_of(got), f"{got} was not to come")
        self.unanswered -= 1

    def is_done(self):
        """All is answered."""
        return self.sent == len(self.requests) and not self.unanswered


def load(port):
    """Everything that is answered after a sync, at the same time."""
    asleep = Listener("asleep", "load/#", 2)
    asleep.connect(port)
    asleep.close(goodbye=True)
    listeners = [Listener("awake", "load/+/1", 2), Listener("awake-too", "load/+/2", 1, p.V311)]
    publishers = [
        Load("one", "load/one", 1, 40, p.V5), Load("other", "load/other", 1, 7, p.V311),
        Load("two", "load/two", 2, 30, p.V5), Load("keeper", "", 1, 10, p.V5, retains=True),
    ]  # fmt: skip
    asking = [Asking("asking", p.V5), Asking("asking-too", p.V311)]
    everybody = [*listeners, *publishers, *asking]
    for one in everybody:
        one.connect(port)
    # Sessions that are made meanwhile, all at once.
    block = p.properties((SESSION_EXPIRY, u32(FOR_EVER)))
    with contextlib.ExitStack() as stack:
        new = [stack.enter_context(Connection(port)) for _ in range(SESSIONS)]
        free = stack.enter_context(Connection(port).login("free"))
        drive(everybody, lambda: publishers[0].acknowledged)
        for number, one in enumerate(new):
            one.send(p.connect(p.V5, f"newcomer-{number:04}", clean=False, block=block))
            free.publish(f"{FREE}{number}", f"free message {number:04}".encode(), qos=1, packet_id=number + 1)
        drive(everybody, lambda: all(one.is_done() for one in (*publishers, *asking)), patience=240)
        for one in new:
            one.expect(p.CONNACK)
        for _ in new:
            free.expect(p.PUBACK)
    for one in everybody:
        one.close()


def traced(*options, settings=None):
    """What was found in the trace of a broker under load."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        trace, wrapper = folder / "trace", folder / "aldis"
        # -D: the broker is our child, and strace hangs on beside it.
        strace = ["strace", "-D", "-f", "-ttt", "-yy", "-xx", "-s", str(BYTES), "-o", str(trace)]
        strace += ["-e", "trace=" + ",".join(CALLS), "-e", "signal=none", script.binary]
        wrapper.write_text(f'#!/bin/sh\nexec {shlex.join(strace)} "$@"\n')
        wrapper.chmod(0o755)
        with Broker(str(wrapper), *options, settings=settings) as broker:
            broker.started()
            load(broker.port)
            broker.stop()
            last = f"{broker.pid} "

        def is_whole():
            with trace.open("rb") as file:
                file.seek(max(trace.stat().st_size - 200, 0))
                end = file.read().decode().splitlines()[-1]
            return end.startswith(last) and "+++ exited" in end

        until(is_whole, "the end of the trace")
        with trace.open() as lines:
            return judge(calls(lines))


def every_answer(findings):
    """Whether all kinds of answers are among those that were looked at, and often."""
    counts = {name: findings.looked_at[name] for name in NAMES.values()}
    script.note(" ".join(f"{name} {count}" for name, count in counts.items()) + f", free {findings.free}")
    least = {"CONNACK": SESSIONS, "SUBACK": FILTERS, "UNSUBACK": FILTERS, "PUBACK": 3 * MESSAGES}
    for name, count in counts.items():
        expect(count >= least.get(name, MESSAGES), f"only {count} times {name}")
    expect(findings.free == SESSIONS + 1, f"{findings.free} answers for what does not last")


@script.case
def strace_is_there():
    said = subprocess.run(["strace", "--version"], capture_output=True, text=True, check=False).stdout
    script.note(said.splitlines()[0])


EXAMPLE = r"""
1 0.1 recvfrom(9<TCP:[a->b]>, "{publish}", 99, 0, NULL, NULL) = {size}
2 0.2 pwrite64(5<{segment}>, "{payload}", 3, 0 <unfinished ...>
1 0.3 recvfrom(9<TCP:[a->b]>, 0x1, 99, 0, NULL, NULL) = -1 EAGAIN (Resource temporarily unavailable)
2 0.4 <... pwrite64 resumed>) = 3
2 0.5 fdatasync(5<{segment}> <unfinished ...>
2 0.6 <... fdatasync resumed>) = 0
1 0.7 sendto(9<TCP:[a->b]>, "\x40\x02", 2, MSG_NOSIGNAL, NULL, 0) = 2
1 0.8 sendto(9<TCP:[a->b]>, "\x00\x07", 2, MSG_NOSIGNAL, NULL, 0) = 2
"""


@script.case
def an_answer_that_is_too_early_is_seen_in_an_example():
    def escaped(data):
        return "".join(f"\\x{byte:02x}" for byte in data)

    packet = p.publish(p.V5, "t", b"abc", qos=1, packet_id=7)
    values = {"publish": escaped(packet), "size": len(packet), "payload": escaped(b"abc")}
    lines = EXAMPLE.format(segment=escaped(b"/x/segment-1"), **values).strip().splitlines()

    def wrong(order):
        findings = judge(calls([lines[at] for at in order]))
        expect(findings.looked_at["PUBACK"] == 1, f"{findings}")
        return bool(findings.wrong)

    expect(not wrong(range(8)), "what is in order is found wrong")
    # The first byte before the end of the sync; before its beginning; the sync before the end of the write.
    for order in ((0, 1, 2, 3, 4, 6, 5, 7), (0, 1, 2, 3, 6, 7, 4, 5), (0, 1, 2, 4, 5, 3, 6, 7), (0, 1, 2, 3, 6, 7)):
        expect(wrong(order), f"{order} is found right")
    # A write that was there before the request was.
    expect(wrong((1, 3, 0, 2, 4, 5, 6, 7)), "the record of another message is taken for this one")


def is_found_out(*options, **more):
    """That every kind of answer is found to leave too early."""
    findings = traced(*options, **more)
    every_answer(findings)
    kinds = findings.kinds_wrong()
    script.note(f"{len(findings.wrong)} too early, as {findings.wrong[0] if findings.wrong else None}")
    expect(kinds == set(NAMES.values()), f"too early are only {kinds}: this script cannot fail")


@script.case
def a_broker_that_keeps_nothing_is_found_out():
    is_found_out("--durability", "memory")


@script.case
def a_broker_that_syncs_once_an_hour_is_found_out():
    is_found_out("--durability", "interval", settings={"durability_interval": "1h"})


@script.case
def no_answer_leaves_before_its_sync():
    findings = traced("--durability", "fsync")
    every_answer(findings)
    expect(not findings.wrong, f"{len(findings.wrong)}: {findings.wrong[:5]}")


if __name__ == "__main__":
    script.main()
