#!/usr/bin/env python3
"""paho-mqtt's part in with_together: `retained_tree.py COUNT VERSION`.

Subscribes to `#` and fails unless the tree of COUNT retained messages is there, whole, and nothing
else of this run.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import expect
import peer
import tree


def read(version, count):
    reader = peer.Peer(version, "paho-reader").subscribe("#", 1)
    tree.read_exactly(
        reader.arrivals, "paho", count, lambda topic: reader.send(topic, b"last", 1)
    )


if __name__ == "__main__":
    level = sys.argv[2]
    expect.run_to_end(lambda: read(level, int(sys.argv[1])))
