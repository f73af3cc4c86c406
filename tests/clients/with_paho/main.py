#!/usr/bin/env python3
"""Runs one scenario with paho-mqtt: `main.py NAME VERSION` (31, 311 or 5)."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import delivery
import expect
import features
import peer
import state

expect.main(delivery.SCENARIOS | state.SCENARIOS | features.SCENARIOS, peer.clean_up)
