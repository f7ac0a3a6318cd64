"""A recipe on upstream t5x: the losses, updates, predictions and scores are our engine's."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gin
import jax
import numpy as np
import pytest
from flax import linen as nn
from flax.traverse_util import flatten_dict

from tk_instruct import cli, convert, model, optim
from tk_instruct import t5x as upstream
from tk_instruct.errors import UserError
from tk_instruct.losses import cross_entropy
from tk_instruct.model.config import T5Config
from tk_instruct.sharding import make_mesh, placed
from tk_instruct.step import TrainState, abstract_params, train_step
from tk_instruct.suite import suites

ROOT = Path(__file__).resolve().parents[2]
STEPS = 5
# Every eighth of a batch on its own of 8 CPU devices: t5x's default there is to split the model.
DEVICES = ("NUM_PARTITIONS=None", "PjitPartitioner.model_parallel_submesh=(1, 1, 1, 1)")
TRAIN = (f"TRAIN_STEPS={STEPS}", "LOG_PERIOD=1", "EVAL_PERIOD=5", "CHECKPOINT_PERIOD=5")

# Recipes for our engine alone.
DECODER_ONLY = {f"flan_{size}" for size in ("422m", "2b", "8b", "68b", "137b")}

TASK = "superni_en_def_pos2"
LOSS = "loss_per_nonpadding_target_token"
KEY = jax.random.key(0)

Run = Callable[..., str]


def bindings(*settings: str) -> list[str]:
    return [f"--gin.{setting}" for setting in settings]


@pytest.fixture(scope="session")
def data(tiny_recipe: list[str], mini_dir: Path, mini_vocabulary: Path) -> list[str]:
    return [*tiny_recipe, f"--data_dir={mini_dir}", f"--vocabulary={mini_vocabulary}"]


@pytest.fixture(scope="session")
def run() -> Run:
    """Runs python -m … on 8 devices, in a folder; its output."""

    def command(*arguments: str, folder: Path = ROOT) -> str:
        devices = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=8"
        environment = {**os.environ, "XLA_FLAGS": devices, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    return command


@pytest.fixture(scope="session")
def orbax_run(
    run: Run,
    tiny_recipe: Sequence[str],
    mini_dir: Path,
    mini_vocabulary: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """python -m t5x.train, as its users start it: strings have inner quotes, paths are short."""
    folder = tmp_path_factory.mktemp("orbax")
    (folder / "gin").symlink_to(ROOT / "gin")
    macros = (
        "MODEL_DIR='run'",
        f"DATA_DIR='{mini_dir}'",
        f"VOCABULARY='{mini_vocabulary}'",
    )
    files = ["--gin_search_paths=gin", "--gin_file=t5x/finetune.gin", *tiny_recipe]
    run("t5x.train", *files, *bindings(*macros, *DEVICES, *TRAIN), folder=folder)
    return folder / "run"


@pytest.fixture(scope="session")
def legacy_run(run: Run, data: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tk-instruct t5x train, with the older checkpoints and without decoding."""
    model_dir = tmp_path_factory.mktemp("legacy")
    without = ("train.use_orbax=False", "train.infer_eval_dataset_cfg=None")
    macros = bindings(f"MODEL_DIR={model_dir}", *DEVICES, *TRAIN, *without)
    run("tk_instruct.cli", "t5x", "train", *data, *macros)
    return model_dir


@pytest.fixture(scope="session")
def our_run(run: Run, data: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has learned enough for some predictions to be right."""
    model_dir = tmp_path_factory.mktemp("ours")
    macros = bindings(f"MODEL_DIR={model_dir}", "TRAIN_STEPS=200", "BATCH_SIZE=24", "EVAL_PERIOD=0")
    run("tk_instruct.cli", "train", *data, *macros)
    return model_dir


@pytest.fixture(scope="session")
def exported(run: Run, our_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """our_run as t5x's."""
    folder = tmp_path_factory.mktemp("exported") / "t5x"
    run("tk_instruct.cli", "convert", str(our_run), str(folder), "--to=t5x")
    return folder / "checkpoint_200"


@pytest.fixture
def tiny(
    tiny_recipe: list[str], on_the_mini_benchmark: None, mini_dir: Path, mini_vocabulary: Path
) -> "Loaded":
    return Loaded(tiny_recipe, f"DATA_DIR='{mini_dir}'", f"VOCABULARY='{mini_vocabulary}'")


class Loaded:
    """A recipe's objects of t5x, and our model of the same recipe."""

    def __init__(self, files: Sequence[str], *settings: str) -> None:
        names = [file.removeprefix("--gin_file=") for file in files]
        lines = ["MODEL_DIR = 'x'", *settings]
        upstream.load("train", names, lines)
        self.model = self.get("MODEL")
        config = self.model.module.config
        self.config = T5Config(
            vocab_size=config.vocab_size,
            d_model=config.emb_dim,
            num_heads=config.num_heads,
            head_dim=config.head_dim,
            num_encoder_layers=config.num_encoder_layers,
            num_decoder_layers=config.num_decoder_layers,
            d_ff=config.mlp_dim,
            mlp_activations=tuple(config.mlp_activations),
            logits_via_embedding=config.logits_via_embedding,
            dropout_rate=config.dropout_rate,
        )

    def get(self, name: str) -> Any:
        """What a macro stands for."""
        return gin.query_parameter(f"{name}/macro.value").scoped_configurable_fn()

    def dataset(self, which: str, **changes: Any) -> Any:
        from t5x import utils

        with gin.config_scope(which):
            return gin.get_configurable(utils.DatasetConfig)(**changes)

    def train_batches(self, seed: int) -> Iterator[dict[str, np.ndarray]]:
        from t5x import utils

        config = self.dataset("train", seed=seed)
        return utils.get_dataset(config, 0, 1, self.model.FEATURE_CONVERTER_CLS).as_numpy_iterator()

    def eval_batches(self) -> Iterator[dict[str, np.ndarray]]:
        """Those of the runs' validation."""
        from t5x import utils

        batches = utils.get_training_eval_datasets(
            self.dataset("train_eval"), 0, 1, 20, self.model.FEATURE_CONVERTER_CLS
        )
        return batches[TASK].as_numpy_iterator()

    def parameters(self, checkpoint: Path) -> Any:
        """As our engine reads them."""
        net = model.build(self.config)
        like = placed(abstract_params(net), make_mesh(1, devices=jax.devices()[:1]))
        return convert.initial_params(str(checkpoint), like, self.config)[0]

    def our_loss(self, params: Any, batches: Iterator[Any]) -> float:
        from tk_instruct.step import eval_step

        loss = partial(cross_entropy, z_loss=1e-4)
        step = jax.jit(partial(eval_step, model=model.build(self.config), loss=loss))
        found = [step(params, batch)["loss"] for batch in batches]
        return float(sum(m.total for m in found) / sum(m.weight for m in found))


def scalars(folder: Path, tag: str) -> dict[int, float]:
    """A metric by step, from TensorBoard's events."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    return {e.step: float(make_ndarray(e.tensor_proto)) for e in events.Tensors(tag)}


def our_step(loaded: Loaded, tx: Any, **options: Any) -> Any:
    net, loss = model.build(loaded.config), partial(cross_entropy, z_loss=1e-4)
    return jax.jit(partial(train_step, model=net, tx=tx, loss=loss, **options))


@pytest.mark.parametrize(
    ("action", "macros"),
    [
        ("train", ["MODEL_DIR"]),
        ("eval", ["CHECKPOINT_PATH", "EVAL_OUTPUT_DIR"]),
        ("infer", ["CHECKPOINT_PATH", "INFER_OUTPUT_DIR"]),
    ],
)
def test_every_recipe_loads(action: str, macros: Sequence[str]) -> None:
    for recipe in sorted((ROOT / "gin" / "recipes").glob("*.gin")):
        if recipe.stem in DECODER_ONLY:
            continue
        upstream.load(action, [str(recipe)], [f"{name} = 'x'" for name in macros])
        assert gin.query_parameter("mixture.name") is not None
        gin.finalize()  # t5x's own check of what is bound


@pytest.mark.parametrize("recipe", sorted(DECODER_ONLY))
def test_a_decoder_alone_is_refused(recipe: str) -> None:
    with pytest.raises(UserError, match="of models encoder-decoders"):
        upstream.load("train", [f"recipes/{recipe}.gin"], ["MODEL_DIR = 'x'"])


def test_a_misspelt_macro_is_refused(tiny_recipe: list[str]) -> None:
    with pytest.raises(
        UserError, match="DROPOUT_RAT is used by nothing; did you mean DROPOUT_RATE"
    ):
        Loaded(tiny_recipe, "DROPOUT_RAT = 0.1")


@pytest.mark.parametrize("size", ["t5_1_1_xxl", "t5_1_0_11b", "mt5_xxl"])
def test_large_models_are_ours(
    size: str, tiny_recipe: list[str], mini_vocabulary: Path, mini_dir: Path
) -> None:
    """The same names and shapes; nothing is allocated."""
    macros = [f"VOCABULARY='{mini_vocabulary}'", f"DATA_DIR='{mini_dir}'", "NUM_MICROBATCHES=32"]
    large = Loaded([*tiny_recipe, f"models/{size}.gin"], *macros)
    shapes = {"encoder_input_tokens": (1024, 1024), "decoder_input_tokens": (1024, 128)}
    theirs = jax.eval_shape(lambda key: large.model.get_initial_variables(key, shapes), KEY)
    ours = placed(
        abstract_params(model.build(large.config)), make_mesh(1, devices=jax.devices()[:1])
    )

    def sizes(tree: Any) -> dict[tuple[str, ...], tuple[int, ...]]:
        return {name: leaf.shape for name, leaf in flatten_dict(tree).items()}

    assert sizes(nn.meta.unbox(theirs["params"])) == sizes(ours)
    assert sum(int(np.prod(shape)) for shape in sizes(ours).values()) > 11e9


def test_t5x_sees_the_registry(tiny: Loaded) -> None:
    batch = next(tiny.train_batches(0))
    assert {name: array.shape for name, array in batch.items() if "tokens" in name} == {
        "encoder_input_tokens": (8, 160),
        "decoder_input_tokens": (8, 16),
        "decoder_target_tokens": (8, 16),
    }
    assert batch["encoder_segment_ids"].max() >= 1


@pytest.mark.parametrize("num_microbatches", [1, 2])
def test_same_parameters_and_batches_give_the_same_losses_and_updates(
    tiny: Loaded, num_microbatches: int
) -> None:
    from t5x import train_state, trainer

    batches = [batch for batch, _ in zip(tiny.train_batches(0), range(STEPS), strict=False)]
    shapes = {name: array.shape for name, array in batches[0].items()}
    variables = tiny.model.get_initial_variables(KEY, shapes)
    theirs = train_state.FlaxOptimTrainState.create(tiny.model.optimizer_def, variables)
    params = nn.meta.unbox(theirs.state_dict()["target"])
    tx = optim.adafactor(0.02)
    ours = TrainState(step=np.int32(0), params=params, opt_state=tx.init(params))
    step = our_step(tiny, tx, num_microbatches=num_microbatches)
    their_step = jax.jit(
        partial(trainer.train_with_lr, model=tiny.model, num_microbatches=num_microbatches)
    )
    for batch in batches:
        theirs, metrics = their_step(theirs, batch, 0.02, KEY)
        ours, stats = step(ours, batch, KEY)
        np.testing.assert_allclose(
            metrics[LOSS].compute(), stats["loss"].value(), rtol=0, atol=1e-5
        )
    mine, yours = flatten_dict(ours.params), flatten_dict(theirs.state_dict()["target"])
    assert mine.keys() == yours.keys()
    for name in mine:
        np.testing.assert_allclose(mine[name], yours[name], rtol=0, atol=1e-4, err_msg=str(name))


def test_five_steps_on_eight_devices(orbax_run: Path) -> None:
    assert {path.name for path in orbax_run.glob("checkpoint_*")} == {
        "checkpoint_0",
        "checkpoint_5",
    }
    losses = scalars(orbax_run / "train", LOSS)
    assert sorted(losses) == [1, 2, 3, 4, 5]
    assert all(np.isfinite(list(losses.values())))


def test_its_own_script_reads_what_the_suites_say(orbax_run: Path) -> None:
    """suites.gin is no file: a run on upstream's own script finds what it is made of."""
    told = (orbax_run / "config.gin").read_text()
    assert "SuperNI.data_dir = %DATA_DIR" in told
    for suite in suites().values():
        for parameter in suite.seeds:
            assert f"{parameter} = %RANDOM_SEED" in told
        for macro in filter(None, (flag.macro for flag in suite.flags)):
            assert f"\n{macro} = " in told


def test_a_module_of_the_users_is_imported_for_its_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under t5x's own script, where nothing else imports it."""
    (tmp_path / "module_of_a_user.py").write_text(
        "import seqio\n"
        "source = seqio.TextLineDataSource({'train': 'x'})\n"
        "seqio.TaskRegistry.add('of_a_user', source, preprocessors=[], output_features={})\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    gin.bind_parameter("task_module.name", "module_of_a_user")
    assert upstream.mixture("of_a_user") == "of_a_user"


def test_paths_are_from_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert upstream.absolute("runs/smoke") == str(tmp_path / "runs" / "smoke")
    assert upstream.absolute("gs://bucket/run") == "gs://bucket/run"
    assert upstream.absolute(None) is None


@pytest.mark.parametrize("kind", ["orbax_run", "legacy_run"])
def test_its_checkpoints_convert_to_ours(
    kind: str, tiny: Loaded, tmp_path: Path, mini_vocabulary: Path, request: pytest.FixtureRequest
) -> None:
    model_dir = request.getfixturevalue(kind)
    checkpoint, target = model_dir / f"checkpoint_{STEPS}", tmp_path / "ours"
    assert (checkpoint / "checkpoint").exists() == (kind == "legacy_run")
    arguments = ["convert", str(checkpoint), str(target), f"--vocabulary={mini_vocabulary}"]
    assert cli.main([*arguments, "--to=ours"]) == 0
    theirs = scalars(model_dir / "training_eval" / TASK, LOSS)[STEPS]
    ours = tiny.our_loss(tiny.parameters(target), tiny.eval_batches())
    assert abs(theirs - ours) < 1e-5


@pytest.mark.parametrize("format_", ["t5x", "t5x_legacy"])
def test_our_checkpoints_start_a_run(
    format_: str, run: Run, our_run: Path, data: list[str], tiny: Loaded, tmp_path: Path
) -> None:
    exported = tmp_path / "exported"
    assert cli.main(["convert", str(our_run), str(exported), f"--to={format_}"]) == 0
    settings = [
        f"MODEL_DIR={tmp_path / 'run'}",
        f"INITIAL_CHECKPOINT_PATH={exported}/checkpoint_200",
    ]
    settings += ["TRAIN_STEPS=202", "LOG_PERIOD=1", "train/DatasetConfig.seed=3"]
    settings += ["train.train_eval_dataset_cfg=None", "train.infer_eval_dataset_cfg=None"]
    run("tk_instruct.cli", "t5x", "train", *data, *bindings(*settings, *DEVICES))
    theirs = scalars(tmp_path / "run" / "train", LOSS)
    assert sorted(theirs) == [201, 202]
    tx, params = optim.adafactor(0.02), tiny.parameters(our_run)
    state = TrainState(step=np.int32(200), params=params, opt_state=tx.init(params))
    step = our_step(tiny, tx)
    for batch, loss in zip(tiny.train_batches(3), theirs.values(), strict=False):
        state, stats = step(state, batch, KEY)
        np.testing.assert_allclose(stats["loss"].value(), loss, rtol=0, atol=1e-5)


def test_its_evaluator_gives_our_scores(
    run: Run, exported: Path, our_run: Path, data: list[str], mini_dir: Path, tmp_path: Path
) -> None:
    settings = [f"CHECKPOINT_PATH={exported}", f"EVAL_OUTPUT_DIR={tmp_path}", *DEVICES]
    run("tk_instruct.cli", "t5x", "eval", *data, *bindings(*settings))
    logged = (tmp_path / "inference_eval" / f"{TASK}-metrics.jsonl").read_text()
    theirs = json.loads(logged.splitlines()[-1])
    ours = predicted_and_scored(run, our_run, mini_dir)
    shared = theirs.keys() & ours.keys()
    assert {"exact_match", "rouge1", "rougeL"} <= shared
    assert len(shared) > 30
    assert ours["rougeL"] > 1
    for name in shared:
        assert theirs[name] == pytest.approx(ours[name], abs=1e-4), name


def predicted_and_scored(run: Run, model_dir: Path, mini_dir: Path) -> dict[str, float]:
    predictions = model_dir / "predictions" / f"{TASK}-test-200.jsonl"
    if not predictions.exists():
        run("tk_instruct.cli", "predict", f"--model_dir={model_dir}", f"--data_dir={mini_dir}")
    scores = model_dir / "scores.json"
    arguments = [f"--predictions={predictions}", f"--data_dir={mini_dir}", f"--json={scores}"]
    assert cli.main(["evaluate", *arguments]) == 0
    return json.loads(scores.read_text())


def test_its_predictions_are_ours(
    run: Run, exported: Path, our_run: Path, data: list[str], mini_dir: Path, tmp_path: Path
) -> None:
    settings = [f"CHECKPOINT_PATH={exported}", f"INFER_OUTPUT_DIR={tmp_path}", *DEVICES]
    run("tk_instruct.cli", "t5x", "infer", *data, *bindings(*settings))
    output = tmp_path / f"{TASK}-predict.jsonl-00000-of-00001"
    predicted_and_scored(run, our_run, mini_dir)
    ours = our_run / "predictions" / f"{TASK}-test-200.jsonl"
    theirs = {row["id"]: row for row in map(json.loads, output.read_text().splitlines())}
    assert theirs == {row["id"]: row for row in map(json.loads, ours.read_text().splitlines())}
    assert cli.main(["evaluate", f"--predictions={output}", f"--data_dir={mini_dir}"]) == 0
