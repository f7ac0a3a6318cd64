"""Tasks for lm-evaluation-harness: a folder that `lm_eval --include_path` takes.

A task is NAME.jsonl, its examples, and NAME.yaml, which says how they are asked and scored. Where
each example has options with the right one among them, the harness ranks these
(multiple_choice, acc); else it generates (generate_until, exact_match). A mixture is a group.

The prompts are complete: nothing is put before them. A ranked option follows its prompt after one
space, or at once where all prompts of the task end in white space, as `tk-instruct rank` scores
models without an encoder. With an encoder nothing stands between the two. For SentencePiece, which
T5 and mT5 have, that is the same.
"""

import json
from collections.abc import Iterator
from typing import Any

from tk_instruct.data.task import AnyTask, Example
from tk_instruct.errors import UserError
from tk_instruct.export.split import Examples, Selection
from tk_instruct.files import Path, write_atomically, write_lines
from tk_instruct.metrics.target import OptionTarget

_READER = "read_examples.py"
# The harness reads a file from where it runs, but a function from beside the YAML file.
_READ = '''\
"""Reads the examples of a task from the folder of this file."""

import json
from pathlib import Path

import datasets


def read(file, **_):
    with open(Path(__file__).parent / file, encoding="utf-8") as lines:
        return {"test": datasets.Dataset.from_list([json.loads(line) for line in lines])}
'''
_ABOUT = """\
# {count:,} examples of {name}/{split}, written by `tk-instruct tasks export`.
#   lm_eval --include_path FOLDER_OF_THIS_FILE --tasks {name} --log_samples --output_path OUT …
# This is not the whole score: `tk-instruct evaluate` with the task's own metrics, such as ROUGE-L,
# takes the samples that --log_samples has written (--predictions OUT/…/samples_{name}_….jsonl).
"""
_RANKED = """\
output_type: multiple_choice
doc_to_text: inputs
doc_to_choice: options
doc_to_target: labels
# One space as models without an encoder need it. SentencePiece (T5, mT5) takes no notice of it.
target_delimiter: {delimiter}
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
"""
_GENERATED = """\
output_type: generate_until
doc_to_text: inputs
doc_to_target: references
generation_kwargs:
  until: []
  do_sample: false
  max_gen_toks: {max_target_tokens}
metric_list:
  # Case, punctuation and further white space do not count.
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
    ignore_case: true
    regexes_to_ignore: ['[!-/:-@\\[-`{{-~]', '^\\s+|\\s+$|\\s+(?=\\s)']
"""


def files_of(selection: Selection) -> Iterator[str]:
    """The names of all files that export may write."""
    yield _READER
    for name in selection.tasks:
        yield from (f"{name}.jsonl", f"{name}.yaml")
    yield from (f"{name}.yaml" for name in selection.mixtures)


def export(
    selection: Selection, split: str, max_target_tokens: int, folder: Path
) -> tuple[int, int]:
    """Writes the tasks and groups; gives the numbers of examples and of tasks.

    Raises UserError if a task that was asked for by name has no examples, if no task has any, or
    if an example of a task is one option of a question.
    """
    found = Examples(selection, split)
    written = set()
    for task, examples in found:
        _write_task(task, split, examples, max_target_tokens, folder)
        written.add(task.name)
    for name, tasks in selection.mixtures.items():
        group = {"group": name, "task": [task for task in tasks if task in written]}
        write_atomically(folder / f"{name}.yaml", [_as_yaml(group)])
    write_atomically(folder / _READER, [_READ])
    return found.num_examples, found.num_tasks


def _write_task(
    task: AnyTask, split: str, examples: Iterator[Example], max_target_tokens: int, folder: Path
) -> None:
    count, are_ranked, are_spaced = 0, True, True

    def lines() -> Iterator[str]:
        nonlocal count, are_ranked, are_spaced
        for example in examples:
            document = _document(task, example)
            count += 1
            are_ranked &= bool(document["labels"])
            are_spaced &= document["inputs"][-1:].isspace()
            yield json.dumps(document, ensure_ascii=False) + "\n"

    write_lines(folder / f"{task.name}.jsonl", lines())
    how = (
        _RANKED.format(delimiter='""' if are_spaced else '" "')
        if are_ranked
        else _GENERATED.format(max_target_tokens=max_target_tokens)
    )
    about = _ABOUT.format(count=count, name=task.name, split=split)
    data = {
        "task": task.name,
        "dataset_kwargs": {"file": f"{task.name}.jsonl"},
        "test_split": "test",
        "num_fewshot": 0,
        "metadata": {"version": 1},
    }
    reader = f"custom_dataset: !function {_READER.removesuffix('.py')}.read\n"
    write_atomically(folder / f"{task.name}.yaml", [about, _as_yaml(data), reader, how])


def _document(task: AnyTask, example: Example) -> dict[str, Any]:
    """An example. Its labels are the places of the right options, of equal ones the first."""
    target = task.target(example)
    if isinstance(target, OptionTarget):
        raise UserError(
            f"{task.name}: an example is one option of a question, and the harness ranks the "
            "options of a question; export the task of the questions"
        )
    references = list(getattr(target, "references", [example["targets_pretokenized"]]))
    options = list(example.get("options") or [])
    return {
        "id": example["id"],
        "inputs": example["inputs_pretokenized"],
        "references": references,
        "options": options,
        "labels": [
            place for option, place in _first_places(options).items() if option in references
        ],
    }


def _first_places(options: list[str]) -> dict[str, int]:
    return {option: options.index(option) for option in options}


def _as_yaml(fields: dict[str, Any]) -> str:
    """The fields one a line: JSON's values are YAML's too."""
    return "".join(f"{name}: {json.dumps(value)}\n" for name, value in fields.items())
