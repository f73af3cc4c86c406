"""The lives of one broker on one data directory. Every one of them ends with SIGKILL."""

import contextlib
import functools
import re
import shutil
import subprocess
import tempfile
import time

from wire.broker import Broker
from wire.connection import PATIENCE, expect

# How long a start may take that has something to recover.
RECOVERY = 2 * PATIENCE
LISTENS = "listening on tcp://127.0.0.1:"


@functools.cache
def is_choosable(binary):
    """Whether the durability of this broker can be chosen. One of which it cannot has memory only."""
    return "--durability" in subprocess.run([binary, "--help"], capture_output=True, text=True, check=False).stdout


class Lives:
    """Use it with `with`: the broker ends and the directory goes with that, unless it is to be kept."""

    def __init__(self, binary, durability, keep=False, folder=None):
        self.binary, self.durability, self.keep = binary, durability, keep
        self.folder = folder or tempfile.mkdtemp(prefix="aldis-durability-")
        self.broker = None
        self.born = self.killed = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.broker:
            self.broker.__exit__()
        if self.keep:
            print(f"   kept: {self.folder}", flush=True)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def port(self):
        """Where it listens in this life."""
        return self.broker.port

    def spawn(self):
        """A process on the directory of which nothing is known yet."""
        options = []
        if self.durability != "memory" or is_choosable(self.binary):
            options += ["--durability", self.durability]
        return Broker(self.binary, *options, data_dir=self.folder)

    def start(self):
        """A new life; returns when it listens."""
        expect(self.broker is None, "the last life has not ended")
        self.broker = self.spawn()
        line = self.broker.wait_for(LISTENS, patience=RECOVERY)
        self.broker.port = int(re.search(re.escape(LISTENS) + r"(\d+)", line)[1])
        self.born = time.time()
        return self

    def begin(self):
        """A life of which only the beginning is of interest: it may be killed before it listens."""
        expect(self.broker is None, "the last life has not ended")
        self.broker = self.spawn()

    def kill(self):
        """Ends this life. It must not have ended by itself, and clients then read what is still in their sockets."""
        broker, self.broker = self.broker, None
        with contextlib.closing(_Ended(broker)):
            expect(broker.is_alive(), f"the broker has ended by itself: {broker.log()[-8:]}")
            self.end(broker)
            broker.wait()
            self.killed = time.time()
        panics = [line for line in broker.log() if "panicked" in line]
        expect(not panics, f"a panic: {panics[:3]}")

    def end(self, broker):
        """How a life ends."""
        broker.process.kill()

    def restart(self):
        """Kill and start."""
        self.kill()
        return self.start()


class _Ended:
    """Gives back what a broker process needed."""

    def __init__(self, broker):
        self.broker = broker

    def close(self):
        self.broker.__exit__()
