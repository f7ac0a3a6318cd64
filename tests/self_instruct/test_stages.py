"""The three stages that ask, with a client whose answers are made up and as late as it likes."""

import json
import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from rouge_score.rouge_scorer import RougeScorer

from tk_instruct.completions import Client, Completion, Parameters, Request
from tk_instruct.completions.dispatch import Dispatcher
from tk_instruct.completions.dispatch.budget import Budget
from tk_instruct.errors import UserError
from tk_instruct.self_instruct.classify import Classify, classify
from tk_instruct.self_instruct.clients.scripted import ScriptedClient
from tk_instruct.self_instruct.instances import Instances, instantiate
from tk_instruct.self_instruct.instructions import Generation, Instructions, generate
from tk_instruct.self_instruct.prompts import FewShot
from tk_instruct.self_instruct.run_directory import RunDirectory
from tk_instruct.self_instruct.seeds import SeedTask, read_seeds

SEED = 3
FILES = ("instructions", "instruction_requests", "classified", "instances")
INSTRUCTIONS = Instructions(Parameters(1024, 0.7, 0.5, stop=("\n\n",)), lag=4)
CLASSIFY = Classify(Parameters(3, stop=("\n", "Task")))
INSTANCES = Instances(Parameters(350, stop=("Example 6", "Task:")), Parameters(300))


class Watched:
    """A scripted client that notes what it is asked, and may be late or break down."""

    model = "scripted"

    def __init__(self, breaks_after: int | None = None, late: random.Random | None = None) -> None:
        self.asked: list[Request] = []
        self.breaks_after, self.late = breaks_after, late
        self._inner, self._lock = ScriptedClient(), threading.Lock()

    def complete(self, request: Request, idempotency_key: str) -> Completion:
        with self._lock:
            if self.breaks_after is not None and len(self.asked) >= self.breaks_after:
                raise UserError("it broke down")
            self.asked.append(request)
            seconds = self.late.uniform(0, 0.02) if self.late else 0.0
        time.sleep(seconds)
        return self._inner.complete(request, idempotency_key)


class Fixed:
    """Answers every request alike."""

    model = "fixed"

    def __init__(self, text: str, finish_reason: str = "stop") -> None:
        self.text, self.finish_reason = text, finish_reason

    def complete(self, request: Request, idempotency_key: str) -> Completion:
        return Completion(self.text, self.finish_reason, "fixed", 1, 1)


@pytest.fixture(scope="module")
def seeds() -> list[SeedTask]:
    return read_seeds()


def stages(
    path: Path,
    client: Client,
    seeds: list[SeedTask],
    num_instructions: int = 40,
    concurrency: int = 4,
    settings: Instructions = INSTRUCTIONS,
) -> None:
    with (
        RunDirectory(path) as run,
        Dispatcher(client, run, Budget(), concurrency) as dispatcher,
    ):
        few_shot = FewShot(seeds, SEED)
        generate(run, dispatcher, SEED, seeds, settings, num_instructions)
        classify(run, dispatcher, SEED, few_shot, CLASSIFY)
        instantiate(run, dispatcher, SEED, few_shot, INSTANCES)


def records(path: Path, name: str) -> list[dict[str, Any]]:
    """Without what only says when."""
    lines = [json.loads(line) for line in (path / f"{name}.jsonl").read_text().splitlines()]
    for line in lines:
        line.get("provenance", {}).pop("created_at", None)
    return lines


def made(path: Path) -> dict[str, list[dict[str, Any]]]:
    return {name: records(path, name) for name in FILES}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, seeds: list[SeedTask]) -> Path:
    """A run that nothing has disturbed, a request at a time."""
    path = tmp_path_factory.mktemp("finished")
    stages(path, Watched(), seeds, concurrency=1)
    return path


def test_every_instruction_is_new_by_rouge_score_and_others_are_not(
    finished: Path, seeds: list[SeedTask]
) -> None:
    """A slow loop over the answers, by the published rules, comes to the same."""
    scorer = RougeScorer(["rougeL"])
    texts = [task.instruction for task in seeds]
    accepted = {record["instruction"]: record for record in records(finished, "instructions")}
    answers = {each["key"]: each for each in records(finished, "responses")}
    num_similar = 0
    for request in records(finished, "instruction_requests"):
        text = answers[request["key"]]["text"]
        items = [item.split(". ", 1)[-1].strip() for item in ("9." + text).split("\n")]
        for item in items[: len(items) - request["dropped"].get("cut_off", 0)]:
            if len(item.split()) <= 3:
                continue
            scores = [scorer.score(item, other)["rougeL"].fmeasure for other in texts]
            if item in accepted and item not in texts:
                assert max(scores) < 0.7
                found = accepted[item]
                assert found["avg_similarity_score"] == pytest.approx(sum(scores) / len(scores))
                assert found["most_similar"] == {
                    other: pytest.approx(score)
                    for other, score in zip(texts, scores, strict=True)
                    if other in found["most_similar"]
                }
                assert len(found["most_similar"]) == 10
                texts.append(item)
            else:
                num_similar += max(scores) >= 0.7
    assert len(texts) == len(seeds) + len(accepted)
    dropped = [request["dropped"] for request in records(finished, "instruction_requests")]
    assert num_similar >= sum(each.get("similar", 0) for each in dropped) > 0


def test_counts_add_up(finished: Path) -> None:
    requests = records(finished, "instruction_requests")
    for request in requests:
        assert request["num_candidates"] == request["num_accepted"] + sum(
            request["dropped"].values()
        )
    assert sum(r["num_accepted"] for r in requests) == len(records(finished, "instructions")) >= 40
    assert [request["request_idx"] for request in requests] == list(range(len(requests)))


def test_six_seeds_and_two_of_its_own_are_shown_once_there_are_some(
    finished: Path, seeds: list[SeedTask]
) -> None:
    own = {record["id"]: record["request_idx"] for record in records(finished, "instructions")}
    shown = {
        r["request_idx"]: r["provenance"]["parents"] for r in records(finished, "instructions")
    }
    for index, parents in shown.items():
        assert len(parents) == len(set(parents)) == 8
        of_its_own = [parent for parent in parents if parent in own]
        assert len(of_its_own) == (0 if index < INSTRUCTIONS.lag else 2)
        assert all(own[parent] <= index - INSTRUCTIONS.lag for parent in of_its_own)
        assert {task.id for task in seeds} > set(parents) - set(own)
    assert max(shown) >= INSTRUCTIONS.lag
    assert len({tuple(parents) for parents in shown.values()}) == len(shown)


def test_every_record_says_where_it_comes_from(finished: Path) -> None:
    answers = {each["prompt_sha256"] for each in records(finished, "responses")}
    for name in ("instructions", "classified", "instances"):
        for line in (finished / f"{name}.jsonl").read_text().splitlines():
            about = json.loads(line)["provenance"]
            assert about["prompt_sha256"] in answers
            assert (about["model"], about["seed"]) == ("scripted", SEED)
            assert about["parameters"]["max_tokens"] in (1024, 3, 350, 300)
            assert about["created_at"].startswith("20")
            assert about["parents"]


def test_all_are_classified_and_instantiated_in_their_order(finished: Path) -> None:
    ids = [record["id"] for record in records(finished, "instructions")]
    classified = records(finished, "classified")
    assert [record["id"] for record in classified] == ids
    assert {record["is_classification"] for record in classified} == {True, False}
    instances = records(finished, "instances")
    assert [record["id"] for record in instances] == ids
    assert sum(len(record["instances"]) for record in instances) > 40
    for record in instances:
        assert ("Class label:" in record["raw_instances"]) <= record["is_classification"]


@pytest.mark.parametrize("concurrency", [2, 16])
def test_what_is_made_does_not_depend_on_when_answers_come(
    finished: Path, seeds: list[SeedTask], tmp_path: Path, concurrency: int
) -> None:
    stages(tmp_path, Watched(late=random.Random(concurrency)), seeds, concurrency=concurrency)

    assert made(tmp_path) == made(finished)


@pytest.mark.parametrize("breaks_after", [0, 1, 7, 12, 30, 60, 80])
def test_a_run_that_broke_down_goes_on_and_asks_nothing_twice(
    finished: Path, seeds: list[SeedTask], tmp_path: Path, breaks_after: int
) -> None:
    broken, whole = Watched(breaks_after), Watched()
    with pytest.raises(UserError, match="it broke down"):
        stages(tmp_path, broken, seeds)
    stages(tmp_path, whole, seeds)

    assert made(tmp_path) == made(finished)
    keys = [request.key for request in broken.asked + whole.asked]
    assert len(keys) == len(set(keys)) == len(records(tmp_path, "responses"))


@pytest.mark.parametrize("torn", FILES)
@pytest.mark.parametrize("of_line", [0.0, 0.5])
def test_whatever_a_kill_has_torn_is_made_again_and_paid_for_once(
    finished: Path, seeds: list[SeedTask], tmp_path: Path, torn: str, of_line: float
) -> None:
    """The last line of one file and all that came after it are missing."""
    for name in ("responses", "ledger", *FILES[: FILES.index(torn)]):
        (tmp_path / f"{name}.jsonl").write_bytes((finished / f"{name}.jsonl").read_bytes())
    *lines, last = (finished / f"{torn}.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / f"{torn}.jsonl").write_bytes(b"".join(lines) + last[: int(of_line * len(last))])
    client = Watched()
    stages(tmp_path, client, seeds)

    assert client.asked == []
    for name in FILES:
        assert records(tmp_path, name) == records(finished, name)


@pytest.mark.parametrize("name", ["classified", "instances"])
def test_a_line_that_is_taken_out_is_made_again(
    finished: Path, seeds: list[SeedTask], tmp_path: Path, name: str
) -> None:
    for path in finished.glob("*.jsonl"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    lines = (tmp_path / f"{name}.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / f"{name}.jsonl").write_bytes(b"".join(lines[:4] + lines[5:]))
    stages(tmp_path, Watched(), seeds)

    found = records(tmp_path, name)
    assert found[-1] == records(finished, name)[4]
    assert sorted(found, key=lambda each: each["id"]) == records(finished, name)


@pytest.mark.parametrize("name", ["instructions", "instruction_requests"])
@pytest.mark.parametrize("line", [0, 3, -1])
def test_stage_1_is_made_again_from_the_line_that_is_taken_out(
    finished: Path, seeds: list[SeedTask], tmp_path: Path, name: str, line: int
) -> None:
    for path in finished.glob("*.jsonl"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    lines = (tmp_path / f"{name}.jsonl").read_bytes().splitlines(keepends=True)
    del lines[line]
    (tmp_path / f"{name}.jsonl").write_bytes(b"".join(lines))
    client = Watched()
    stages(tmp_path, client, seeds)

    assert client.asked == []
    assert made(tmp_path) == made(finished)


def test_a_number_that_is_out_of_bounds_costs_no_memory(
    seeds: list[SeedTask], tmp_path: Path
) -> None:
    line = {"request_idx": 0, "key": "k", "num_candidates": 1, "num_accepted": 2**62, "dropped": {}}
    with RunDirectory(tmp_path) as run:
        run.log("instruction_requests").append([line])
        assert Generation(run, seeds, SEED, INSTRUCTIONS).num_processed == 0


def test_more_instructions_are_added_to_what_is_there(
    finished: Path, seeds: list[SeedTask], tmp_path: Path
) -> None:
    stages(tmp_path, Watched(), seeds, num_instructions=15)
    assert 15 <= len(records(tmp_path, "instances")) < 40
    stages(tmp_path, Watched(), seeds, num_instructions=40)

    assert {r["id"] for r in records(tmp_path, "instructions")} == {
        r["id"] for r in records(finished, "instructions")
    }
    assert records(tmp_path, "instructions") == records(finished, "instructions")
    assert len(records(tmp_path, "instances")) == len(records(finished, "instances"))


def test_of_a_list_that_was_cut_off_only_the_last_item_is_dropped(
    seeds: list[SeedTask], tmp_path: Path
) -> None:
    answer = " translate the NASA memo into Latin.\n10. Compare two bridges of steel.\n11. Tell m"
    stages(tmp_path, Fixed(answer, "length"), seeds, num_instructions=2)

    first, second = records(tmp_path, "instructions")
    assert first["instruction"] == "Translate the NASA memo into Latin."  # NASA stays in capitals
    assert second["instruction"] == "Compare two bridges of steel."
    assert records(tmp_path, "instruction_requests")[0]["dropped"] == {"cut_off": 1}


def test_a_model_that_has_nothing_new_to_say_is_given_up(
    seeds: list[SeedTask], tmp_path: Path
) -> None:
    settings = Instructions(INSTRUCTIONS.parameters, most_fruitless=5)
    with pytest.raises(UserError, match=r"last 5 answers brought no new .* there are 1"):
        stages(tmp_path, Fixed(" Compare two bridges of steel."), seeds, settings=settings)
    assert len(records(tmp_path, "instruction_requests")) == 6

    another = Fixed(" Name a tree of the tropics.\n10. List four kinds of sea bird.")
    stages(tmp_path, another, seeds, num_instructions=3, settings=settings)
    assert len(records(tmp_path, "instances")) == 3


def test_an_answer_that_is_neither_yes_nor_no_counts_as_no(
    seeds: list[SeedTask], tmp_path: Path
) -> None:
    stages(tmp_path, Fixed(" Compare two bridges of steel."), seeds, num_instructions=1)

    (classified,) = records(tmp_path, "classified")
    assert classified["is_classification"] is False
    assert classified["answer"] == "Compare two bridges of steel."


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_machine_in_context": 8}, "num_machine_in_context=8 must be at least 0 and below"),
        ({"max_similarity": 0.0}, "max_similarity=0 must be above 0"),
        ({"lag": 0}, "lag=0 and most_fruitless=100 must be at least 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Instructions(INSTRUCTIONS.parameters, **settings)


class Kinds:
    """Answers of a form by stage; notes, where there are any, come before each."""

    model = "kinds"

    def __init__(self, notes: str = "", verdict: str = "No") -> None:
        self.notes, self.verdict, self.asked = notes, verdict, 0

    def complete(self, request: Request, idempotency_key: str) -> Completion:
        self.asked += 1
        says = {
            "instructions": f"Task 9: {NEW[request.index % 8]}\nTask 10: {NEW[-request.index % 8]}",
            "classify": self.verdict,
            "instances": "Example #1\nText: a\nAnswer: b\n\nI hope this helps!",
        }[request.stage]
        return Completion(self.notes + says, "stop", "kinds", 1, 1)

    def close(self) -> None:
        pass


NEW = [
    "Name a river in the south of France.",
    "Explain how bread is made at home.",
    "Write a short poem about owls.",
    "Suggest three gifts for a friend who sails.",
    "Translate the greeting into Italian.",
    "Describe the smell of rain to a child.",
    "Say which of two dates is older.",
    "List reasons why jazz became popular.",
]


def test_no_note_of_a_model_that_reasons_becomes_data(
    seeds: list[SeedTask], tmp_path: Path
) -> None:
    notes = "<think>\nIdeas:\n1. something short about hills\n2. Output: x\nNo, wait.\n</think>\n\n"
    stages(tmp_path, Kinds(notes, "Yes"), seeds, num_instructions=6, concurrency=1)

    assert {record["instruction"] for record in records(tmp_path, "instructions")} <= set(NEW)
    assert all(record["is_classification"] for record in records(tmp_path, "classified"))
    for record in records(tmp_path, "instances"):
        assert record["instances"] == [{"input": "Text: a", "output": "b"}]
        assert record["raw_instances"].startswith("<think>")


def test_reasoning_alone_is_no_answer(seeds: list[SeedTask], tmp_path: Path) -> None:
    settings = Instructions(INSTRUCTIONS.parameters, most_fruitless=2)
    with pytest.raises(UserError, match="last 2 answers brought no new"):
        stages(tmp_path, Fixed("<think>\n9. Name a river in France."), seeds, settings=settings)
    for request in records(tmp_path, "instruction_requests"):
        assert (request["num_candidates"], request["dropped"]) == (1, {"no_answer": 1})


def test_a_model_that_says_neither_yes_nor_no_ends_the_run(
    seeds: list[SeedTask], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"5 of the 5 answers .* neither yes nor no .*'Maybe'"):
        stages(tmp_path, Kinds(verdict="Maybe"), seeds, num_instructions=7, concurrency=1)
    # What was answered is not asked again, and others may be.
    client = Kinds()
    stages(tmp_path, client, seeds, num_instructions=7, concurrency=1)
    keys = [each["key"] for each in records(tmp_path, "responses")]
    assert len(keys) == len(set(keys))
    assert len(records(tmp_path, "classified")) == len(records(tmp_path, "instructions"))


def test_a_run_that_was_begun_before_goes_on_with_what_it_has(
    seeds: list[SeedTask], tmp_path: Path
) -> None:
    """Records that another way of reading has made stay; what comes is read as it is now."""
    stages(tmp_path, Kinds(), seeds, num_instructions=4, concurrency=1)
    before = made(tmp_path)
    (tmp_path / "instances.jsonl").unlink()
    client = Kinds()
    stages(tmp_path, client, seeds, num_instructions=4, concurrency=1)
    assert client.asked == 0
    assert made(tmp_path) == before
