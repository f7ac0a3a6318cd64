"""The made-up answers: their form, their mistakes, and that nothing but the request matters."""

import random
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from tk_instruct.completions import Completion, Parameters, Request, before_stop
from tk_instruct.errors import UserError
from tk_instruct.self_instruct.clients.grammar import sentence
from tk_instruct.self_instruct.clients.scripted import ScriptedClient

LIST = Parameters(1024, 0.7, 0.5, 2.0, 0.0, ("\n\n", "\n16", "16.", "16 ."))
ANSWER = Parameters(3, stop=("\n", "Task"))
INSTANCES = Parameters(350, presence_penalty=1.5, stop=("Example 6", "Task:"))

SHOWN = [f"Say something number {'abcdefgh'[i]} of interest." for i in range(8)]
LIST_PROMPT = "Tasks:\n" + "".join(f"{i}. {text}\n" for i, text in enumerate(SHOWN, 1)) + "9."
INPUT_FIRST = "Task: Add.\nExample 1\nNumbers: 1, 2\nOutput: 3\n\nTask: {}\n"
OUTPUT_FIRST = "Task: Even or odd?\nClass label: even\nNumber: 2\n\nTask: {}\n"


def complete(stage: str, prompt: str, parameters: Parameters, index: int = 0) -> Completion:
    return ScriptedClient().complete(Request(stage, index, prompt, parameters), "")


def lists(count: int) -> list[Completion]:
    return [complete("instructions", LIST_PROMPT, LIST, index) for index in range(count)]


def items(completion: Completion) -> list[str]:
    found = re.split(r"\n\d+\. ", completion.text.removeprefix(" "))
    return found[:-1] if completion.finish_reason == "length" else found


def test_answers_depend_on_nothing_but_the_request() -> None:
    requests = [Request("instructions", index, LIST_PROMPT, LIST) for index in range(40)]
    client = ScriptedClient()
    expected = {request: client.complete(request, "") for request in requests}
    assert len({completion.text for completion in expected.values()}) == len(requests)
    random.Random(0).shuffle(requests)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda request: ScriptedClient().complete(request, "x"), requests))
    assert dict(zip(requests, found, strict=True)) == expected


def test_goes_on_with_the_list() -> None:
    completion = next(c for c in lists(9) if c.finish_reason == "stop")
    assert completion.text.startswith(" ")
    assert re.findall(r"^(\d+)\.", "9." + completion.text, re.MULTILINE) == [
        "9", "10", "11", "12", "13", "14", "15",
    ]  # fmt: skip
    words = len(completion.text.split())
    assert words < (completion.completion_tokens or 0) < 2 * words
    assert (completion.prompt_tokens or 0) > len(LIST_PROMPT.split())


def test_instructions_are_novel_and_every_filter_has_work() -> None:
    from rapidfuzz import process
    from rapidfuzz.distance import LCSseq

    answers = lists(200)
    found = [item for completion in answers for item in items(completion)]
    counts = Counter(
        "endless" if completion.finish_reason == "length" else "whole" for completion in answers
    )
    accepted: list[list[str]] = [text.lower().split() for text in SHOWN]
    for item in found:
        words = re.findall(r"[a-z0-9]+", item.lower())
        if len(item.split()) <= 3:
            counts["short"] += 1
        elif len(item.split()) > 150:
            counts["long"] += 1
        elif re.search(r"\b(image|picture|plot|map|file|go to)\b", item, re.IGNORECASE):
            counts["word"] += 1
        elif item.startswith("Write a program"):
            counts["program"] += 1
        elif not item[0].isalnum():
            counts["punctuation"] += 1
        elif not item[0].isascii():
            counts["foreign"] += 1
        elif item in SHOWN:
            counts["copy"] += 1
        else:
            common = process.cdist([words], accepted, scorer=LCSseq.similarity, dtype=np.int32)[0]
            rouge = 2 * common / (len(words) + np.array([len(other) for other in accepted]))
            if rouge.max() >= 0.7:
                counts["similar"] += 1
            else:
                accepted.append(words)
    assert {
        "endless", "short", "long", "word", "program", "punctuation", "foreign", "copy", "similar",
    } < set(counts)  # fmt: skip
    assert len(accepted) > 5 * len(answers)


def test_says_whether_a_task_is_a_classification() -> None:
    rng, counts = random.Random(0), Counter[tuple[str, str]]()
    for index in range(400):
        kind = ["instruction", "classification"][index % 2]
        prompt = (
            f"Task: Add.\nDoes it classify? No\n\nTask: {sentence(kind, rng)}\nDoes it classify?"
        )
        counts[kind, complete("classify", prompt, ANSWER, index).text] += 1
    assert counts["instruction", " No"] > 190
    assert counts["classification", " Yes"] > 190
    assert {text for _, text in counts} > {" Yes", " No"}  # some are unclear
    assert counts["instruction", " Yes"] == counts["classification", " No"] == 0


def test_examples_come_with_inputs_and_outputs_or_bare() -> None:
    prompt = INPUT_FIRST.format("Shorten the following text.")
    texts = [complete("instances", prompt, INSTANCES, index).text for index in range(200)]
    assert all(re.match(r"Example 1\n.+\n(.+\n)?Output:", text) for text in texts)
    assert any("Example 5" in text for text in texts)
    assert not any("Example 6" in text or "Task" in text for text in texts)
    assert any(re.search(r"Output: *\n", text) for text in texts)
    assert any(re.search(r"Output: .*:\n", text) for text in texts)
    assert any(re.search(r"\n(.+)\nOutput: \1\n", text) for text in texts)
    assert any(len(set(bodies := re.split(r"Example \d+\n", t))) < len(bodies) for t in texts)
    bare = complete("instances", INPUT_FIRST.format("Tell a story."), INSTANCES).text
    assert bare.startswith("Output: ")


def test_labels_come_before_their_inputs() -> None:
    prompt = OUTPUT_FIRST.format("Is the following remark polite or rude?")
    texts = [complete("instances", prompt, INSTANCES, index).text for index in range(50)]
    assert all(text.startswith("Class label:") for text in texts)
    labels = Counter(label for text in texts for label in re.findall("Class label: (.*)", text))
    assert {label for label, _ in labels.most_common(2)} == {"Polite", "Rude"}


def test_the_rest_is_cut_off_where_max_tokens_runs_out() -> None:
    whole = complete("instructions", LIST_PROMPT, LIST)
    cut = complete("instructions", LIST_PROMPT, replace(LIST, max_tokens=40))
    assert (whole.finish_reason, cut.finish_reason) == ("stop", "length")
    assert whole.text.startswith(cut.text)
    assert cut.completion_tokens == 40


def test_the_first_stop_counts() -> None:
    assert before_stop("a 16. b\n\nc", ("\n\n", "16.")) == "a "
    assert before_stop("a", ("\n",)) == "a"


def test_a_prompt_of_another_form_is_refused() -> None:
    with pytest.raises(UserError, match="ends with 'How are you"):
        complete("chat", "How are you today", LIST)
