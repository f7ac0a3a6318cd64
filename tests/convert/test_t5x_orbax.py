"""T5X's checkpoints in the layouts that Orbax has had since 2022, written here by hand."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import orbax.checkpoint as ocp
import pytest
import tensorstore as ts
from flax import serialization
from flax.traverse_util import flatten_dict, unflatten_dict

from tk_instruct import convert
from tk_instruct.convert import storage
from tk_instruct.errors import UserError

STEP = 10
# All but the scales small enough to be in the file that tells the structure.
SHAPES = {
    "token_embedder/embedding": (32, 8),
    "encoder/encoder_norm/scale": (8,),
    "decoder/decoder_norm/scale": (8,),
    "decoder/logits_dense/kernel": (8, 32),
    "encoder/relpos_bias/rel_embedding": (2, 32),
    "decoder/relpos_bias/rel_embedding": (2, 32),
    **{
        f"{stack}/layers_0/{name}": shape
        for stack, attentions in (
            ("encoder", ("attention",)),
            ("decoder", ("self_attention", "encoder_decoder_attention")),
        )
        for name, shape in {
            **{f"{a}/{x}/kernel": (8, 8) for a in attentions for x in ("query", "key", "value")},
            **{f"{a}/out/kernel": (8, 8) for a in attentions},
            "mlp/wi_0/kernel": (8, 16),
            "mlp/wi_1/kernel": (8, 16),
            "mlp/wo/kernel": (16, 8),
            "pre_mlp_layer_norm/scale": (8,),
            **(
                {"pre_attention_layer_norm/scale": (8,)}
                if stack == "encoder"
                else {
                    "pre_self_attention_layer_norm/scale": (8,),
                    "pre_cross_attention_layer_norm/scale": (8,),
                }
            ),
        }.items()
    },
}


def weights() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}


def tree_of(params: Mapping[str, Any]) -> dict[str, Any]:
    names = {f"target/{name}": value for name, value in params.items()}
    moments = {"state/param_states/token_embedder/embedding/v_row": np.ones(32, np.float32)}
    return {"state/step": np.int64(STEP), **moments, **names}


def write_zarr(folder: Path, name: str, array: Any, store: dict[str, Any] | None = None) -> None:
    array = np.asarray(array)
    base = store or {"driver": "file", "path": f"{folder / name}/"}
    spec = {
        "driver": "zarr",
        "kvstore": base,
        "metadata": {
            "compressor": {"id": "gzip", "level": 1},
            "shape": list(array.shape),
            "chunks": [max(1, size // 2) for size in array.shape],
        },
        "dtype": str(array.dtype),
    }
    ts.open(spec, create=True).result().write(array).result()


def write_arrays(state: Path, leaves: Mapping[str, Any], in_one_store: bool = False) -> None:
    for name, array in leaves.items():
        key = name.replace("/", ".")
        store = None
        if in_one_store:
            base = {"driver": "file", "path": f"{state}/"}
            store = {"driver": "ocdbt", "base": base, "path": f"{key}/"}
        write_zarr(state, key, array, store)


def write_structure(state: Path, leaves: Mapping[str, Any]) -> None:
    content = unflatten_dict(leaves, sep="/")
    (state / "checkpoint").write_bytes(serialization.msgpack_serialize(content))


def write_metadata(
    state: Path, leaves: Mapping[str, Any], skipped: tuple[str, ...] = (), **more: Any
) -> None:
    def entry(name: str) -> dict[str, Any]:
        return {
            "key_metadata": [{"key": key, "key_type": 2} for key in name.split("/")],
            "value_metadata": {"value_type": "np.ndarray", "skip_deserialize": name in skipped},
        }

    tree = {str(tuple(name.split("/"))): entry(name) for name in leaves}
    (state / "_METADATA").write_text(json.dumps({"tree_metadata": tree, **more}))


def placeholders(leaves: Mapping[str, Any], prefix: str = "PLACEHOLDER") -> dict[str, Any]:
    return {name: f"{prefix}://{name.replace('/', '.')}" for name in leaves}


def specifications(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Of the machine that it was saved on, with the folder's name before it was renamed."""
    where = "checkpoints/run/checkpoint_10.orbax-checkpoint-tmp-1663/state"
    return {
        name: {
            "driver": "zarr",
            "kvstore": {"driver": "gfile", "path": f"{where}/{name.replace('/', '.')}/"},
        }
        for name in leaves
    }


def of_2022(state: Path, leaves: dict[str, Any]) -> None:
    write_arrays(state, leaves)
    write_structure(state, specifications(leaves))


def aggregated(state: Path, leaves: dict[str, Any]) -> None:
    """The first placeholders, and with the vectors in the file itself."""
    inside = {name: leaf for name, leaf in leaves.items() if np.ndim(leaf) < 2}
    write_arrays(state, {name: leaf for name, leaf in leaves.items() if name not in inside})
    empty = {"flax_mutables": {}}
    write_structure(state, {**placeholders(leaves, "AGGREGATED"), **inside, **empty})


def of_0_2_3(state: Path, leaves: dict[str, Any]) -> None:
    write_arrays(state, leaves)
    write_structure(state, placeholders(leaves))


def without_structure(state: Path, leaves: dict[str, Any]) -> None:
    write_arrays(state, leaves)


def first_ocdbt(state: Path, leaves: dict[str, Any]) -> None:
    write_arrays(state, leaves, in_one_store=True)
    write_structure(state, placeholders(leaves))


def with_both(state: Path, leaves: dict[str, Any]) -> None:
    """Late 2023: what is skipped is in the file `checkpoint`."""
    inside = ("state/step", "target/encoder/encoder_norm/scale")
    write_arrays(state, {name: leaf for name, leaf in leaves.items() if name not in inside})
    write_structure(state, {**placeholders(leaves), **{name: leaves[name] for name in inside}})
    write_metadata(state, {**leaves, "flax_mutables": {}}, skipped=(*inside, "flax_mutables"))


def of_2024(state: Path, leaves: dict[str, Any]) -> None:
    write_arrays(state, leaves, in_one_store=True)
    write_metadata(state, leaves, use_ocdbt=True, use_zarr3=False)


LAYOUTS: list[Callable[[Path, dict[str, Any]], None]] = [
    of_2022,
    aggregated,
    of_0_2_3,
    without_structure,
    first_ocdbt,
    with_both,
    of_2024,
]
each_layout = pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)


def written(folder: Path, layout: Callable[..., None], leaves: dict[str, Any]) -> Path:
    state = folder / f"checkpoint_{STEP}" / "state"
    state.mkdir(parents=True)
    layout(state, leaves)
    return state


@each_layout
def test_every_layout_is_read(tmp_path: Path, layout: Callable[..., None]) -> None:
    expected = weights()
    state = written(tmp_path, layout, tree_of(expected))
    for path in (tmp_path, state.parent, state):
        checkpoint = convert.open_checkpoint(str(path))
        assert checkpoint.step == STEP
        assert checkpoint.tensors.keys() == expected.keys()
        for name, tensor in checkpoint.tensors.items():
            np.testing.assert_array_equal(tensor.whole(), expected[name], err_msg=name)


@pytest.mark.parametrize("layout", [of_0_2_3, first_ocdbt, of_2024], ids=lambda x: x.__name__)
def test_orbax_reads_what_is_written_here(tmp_path: Path, layout: Callable[..., None]) -> None:
    leaves = tree_of(weights())
    restored = ocp.PyTreeCheckpointer().restore(written(tmp_path, layout, leaves))
    for name, array in flatten_dict(restored, sep="/").items():
        np.testing.assert_array_equal(array, leaves[name], err_msg=name)


def test_half_precision_is_widened_in_the_file_too(tmp_path: Path) -> None:
    half = {name: array.astype(ml_dtypes.bfloat16) for name, array in weights().items()}
    written(tmp_path, aggregated, tree_of(half) | {"state/step": 0})
    checkpoint = convert.open_checkpoint(str(tmp_path))
    assert checkpoint.step == 0
    for name, tensor in checkpoint.tensors.items():
        np.testing.assert_array_equal(tensor.whole(), half[name].astype(np.float32))


@pytest.mark.parametrize("name", ["../../secret", "/secret", "a/../../secret", ""])
@pytest.mark.parametrize("told_by", ["checkpoint", "_METADATA"])
def test_a_leaf_that_would_lie_outside_is_refused(tmp_path: Path, name: str, told_by: str) -> None:
    leaves = tree_of(weights())
    write_zarr(tmp_path, "secret", leaves["target/token_embedder/embedding"])
    state = written(tmp_path, of_0_2_3, leaves)
    if told_by == "checkpoint":
        hostile = {"target/token_embedder/embedding": f"PLACEHOLDER://{name}"}
        write_structure(state, {**placeholders(leaves), **hostile})
    else:
        write_metadata(state, {**leaves, f"target/{name}": None})
        metadata = json.loads((state / "_METADATA").read_text())
        metadata["tree_metadata"]["x"] = {"key_metadata": [{"key": name, "key_type": 2}]}
        (state / "_METADATA").write_text(json.dumps(metadata))
    with pytest.raises(UserError, match="which must be a name inside the folder"):
        convert.open_checkpoint(str(tmp_path))


@pytest.mark.parametrize(
    "changed",
    [
        {"kvstore": {"driver": "gcs", "path": "../../secret"}},
        {"kvstore": {"driver": "file", "path": "/etc/passwd"}},
        {"driver": "json", "kvstore": {"driver": "file", "path": "target"}},
        {"driver": "zarr", "kvstore": "file:///etc/passwd"},
    ],
)
def test_a_legacy_leaf_that_would_lie_outside_is_refused(
    tmp_path: Path, changed: dict[str, Any]
) -> None:
    specs = {
        name: {"driver": "zarr", "kvstore": {"driver": "file", "path": f"target.{name}"}}
        for name in SHAPES
    }
    specs["token_embedder/embedding"] |= changed
    content = {"optimizer": {"target": unflatten_dict(specs, sep="/"), "state": {"step": 1}}}
    folder = tmp_path / "checkpoint_1"
    folder.mkdir()
    (folder / "checkpoint").write_bytes(serialization.msgpack_serialize(content))
    for name, array in weights().items():
        write_zarr(folder, f"target.{name}", array)
    with pytest.raises(UserError, match=r"inside the folder|zarr alone|cannot be read"):
        convert.open_checkpoint(str(folder))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("checkpoint", b"\x83\xa6target"),
        ("checkpoint", serialization.msgpack_serialize([1, 2])),
        ("_METADATA", b"{"),
        ("_METADATA", b"[]"),
        ("_METADATA", b'{"tree_metadata": {"a": {"key_metadata": 3}}}'),
        ("_METADATA", b'{"tree_metadata": {"a": {}}}'),
    ],
)
def test_a_structure_that_cannot_be_read(tmp_path: Path, file: str, content: bytes) -> None:
    state = written(tmp_path, of_0_2_3, tree_of(weights()))
    (state / file).write_bytes(content)
    with pytest.raises(UserError, match=r"cannot be read|is no parameter|missing"):
        convert.open_checkpoint(str(tmp_path))


def test_what_is_not_finished_is_said(tmp_path: Path) -> None:
    state = written(tmp_path, of_0_2_3, tree_of(weights()))
    begun = tmp_path / "checkpoint_20.orbax-checkpoint-tmp-1700000000"
    state.parent.rename(begun)
    for path in (tmp_path, begun):
        with pytest.raises(UserError, match=r"tmp-1700000000 is a checkpoint whose saving was not"):
            convert.open_checkpoint(str(path))
    written(tmp_path, of_0_2_3, tree_of(weights()))
    assert convert.open_checkpoint(str(tmp_path)).step == STEP  # the finished one


def test_the_layout_of_0_2_3_as_it_was_found(shared_data: Path) -> None:
    folder = shared_data.parent / "cases" / "t5x_orbax_0_2_3"
    if not folder.is_dir():
        pytest.skip("no such case here")
    checkpoint = convert.open_checkpoint(str(folder))
    assert checkpoint.step == 10
    assert all(np.isfinite(tensor.whole()).all() for tensor in checkpoint.tensors.values())


@pytest.mark.parametrize("changed", [{"shape": [8, 10**12]}, {"chunks": [8, 10**12]}])
def test_an_array_that_no_memory_holds_is_refused(tmp_path: Path, changed: dict[str, Any]) -> None:
    """TensorStore would end the process."""
    kvstore = {"driver": "file", "path": str(tmp_path / "a")}
    spec = {"driver": "zarr", "kvstore": kvstore}
    whole = {"shape": [8, 8], "chunks": [8, 8], "dtype": "<f4"}
    ones = np.ones((8, 8), np.float32)
    ts.open({**spec, "metadata": whole}, create=True).result().write(ones).result()
    metadata = tmp_path / "a" / ".zarray"
    assert storage.stored_array("a", "x", spec).whole().sum() == 64
    metadata.write_text(json.dumps({**json.loads(metadata.read_text()), **changed}))
    with pytest.raises(UserError, match=r"x: a is to be read by .* GB and this machine has"):
        storage.stored_array("a", "x", spec).whole()
