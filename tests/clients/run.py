#!/usr/bin/env python3
"""Runs real MQTT clients against a broker and says which scenarios hold.

The broker must be running already; it may be any. Each scenario is a process of its own, written
in its client's language (see with_mosquitto/, with_paho/, with_mqttjs/, with_rumqttc/), compares
the complete list of what it received with what it must have received, and uses topics and client
ids that no other run uses. A client that is missing makes its scenarios fail by name; `setup.py`
installs it, but for rumqttc, whose scenarios cargo builds.

    tests/clients/run.py --port 1883            everything
    tests/clients/run.py --port 1883 --only paho-5-will
    tests/clients/run.py --port 1883 --self-test    does each scenario fail when it must?
    tests/clients/run.py --port 1883 --mutations    does each notice each fault of a broker?

The broker has to take packets of 2 MiB: payloads of 1 MiB are among what is sent.

The last line is `N passed, N failed`; the exit code is 1 if anything failed.
"""

import argparse
import concurrent.futures
import dataclasses
import os
import pathlib
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

from mutations import run_mutations

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = ROOT / "target" / "clients"
RUMQTTC = ROOT / "target" / "release" / "aldis-rumqttc-scenarios"

ALL, NEW, FIVE = ("31", "311", "5"), ("311", "5"), ("5",)
# Client → scenario → the MQTT versions it runs with. `--self-test` checks that it is complete.
CATALOGUE = {
    "mosquitto": {
        "qos": ALL,
        "large": ALL,
        "overlap": ALL,
        "shared": ALL,
        "request-response": ALL,
        "many": ALL,
        "topic-alias": FIVE,
        "retained": ALL,
        "will": ALL,
        "will-delay": FIVE,
        "session": ALL,
        "unsubscribe": ALL,
        "take-over": ALL,
        "properties": FIVE,
        "subscribe-options": FIVE,
    },
    "paho": {
        "qos": ALL,
        "large": NEW,
        "overlap": NEW,
        "shared": NEW,
        "request-response": NEW,
        "many": NEW,
        "topic-alias": FIVE,
        "retained": NEW,
        "will": NEW,
        "will-delay": FIVE,
        "session": NEW,
        "redelivery": NEW,
        "exactly-once": NEW,
        "unsubscribe": NEW,
        "take-over": NEW,
        "properties": FIVE,
        "expiry": FIVE,
        "subscribe-options": FIVE,
        "subscription-identifiers": FIVE,
    },
    "mqttjs": {
        "qos": ALL,
        "large": NEW,
        "overlap": NEW,
        "shared": NEW,
        "request-response": NEW,
        "many": NEW,
        "topic-alias": FIVE,
        "retained": NEW,
        "will": NEW,
        "will-delay": FIVE,
        "session": NEW,
        "redelivery": NEW,
        "exactly-once": NEW,
        "unsubscribe": NEW,
        "take-over": NEW,
        "properties": FIVE,
        "expiry": FIVE,
        "subscribe-options": FIVE,
        "subscription-identifiers": FIVE,
    },
    "rumqttc": {
        "qos": NEW,
        "large": NEW,
        "overlap": NEW,
        "shared": NEW,
        "request-response": NEW,
        "many": NEW,
        "topic-alias": FIVE,
        "retained": NEW,
        "will": NEW,
        "will-delay": FIVE,
        "session": NEW,
        "redelivery": NEW,
        "exactly-once": NEW,
        "unsubscribe": NEW,
        "take-over": NEW,
        "properties": FIVE,
        "expiry": FIVE,
        "subscribe-options": FIVE,
        "subscription-identifiers": FIVE,
    },
    # 100,000 retained messages: set by MQTT.js, read by all four clients, deleted.
    "together": {"retained-100k": NEW},
}
# Run alone, after the others: it subscribes to `#` and so would receive all they publish.
ALONE = {"retained-100k"}
AT_ONCE = 4
SCENARIO_LIMIT = 240.0  # seconds until a scenario that hangs is ended
SELF_TEST_AT_ONCE = 8
SELF_TEST_DEADLINE = 1.5  # seconds a scenario that is made deaf waits for messages


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One line of the report: a client, an MQTT version, and what is tried."""

    client: str
    version: str
    title: str

    @property
    def name(self):
        return f"{self.client}-{self.version}-{self.title}"


@dataclasses.dataclass
class Outcome:
    """How a scenario ended. `reason` is empty if it holds; `crashed` if it did not even judge."""

    seconds: float
    reason: str = ""
    crashed: bool = False


def scenarios():
    return [
        Scenario(client, version, title)
        for client, titles in CATALOGUE.items()
        for title, versions in titles.items()
        for version in versions
    ]


def missing_tool(client, options):
    """The sentence that says what to install for `client`, or None if all is there."""
    with_setup = f"run {HERE / 'setup.py'} to install it"
    if client in ("mosquitto", "together"):
        for program in ("mosquitto_pub", "mosquitto_sub", "mosquitto_rr", "stdbuf"):
            if shutil.which(program) is None:
                package = "coreutils" if program == "stdbuf" else "mosquitto-clients"
                return f"{program} is missing: apt-get install {package}, or {with_setup}"
    if client in ("paho", "together"):
        if not list(options.venv.glob("lib/python*/site-packages/paho/mqtt/client.py")):
            return f"paho-mqtt is missing in {options.venv}: {with_setup}"
    if client in ("mqttjs", "together"):
        if shutil.which("node") is None:
            return "node is missing: apt-get install nodejs npm"
        if not (options.node / "node_modules" / "mqtt" / "package.json").exists():
            return f"the npm package mqtt is missing in {options.node}: {with_setup}"
    if client in ("rumqttc", "together") and not os.access(options.rumqttc, os.X_OK):
        build = "cargo build --release -p aldis-rumqttc-scenarios"
        return f"{options.rumqttc} is missing: run `{build}` to build it"
    return None


def command_of(client, options):
    if client == "mqttjs":
        return ["node", str(HERE / "with_mqttjs" / "main.js")]
    if client == "paho":
        return [str(options.venv / "bin" / "python"), str(HERE / "with_paho" / "main.py")]
    if client == "rumqttc":
        return [str(options.rumqttc)]
    return [sys.executable, str(HERE / f"with_{client}" / "main.py")]


def environment(options, changes):
    """What a scenario is told; `changes` replaces some of it, for the self-tests."""
    told = {
        "HOST": options.host,
        "PORT": options.port,
        "PREFIX": f"t{secrets.token_hex(4)}",
        "DEADLINE": options.deadline,
        "DEAF": 0,
        "SMALL": 0,
        "BROKER": options.broker_name,
        "VENV": options.venv,
        "NODE": options.node,
        "RUMQTTC": options.rumqttc,
    }
    named = {f"ALDIS_TEST_{name}": str(value) for name, value in (told | changes).items()}
    return os.environ | named | {
        "NODE_PATH": str(options.node / "node_modules"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def run_scenario(scenario, options, changes=None):
    """Runs one scenario in a process group of its own and judges how it ended."""
    reason = missing_tool(scenario.client, options)
    if reason:
        return Outcome(0.0, reason, crashed=True)
    started = time.monotonic()
    process = subprocess.Popen(
        [*command_of(scenario.client, options), scenario.title, scenario.version],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(options, changes or {}),
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=SCENARIO_LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return Outcome(SCENARIO_LIMIT, f"still running after {SCENARIO_LIMIT:g} s", crashed=True)
    seconds = time.monotonic() - started
    if process.returncode == 0:
        return Outcome(seconds)
    lines = output.decode(errors="replace").strip().splitlines() or ["it said nothing"]
    if process.returncode == 1:
        return Outcome(seconds, lines[-1])
    told = " / ".join(line.strip() for line in lines[-4:])
    return Outcome(seconds, f"the scenario itself broke: {told}", crashed=True)


def run_all(chosen, options):
    """The normal run. Returns the exit code."""
    printing = threading.Lock()
    failed = 0

    def report(scenario):
        nonlocal failed
        outcome = run_scenario(scenario, options)
        with printing:
            if outcome.reason:
                failed += 1
                print(f"FAILED {scenario.name}: {outcome.reason}", flush=True)
            else:
                print(f"ok {scenario.name} {outcome.seconds:.1f}s", flush=True)

    beside = [scenario for scenario in chosen if scenario.title not in ALONE]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(report, beside))
    for scenario in chosen:
        if scenario.title in ALONE:
            report(scenario)
    print(f"{len(chosen) - failed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


def closed_port(host):
    """A port on which nothing listens: one the system has just given and taken back."""
    with socket.socket() as held:
        held.bind((host, 0))
        return held.getsockname()[1]


def catalogue_gaps(options):
    """Scenarios that a client has and the catalogue has not, or the other way round."""
    for client, titles in CATALOGUE.items():
        reason = missing_tool(client, options)
        if reason:
            yield reason
            continue
        done = subprocess.run(
            [*command_of(client, options), "--list"],
            capture_output=True,
            text=True,
            env=environment(options, {}),
        )
        for title in sorted(set(done.stdout.split()) ^ set(titles)):
            yield f"{client} {title} is only in one of CATALOGUE and with_{client}"


def self_test(chosen, options):
    """Every scenario must fail against a closed port, when its subscribers are deaf, and when the broker does
    something wrong: one thing for each scenario, with ALDIS_LONG=1 everything."""
    nobody = closed_port(options.host)

    def try_both(scenario):
        closed = run_scenario(scenario, options, {"PORT": nobody})
        if not closed.reason:
            return "it passes against a closed port"
        if closed.crashed or "connect" not in closed.reason:
            return f"against a closed port it does not say so: {closed.reason}"
        deaf = run_scenario(
            scenario, options, {"DEADLINE": SELF_TEST_DEADLINE, "DEAF": 1, "SMALL": 1}
        )
        if not deaf.reason:
            return "it passes although its subscribers hear nothing"
        if deaf.crashed or "received" not in deaf.reason:
            return f"when it hears nothing it does not say so: {deaf.reason}"
        return None

    failed = 0
    with concurrent.futures.ThreadPoolExecutor(SELF_TEST_AT_ONCE) as pool:
        for scenario, complaint in zip(chosen, pool.map(try_both, chosen)):
            if complaint:
                failed += 1
                print(f"FAILED self-test of {scenario.name}: {complaint}", flush=True)
            else:
                print(f"ok self-test of {scenario.name}", flush=True)
    gaps = list(catalogue_gaps(options))
    for gap in gaps:
        print(f"FAILED self-test of the catalogue: {gap}", flush=True)
    all_of_them = os.environ.get("ALDIS_LONG") == "1"
    noticed, unnoticed = run_mutations(chosen, options, run_scenario, all_of_them)
    passed, failed = len(chosen) - failed + noticed, failed + len(gaps) + unnoticed
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


def mutation_test(chosen, options):
    """Every scenario must fail with each fault of a broker that can show in it."""
    passed, failed = run_mutations(chosen, options, run_scenario, all_of_them=True)
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


def read_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, help="where the broker listens")
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="a name of --list or a part of one; repeatable"
    )
    parser.add_argument("--list", action="store_true", help="print the scenarios' names and end")
    parser.add_argument("--venv", type=pathlib.Path, default=TARGET / "venv")
    parser.add_argument("--node", type=pathlib.Path, default=TARGET / "node")
    parser.add_argument("--rumqttc", type=pathlib.Path, default=RUMQTTC, help="what cargo built")
    parser.add_argument("--broker-name", choices=["aldis", "mosquitto"], default="aldis")
    parser.add_argument("--deadline", type=float, default=30.0, help="seconds to wait for messages")
    parser.add_argument("--self-test", action="store_true", help="does each fail when it must?")
    parser.add_argument("--mutations", action="store_true", help="does each notice each fault?")
    options = parser.parse_args()
    options.venv, options.node = options.venv.absolute(), options.node.absolute()
    options.rumqttc = options.rumqttc.absolute()
    return parser, options


def main():
    parser, options = read_options()
    chosen = scenarios()
    if options.only:
        exact = [scenario for scenario in chosen if scenario.name in options.only]
        chosen = exact or [s for s in chosen if any(part in s.name for part in options.only)]
        if not chosen:
            parser.error(f"no scenario's name has {' or '.join(options.only)} in it: see --list")
    if options.list:
        print("\n".join(scenario.name for scenario in chosen))
        return 0
    if options.port is None:
        parser.error("--port is needed: where does the broker listen?")
    if options.mutations:
        return mutation_test(chosen, options)
    return self_test(chosen, options) if options.self_test else run_all(chosen, options)


if __name__ == "__main__":
    sys.exit(main())
