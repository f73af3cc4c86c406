"""Scenarios about the files of the store: who owns them, and what becomes of a broker whose files were damaged.

Of their format this knows the names `segment-*`, that they are written from the front, and that what was never written
is zero.
"""

import hashlib
import os
import pathlib
import re

from wire.connection import expect

from .clients import PATTERN, Publisher, drive
from .lives import RECOVERY
from .messages import TOPIC, Stream
from .verdict import demand, judge


# Part of every payload of some length.
PIECE = PATTERN[8:20]
# How the log says that the end of the store was cut off.
CUT = re.compile(r"\b(\d+) bytes? .*\b(?:cut|left) (?:off|out)\b")


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
    """How many bytes the log says were cut off: in one line, or in none."""
    lines = [found for line in lives.broker.log() if (found := CUT.search(line))]
    demand(len(lines) < 2, f"it is said {len(lines)} times how many bytes were cut off: {lives.broker.log()}")
    return int(lines[0][1]) if lines else 0


def torn_tail(run):
    """The last bytes of the log are overwritten: only what was acknowledged last may be gone, and the log says so."""
    said = 0
    for number in run.each_round():
        with run.lives() as lives:
            stream = filled(run, lives)
            newest = segments(lives.folder)[-1]
            end, size = used(newest), run.random.randrange(1, 9)
            # Zeros are what the disk has where nothing was written.
            torn = bytes(size) if run.chance() else spoiled(newest.read_bytes()[end - size : end])
            overwrite(newest, end - size, torn)
            lives.start()
            bytes_cut = cut(lives)
            said += bytes_cut > 0
            # The frame that was damaged was the last one; with one message in flight it can hold no more than that.
            last = stream.publisher.sent
            stream.publisher.acknowledged.discard(last)
            goes_on(stream, f"round {number}, {size} bytes overwritten")
            is_gone = last not in {arrival.number for arrival in stream.subscriber.arrivals}
            demand(bytes_cut or not is_gone, f"round {number}: message {last} is gone and nothing was said")
    # A frame without messages may be the last one of some, not of all.
    demand(said, "in no round was it said that bytes were cut off")
    run.note(f"bytes were cut off in {said} of {run.rounds} rounds")


def garbage_behind_the_tail(run):
    """Bytes without sense behind the last frame, as a recycled segment has them: nothing is lost."""
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
    stream.collect()
    judge(stream.verdict(), f"{where}, and one more kill")


def damage_in_the_middle(run):
    """A bit of what was synced long ago is flipped: the broker does not start, says where, names a way out, and
    changes nothing."""
    for number in run.each_round():
        with run.lives() as lives:
            filled(run, lives)
            # The first commit may be larger than the first segment, and is in the next one then.
            oldest = next((path for path in segments(lives.folder) if payloads_in(path.read_bytes())), None)
            expect(oldest, "no payload is found in any segment")
            places = payloads_in(oldest.read_bytes())
            at = run.random.choice(places) + run.random.randrange(len(PIECE))
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
            demand(any(0 <= found <= at for found in offsets), f"round {number}: no offset up to {at} is named: {said}")
            demand("aldis store " in said, f"round {number}: no command is named that helps: {said}")
            demand(not any("panicked" in line for line in log), f"round {number}: a panic: {said}")
            demand(fingerprint(lives.folder) == before, f"round {number}: the damaged store was changed")


def payloads_in(data):
    """Where payloads begin to be stored in the first half of what is written: so a flip there is in the log."""
    half, places = len(data.rstrip(b"\0")) // 2, []
    at = data.find(PIECE)
    while 0 <= at < half:
        places.append(at)
        at = data.find(PIECE, at + 1)
    return places


def finders_find(folder):
    """That the functions above see a log as it is written: a full segment, a newer one, and one ahead of them."""
    folder = pathlib.Path(folder)
    message = b"\x01\0\0head" + PIECE
    contents = {"segment-2": message * 10, "segment-1": message * 3 + bytes(7), "segment-3": bytes(100), "other": b"x"}
    for age, (name, data) in enumerate(contents.items()):
        path = folder / name
        path.write_bytes(data)
        os.utime(path, (1000 + age, 1000 + age))
    found = segments(folder)
    expect([path.name for path in found] == ["segment-2", "segment-1"], f"{found}")
    expect(used(found[1]) == 3 * len(message), f"{used(found[1])} bytes are used")
    places = payloads_in(found[0].read_bytes())
    expect(places == [7 + len(message) * k for k in range(5)], f"payloads are found at {places}")
    before = fingerprint(folder)
    overwrite(found[0], places[2], spoiled(PIECE))
    data = found[0].read_bytes()
    wanted = message * 2 + message[:7] + spoiled(PIECE) + message * 7
    expect(data == wanted, "it was not one payload that was overwritten")
    expect(not set(spoiled(bytes(range(256)))) & {0} and fingerprint(folder) != before, "nothing has changed")
    expect(all(a != b for a, b in enumerate(spoiled(bytes(range(256))))), "a byte is as it was")


def two_brokers_on_one_directory(run):
    """The second one ends and names the first; a kill leaves no lock behind."""
    publisher = Publisher("publisher", TOPIC, 1, 10)
    with run.lives() as lives:
        for number in run.each_round():
            lives.start()
            with lives.spawn() as second:
                code, log, _ = second.ended()
            said = "\n".join(log)
            demand(code != 0, f"round {number}: the second broker ended with code 0")
            demand(re.search(rf"\b{lives.broker.pid}\b", said), f"{lives.broker.pid} is not named: {said}")
            # The first one is none the worse for it.
            publisher.connect(lives.port)
            publisher.until += 10
            drive([publisher], publisher.is_done)
            lives.kill()
            publisher.hear_the_rest()
        demand(not publisher.sessions_lost, f"the session of the publisher was lost {publisher.sessions_lost} times")
