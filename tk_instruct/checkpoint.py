"""Saves and restores the checkpoints of a run with Orbax.

A checkpoint holds the state, the data cursor and a description of the run. It is written under
another name and then renamed, so it is either complete or absent. Saving continues in the
background while the run trains. In a run of several processes all of them make the same calls, on
a file system that they share.
"""

import hashlib
import json
import math
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from typing import Annotated, Any, Literal, TypeVar

import jax
import msgspec
import orbax.checkpoint as ocp

from tk_instruct import schema
from tk_instruct.checksums import DamagedError, checksums, digest, verify
from tk_instruct.errors import UserError
from tk_instruct.files import (
    Path,
    PathLike,
    absolute,
    as_os_errors,
    cannot_write,
    is_local,
    needs_bucket_package,
    read_bytes,
)

# The fields of a description that must not change when a run continues, and the repair.
_REPAIRS = {
    "model": "train the model that the checkpoint holds",
    "vocabulary": "use the vocabulary that the checkpoint was trained with",
    "data": "train on the same data",
    "soft_prompt": "train as long a prompt, for the same INITIAL_CHECKPOINT_PATH (and step)",
}
# Parts of these fields that may change, because they do not change what the numbers mean.
_MAY_CHANGE = {
    "model": {"dtype", "remat"},
    "vocabulary": {"name"},
    "data": {"made_with"},
    "soft_prompt": {"frozen"},
}

_DAMAGED = "it was not saved so"
_NUM_SHOWN = 3  # keys that differ, in an error
T = TypeVar("T")


class _Vocabulary(msgspec.Struct, frozen=True):
    name: str
    fingerprint: str


class _Lengths(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    inputs: int
    targets: int


class _Data(msgspec.Struct, frozen=True):
    """The training data; converted weights have none."""

    mixture: str | None = None
    lengths: _Lengths | None = None
    batch_size: int | None = None
    seed: int | None = None
    content: dict[str, str] = {}


class _Prompt(msgspec.Struct, frozen=True):
    length: Annotated[int, msgspec.Meta(ge=1, le=2**20)]
    frozen: str
    fingerprint: str
    checksum: str | None = None


class _Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The fields of a Description that the code reads by name."""

    model: dict[str, Any]
    vocabulary: _Vocabulary
    data: _Data
    gin: str
    soft_prompt: dict[str, Any] = {}


class _Metrics(msgspec.Struct, frozen=True):
    validation_loss: float


_Nanoseconds = Annotated[int, msgspec.Meta(ge=0, lt=2**63 - 1)] | None


class _Written(msgspec.Struct, frozen=True):
    """The fields that Orbax reads in its file _CHECKPOINT_METADATA."""

    item_handlers: dict[str, Any] | str | None = None
    metrics: dict[str, Any] | None = None
    performance_metrics: dict[str, Any] | None = None
    init_timestamp_nsecs: _Nanoseconds = None
    commit_timestamp_nsecs: _Nanoseconds = None
    custom_metadata: dict[str, Any] | None = None


_READ_BY_ORBAX: dict[str, tuple[type[Any], str]] = {
    "metrics/metrics": (_Metrics, "how good the checkpoint is"),
    "_CHECKPOINT_METADATA": (_Written, "when and by what the checkpoint was written"),
}
_Checksums = Annotated[dict[str, str], msgspec.Meta(min_length=1)]
# No run reaches 2⁵³.
_Cursor = dict[str, Annotated[int, msgspec.Meta(ge=0, lt=2**53)]]


@dataclass(frozen=True)
class Description:
    """What the numbers of a checkpoint mean.

    Attributes:
        model: the fields of the model's configuration.
        vocabulary: name and fingerprint.
        data: what the cursor points into: mixture, feature lengths, batch size, seed, fingerprints;
            and made_with, the versions of what prompts are made with.
        gin: the gin configuration.
        soft_prompt: empty, or for a soft prompt: length, frozen (the path of the frozen model),
            fingerprint and checksum of the frozen model.
    """

    model: Mapping[str, Any]
    vocabulary: Mapping[str, Any]
    data: Mapping[str, Any]
    gin: str
    soft_prompt: Mapping[str, Any] = field(default_factory=dict)

    def check_continues(self, saved: "Description", where: Path) -> None:
        """Raises UserError where a run cannot continue from a saved one; it names the fields."""
        for part, repair in _REPAIRS.items():
            # As JSON, in which a tuple is a list. An older prompt has no checksum of its model.
            mine, theirs = (json.loads(json.dumps(getattr(x, part))) for x in (self, saved))
            changed = [
                _difference(f"{part}.{key}", mine.get(key), theirs.get(key))
                for key in sorted({*mine, *theirs} - _MAY_CHANGE[part] - ({"checksum"} - {*theirs}))
                if mine.get(key) != theirs.get(key)
            ]
            if changed:
                raise UserError(
                    f"{where} was made by another run: {'; '.join(changed)}; {repair}, or start "
                    "in a MODEL_DIR of its own"
                )


def _difference(name: str, mine: Any, theirs: Any) -> str:
    """Says how two values differ; of objects, the first keys that differ."""
    more = ""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        keys = [key for key in {**mine, **theirs} if mine.get(key) != theirs.get(key)]
        shown = keys[:_NUM_SHOWN]
        mine, theirs = ({key: of[key] for key in shown if key in of} for of in (mine, theirs))
        more = f" ({len(keys) - len(shown)} more differ)" if len(keys) > len(shown) else ""
    return f"{name}={mine!r} but the checkpoint has {theirs!r}{more}"


class Checkpoints:
    """The checkpoints of one run directory, MODEL_DIR/checkpoints/<step>/.

    The last `keep` checkpoints are kept (None: all), and the one with the lowest validation loss.
    Close it, or use it as a context manager: only then is the last checkpoint surely on disk.
    """

    def __init__(
        self, model_dir: PathLike, keep: int | None = None, read_only: bool = False
    ) -> None:
        self.directory = absolute(model_dir) / "checkpoints"
        if "\\" in str(self.directory):  # TensorStore takes no such path
            raise UserError(
                f"{self.directory}: a checkpoint's path must have no backslash; rename its folder"
            )
        if not is_local(model_dir) and not find_spec("google.cloud.storage"):
            raise needs_bucket_package(model_dir)  # Orbax lists checkpoints with it
        if not read_only:
            try:
                with as_os_errors():
                    self.directory.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise cannot_write(self.directory, error) from error
        self._check_read_by_orbax()
        policies = ocp.checkpoint_managers
        self._manager = ocp.CheckpointManager(
            self.directory,
            item_names=("state", "cursor", "description", "checksums"),
            options=ocp.CheckpointManagerOptions(
                preservation_policy=policies.AnyPreservationPolicy(
                    [
                        policies.LatestN(keep),
                        policies.BestN(
                            get_metric_fn=_validation_loss,
                            reverse=True,  # from the highest loss to the lowest, the best
                            n=1,
                            keep_checkpoints_without_metrics=False,
                        ),
                    ]
                ),
                best_fn=_validation_loss,
                best_mode="min",
                create=False,
                read_only=read_only,
                cleanup_tmp_directories=not read_only,  # left by a save that was killed
            ),
        )
        self._saving: int | None = None

    def _check_read_by_orbax(self) -> None:
        """Raises UserError for a damaged file that Orbax reads.

        Orbax reads these files of all checkpoints at once, and does not say which is damaged.
        """
        for name, (kind, what) in _READ_BY_ORBAX.items():
            for file in self.directory.glob(f"[0-9]*/{name}"):
                if not file.parents[name.count("/")].name.isdecimal():
                    continue  # left by a save that was killed
                remove = "rm" if is_local(file) else "gcloud storage rm"
                repair = (
                    f"it only says {what}: remove it, and the same command continues:\n"
                    f"  {remove} {shlex.quote(str(file))}"
                )
                content = read_bytes(file)
                schema.parse(content, kind, str(file), repair)
                try:
                    json.loads(content.decode())  # as Orbax does; the schema skips unknown fields
                except (ValueError, RecursionError) as error:
                    raise UserError(f"{file}: not JSON ({error}); {repair}") from error

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        try:
            self.close()
        except UserError:
            if kind is None:  # else the first exception is the one to report
                raise

    def latest_step(self) -> int | None:
        """The last step that is on disk; waits for an unfinished save."""
        self.wait()
        return self._manager.latest_step()

    def best_step(self) -> int | None:
        """The step with the lowest validation loss, if any was saved with one; waits likewise."""
        self.wait()
        return self._manager.best_step()

    def content(self, step: int) -> str:
        """A digest of a checkpoint's parameters, which any change of them changes.

        It is made of their checksums, or if none were saved, of all bytes of the state.
        """
        with self._reading(step):
            if saved := saved_checksums(self.directory / str(step)):
                return digest({k: v for k, v in saved.items() if k.startswith("params/")})
            files = _files(self.directory / str(step) / "state")
            return digest([hashlib.sha256(path.read_bytes()).hexdigest() for path in files])

    def step_or_latest(self, step: int | Literal["best"] | None) -> int:
        """The given step, or the last; raises UserError where it does not exist."""
        self.wait()
        steps = sorted(self._manager.all_steps())
        if not steps:
            raise UserError(f"{self.directory} holds no finished checkpoint; train first")
        if step is None:
            return steps[-1]
        found = self.best_step() if step == "best" else step
        if found is None:
            raise UserError(
                f"step='best' is the one with the lowest validation loss, but none in "
                f"{self.directory} was saved with one; choose of {', '.join(map(str, steps))}"
            )
        if found not in steps:
            raise UserError(
                f"step={step} has no checkpoint in {self.directory}; there are "
                f"{', '.join(map(str, steps))}"
            )
        return found

    def save(
        self,
        step: int,
        state: Any,
        cursor: Mapping[str, Any],
        about: Description,
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """Saves in the background; returns when the arrays are copied and may be donated.

        Args:
            metrics: scores of this state's validation, with validation_loss. Without them the
                checkpoint is never the best.

        Raises:
            UserError: this checkpoint or the one before cannot be written, or a parameter is not
                finite. The checkpoints on disk do not change.
        """
        self.wait()
        self._saving = step
        if metrics is not None and not math.isfinite(_validation_loss(metrics)):
            metrics = None  # NaN cannot be compared
        sums = checksums(state)
        try:
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.PyTreeSave(state),
                    cursor=ocp.args.JsonSave(dict(cursor)),
                    description=ocp.args.JsonSave(vars(about)),
                    checksums=ocp.args.JsonSave(_with_digests(sums, cursor, about)),
                ),
                metrics=None if metrics is None else dict(metrics),
                force=True,
            )
        except Exception as error:  # TensorStore, Orbax and the system have no common error
            raise self._not_written(error) from error

    def wait(self) -> None:
        """Returns when the last save is on disk; raises UserError where it cannot be written."""
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            raise self._not_written(error) from error

    def _not_written(self, error: Exception) -> UserError:
        self._manager.reload()
        last = self._manager.latest_step()
        held = f"step {last} is the last good one" if last is not None else "there is none yet"
        return UserError(
            f"the checkpoint of step {self._saving} could not be written to {self.directory} "
            f"({_first_line(error)}); {held}; free space there and run the same command again"
        )

    def description(self, step: int) -> Description:
        """Raises DamagedError where it cannot be read."""
        with self._reading(step):
            return read_description(self.directory / str(step))

    def restore(self, step: int, state_like: Any) -> tuple[Any, Mapping[str, Any]]:
        """The state and the cursor; state_like gives shapes, types and shardings of the state.

        Raises:
            DamagedError: the checkpoint has other arrays, such as another optimizer's moments, or
                is damaged.
        """
        args = ocp.args.Composite(state=_restore_as(state_like))
        folder = self.directory / str(step)
        repair = "; use the model and the optimizer that it was saved with"
        with self._reading(step, "restored as this run's state", repair):
            restored = self._manager.restore(step, args=args)
            saved = saved_checksums(folder)
            verify(restored["state"], saved)
            cursor = _read(folder, "cursor", _Cursor)
            _check(saved, "cursor", digest(cursor))
        return restored["state"], cursor

    def restore_params(self, step: int, params_like: Any) -> Any:
        """The parameters only; the state of the optimizer is not read."""
        state = _restore_as({"params": params_like}, partial_restore=True)
        with self._reading(step):
            restored = self._manager.restore(step, args=ocp.args.Composite(state=state))
            verify(restored["state"], saved_checksums(self.directory / str(step)))
        return restored["state"]["params"]

    def resume(
        self, step: int, about: Description, state_like: Any
    ) -> tuple[Description, Any, Mapping[str, Any]]:
        """Description, state and cursor of the step that a run continues from.

        Raises:
            UserError: the run cannot continue from this step, or the checkpoint is damaged. Then
                the message names the last good one, and a command to continue from there.
        """
        where = self.directory / str(step)
        try:
            saved = self.description(step)
            about.check_continues(saved, where)
            return saved, *self.restore(step, state_like)
        except DamagedError as error:
            good = self._last_good(step, state_like)
            if good is None:
                raise
            move = "mv" if is_local(where) else "gcloud storage mv"
            aside = self.directory.parent / f"damaged-{step}"
            raise UserError(
                f"{error}. The last good checkpoint is of step {good}: move this one aside, and "
                f"the same command continues from step {good}:\n"
                f"  {move} {shlex.quote(str(where))} {shlex.quote(str(aside))}"
            ) from error

    def _last_good(self, before: int, state_like: Any) -> int | None:
        """The last step before this one that can be restored; None in a run of several processes.

        There, perhaps only one process sees the damage, and the others would not search with it.
        """
        if jax.process_count() > 1:
            return None
        for step in sorted(self._manager.all_steps(), reverse=True):
            if step < before:
                try:
                    self.description(step)
                    self.restore(step, state_like)
                except UserError:
                    continue
                return step
        return None

    @contextmanager
    def _reading(self, step: int, what: str = "read", repair: str = "") -> Iterator[None]:
        """Turns the errors of TensorStore and Orbax into DamagedError."""
        usual = sys.unraisablehook
        sys.unraisablehook = _without_reads_under_way(usual)
        try:
            yield
            sys.unraisablehook = usual
        except Exception as error:
            others = [other for other in self._manager.all_steps() if other != step]
            left = f"step {max(others)} is the last one then" if others else "there is no other"
            raise DamagedError(
                f"{self.directory / str(step)} cannot be {what} ({_first_line(error)}){repair}; "
                f"if it is damaged, replace it by a copy or move it away ({left})"
            ) from error

    def close(self) -> None:
        """Waits as wait(), and ends the background threads."""
        try:
            self.wait()
        finally:
            self._manager.close()


def read_description(folder: Path) -> Description:
    """The description in a checkpoint's folder; raises UserError where it is damaged."""
    fields = _read(folder, "description", dict[str, Any])
    _check(saved_checksums(folder), "description", digest(fields))
    about = schema.convert(fields, _Description, "its description", _DAMAGED)
    if about.soft_prompt:
        schema.convert(about.soft_prompt, _Prompt, "soft_prompt of its description", _DAMAGED)
    return Description(**fields)


def _read(folder: Path, item: str, kind: type[T]) -> T:
    """An item that Orbax has written as JSON."""
    content = read_bytes(folder / item / "metadata")
    return schema.parse(content, kind, f"its {item}", _DAMAGED)


def _with_digests(
    sums: Mapping[str, str], cursor: Mapping[str, Any], about: Description
) -> dict[str, str]:
    return {**sums, "cursor": digest(cursor), "description": digest(vars(about))}


def write_checksums(
    folder: Path, sums: Mapping[str, str], cursor: Mapping[str, Any], about: Description
) -> None:
    """Adds checksums to a checkpoint that was written without this class."""
    content = json.dumps(_with_digests(sums, cursor, about))
    (folder / "checksums").mkdir()
    (folder / "checksums" / "metadata").write_text(content)


def _check(saved: Mapping[str, str], what: str, found: str) -> None:
    if saved and saved.get(what) != found:
        raise DamagedError(f"its {what} has changed since it was saved")


def saved_checksums(folder: Path) -> Mapping[str, str]:
    """The checksums in a checkpoint's folder; empty where none were saved."""
    if not (folder / "checksums").exists():
        return {}
    return _read(folder, "checksums", _Checksums)


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield from _files(path)
        else:
            yield path


@cache
def _without_reads_under_way(
    usual: Callable[["sys.UnraisableHookArgs"], Any],
) -> Callable[["sys.UnraisableHookArgs"], None]:
    """An unraisable hook that drops the late errors of Orbax's reads.

    Orbax closes its event loop at the first array that it cannot read. Reads of other arrays still
    end there, and each would print a traceback, even after the error message.
    """

    def hook(dropped: "sys.UnraisableHookArgs") -> None:
        if str(dropped.exc_value) != "Event loop is closed":
            usual(dropped)

    return hook


def _restore_as(like: Any, **options: Any) -> Any:
    restore_args = ocp.checkpoint_utils.construct_restore_args(like)
    return ocp.args.PyTreeRestore(item=like, restore_args=restore_args, **options)


def _validation_loss(metrics: Mapping[str, float]) -> float:
    return metrics["validation_loss"]


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:200]
