#!/usr/bin/env python3
"""Installs the clients that `run.py` needs; says what and why; quick when all is there.

paho-mqtt goes to a virtual environment and MQTT.js to a folder, both under target/clients, so
that nothing of the machine's own Python or Node changes. mosquitto-clients comes from apt, as
root only. The `mosquitto` server package is never installed: it would take port 1883.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import venv

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


def install_mosquitto_clients():
    programs = ("mosquitto_pub", "mosquitto_sub", "mosquitto_rr")
    if all(shutil.which(program) for program in programs):
        return True
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        say("mosquitto_pub, mosquitto_sub and mosquitto_rr are missing and only root may install "
            "them here: run 'apt-get install mosquitto-clients' (not 'mosquitto', the server)")
        return False
    say("installing mosquitto-clients with apt: mosquitto_pub, _sub and _rr, as people use them")
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "--no-install-recommends", "mosquitto-clients"]
    return run(["apt-get", "update"], env=quiet) and run(install, env=quiet)


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
        install_mosquitto_clients(),
        install_paho(options.venv.absolute()),
        install_mqtt_js(options.node.absolute()),
    ]
    say("every client is there" if all(there) else "not every client is there, see above")
    return 0 if all(there) else 1


if __name__ == "__main__":
    sys.exit(main())
