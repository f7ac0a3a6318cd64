import dataclasses
import json
import math
import re
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tk_instruct import checkpoint, schema
from tk_instruct.checkpoint import Checkpoints, Description
from tk_instruct.checksums import checksums
from tk_instruct.errors import UserError
from tk_instruct.model.config import T5Config

# What tensorstore has under way when a write fails is reported to an event loop that has ended.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

ABOUT = Description(
    model=dataclasses.asdict(
        T5Config(
            vocab_size=32,
            d_model=16,
            num_heads=2,
            d_ff=32,
            num_encoder_layers=1,
            num_decoder_layers=1,
            mlp_activations=("gelu", "linear"),
        )
    ),
    vocabulary={"name": "/here/sentencepiece.model", "fingerprint": "abc"},
    data={"mixture": "superni", "batch_size": 8, "content": {"superni": "def"}},
    gin="TRAIN_STEPS = 8\n",
)


def make_state(number: float) -> dict[str, Any]:
    # Too large for the limit below, and not compressible to within it.
    noise = jax.random.normal(jax.random.key(0), (256, 128))
    return {"params": {"kernel": noise + number}, "step": jnp.int32(number)}


def like(state: Any) -> Any:
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state
    )


def save(checkpoints: Checkpoints, step: int, loss: float | None = None) -> None:
    metrics = None if loss is None else {"validation_loss": loss, "validation_accuracy": 0.5}
    checkpoints.save(step, make_state(step), {"position": step}, ABOUT, metrics)


def on_disk(model_dir: Path) -> set[str]:
    return {path.name for path in (model_dir / "checkpoints").iterdir()}


@contextmanager
def no_space() -> Iterator[None]:
    """No file may grow beyond a size that a checkpoint's arrays need."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, previous)


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    state = make_state(3)
    with Checkpoints(tmp_path) as checkpoints:
        save(checkpoints, 3)
    checkpoints = Checkpoints(tmp_path, read_only=True)
    restored, cursor = checkpoints.restore(3, like(state))
    jax.tree.map(np.testing.assert_array_equal, restored, state)
    assert cursor == {"position": 3}
    params = checkpoints.restore_params(3, like(state["params"]))
    np.testing.assert_array_equal(params["kernel"], state["params"]["kernel"])
    assert checkpoints.description(3).gin == ABOUT.gin


def test_another_optimizer_s_state_is_not_restored(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        save(checkpoints, 3)
    other = like(make_state(3)) | {"moments": like(make_state(3))}
    with pytest.raises(UserError, match=r"3 cannot be restored as this run's state .* optimizer"):
        Checkpoints(tmp_path, read_only=True).restore(3, other)


def test_a_changed_description_is_found(tmp_path: Path) -> None:
    """Its gin too, which says what data are read."""
    with Checkpoints(tmp_path) as checkpoints:
        save(checkpoints, 3)
        checkpoints.wait()
        file = tmp_path / "checkpoints" / "3" / "description" / "metadata"
        content = file.read_text()
        assert checkpoints.description(3).gin == ABOUT.gin
        for part in ("model", "vocabulary", "data", "gin"):
            fields = json.loads(content)
            changed = fields["gin"] + "1" if part == "gin" else {**fields[part], "more": 1}
            file.write_text(json.dumps({**fields, part: changed}))
            with pytest.raises(UserError, match="its description has changed since it was saved"):
                checkpoints.description(3)


READS: dict[str, Callable[[Checkpoints], Any]] = {
    "description/metadata": lambda checkpoints: checkpoints.description(5),
    "state/manifest.ocdbt": lambda checkpoints: checkpoints.restore(5, like(make_state(5))),
    "state/d/*": lambda checkpoints: checkpoints.restore_params(5, like(make_state(5)["params"])),
}


@pytest.mark.parametrize("part", READS)
def test_a_damaged_checkpoint_is_named_and_what_is_left(tmp_path: Path, part: str) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        save(checkpoints, 3)
        save(checkpoints, 5)
    for path in (tmp_path / "checkpoints" / "5").glob(part):
        path.write_bytes(path.read_bytes()[:20])
    damaged = Checkpoints(tmp_path, read_only=True)
    rule = r"5 cannot be .*; if it is damaged, .* move it away \(step 3 is the last one then\)"
    with pytest.raises(UserError, match=rule):
        READS[part](damaged)
    assert damaged.description(3).data == ABOUT.data


SMALL_FILES = {
    "metrics/metrics": [
        b"",
        b"{",
        b"[]",
        b'{"validation_loss": "2"}',
        b'{"validation_loss": 1e999}',
        b'\xef\xbb\xbf{"validation_loss": 2.0}',
        b'{"validation_loss": 2.0, "other": ' + b"9" * 5000 + b"}",
    ],
    "_CHECKPOINT_METADATA": [
        b"[]",
        b'{"item_handlers": true}',
        b'{"init_timestamp_nsecs": 1e30}',
        b'{"commit_timestamp_nsecs": ' + b"9" * 40 + b"}",
        b"[" * 100_000,
    ],
}


@pytest.mark.parametrize("name", SMALL_FILES)
def test_a_damaged_file_that_can_be_done_without(tmp_path: Path, name: str) -> None:
    """Orbax reads them of all checkpoints when the directory is opened."""
    with Checkpoints(tmp_path) as checkpoints:
        save(checkpoints, 3, 2.0)
        save(checkpoints, 5)
    for content in SMALL_FILES[name]:
        (tmp_path / "checkpoints" / "3" / name).write_bytes(content)
        for read_only in (True, False):
            with pytest.raises(UserError, match=f"checkpoints/3/{name}: ") as error:
                Checkpoints(tmp_path, read_only=read_only)
        subprocess.run(str(error.value).splitlines()[-1], shell=True, check=True)
        with Checkpoints(tmp_path) as checkpoints:
            assert checkpoints.step_or_latest(None) == 5
            checkpoints.restore(3, like(make_state(3)))


def edited(part: str, **fields: Any) -> dict[str, Any]:
    whole = dataclasses.asdict(ABOUT)
    return {**whole, part: {**whole[part], **fields}}


PROMPT = {"length": 3, "frozen": "x", "fingerprint": "y"}
DAMAGED: list[tuple[str, Any, str]] = [
    ("description", [], "its description: the document is [] but must be an object"),
    ("description", {"gin": ""}, "its description: model is missing"),
    ("description", edited("vocabulary", name=3), "vocabulary.name is 3 but must be a string"),
    ("description", edited("data", lengths=[1]), "data.lengths is [1] but must be an object"),
    ("description", edited("data", content=3), "data.content is 3 but must be an object"),
    ("description", {**edited("data"), "more": 1}, "more is no field that is known"),
    ("description", {**edited("data"), "gin": None}, "gin is null but must be a string"),
    ("description", edited("soft_prompt", length=3), "its description: frozen is missing"),
    ("description", edited("soft_prompt", **PROMPT, checksum=3), "checksum is 3 but must be"),
    ("checksums", {}, "its checksums: the document is {} but must be an object"),
    ("checksums", {"cursor": 3}, "its checksums: "),
    ("cursor", [], "its cursor: the document is [] but must be an object"),
    ("cursor", {"position": -1}, "its cursor: "),
    ("cursor", {"position": True}, "its cursor: "),
    ("cursor", {"position": "3"}, "its cursor: "),
]


@pytest.mark.parametrize(("item", "content", "message"), DAMAGED)
def test_what_is_of_another_schema_is_damaged(
    tmp_path: Path, item: str, content: Any, message: str
) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        save(checkpoints, 3)
    folder = tmp_path / "checkpoints" / "3"
    (folder / item / "metadata").write_text(json.dumps(content))
    if item != "checksums":
        shutil.rmtree(folder / "checksums")  # or the change alone is enough
    with pytest.raises(UserError, match=re.escape(message)) as error:
        Checkpoints(tmp_path, read_only=True).resume(3, ABOUT, like(make_state(3)))
    assert str(error.value).startswith(f"{folder} cannot be ")


def flip_a_bit(checkpoint: Path) -> str:
    """In the middle of the largest file of the arrays: what it holds cannot be compressed."""
    files = [path for path in (checkpoint / "state").rglob("*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1 << 3
    largest.write_bytes(content)
    return largest.name


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        save(checkpoints, 3)
        save(checkpoints, 5)
    flip_a_bit(tmp_path / "checkpoints" / "5")
    state = like(make_state(5))
    damaged = Checkpoints(tmp_path, read_only=True)
    message = r"5 cannot be .*\(kernel has the checksum \w+ and was saved with \w+: its bytes have"
    for read in (
        lambda: damaged.restore_params(5, state["params"]),
        lambda: damaged.restore(5, state),
    ):
        with pytest.raises(UserError, match=message):
            read()
    with pytest.raises(UserError, match="last good checkpoint is of step 3") as error:
        damaged.resume(5, ABOUT, state)
    command = str(error.value).splitlines()[-1]
    subprocess.run(command, shell=True, check=True)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step() == 3
        assert checkpoints.resume(3, ABOUT, state)[2] == {"position": 3}


def test_a_checksum_sees_every_bit_and_every_exchange() -> None:
    array = np.arange(24, dtype=np.float32).reshape(4, 6)
    before = checksums({"a": array})
    for place in np.ndindex(array.shape):
        for bit in range(32):
            words = array.copy()
            words.view(np.uint32)[place] ^= np.uint32(1 << bit)
            assert checksums({"a": words}) != before, (place, bit)
    assert checksums({"a": array[::-1]}) != before
    assert checksums({"a": array.reshape(6, 4).T.copy()}) != before
    assert checksums({"a": -np.zeros(3, np.float32)}) != checksums({"a": np.zeros(3, np.float32)})


def test_a_checksum_is_of_the_values_alone() -> None:
    """Not of mesh, type or whether layers are stacked; those of one element are worked by hand."""
    array = np.random.default_rng(0).normal(size=(8, 3, 4)).astype(jnp.bfloat16)
    layers = {f"layers_{i}": {"kernel": array[:, i]} for i in range(3)}
    expected = checksums({"params": {"encoder": layers}})
    assert len(expected) == 3
    mesh = jax.make_mesh((1, 1), ("x", "y"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    placed = jax.device_put(
        array.astype(np.float32),
        jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x", None, "y")),
    )
    assert checksums({"params": {"encoder": {"encoder": {"kernel": placed}}}}) == expected

    def mixed(word: int) -> int:  # fmix32 of MurmurHash3
        word = (word ^ word >> 16) * 0x85EBCA6B % 2**32
        word = (word ^ word >> 13) * 0xC2B2AE35 % 2**32
        return word ^ word >> 16

    first = mixed(0x3F800000)  # of 1.0 at place 0
    second = mixed((first + 0x85EBCA77) % 2**32)
    assert checksums({"x": np.ones((), np.float32)}) == {"x": f"{first:08x}{second:08x}"}


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_neither_saved_nor_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: float
) -> None:
    state = make_state(3)
    state["params"]["kernel"] = state["params"]["kernel"].at[3, 4].set(number)
    message = "kernel holds 1 numbers that are NaN or infinite; weights must be finite"
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(UserError, match=message):
            checkpoints.save(3, state, {}, ABOUT)
        assert checkpoints.latest_step() is None
        with monkeypatch.context() as patch:  # as before there were checksums
            patch.setattr(checkpoint, "checksums", lambda state: {})
            checkpoints.save(3, state, {}, ABOUT)
        checkpoints.wait()
    shutil.rmtree(tmp_path / "checkpoints" / "3" / "checksums")
    with pytest.raises(UserError, match=message):
        Checkpoints(tmp_path, read_only=True).restore_params(3, like(state["params"]))


def test_a_checkpoint_without_checksums_is_read(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        save(checkpoints, 3)
        save(checkpoints, 5)
    for step in (3, 5):
        shutil.rmtree(tmp_path / "checkpoints" / str(step) / "checksums")
    older = Checkpoints(tmp_path, read_only=True)
    assert older.restore(5, like(make_state(5)))[1] == {"position": 5}
    assert older.content(5) == older.content(5) != older.content(3)


def test_content_is_that_of_the_parameters(tmp_path: Path) -> None:
    for name, number in (("one", 3), ("same", 3), ("other", 4)):
        with Checkpoints(tmp_path / name) as checkpoints:
            checkpoints.save(7, make_state(number) | {"step": jnp.int32(7)}, {}, ABOUT)
    one, same, other = (
        Checkpoints(tmp_path / name, read_only=True).content(7) for name in ("one", "same", "other")
    )
    assert one == same != other


def test_a_state_may_be_donated_as_soon_as_save_returns(tmp_path: Path) -> None:
    state = {"kernel": jnp.arange(1_000_000.0), "step": jnp.int32(7)}
    expected = jax.tree.map(np.array, state)
    step = jax.jit(lambda tree: jax.tree.map(lambda x: 0 * x - 1, tree), donate_argnums=0)
    step.lower(state).compile()
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(7, state, {}, ABOUT)
        for _ in range(3):
            state = step(state)
        jax.block_until_ready(state)
        checkpoints.wait()
        restored, _ = checkpoints.restore(7, like(state))
    jax.tree.map(np.testing.assert_array_equal, restored, expected)


def test_the_last_and_the_best_are_kept(tmp_path: Path) -> None:
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        for step, loss in enumerate([3.0, 2.0, None, 2.5, math.nan, 2.2], start=1):
            save(checkpoints, step, loss)
            assert checkpoints.latest_step() == step
        assert checkpoints.best_step() == 2
        assert on_disk(tmp_path) == {"2", "5", "6"}
    # The next start of the run knows them, too.
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        assert checkpoints.best_step() == 2
        save(checkpoints, 7, 2.0)  # of equals the later
        assert checkpoints.best_step() == 7
    assert on_disk(tmp_path) == {"6", "7"}


def test_without_validation_there_is_no_best(tmp_path: Path) -> None:
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        assert checkpoints.latest_step() is None
        assert checkpoints.best_step() is None
        for step in (1, 2):
            save(checkpoints, step)
        assert checkpoints.best_step() is None
        with pytest.raises(UserError, match=r"step='best' .* was saved with one; choose of 2"):
            checkpoints.step_or_latest("best")
    assert on_disk(tmp_path) == {"2"}


def test_a_step_is_asked_for_by_number_or_name(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(UserError, match="no finished checkpoint; train first"):
            checkpoints.step_or_latest(None)
        for step, loss in ((1, 2.0), (2, 1.0), (3, 3.0)):
            save(checkpoints, step, loss)
    checkpoints = Checkpoints(tmp_path, read_only=True)
    assert checkpoints.step_or_latest(None) == 3
    assert checkpoints.step_or_latest("best") == 2
    assert checkpoints.step_or_latest(1) == 1
    with pytest.raises(UserError, match=r"step=4 has no checkpoint in .*; there are 1, 2, 3"):
        checkpoints.step_or_latest(4)


@pytest.mark.parametrize("then", ["save", "latest_step", "close"])
def test_a_save_that_fails_in_the_background_is_told_at_the_next_call(
    tmp_path: Path, then: str
) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1)
    save(checkpoints, 3)
    checkpoints.wait()
    state = make_state(6)
    calls: dict[str, Any] = {
        "save": lambda: checkpoints.save(9, state, {}, ABOUT),
        "latest_step": checkpoints.latest_step,
        "close": checkpoints.close,
    }
    with no_space():
        checkpoints.save(6, state, {}, ABOUT)  # returns: the arrays are copied, not yet written
        with pytest.raises(UserError, match="checkpoint of step 6 could not be written") as error:
            calls[then]()
    assert "step 3 is the last good one; free space there" in str(error.value)
    checkpoints.close()  # told once
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        assert checkpoints.latest_step() == 3
        checkpoints.restore(3, like(state))
        save(checkpoints, 6)
    assert on_disk(tmp_path) == {"6"}  # without what the failed save had begun


def test_an_error_under_way_is_not_replaced_by_that_of_a_save(tmp_path: Path) -> None:
    state = make_state(6)

    def run() -> None:
        with Checkpoints(tmp_path) as checkpoints:
            checkpoints.save(6, state, {}, ABOUT)
            raise KeyError("the first")

    with no_space(), pytest.raises(KeyError, match="the first"):
        run()


def changed(part: str, **fields: Any) -> Description:
    return dataclasses.replace(ABOUT, **{part: {**getattr(ABOUT, part), **fields}})


def test_a_run_goes_on_from_what_it_saved(tmp_path: Path) -> None:
    """Also where JSON has made lists of tuples, and with what changes no number's meaning."""
    with Checkpoints(tmp_path) as checkpoints:
        save(checkpoints, 1)
        saved = checkpoints.step_or_latest(None)
        found = checkpoints.description(saved)
    ABOUT.check_continues(found, tmp_path)
    changed("model", dtype="bfloat16", remat="full").check_continues(found, tmp_path)
    changed("vocabulary", name="/there/sentencepiece.model").check_continues(found, tmp_path)


@pytest.mark.parametrize(
    ("part", "field", "value", "message"),
    [
        ("model", "d_model", 32, "model.d_model=32 but the checkpoint has 16; train the model"),
        ("model", "mlp_activations", ("relu",), r"model.mlp_activations=\['relu'\] but"),
        ("model", "num_layers", 1, "model.num_layers=1 but the checkpoint has None"),
        ("vocabulary", "fingerprint", "xyz", "vocabulary.fingerprint='xyz' but the checkpoint"),
        ("data", "batch_size", 4, "data.batch_size=4 but the checkpoint has 8; train on the same"),
        ("data", "dtype", "x", "data.dtype='x' but"),
    ],
)
def test_a_run_does_not_go_on_as_another(
    tmp_path: Path, part: str, field: str, value: Any, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        changed(part, **{field: value}).check_continues(ABOUT, tmp_path)


def test_of_many_tasks_those_that_differ_are_named(tmp_path: Path) -> None:
    saved = {f"task {number}": "old" for number in range(9)}
    of_saved = changed("data", content=saved)
    with pytest.raises(UserError) as caught:
        changed("data", content=saved | {"task 7": "new"}).check_continues(of_saved, tmp_path)
    assert "data.content={'task 7': 'new'} but the checkpoint has {'task 7': 'old'};" in str(
        caught.value
    )
    with pytest.raises(UserError, match=r"\{'task 0': .*'task 1': 'old'\} \(6 more differ\); t"):
        changed("data", content={"task 9": "new"}).check_continues(
            changed("data", content={f"task {number}": "old" for number in range(8)}), tmp_path
        )


def test_a_saved_number_that_is_none_is_another_value(tmp_path: Path) -> None:
    saved = schema.parse(b'{"d_model": 1e999}', dict[str, Any], "model")
    with pytest.raises(UserError, match="d_model=16 but the checkpoint has inf"):
        ABOUT.check_continues(changed("model", **saved), tmp_path)


def test_a_path_that_cannot_be_written_to_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="must have no backslash; rename its folder"):
        Checkpoints(tmp_path / "a\\b")
    assert not list(tmp_path.iterdir())
