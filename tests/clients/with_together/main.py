#!/usr/bin/env python3
"""Scenarios in which several clients take part: `main.py NAME VERSION` (311 or 5)."""

import concurrent.futures
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "with_mosquitto")]

import expect
import tools
import tree

COUNT = 200 if expect.SMALL else 100_000
PAHO = [f"{os.environ.get('ALDIS_TEST_VENV', '')}/bin/python", "with_paho/retained_tree.py"]
MQTT_JS = ["node", "with_mqttjs/tree.js"]
RUMQTTC = [os.environ.get("ALDIS_TEST_RUMQTTC", ""), "retained-tree"]
_complete = []


def _part(*command):
    """Runs another client's part in a process; its failure is this scenario's failure."""
    done = subprocess.run(
        command,
        cwd=HERE.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode == 1:
        raise expect.Failure(done.stdout.strip().splitlines()[-1])
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} broke: {done.stdout.strip()}")


def _mosquitto_read(version, count):
    reader = tools.Subscriber(version, f"sub-reader-{count}", ["#"], 1)
    tree.read_exactly(
        reader.arrivals,
        "mosquitto_sub",
        count,
        lambda topic: tools.publish(version, topic, b"last", 1),
    )


def _read_by_all(version, count):
    """All clients subscribe to `#` at the same time."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        reading = [
            pool.submit(_mosquitto_read, version, count),
            pool.submit(_part, *PAHO, str(count), version),
            pool.submit(_part, *MQTT_JS, "read", str(count), version),
            pool.submit(_part, *RUMQTTC, str(count), version),
        ]
    for one in reading:
        one.result()


def retained_100k(version):
    """100,000 retained messages, read through `#` without one missing; then deleted and gone."""
    tools.retain_until_clean_up(tree.MARKER[0])
    _part(*MQTT_JS, "write", str(COUNT), version)
    _read_by_all(version, COUNT)
    watcher = tools.Subscriber(version, "watcher", [expect.topic("tree/#")], 1, arguments=["-R"])
    _part(*MQTT_JS, "erase", str(COUNT), version)
    deletions = [tools.message(tree.name(number), b"", 1) for number in range(COUNT)]
    last = tools.message(expect.topic("tree/last"), b"last", 1)
    tools.publish(version, last[0], last[1], 1)
    watcher.expect_exactly("the deletions, live", [*deletions, last])
    _read_by_all(version, 0)
    _complete.append(True)


def clean_up(version):
    """Deletes the tree of a scenario that failed half-way, as far as the broker is there."""
    if not _complete:
        subprocess.run(
            [*MQTT_JS, "erase", str(COUNT), version], cwd=HERE.parent, capture_output=True
        )
    tools.clean_up(version)


expect.main({"retained-100k": retained_100k}, clean_up)
