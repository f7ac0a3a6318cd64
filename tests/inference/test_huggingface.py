"""Models of Transformers answer as ours do: the same weights give the same answers and scores."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import gin
import numpy as np
import pytest

from tk_instruct import cli, configuration
from tk_instruct.data import registry
from tk_instruct.data.tokens import FeatureLengths
from tk_instruct.inference.examples import examples_of, with_prompts

torch = pytest.importorskip("torch", reason="the extra [hf] is not installed")
transformers = pytest.importorskip("transformers", reason="the extra [hf] is not installed")

TASK = "superni_en_def_pos2"
LENGTHS = ["--max_input_tokens=200", "--max_target_tokens=8"]


def rows_of(path: Path) -> dict[str, dict[str, Any]]:
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return {row["id"]: row for row in rows}


@pytest.fixture(scope="module")
def data(mini_dir: Path) -> list[str]:
    return [f"--data_dir={mini_dir}", "--vocabulary=bytes", *LENGTHS]


def random_weights(model: Any) -> Any:
    """The model with weights that answer in capital letters, each prompt in others."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        parameter.data.normal_(std=0.5)
    is_letter = torch.tensor([i == 1 or 65 <= i - 3 <= 90 for i in range(259)])
    model.lm_head.weight.data[~is_letter] = 0
    return model


@pytest.fixture(scope="module")
def byt5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random ByT5, whose ids are ours with --vocabulary=bytes."""
    folder = tmp_path_factory.mktemp("byt5")
    config = transformers.T5Config(
        vocab_size=259, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_decoder_layers=2,
        num_heads=4, feed_forward_proj="gated-gelu", tie_word_embeddings=False,
        decoder_start_token_id=0, pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    model = random_weights(transformers.T5ForConditionalGeneration(config))
    model.save_pretrained(folder)
    transformers.ByT5Tokenizer(extra_ids=0).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def ours(byt5: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ours") / "run"
    assert cli.main(["convert", str(byt5), str(folder), "--to=ours", "--vocabulary=bytes"]) == 0
    return folder


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random GPT-2 that reads bytes, with a chat template."""
    folder = tmp_path_factory.mktemp("gpt2")
    tokenizer = transformers.ByT5Tokenizer(extra_ids=0)
    tokenizer.chat_template = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
    )
    tokenizer.save_pretrained(folder)
    config = transformers.GPT2Config(
        vocab_size=259, n_positions=320, n_embd=32, n_layer=2, n_head=2,
        bos_token_id=1, eos_token_id=1, pad_token_id=0, tie_word_embeddings=False,
    )  # fmt: skip
    model = random_weights(transformers.GPT2LMHeadModel(config))
    # What a model brings along must not change how it is decoded.
    model.generation_config.repetition_penalty = 5.0
    model.save_pretrained(folder)
    return folder


def predicted(model: str, data: list[str], output: Path, *flags: str) -> dict[str, dict[str, Any]]:
    command = ["predict", model, f"--task={TASK}", "--limit=24", f"--output={output}", *data]
    assert cli.main([*command, *flags]) == 0
    return rows_of(output)


@pytest.mark.parametrize("flags", [[], ["--num_beams=3", "--length_penalty=0.6"]])
def test_the_same_weights_answer_the_same(
    byt5: Path, ours: Path, data: list[str], tmp_path: Path, flags: list[str]
) -> None:
    expected = predicted(f"--model_dir={ours}", data, tmp_path / "ours.jsonl", *flags)
    found = predicted(f"--model=hf:{byt5}", data, tmp_path / "hf.jsonl", *flags, "--batch_size=5")
    assert found.keys() == expected.keys()
    assert len({row["prediction"] for row in expected.values()}) > 5
    same = [found[id_]["prediction"] == row["prediction"].strip() for id_, row in expected.items()]
    assert sum(same) >= (len(same) if not flags else 20)  # beams of equal score may be told apart


def test_the_same_weights_score_the_same(
    byt5: Path, ours: Path, data: list[str], tmp_path: Path
) -> None:
    scores = {}
    for model in (f"--model_dir={ours}", f"--model=hf:{byt5}"):
        output = tmp_path / "rank.jsonl"
        options = ["--option=yes", "--option=maybe", "--option=no way"]
        command = ["rank", model, f"--task={TASK}", "--limit=12", f"--output={output}", *options]
        assert cli.main([*command, "--length_normalized", *data]) == 0
        scores[model] = {id_: row["scores"] for id_, row in rows_of(output).items()}
        output.unlink()
    one, other = scores.values()
    assert one.keys() == other.keys()
    for id_, expected in one.items():
        np.testing.assert_allclose(other[id_], expected, rtol=1e-4)


def test_a_decoder_only_model_continues_the_prompt(
    gpt2: Path, data: list[str], mini_dir: Path, tmp_path: Path
) -> None:
    """Against a loop without padding, one example and token after the other."""
    found = predicted(f"--model=hf:{gpt2}", data, tmp_path / "hf.jsonl", "--batch_size=7")
    chats = predicted(f"--model=hf:{gpt2}", data, tmp_path / "c.jsonl", "--chat_template")
    model = transformers.GPT2LMHeadModel.from_pretrained(gpt2).eval()
    prompts = prompts_of(mini_dir)
    for id_ in list(found)[:6]:
        for rows, text in (
            (found, prompts[id_]),
            (chats, f"<user>{prompts[id_]}<assistant>"),
        ):
            ids = [byte + 3 for byte in text.encode()]
            if rows is found:
                ids.append(1)  # the end mark of this tokenizer
            start = len(ids)
            for _ in range(8):
                with torch.inference_mode():
                    logits = model(torch.tensor([ids])).logits[0, -1]
                ids.append(int(logits.argmax()))
                if ids[-1] == 1:
                    break
            answer = bytes(i - 3 for i in ids[start:] if i >= 3).decode(errors="ignore")
            assert rows[id_]["prediction"] == answer.strip()


def prompts_of(mini_dir: Path) -> dict[str, str]:
    configuration.import_declarations()
    gin.bind_parameter("SuperNI.data_dir", str(mini_dir))
    gin.bind_parameter("vocabulary.name", "bytes")
    lengths = FeatureLengths(200, 8)
    examples, _ = examples_of(TASK, "test", lengths, limit=24)
    (task,) = registry.tasks_of(TASK)
    return {e["id"]: e["prompt"] for e in with_prompts(examples, lengths, task.tokenizer())}


def test_a_decoder_only_model_scores_options(gpt2: Path, data: list[str], tmp_path: Path) -> None:
    """Against a loop over one option at a time."""
    path, output = tmp_path / "examples.jsonl", tmp_path / "rank.jsonl"
    examples = [
        {"id": "a", "inputs": "It is so. Answer:", "options": ["yes", "no", "perhaps"]},
        {"id": "b", "inputs": "A much longer prompt, ending in a line\n", "options": ["x", "yy"]},
    ]
    path.write_text("".join(json.dumps(each) + "\n" for each in examples))
    command = ["rank", f"--model=hf:{gpt2}", f"--examples={path}", f"--output={output}"]
    assert cli.main([*command, *data]) == 0
    model = transformers.GPT2LMHeadModel.from_pretrained(gpt2).eval()
    for example in examples:
        found = rows_of(output)[str(example["id"])]
        for option, score in zip(example["options"], found["scores"], strict=True):
            space = "" if str(example["inputs"]).endswith("\n") else " "
            context = [b + 3 for b in str(example["inputs"]).encode()] + [1]
            whole = [b + 3 for b in f"{example['inputs']}{space}{option}".encode()] + [1]
            with torch.inference_mode():
                logits = model(torch.tensor([whole])).logits[0].log_softmax(-1)
            expected = sum(
                float(logits[at - 1, whole[at]]) for at in range(len(context), len(whole))
            )
            assert math.isclose(score, expected, rel_tol=1e-4)
        best = max(range(len(found["scores"])), key=found["scores"].__getitem__)
        assert found["prediction"] == example["options"][best]


def test_a_drawn_answer_depends_on_seed_and_id_alone(
    byt5: Path, data: list[str], tmp_path: Path
) -> None:
    flags = ["--sample", "--temperature=0.9", "--top_p=0.95"]
    made = [
        predicted(f"--model=hf:{byt5}", data, tmp_path / f"{n}.jsonl", *flags, *more)
        for n, more in enumerate((["--seed=1"], ["--seed=1", "--batch_size=3"], ["--seed=2"]))
    ]
    assert made[0] == made[1] != made[2]


def test_models_that_would_answer_at_random(
    gpt2: Path, data: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.numpy import load_file, save_file

    command = ["predict", f"--task={TASK}", f"--output={tmp_path / 'x'}", *data]
    for name, damage, message in (
        ("less", lambda file: file.pop("lm_head.weight"), "has no weights for lm_head.weight"),
        ("broken", None, "cannot be loaded"),
    ):
        folder = shutil.copytree(gpt2, tmp_path / name)
        weights = folder / "model.safetensors"
        if damage:
            tensors = load_file(weights)
            damage(tensors)
            save_file(tensors, weights, {"format": "pt"})
        else:
            weights.write_bytes(weights.read_bytes()[:5000])
        assert cli.main([*command, f"--model=hf:{folder}"]) == 2
        assert message in capsys.readouterr().err


def test_refusals(
    gpt2: Path, data: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, task = f"--output={tmp_path / 'x'}", f"--task={TASK}"
    for arguments, message in (
        ([f"--model={gpt2}"], "must be hf:NAME_OR_PATH or api:NAME"),
        ([f"--model=hf:{tmp_path}"], "cannot be loaded"),
        ([f"--model=hf:{gpt2}", "--base_url=http://x/v1"], "--base_url is of --model api:"),
        ([f"--model=hf:{gpt2}", "--step=3"], "--step is of --model_dir"),
        ([f"--model=hf:{gpt2}", "--num_partitions=2"], "--num_partitions=2 is of --model_dir"),
        ([f"--model=hf:{gpt2}@main"], "a folder has no revisions; leave @main out"),
        ([f"--model=hf:{gpt2}", "--device=nowhere"], "--device=nowhere cannot be used"),
        (["--model_dir=x", "--chat_template"], "--chat_template is of --model hf:"),
        (["--model_dir=x", "--stop=x"], "--stop is of --model"),
    ):
        assert cli.main(["predict", task, output, *arguments, *data]) == 2
        assert message in capsys.readouterr().err
    assert cli.main(["predict", f"--model=hf:{gpt2}", task, *data]) == 2
    assert "has no folder of its own; give --output_dir DIR" in capsys.readouterr().err
