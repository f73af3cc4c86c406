#!/usr/bin/env python3
"""A store that is damaged: the broker says so and does not start, or loses nothing; `aldis store` tells what is wrong,
and saves the rest, which a client then gets.

The store has had some lives: each has put messages into the queue of a session that is away. All but the last two are
in a checkpoint.
"""

import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time

from crash.clients import PATTERN, Publisher, Subscriber, drive, mark, payload_of
from crash.files import overwrite
from crash.lives import RECOVERY
from wire.broker import Broker
from wire.connection import PATIENCE, expect, until
from wire.script import Script

TOPIC = "damage/numbers"
PIECE = PATTERN[8:20]
LATER = 150

script = Script("Damages the store in every way and looks what becomes of it.")


def facts_of(folder):
    """What `inspect --json` says."""
    words = [script.binary, "store", "inspect", "--json", "--data-dir", str(folder)]
    return json.loads(subprocess.run(words, capture_output=True, text=True, check=True, timeout=RECOVERY).stdout)


def segment_of(folder, numbers):
    """The name of the one segment behind the checkpoint that holds all of these messages, if there is one."""
    for one in facts_of(folder)["segments"]:
        data = (pathlib.Path(folder) / one["file"]).read_bytes()[: one["end"]]
        if not one["before_checkpoint"] and all(payload_of(number)[:20] in data for number in numbers):
            return one["file"]
    return None


class Original:
    """The store that is copied and damaged. `lives` has the numbers that each life acknowledged; the last two have a
    segment each behind the checkpoint."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="aldis-damage-")
        self.lives, self.of_lives = [], []
        publisher = Publisher("publisher", TOPIC, 1, 20)
        folder = pathlib.Path(self.folder)
        while len(self.lives) < 3 or not self.is_laid_out():
            expect(len(self.lives) < 12, "each life makes a checkpoint")
            with Broker(script.binary, data_dir=self.folder) as broker:
                broker.started()
                if not self.lives:
                    subscriber = Subscriber("subscriber", TOPIC, 1)
                    subscriber.connect(broker.port)
                    subscriber.close(goodbye=True)
                publisher.connect(broker.port)
                self.publish(publisher, LATER)
                while not self.lives and not list(folder.glob("checkpoint-*")):
                    self.publish(publisher, 2_000)
                if self.lives:
                    # A clean end could make a checkpoint. The log says that all of it is synced once it rests.
                    before = self.written()
                    until(lambda before=before: self.written() != before, "the mark of a log that rests")
                else:
                    publisher.close(goodbye=True)
                    broker.stop()
            # Behind the kill: its end would be recorded.
            publisher.close()
            before = set().union(*self.lives)
            self.lives.append(publisher.acknowledged - before)
        self.all = set(publisher.acknowledged)

    def written(self):
        """What is in the newest segment."""
        return max(pathlib.Path(self.folder).glob("segment-*"), key=lambda path: path.name).read_bytes()

    def is_laid_out(self):
        """Whether the last two lives have a segment each, behind the checkpoint."""
        self.of_lives = [segment_of(self.folder, numbers) for numbers in self.lives[-2:]]
        return all(self.of_lives) and len(set(self.of_lives)) == 2

    @staticmethod
    def publish(publisher, count):
        """So many more, each acknowledged."""
        publisher.until = publisher.sent + count
        drive([publisher], publisher.is_done)


class Copy:
    """A copy of the store. Use it with `with`."""

    original = None

    def __init__(self):
        if not Copy.original:
            Copy.original = Original()
        self.all, self.lives = Copy.original.all, Copy.original.lives
        self.parent = pathlib.Path(tempfile.mkdtemp(prefix="aldis-damaged-"))
        self.folder, self.new = self.parent / "store", self.parent / "new"
        shutil.copytree(Copy.original.folder, self.folder)
        self.facts = facts_of(self.folder)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.parent)

    def segments(self, before):
        """The segments before the checkpoint, or those behind it."""
        found = [one for one in self.facts["segments"] if one["before_checkpoint"] == before]
        return [self.folder / one["file"] for one in found if one["frames"]]

    def life(self, number):
        """The segment of the last life (-1) or the one before (-2)."""
        return self.folder / Copy.original.of_lives[number]

    def end(self, path):
        """Where what counts in a segment ends."""
        return next(one["end"] for one in self.facts["segments"] if one["file"] == path.name)

    def store(self, command, *options, folder=None, user=None):
        """A command about the store: exit code, standard output, standard error."""
        words = [script.binary, "store", command, "--data-dir", str(folder or self.folder), *options]
        ran = subprocess.run(words, capture_output=True, text=True, check=False, timeout=RECOVERY, user=user)
        expect("panicked" not in ran.stderr, f"a panic: {ran.stderr}")
        return ran.returncode, ran.stdout, ran.stderr

    def fingerprint(self):
        """What is in the folder, but for whose it is."""
        files = [path for path in self.folder.iterdir() if path.is_file() and path.name != "lock"]
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    def is_refused(self, *words):
        """The broker does not start, names all of the words and the way out, and changes nothing."""
        before = self.fingerprint()
        with Broker(script.binary, data_dir=self.folder) as broker:
            code, log, _ = broker.ended(RECOVERY)
        expect(code == 1, f"exit code {code}: {log}")
        said = log[-1]
        for word in words:
            expect(word in said, f"{word!r} is not named: {said}")
        after = self.fingerprint()
        changed = [name for name in {**before, **after} if after.get(name) != before.get(name) and not name.startswith("spare")]
        expect(not changed, f"{changed} have changed")
        return said

    def is_damaged(self, file, *words):
        """It is refused with the name of the file, a byte, and the commands; verify agrees."""
        said = self.is_refused(file, "aldis store salvage", "aldis store verify", *words)
        expect(re.search(r"\bbyte \d+", said), f"no byte is named: {said}")
        before = self.fingerprint()
        code, out, _ = self.store("verify")
        expect(code == 1 and re.search(rf"{file}.*\bbyte \d+", out), f"verify: {code}, {out}")
        code, out, _ = self.store("inspect")
        expect(code == 0, f"inspect: {code}, {out}")
        expect(self.fingerprint() == before, "a look has changed it")

    def salvage(self, code):
        """Saves what is left; what was said."""
        before = self.fingerprint()
        found, out, err = self.store("salvage", "--into", str(self.new))
        expect(found == code, f"salvage: {found}, {out}{err}")
        expect(self.fingerprint() == before, "the damaged store was changed")
        expect(("nothing is lost" in out) == (code == 0) and ("lost:" in out) == (code == 3), out)
        good, told, _ = self.store("verify", folder=self.new)
        expect(good == 0, f"the new store: {told}")
        return out

    def arrivals(self, folder=None):
        """What the session that was away gets, in order; and what the broker says at its start."""
        with Broker(script.binary, data_dir=folder or self.folder) as broker:
            broker.started(RECOVERY)
            subscriber = Subscriber("subscriber", TOPIC, 1)
            subscriber.is_known = True
            expect(subscriber.connect(broker.port), "the session is not there")
            last = mark(broker.port, TOPIC, 1)
            drive([subscriber], lambda: last in subscriber.marks)
            numbers = [arrival.number for arrival in subscriber.arrivals]
            expect(numbers == sorted(set(numbers)), "twice, or out of order")
            subscriber.close(goodbye=True)
            log = broker.log()
            broker.stop()
        return set(numbers), log

    def is_whole(self):
        """The broker starts and has all."""
        numbers, log = self.arrivals()
        expect(numbers == self.all, f"{len(self.all - numbers)} are lost")
        return log

    def saves(self, wanted):
        """The new store has exactly these."""
        numbers, _ = self.arrivals(self.new)
        expect(numbers == wanted, f"{len(wanted - numbers)} are lost, {len(numbers - wanted)} are too many")


def flip(path, at):
    """A bit is another."""
    overwrite(path, at, bytes([path.read_bytes()[at] ^ 4]))


@script.case
def a_good_store_is_good():
    with Copy() as copy:
        before = copy.fingerprint()
        code, out, err = copy.store("verify")
        expect((code, err) == (0, "") and f"{len(copy.all)} messages are good" in out, f"{code}, {out}{err}")
        code, out, err = copy.store("inspect")
        expect(f'"subscriber": {len(copy.all)} messages' in out, out)
        expect(copy.facts["damage"] == [] and copy.facts["checkpoint"] and copy.facts["format"] == 1, f"{copy.facts}")
        [session] = [one for one in copy.facts["sessions"] if one["client_id"] == "subscriber"]
        expect(session["messages"] == len(copy.all) and session["subscriptions"] == 1, f"{session}")
        expect(len(copy.segments(True)) > 1 and len(copy.segments(False)) > 1, f"{copy.facts['segments']}")
        copy.salvage(0)
        copy.saves(copy.all)
        expect(copy.fingerprint() == before, "it was changed")
        copy.is_whole()


@script.case
def a_torn_tail_is_cut_and_said():
    with Copy() as copy:
        last = copy.life(-1)
        # The synced index of the last frame, which has no records.
        flip(last, copy.end(last) - 1)
        code, out, _ = copy.store("verify")
        expect(code == 0 and "are cut off" in out, f"{code}, {out}")
        lines = [line for line in copy.is_whole() if "are cut off" in line]
        expect(len(lines) == 1 and re.search(rf"\b\d+ bytes of {last.name} from byte \d+ on", lines[0]), f"{lines}")


@script.case
def a_flipped_bit_in_the_log():
    with Copy() as copy:
        damaged = copy.life(-2)
        data = damaged.read_bytes()[: copy.end(damaged)]
        flip(damaged, data.index(PIECE, data.rindex(PIECE) // 2))
        copy.is_damaged(damaged.name)
        out = copy.salvage(3)
        # Those of one commit, with their numbers and nobody else's.
        found = re.search(r'up to (\d+) messages for "subscriber"', out)
        numbers, _ = copy.arrivals(copy.new)
        lost = copy.all - numbers
        expect(found and 0 < len(lost) == int(found[1]), f"{len(lost)} are lost: {out}")
        expect(lost < copy.lives[-2] and numbers < copy.all, "more is lost than a part of the second life")


@script.case
def a_flipped_bit_in_a_body_before_the_checkpoint():
    with Copy() as copy:
        damaged = copy.segments(True)[0]
        flip(damaged, damaged.read_bytes().index(PIECE) + 3)
        copy.is_damaged(damaged.name, "the body of a message")
        out = copy.salvage(3)
        expect("1 messages whose bodies are damaged" in out and "'" not in out and '"subscriber"' in out, out)
        numbers, _ = copy.arrivals(copy.new)
        expect(len(copy.all - numbers) == 1 and numbers < copy.all, f"{len(copy.all - numbers)} are lost")


@script.case
def a_segment_that_is_gone():
    with Copy() as copy:
        gone = copy.life(-2)
        gone.unlink()
        copy.is_damaged(gone.name, "missing")
        out = copy.salvage(3)
        expect(f"{gone.name} is missing" in out and f"up to {LATER} messages" in out, out)
        copy.saves(copy.all - copy.lives[-2])


@script.case
def the_last_segment_is_gone():
    with Copy() as copy:
        gone = copy.life(-1)
        gone.unlink()
        copy.is_damaged(gone.name, "missing")
        copy.salvage(3)
        copy.saves(copy.all - copy.lives[-1])


@script.case
def all_segments_behind_the_checkpoint_are_gone():
    with Copy() as copy:
        behind = sorted(one["file"] for one in copy.facts["segments"] if not one["before_checkpoint"])
        for name in behind:
            (copy.folder / name).unlink()
        copy.is_damaged(behind[0], "missing")
        out = copy.salvage(3)
        expect(all(f"{name} is missing" in out for name in behind), out)
        # What the checkpoint has is there as far as its bodies are before it.
        numbers, _ = copy.arrivals(copy.new)
        expect(numbers and numbers <= copy.all - copy.lives[-1] - copy.lives[-2], f"{len(numbers)} are there")


@script.case
def a_segment_of_bodies_is_gone():
    with Copy() as copy:
        gone = copy.segments(True)[0]
        gone.unlink()
        copy.is_damaged(gone.name, "missing")
        copy.salvage(3)
        numbers, _ = copy.arrivals(copy.new)
        lost = copy.all - numbers
        expect(lost and lost == set(range(1, max(lost) + 1)), "it was not the beginning that is lost")


@script.case
def a_hole_of_zeros():
    with Copy() as copy:
        damaged = copy.life(-2)
        overwrite(damaged, 512, bytes(copy.end(damaged) - 1024))
        copy.is_damaged(damaged.name)
        copy.salvage(3)
        numbers, _ = copy.arrivals(copy.new)
        expect(copy.all - copy.lives[-2] <= numbers < copy.all, f"{len(copy.all - numbers)} are lost")


@script.case
def a_segment_that_is_cut():
    for at in (0, 4097):
        with Copy() as copy:
            damaged = copy.life(-2)
            os.truncate(damaged, at)
            copy.is_damaged(damaged.name, f"byte {at}:")
            copy.salvage(3)
            numbers, _ = copy.arrivals(copy.new)
            expect(copy.all - copy.lives[-2] <= numbers < copy.all, f"{len(copy.all - numbers)} are lost")


@script.case
def a_damaged_checkpoint():
    with Copy() as copy:
        damaged = copy.folder / copy.facts["checkpoint"]["file"]
        flip(damaged, damaged.stat().st_size // 2)
        copy.is_damaged(damaged.name)
        # Nothing was consumed, so that no segment was used again: the whole log is still there.
        copy.salvage(0)
        copy.saves(copy.all)


@script.case
def a_damaged_head():
    for spoil in (lambda head: flip(head, 13), pathlib.Path.unlink):
        with Copy() as copy:
            spoil(copy.folder / "aldis.store")
            copy.is_damaged("aldis.store")
            copy.salvage(0)
            copy.saves(copy.all)


@script.case
def a_newer_format():
    with Copy() as copy:
        overwrite(copy.folder / "aldis.store", 8, b"\x02\0\0\0")
        copy.is_refused("format 2", "newer Aldis", "use the newer Aldis")
        for command in (["inspect"], ["verify"], ["compact"], ["salvage", "--into", str(copy.new)]):
            code, _, err = copy.store(*command)
            expect(code == 1 and "format 2" in err and err.count("\n") == 1, f"{command}: {code}, {err}")
        expect(not list(copy.parent.glob("new*")), "something was made")


@script.case
def an_empty_folder():
    with Copy() as copy:
        empty = copy.parent / "empty"
        empty.mkdir()
        for folder, words in ((empty, "there is no store in"), (copy.parent / "none", "there is no folder")):
            for command in (["inspect"], ["verify"], ["compact"], ["salvage", "--into", str(copy.new)]):
                code, _, err = copy.store(*command, folder=folder)
                expect(code == 1 and words in err and "--data-dir" in err, f"{command}: {code}, {err}")
        expect(not list(empty.iterdir()) and not (copy.parent / "none").exists(), "something was made")
        with Broker(script.binary, data_dir=empty) as broker:
            broker.started()
            broker.wait_for("0 sessions, 0 messages")
            broker.stop()
        code, out, _ = copy.store("inspect", folder=empty)
        expect(code == 0 and "sessions: 0" in out, f"{code}, {out}")


@script.case
def files_of_others():
    with Copy() as copy:
        (copy.folder / "notes.tmp").write_text("precious")
        (copy.folder / "spare-wheel").write_text("precious")
        (copy.folder / "segment-of-an-orange").mkdir()
        expect(copy.store("verify")[0] == 0, "verify")
        copy.is_whole()
        expect(copy.store("compact")[0] == 0, "compact")
        for name in ("notes.tmp", "spare-wheel"):
            expect((copy.folder / name).read_text() == "precious", f"{name} has changed")
        expect((copy.folder / "segment-of-an-orange").is_dir(), "the folder is gone")


@script.case
def a_folder_that_cannot_be_written():
    with Copy() as copy:
        # Rights do not hold for root.
        user = 65_534 if os.geteuid() == 0 else None
        for path in copy.folder.iterdir():
            path.chmod(0o444)
        copy.folder.chmod(0o555)
        copy.parent.chmod(0o755)
        binary = copy.parent / "aldis"
        shutil.copy(script.binary, binary)
        try:
            words = [str(binary), "--data-dir", str(copy.folder), "--listen", "tcp://127.0.0.1:0"]
            ran = subprocess.run(words, capture_output=True, text=True, check=False, timeout=RECOVERY, user=user)
            expect(ran.returncode == 1 and "cannot write in the folder" in ran.stderr, f"{ran.returncode}, {ran.stderr}")
            code, out, err = copy.store("verify", user=user)
            expect(code == 0, f"verify: {code}, {out}{err}")
            code, out, err = copy.store("compact", user=user)
            expect(code == 1 and "ermission denied" in err, f"compact: {code}, {out}{err}")
        finally:
            copy.folder.chmod(0o755)


@script.case
def a_broker_has_the_folder():
    with Copy() as copy, Broker(script.binary, data_dir=copy.folder) as broker:
        broker.started(RECOVERY)
        with Broker(script.binary, data_dir=copy.folder) as second:
            code, log, _ = second.ended(RECOVERY)
        expect(code == 1 and f"(process {broker.pid})" in log[-1], f"{code}, {log}")
        for command in (["inspect"], ["verify"], ["compact"], ["salvage", "--into", str(copy.new)]):
            code, _, err = copy.store(*command)
            expect(code == 1 and f"(process {broker.pid})" in err, f"{command}: {code}, {err}")
        broker.stop()


@script.case
def a_salvage_takes_nobodys_place():
    with Copy() as copy:
        copy.new.mkdir()
        (copy.new / "precious").write_text("")
        code, _, err = copy.store("salvage", "--into", str(copy.new))
        expect(code == 1 and "is not empty" in err, f"{code}, {err}")
        code, _, err = copy.store("salvage", "--into", str(copy.folder / "new"))
        expect(code == 1 and "is in the damaged store" in err, f"{code}, {err}")
        (copy.new / "precious").unlink()
        copy.salvage(0)
        copy.saves(copy.all)


@script.case
def a_compacted_store_is_small_and_whole():
    with Copy() as copy:
        code, out, err = copy.store("compact")
        sizes = re.search(r"(\d+) bytes before, (\d+) bytes after", out)
        expect(code == 0 and sizes, f"{code}, {out}{err}")
        before, after = map(int, sizes.groups())
        own = sum(path.stat().st_size for path in copy.folder.iterdir() if path.name != "lock")
        expect(after == own < before, f"{own} bytes are there: {out}")
        live = facts_of(copy.folder)["live_bytes"]
        expect(after < live * 1.2 + (1 << 20), f"{live} bytes are live: {out}")
        script.note(f"{before} bytes became {after}, {live} of them live")
        copy.is_whole()


@script.case
def a_compaction_may_be_killed():
    chance, killed = random.Random(7), 0
    with Copy() as copy:
        start = time.monotonic()
        expect(copy.store("compact")[0] == 0, "compact")
        whole = time.monotonic() - start
        for _ in range(8):
            words = [script.binary, "store", "compact", "--data-dir", str(copy.folder)]
            with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
                time.sleep(chance.random() * whole)
                process.send_signal(signal.SIGKILL)
                killed += process.wait(PATIENCE) == -signal.SIGKILL
            code, out, err = copy.store("verify")
            expect(code == 0 and f"{len(copy.all)} messages are good" in out, f"{code}, {out}{err}")
        expect(killed, "none was killed before it ended")
        copy.is_whole()


if __name__ == "__main__":
    try:
        script.main()
    finally:
        if Copy.original:
            shutil.rmtree(Copy.original.folder)
