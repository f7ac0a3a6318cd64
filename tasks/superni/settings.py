"""The suite's gin configurables beside SuperNI."""

import gin

from tk_instruct.errors import UserError

from . import prompt

# Track in the names of tasks → track in the data.
TRACK_NAMES = {"en": "default", "xlingual": "xlingual"}


@gin.configurable(module="values.tk_instruct")
def superni_task(track: str, encoding: str) -> str:
    """The name of the task of a track and an encoding. Gin files call it as @superni_task().

    So a gin file can set only one of the two. Raises UserError for an unknown track or encoding.
    """
    for name, value, known in (
        ("track", track, TRACK_NAMES),
        ("encoding", encoding, prompt.ENCODINGS),
    ):
        if value not in known:
            raise UserError(f"superni_task.{name}={value!r} must be one of {', '.join(known)}")
    return f"superni_{track}_{encoding}"


@gin.configurable(module="tk_instruct")
def gpt2_bpe(directory: str | None = None) -> str | None:
    """The folder of GPT-2's encoder.json and vocab.bpe. ROUGE of the x-lingual track needs them."""
    return directory
