"""What is searched for by hashes, against a loop over all pairs of texts."""

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tk_instruct.audit import lookup
from tk_instruct.audit import overlap as module
from tk_instruct.audit.findings import Field, Kind, Settings, TextFinding
from tk_instruct.audit.instances import Instance
from tk_instruct.audit.overlap import FIELDS, KINDS, overlap
from tk_instruct.audit.words import words

# Short, so that random texts have them in common. All near duplicates are candidates.
SHORT = Settings(ngram=5, short_ngram=4, jaccard=0.5)


def runs(of: Sequence[str], n: int) -> set[tuple[str, ...]]:
    return {tuple(of[k : k + n]) for k in range(len(of) - n + 1)}


def covered(of: Sequence[str], n: int, by: set[tuple[str, ...]]) -> float:
    places = {k + j for k in range(len(of) - n + 1) for j in range(n) if tuple(of[k : k + n]) in by}
    return len(places) / len(of)


def n_of(text: Sequence[str], of: Settings) -> int:
    return of.ngram if len(text) >= of.ngram else of.short_ngram


def texts_of(instance: Instance, field: Field) -> Sequence[str]:
    return [instance.inputs] if field == "inputs" else instance.targets


def common(evaluation: Sequence[Instance], field: Field, task: str, of: Settings) -> set:
    """What stands in many instances of a task: n-grams, and whole texts."""
    found: dict[tuple[str, ...], set[str]] = {}
    here = [instance for instance in evaluation if instance.task == task]
    for instance in here:
        for text in map(words, texts_of(instance, field)):
            for run in {*runs(text, n_of(text, of)), tuple(text)}:
                found.setdefault(run, set()).add(instance.id)
    return {run for run, ids in found.items() if len(ids) > 10 and len(ids) > 0.1 * len(here)}


def compare(
    one: Sequence[str], other: Sequence[str], left_out: set, of: Settings
) -> tuple[Kind, float] | None:
    if len(one) >= 4 and one == other and tuple(one) not in left_out:
        return "equal", 1.0
    if len(one) < of.short_ngram:
        return None
    left, right = runs(one, 3), runs(other, 3)
    if tuple(one) not in left_out and (left & right):
        jaccard = len(left & right) / len(left | right)
        if jaccard >= of.jaccard:
            return "near_duplicate", jaccard
    n = n_of(one, of)
    both = (runs(one, n) & runs(other, n)) - left_out
    return ("ngram", covered(one, n, both)) if both else None


def by_a_loop(
    evaluation: Sequence[Instance], training: Sequence[Instance], of: Settings
) -> Iterator[tuple[str, Field, Kind, float, int]]:
    """(evaluation instance, field, kind, the best value, the number of training examples)."""
    for instance in evaluation:
        for field in FIELDS:
            left_out = common(evaluation, field, instance.task, of)
            values: dict[Kind, list[float]] = {kind: [] for kind in KINDS}
            for example in training:
                matches = [
                    match
                    for text in texts_of(instance, field)
                    for other in texts_of(example, field)
                    if (match := compare(words(text), words(other), left_out, of))
                ]
                kinds = [kind for kind in KINDS if kind in {kind for kind, _ in matches}]
                if kinds:
                    values[kinds[0]].append(max(v for kind, v in matches if kind == kinds[0]))
            for kind, found in values.items():
                if found:
                    yield instance.id, field, kind, max(found), len(found)


def value(finding: TextFinding) -> float:
    return finding.share if finding.jaccard is None else finding.jaccard


text = st.lists(st.sampled_from("abcd"), max_size=12).map(" ".join)
instance = st.tuples(st.sampled_from(["one", "two"]), text, st.lists(text, max_size=2))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(instance, max_size=30),
    st.lists(instance, max_size=12),
    st.integers(1, 5),
    st.integers(1, 9),
)
def test_equal_to_a_loop(
    evaluation: list[tuple[str, str, list[str]]],
    training: list[tuple[str, str, list[str]]],
    batch: int,
    rows: int,
) -> None:
    of_evaluation = [Instance(str(k), *each) for k, each in enumerate(evaluation)]
    of_training = [Instance(str(k), *each) for k, each in enumerate(training)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BATCH", batch)
        patch.setattr(lookup, "_MOST_ROWS", rows)
        found = overlap(of_evaluation, of_training, SHORT)
    assert [
        (each.eval_id, each.field, each.kind, value(each), each.num_train) for each in found.texts
    ] == list(by_a_loop(of_evaluation, of_training, SHORT))
    assert found.num_train == len(training)
    assert sum(task.instances for task in found.tasks) == len(evaluation)


def test_what_many_instances_have_is_left_out() -> None:
    """More than 10 instances and more than 10 % of a task's, and for this task alone."""
    question = "answer the question that is asked below in one word or two please thank you"
    evaluation = [Instance(f"{k}", "one", f"{question} {k} a b c", ["a b c d"]) for k in range(11)]
    evaluation += [Instance(f"{k}", "one", str(k), []) for k in range(11, 109)]
    training = [Instance("x", "x", f"{question} of today", ["A, b, c, d."])]
    found = overlap(evaluation, training, Settings())
    assert (found.texts, found.left_out) == ([], 4)  # 3 n-grams of the question, one target
    for others in (evaluation[1:], [*evaluation, Instance("110", "one", "110", [])]):
        found = overlap(others, training, Settings())
        assert {(each.field, each.kind) for each in found.texts} == {
            ("inputs", "ngram"),
            ("targets", "equal"),
        }
        assert found.left_out == 0
    same = [Instance(f"{k}", "one", question, []) for k in range(11)]
    assert not overlap(same, [Instance("x", "x", f"well {question}", [])], Settings()).texts
    asked = Instance("y", "two", question, [])
    [finding] = overlap([*evaluation, asked], training, Settings()).texts
    assert (finding.eval_id, finding.kind, finding.share) == ("y", "near_duplicate", 1.0)
