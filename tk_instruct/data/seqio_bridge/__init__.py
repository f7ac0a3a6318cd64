"""The bridge to SeqIO: this project's tasks in its registries, its tasks here, and its caches."""

from tk_instruct.quiet_tensorflow import import_tensorflow_quietly

import_tensorflow_quietly()  # before SeqIO brings it
