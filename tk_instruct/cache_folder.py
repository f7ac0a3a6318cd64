"""The cache folder: parsed files, tokens, vocabularies and plans, which are made once."""

import logging
import os
import shutil
from collections.abc import Callable

from tk_instruct.errors import UserError
from tk_instruct.files import Path, PathLike

log = logging.getLogger("tk_instruct")

CACHE_DIR_VARIABLE = "TK_INSTRUCT_CACHE_DIR"


def default_cache_dir() -> Path:
    """The cache folder: $TK_INSTRUCT_CACHE_DIR, or tk_instruct in the user's cache folder."""
    if os.environ.get(CACHE_DIR_VARIABLE):
        return Path(os.environ[CACHE_DIR_VARIABLE])
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "tk_instruct"


def kept_tree(folder: PathLike, write: Callable[[PathLike], PathLike]) -> str:
    """The path of a folder that `write` makes. Makes it again if it is damaged.

    write(folder) must leave an undamaged folder as it is and raise UserError for a damaged one.
    """
    try:
        return os.fspath(write(folder))
    except UserError:
        if not os.path.isdir(folder):
            raise
    log.warning("%s is not as it was written: it is made again", folder)
    shutil.rmtree(folder, ignore_errors=True)
    return os.fspath(write(folder))
