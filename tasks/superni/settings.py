"""What gin can set of this suite beside its data."""

import gin

from tk_instruct.errors import UserError

from . import prompt

# Tracks as names of tasks have them → as the data has them.
TRACK_NAMES = {"en": "default", "xlingual": "xlingual"}


@gin.configurable(module="values.tk_instruct")
def superni_task(track: str, encoding: str) -> str:
    """The name of a track's task, for gin files that set one of the two: @superni_task()."""
    for name, value, known in (
        ("track", track, TRACK_NAMES),
        ("encoding", encoding, prompt.ENCODINGS),
    ):
        if value not in known:
            raise UserError(f"superni_task.{name}={value!r} must be one of {', '.join(known)}")
    return f"superni_{track}_{encoding}"


@gin.configurable(module="tk_instruct")
def gpt2_bpe(directory: str | None = None) -> str | None:
    """Where GPT-2's encoder.json and vocab.bpe lie, which ROUGE of the x-lingual track needs."""
    return directory
