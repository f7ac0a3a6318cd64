"""What a run uses that is given neither data nor a vocabulary: both made on the spot, and kept.

For gin: DATA_DIR = @mini_benchmark() and VOCABULARY = @trained_vocabulary().
"""

import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import gin

from tk_instruct.data import mini, prompt
from tk_instruct.data.records import SuperNI, default_cache_dir
from tk_instruct.files import write_atomically


@gin.configurable(module="tk_instruct.values")
@cache
def mini_benchmark() -> str:
    """Writes the mini benchmark into the cache folder, unless it is there; its directory."""
    version = hashlib.sha256(Path(mini.__file__).read_bytes()).hexdigest()[:8]
    return str(mini.write(default_cache_dir() / f"mini-{version}"))


@gin.configurable(module="tk_instruct.values")
@cache
def trained_vocabulary(num_pieces: int = 1000) -> str:
    """Trains a SentencePiece model on the English train tasks, once for their content; its path."""
    from tk_instruct.data.vocabulary import train_sentencepiece

    data = SuperNI()
    key = hashlib.sha256(f"{data.fingerprint('default', 'train')} {num_pieces}".encode())
    path = default_cache_dir() / "vocabularies" / f"{key.hexdigest()[:32]}.model"
    if not path.exists():
        write_atomically(path, train_sentencepiece(prompts(data), num_pieces))
    return str(path)


def prompts(data: SuperNI) -> Iterator[str]:
    """Prompts and targets as training will see them, so that their fixed words become pieces."""
    (encoding,) = prompt.ENCODINGS["def_pos2_neg2"]
    for example in data.examples("default", "train"):
        yield from prompt.render(example.task, example.input, encoding).splitlines()
        yield from example.references
