"""What a run uses that is given neither data nor a vocabulary: both made on the spot, and kept.

For gin: DATA_DIR = @mini_benchmark() and VOCABULARY = @trained_vocabulary().
"""

import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import gin

from tk_instruct.data import mini, prompt
from tk_instruct.data.records import SuperNI, default_cache_dir
from tk_instruct.errors import UserError
from tk_instruct.files import PathLike

log = logging.getLogger("tk_instruct")


@gin.configurable(module="values.tk_instruct")
@cache
def mini_benchmark() -> str:
    """Writes the mini benchmark into the cache folder, unless it is there; its directory."""
    version = hashlib.sha256(Path(mini.__file__).read_bytes()).hexdigest()[:8]
    return kept_tree(default_cache_dir() / f"mini-{version}", mini.write)


def kept_tree(folder: PathLike, write: Callable[[PathLike], PathLike]) -> str:
    """A folder of the cache that `write` makes; made again where it is not as it was written.

    write(folder) leaves one that is whole alone and raises UserError for any other.
    """
    try:
        return os.fspath(write(folder))
    except UserError:
        if not os.path.isdir(folder):
            raise
    log.warning("%s is not as it was written: it is made again", folder)
    shutil.rmtree(folder, ignore_errors=True)
    return os.fspath(write(folder))


@gin.configurable(module="values.tk_instruct")
@cache
def trained_vocabulary(num_pieces: int = 1000) -> str:
    """Trains a SentencePiece model on the English train tasks, once for their content; its path."""
    from tk_instruct.data.vocabulary import kept, train_sentencepiece

    data = SuperNI()
    key = f"superni {data.fingerprint('default', 'train')} {num_pieces}"
    return kept(key, lambda: train_sentencepiece(prompts(data), num_pieces))


def prompts(data: SuperNI) -> Iterator[str]:
    """Prompts and targets as training will see them, so that their fixed words become pieces."""
    (encoding,) = prompt.ENCODINGS["def_pos2_neg2"]
    for example in data.examples("default", "train"):
        yield from prompt.render(example.task, example.input, encoding).splitlines()
        yield from example.references
