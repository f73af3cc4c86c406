"""What a scenario is given: rounds, a seed of its own, and a broker with a data directory."""

import dataclasses
import random

from wire import packets as p
from wire.script import Script

from .lives import Lives


@dataclasses.dataclass
class Run:
    """One run of one scenario."""

    binary: str
    random: random.Random
    rounds: int
    durability: str = "fsync"
    keep: bool = False

    def lives(self):
        """A broker that has lived nowhere yet."""
        return Lives(self.binary, self.durability, self.keep)

    def version(self):
        """MQTT 3.1.1 or 5."""
        return self.random.choice((p.V311, p.V5))

    def chance(self, share=0.5):
        """Yes or no."""
        return self.random.random() < share

    def each_round(self):
        """The numbers of the rounds, from 1 on."""
        return range(1, self.rounds + 1)

    note = staticmethod(Script.note)
