"""A file system that loses power, and the lives of a broker on it. Each of them ends with the power.

The file system is a program of ours, `aldis-powercut` (crates/powercut), which is told what to do on its standard
input. It needs /dev/fuse and the right to mount.
"""

import dataclasses
import pathlib
import subprocess
import tempfile
import threading

from wire.connection import PATIENCE, Failure, expect

from .lives import RECOVERY, Lives
from .run import Run
from .verdict import Broken

# Beside the broker, where cargo puts both.
PROGRAM = "aldis-powercut"
# The broker whose store does not sync, beside it, too.
NO_SYNC = "examples/aldis-no-sync"
BUILD = "cargo build --release -p aldis-powercut"
BUILD_NO_SYNC = "cargo build --release -p aldis --example aldis-no-sync --features planted-no-sync"
# Microseconds that a sync takes: a cut shall meet some.
SYNC_TAKES = (0, 200, 1_000, 4_000)


def beside(binary, name, build):
    """A program that was built with the broker."""
    path = pathlib.Path(binary).parent / name
    expect(path.is_file(), f"{path} is missing; build it with: {build}")
    return str(path)


class Disk:
    """A mounted file system, empty. Use it with `with`."""

    def __init__(self, binary):
        self.folder = tempfile.mkdtemp(prefix="aldis-powercut-")
        self.process = subprocess.Popen(
            [beside(binary, PROGRAM, BUILD), self.folder],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            said = self._answer()
            expect(said == "mounted", f"the file system is not mounted: {said or self.process.stderr.read()}")
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Whatever was started on it has ended."""
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()
        folder = pathlib.Path(self.folder)
        if folder.is_mount() or self.process.returncode != 0:
            subprocess.run(["umount", "-l", self.folder], capture_output=True, check=False)
        folder.rmdir()

    def _answer(self):
        """The next line. A file system that does not answer is killed, so that nobody waits for it without end."""
        watch = threading.Timer(PATIENCE, self.process.kill)
        watch.start()
        try:
            return self.process.stdout.readline().strip()
        finally:
            watch.cancel()

    def tell(self, *words):
        """A command; its answer as numbers by name."""
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        said = self._answer()
        if not said or said.startswith("error"):
            raise Failure(f"the file system does not {words}: {said}")
        return {name: int(value) for name, _, value in (word.partition("=") for word in said.split()) if value}


@dataclasses.dataclass
class Cuts:
    """What all cuts together have done: a suite that met nothing would prove nothing."""

    cuts: int = 0
    # Cuts in which something was lost, something was kept, and both.
    lost: int = 0
    kept: int = 0
    torn: int = 0
    # Changes of names that were lost.
    names: int = 0
    # Cuts of which an operation was caught in the middle.
    caught: int = 0

    def count(self, loss, caught):
        """One more."""
        lost, kept = loss["sectors_lost"] + loss["names_lost"], loss["sectors_kept"] + loss["names_kept"]
        self.cuts += 1
        self.lost += lost > 0
        self.kept += kept > 0
        self.torn += lost > 0 and kept > 0
        self.names += loss["names_lost"]
        self.caught += caught > 0

    def __str__(self):
        return (
            f"{self.cuts} cuts: {self.caught} in the middle of an operation, {self.lost} lost something, "
            f"{self.kept} kept something that was not synced, {self.torn} both; {self.names} names lost"
        )


class PoweredLives(Lives):
    """Lives on a disk that loses power, in a folder that the first of them makes."""

    def __init__(self, run):
        self.run, self.disk = run, Disk(run.beside or run.binary)
        super().__init__(run.binary, run.durability, folder=f"{self.disk.folder}/made/data")

    def __exit__(self, *rest):
        try:
            super().__exit__(*rest)
        finally:
            self.disk.__exit__()

    def spawn(self):
        self.disk.tell("syncs", self.run.syncs)
        self.disk.tell("sync-takes", self.run.random.choice(SYNC_TAKES))
        return super().spawn()

    def start(self):
        """What a loss of power leaves is something to start from."""
        try:
            return super().start()
        except Failure:
            if self.broker and not self.broker.is_alive():
                _, log, _ = self.broker.ended(RECOVERY)
                raise Broken(f"the broker does not start on what is left: {log[-4:]}") from None
            raise

    def end(self, broker):
        """The power goes in the middle of whatever the disk is doing, and the broker with it. What it had sent until
        then has left."""
        before = self.disk.tell("counts")["caught"]
        loss = self.disk.tell("cut", self.run.random.randrange(1 << 63))
        broker.process.kill()
        caught = self.disk.tell("counts")["caught"] - before
        self.disk.tell("restore")
        self.run.cuts.count(loss, caught)


@dataclasses.dataclass
class PowerRun(Run):
    """A run on a disk that loses power."""

    # What a sync does: `honest`, or `ignored`.
    syncs: str = "honest"
    # The broker of the release build, if `binary` is another one.
    beside: str = ""
    cuts: Cuts = dataclasses.field(default_factory=Cuts)

    def lives(self):
        return PoweredLives(self)
