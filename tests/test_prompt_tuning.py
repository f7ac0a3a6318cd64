"""Soft prompts: gradients and logits by hand, and runs that train, save, load and use one."""

import hashlib
import importlib.util
import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gin
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.core import meta
from flax.traverse_util import flatten_dict

from tk_instruct import cli, configuration, optim, t5x
from tk_instruct.convert import shapes, storage
from tk_instruct.data import cache, pipeline, registry
from tk_instruct.data.packing import DecoderRows, EncoderDecoderRows
from tk_instruct.data.tokens import FeatureLengths, Tokens
from tk_instruct.errors import UserError
from tk_instruct.inference import checkpoint
from tk_instruct.losses import cross_entropy
from tk_instruct.model import build
from tk_instruct.model.config import DecoderConfig, T5Config
from tk_instruct.model.decode import greedy, option_scores
from tk_instruct.model.language_model import prompt_ids
from tk_instruct.model.stacking import unstack_layers
from tk_instruct.plan import compilation
from tk_instruct.soft_prompt import sampled_vocabulary
from tk_instruct.step import TrainState, init_params, train_step, trained_and_frozen
from tk_instruct.train_run import TrainRun

SIZES: dict[str, Any] = {"vocab_size": 32, "d_model": 16, "num_heads": 2, "head_dim": 8, "d_ff": 24}
CONFIGS: dict[str, T5Config | DecoderConfig] = {
    "t5": T5Config(**SIZES, num_encoder_layers=1, num_decoder_layers=1, logits_via_embedding=True),
    "scanned t5": T5Config(**SIZES, num_encoder_layers=1, num_decoder_layers=1, scan_layers=True),
    "prefix": DecoderConfig(**SIZES, num_layers=1),
    "causal": DecoderConfig(**SIZES, num_layers=1, bidirectional_inputs=False),
}
LENGTH = 3
LENGTHS = FeatureLengths(12, 8)


def examples() -> list[Tokens]:
    rng = np.random.default_rng(0)
    sizes = [(5, 4), (3, 2), (12, 8)]
    return [Tokens(str(k), *(rng.integers(2, 32, n) for n in pair)) for k, pair in enumerate(sizes)]


def random_params(config: Any) -> tuple[Any, Any]:
    """The prompt and the rest."""
    init = jax.jit(partial(init_params, build(config, LENGTH)))
    return trained_and_frozen(meta.unbox(init(jax.random.key(0))))


def by_hand(config: Any, prompt: Any, frozen: Any, inputs: Any, targets: Any) -> Any:
    """[targets, vocab]: one example through the model without a prompt, put there as vectors."""

    def run(net: Any) -> Any:
        def embedded(*parts: Any) -> Any:
            return jnp.concatenate([net.token_embedder(jnp.array(p)) for p in parts])

        before, read, written = jnp.zeros(1, int), embedded(inputs), embedded([0], targets[:-1])
        if isinstance(config, T5Config):
            read = jnp.concatenate([prompt, read])[None]
            encoded = net.encoder(read, jnp.ones((1, 1, read.shape[1], read.shape[1]), bool), True)
            own = jnp.tril(jnp.ones((len(targets), len(targets)), bool))[None, None]
            cross = jnp.ones((1, 1, len(targets), read.shape[1]), bool)
            return net._unembed(net.decoder(written[None], encoded, own, cross, True))[0]
        x = jnp.concatenate([embedded(before), prompt, read, written[1:]])[None]
        num_read = 1 + len(prompt) + len(inputs)
        visible = jnp.tril(jnp.ones((x.shape[1], x.shape[1]), bool))
        if config.bidirectional_inputs:
            visible = visible.at[:num_read, :num_read].set(True)
        return net._unembed(net.decoder(x, visible[None, None], True))[0, num_read - 1 :]

    return build(config).apply({"params": frozen}, method=run)


each_model = pytest.mark.parametrize(
    "config",
    [
        pytest.param(config, id=name, marks=[] if name in ("t5", "prefix") else [pytest.mark.slow])
        for name, config in CONFIGS.items()
    ],
)


@each_model
def test_one_step_moves_the_prompt_by_its_gradient_alone(config: Any) -> None:
    prompt, frozen = random_params(config)
    kind = EncoderDecoderRows if isinstance(config, T5Config) else DecoderRows
    layout = kind(LENGTHS, prompt_ids(config, LENGTH))
    all_, batches = examples(), []
    for rows in ([all_[:2], all_[2:], []], [[example] for example in all_]):
        batches.append(layout.arrays(rows, layout.limits))

    def loss(vectors: Any) -> Any:
        losses = [
            optax.softmax_cross_entropy_with_integer_labels(
                by_hand(config, vectors, frozen, example.inputs, example.targets), example.targets
            )
            for example in all_
        ]
        return jnp.mean(jnp.concatenate(losses))

    value, gradient = jax.jit(jax.value_and_grad(loss))(prompt["soft_prompt"]["embedding"])
    assert jnp.abs(gradient).max(axis=1).min() > 1e-4  # every vector matters
    tx = optax.sgd(1.0)
    step = jax.jit(
        partial(
            train_step, model=build(config, LENGTH), tx=tx, loss=partial(cross_entropy, z_loss=0.0)
        )
    )
    state = TrainState(jnp.int32(0), prompt, tx.init(prompt))
    for batch in batches:
        after, metrics = step(state, batch, jax.random.key(1), frozen)
        assert list(flatten_dict(after.params, sep="/")) == ["soft_prompt/embedding"]
        moved = jax.tree.map(jnp.subtract, prompt, after.params)["soft_prompt"]["embedding"]
        np.testing.assert_allclose(moved, gradient, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(metrics["loss"].value(), value, rtol=1e-5)


@each_model
def test_decoding_and_ranking_read_the_prompt(config: Any) -> None:
    prompt, frozen = random_params(config)
    vectors = prompt["soft_prompt"]["embedding"]
    if config.scan_layers:  # as inference.load_model does
        config, frozen = replace(config, scan_layers=False), unstack_layers(frozen)
    model, params = build(config, LENGTH), {**frozen, **prompt}
    inputs = np.array([[7, 8, 9, 4, 1], [5, 1, 0, 0, 0]], np.int32)
    segment_ids = (inputs > 0).astype(np.int32)
    options = np.array([[[9, 1], [4, 1]]] * 2, np.int32)
    found = jax.jit(partial(option_scores, model))(params, inputs, segment_ids, options)
    decoded = jax.jit(partial(greedy, model, max_target_tokens=2))(params, inputs, segment_ids)
    logits_of = jax.jit(partial(by_hand, config))
    for row, num_tokens in enumerate((5, 2)):
        read = inputs[row, :num_tokens]
        for option, score in zip(options[row], found[row], strict=True):
            log_probs = jax.nn.log_softmax(logits_of(vectors, frozen, read, option))
            np.testing.assert_allclose(score, log_probs[[0, 1], option].sum(), rtol=1e-4)
        likeliest = logits_of(vectors, frozen, read, decoded[row]).argmax(axis=-1).tolist()
        assert decoded[row].tolist() == [likeliest[0], likeliest[1] * (likeliest[0] != 1)]


def test_hugging_face_with_the_vectors_put_before_its_embeddings() -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    path = Path(__file__).parent / "goldens" / "make_decode_goldens.py"
    spec = importlib.util.spec_from_file_location("make_decode_goldens", path)
    assert spec is not None
    assert spec.loader is not None
    golden = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(golden)
    config = T5Config(**golden.SIZES)
    _, frozen = random_params(config)
    prompt = {"embedding": golden.weight("soft_prompt/embedding", (LENGTH, config.d_model))}
    weights = flatten_dict(jax.tree.map(np.asarray, frozen), sep="/")
    theirs = golden.hugging_face_model(weights)
    layout = EncoderDecoderRows(LENGTHS, prompt_ids(config, LENGTH))
    model, params = build(config, LENGTH), {**frozen, "soft_prompt": prompt}
    logits_of = jax.jit(partial(model.apply, deterministic=True, method="logits"))
    found = logits_of({"params": params}, layout.arrays([examples()[:2]], layout.limits))[0]
    first = 0
    for example in examples()[:2]:
        with torch.no_grad():
            table = theirs.get_input_embeddings().weight
            vectors = torch.cat([torch.tensor(prompt["embedding"]), table[example.inputs]])
            targets = torch.tensor([[0, *example.targets[:-1]]])
            expected = theirs(inputs_embeds=vectors[None], decoder_input_ids=targets).logits[0]
        ours = found[first : first + len(expected)]
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-4)
        first += len(expected)


def test_adafactor_as_prompts_are_trained_with() -> None:
    """Its first step is the gradient's sign, as large for any parameter; then what decays."""
    params = {"embedding": jnp.array([[2.0, -4.0]])}
    tx = optim.adafactor(0.3, multiply_by_parameter_scale=False, weight_decay=0.01)
    gradients = {"embedding": jnp.array([[1e-3, -5.0]])}
    updates, _ = tx.update(gradients, tx.init(params), params, step=jnp.int32(0))
    np.testing.assert_allclose(updates["embedding"], [[-0.3 - 0.02, 0.3 + 0.04]], rtol=1e-5)


# Runs

SETTINGS = {"EVAL_PERIOD": 0, "LOG_PERIOD": 1, "WARMUP_STEPS": 0}
PROMPT = {
    **SETTINGS,
    "PROMPT_LENGTH": 10,
    "TRAIN_STEPS": 12,
    "LEARNING_RATE": 0.3,
    "MULTIPLY_BY_PARAMETER_SCALE": False,
    "WEIGHT_DECAY": 1e-4,
    "CHECKPOINT_PERIOD": 5,
    "EVAL_PERIOD": 6,
}


@pytest.fixture(scope="module")
def data(tiny_recipe: list[str], mini_dir: Path, mini_vocabulary: Path) -> list[str]:
    return [*tiny_recipe, f"--data_dir={mini_dir}", f"--vocabulary={mini_vocabulary}"]


def train(model_dir: Path, data: Sequence[str], **macros: Any) -> int:
    settings = {**macros, "MODEL_DIR": model_dir}
    return cli.main(
        ["train", *(f"--gin.{name}={value}" for name, value in settings.items()), *data]
    )


def losses(model_dir: Path) -> list[float]:
    rows = map(json.loads, (model_dir / "metrics.jsonl").read_text().splitlines())
    return [row["loss"] for row in rows if "loss" in row]


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def loaded(model_dir: Path) -> checkpoint.Loaded:
    return checkpoint.load_model(*checkpoint.load_checkpoint(model_dir, None))


@pytest.fixture(scope="module")
def base(data: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    model_dir = tmp_path_factory.mktemp("base") / "run"
    assert train(model_dir, data, **SETTINGS, TRAIN_STEPS=60, CHECKPOINT_PERIOD=0) == 0
    return model_dir


@pytest.fixture(scope="module")
def run(base: Path, data: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    model_dir = tmp_path_factory.mktemp("prompt") / "run"
    before = digest(base)
    assert train(model_dir, data, **PROMPT, INITIAL_CHECKPOINT_PATH=base) == 0
    assert digest(base) == before
    return model_dir


def test_the_loss_falls_from_step_0_on(run: Path) -> None:
    found = losses(run)
    assert len(found) == PROMPT["TRAIN_STEPS"]
    assert np.mean(found[-3:]) < found[0] - 0.1


def test_a_checkpoint_is_the_prompt_and_its_optimizer(run: Path, base: Path) -> None:
    files = [path for path in (run / "checkpoints" / "12").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 100_000
    saved = json.loads((run / "checkpoints/12/description/metadata").read_text())
    assert saved["soft_prompt"]["frozen"] == str(base / "checkpoints" / "60")
    arrays = storage.orbax_leaves(str(run / "checkpoints" / "12" / "state"))
    of_parameters = {name for name in arrays if name.startswith(("params/", "opt_state/1/v"))}
    moments = {f"opt_state/1/{v}/soft_prompt/embedding" for v in ("v", "v_row", "v_col")}
    assert of_parameters == {"params/soft_prompt/embedding", *moments}


def test_what_is_loaded_is_the_frozen_model_and_the_prompt(run: Path, base: Path) -> None:
    both = flatten_dict(loaded(run).params, sep="/")
    prompt = both.pop("soft_prompt/embedding")
    assert prompt.shape == (10, 16)
    frozen = flatten_dict(loaded(base).params, sep="/")
    assert both.keys() == frozen.keys()
    for name, value in frozen.items():
        np.testing.assert_array_equal(both[name], value, err_msg=name)


def test_a_prompt_begins_as_common_tokens_of_the_seed() -> None:
    frozen = {"token_embedder": {"embedding": jnp.arange(9000.0)[:, None]}}

    def ids(seed: int, vocab_size: int = 9000) -> list[int]:
        params = sampled_vocabulary(frozen, 100, vocab_size, seed)
        return params["soft_prompt"]["embedding"][:, 0].astype(int).tolist()

    assert ids(0) == ids(0) != ids(1)
    assert len(set(ids(0))) == 100
    assert 3 <= min(ids(0)) < 300 < 4700 < max(ids(0)) < 5003
    assert max(ids(0, vocab_size=60)) < 60


def test_a_resumed_run_is_the_uninterrupted_one(
    run: Path, base: Path, data: list[str], tmp_path: Path
) -> None:
    resumed = tmp_path / "run"
    settings = {**PROMPT, "INITIAL_CHECKPOINT_PATH": base / "checkpoints" / "60"}
    assert train(resumed, data, **{**settings, "TRAIN_STEPS": 5}) == 0
    assert train(resumed, data, **settings) == 0
    assert losses(resumed) == losses(run)
    found, expected = (loaded(folder).params["soft_prompt"] for folder in (resumed, run))
    np.testing.assert_array_equal(found["embedding"], expected["embedding"])


def test_predict_and_rank_need_no_more_than_the_run(
    run: Path, base: Path, data: list[str], tmp_path: Path
) -> None:
    where = [argument for argument in data if "gin_file" not in argument]
    for flags in ([], ["--num_beams=2"]):
        output = tmp_path / f"{len(flags)}.jsonl"
        command = ["predict", f"--model_dir={run}", "--limit=4", f"--output={output}"]
        assert cli.main([*command, *flags, *where]) == 0
        assert len(output.read_text().splitlines()) == 4
    scores = []
    for model_dir in (run, base):
        output = tmp_path / "rank.jsonl"
        command = ["rank", f"--model_dir={model_dir}", "--limit=4", f"--output={output}"]
        assert cli.main([*command, "--option=yes", "--option=no", *where]) == 0
        scores.append([json.loads(line)["scores"] for line in output.open()])
        output.unlink()
    assert np.abs(np.array(scores[0]) - scores[1]).min() > 1e-4


def test_32_examples_are_32(on_the_mini_benchmark: None) -> None:

    task, lengths = "superni_en_def_pos2", FeatureLengths(160, 16)

    def seen(seed: int, num_examples: int) -> set[str]:
        batches = pipeline.train_batches(task, lengths, 8, seed, num_examples=num_examples)
        return {id_ for _ in range(60) for row in next(batches).ids for id_ in row}

    assert len(seen(0, 32)) == 32
    assert seen(0, 32) == seen(0, 32) != seen(1, 32)
    total = len(cache.open_tokens(registry.tasks_of(task)[0], "train", lengths))
    with pytest.raises(UserError, match=f"NUM_TRAIN_EXAMPLES={total + 1} is above the {total} "):
        seen(0, total + 1)


def test_what_is_refused(
    run: Path, base: Path, data: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refusal(model_dir: Path, **macros: Any) -> str:
        capsys.readouterr()
        assert train(model_dir, data, **{**PROMPT, **macros}) == 2
        return capsys.readouterr().err

    new = tmp_path / "new"
    assert "INITIAL_CHECKPOINT_PATH=None names none; give --gin.INITIAL" in refusal(new)
    assert "TrainRun.prompt_length=-1 must be a whole" in refusal(new, PROMPT_LENGTH=-1)
    assert "holds no model but a soft prompt of 10" in refusal(new, INITIAL_CHECKPOINT_PATH=run)
    changed = refusal(run, INITIAL_CHECKPOINT_PATH=base, PROMPT_LENGTH=5)
    assert "soft_prompt.length=5 but the checkpoint has 10; train as long a prompt" in changed
    few = refusal(run, INITIAL_CHECKPOINT_PATH=base, NUM_TRAIN_EXAMPLES=32)
    assert "data.num_train_examples=32 but the checkpoint has None" in few
    assert "soft_prompt.length=None but" in refusal(run, PROMPT_LENGTH=0)
    assert cli.main(["convert", str(run), str(tmp_path / "out"), "--to=huggingface"]) == 2
    message = capsys.readouterr().err
    assert "other formats do not have" in message
    assert f"take the model that it stands before, {base / 'checkpoints' / '60'}" in message
    model: Any = SimpleNamespace()
    with pytest.raises(UserError, match="PROMPT_LENGTH=10: t5x trains all parameters"):
        t5x.checked(model, False, prompt_length=10)
    with pytest.raises(UserError, match=r"NUM_TRAIN_EXAMPLES=32: t5x trains .* on all examples"):
        t5x.checked(model, False, num_train_examples=32)


def test_a_frozen_model_that_is_gone_or_another_is_said(run: Path, tmp_path: Path) -> None:
    def refusal(name: str, **changes: Any) -> str:
        """Of a copy of the run whose description is changed, as one without checksums."""
        shutil.copytree(run, tmp_path / name)
        shutil.rmtree(tmp_path / name / "checkpoints" / "12" / "checksums")
        path = tmp_path / name / "checkpoints" / "12" / "description" / "metadata"
        about = json.loads(path.read_text())
        for part, change in changes.items():
            about[part] |= change
        path.write_text(json.dumps(about))
        with pytest.raises(UserError) as error:
            loaded(tmp_path / name)
        return str(error.value)

    gone = refusal("gone", soft_prompt={"frozen": "/nowhere/60"})
    assert "is a soft prompt for the model in /nowhere/60, which is not there as it was (/" in gone
    assert "/60 is no folder that can be read from here); put it back, or train a prompt" in gone
    another = refusal("another", soft_prompt={"fingerprint": "0"})
    assert "/checkpoints/60 has other embeddings than it had); put it back" in another
    trained_on = refusal("trained_on", soft_prompt={"checksum": "0"})
    assert "/checkpoints/60 has other parameters than it had); put it back" in trained_on
    wider = refusal("wider", model={"d_ff": 48})
    assert "the checkpoint is of d_ff 32, the model of d_ff 48); put it back" in wider


def test_a_prompt_run_can_be_planned(tiny_recipe: list[str]) -> None:
    files = [argument.partition("=")[2] for argument in tiny_recipe]

    macros = ["PROMPT_LENGTH = 10", "INITIAL_CHECKPOINT_PATH = 'x/checkpoints/50'"]
    configuration.import_declarations()
    configuration.load("runs/plan.gin", files, macros)
    run = gin.get_configurable(TrainRun)()
    found = compilation._train_step(run, jax.devices()[:1], None, None)
    assert (found.num_steps, found.num_tokens) == (200, 8 * 170)
    whole = sum(map(math.prod, shapes.expected_shapes(run.model).values()))
    assert found.num_params == whole + 10 * 16
