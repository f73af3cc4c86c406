#!/usr/bin/env python3
"""What the broker acknowledged outlives it: it is killed with SIGKILL at random moments under load, is started again
on the same data directory, and nothing may be lost, duplicated or out of order.

A kill shows that nothing that counts is in the memory of the process. It does not show that anything is synced: the
page cache of the system outlives the process.

Three rounds a scenario, 50 with ALDIS_LONG. A seed decides on all that is random here; the timing of the machine is
not repeated by it. `--durability memory` shows what the scenarios find where nothing is kept.
"""

import os
import random
import tempfile

from crash import clocks, files, messages, state, verdict
from crash.run import Run
from crash.verdict import Broken
from wire.connection import expect
from wire.script import Script

# What is known not to be kept yet, and why. It runs when it is named with --only.
NOT_YET = {
}

SCENARIOS = (
    messages.qos_1_offline, messages.qos_1_online, messages.qos_1_reconnecting,
    messages.qos_2_offline, messages.qos_2_online, messages.qos_2_reconnecting,
    messages.killed_while_it_recovers, messages.shared_subscription,
    state.retained, state.subscriptions,
    clocks.wills, clocks.session_expiry, clocks.message_expiry,
    files.two_brokers_on_one_directory, files.torn_tail, files.garbage_behind_the_tail, files.damage_in_the_middle,
)  # fmt: skip

# Those of which each must find a broken promise where nothing is kept. The others are about files.
NEEDS_A_STORE = [scenario for scenario in SCENARIOS if scenario.__module__ != files.__name__]

script = Script("Kills the broker under load and looks for what it forgot.")
script.parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32), help="of all chance")
script.parser.add_argument("--rounds", type=int, default=50 if os.environ.get("ALDIS_LONG") else 3, help="a scenario")
script.parser.add_argument("--durability", default="fsync", help="of the broker (default: %(default)s)")
script.parser.add_argument("--keep", action="store_true", help="keep the data directories")


def run(scenario, **more):
    """What a scenario needs. Its chance is its own, so that it is the same alone."""
    given = script.given
    script.note(f"--seed {given.seed}")
    settings = {"rounds": given.rounds, "durability": given.durability, "keep": given.keep, **more}
    return Run(script.binary, random.Random(f"{given.seed} {scenario.__name__}"), **settings)


@script.case
def verdicts_tell_what_is_wrong():
    for at, (found, wanted) in enumerate(verdict.EXAMPLES):
        expect(found == wanted, f"example {at}: {found}, where the answer is {wanted}")
    told = {name for _, wanted in verdict.EXAMPLES if isinstance(wanted, verdict.Verdict) for name in wanted.wrong()}
    expect(told == set(vars(verdict.Verdict())), f"no example is about {set(vars(verdict.Verdict())) - told}")


@script.case
def files_are_read_as_they_are():
    with tempfile.TemporaryDirectory() as folder:
        files.finders_find(folder)


@script.case
def where_nothing_is_kept_messages_are_lost():
    try:
        messages.qos_1_offline(run(messages.qos_1_offline, durability="memory", rounds=1))
    except Broken as broken:
        script.note(str(broken))
        expect(broken.verdict is not None and broken.verdict.lost, f"no message was lost, but {broken}")
        return
    expect(False, "a kill of a broker that keeps nothing loses nothing: this script cannot fail")


@script.case
def where_nothing_is_kept_every_promise_is_broken():
    kept = []
    for scenario in NEEDS_A_STORE:
        try:
            scenario(run(scenario, durability="memory", rounds=1))
            kept.append(scenario.__name__)
        except Broken as broken:
            script.note(f"{scenario.__name__}: {broken}")
    expect(not kept, f"a broker that keeps nothing passes {', '.join(kept)}")


def as_case(scenario):
    """A scenario on its own."""

    def case():
        scenario(run(scenario))

    case.__name__ = scenario.__name__
    return case


for each in SCENARIOS:
    script.case(as_case(each))

script.by_default = [name for name in script.cases if name not in NOT_YET]

if __name__ == "__main__":
    script.main()
