"""What gin can set of JSON lines."""

from collections.abc import Mapping
from dataclasses import dataclass

import gin

from tk_instruct.errors import MissingDataError, UserError
from tk_instruct.files import Path, is_stream

from . import SPLITS


@gin.configurable(module="tk_instruct")
@dataclass(frozen=True)
class JsonLines:
    """The files of the task jsonl: split → the path of its file, or a list of paths."""

    files: Mapping[str, str | tuple[str, ...]] | None = None

    def __post_init__(self) -> None:
        for split in self.files or ():
            if split not in SPLITS:
                raise UserError(
                    f"JsonLines.files: the split {split!r} must be one of {', '.join(SPLITS)}; "
                    "rename it"
                )

    def paths(self, split: str) -> tuple[Path, ...]:
        """The files of a split; raises MissingDataError where none is given or there."""
        given = (self.files or {}).get(split) or ()
        if not given:
            otherwise = ", or train without it (--gin.EVAL_PERIOD=0)" * (split == "validation")
            raise MissingDataError(
                f"the task jsonl has no file for {split}; give --jsonl {split}=FILE or the gin "
                f"macro JSONL = {{{split!r}: FILE}}{otherwise}"
            )
        files = [given] if isinstance(given, str) else given
        paths = tuple(Path(file).expanduser() for file in files)
        for path in paths:
            if is_stream(path):
                raise UserError(
                    f"--jsonl {split}={path} is a pipe or a device, and is read more than once; "
                    "save it as a file"
                )
            if not path.is_file():
                raise MissingDataError(f"--jsonl {split}={path} is no file; correct the path")
        return paths
