"""What a checkpoint of ours has kept of its arrays is held against what is read, and passed on."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from tk_instruct import cli, convert
from tk_instruct.checkpoint import Checkpoints, Description, saved_checksums
from tk_instruct.convert import ours
from tk_instruct.errors import UserError
from tk_instruct.model import build
from tk_instruct.model.config import T5Config
from tk_instruct.sharding import make_mesh, placed
from tk_instruct.step import abstract_params

CONFIG = T5Config(
    vocab_size=259,
    d_model=8,
    num_heads=2,
    head_dim=4,
    d_ff=16,
    num_encoder_layers=2,
    num_decoder_layers=2,
    scan_layers=True,
)
ABOUT = Description(
    model=asdict(CONFIG),
    vocabulary={"name": "bytes", "fingerprint": "", "size": 259},
    data={},
    gin="",
)
LIKE = placed(abstract_params(build(CONFIG)), make_mesh(1))
TABLE = "token_embedder/embedding"


def save(folder: Path, number: float | None = None) -> Path:
    """With random weights, of which one element may be set."""
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), LIKE)
    if number is not None:
        params["token_embedder"]["embedding"][7, 3] = number
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(3, {"step": np.int32(3), "params": params}, {}, ABOUT)
    return folder


def damage(folder: Path) -> None:
    """Changes one number in the store of the arrays, which it stays a whole store of."""
    import tensorstore as ts

    state = f"{folder}/checkpoints/3/state/"
    base = {"driver": "file", "path": state}
    store = {"driver": "ocdbt", "base": base, "path": "params.token_embedder.embedding/"}
    array = ts.open({"driver": "zarr", "kvstore": store}, open=True).result()
    array[7, 3].write(np.float32(0.25)).result()


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = save(tmp_path_factory.mktemp("damaged") / "run")
    damage(folder)
    return folder


@pytest.mark.parametrize("to", convert.FORMATS)
def test_a_changed_number_is_not_converted(
    damaged: Path, tmp_path: Path, to: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["convert", str(damaged), str(tmp_path / "out"), f"--to={to}"]) == 2
    assert f"checkpoints/3: {TABLE} has the checksum" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_changed_number_is_not_trained_from(damaged: Path) -> None:
    with pytest.raises(UserError, match=f"checkpoints/3: {TABLE} has the checksum"):
        convert.initial_params(str(damaged), LIKE, CONFIG)


def test_numbers_that_are_not_finite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a checkpoint that has no checksums, as in every format."""
    from tk_instruct import checkpoint

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "checksums", lambda state: {})
        save(tmp_path / "run", np.inf)
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "3" / "checksums")
    with pytest.raises(UserError, match=f"checkpoints/3: {TABLE} holds"):
        convert.initial_params(str(tmp_path / "run"), LIKE, CONFIG)
    for to in convert.FORMATS:
        assert cli.main(["convert", str(tmp_path / "run"), str(tmp_path / to), f"--to={to}"]) == 2


def test_what_is_converted_has_the_checksums_that_a_run_keeps(tmp_path: Path) -> None:
    run = save(tmp_path / "run")
    assert cli.main(["convert", str(run), str(tmp_path / "t5x"), "--to=t5x"]) == 0
    command = ["convert", str(tmp_path / "t5x"), str(tmp_path / "ours"), "--to=ours"]
    assert cli.main([*command, "--vocabulary=bytes"]) == 0
    converted = tmp_path / "ours"
    kept, passed_on = (saved_checksums(x / "checkpoints" / "3") for x in (run, converted))
    arrays = [name for name in kept if name not in ("cursor", "description")]
    assert len(arrays) > 40
    assert {name: kept[name] for name in arrays} == {name: passed_on[name] for name in arrays}
    one = Checkpoints(run, read_only=True).content(3)
    assert Checkpoints(converted, read_only=True).content(3) == one
    damage(converted)
    like = placed(
        abstract_params(build(ours.read(f"{converted}/checkpoints/3").config)), make_mesh(1)
    )
    with pytest.raises(UserError, match=f"{TABLE} has the checksum"):
        Checkpoints(converted, read_only=True).restore_params(3, like)


@pytest.mark.parametrize("content", ["", "[]", "{}", "[1]", '{"a": 1}', "nonsense"])
def test_checksums_that_are_damaged(tmp_path: Path, content: str) -> None:
    run = save(tmp_path / "run")
    (run / "checkpoints" / "3" / "checksums" / "metadata").write_text(content)
    with pytest.raises(UserError, match="checkpoints/3"):
        convert.open_checkpoint(str(run))
    with pytest.raises(UserError, match="checkpoints/3"):
        Checkpoints(run, read_only=True).restore_params(3, LIKE)


def test_a_checkpoint_of_before_there_were_checksums(tmp_path: Path) -> None:
    run = save(tmp_path / "run")
    shutil.rmtree(run / "checkpoints" / "3" / "checksums")
    assert cli.main(["convert", str(run), str(tmp_path / "out"), "--to=ours"]) == 0
    assert json.loads((tmp_path / "out/checkpoints/3/checksums/metadata").read_text())


def test_a_description_that_describes_nothing(tmp_path: Path) -> None:
    run = save(tmp_path / "run")
    file = run / "checkpoints" / "3" / "description" / "metadata"
    changes: list[Any] = ["{", "[]", '{"gin": ""}', json.dumps({**asdict(ABOUT), "model": {}})]
    for content in changes:
        file.write_text(content)
        with pytest.raises(UserError, match=r"checkpoints/3: its description cannot be read"):
            convert.open_checkpoint(str(run))
