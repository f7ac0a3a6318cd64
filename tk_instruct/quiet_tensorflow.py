"""Imports TensorFlow as a reader of data: without accelerators, without start-up messages."""

import contextlib
import os
from collections.abc import Iterator
from functools import cache


@cache
def import_tensorflow_quietly() -> None:
    """Imports TensorFlow. Call it before SeqIO, TFDS or another package imports TensorFlow.

    TensorFlow then uses no GPU, because JAX needs its memory. Its start-up messages, which no log
    level stops, are not shown.
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
