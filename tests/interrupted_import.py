"""`python interrupted_import.py MODULE VERB …`: a command that gets Ctrl-C as it imports MODULE.

It comes in a callback of the garbage collector, where Python would drop the exception.
"""

import gc
import signal
import sys

from tk_instruct import cli


class Finder:
    """Finds nothing."""

    def find_spec(self, name: str, *_: object) -> None:
        if name == sys.argv[1]:
            gc.callbacks.append(lambda *_: signal.raise_signal(signal.SIGINT))
            gc.collect()


sys.meta_path.insert(0, Finder())  # type: ignore[arg-type]
sys.exit(cli.main(sys.argv[2:]))
