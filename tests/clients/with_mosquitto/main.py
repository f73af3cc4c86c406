#!/usr/bin/env python3
"""Runs one scenario with the Mosquitto clients: `main.py NAME VERSION` (31, 311 or 5)."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import delivery
import expect
import state
import tools

expect.main(delivery.SCENARIOS | state.SCENARIOS, tools.clean_up)
