"""Scenarios about the files of the store: who owns them, and what becomes of a broker whose files were damaged.

Of their format this knows the names `segment-*`, that they are written from the front, and that what was never written
is zero.
"""

import hashlib
import pathlib
import re

from wire.connection import client, expect

from .clients import PATTERN, Publisher, drive
from .lives import RECOVERY
from .messages import TOPIC, Stream
from .verdict import demand, judge


def segments(folder):
    """The segments in which something is written, the newest last."""
    found = [path for path in pathlib.Path(folder).rglob("segment-*") if path.is_file() and used(path)]
    expect(found, f"there is no segment with anything in it: {sorted(map(str, pathlib.Path(folder).rglob('*')))}")
    return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name))


def used(path):
    """Bytes up to the last one that is not zero."""
    return len(path.read_bytes().rstrip(b"\0"))


def overwrite(path, at, data):
    """Writes into a file."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def spoiled(data):
    """Other bytes, none of them zero, none as it was."""
    return bytes(byte % 255 + 1 for byte in data)


def fingerprint(folder):
    """What is in the segments."""
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in segments(folder)}


def filled(run, lives):
    """A queue with a long beginning, and an end of which each message was acknowledged before the next was sent."""
    lives.start()
    stream = Stream(run, lives, 1)
    stream.subscriber.connect(lives.port)
    stream.subscriber.close(goodbye=True)
    publisher = stream.publisher
    for window, count in ((publisher.window, run.random.randrange(500, 2000)), (1, 20)):
        publisher.window, publisher.until = window, publisher.sent + count
        if not publisher.link:
            publisher.connect(lives.port)
        drive([publisher], publisher.is_done)
    stream.killed()
    return stream


def cut(lives):
    """The one line that says how much was cut off."""
    lines = [line for line in lives.broker.log() if re.search(r"\b\d+ bytes?\b", line) and "cut" in line]
    demand(len(lines) == 1, f"{len(lines)} lines say how many bytes were cut off: {lines or lives.broker.log()[-8:]}")
    return int(re.search(r"\b(\d+) bytes?\b", lines[0])[1])


def torn_tail(run):
    """The last bytes of the log are overwritten: only what was acknowledged last may be gone, and the log says so."""
    for number in run.each_round():
        with run.lives() as lives:
            stream = filled(run, lives)
            newest = segments(lives.folder)[-1]
            end, size = used(newest), run.random.randrange(1, 9)
            with newest.open("rb") as file:
                file.seek(end - size)
                data = file.read(size)
            # Zeros are what the disk has where nothing was written.
            torn = bytes(size) if run.chance() else spoiled(data)
            overwrite(newest, end - size, torn)
            lives.start()
            demand(cut(lives) > 0, "no byte was cut off")
            # The frame that was damaged was the last one; with one message in flight it can hold no more than that.
            stream.publisher.acknowledged.discard(stream.publisher.sent)
            goes_on(stream, f"round {number}, {size} bytes overwritten")


def garbage_behind_the_tail(run):
    """A frame that was being written: bytes without sense behind the last one. Nothing is lost."""
    for number in run.each_round():
        with run.lives() as lives:
            stream = filled(run, lives)
            newest = segments(lives.folder)[-1]
            # Frames begin at multiples of eight.
            begin, size = (used(newest) + 7) // 8 * 8, run.random.randrange(1, 400)
            overwrite(newest, begin, bytes(run.random.randrange(1, 256) for _ in range(size)))
            lives.start()
            cut(lives)
            goes_on(stream, f"round {number}, {size} bytes of garbage")


def goes_on(stream, where):
    """What was acknowledged is there, and the store takes more, over another kill."""
    stream.collect()
    judge(stream.verdict(), where)
    stream.subscriber.close(goodbye=True)
    publisher = stream.publisher
    publisher.connect(stream.lives.port)
    publisher.until = publisher.sent + 200
    drive([publisher], publisher.is_done)
    stream.killed()
    stream.lives.start()
    judge_all(stream, where)


def judge_all(stream, where):
    """After one more start."""
    stream.collect()
    judge(stream.verdict(), f"{where}, and one more kill")


def damage_in_the_middle(run):
    """A bit of what was synced long ago is flipped: the broker does not start, says where, names a way out, and
    changes nothing."""
    for number in run.each_round():
        with run.lives() as lives:
            filled(run, lives)
            oldest = segments(lives.folder)[0]
            at = somewhere_in_a_payload(run, oldest)
            byte = oldest.read_bytes()[at]
            overwrite(oldest, at, bytes([byte ^ 1 << run.random.randrange(8)]))
            before = fingerprint(lives.folder)
            broker = lives.spawn()
            with broker:
                code, log, _ = broker.ended(RECOVERY)
            said = "\n".join(log)
            demand(code != 0, f"round {number}: exit code 0 with a bit flipped at {at} of {oldest.name}")
            demand(oldest.name in said, f"round {number}: {oldest.name} is not named: {said}")
            offsets = [int(found) for found in re.findall(r"(?:offset|byte) (\d+)", said)]
            demand(any(0 < found <= at for found in offsets), f"round {number}: no offset up to {at} is named: {said}")
            demand("aldis store " in said, f"round {number}: no command is named that helps: {said}")
            demand(not any("panicked" in line for line in log), f"round {number}: a panic: {said}")
            demand(fingerprint(lives.folder) == before, f"round {number}: the damaged store was changed")


def somewhere_in_a_payload(run, path):
    """A place in the first half of what is written, where a payload is stored: so it is of the log."""
    data = path.read_bytes()
    piece = PATTERN[8:20]
    places, at = [], data.find(piece)
    while 0 <= at < len(data) // 2:
        places.append(at)
        at = data.find(piece, at + 1)
    half = len(data.rstrip(b"\0")) // 2
    places = [place for place in places if place < half]
    expect(places, f"no payload is found in {path}")
    return run.random.choice(places) + run.random.randrange(len(piece))


def two_brokers_on_one_directory(run):
    """The second one ends and names the first; a kill leaves no lock behind."""
    with run.lives() as lives:
        for number in run.each_round():
            lives.start()
            with lives.spawn() as second:
                code, log, _ = second.ended()
            said = "\n".join(log)
            demand(code != 0, f"round {number}: the second broker ended with code 0")
            demand(re.search(rf"\b{lives.broker.pid}\b", said), f"{lives.broker.pid} is not named: {said}")
            with client(lives.port) as one:
                one.ping()
            publisher = Publisher(f"publisher-{number}", TOPIC, 1, 10)
            publisher.connect(lives.port)
            publisher.until = 10
            drive([publisher], publisher.is_done)
            lives.kill()
            publisher.close()
