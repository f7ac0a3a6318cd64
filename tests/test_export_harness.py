"""`tasks export --harness`: what lm-evaluation-harness makes of it, and of what it has logged."""

import itertools
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gin
import numpy as np
import pytest

from tk_instruct import cli, configuration
from tk_instruct.data import registry
from tk_instruct.data.task import Rendering, Source, Task
from tk_instruct.files import Path as AnyPath
from tk_instruct.metrics.target import OptionTarget, Target
from tk_instruct.predictions import read_predictions

pytest.importorskip("lm_eval", reason="lm_eval is not installed: it is checked against it")

from lm_eval import simple_evaluate
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.loggers import EvaluationTracker
from lm_eval.tasks import TaskManager

COPA, ANLI = "p3_super_glue_copa_the_odd_one", "p3_anli_yes_perhaps_no_r1"
SUPERNI = "superni_en_def"


class Answers(LM):
    """Answers prompts by a function, and scores options by another."""

    def __init__(
        self,
        answer: Callable[[str], str] = lambda prompt: "",
        score: Callable[[str, str], float] = lambda prompt, option: 0.0,
    ) -> None:
        super().__init__()
        self.answer, self.score = answer, score
        self.asked: list[Any] = []

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        self.asked += [request.args for request in requests]
        return [self.answer(request.args[0]) for request in requests]

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> Any:
        self.asked += [request.args for request in requests]
        return [(self.score(*request.args), False) for request in requests]

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> Any:
        raise NotImplementedError


def run(folder: Path, names: Sequence[str], model: LM, output: Path) -> dict[str, Any]:
    """As `lm_eval --include_path FOLDER --tasks NAMES --log_samples --output_path OUTPUT` does."""
    tracker = EvaluationTracker(output_path=str(output))
    found = simple_evaluate(
        model=model,
        model_args="pretrained=them/model",
        tasks=list(names),
        task_manager=TaskManager(include_path=str(folder), include_defaults=False),
        evaluation_tracker=tracker,
        bootstrap_iters=0,
    )
    assert found is not None
    samples = found.pop("samples")
    tracker.save_results_aggregated(found, samples)
    for name in found["configs"]:
        tracker.save_results_samples(name, samples[name])
    return found["results"]


def export(folder: Path, *words: str) -> Path:
    assert cli.main(["tasks", "export", f"--harness={folder}", *words]) == 0
    gin.clear_config()
    return folder


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def scores(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    capsys.readouterr()
    assert cli.main(["evaluate", "--json=-", *map(str, words)]) == 0
    gin.clear_config()
    return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def model_dir(
    tiny_recipe: list[str],
    mini_dir: Path,
    mini_vocabulary: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A run of one step."""
    folder = tmp_path_factory.mktemp("run") / "run"
    bindings = [f"--gin.MODEL_DIR='{folder}'", "--gin.TRAIN_STEPS=1", "--gin.EVAL_PERIOD=0"]
    data = [f"--data_dir={mini_dir}", f"--vocabulary={mini_vocabulary}"]
    assert cli.main(["train", *tiny_recipe, *bindings, *data]) == 0
    gin.clear_config()
    return folder


class Ours(Answers):
    """A run of ours, which decodes and scores as predict and rank do."""

    def __init__(self, model_dir: Path) -> None:
        from tk_instruct.data.tokens import FeatureLengths
        from tk_instruct.inference.checkpoint import load_checkpoint, load_model
        from tk_instruct.inference.decoding import Greedy
        from tk_instruct.inference.generation import decoder
        from tk_instruct.inference.ranking import ranker

        super().__init__()
        self.lengths = FeatureLengths(512, 16)
        loaded = load_model(*load_checkpoint(model_dir, None))
        self.predicted = decoder(loaded, Greedy(), self.lengths, 32)
        self.ranked = ranker(loaded, self.lengths, 32, length_normalized=False)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        from tk_instruct.data.vocabulary import vocabulary

        self.asked += [request.args for request in requests]
        most = self.lengths.inputs - 1
        examples = [
            {
                "id": str(number),
                "task": "",
                "inputs": np.array([*vocabulary().encode(request.args[0])[:most], 1], np.int32),
            }
            for number, request in enumerate(requests)
        ]
        found = {row["id"]: row["prediction"] for rows in self.predicted(examples) for row in rows}
        return [found[example["id"]] for example in examples]

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> Any:
        from tk_instruct.data.tokenization import Plain
        from tk_instruct.data.vocabulary import vocabulary
        from tk_instruct.inference.options import tokenized_options

        most = self.lengths.inputs
        examples = [
            {
                "id": str(number),
                "task": "",
                "inputs": np.array(vocabulary().encode(prompt)[:most], np.int32),
                "options": [continuation],
            }
            for number, (prompt, continuation) in enumerate(each.args for each in requests)
        ]
        found = self.ranked(tokenized_options(examples, Plain(vocabulary())))
        scores = {row["id"]: row["scores"][0] for rows in found for row in rows}
        return [(scores[example["id"]], False) for example in examples]


LENGTHS = ["--max_input_tokens=512", "--max_target_tokens=16"]


def test_options_are_ranked_as_by_us(
    model_dir: Path,
    p3_dir: Path,
    mini_vocabulary: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The accuracy and each answer are those of `rank`, in a folder that was moved."""
    of_p3 = [f"--p3_data={p3_dir}", "--split=validation"]
    export(tmp_path / "written", "mixed", *of_p3)
    folder = tmp_path / "moved"
    shutil.move(tmp_path / "written", folder)
    found = run(folder, ["mixed"], Ours(model_dir), tmp_path / "out")
    gin.clear_config()
    for task in (COPA, ANLI):
        ranked = tmp_path / f"{task}-validation-1.jsonl"
        command = ["rank", f"--model_dir={model_dir}", f"--task={task}", f"--output={ranked}"]
        assert cli.main([*command, *of_p3, *LENGTHS]) == 0
        gin.clear_config()
        (samples,) = (tmp_path / "out" / "them__model").glob(f"samples_{task}_*.jsonl")
        how = [f"--task={task}", *of_p3, *LENGTHS, f"--vocabulary={mini_vocabulary}"]
        ours = scores(capsys, f"--predictions={ranked}", *how)
        assert ours == scores(capsys, f"--predictions={samples}", *how)
        assert found[task]["acc,none"] == pytest.approx(ours["accuracy"] / 100)
        mine, theirs = read_predictions(AnyPath(ranked)), read_predictions(AnyPath(samples))
        assert {id_: of.text for id_, of in mine.items()} == {
            id_: of.text for id_, of in theirs.items()
        }
    assert cli.main(["report", str(tmp_path / "out"), "--json"]) == 0
    row = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (row["run"], list(row["scores"])) == ("them__model", [ANLI, COPA])
    assert all("accuracy_ci95" in row["scores"][task] for task in (ANLI, COPA))


def test_answers_are_generated_as_by_us(
    model_dir: Path, mini_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    of_superni = [f"--data_dir={mini_dir}", "--split=test", "--max_instances_per_eval_task=1"]
    folder = export(tmp_path / "harness", SUPERNI, *of_superni, "--max_target_tokens=16")
    found = run(folder, [SUPERNI], model := Ours(model_dir), tmp_path / "out")
    assert model.asked[0][1] == {"until": [], "do_sample": False, "max_gen_toks": 16}
    gin.clear_config()
    predicted = tmp_path / f"{SUPERNI}-test-1.jsonl"
    command = ["predict", f"--model_dir={model_dir}", f"--task={SUPERNI}", f"--output={predicted}"]
    assert cli.main([*command, *of_superni, *LENGTHS]) == 0
    gin.clear_config()
    (samples,) = (tmp_path / "out").rglob("samples_*.jsonl")
    mine, theirs = read_predictions(AnyPath(predicted)), read_predictions(AnyPath(samples))
    assert {id_: of.text for id_, of in mine.items()} == {
        id_: of.text for id_, of in theirs.items()
    }
    ours = scores(capsys, f"--predictions={samples}", *of_superni)
    assert found[SUPERNI]["exact_match,none"] == pytest.approx(ours["exact_match"] / 100)


def test_exact_match_is_that_of_super_naturalinstructions(
    mini_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of answers that differ in case, punctuation and white space, and of wrong ones."""
    of_superni = [f"--data_dir={mini_dir}", "--split=test", "--max_instances_per_eval_task=5"]
    folder = export(tmp_path / "harness", SUPERNI, *of_superni)
    documents = lines_of(folder / f"{SUPERNI}.jsonl")
    forms = [
        str.upper,
        lambda text: f" {text}.\n",
        lambda text: f"not {text}",
        lambda text: text.replace(" ", "  "),
        lambda text: f"{text[:1]} {text[1:]}",
        lambda text: "",
        lambda text: f"'{text}' !",
    ]
    answers = {
        of["inputs"]: form(of["references"][-1])
        for of, form in zip(documents, itertools.cycle(forms), strict=False)
    }
    found = run(folder, [SUPERNI], Answers(answers.__getitem__), tmp_path / "out")
    ours = scores(capsys, f"--predictions={tmp_path / 'out'}", *of_superni)
    assert 50 < ours["exact_match"] < 80
    assert found[SUPERNI]["exact_match,none"] == pytest.approx(ours["exact_match"] / 100)
    assert {"rougeL", "rouge1"} <= ours.keys()


def declare(name: str, targets: Sequence[Any], prompt: str = "Which?", **fields: Any) -> None:
    rows = [
        {"id": str(number), **{key: values[number] for key, values in fields.items()}}
        for number in range(len(targets))
    ]
    source = Source(
        ("test",), {"id": False, **dict.fromkeys(fields, True)}, lambda split: rows, str
    )
    rendering = Rendering(lambda *_: lambda id_: (prompt, "trained on"), reads=["id"])
    registry.add(Task(name, source, rendering, lambda of: targets[int(of["id"])], []))


@pytest.fixture(autouse=True)
def declared() -> Iterator[None]:
    configuration.import_declarations()
    registry.add(registry.Mixture("mixed", {COPA: 1.0, ANLI: 1.0}))
    yield
    for name in ("mixed", *(name for name in registry._added if name.startswith("harness_"))):
        registry._added.pop(name)


def test_what_is_ranked_and_what_is_generated(tmp_path: Path) -> None:
    options = [["yes", "no", "yes"], ["no", "yes"]]
    right = [Target(("yes",)), Target(("yes", "no"))]
    declare("harness_ranked", right, options=options)
    declare("harness_at_once", right, "Answer:\n", options=options)
    declare("harness_without_right_ones", [Target(("yes",)), Target(("maybe",))], options=options)
    declare("harness_some_options", right, options=[options[0], []])
    declare("harness_text", ["yes", "no"])
    folder = export(tmp_path, "harness_*", "--split=test")
    assert lines_of(folder / "harness_ranked.jsonl") == [
        {
            "id": "0",
            "inputs": "Which?",
            "references": ["yes"],
            "options": ["yes", "no", "yes"],
            "labels": [0],
        },
        {
            "id": "1",
            "inputs": "Which?",
            "references": ["yes", "no"],
            "options": ["no", "yes"],
            "labels": [0, 1],
        },
    ]
    assert lines_of(folder / "harness_text.jsonl")[1]["references"] == ["trained on"]
    model = Answers(lambda prompt: "Trained on!", lambda prompt, option: float("no" in option))
    names = sorted(path.stem for path in folder.glob("*.yaml"))
    found = run(folder, names, model, tmp_path / "out")
    assert {
        name: {key: value for key, value in of.items() if key in ("acc,none", "exact_match,none")}
        for name, of in found.items()
    } == {
        "harness_at_once": {"acc,none": 0.5},
        "harness_ranked": {"acc,none": 0.5},
        "harness_some_options": {"exact_match,none": 0},
        "harness_text": {"exact_match,none": 1},
        "harness_without_right_ones": {"exact_match,none": 0},
    }
    ranked = {asked for asked in model.asked if isinstance(asked[1], str)}
    assert ranked == {
        *(("Which?", f" {option}") for option in ("yes", "no")),
        *(("Answer:\n", option) for option in ("yes", "no")),
    }


def test_refusals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(*words: str) -> str:
        command = ["tasks", "export", f"--harness={tmp_path}", "--split=test", *words]
        assert cli.main(command) == 2
        assert not list(tmp_path.iterdir())
        return capsys.readouterr().err

    declare("harness_options", [OptionTarget("0", is_correct=True)])
    assert "harness_options: an example is one option of a question" in refused("harness_options")
    declare("harness_text", ["yes"])
    assert "--format=jsonl is of --output" in refused("harness_text", "--format=jsonl")
    assert "--drawn=5 is of --output" in refused("harness_text", "--drawn=5")
    assert "--max_target_tokens=0 must be" in refused("harness_text", "--max_target_tokens=0")
    command = ["tasks", "export", "harness_text", "--output=-", "--max_target_tokens=5"]
    assert cli.main(command) == 2
    assert "--max_target_tokens=5 is of --harness" in capsys.readouterr().err
