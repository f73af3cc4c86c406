"""Runs the cases of a script: `ok NAME` or `FAILED NAME: reason` for each, `N passed, N failed` last."""

import argparse
import pathlib
import resource
import sys
import time
import traceback

from .broker import Broker
from .connection import Failure

BINARY = pathlib.Path(__file__).resolve().parents[3] / "target" / "release" / "aldis"


class Script:
    """The cases of one file, in the order in which they are written."""

    def __init__(self, words):
        # A script may add options of its own; `given` has what the command line says of them.
        self.parser = argparse.ArgumentParser(description=words)
        self.given = None
        self.cases = {}
        # The names of those that run when the command line names none; all of them, unless a script says otherwise.
        self.by_default = None
        self.binary = None
        self.verbose = False

    def case(self, function):
        """Decorator: a function without arguments that fails by raising."""
        self.cases[function.__name__] = function
        return function

    def broker(self, *options, **more):
        """A broker that listens already."""
        broker = self.spawn(*options, **more)
        try:
            return broker.started()
        except BaseException:
            broker.__exit__()
            raise

    def spawn(self, *options, **more):
        """A broker process of which nothing is known yet."""
        return Broker(self.binary, *options, **more)

    @staticmethod
    def note(words):
        """A figure for whoever reads the output; nothing depends on it."""
        print(f"   {words}", flush=True)

    def main(self):
        """Runs what the command line asks for; does not return."""
        parser = self.parser
        parser.add_argument("--aldis", default=str(BINARY), help="the broker to start (default: %(default)s)")
        parser.add_argument("--only", action="append", metavar="NAME", help="this case only (repeatable)")
        parser.add_argument("--list", action="store_true", help="name the cases and do nothing")
        given = self.given = parser.parse_args()
        if given.list:
            print("\n".join(self.cases))
            sys.exit(0)
        if unknown := set(given.only or ()) - set(self.cases):
            parser.error(f"no case called {', '.join(sorted(unknown))}; there are {', '.join(self.cases)}")
        if not pathlib.Path(given.aldis).is_file():
            parser.error(f"{given.aldis} is missing; build it with: cargo build --release")
        self.binary = str(pathlib.Path(given.aldis).resolve())
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        names = given.only or self.by_default or self.cases
        failed = sum(not self.passes(name) for name in names)
        print(f"{len(names) - failed} passed, {failed} failed", flush=True)
        sys.exit(1 if failed else 0)

    def passes(self, name):
        """Runs one case."""
        start = time.monotonic()
        try:
            self.cases[name]()
        except Failure as failure:
            print(f"FAILED {name}: {failure}", flush=True)
            return False
        except Exception as error:
            traceback.print_exc()
            print(f"FAILED {name}: {type(error).__name__}: {error}", flush=True)
            return False
        print(f"ok {name} ({time.monotonic() - start:.1f} s)", flush=True)
        return True
