"""mosquitto_pub, mosquitto_sub and mosquitto_rr as a person at a shell would use them.

`Subscriber` is one running mosquitto_sub whose output is read as it comes; `publish` is one
mosquitto_pub that ends. A message is the tuple (topic, payload, qos, retain, dup, properties), the
same shape as with paho-mqtt; properties is a dictionary under mosquitto_pub's names.
"""

import os
import re
import signal
import subprocess
import threading

import expect

FIELDS = ["t", "q", "r", "m", "P", "C", "F", "E", "R", "D", "S", "x"]
# A NUL between fields; payloads in hexadecimal, so that a line is a message.
FORMAT = "@@" + "".join(f"\\0%{field}" for field in FIELDS)
PROPERTY_NAMES = {
    "P": "user-property",
    "C": "content-type",
    "F": "payload-format-indicator",
    "E": "message-expiry-interval",
    "R": "response-topic",
    "D": "correlation-data",
    "S": "subscription-identifier",
}

# What mosquitto_sub says with -d of each PUBLISH, before it shows the message: only here is DUP.
RECEIVED = re.compile(rb"received PUBLISH \(d(\d), q\d, r\d, m(\d+),")

_processes = []
_retained = set()


def _arguments(version):
    return ["-h", expect.HOST, "-p", str(expect.PORT), "-V", version]


def message(topic, payload, qos, retain=0, properties=None, dup=0):
    """What a subscriber is expected to receive, in the shape `Subscriber` records."""
    return topic, payload, qos, retain, dup, properties or {}


def _read_message(line, dups):
    """One message from its line; `dups` holds the DUP of each packet identifier (0 at QoS 0)."""
    values = dict(zip(FIELDS, line.decode().split("\0")[1:]))
    properties = {
        name: values[field].strip() for field, name in PROPERTY_NAMES.items() if values[field]
    }
    payload = bytes.fromhex(values["x"])
    qos, retain, dup = int(values["q"]), int(values["r"]), dups.pop(int(values["m"]))
    return values["t"], payload, qos, retain, dup, properties


class Subscriber(expect.Receiver):
    """A running mosquitto_sub. Ready (SUBACK received) once the constructor returns."""

    def __init__(self, version, name, filters, qos=0, arguments=()):
        super().__init__(f"mosquitto_sub {name}")
        self.name = name
        self.log = []  # what mosquitto_sub says with -d, a line each
        self._ready = threading.Event()
        self._is_stopping = False
        command = ["stdbuf", "-oL", "mosquitto_sub", *_arguments(version), "-d"]
        command += ["-i", expect.client_id(name), "-q", str(qos), "-F", FORMAT]
        if version == "5" and expect.AGAINST_MOSQUITTO:
            # Mosquitto 2.0.11 exceeds the 20 that mosquitto_sub allows when QoS 2 flows.
            command += ["-D", "connect", "receive-maximum", "65535"]
        for topic_filter in filters:
            command += ["-t", expect.heard_filter(topic_filter)]
        self._process = subprocess.Popen(
            command + list(arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        _processes.append(self._process)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._ready.wait(expect.CONTROL_DEADLINE) or not self.count_log("Subscribed"):
            said = " / ".join(self.log[-3:])
            raise expect.Failure(f"mosquitto_sub {name} could not connect and subscribe: {said}")

    def _read(self):
        dups = {}
        for line in self._process.stdout:
            if line.startswith(b"@\0"):
                if self._is_stopping:
                    continue
                self.arrivals.add(_read_message(line.rstrip(b"\n"), dups))
                continue
            received = RECEIVED.search(line)
            if received:
                dups[int(received[2])] = int(received[1])
                continue
            self.log.append(line.decode(errors="replace").strip())
            if line.startswith(b"Subscribed"):
                self._ready.set()
        self.arrivals.end(f"mosquitto_sub ended: {' / '.join(self.log[-2:])}")
        self._ready.set()

    def count_log(self, text):
        return sum(text in line for line in self.log)

    def granted(self):
        """The reason codes of the SUBACK, one a filter."""
        line = next(line for line in self.log if line.startswith("Subscribed"))
        return [int(code) for code in re.findall(r"\d+", line.split("):")[1])]

    def stop(self):
        """Ends it with DISCONNECT: on SIGTERM with reason code 0 in MQTT 3, in MQTT 5 with 0x04."""
        # Its signal handler prints: what it was just printing may come out twice.
        self._is_stopping = True
        self._process.terminate()
        self.wait_end()

    def wait_end(self):
        """Waits until it has ended itself, as it does in good order after `-C` messages."""
        self._join()
        if not self.count_log("sending DISCONNECT"):
            raise expect.Failure(f"mosquitto_sub {self.name} ended without DISCONNECT")

    def kill(self):
        """Ends it abruptly: the kernel closes the connection, no DISCONNECT is sent."""
        self._process.send_signal(signal.SIGKILL)
        self._join()

    def _join(self):
        try:
            self._process.wait(expect.CONTROL_DEADLINE)
        except subprocess.TimeoutExpired:
            raise expect.Failure(f"mosquitto_sub {self.name} did not end") from None
        self._reader.join(expect.CONTROL_DEADLINE)


def run(command, payload=None, what="mosquitto_pub"):
    """Runs a client to its end and gives its output; fails with what it said if it fails."""
    try:
        done = subprocess.run(
            command, input=payload, capture_output=True, timeout=expect.CONTROL_DEADLINE
        )
    except subprocess.TimeoutExpired:
        raise expect.Failure(f"{what} did not end within {expect.CONTROL_DEADLINE:g} s") from None
    if done.returncode != 0:
        said = (done.stderr + done.stdout).decode(errors="replace").strip()
        raise expect.Failure(f"{what} could not connect or publish: {said}")
    return done.stdout


def publish(version, topic, payload=b"", qos=0, retain=False, lines=False, arguments=()):
    """One mosquitto_pub. With `lines`, each line of `payload` is a message of its own."""
    command = ["mosquitto_pub", *_arguments(version), "-t", topic, "-q", str(qos)]
    if "-i" not in arguments:
        command += ["-i", expect.client_id(f"publisher-{os.urandom(4).hex()}")]
    if retain:
        _retained.add(topic)
        command.append("-r")
    if not payload:
        command.append("-n")
    else:
        command.append("-l" if lines else "-s")
    return run(command + list(arguments), payload or None)


def publish_lines(version, topic, messages, qos=0, arguments=()):
    """One mosquitto_pub that publishes each of `messages` (text without line ends)."""
    payload = "".join(f"{message}\n" for message in messages).encode()
    publish(version, topic, payload, qos, lines=True, arguments=arguments)


def request(version, topic, response_topic, payload, qos=0, arguments=()):
    """One mosquitto_rr: publishes a request and gives the response's bytes."""
    command = ["mosquitto_rr", *_arguments(version), "-t", topic, "-q", str(qos)]
    command += ["-e", expect.heard_filter(response_topic), "-m", payload, "-N"]
    command += ["-i", expect.client_id("requester"), "-W", str(max(1, round(expect.DEADLINE)))]
    return run(command + list(arguments), what="mosquitto_rr received nothing or")


def retain_until_clean_up(topic):
    """Has `clean_up` delete what another client retains."""
    _retained.add(topic)


def clean_up(version):
    """Ends what still runs and deletes what was retained."""
    for process in _processes:
        if process.poll() is None:
            process.kill()
            process.wait()
    for topic in _retained:
        subprocess.run(
            ["mosquitto_pub", *_arguments(version), "-t", topic, "-r", "-n", "-q", "1"],
            capture_output=True,
            timeout=expect.CONTROL_DEADLINE,
        )
