"""The gin configurable of generated and user-oriented data."""

import os
from dataclasses import dataclass

import gin

from tk_instruct.errors import MissingDataError
from tk_instruct.files import Path
from tk_instruct.ranges import check_number, check_seed

VARIABLE = "TK_INSTRUCT_SELF_INSTRUCT_DATA"


@gin.configurable(module="tk_instruct")
@dataclass(frozen=True)
class SelfInstructData:
    """The files of the suite, and its validation split.

    Attributes:
        path: a run of `tk-instruct self-instruct`, or a file of training data.
        user_oriented: the file of user-oriented instructions.
        validation_share: the fraction of instructions in the validation split, rounded up.
        seed: draws the instructions of the validation split.
    """

    path: str | None = None
    user_oriented: str | None = None
    validation_share: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        check_number("validation_share", self.validation_share, "(0, 1)", try_=0.01)
        check_seed("SelfInstructData.seed", self.seed)

    @property
    def train_file(self) -> Path:
        """The file of training data. Raises MissingDataError if there is none."""
        given = self.path or os.environ.get(VARIABLE)
        if not given:
            raise MissingDataError(
                f"no generated data is given; set --self_instruct_data, the gin macro "
                f"SELF_INSTRUCT_DATA or ${VARIABLE} to a run of `tk-instruct self-instruct`, or to "
                "its prepared/train.jsonl"
            )
        path = Path(given).expanduser()
        candidates = (path, path / "train.jsonl", path / "prepared" / "train.jsonl")
        for candidate in candidates:
            if candidate.is_file():
                return candidate
        raise MissingDataError(
            f"--self_instruct_data={given} is neither a file nor a run with prepared/train.jsonl; "
            f"make that with `tk-instruct self-instruct prepare`, or correct the path"
        )
