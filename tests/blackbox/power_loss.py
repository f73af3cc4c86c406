#!/usr/bin/env python3
"""What the broker acknowledged outlives a loss of power: its data directory lies on a file system that keeps what was
not synced in memory and throws a random part of it away at the cut (crates/powercut).

The scenarios are those of durability.py; here each life ends with the power. Three rounds a scenario, 20 with
ALDIS_LONG. A seed decides on all that is random here; the timing of the machine is not repeated by it.

It proves itself first: a broker that keeps nothing, one whose store does not sync, and a disk that only says that it
has synced must all be found out.
"""

import os
import random

from crash import clocks, messages, state
from crash.power import BUILD_NO_SYNC, NO_SYNC, PROGRAM, BUILD, Cuts, Disk, PowerRun, beside
from crash.verdict import Broken
from wire.connection import expect
from wire.script import Script

SCENARIOS = (
    messages.qos_1_offline, messages.qos_1_online, messages.qos_1_reconnecting,
    messages.qos_2_offline, messages.qos_2_online, messages.qos_2_reconnecting,
    messages.killed_while_it_recovers, messages.shared_subscription,
    state.retained, state.subscriptions, clocks.wills,
)  # fmt: skip

# How often a liar is looked at before it counts as not found out.
TRIES = 5

script = Script("Cuts the power under load and looks for what the broker forgot.")
script.parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32), help="of all chance")
script.parser.add_argument("--rounds", type=int, default=20 if os.environ.get("ALDIS_LONG") else 3, help="a scenario")
script.parser.add_argument("--durability", default="fsync", help="of the broker (default: %(default)s)")
script.parser.add_argument("--syncs", default="honest", help="what the disk does: honest, or ignored")

# Of the scenarios that ran with an honest broker.
cuts = Cuts()


def run(scenario, again="", **more):
    """What a scenario needs. Its chance is its own, so that it is the same alone."""
    given = script.given
    settings = {"rounds": given.rounds, "durability": given.durability, "syncs": given.syncs, **more}
    chance = random.Random(f"{given.seed} {scenario.__name__}{again}")
    return PowerRun(settings.pop("binary", script.binary), chance, **settings)


def found_out(scenario, wanted="", **more):
    """What a broker or disk that does not keep its word is found to do, within a few tries; `wanted` names a field of
    the verdict that must not be empty."""
    for again in range(TRIES):
        one = run(scenario, f" {again}", **more)
        try:
            scenario(one)
        except Broken as broken:
            if not wanted or broken.verdict and getattr(broken.verdict, wanted):
                script.note(f"{scenario.__name__}, try {again + 1}: {broken}")
                return
    expect(False, f"{scenario.__name__} does not find that anything is {wanted or 'wrong'}: it cannot fail")


@script.case
def the_disk_loses_what_is_not_synced_and_nothing_else():
    with Disk(script.binary) as disk:
        for name, is_synced in (("synced", True), ("not synced", False)):
            kept = 0
            for seed in range(40):
                path = f"{disk.folder}/{seed}"
                with open(path, "wb") as file:
                    file.write(b"x" * 5000)
                    file.flush()
                    if is_synced:
                        os.fsync(file.fileno())
                if is_synced:
                    folder = os.open(disk.folder, os.O_RDONLY)
                    os.fsync(folder)
                    os.close(folder)
                disk.tell("cut", seed)
                disk.tell("restore")
                if os.path.exists(path):
                    with open(path, "rb") as file:
                        kept += file.read() == b"x" * 5000
                    os.remove(path)
            expect(kept == 40 if is_synced else 0 < kept < 30, f"{name}: {kept} of 40 files are whole after the cut")


@script.case
def a_broker_that_keeps_nothing_is_found_out():
    found_out(messages.qos_1_offline, "lost", durability="memory")


@script.case
def a_broker_whose_sync_does_nothing_is_found_out():
    binary = beside(script.binary, NO_SYNC, BUILD_NO_SYNC)
    found_out(messages.qos_1_offline, "lost", binary=binary, beside=script.binary)
    found_out(messages.qos_2_offline, "lost", binary=binary, beside=script.binary)
    for scenario in (state.retained, state.subscriptions):
        found_out(scenario, binary=binary, beside=script.binary)


@script.case
def a_disk_that_does_not_sync_is_found_out():
    found_out(messages.qos_1_offline, "lost", syncs="ignored")


def as_case(scenario):
    """A scenario on its own."""

    def case():
        script.note(f"--seed {script.given.seed}")
        beside(script.binary, PROGRAM, BUILD)
        one = run(scenario, cuts=cuts)
        before = dict(vars(cuts))
        scenario(one)
        script.note(str(Cuts(**{name: value - before[name] for name, value in vars(cuts).items()})))

    case.__name__ = scenario.__name__
    return case


for each in SCENARIOS:
    script.case(as_case(each))


@script.case
def cuts_met_everything():
    """Of all scenarios above, if all of them ran."""
    if script.given.only:
        return
    script.note(str(cuts))
    for name, value in vars(cuts).items():
        expect(value > 0, f"of {cuts.cuts} cuts none counts as {name}")


if __name__ == "__main__":
    script.main()
