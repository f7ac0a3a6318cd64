"""Declares this project's tasks to SeqIO, and reads SeqIO's tasks and caches."""

from tk_instruct.quiet_tensorflow import import_tensorflow_quietly

import_tensorflow_quietly()  # before SeqIO imports it
