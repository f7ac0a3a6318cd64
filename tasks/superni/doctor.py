"""Checks a whole tree of task files by natural-instructions' rules for contributed tasks.

RULES and SPLIT_RULES map each rule, in words, to the function that finds what breaks it (the rules
of upstream's src/test_all.py). Rules that need files besides tasks/ and splits/ are left out: that
a task is in upstream's index, and that its category, domain and reasoning are in its hierarchy.
"""

import argparse
import errno
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import combinations
from typing import Any, NamedTuple

from tk_instruct import schema
from tk_instruct.errors import UserError
from tk_instruct.files import Path, is_stream
from tk_instruct.progress import Progress
from tk_instruct.suite import Diagnosis

from .records import SOURCE, TRACKS, SuperNI

SPLITS = ("train", "test", "excluded")

LANGUAGE_FIELDS = ("Input_language", "Output_language", "Instruction_language")
TEXT_LIST_FIELDS = (
    "Contributors",
    "Source",
    "URL",
    "Categories",
    "Reasoning",
    "Definition",
    *LANGUAGE_FIELDS,
    "Domains",
    "Instance License",
)
OBJECT_LIST_FIELDS = ("Positive Examples", "Negative Examples", "Instances")
OPTIONAL_FIELDS = ("Instance License",)
FILLED_FIELDS = ("Definition", "Categories")

MIN_INSTANCES, MAX_INSTANCES = 26, 6500
MIN_POSITIVE_EXAMPLES, MIN_NEGATIVE_EXAMPLES = 2, 1
MIN_OUTPUTS_OF_AN_OPEN_TASK = 15
ENTROPY_TO_EXCEED = 0.8
# Tasks that upstream exempts, by their numbers.
SINGLE_OUTPUT_ALLOWED = (
    "task902_deceptive_opinion_spam_classification",
    "task903_deceptive_opinion_spam_classification",
)
SKEW_ALLOWED = ("task150_afs_argument_quality_gun_control",)
# Common names of languages that ISO 639 does not list as alternatives.
FURTHER_LANGUAGE_NAMES = ("Bihari", "Farsi")

_ABSENT = object()
_MAX_SHOWN_CHARACTERS = 60
_NUM_SHOWN_NAMES = 3


@dataclass(frozen=True)
class Finding:
    """The first place in a file that breaks a rule. `more` is the number of further places."""

    file: str
    field: str
    rule: str
    value: str
    repair: str
    more: int = 0


class Breach(NamedTuple):
    """A place where a task breaks a rule."""

    field: str
    value: object
    repair: str


@dataclass(frozen=True)
class Task:
    """A task file's name and unchecked content.

    The properties hold only values of the right type. One rule each reports the other values.
    """

    name: str
    record: Mapping[str, Any]

    def items(self, field: str) -> list[Any]:
        value = self.record.get(field)
        return value if isinstance(value, list) else []

    @cached_property
    def instances(self) -> list[tuple[int, dict[str, Any]]]:
        return [(k, item) for k, item in enumerate(self.items("Instances")) if _is_object(item)]

    @cached_property
    def inputs(self) -> list[tuple[int, str]]:
        found = ((k, instance.get("input")) for k, instance in self.instances)
        return [(k, text) for k, text in found if isinstance(text, str)]

    @cached_property
    def outputs(self) -> Counter[str]:
        """Text → how often it is an output. All references of an instance count."""
        counts: Counter[str] = Counter()
        for _, instance in self.instances:
            if _is_texts(instance.get("output")):
                counts.update(instance["output"])
        return counts


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def required_fields(task: Task) -> Iterator[Breach]:
    for field in (*TEXT_LIST_FIELDS, *OBJECT_LIST_FIELDS):
        if field not in task.record and field not in OPTIONAL_FIELDS:
            yield Breach(field, _ABSENT, f'add the field "{field}", spelt so')
        elif field in FILLED_FIELDS and task.record[field] == []:
            yield Breach(field, [], "give at least one")
    for k, name in enumerate(task.items("Categories")):
        if isinstance(name, str) and not name.strip():
            yield Breach(f"Categories[{k}]", name, "write the category's name")


def list_fields(task: Task) -> Iterator[Breach]:
    for field in (*TEXT_LIST_FIELDS, *OBJECT_LIST_FIELDS):
        value = task.record.get(field, [])
        if not isinstance(value, list):
            yield Breach(field, value, "put it in a list, […]")
        elif field in TEXT_LIST_FIELDS:
            for k, item in enumerate(value):
                if not isinstance(item, str):
                    yield Breach(f"{field}[{k}]", item, 'write it as text, "…"')


def number_of_instances(task: Task) -> Iterator[Breach]:
    instances = task.record.get("Instances")
    if isinstance(instances, list) and not MIN_INSTANCES <= len(instances) <= MAX_INSTANCES:
        add, drop = MIN_INSTANCES - len(instances), len(instances) - MAX_INSTANCES
        repair = f"add at least {add} more" if add > 0 else f"drop at least {drop} of them"
        yield Breach("Instances", len(instances), repair)


def number_of_examples(task: Task) -> Iterator[Breach]:
    for field, least in (
        ("Positive Examples", MIN_POSITIVE_EXAMPLES),
        ("Negative Examples", MIN_NEGATIVE_EXAMPLES),
    ):
        examples = task.record.get(field)
        if isinstance(examples, list) and len(examples) < least:
            yield Breach(field, len(examples), f"add at least {least - len(examples)} more")


def example_texts(task: Task) -> Iterator[Breach]:
    for field in ("Positive Examples", "Negative Examples"):
        for k, example in enumerate(task.items(field)):
            if not _is_object(example):
                yield Breach(f"{field}[{k}]", example, "write an object, {…}")
                continue
            for key in ("input", "output", "explanation"):
                value = example.get(key, _ABSENT)
                if not isinstance(value, str):
                    yield Breach(f"{field}[{k}].{key}", value, 'write it as text, "…"')


def instance_objects(task: Task) -> Iterator[Breach]:
    for k, item in enumerate(task.items("Instances")):
        if not _is_object(item):
            yield Breach(f"Instances[{k}]", item, "write an object with id, input and output")


def instance_ids(task: Task) -> Iterator[Breach]:
    for k, instance in task.instances:
        id_ = instance.get("id", _ABSENT)
        if not isinstance(id_, str) or not id_:
            yield Breach(f"Instances[{k}].id", id_, "give it an id of its own, as text")


def unique_instance_ids(task: Task) -> Iterator[Breach]:
    ids = ((k, instance.get("id")) for k, instance in task.instances)
    texts = [(k, id_) for k, id_ in ids if isinstance(id_, str) and id_]
    for k, first, id_ in _repeated(texts):
        yield Breach(f"Instances[{k}].id", id_, f"Instances[{first}] has it too, change one")


def instance_inputs(task: Task) -> Iterator[Breach]:
    for k, instance in task.instances:
        value = instance.get("input", _ABSENT)
        if not isinstance(value, str) or not value:
            yield Breach(f"Instances[{k}].input", value, "write the input or drop the instance")


def unique_instance_inputs(task: Task) -> Iterator[Breach]:
    for k, first, text in _repeated([(k, text) for k, text in task.inputs if text]):
        repair = f"Instances[{first}] has it too, merge their outputs into one instance"
        yield Breach(f"Instances[{k}].input", text, repair)


def _repeated(texts: list[tuple[int, str]]) -> Iterator[tuple[int, int, str]]:
    """(index, index of its first occurrence, text) of each repeated text."""
    seen: dict[str, int] = {}
    for k, text in texts:
        first = seen.setdefault(text, k)
        if first != k:
            yield k, first, text


def instance_outputs(task: Task) -> Iterator[Breach]:
    for k, instance in task.instances:
        value = instance.get("output", _ABSENT)
        if not value or not _is_texts(value):
            yield Breach(f"Instances[{k}].output", value, 'write a list of texts, ["…"]')


def no_example_among_instances(task: Task) -> Iterator[Breach]:
    examples = {
        example["input"]: k
        for k, example in enumerate(task.items("Positive Examples"))
        if _is_object(example) and isinstance(example.get("input"), str)
    }
    for k, text in task.inputs:
        if text and text in examples:
            repair = f"Positive Examples[{examples[text]}] has it too, drop the instance"
            yield Breach(f"Instances[{k}].input", text, repair)


def distinct_outputs(task: Task) -> Iterator[Breach]:
    if len(task.outputs) == 1 and task.name not in SINGLE_OUTPUT_ALLOWED:
        yield Breach("Instances[*].output", next(iter(task.outputs)), "add instances with another")


def balanced_outputs(task: Task) -> Iterator[Breach]:
    if not 1 < len(task.outputs) < MIN_OUTPUTS_OF_AN_OPEN_TASK or task.name in SKEW_ALLOWED:
        return
    entropy = normalised_entropy(task.outputs)
    if entropy <= ENTROPY_TO_EXCEED:
        repair = f"entropy is {entropy:.2f}, drop some of the commonest or add some of the rarest"
        yield Breach("Instances[*].output", dict(task.outputs.most_common()), repair)


def normalised_entropy(counts: Mapping[str, int]) -> float:
    """The entropy of two or more counts, divided by its maximum. It is 1 if all are equal."""
    total = sum(counts.values())
    entropy = -sum(count / total * math.log(count / total) for count in counts.values())
    return entropy / math.log(len(counts))


def language_names(task: Task) -> Iterator[Breach]:
    for field in LANGUAGE_FIELDS:
        for k, name in enumerate(task.items(field)):
            if isinstance(name, str) and name not in _iso_639_names():
                yield Breach(f"{field}[{k}]", name, _nearest_language(name))


@lru_cache(maxsize=1)
def _iso_639_names() -> frozenset[str]:
    """The ISO 639-1 and -3 names and their alternatives, with and without qualifiers.

    So Swahili is accepted for "Swahili (individual language)", Greek for "Greek, Modern (1453-)".
    Leaves out the codes that name no language: multiple, undetermined, uncoded and none.
    """
    from iso639 import ALL_LANGUAGES

    names = set(FURTHER_LANGUAGE_NAMES)
    for language in ALL_LANGUAGES:
        if language.scope == "S":
            continue
        others = language.other_names or []
        written = [
            language.name,
            *(text for name in others for text in (name.print, name.inverted)),
        ]
        for name in written:
            bare = re.sub(r" *\(.*\)$", "", name)
            names.update((name, bare, bare.split(",")[0]))
    return frozenset(names)


@lru_cache(maxsize=1024)
def _nearest_language(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name.strip().title(), sorted(_iso_639_names()), n=1)
    return f"did you mean {near[0]}?" if near else "use the language's English name in ISO 639"


def definition_languages(task: Task) -> Iterator[Breach]:
    definitions = task.record.get("Definition")
    if isinstance(definitions, str):
        places = [("Definition", definitions)]
    else:
        places = [(f"Definition[{k}]", text) for k, text in enumerate(task.items("Definition"))]
    for field, text in places:
        for language in task.items("Input_language"):
            if not isinstance(language, str) or not isinstance(text, str) or language == "English":
                continue
            if language not in text:
                yield Breach(field, text, f"say {schema.shortened(language)} in it, spelt so")


def lowercase_file_name(task: Task) -> Iterator[Breach]:
    if any(character.isupper() for character in task.name):
        yield Breach("file name", task.name, f"rename it to {task.name.lower()}, in splits/ too")


IS_JSON = "a task file is one JSON object in UTF-8"

RULES: Mapping[str, Callable[[Task], Iterator[Breach]]] = {
    "required fields are there and say something": required_fields,
    "fields with several values are lists": list_fields,
    f"{MIN_INSTANCES} to {MAX_INSTANCES:,} instances": number_of_instances,
    "at least 2 positive examples and 1 negative": number_of_examples,
    "examples have an input, an output and an explanation, each a text": example_texts,
    "instances are objects": instance_objects,
    "instances have an id": instance_ids,
    "instance ids are unique": unique_instance_ids,
    "instances have an input that is a text and not empty": instance_inputs,
    "instance inputs are unique": unique_instance_inputs,
    "instances have a list of outputs, texts and at least one": instance_outputs,
    "no instance has the input of a positive example": no_example_among_instances,
    "more than one distinct output": distinct_outputs,
    f"under {MIN_OUTPUTS_OF_AN_OPEN_TASK} distinct outputs are balanced, "
    f"normalised entropy over {ENTROPY_TO_EXCEED}": balanced_outputs,
    "languages have ISO 639 names": language_names,
    "each definition names every input language but English": definition_languages,
    "file names are lowercase": lowercase_file_name,
}


class Names(NamedTuple):
    """The task names in a file or folder that break a rule on splits."""

    file: str
    names: list[str]
    repair: str


@dataclass(frozen=True)
class Splits:
    """The names of tasks in the lists and in tasks/.

    Attributes:
        listed: (track, split) → names in the file's order.
        present: the names of the task files, sorted.
    """

    listed: Mapping[tuple[str, str], list[str]]
    present: list[str]

    def of_track(self, track: str) -> dict[str, None]:
        """All names that the track lists, as a set that keeps the order."""
        return dict.fromkeys(name for split in SPLITS for name in self.listed[track, split])

    def of_any_track(self) -> dict[str, None]:
        return {name: None for track in TRACKS for name in self.of_track(track)}


def disjoint_splits(splits: Splits) -> Iterator[Names]:
    for track in TRACKS:
        for one, other in combinations(SPLITS, 2):
            shared = set(splits.listed[track, one])
            both = [name for name in splits.listed[track, other] if name in shared]
            file = f"splits/{track}/{other}_tasks.txt"
            yield Names(file, both, f"{one}_tasks.txt has them too, take them out of one")


def same_tasks_in_both_tracks(splits: Splits) -> Iterator[Names]:
    for track, other in (TRACKS, TRACKS[::-1]):
        here = splits.of_track(track)
        lacking = [name for name in splits.of_track(other) if name not in here]
        repair = f"{other} has them, add them to one of {track}'s files"
        yield Names(f"splits/{track}", lacking, repair)


def listed_tasks_exist(splits: Splits) -> Iterator[Names]:
    present = set(splits.present)
    absent = [name for name in splits.of_any_track() if name not in present]
    yield Names("splits", absent, f"take their files from {SOURCE} or the names out")


def existing_tasks_are_listed(splits: Splits) -> Iterator[Names]:
    listed = splits.of_any_track()
    unlisted = [name for name in splits.present if name not in listed]
    yield Names("splits", unlisted, "add them to a file of each track")


HAS_SPLIT_FILES = f"each track has {', '.join(f'{s}_tasks.txt' for s in SPLITS)}, in UTF-8"

SPLIT_RULES: Mapping[str, Callable[[Splits], Iterator[Names]]] = {
    "a track's files share no task": disjoint_splits,
    "both tracks list the same tasks": same_tasks_in_both_tracks,
    "every listed task has a file": listed_tasks_exist,
    "every task file is listed": existing_tasks_are_listed,
}


def diagnose(args: argparse.Namespace) -> Diagnosis:
    """Checks the configured data directory. Raises UserError if there is none."""
    root = SuperNI().root
    findings = check(root)
    return Diagnosis(findings, format_report(findings, len(task_paths(root))), not findings)


def check(data_dir: Path) -> list[Finding]:
    """The findings in a natural-instructions tree: of tasks by file name, then of splits.

    Has one task file in memory at a time. Raises UserError if the directory or its tasks/ or
    splits/ is missing.
    """
    _require_tree(data_dir)
    paths = task_paths(data_dir)
    findings = []
    with Progress("checking tasks", len(paths)) as progress:
        for path in paths:
            findings.extend(check_task(path))
            progress.advance()
    return findings + check_splits(data_dir)


def _content(path: Path) -> bytes:
    if is_stream(path):  # reading it may never end
        raise OSError(errno.ESPIPE, "a pipe or a device, not a file")
    return path.read_bytes()


def check_task(path: Path) -> list[Finding]:
    """The findings in one task file, at most one a rule, or only one if it is not JSON."""
    name = _printable(path.name)
    try:
        record = json.loads(_content(path).decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        repair = "correct it there or restore the file from its source"
        return [Finding(name, "the file", IS_JSON, _reason(error), repair)]
    if not _is_object(record):
        repair = "put the task's fields in one object, {…}"
        return [Finding(name, "the file", IS_JSON, _shown(record), repair)]
    task = Task(_printable(path.stem), record)
    findings = []
    for rule, find_breaches in RULES.items():
        breaches = find_breaches(task)
        if first := next(breaches, None):
            more = sum(1 for _ in breaches)
            shown, repair = _shown(first.value), _printable(first.repair)
            findings.append(Finding(name, first.field, rule, shown, repair, more))
    return findings


def check_splits(data_dir: Path) -> list[Finding]:
    """The findings in the six lists of tasks, or only the missing lists if there are any.

    Raises UserError as `check` does.
    """
    _require_tree(data_dir)
    listed, missing = {}, []
    for track in TRACKS:
        for split in SPLITS:
            file = f"splits/{track}/{split}_tasks.txt"
            try:
                content = _content(data_dir / file).decode("utf-8-sig")
            except (OSError, UnicodeDecodeError) as error:
                repair = f"take it from {SOURCE}"
                missing.append(Finding(file, "the file", HAS_SPLIT_FILES, _reason(error), repair))
                continue
            lines = [_printable(line.strip()) for line in content.splitlines()]
            listed[track, split] = [name for name in lines if name]
    if missing:
        return missing
    splits = Splits(listed, [_printable(path.stem) for path in task_paths(data_dir)])
    return [
        Finding(
            file=found.file,
            field=_counted(len(found.names), "name"),
            rule=rule,
            value=", ".join(map(_shortened, found.names[:_NUM_SHOWN_NAMES])),
            repair=found.repair,
            more=max(0, len(found.names) - _NUM_SHOWN_NAMES),
        )
        for rule, find_names in SPLIT_RULES.items()
        for found in find_names(splits)
        if found.names
    ]


def _require_tree(data_dir: Path) -> None:
    for needed in (data_dir, data_dir / "tasks", data_dir / "splits"):
        if not needed.is_dir():
            raise UserError(
                f"data_dir={str(data_dir)!r}: {needed} is not a directory; give a checkout of "
                f"{SOURCE}, which holds tasks/*.json and splits/{{{','.join(TRACKS)}}}/*_tasks.txt"
            )


def task_paths(data_dir: Path) -> list[Path]:
    return sorted(file for file in (data_dir / "tasks").iterdir() if file.suffix == ".json")


def _reason(error: Exception) -> str:
    """Why a file cannot be read, for a finding."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return _shortened(getattr(error, "strerror", None) or str(error))


def _shown(value: object) -> str:
    """A value of the file as JSON, on one line and shortened."""
    return "absent" if value is _ABSENT else _printable(schema.shortened(value))


def _shortened(text: str) -> str:
    text = _printable(text)
    is_long = len(text) > _MAX_SHOWN_CHARACTERS
    return text[: _MAX_SHOWN_CHARACTERS - 1] + "…" if is_long else text


def _printable(text: str) -> str:
    """The text with unpaired surrogates as escapes: they cannot be printed or written."""
    return text.encode("utf-8", "backslashreplace").decode()


def format_report(findings: list[Finding], num_tasks: int) -> str:
    """The findings by file, one a line, then the number of findings, also for each rule."""
    lines: list[str] = []
    by_file: dict[str, list[Finding]] = {}
    for finding in findings:
        by_file.setdefault(finding.file, []).append(finding)
    for file, of_file in by_file.items():
        lines.append(file)
        places = [finding.field for finding in of_file]
        values = [
            f"{finding.value} (and {finding.more:,} more)" if finding.more else finding.value
            for finding in of_file
        ]
        widths = max(map(len, places)), max(map(len, values))
        lines.extend(
            f"  {place:{widths[0]}}  {value:{widths[1]}}  {finding.rule}; {finding.repair}"
            for place, value, finding in zip(places, values, of_file, strict=True)
        )
        lines.append("")
    lines.append(f"{_counted(num_tasks, 'task')}, {_counted(len(findings), 'finding')}")
    counts = Counter(finding.rule for finding in findings).most_common()
    width = max((len(f"{count:,}") for _, count in counts), default=0)
    lines.extend(f"  {count:{width},}  {rule}" for rule, count in counts)
    return "\n".join(lines)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
