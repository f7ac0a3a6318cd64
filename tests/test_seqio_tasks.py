"""Tasks that a module of the user's declares to SeqIO alone, in every verb."""

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gin
import pytest
import seqio
import tensorflow as tf

from tk_instruct import cli, configuration, inspection
from tk_instruct.data import cache, code, registry
from tk_instruct.data.task import check_vocabulary
from tk_instruct.data.tokens import FeatureLengths
from tk_instruct.errors import UserError

LENGTHS = FeatureLengths(32, 16)
MINE = '''
"""Lines of a file, examples that a function makes, and a mixture of them with a task of a suite."""

from functools import partial

import seqio
import tensorflow as tf

import mine_text
import tk_instruct.tasks.jsonl.mixtures

FEATURES = {
    name: seqio.Feature(seqio.ByteVocabulary(), add_eos=True) for name in ("inputs", "targets")
}
FIELDS = ["inputs", "targets"]


def split_line(dataset, names):
    def split(line):
        parts = tf.strings.split(line, "\\t")
        return {names[0]: parts[0], names[1]: parts[1]}

    return dataset.map(split)


@seqio.map_over_dataset
def ask(example):
    return {**example, "inputs": tf.strings.join(["say ", example["inputs"]])}


def matches(targets, predictions):
    return {"matches": 100 * sum(map(str.__eq__, targets, predictions)) / len(targets)}


def lower(text, example=None, is_target=False):
    return text.lower()


seqio.TaskRegistry.add(
    "mine_lines",
    source=seqio.TextLineDataSource({"train": "train.tsv", "test": "test.tsv"}),
    preprocessors=[
        partial(split_line, names=FIELDS),
        ask,
        mine_text.louder,
        seqio.preprocessors.tokenize,
        seqio.preprocessors.append_eos_after_trim,
    ],
    output_features=FEATURES,
    postprocess_fn=lower,
    metric_fns=[matches],
)


def made(split, shuffle_files, seed=None):
    numbers = [str(n) for n in range(9 if split == "train" else 4)]
    return tf.data.Dataset.from_tensor_slices({"inputs": numbers, "targets": numbers})


seqio.TaskRegistry.add(
    "mine_made",
    source=seqio.FunctionDataSource(made, splits=["train", "test"]),
    preprocessors=[seqio.preprocessors.tokenize, seqio.preprocessors.append_eos],
    output_features=FEATURES,
    metric_fns=[matches],
)
seqio.MixtureRegistry.add("mine_all", [("mine_lines", 2), ("mine_made", 1), ("jsonl", 1)])
'''
MINE_TEXT = """
import seqio
import tensorflow as tf

MARK = "!"


@seqio.map_over_dataset
def louder(example):
    return {**example, "inputs": tf.strings.join([example["inputs"], MARK])}
"""
Run = Callable[..., str]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of the user's with a module mine and its data, which is the current one."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TK_INSTRUCT_CACHE_DIR", str(tmp_path / "cache"))
    Path("mine.py").write_text(MINE)
    Path("mine_text.py").write_text(MINE_TEXT)
    Path("train.tsv").write_text("".join(f"Word {k}\tWord {k}\n" for k in range(12)))
    Path("test.tsv").write_text("a\tA\nb\tb\n")
    Path("lines.jsonl").write_text('{"inputs": "c", "targets": "d"}\n')
    yield tmp_path
    forget()


def forget() -> None:
    """As in a new process the modules are imported, and their code read, again."""
    for name in ("mine", "mine_text"):
        sys.modules.pop(name, None)
    for of_kind in (seqio.MixtureRegistry, seqio.TaskRegistry):
        for name in [name for name in of_kind.names() if name.startswith("mine")]:
            of_kind.remove(name)
    code._hash_of.cache_clear()
    importlib.invalidate_caches()


@pytest.fixture
def run(here: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """A verb's output; what it says on standard error where it fails."""

    def run_verb(*arguments: str, status: int = 0) -> str:
        capsys.readouterr()
        found = cli.main(arguments)
        captured = capsys.readouterr()
        assert found == status, captured.err
        return captured.err if status else captured.out

    return run_verb


def test_the_module_is_found_in_the_current_folder_and_no_vocabulary_is_needed(here: Path) -> None:
    command = [Path(sys.executable).with_name("tk-instruct"), "tasks", "show", "mine_made"]
    command += ["--import=mine", "--split=test", "-n=1", "--json"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, cwd=here)
    assert json.loads(shown.stdout) == {
        "id": "mine_made-test-0",
        "task": "mine_made",
        "split": "test",
        "inputs": "0",
        "targets": ["0"],
        "input_tokens": 2,
    }


def by_seqios_evaluator(name: str, answers: list[str]) -> dict[str, float]:
    evaluator = seqio.Evaluator(
        name,
        feature_converter=seqio.EncDecFeatureConverter(pack=False),
        eval_split="test",
        sequence_length=LENGTHS.as_dict(),
    )
    ids = [[*seqio.ByteVocabulary().encode(text), 1] for text in answers]
    metrics, _ = evaluator.evaluate(
        compute_metrics=True,
        step=0,
        predict_fn=lambda dataset: [(int(n), ids[int(n)]) for n, _ in dataset.as_numpy_iterator()],
    )
    return dict(metrics.result()[name])


def test_every_verb(here: Path, run: Run, tiny_recipe: list[str]) -> None:
    mine = ["--import=mine", "--jsonl=train=lines.jsonl"]
    listed = run("tasks", "list", "mine*", "--import=mine").split()
    assert listed[2:] == ["mine_all", "mixture", "mine_lines", "task", "mine_made", "task"]
    shown = run("tasks", "show", "mine_lines", "-n=1", *mine)
    assert "say Word 0!\ntarget  Word 0\n" in shown
    counted = run("tasks", "stats", "mine_all", "--split=train", "--vocabulary=bytes", *mine)
    for name, count in {"mine_lines": 12, "mine_made": 9, "jsonl": 1}.items():
        assert f"{name} / train: 1 tasks, {count} instances" in counted

    macros = {
        "VOCABULARY": "bytes",
        "MIXTURE_OR_TASK_NAME": "mine_all",
        "TASK_FEATURE_LENGTHS": LENGTHS.as_dict(),
        "MODEL_DIR": "run",
        "EVAL_PERIOD": 0,
    }
    recipe = [*tiny_recipe, *(f"--gin.{name}={value}" for name, value in macros.items()), *mine]
    run("train", *recipe, "--gin.TRAIN_STEPS=1")
    run("train", *recipe, "--gin.TRAIN_STEPS=2")  # it goes on
    steps = [
        json.loads(line)["step"] for line in Path("run/metrics.jsonl").read_text().splitlines()
    ]
    assert steps[-1] == 2

    for name in ("mine_lines", "mine_made"):
        run("predict", "--model_dir=run", f"--task={name}", "--import=mine")
        predicted = Path(f"run/predictions/{name}-test-2.jsonl")
        rows = [json.loads(line) for line in predicted.read_text().splitlines()]
        assert {row["task"] for row in rows} == {name}
        # Of an answer that is right but for its case, and of others.
        answers = [["a", "x"], ["0", "x", "2", "x"]][name == "mine_made"]
        for row, answer in zip(rows, answers, strict=True):
            row["prediction"] = answer
        predicted.write_text("".join(json.dumps(row) + "\n" for row in rows))
        evaluate = ["evaluate", f"--task={name}", f"--predictions={predicted}", "--json=-"]
        scores = json.loads(run(*evaluate, "--import=mine"))
        assert (scores["matches"], scores["num_examples"]) == (50, len(answers))
        assert by_seqios_evaluator(name, answers) == {"matches": 50}
    Path("train.tsv").write_text("Other\tOther\n")
    assert "mine_lines" in run("train", *recipe, "--gin.TRAIN_STEPS=3", status=2)


def edit(path: str, old: str, new: str) -> None:
    text = Path(path).read_text()
    assert old in text
    Path(path).write_text(text.replace(old, new))


def tokens() -> tuple[int, list[list[int]]]:
    """How many token files there are once the task's train split is read, and its inputs."""
    forget()
    configuration.import_declarations(["mine"])
    gin.bind_parameter("vocabulary.name", "bytes")
    [task] = registry.tasks_of("mine_lines")
    file = cache.open_tokens(task, "train", LENGTHS)
    inputs = [file[k].inputs.tolist() for k in range(len(file))]
    return len(list(Path("cache/tokens").iterdir())), inputs


def test_tokens_are_read_while_nothing_has_changed(here: Path) -> None:
    _, inputs = tokens()
    assert tokens() == (1, inputs)


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("train.tsv", "Word 3", "Word 4"),
        ("mine.py", '"say "', '"cry "'),
        ("mine_text.py", 'MARK = "!"', 'MARK = "?"'),
        ("mine.py", 'FIELDS = ["inputs", "targets"]', 'FIELDS = ["targets", "inputs"]'),
    ],
    ids=["text", "preprocessor", "helper", "argument"],
)
def test_what_has_changed_gives_new_tokens(here: Path, path: str, old: str, new: str) -> None:
    Path("train.tsv").write_text("".join(f"Word {k}\tA {k}\n" for k in range(12)))
    _, before = tokens()
    edit(path, old, new)
    number, after = tokens()
    assert number == 2
    assert after != before


SEQIOS_PREPROCESSORS = """
from functools import partial

import seqio
import tensorflow as tf


def made(split, shuffle_files, seed=None):
    return tf.data.Dataset.from_tensor_slices({"a": ["one", "two"], "b": ["three", "four"]})


BYTES = seqio.ByteVocabulary()
seqio.TaskRegistry.add(
    "mine_lines",
    source=seqio.FunctionDataSource(made, splits=["train"]),
    preprocessors=[
        partial(seqio.preprocessors.rekey, key_map={"inputs": "a", "targets": "b"}),
        seqio.preprocessors.tokenize,
        seqio.preprocessors.append_eos_after_trim,
    ],
    output_features={
        "inputs": seqio.Feature(BYTES, add_eos=True),
        "targets": seqio.Feature(BYTES),
    },
)
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('{"inputs": "a", "targets": "b"}', '{"inputs": "b", "targets": "a"}'),
        ("seqio.Feature(BYTES, add_eos=True)", "seqio.Feature(BYTES, add_eos=False)"),
    ],
    ids=["argument", "feature"],
)
def test_what_seqios_own_preprocessors_are_given_gives_new_tokens(
    here: Path, old: str, new: str
) -> None:
    """No preprocessor leads to the user's module."""
    Path("mine.py").write_text(SEQIOS_PREPROCESSORS)
    _, before = tokens()
    edit("mine.py", old, new)
    number, after = tokens()
    assert number == 2
    assert after != before


@pytest.mark.parametrize("feature", ["inputs", "targets"])
def test_ids_of_another_vocabulary_are_refused(
    feature: str, run: Run, tiny_recipe: list[str]
) -> None:
    other = f'seqio.PassThroughVocabulary(300) if name == "{feature}" else seqio.ByteVocabulary()'
    recipe = [*tiny_recipe, "--gin.VOCABULARY=bytes", "--gin.MIXTURE_OR_TASK_NAME=mine_made"]
    recipe += ["--gin.MODEL_DIR=run", "--gin.TRAIN_STEPS=1", "--gin.EVAL_PERIOD=0"]
    run("train", *recipe, "--import=mine")
    forget()
    edit("mine.py", "seqio.ByteVocabulary()", other)
    edit("mine.py", "seqio.preprocessors.tokenize, seqio.preprocessors.append_eos]", "numbered]")
    edit("mine.py", "seqio.TaskRegistry.add", NUMBERED + "seqio.TaskRegistry.add")
    message = "task 'mine_made' has a vocabulary of its own (fingerprint "
    assert "inputs: 2 of 1024 tokens: 5 1" in run(
        "tasks", "show", "mine_made", "-n=1", "--import=mine"
    )
    for verb in ("predict", "rank"):
        said = run(verb, "--model_dir=run", "--import=mine", status=2)
        assert message in said
    recipe += ["--gin.MODEL_DIR=other"]
    said = run("train", *recipe, "--import=mine", status=2)
    assert message in said
    assert "OUTPUT_FEATURES of tk_instruct.data.seqio_bridge.declarations" in said
    assert not Path("other").exists()


NUMBERED = """
@seqio.map_over_dataset
def numbered(example):
    return {name: tf.constant([5, 1]) for name in example}


"""


def test_a_task_may_take_the_runs_vocabulary(here: Path, mini_vocabulary: Path) -> None:
    import_ = "from tk_instruct.data.seqio_bridge.declarations import OUTPUT_FEATURES\nFEATURES ="
    edit("mine.py", "FEATURES =", import_)
    edit("mine.py", "output_features=FEATURES", "output_features=OUTPUT_FEATURES")
    _, before = tokens()
    gin.bind_parameter("vocabulary.name", str(mini_vocabulary))
    [task] = registry.tasks_of("mine_lines")
    file = cache.open_tokens(task, "train", LENGTHS)
    assert file[0].inputs.tolist() != before[0]


def test_a_sentencepiece_model_is_one_vocabulary_whoever_loads_it(
    here: Path, mini_vocabulary: Path
) -> None:
    edit(
        "mine.py",
        "seqio.ByteVocabulary()",
        f"seqio.SentencePieceVocabulary('{mini_vocabulary}', 100)",
    )
    configuration.import_declarations(["mine"])
    gin.bind_parameter("vocabulary.name", str(mini_vocabulary))
    [task] = registry.tasks_of("mine_lines")
    check_vocabulary(task)
    gin.bind_parameter("vocabulary.name", "bytes")
    with pytest.raises(UserError, match="has a vocabulary of its own"):
        check_vocabulary(task)


@pytest.mark.parametrize(
    ("said", "flags"),
    [
        ("import mine\n", ["--import=mine"]),
        ('MIXTURE_OR_TASK_MODULE = "mine"\n', ["--import=mine"]),
        ("", ["--gin.MIXTURE_OR_TASK_MODULE=mine"]),
        ("", ["--import=mine"]),
    ],
    ids=["import", "module", "module flag", "flag"],
)
def test_gin_names_the_module(
    here: Path, run: Run, tiny_recipe: list[str], said: str, flags: list[str]
) -> None:
    """In a file of a folder that is searched, which includes another file of it."""
    Path("gins").mkdir()
    Path("gins/mine.gin").write_text(f'{said}include "more.gin"\nEVAL_PERIOD = 0\n')
    Path("gins/more.gin").write_text('MIXTURE_OR_TASK_NAME = "mine_made"\nTRAIN_STEPS = 1\n')
    recipe = [*tiny_recipe, "--gin_search_paths=gins", "--gin_file=mine.gin"]
    recipe += ["--gin.VOCABULARY=bytes", "--gin.MODEL_DIR=run"]
    run("train", *recipe, *flags)
    assert "mixture = %MIXTURE_OR_TASK_NAME" in Path("run/config.gin").read_text()
    predict = ["predict", "--model_dir=run"]
    run(*predict, "--import=mine")
    forget()
    assert "'mine_made' is not declared" in run(*predict, status=2)  # a run's gin runs no code
    if said:
        refused = run("train", *recipe, status=2)
        assert "--import mine too" in refused or "--import MODULE too" in refused


def test_a_module_that_is_not_there_or_fails(here: Path, run: Run) -> None:
    said = run("tasks", "list", "--import=mine_too", status=2)
    assert (
        "--import mine_too: No module named 'mine_too'; give the name of a module in this" in said
    )


def test_a_file_that_is_not_there(here: Path, run: Run) -> None:
    Path("train.tsv").unlink()
    for verb in (["tasks", "show", "mine_lines"], ["tasks", "export", "mine_lines", "--output=-"]):
        said = run(*verb, "--import=mine", "--vocabulary=bytes", status=2)
        assert "train.tsv: is not there, and the task 'mine_lines' reads it; put it there" in said


def test_a_task_without_inputs_and_an_empty_split_are_said() -> None:
    def made(split: str, shuffle_files: bool, seed: int | None = None) -> tf.data.Dataset:
        texts = tf.constant([] if split == "test" else ["a"], tf.string)
        return tf.data.Dataset.from_tensor_slices({"inputs": texts, "targets": texts})

    def add(name: str, features: dict[str, seqio.Feature]) -> Any:
        seqio.TaskRegistry.add(
            name,
            source=seqio.FunctionDataSource(made, splits=["train", "test"]),
            preprocessors=[seqio.preprocessors.tokenize],
            output_features=features,
        )
        return registry.get(name)

    bytes_ = seqio.Feature(seqio.ByteVocabulary(), add_eos=False)
    lengths = FeatureLengths(inputs=8, targets=8)
    try:
        only_targets = add("only_targets", {"targets": bytes_})
        with pytest.raises(UserError, match="gives the features targets; what is trained"):
            list(only_targets.examples("train", lengths))
        both = add("sometimes_empty", {"inputs": bytes_, "targets": bytes_})
        (example,) = both.examples("train", lengths)
        assert both.unit_of(example) == example["id"] == "sometimes_empty-train-0"
        with pytest.raises(UserError, match="sometimes_empty/test has no examples"):
            inspection.count(both, "test", lengths)
    finally:
        for name in ("only_targets", "sometimes_empty"):
            if name in seqio.TaskRegistry.names():
                seqio.TaskRegistry.remove(name)


@dataclass(frozen=True)
class Template:
    text: str


@pytest.mark.parametrize("make", [Template, re.compile, Path, lambda text: {"x": Template(text)}])
def test_what_a_closure_holds_is_in_the_hash_of_code(make: Callable[[str], Any]) -> None:
    def render_by(template: Any) -> Callable[[], Any]:
        return lambda: template

    assert code.code_hash([render_by(make("a"))]) == code.code_hash([render_by(make("a"))])
    assert code.code_hash([render_by(make("a"))]) != code.code_hash([render_by(make("b"))])


def test_a_closure_that_is_not_filled_yet_has_a_hash() -> None:
    def function() -> Any:
        return later

    assert code.code_hash([function])
    later = 1


def test_texts_of_a_task_are_exported(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As the task gives them, or decoded."""
    command = ["tasks", "export", "mine_all", "--import=mine", "--output=-"]
    assert cli.main([*command, "--vocabulary=bytes", "--jsonl=train=lines.jsonl"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == {
        **{"id": "lines-1", "task": "jsonl", "inputs": "c", "targets": "d"},
        **{"task_name": "lines", "options": None, "references": ["d"]},
    }
    assert lines[1] == {
        **{"id": "mine_lines-train-0", "task": "mine_lines"},
        **{"inputs": "say Word 0!", "targets": "Word 0"},
    }
    assert lines[-1] == {
        **{"id": "mine_made-train-8", "task": "mine_made", "inputs": "8", "targets": "8"},
    }
    assert len(lines) == 1 + 12 + 9
