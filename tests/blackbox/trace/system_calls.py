"""The lines that strace writes, as system calls.

A call has two places in the order of everything: where it began, which strace writes before it lets it go on, and where
it ended, which strace writes before the caller hears of it. So what a thread does because a call has ended begins behind
that in the file. Calls of several threads that overlap have their two halves on two lines.
"""

import dataclasses
import re

# What is traced: writes and syncs of files, and both ways of a socket.
CALLS = (
    "pwrite64", "pwritev", "pwritev2", "write", "writev", "fdatasync", "fsync",
    "sendto", "sendmsg", "read", "readv", "recvfrom", "recvmsg",
)  # fmt: skip
# More than any of these is cut off, and told so.
BYTES = 1 << 18

# `PID TIME name(FD<what>` or `PID TIME <... name resumed>`.
LINE = re.compile(r"^(\d+) +([\d.]+) (?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)$")
UNFINISHED = " <unfinished ...>"
# A descriptor with what it stands for: in hexadecimal if it is a path.
DESCRIPTOR = re.compile(r"^(\d+)<(.*?)>(?=[,)]|$)")
TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
RESULT = re.compile(r"\) += (-?\d+)")


class Cut(Exception):
    """Bytes of a call are missing that were needed."""


@dataclasses.dataclass(frozen=True)
class Call:
    """One system call."""

    begin: int
    # Where it ended; infinite if it never did.
    end: float
    name: str
    # A path, or `TCP:[here->there]`, or something else.
    target: str
    data: bytes
    result: int

    def done(self):
        """The bytes that were written or read."""
        size = max(self.result, 0)
        if len(self.data) < size:
            raise Cut(f"{self.name} of {size} bytes to {self.target}: only {len(self.data)} are in the trace")
        return self.data[:size]


def unescape(text):
    """Bytes from `\\x61\\x62`."""
    return bytes.fromhex(text.replace("\\x", ""))


def target_of(words):
    """What the first descriptor of the arguments stands for."""
    found = DESCRIPTOR.match(words)
    if not found:
        return ""
    what = found[2]
    return unescape(what).decode(errors="replace") if what.startswith("\\x") else what


def data_of(words):
    """All bytes of the arguments, up to the first that were cut off."""
    data = bytearray()
    for found in TEXT.finditer(words):
        data += unescape(found[1])
        if found[2]:
            break
    return bytes(data)


def calls(lines):
    """The calls in the order in which they began."""
    found, open_calls = [], {}
    for at, line in enumerate(lines):
        parts = LINE.match(line.rstrip("\n"))
        if not parts:
            continue
        thread, _, resumed, begun, rest = parts.groups()
        name = resumed or begun
        if name not in CALLS:
            continue
        if begun:
            if rest.endswith(UNFINISHED):
                open_calls[thread] = (at, rest.removesuffix(UNFINISHED))
                continue
            first, words = at, rest
        else:
            first, before = open_calls.pop(thread, (at, ""))
            words = before + rest
        result = RESULT.search(words)
        found.append(Call(first, at, name, target_of(words), data_of(words), int(result[1]) if result else -1))
    for first, words in open_calls.values():
        found.append(Call(first, float("inf"), "unfinished", target_of(words), data_of(words), -1))
    return sorted(found, key=lambda call: call.begin)
