"""Small synthetic task files of Natural Instructions v1, which are the same each time.

27 of the 61 tasks have a file: the twelve that the random split evaluates, and three to train on of
each category that has more. Files have what real ones have: fields that are "-" or "- ", no
negative examples, empty suggestions, few instances. A task asks for one aspect of a sentence, in
the way of its category.

For gin: NI_V1_DATA = @mini_ni_v1() and VOCABULARY = @ni_v1_vocabulary().
"""

import argparse
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import gin

from tk_instruct.data import registry
from tk_instruct.data.task import Task
from tk_instruct.data.vocabulary import kept, train_sentencepiece
from tk_instruct.files import PathLike
from tk_instruct.synthetic import SCENE, Words, kept_mini, write_whole

from .encodings import ENCODINGS
from .splits import CATEGORIES, Member, collection

_NUM_INSTANCES = 180
_FEW_INSTANCES = {"subtask053_multirc_correct_bad_question": 58}  # as in the real file
_NUM_SEEN = 3  # tasks of each category with files, besides the unseen ones
_VOCABULARY_TASK = "ni_v1_random_full"
_NUM_READ = 3000  # examples that a vocabulary is trained on

# Aspect → a question for it, the answer, and the words in it that another answer has others for.
_ASPECTS = {
    "person": ("Who saw the {thing}?", "{name}", ("name",)),
    "colour": ("What colour was the {thing}?", "{colour}", ("colour",)),
    "place": ("Where was the {thing}?", "the {place}", ("place",)),
    "day": ("When did {name} see the {thing}?", "{day}", ("day",)),
    "object": ("What did {name} see?", "a {colour} {thing}", ("colour", "thing")),
}
# Category → definition, input and outputs. What is in <> is a template of the aspect.
_KINDS: Mapping[str, tuple[str, str, Sequence[str]]] = {
    "question_generation": (
        "Write a question about the <aspect>.",
        "Sentence: <scene>",
        ["<question>"],
    ),
    "answer_generation": (
        "Answer the question about the <aspect>.",
        "Sentence: <scene>\nQuestion: <question>",
        ["<answer>", "It is <answer>."],
    ),
    "classification": (
        "Say whether the answer names the right <aspect>: Yes or No.",
        "Sentence: <scene>\nAnswer: <answer or wrong>",
        ["<yes or no>"],
    ),
    "incorrect_answer_generation": (
        "Write a wrong answer to the question about the <aspect>.",
        "Sentence: <scene>\nQuestion: <question>",
        ["<wrong>"],
    ),
    "minimal_modification": (
        "Change the <aspect> in the sentence and keep the rest.",
        "Sentence: <scene>\nInstead of <answer>: <wrong>",
        ["<changed scene>"],
    ),
    "verification": (
        "Find the words for the <aspect> that both sentences have.",
        "Sentence 1: <scene>\nSentence 2: We heard of <answer>.",
        ["<answer>"],
    ),
}


def add_arguments(parser: Any) -> None:
    """Nothing besides the directory."""


def main(args: argparse.Namespace) -> int:
    print(write(args.directory))
    return 0


def write(directory: PathLike) -> Path:
    """Writes the task files into `directory`/tasks, completely or not at all; gives its path.

    Does nothing if they are already there. Raises UserError if the directory holds anything else or
    cannot be written.
    """
    return write_whole(directory, _fill, what="the synthetic Natural Instructions v1")


def _fill(tree: Path) -> None:
    (tree / "tasks").mkdir(parents=True)
    for position, member in enumerate(_members()):
        text = json.dumps(_file(member, position), indent=1, ensure_ascii=False)
        (tree / "tasks" / f"{member.name}.json").write_text(text + "\n", encoding="utf-8")


def _members() -> Iterator[Member]:
    for category in CATEGORIES:
        members = [member for member in collection().values() if member.category == category]
        yield from (member for member in members if member.is_unseen_in_random)
        seen = [member for member in members if not member.is_unseen_in_random]
        few = [member for member in seen if member.name in _FEW_INSTANCES]
        yield from [*few, *(member for member in seen if member not in few)][:_NUM_SEEN]


def _file(member: Member, position: int) -> dict[str, Any]:
    aspect = list(_ASPECTS)[position % len(_ASPECTS)]
    definition = _KINDS[member.category][0].replace("<aspect>", aspect)
    num_instances = _FEW_INSTANCES.get(member.name, _NUM_INSTANCES)
    instances = [_instance(member, aspect, index) for index in range(num_instances + 3)]
    positive = [
        {"input": each["input"], "output": each["output"][0], "reason": f"It is the {aspect}."}
        for each in instances[num_instances:][: 1 + position % 3]
    ]
    negative = [
        {**each, "output": "Perhaps.", "reason": "It says nothing.", "suggestion": suggestion}
        for each, suggestion in zip(positive, (" ", f"Look for the {aspect}."), strict=False)
    ]
    return {
        "Title": f"{CATEGORIES[member.category][0].capitalize()}: the {aspect}",
        "Prompt": definition,
        "Definition": f"You are given a sentence. {definition}",
        "Things to Avoid": "-" if position % 2 else f"Do not leave the {aspect} out.",
        "Emphasis & Caution": ("- ", "-", f"Keep to the {aspect}. ")[position % 3],
        "Instances": instances[:num_instances],
        "Examples": {
            "Positive Examples": positive,
            "Negative Examples": negative if position % 4 else ["-"],
        },
    }


def _instance(member: Member, aspect: str, index: int) -> dict[str, Any]:
    question, answer, words = _ASPECTS[aspect]
    is_right = index % 2 == 0
    parts = {
        "scene": SCENE,
        "changed scene": _with_others(SCENE, words),
        "question": question,
        "answer": answer,
        "wrong": _with_others(answer, words),
        "answer or wrong": answer if is_right else _with_others(answer, words),
        "yes or no": "Yes" if is_right else "No",
    }
    fill = Words("mini ni_v1", member.name, "", index).fill
    _, input_, outputs = _KINDS[member.category]
    input_, *outputs = (
        re.sub("<(.*?)>", lambda found: parts[found[1]], template)
        for template in (input_, *outputs)
    )
    return {"input": fill(input_), "output": [fill(output) for output in outputs]}


def _with_others(template: str, words: Sequence[str]) -> str:
    for word in words:
        template = template.replace(f"{{{word}}}", f"{{{word}2}}")
    return template


@gin.configurable(module="values.tk_instruct")
@cache
def mini_ni_v1() -> str:
    """The directory of the task files in the cache folder. Writes them if they are not there."""
    return kept_mini("ni_v1", write, sources=(__file__, str(Path(__file__).parent / "splits.py")))


@gin.configurable(module="values.tk_instruct")
@cache
def ni_v1_vocabulary(num_pieces: int = 1000) -> str:
    """The path of a SentencePiece model, trained once on prompts and targets of ni_v1_random_full.

    For gin: VOCABULARY = @ni_v1_vocabulary(). With real data, use T5's vocabulary.
    """
    task = registry.get(_VOCABULARY_TASK)
    assert isinstance(task, Task)
    content = f"{task.fingerprint('train')} {ENCODINGS['full']}"
    return kept(
        f"ni_v1 {content} {num_pieces}", lambda: train_sentencepiece(_texts(task), num_pieces)
    )


def _texts(task: Task) -> Iterator[str]:
    for example, _ in zip(task.texts("train"), range(_NUM_READ), strict=False):
        for name in ("inputs_pretokenized", "targets_pretokenized"):
            yield from example[name].splitlines()
