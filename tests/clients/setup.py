#!/usr/bin/env python3
"""Fetches the clients that are no Debian packages; says what and why; quick when all is there.

paho-mqtt goes to a virtual environment and MQTT.js to a folder, both under target/clients, so
that nothing of the machine's own Python or Node changes. What has to come from the system,
mosquitto-clients, nodejs and npm, is only looked for: `cargo xtask test` installs it.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import venv

MOSQUITTO = ("mosquitto_pub", "mosquitto_sub", "mosquitto_rr")
PAHO = "2.1.0"
MQTT_JS = "5.16.0"
TARGET = pathlib.Path(__file__).resolve().parent.parent.parent / "target" / "clients"


def say(text):
    print(f"setup: {text}", flush=True)


def run(command, **more):
    """Runs a command whose output matters only if it fails. Returns whether it went well."""
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more
    )
    if done.returncode != 0:
        say(f"{' '.join(map(str, command))} failed:\n{done.stdout.strip()}")
    return done.returncode == 0


def look_for_mosquitto_clients():
    missing = [name for name in MOSQUITTO if shutil.which(name) is None]
    if missing:
        say(f"missing: {', '.join(missing)}: apt-get install mosquitto-clients (not 'mosquitto', the server)")
    return not missing


def install_paho(directory):
    found = directory.glob(f"lib/python*/site-packages/paho_mqtt-{PAHO}.dist-info")
    python = directory / "bin" / "python"
    if python.exists() and any(found):
        return True
    say(f"making a virtual environment in {directory} with paho-mqtt {PAHO}, the Python client")
    try:
        venv.create(directory, with_pip=True, clear=True)
    except (subprocess.CalledProcessError, OSError) as error:
        say(f"cannot make a virtual environment ({error}): apt-get install python3-venv")
        return False
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    return run([*pip, f"paho-mqtt=={PAHO}"])


def install_mqtt_js(directory):
    package = directory / "node_modules" / "mqtt" / "package.json"
    if package.exists() and json.loads(package.read_text())["version"] == MQTT_JS:
        return True
    if shutil.which("npm") is None or shutil.which("node") is None:
        say("node and npm are missing: apt-get install nodejs npm (node 16 or newer)")
        return False
    say(f"installing MQTT.js (npm package mqtt {MQTT_JS}), the JavaScript client, in {directory}")
    directory.mkdir(parents=True, exist_ok=True)
    options = ["--prefix", directory, "--no-audit", "--no-fund", "--ignore-scripts"]
    return run(["npm", "install", *options, f"mqtt@{MQTT_JS}"], cwd=directory)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--venv", type=pathlib.Path, default=TARGET / "venv")
    parser.add_argument("--node", type=pathlib.Path, default=TARGET / "node")
    options = parser.parse_args()
    there = [
        look_for_mosquitto_clients(),
        install_paho(options.venv.absolute()),
        install_mqtt_js(options.node.absolute()),
    ]
    say("every client is there" if all(there) else "not every client is there, see above")
    return 0 if all(there) else 1


if __name__ == "__main__":
    sys.exit(main())
