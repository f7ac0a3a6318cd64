"""Reads what a report is given: runs, and files of scores or of predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tk_instruct import scored_instances
from tk_instruct.errors import UserError
from tk_instruct.files import Path
from tk_instruct.scored_instances import SUFFIX, ScoredInstances, as_scores
from tk_instruct.scores import Found, Key, key_of, predictions_of, read_run, released_in

_GENERATED = "instructions.jsonl"  # what a run of `tk-instruct self-instruct` holds


@dataclass(frozen=True)
class Evaluation:
    """What a system scored on each instance of a task and split.

    Attributes:
        predictions: the name of their file, by which the encoding is known.
    """

    instances: ScoredInstances
    predictions: str


@dataclass(frozen=True)
class System:
    """A run's directory, or a file of one system.

    Attributes:
        scores: as `tk-instruct evaluate` has written them.
        evaluations: those whose instances' scores are kept beside the predictions.
    """

    name: str
    path: Path
    scores: Found = field(default_factory=Found)
    evaluations: Mapping[Key, Evaluation] = field(default_factory=dict)

    @property
    def alone(self) -> dict[Key, Evaluation]:
        """The evaluations that are not a part of one, as that of a single prompt is."""
        return {key: of for key, of in self.evaluations.items() if not of.instances.about.together}

    @property
    def is_trained(self) -> bool:
        return (self.path / "metrics.jsonl").exists()

    @property
    def is_generated(self) -> bool:
        """Whether it is a run of `tk-instruct self-instruct`."""
        return is_generated(self.path)


def is_generated(path: Path) -> bool:
    """Whether a folder is a run of `tk-instruct self-instruct`."""
    return (path / _GENERATED).exists()


def read_system(name: str, path: Path, needs_scores: bool) -> System:
    """A run, or a file of scores, of predictions that were evaluated, or of instances' scores.

    needs_scores: whether a run without scores is refused. It may have been trained only.

    Raises UserError if there is nothing to read, or if predictions were not evaluated.
    """
    if is_generated(path):
        return System(name, path)
    if path in released_in(path):  # samples of lm-evaluation-harness
        return _joined(name, path, [file for _, file in predictions_of(path).values()])
    if path.is_dir():
        return _run(name, path, needs_scores)
    if not path.exists():
        raise UserError(f"{path} is not there; give a run's folder, a study or a file of scores")
    if path.name.endswith((SUFFIX, ".jsonl")):
        return _evaluated(name, path)
    return System(name, path, read_run(path))


def _run(name: str, path: Path, needs_scores: bool) -> System:
    """A run. Scores that `evaluate` was not told to write are made of the instances' scores."""
    system = System(name, path, Found(), _evaluations(path))
    is_enough = system.evaluations or (system.is_trained and not needs_scores)
    if any((path / "scores").glob("*.json")) or not is_enough:
        system = replace(system, scores=read_run(path))
    for key, evaluation in system.alone.items():
        if key not in system.scores.scores and len(evaluation.instances.by("part")) == 1:
            system.scores.scores[key] = as_scores(evaluation.instances.estimates())
    return system


def _evaluations(run: Path) -> dict[Key, Evaluation]:
    """Of the last step of each task and split."""
    folder = run / "predictions"
    last: dict[Key, tuple[int, Path]] = {}
    for file in sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []:
        if named := key_of(f"{file.name.removesuffix(SUFFIX)}.json"):
            key, step = named
            last[key] = max(last.get(key, (-1, file)), (step, file))
    found = {}
    for key, (_, file) in last.items():
        name = f"{file.name.removesuffix(SUFFIX)}.jsonl"
        found[key] = Evaluation(scored_instances.read(file), name)
    return found


def _joined(name: str, path: Path, files: Sequence[Path]) -> System:
    """The files of predictions of one system."""
    joined = System(name, path, Found(), {})
    for system in (_evaluated(name, file) for file in files):
        joined.scores.scores.update(system.scores.scores)
        joined = replace(joined, evaluations={**joined.evaluations, **system.evaluations})
    return joined


def _evaluated(name: str, path: Path) -> System:
    """A file of predictions whose scores are kept beside it, or the file of those."""
    if path.name.endswith(SUFFIX):
        instances = scored_instances.read(path)
    elif (kept := scored_instances.kept_of(path)) is not None:
        instances = kept
    else:
        raise UserError(
            f"{path} has no scores of its instances beside it, or has changed since they were "
            f"made; make them with `tk-instruct evaluate --predictions {path}`"
        )
    file = instances.about.file or path.name
    named = key_of(f"{file.removesuffix('.jsonl')}.json")
    scores: Found = Found()
    evaluations: dict[Key, Evaluation] = {}
    for part, of in instances.by("part").items():
        key = named[0] if named else ("scores", part)
        scores.scores[key] = as_scores(of.estimates())
        evaluations[key] = Evaluation(of, file)
    return System(name, path, scores, evaluations)
