"""A broker process, seen from outside: what it logs, what it needs, what it counts, how it ends."""

import http.client
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time

from .connection import PATIENCE, Failure, expect

# A log line begins with its time and level: `2026-01-02T03:04:05.678901Z  INFO `.
STAMP = re.compile(r"^\d{4}-\d\d-\d\dT[\d:.]+Z +(TRACE|DEBUG|INFO|WARN|ERROR) +")


class Broker:
    """The release binary on a port of the system's choice. Use it with `with`: it never outlives that.

    It has a data directory of its own, which ends with it. One that is given as `data_dir` stays: so a broker can be
    started again on what another has left.
    """

    def __init__(
        self,
        binary,
        *options,
        settings=None,
        environment=None,
        listen="tcp://127.0.0.1:0",
        metrics=False,
        data_dir=None,
    ):
        self._own_data_dir = None if data_dir else tempfile.mkdtemp(prefix="aldis-data-")
        self.data_dir = str(data_dir or self._own_data_dir)
        command = [binary, "--data-dir", self.data_dir]
        if listen:
            command += ["--listen", listen]
        if metrics:
            command += ["--metrics", "127.0.0.1:0"]
        for key, value in (settings or {}).items():
            command += ["--set", f"{key}={value}"]
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("ALDIS_", "NOTIFY_"))}
        self.process = subprocess.Popen(
            [*command, *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**kept, **(environment or {})},
        )  # fmt: skip
        self.pid = self.process.pid
        self._lines = []
        self._log_ended = False
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        self.port = self.metrics_port = None

    def started(self, patience=PATIENCE):
        """Waits until it listens, and learns where."""
        line = self.wait_for("listening on tcp://127.0.0.1:", patience=patience)
        self.port = int(line.rsplit(":", 1)[1])
        # The last line of the start.
        self.wait_for("state is ", patience=patience)
        for line in self.log():
            if found := re.search(r"metrics on http://127\.0\.0\.1:(\d+)/metrics", line):
                self.metrics_port = int(found[1])
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stdout.close()
        self.process.stderr.close()
        if self._own_data_dir:
            shutil.rmtree(self._own_data_dir)

    # ---- its log ----

    def _read_log(self):
        for line in self.process.stderr:
            with self._changed:
                self._lines.append(line.decode("utf-8", "backslashreplace").rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._log_ended = True
            self._changed.notify_all()

    def log(self):
        """The lines so far."""
        with self._changed:
            return list(self._lines)

    def wait_for(self, words, after=0, patience=PATIENCE):
        """The first log line from number `after` on that holds `words`, which may still be to come."""
        deadline = time.monotonic() + patience
        with self._changed:
            at = after
            while True:
                while at < len(self._lines):
                    if words in self._lines[at]:
                        return self._lines[at]
                    at += 1
                left = deadline - time.monotonic()
                if left <= 0 or self._log_ended:
                    raise Failure(f"{words!r} is not in the log: {self._lines[after:][-8:]}")
                self._changed.wait(left)

    # ---- what the system says about it ----

    def status(self, key):
        """A field of /proc/PID/status, as a whole number (memory in KiB)."""
        with open(f"/proc/{self.pid}/status") as file:
            for line in file:
                if line.startswith(key + ":"):
                    return int(line.split()[1])
        raise Failure(f"/proc/{self.pid}/status has no {key}")

    def memory(self):
        """Resident memory in bytes."""
        return self.status("VmRSS") * 1024

    def open_files(self):
        """How many descriptors it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def open_sockets(self):
        """How many of them are sockets; the files of its store come and go."""
        return sum(self.is_socket(name) for name in os.listdir(f"/proc/{self.pid}/fd"))

    def is_socket(self, name):
        """Whether a descriptor is a socket; one that is closed by now is none."""
        try:
            return os.readlink(f"/proc/{self.pid}/fd/{name}").startswith("socket:")
        except FileNotFoundError:
            return False

    def cpu_seconds(self):
        """Processor time of all its threads."""
        with open(f"/proc/{self.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def is_alive(self):
        """Whether the process runs."""
        return self.process.poll() is None

    # ---- what it counts ----

    def get(self, path):
        """Status and text of a page that its metrics listener serves."""
        connection = http.client.HTTPConnection("127.0.0.1", self.metrics_port, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def metrics(self):
        """Every sample of /metrics: its name with labels, as written, and its value."""
        status, page = self.get("/metrics")
        expect(status == 200, f"/metrics answers {status}")
        samples = {}
        for line in page.splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                samples[name] = float(value)
        return samples

    # ---- its end ----

    def signal(self, number):
        """Sends a signal to this very process."""
        self.process.send_signal(number)

    def wait(self, patience=PATIENCE):
        """Its exit code, once it has ended."""
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            raise Failure(f"the broker has not ended within {patience} s") from None

    def ended(self, patience=PATIENCE):
        """Exit code, whole log, standard output; it has to end by itself."""
        code = self.wait(patience)
        self._reader.join()
        return code, self.log(), self.process.stdout.read().decode()

    def stop(self, patience=PATIENCE):
        """Ends it with SIGTERM. It has to go well, and the log must not tell of a panic."""
        expect(self.is_alive(), f"the broker has ended by itself: {self.log()[-8:]}")
        self.signal(signal.SIGTERM)
        code, log, _ = self.ended(patience)
        panics = [line for line in log if "panicked" in line]
        expect(not panics, f"a panic: {panics[:3]}")
        expect(code == 0, f"exit code {code}; {log[-5:]}")
