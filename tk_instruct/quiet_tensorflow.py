"""TensorFlow as a reader of data: off accelerators, without its start-up messages."""

import contextlib
import os
from collections.abc import Iterator
from functools import cache


@cache
def import_tensorflow_quietly() -> None:
    """To be called before SeqIO, TFDS or whatever else brings TensorFlow is imported.

    It is kept off accelerators, whose memory JAX needs, and its start-up messages, which no log
    level stops, off the terminal.
    """
    with _standard_error_closed():
        import tensorflow as tf

        tf.config.set_visible_devices([], "GPU")
        tf.zeros(())


@contextlib.contextmanager
def _standard_error_closed() -> Iterator[None]:
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
