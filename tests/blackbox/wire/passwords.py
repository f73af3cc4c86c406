"""Lines of a Mosquitto password file, worked out here and not by anything of the broker."""

import base64
import hashlib
import os


def pbkdf2(user, password, iterations=101):
    """A `$7$` line: PBKDF2-HMAC-SHA512, as mosquitto_passwd writes it."""
    salt = os.urandom(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, iterations, 64)
    return f"{user}:$7${iterations}${_text(salt)}${_text(digest)}\n"


def sha512(user, password):
    """A `$6$` line: SHA-512 of password and salt, as Mosquitto 1.6 wrote it."""
    salt = os.urandom(12)
    return f"{user}:$6${_text(salt)}${_text(hashlib.sha512(password.encode() + salt).digest())}\n"


def _text(data):
    return base64.b64encode(data).decode()
