#!/usr/bin/env python3
"""Who may connect: password files, refusals and their codes, many logins at once, the limit of connections.

The password files are made here, with Python's own hashes; mosquitto_passwd is not needed.
"""

import pathlib
import selectors
import signal
import tempfile
import time

from wire import packets as p
from wire.connection import PATIENCE, Connection, client, expect, until
from wire.passwords import pbkdf2, sha512
from wire.script import Script

script = Script("Passwords, refusals, and the limit of connections.")

# What each version is told: (3.x return code, MQTT 5 reason code).
WRONG, NOBODY = (4, 0x86), (5, 0x87)
# The longest that a message may take while 500 passwords are hashed, in seconds. It takes less than one
# millisecond where hashing does not hold up the data path, and many seconds where it does.
BOUND = 2.0


class Users:
    """A password file that goes with its folder. Use it with `with`."""

    def __init__(self, *lines):
        self.folder = tempfile.TemporaryDirectory(prefix="aldis-")
        self.file = pathlib.Path(self.folder.name) / "users"
        self.write(*lines)

    def write(self, *lines):
        """Replaces the contents."""
        self.file.write_text("# made by a test\n\n" + "".join(lines))

    def settings(self, **more):
        """Settings of a broker that lets only these users in."""
        return {"auth.password_file": self.file, "auth.allow_anonymous": "false", **more}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.folder.cleanup()


def answer(port, version, client_id="", **more):
    """The code that a CONNECT gets; the connection is closed after a refusal, and good otherwise."""
    with Connection(port, version) as connection:
        code = connection.try_login(client_id or f"login-{version}", **more)
        if code:
            expect(not connection.remains(), "something follows the refusal")
        else:
            connection.ping()
        return code


@script.case
def right_and_wrong_passwords():
    users = [pbkdf2("ann", "right"), sha512("old", "RIGHT"), pbkdf2("zoë", "pässwörd", 1000), sha512("mute", "")]
    cases = [
        ("$7$, right", {"user_name": "ann", "password": b"right"}, None),
        ("$6$, right", {"user_name": "old", "password": b"RIGHT"}, None),
        ("not ASCII, right", {"user_name": "zoë", "password": "pässwörd".encode()}, None),
        ("an empty password that is right", {"user_name": "mute", "password": b""}, None),
        ("$7$, wrong", {"user_name": "ann", "password": b"Right"}, WRONG),
        ("$7$, longer", {"user_name": "ann", "password": b"right "}, WRONG),
        ("$6$, wrong", {"user_name": "old", "password": b"right"}, WRONG),
        ("the password of another", {"user_name": "ann", "password": b"RIGHT"}, WRONG),
        ("an empty password", {"user_name": "ann", "password": b""}, WRONG),
        ("no password", {"user_name": "ann"}, WRONG),
        ("an unknown user", {"user_name": "bob", "password": b"right"}, WRONG),
        ("an empty user name", {"user_name": "", "password": b"right"}, WRONG),
        ("another case", {"user_name": "Ann", "password": b"right"}, WRONG),
        ("a wildcard", {"user_name": "+", "password": b"right"}, WRONG),
        ("a comment", {"user_name": "# made by a test", "password": b""}, WRONG),
        ("a password of 65,535 bytes", {"user_name": "ann", "password": bytes(65535)}, WRONG),
        ("nobody", {}, NOBODY),
    ]
    with Users(*users) as file, script.broker(settings=file.settings()) as broker:
        broker.wait_for("4 users from")
        for words, login, refused in cases:
            for version in p.VERSIONS:
                wanted = refused[version == p.V5] if refused else 0
                code = answer(broker.port, version, **login)
                expect(code == wanted, f"{words}, MQTT {p.NAMES[version]}: 0x{code:02X}, not 0x{wanted:02X}")
        with Connection(broker.port) as connection:
            code = connection.try_login("x", password=b"right")
            expect(code == NOBODY[1], f"a password alone: 0x{code:02X}")
        secrets = [line for line in broker.log() if "right" in line.lower() and "copyright" not in line.lower()]
        expect(not secrets, f"a password in the log: {secrets[:2]}")
        broker.stop()


@script.case
def anonymous_clients_beside_users():
    with Users(pbkdf2("ann", "right")) as file:
        with script.broker(settings={"auth.password_file": file.file}) as broker:
            for version in p.VERSIONS:
                expect(answer(broker.port, version) == 0, "nobody is refused, on a loopback listener")
                code = answer(broker.port, version, user_name="ann", password=b"wrong")
                expect(code == WRONG[version == p.V5], f"a wrong password: 0x{code:02X}")
            broker.stop()


@script.case
def a_refused_login_changes_nothing():
    """No take-over, no session lost, no will: whoever does not know the password is nobody."""
    block = p.properties((0x11, b"\0\0\x0e\x10"))
    with Users(pbkdf2("ann", "right")) as file, script.broker(settings=file.settings()) as broker:
        good = {"user_name": "ann", "password": b"right"}
        bad = {"user_name": "ann", "password": b"wrong", "clean": True, "will": p.Will("stolen", retain=True)}
        watcher = client(broker.port, client_id="watcher", **good).subscribe("#")
        for state in ("offline", "online"):
            victim = client(broker.port, client_id=f"victim-{state}", block=block, **good).subscribe("kept", options=1)
            if state == "offline":
                victim.close()
                watcher.publish("kept", b"for later", qos=1, packet_id=1)
                expect({watcher.receive().kind for _ in range(2)} == {p.PUBLISH, p.PUBACK}, "not published")
            for version in p.VERSIONS:
                for login in (bad, {**bad, "user_name": "bob"}, {"will": bad["will"]}):
                    expect(answer(broker.port, version, f"victim-{state}", **login) != 0, "let in")
            if state == "online":
                victim.ping()
                victim.close()
        back = client(broker.port, client_id="victim-offline", clean=False, block=block, **good)
        expect(back.connack.body[0] == 1, "the session is gone")
        expect(back.message()[2] == b"for later", "the message is gone")
        watcher.publish("end")
        expect(watcher.message()[0] == "end", "a will of a refused connection was published")
        back.close()
        watcher.close()
        broker.stop()


@script.case
def sighup_changes_the_users_and_drops_nobody():
    with Users(pbkdf2("ann", "one"), pbkdf2("bob", "two")) as file:
        with script.broker(settings=file.settings()) as broker:
            bob = client(broker.port, client_id="bob", user_name="bob", password=b"two")
            file.write(pbkdf2("ann", "changed"))
            broker.signal(signal.SIGHUP)
            broker.wait_for("configuration read again")
            bob.ping()
            for user, password, wanted in (("ann", b"one", 0x86), ("ann", b"changed", 0), ("bob", b"two", 0x86)):
                code = answer(broker.port, p.V5, user_name=user, password=password)
                expect(code == wanted, f"{user} {password}: 0x{code:02X}")
            seen = len(broker.log())
            file.write("ann:in plain text\n")
            broker.signal(signal.SIGHUP)
            line = broker.wait_for("configuration not changed", after=seen)
            expect("in plain text" not in line.replace("password in plain text", ""), f"a password in the log: {line}")
            expect(answer(broker.port, p.V5, user_name="ann", password=b"changed") == 0, "a bad file changed the users")
            bob.ping()
            bob.close()
            broker.stop()


@script.case
def many_logins_at_once_delay_nobody():
    count, iterations = 500, 10_000
    with Users(pbkdf2("ann", "right", iterations)) as file, script.broker(settings=file.settings()) as broker:
        login = {"user_name": "ann", "password": b"right"}
        sender = client(broker.port, client_id="sender", **login)
        receiver = client(broker.port, client_id="receiver", **login).subscribe("beat")
        start = time.monotonic()
        with selectors.DefaultSelector() as waiting:
            for number in range(count):
                one = Connection(broker.port)
                # One in five is wrong: a refusal is as dear as a welcome.
                password = b"wrong" if number % 5 == 0 else b"right"
                one.send(p.connect(p.V5, f"many-{number}", user_name="ann", password=password))
                waiting.register(one.socket, selectors.EVENT_READ, (one, password))
            worst, beats, codes = 0.0, 0, []
            while waiting.get_map():
                expect(time.monotonic() < start + 2 * PATIENCE, f"{len(waiting.get_map())} logins have no answer")
                sent = time.monotonic()
                sender.publish("beat", str(beats).encode())
                expect(receiver.message()[2] == str(beats).encode(), "another message")
                worst, beats = max(worst, time.monotonic() - sent), beats + 1
                for key, _ in waiting.select(0.02):
                    one, password = key.data
                    codes.append((password, one.expect(p.CONNACK).body[1]))
                    waiting.unregister(key.fileobj)
                    one.close()
        took = time.monotonic() - start
        wrong = [code for password, code in codes if code != (0 if password == b"right" else 0x86)]
        expect(not wrong, f"{len(wrong)} logins had another answer: {sorted(set(wrong))}")
        script.note(f"{count} logins in {took:.1f} s; meanwhile {beats} messages, the slowest in {worst * 1000:.1f} ms")
        expect(worst < BOUND, f"a message took {worst:.2f} s while passwords were hashed")
        sender.close()
        receiver.close()
        broker.stop()


def is_turned_away(port):
    """Whether a new connection is told that there is no place."""
    with Connection(port) as connection:
        code = connection.try_login("one-more")
        expect(code in (0, 0x97), f"CONNACK 0x{code:02X}")
        return code == 0x97


@script.case
def the_limit_of_connections():
    with script.broker(settings={"limits.connections": 10}, metrics=True) as broker:
        port = broker.port
        clients = [client(port, client_id=f"c{number}").subscribe(f"t{number}") for number in range(9)]
        silent = Connection(port)
        until(lambda: broker.metrics()["aldis_connections"] == 10, "ten connections are open")
        for _ in range(5):
            expect(is_turned_away(port), "the eleventh connection is served")
        for number, one in enumerate(clients):
            one.publish(f"t{number}", b"served")
            expect(one.message()[2] == b"served", "another message")
        expect(broker.metrics()["aldis_connections_turned_away_total"] == 5, "not counted")
        lines = [line for line in broker.log() if "all 10 places of limits.connections are taken" in line]
        expect(len(lines) == 1 and "127.0.0.1:" in lines[0], f"not one line about five refusals: {lines}")
        # A place is free after a close, whoever closed.
        silent.close()
        until(lambda: not is_turned_away(port), "the place of a stranger is free")
        clients.pop().close()
        until(lambda: not is_turned_away(port), "the place of a client that closed is free")
        first = clients.pop()
        first.send(p.GOODBYE)
        expect(first.receive() is None, "not closed")
        first.close()
        until(lambda: not is_turned_away(port), "the place of a client that disconnected is free")
        clients[0].send(b"\0\0")
        expect(clients[0].expect(p.DISCONNECT), "")
        clients[0].close()
        until(lambda: not is_turned_away(port), "the place of a client that was thrown out is free")
        for one in clients[1:]:
            one.ping()
            one.close()
        broker.stop()


@script.case
def a_lower_limit_of_connections_holds_after_sighup():
    with tempfile.TemporaryDirectory(prefix="aldis-") as folder:
        file = pathlib.Path(folder) / "aldis.toml"
        file.write_text("limits.connections = 100\n")
        with script.broker("-c", str(file)) as broker:
            clients = [client(broker.port) for _ in range(5)]
            file.write_text("limits.connections = 3\n")
            broker.signal(signal.SIGHUP)
            broker.wait_for("configuration read again")
            expect(is_turned_away(broker.port), "the lower limit does not hold")
            for one in clients:
                one.ping()
                one.close()
            until(lambda: not is_turned_away(broker.port), "there is a place again")
            broker.stop()


if __name__ == "__main__":
    script.main()
