"""The task file, which benchmarks of instructions share.

It is one JSON object: a definition, examples of right and wrong answers, instances with all their
reference outputs, and where they come from.
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tk_instruct.errors import UserError

_ENGLISH = ("English",)
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")
_MAX_NAME_CHARACTERS = 200  # file systems allow 255 bytes, some of which a temporary file needs


@dataclass(frozen=True)
class Demonstration:
    """A positive or negative example. `extra` are further fields of it."""

    input: str
    output: str
    explanation: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        return {
            "input": self.input,
            "output": self.output,
            "explanation": self.explanation,
            **self.extra,
        }


@dataclass(frozen=True)
class Instance:
    """An input with all its reference outputs. `place` is where it was read, for messages."""

    id: str
    input: str
    outputs: tuple[str, ...]
    place: str = field(default="", compare=False)

    def record(self) -> dict[str, Any]:
        return {"id": self.id, "input": self.input, "output": list(self.outputs)}


@dataclass(frozen=True)
class TaskFile:
    """The content of a task file. `name` is the file's name without .json.

    `extra` are fields of the file that are not listed here. Raises UserError for a name that a file
    or a list of tasks cannot have.
    """

    name: str
    definition: str
    instances: tuple[Instance, ...]
    positive_examples: tuple[Demonstration, ...] = ()
    negative_examples: tuple[Demonstration, ...] = ()
    categories: tuple[str, ...] = ("Miscellaneous",)
    reasoning: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    url: tuple[str, ...] = ()
    contributors: tuple[str, ...] = ()
    input_languages: tuple[str, ...] = _ENGLISH
    output_languages: tuple[str, ...] = _ENGLISH
    instruction_languages: tuple[str, ...] = _ENGLISH
    domains: tuple[str, ...] = ()
    instance_license: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or len(self.name) > _MAX_NAME_CHARACTERS:
            raise UserError(
                f"the task's name {self.name!r} must be lowercase letters, digits, _, - and ., at "
                f"most {_MAX_NAME_CHARACTERS}; take {safe_name(self.name)}"
            )

    @property
    def is_english(self) -> bool:
        return {*self.input_languages, *self.output_languages} == {*_ENGLISH}

    def content(self) -> bytes:
        """The file. The same task gives the same bytes."""
        record = {
            "Contributors": self.contributors,
            "Source": self.source,
            "URL": self.url,
            "Categories": self.categories,
            "Reasoning": self.reasoning,
            "Definition": [self.definition],
            "Input_language": self.input_languages,
            "Output_language": self.output_languages,
            "Instruction_language": self.instruction_languages,
            "Domains": self.domains,
            "Positive Examples": [example.record() for example in self.positive_examples],
            "Negative Examples": [example.record() for example in self.negative_examples],
            "Instances": [instance.record() for instance in self.instances],
            "Instance License": self.instance_license,
            **self.extra,
        }
        # "replace": a flag's text may hold bytes that are not UTF-8
        return json.dumps(record, ensure_ascii=False, indent=4).encode("utf-8", "replace")


def safe_name(text: str) -> str:
    """A name for a task: the text's letters without accents and its digits, joined by _.

    A text without any, such as one in Chinese, is named by its hash.
    """
    return plain(text, _MAX_NAME_CHARACTERS) or f"task_{digest(text)}"


def plain(text: str, max_characters: int) -> str:
    """The text as a part of a name; empty if nothing of it can be in a name."""
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return "_".join(re.findall(r"[a-z0-9]+", letters))[:max_characters].strip("_")


def digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]
