"""`tk-instruct tasks …`: whole outputs, numbers against an independent count, exit statuses."""

import contextlib
import json
import logging
import math
import os
import pty
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gin
import pytest

from tk_instruct import cli
from tk_instruct.data import registry
from tk_instruct.data.task import Download
from tk_instruct.data.tokens import FeatureLengths
from tk_instruct.data.vocabulary import vocabulary
from tk_instruct.errors import UserError
from tk_instruct.inspection import count
from tk_instruct.tasks.superni import prompt
from tk_instruct.tasks.superni.records import Example, SuperNI

TASK = "superni_en_def_pos2"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _configured(on_the_mini_benchmark: None) -> Iterator[None]:
    yield
    logging.getLogger("absl").setLevel(logging.NOTSET)  # the command line silences it


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `tk-instruct tasks …`: exit status, standard output and standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = cli.main(["tasks", *arguments])
        gin.clear_config()
        return status, *capsys.readouterr()

    return run


def tokens_of(example: Example, encoding: str = "def_pos2") -> int:
    """EOS included, however long."""
    return len(vocabulary().encode(text_of(example, encoding))) + 1


def text_of(example: Example, encoding: str = "def_pos2") -> str:
    (form,) = prompt.ENCODINGS[encoding]
    return prompt.render(example.task, example.input, form)


def test_list(run: Run) -> None:
    status, out, err = run("list", "superni_*_def_pos[12]")
    assert (status, err) == (0, "")
    assert out == (
        "name                       kind\n"
        "superni_en_def_pos1        task\n"
        "superni_en_def_pos2        task\n"
        "superni_xlingual_def_pos1  task\n"
        "superni_xlingual_def_pos2  task\n"
    )


def test_list_of_one_track(run: Run) -> None:
    _, out, _ = run("list", "superni_en_*")
    names = [line.split()[0] for line in out.splitlines()[1:]]
    assert [name for name in names if "." not in name] == sorted(
        f"superni_en_{encoding}" for encoding in prompt.ENCODINGS
    )


def test_list_needs_no_data(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TK_INSTRUCT_SUPERNI_DIR")
    monkeypatch.delenv("TK_INSTRUCT_VOCABULARY")
    status, out, _ = run("list", "--json", "superni_tk")
    assert status == 0
    assert json.loads(out) == {
        "name": "superni_tk_instruct",
        "kind": "mixture",
        "splits": ["dev", "excluded", "test", "train", "validation"],
    }


def test_list_of_nothing(run: Run) -> None:
    status, out, err = run("list", "superni_de_*")
    assert (status, out) == (2, "")
    assert err == "error: no task or mixture matches 'superni_de_*'; `tasks list` shows all\n"


def test_parameters_by_gin(run: Run, tmp_path: Path, mini_dir: Path) -> None:
    path = tmp_path / "cot.jsonl"
    rows = ({"inputs": f"question {k}", "targets": f"answer {k}"} for k in range(3))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    show = ["show", "flan_2022_cot", "--json", "-n=1"]
    status, out, _ = run(*show, f"--gin.FLAN2022.cot={path}")
    assert (status, json.loads(out)["task"]) == (0, "cot")
    status, _, err = run(*show, f"--gin.FLAN2022.cto={path}")
    assert (status, "FLAN2022 has no parameter 'cto'; did you mean cot?" in err) == (2, True)


def test_data_and_vocabulary_of_a_recipe(
    run: Run, mini_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TK_INSTRUCT_SUPERNI_DIR")
    monkeypatch.delenv("TK_INSTRUCT_VOCABULARY")
    recipe = tmp_path / "own.gin"
    recipe.write_text(f'DATA_DIR = "{mini_dir}"\nVOCABULARY = "bytes"\nTRAIN_STEPS = 3\n')
    show = ["show", TASK, "--json", "-n=1", f"--gin_file={recipe}"]
    status, out, _ = run(*show)
    found = json.loads(out)
    assert (status, found["input_tokens"]) == (0, len(found["inputs"].encode()) + 1)
    status, _, err = run(*show, "--gin.DATA_DRI=x")
    assert (status, "DATA_DRI is used by nothing; did you mean DATA_DIR?" in err) == (2, True)


def test_show_as_json(run: Run, mini_dir: Path) -> None:
    status, out, _ = run("show", TASK, "--split", "test", "-n", "70", "--json")
    assert status == 0
    found = [json.loads(line) for line in out.splitlines()]
    examples = SuperNI(str(mini_dir)).examples("default", "test")[:70]
    assert found == [
        {
            "id": example.id,
            "task": example.task.name,
            "split": "test",
            "inputs": text_of(example),
            "targets": list(example.references),
            "input_tokens": tokens_of(example),
            "category": example.task.categories[0],
        }
        for example in examples
    ]
    keys = ["id", "task", "split", "inputs", "targets", "input_tokens", "category"]
    assert list(found[0]) == keys


@pytest.mark.parametrize("limit", [20, 45])
def test_show_within_a_limit(run: Run, mini_dir: Path, limit: int) -> None:
    _, out, _ = run("show", TASK, "--max_input_tokens", str(limit), "-n", "9", "--json")
    examples = SuperNI(str(mini_dir)).examples("default", "train")
    for line, example in zip(out.splitlines(), examples[:9], strict=True):
        found = json.loads(line)
        assert found["input_tokens"] <= limit < tokens_of(example)
        assert found["inputs"] != text_of(example)
        if tokens_of(example, "def") > limit:
            assert found["input_tokens"] == limit


def test_show_as_text(run: Run, mini_dir: Path) -> None:
    status, out, err = run("show", "superni_en_input_only", "-n", "2", "--max_input_tokens", "64")
    assert (status, err) == (0, "")
    expected = []
    segments: dict[str, str] = {"inputs": "", "targets": ""}
    examples = SuperNI(str(mini_dir)).examples("default", "train")[:2]
    for number, example in enumerate(examples, start=1):
        assert len(example.references) == 1
        text = text_of(example, "input_only")
        ids = {
            "inputs": [*vocabulary().encode(text), 1],
            "targets": [*vocabulary().encode(example.references[0]), 1],
        }
        expected.append(f"── {number} ── {example.task.name} ── train ── {example.id}")
        expected += [f"category  {example.task.categories[0]}", text]
        expected.append(f"target  {example.references[0]}")
        for feature, limit in (("inputs", 64), ("targets", 128)):
            assert len(ids[feature]) <= 24
            shown = " ".join(map(str, ids[feature]))
            expected.append(f"{feature}: {len(ids[feature])} of {limit} tokens: {shown}")
            segments[feature] += str(number) * len(ids[feature])
        expected.append("")
    expected.append("packed rows (example number at each position, . is padding)")
    # 128 target positions are shown in 64 characters: every other one.
    targets = segments["targets"].ljust(128, ".")[::2]
    expected.append(f"{segments['inputs'].ljust(64, '.')} │ {targets}")
    assert out == "\n".join(expected) + "\n"


def test_packed_rows_are_numbered_by_example(run: Run) -> None:
    """Through all rows, in each of which segments count from 1."""
    arguments = ("-n", "9", "--max_input_tokens", "64", "--max_target_tokens", "64")
    _, out, _ = run("show", "superni_en_input_only", *arguments)
    lines = [line for line in out.splitlines() if line.startswith("inputs: ")]
    num_tokens = {str(n): int(line.split()[1]) for n, line in enumerate(lines, start=1)}
    _, _, rows = out.partition("is padding)\n")
    inputs = [row.split(" │ ")[0] for row in rows.splitlines()]
    assert 1 < len(inputs) < 9
    assert all(len(row) == 64 for row in inputs)
    held = {n: [row.count(n) for row in inputs] for n in num_tokens}
    assert {n: sum(found) for n, found in held.items()} == num_tokens
    assert all(sum(map(bool, found)) == 1 for found in held.values())


def test_long_features_are_shortened_and_all_references_shown(run: Run, mini_dir: Path) -> None:
    examples = SuperNI(str(mini_dir)).examples("default", "test")
    several = next(example for example in examples if len(example.references) > 1)
    _, out, _ = run("show", TASK, "--split", "test", "--task", several.task.name, "-n", "60")
    start = out.index(several.id)
    shown = out[start:].partition("\n── ")[0]
    assert f"target  {several.references[0]}\n     or {several.references[1]}\n" in shown
    ids = [str(token) for token in vocabulary().encode(text_of(several))] + ["1"]
    expected = f"inputs: {len(ids)} of 1024 tokens: {' '.join(ids[:18])} … {' '.join(ids[-5:])}\n"
    assert expected in shown


def test_show_one_constituent_of_a_mixture(run: Run, mini_dir: Path) -> None:
    """It is in one track's test split only; the other track is passed over."""
    name = (mini_dir / "splits/xlingual/test_tasks.txt").read_text().split()[1]
    arguments = ("--split", "test", "--task", name, "-n", "100", "--json")
    status, out, err = run("show", "superni_def", *arguments)
    assert (status, err) == (0, "")
    found = [json.loads(line) for line in out.splitlines()]
    assert [example["id"] for example in found] == [
        example.id for example in SuperNI(str(mini_dir)).examples("xlingual", "test", name)
    ]


def test_show_a_constituent_whose_name_seqio_refuses(
    run: Run, mini_dir: Path, tmp_path: Path
) -> None:
    shutil.copytree(mini_dir, tmp_path / "tree")
    old = (mini_dir / "splits/default/test_tasks.txt").read_text().split()[0]
    new = "task137_detoxifying-lms_squad1.1"
    (tmp_path / "tree/tasks" / f"{old}.json").rename(tmp_path / "tree/tasks" / f"{new}.json")
    (tmp_path / "tree/splits/default/test_tasks.txt").write_text(new)
    arguments = ("--split", "test", "--task", new, "-n", "1", "--json")
    status, out, _ = run("show", TASK, *arguments, "--data_dir", str(tmp_path / "tree"))
    assert status == 0
    assert json.loads(out)["task"] == new


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["superni_en_def_pos22"], "task or mixture 'superni_en_def_pos22' is not declared; did"),
        ([TASK, "--split", "tset"], f"split='tset' is not one of {TASK}'s: dev, excluded, test"),
        (
            [TASK, "--task", "task9001_mini_antonym_generatoin"],
            "task='task9001_mini_antonym_generatoin' is not in split 'train' of default; did you "
            "mean task9001_mini_antonym_generation?\n",
        ),
        (
            [TASK, "--task", "no such"],
            "task='no such' is not in split 'train' of default; train_tasks.txt lists those that "
            "are\n",
        ),
        (
            [TASK, "--task", "task9001_mini_antonym_generation", "--split", "test"],
            "task='task9001_mini_antonym_generation' is not in split 'test' of default; it is in "
            "'train'\n",
        ),
        ([TASK, "--split", "dev"], "split 'dev' of default: there is no splits/default/dev_tasks"),
        ([TASK, "-n", "0"], "-n 0 must be at least 1\n"),
        ([TASK, "--max_input_tokens", "0"], "feature length inputs=0 must be a whole number ≥ 2"),
        ([TASK, "--max_target_tokens", "1"], "feature length targets=1 must be a whole number ≥ "),
        ([TASK, "--data_dir", "/no/data"], "data_dir='/no/data': /no/data is not a directory; "),
        ([TASK, "--vocabulary", "mt6"], "vocabulary='mt6' is neither a file nor one of t5, mt5, "),
        (
            [TASK, "--max_instances_per_train_task", "0"],
            "SuperNI.max_instances_per_train_task=0 must be a whole number ≥ 1\n",
        ),
    ],
)
def test_show_of_what_is_not_there(run: Run, arguments: list[str], message: str) -> None:
    status, out, err = run("show", *arguments)
    assert (status, out) == (2, "")
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


def test_no_data_at_all(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TK_INSTRUCT_SUPERNI_DIR")
    status, out, err = run("show", TASK)
    assert (status, out) == (2, "")
    assert err.startswith("error: no Super-NaturalInstructions data directory is set: give --data")
    assert err.count("\n") == 1


def percentile(values: list[int], p: int) -> int:
    """The smallest of the values that at least p per cent of the gaps lie below."""
    ordered = sorted(values)
    return ordered[math.ceil((len(ordered) - 1) * p / 100)]


@pytest.mark.parametrize("limit", [48, 64])
def test_stats_against_an_independent_count(run: Run, mini_dir: Path, limit: int) -> None:
    status, out, _ = run(
        *("stats", TASK, "--split", "test", "--json", "--max_instances_per_eval_task", "8"),
        *("--max_input_tokens", str(limit), "--max_target_tokens", "4"),
    )
    assert status == 0
    found = json.loads(out)
    examples = SuperNI(str(mini_dir), max_instances_per_eval_task=8).examples("default", "test")
    inputs = [tokens_of(example) for example in examples]
    num_cut = sum(tokens_of(example, "def") > limit for example in examples)
    assert 0 < num_cut < len(examples) or limit == 64
    assert (found["tasks"], found["instances"]) == (13, len(examples)) == (13, 13 * 8)
    assert found["inputs_cut"] == round(num_cut / len(examples), 4)
    assert found["tokens"]["inputs"] == {
        "mean": round(sum(inputs) / len(inputs), 1),
        **{f"p{p}": percentile(inputs, p) for p in (50, 90, 99, 100)},
        "limit": limit,
        "shortened": round(sum(n > limit for n in inputs) / len(inputs), 4),
    }
    assert found["tokens"]["inputs"]["shortened"] > 0

    read = registry.get(TASK).examples("test", FeatureLengths(limit, 4))
    gin.bind_parameter("SuperNI.max_instances_per_eval_task", 8)
    num_tokens = {"inputs": 0, "targets": 0}
    num_full_targets = []
    for example in read:
        num_tokens["inputs"] += len(example["inputs"])
        num_tokens["targets"] += len(example["targets"])
        num_full_targets.append(len(vocabulary().encode(example["targets_pretokenized"])) + 1)
    assert found["tokens"]["targets"]["p100"] == max(num_full_targets)
    num_longer = sum(n > 4 for n in num_full_targets)
    assert found["tokens"]["targets"]["shortened"] == round(num_longer / len(examples), 4)
    for feature, length in (("inputs", limit), ("targets", 4)):
        held = found["packing_rate"][feature] * found["packed_rows"] * length
        assert held == pytest.approx(num_tokens[feature], abs=found["packed_rows"] * length * 1e-4)

    files = [mini_dir / "tasks" / f"{e.task.name}.json" for e in examples[::8]]
    for field, key in (("categories", "Categories"), ("input_languages", "Input_language")):
        values = [json.loads(path.read_text())[key][0] for path in files]
        assert found[field] == {value: values.count(value) for value in values}


def test_stats_as_text(run: Run) -> None:
    few = ("--max_instances_per_eval_task", "2", "--max_instances_per_train_task", "2")
    _, as_json, _ = run("stats", "superni_xlingual_def_pos1", "--json", *few)
    status, out, err = run("stats", "superni_xlingual_def_pos1", *few)
    assert (status, err) == (0, "")
    train, test = map(json.loads, as_json.splitlines())
    assert (train["split"], test["split"]) == ("train", "test")
    blocks = out.removesuffix("\n").split("\n\n")
    assert len(blocks) == 2
    lines = blocks[1].splitlines()
    assert lines[0] == "superni_xlingual_def_pos1 / test: 4 tasks, 8 instances"
    assert lines[2] == "  input languages   " + ", ".join(
        f"{language} {number}" for language, number in test["input_languages"].items()
    )
    assert lines[4].split() == [
        "tokens",
        "mean",
        "p50",
        "p90",
        "p99",
        "p100",
        "limit",
        "shortened",
        "packed",
    ]
    numbers = test["tokens"]["inputs"]
    assert lines[5].split() == [
        "inputs",
        f"{numbers['mean']:.1f}",
        *(str(numbers[key]) for key in ("p50", "p90", "p99", "p100")),
        "1024",
        "0.0%",
        f"{100 * test['packing_rate']['inputs']:.1f}%",
    ]
    rows = test["packed_rows"]
    assert lines[-1] == (
        f"  0.0% of inputs lose their end; packed into {rows} rows of {8 / rows:.1f} examples"
    )


def test_count_of_a_single_instance() -> None:
    gin.bind_parameter("SuperNI.max_instances_per_eval_task", 1)
    name = registry.subset(TASK, SuperNI().task_names("default", "test")[0])
    found = count(registry.get(name), "test", FeatureLengths(128, 16))
    assert (found["tasks"], found["instances"], found["packed_rows"]) == (1, 1, 1)
    inputs = found["tokens"]["inputs"]
    assert {inputs[f"p{p}"] for p in (50, 90, 99, 100)} == {int(inputs["mean"])}


def test_doctor_says_by_its_status_whether_something_is_wrong(
    run: Run, mini_dir: Path, tmp_path: Path
) -> None:
    status, out, _ = run("doctor")
    assert status == 0
    assert re.search(r"\d+ tasks", out)

    shutil.copytree(mini_dir, tmp_path / "tree")
    name = SuperNI(str(mini_dir)).task_names("default", "test")[0]
    path = tmp_path / "tree" / "tasks" / f"{name}.json"
    content: dict[str, Any] = json.loads(path.read_text())
    content["Instances"][1]["id"] = content["Instances"][0]["id"]
    path.write_text(json.dumps(content))
    status, out, _ = run("doctor", "--data_dir", str(tmp_path / "tree"))
    assert status == 1
    assert name in out
    status, out, _ = run("doctor", "--json", "--data_dir", str(tmp_path / "tree"))
    assert status == 1
    assert all(name in json.dumps(json.loads(line)) for line in out.splitlines())
    assert len(out.splitlines()) == 1
    status, _, err = run("doctor", "--data_dir", str(tmp_path / "nowhere"))
    assert status == 2
    assert "nowhere is not a directory" in err


def test_real_examples(run: Run, shared_data: Path) -> None:
    """Token counts under T5's vocabulary, EOS included."""
    name = "task1344_glue_entailment_classification"
    root = shared_data / "natural-instructions"
    model = shared_data / "t5-vocabulary" / "sentencepiece.model"
    status, out, _ = run(
        *("show", TASK, "--split", "test", "--task", name, "-n", "2", "--json"),
        *("--data_dir", str(root), "--vocabulary", str(model)),
    )
    assert status == 0
    found = [json.loads(line) for line in out.splitlines()]
    assert [example["input_tokens"] for example in found] == [283, 363]
    examples = SuperNI(str(root)).examples("default", "test", name)[:2]
    assert [example["inputs"] for example in found] == [text_of(e) for e in examples]
    assert [example["targets"] for example in found] == [list(e.references) for e in examples]


def test_prepare_gets_what_a_suite_says_and_each_download_once(run: Run, tmp_path: Path) -> None:
    got = []

    def get(name: str) -> Any:
        got.append(name)
        if name == "broken":
            raise UserError("broken cannot be fetched; wait")
        return tmp_path / name

    whole: Any = registry.get(TASK)
    for name, wanted in {"a": "rows", "b": "rows", "c": "broken", "d": None}.items():
        download = Download(wanted, partial(get, wanted)) if wanted else None
        source = replace(whole.source, download=download)
        registry.add(replace(whole, name=f"prepared_{name}", source=source))
    registry.add(registry.Mixture("prepared_all", {f"prepared_{name}": 1 for name in "abcd"}))
    status, out, err = run("prepare", "prepared_all", "prepared_a")
    assert got == ["rows", "broken"]
    assert (status, out) == (1, f"[1/2] rows is in {tmp_path / 'rows'}\n")
    assert err == "[2/2] broken cannot be fetched; wait\n"
    status, _, err = run("prepare", "prepared_d")
    assert status == 2
    assert err.startswith("error: prepared_d: there is nothing to download; ")
    for name in registry.names("prepared_*"):
        registry._added.pop(name)


def read_to_end(master: int) -> str:
    """What a terminal has got; Linux carries it over in parts, some after the last write."""
    written = b""
    with contextlib.suppress(OSError):  # how it says that all is read
        while part := os.read(master, 1 << 16):
            written += part
    os.close(master)
    return written.decode()


def test_a_hostile_task_on_a_terminal(
    mini_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile, shown = "a\x1b[31m\a\u202eb", r"a\x1b[31m\x07\u202eb"
    tree = shutil.copytree(mini_dir, tmp_path / "tree")
    name = (tree / "splits" / "default" / "test_tasks.txt").read_text().split()[0]
    path = tree / "tasks" / f"{name}.json"
    content = json.loads(path.read_text())
    content["Instances"][0] = {"id": hostile, "input": hostile, "output": [hostile]}
    path.write_text(json.dumps(content))
    show = ["tasks", "show", "superni_en_input_only", "--split=test", "-n1", f"--data_dir={tree}"]
    master, slave = pty.openpty()
    with open(slave, "w") as terminal, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", terminal)
        assert cli.main([*show, "--vocabulary=bytes"]) == 0
    written = read_to_end(master)
    assert written.count(shown) >= 3
    assert not set("\x1b\a\u202e") & set(written)


def test_rates_of_a_mixture(run: Run) -> None:
    status, out, _ = run("rates", "superni_def", "--json")
    found = {each["name"]: each["share"] for each in map(json.loads, out.splitlines())}
    names = ["superni_en_def", "superni_xlingual_def"]
    counts = [registry.get(name).num_input_examples("train") for name in names]  # type: ignore[union-attr]
    shares = [count / sum(counts) for count in counts]
    assert (status, found) == (0, pytest.approx(dict(zip(names, shares, strict=True))))
    status, out, _ = run("rates", names[0])
    assert (status, out.split()[-4:-2]) == (0, ["100.000%", "all"])
