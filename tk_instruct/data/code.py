"""The version of the code that makes examples and tokens from data."""

import hashlib
from functools import cache
from pathlib import Path
from types import ModuleType


@cache
def code_hash(*more: ModuleType) -> str:
    """Of the modules that make tokens from data, declarations included, and of more packages."""
    import tk_instruct.data
    import tk_instruct.tasks
    from tk_instruct import randomness

    packages = (tk_instruct.data, tk_instruct.tasks, *more)
    folders = [Path(next(iter(package.__path__))) for package in packages]
    modules = [Path(randomness.__file__), *(m for folder in folders for m in folder.rglob("*.py"))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(modules))).hexdigest()
