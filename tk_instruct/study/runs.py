"""The runs of a study, by the content of what they train, and the commands of each."""

import argparse
import difflib
import hashlib
import inspect
import json
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

import gin

from tk_instruct import configuration, suite
from tk_instruct.configuration.gin_files import Key, Reference, Setting
from tk_instruct.errors import UserError
from tk_instruct.files import PathLike
from tk_instruct.study import file
from tk_instruct.study.file import Evaluation, Point, Study, Value, filled

if TYPE_CHECKING:
    from tk_instruct.train_run import TrainRun

Verb = Literal["train", "predict", "evaluate"]
Places = Mapping[str, tuple[str, ...]]
"""Flag that says where data lies → its words."""

_MOST_POINTS = 10_000
# Raise it if the same settings train something else.
_MEANING = 1
# Settings of a run that its parameters do not depend on: what it logs, checks and keeps, and how it
# is divided over devices (which changes rounding, as other devices do).
_NOT_TRAINED = frozenset(
    {
        *("model_dir", "log_every_steps", "eval_every_steps", "max_eval_batches"),
        *("save_every_steps", "keep_checkpoints", "num_partitions", "num_fsdp_shards"),
        *("num_samples", "wandb_project"),
    }
)
# Settings that change nothing of a step's program.
_NOT_COMPILED = _NOT_TRAINED - {"num_partitions", "num_fsdp_shards"} | {
    *("mixture", "seed", "steps", "num_train_examples"),
}
_OF_PROGRAM = ("tk_instruct.model.", "tk_instruct.optim")
_TRAIN_RUN = "tk_instruct.TrainRun"


@dataclass(frozen=True)
class Command:
    """A command of a run.

    Attributes:
        arguments: those that are the same wherever the run and its data lie.
        paths: flag → the path that it is given, within the run's folder.
        output: what it makes, within the run's folder.
        needs: the output that it reads, if any.
        takes: the flags of places that it takes.
    """

    verb: Verb
    arguments: tuple[str, ...]
    paths: tuple[tuple[str, str], ...]
    output: str
    needs: str
    takes: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Of all that it does, except where the run and its data lie."""
        content = [self.verb, self.arguments, self.paths]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]

    def words(self, folder: PathLike, places: Places) -> list[str]:
        """The words after `tk-instruct`."""
        paths = [f"{flag}={folder}{f'/{path}' if path else ''}" for flag, path in self.paths]
        return [
            *(self.verb, *self.arguments, *paths),
            *(word for name in self.takes if name in places for word in places[name]),
        ]


@dataclass(frozen=True)
class Scored:
    """Where the scores of an evaluation at a point are.

    Attributes:
        point: axis → value, for all axes.
        prefix: of the names of its metrics.
        output: the file of scores within the run's folder, by which its command is known.
    """

    point: Point
    prefix: str
    output: str


@dataclass(frozen=True)
class Run:
    """A run of a study: one training, and what is evaluated of it.

    Attributes:
        number: from 1, in the order of the file.
        name: of its folder: its mixture and its address.
        varied: the values of those axes on which the training depends.
        commands: the training first, an evaluation after the predictions that it scores.
        places: flag that says where data lies → what its gin files and bindings say.
        read: what its gin files and bindings make.
        program: equal for runs whose steps are compiled to the same program.
    """

    number: int
    name: str
    varied: Mapping[str, tuple[Value, ...]]
    commands: tuple[Command, ...]
    scored: tuple[Scored, ...]
    gin_files: tuple[str, ...]
    gin_bindings: tuple[str, ...]
    places: Mapping[str, str]
    read: "TrainRun"
    program: str

    @property
    def steps(self) -> int:
        return self.read.steps

    def trained_from(self, places: Places) -> dict[str, str]:
        """Flag → where the training's data lies, with these flags given."""
        given = {
            name: " ".join(words).removeprefix(f"--{name}")[1:] for name, words in places.items()
        }
        return {**self.places, **given}


@dataclass(frozen=True)
class _Training:
    """The gin files and bindings of a training, and what they make."""

    gin_files: tuple[str, ...]
    gin_bindings: tuple[tuple[str, str], ...]
    used: Mapping[Key, Setting]
    read: "TrainRun"
    program: str

    def name(self, same_places: Collection[str]) -> str:
        """Of its run's folder. same_places: of the study, by _same_places."""
        mixture = re.sub(r"[^\w.-]+", "_", self.read.mixture)[:80]
        return f"{mixture}-{_address(self.used, same_places)}"


def runs_of(study: Study, modules: Sequence[str] = ()) -> list[Run]:
    """The runs of a study. Reads gin files, but no data, and leaves gin without configuration.

    modules: the user's, which --import names.

    Raises UserError for a flag that no verb has, and for a setting that no run can have, with the
    point at which it is.
    """
    configuration.import_declarations(modules)
    for evaluation in study.evaluations:
        _check_flags(evaluation)
    num_points = math.prod(len(axis.values) for axis in study.axes)
    if num_points > _MOST_POINTS:
        raise UserError(
            f"the axes have {num_points:,} points, and a study at most {_MOST_POINTS:,}; give them "
            "fewer values"
        )
    names = [axis.name for axis in study.axes]
    points = [dict(zip(names, of, strict=True)) for of in product(*(a.values for a in study.axes))]
    known: dict[tuple[Any, ...], _Training] = {}
    trainings: list[_Training] = []  # of each point
    try:
        for point in points:
            files = tuple(filled(recipe, point) for recipe in study.recipes)
            settings = file.settings_of(study)
            bindings = tuple((name, filled(text, point)) for name, text in settings.items())
            if (files, bindings) not in known:
                try:
                    known[files, bindings] = _training(files, bindings)
                except UserError as error:
                    raise UserError(f"{error} (at {shown(point)})") from error
            trainings.append(known[files, bindings])
    finally:
        gin.clear_config()
    same_places = _same_places(list(known.values()))
    by_name: dict[str, list[tuple[_Training, Point]]] = {}
    for training, point in zip(trainings, points, strict=True):
        by_name.setdefault(training.name(same_places), []).append((training, point))
    return [
        _run(number, study, name, found[0][0], [point for _, point in found], modules)
        for number, (name, found) in enumerate(by_name.items(), start=1)
    ]


def shown(point: Point) -> str:
    return ", ".join(f"{name}={file.text_of(value)}" for name, value in point.items())


def _training(files: tuple[str, ...], bindings: tuple[tuple[str, str], ...]) -> _Training:
    from tk_instruct.train_run import TrainRun

    texts = [f"{name} = {value}" for name, value in (*bindings, ("MODEL_DIR", "RUN"))]
    used = configuration.load("runs/train.gin", files, texts)
    return _Training(
        files,
        bindings,
        used,
        read=configuration.configured(TrainRun),
        program=_program(used),
    )


def _program(used: Mapping[Key, Setting]) -> str:
    """The settings that the program of a step depends on, as a text."""
    settings = {
        str(key): repr(setting.value)
        for key, setting in used.items()
        if (key.selector == _TRAIN_RUN and key.parameter not in _NOT_COMPILED)
        or gin.config._REGISTRY[key.selector].wrapped.__module__.startswith(_OF_PROGRAM)
    }
    return json.dumps(sorted(settings.items()))


def _same_places(trainings: Sequence[_Training]) -> set[str]:
    """The parameters that say where data lies, and have one value in all trainings."""
    values: dict[str, set[str]] = {name: set() for name in configuration.places().values()}
    for training in trainings:
        used = {str(key): setting.value for key, setting in training.used.items()}
        for name, of_name in values.items():
            of_name.add(_text_of(used.get(name)))
    return {name for name, of_name in values.items() if len(of_name) == 1}


def _address(used: Mapping[Key, Setting], same_places: Collection[str]) -> str:
    """A digest of the settings that a training depends on.

    Left out are settings with their default, so that a new setting changes no address, and paths
    of data that are the same in the whole study: `train` itself refuses to go on with other data,
    and data that moves is no other experiment.
    """
    content = {}
    for key, setting in used.items():
        name = str(key)
        if name in same_places and _is_path(setting.value):
            continue
        if key.selector == _TRAIN_RUN and key.parameter in _NOT_TRAINED:
            continue
        if setting.value != _default(key):
            content[name] = _text_of(setting.value)
    text = json.dumps([_MEANING, sorted(content.items())])
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _is_path(place: Any) -> bool:
    """Whether data may move from there: no function makes it, and it is no vocabulary's name."""
    from tk_instruct.data.vocabulary import NAMES

    return not isinstance(place, Reference) and place not in NAMES


def _text_of(value: Any) -> str:
    return repr(sorted(value.items()) if isinstance(value, Mapping) else value)


def _default(key: Key) -> Any:
    configurable = gin.config._REGISTRY[key.selector].wrapped
    parameter = inspect.signature(configurable).parameters.get(key.parameter)
    return inspect.Parameter.empty if parameter is None else parameter.default


def _run(
    number: int,
    study: Study,
    name: str,
    training: _Training,
    points: Sequence[Point],
    modules: Sequence[str],
) -> Run:
    imports = tuple(f"--import={module}" for module in modules)
    places = tuple(configuration.places())
    train = Command(
        "train",
        (
            *(f"--gin_file={name}" for name in training.gin_files),
            *(f"--gin.{name}={value}" for name, value in training.gin_bindings),
            *imports,
        ),
        (("--gin.MODEL_DIR", ""),),
        f"checkpoints/{training.read.steps}",
        "",
        places,
    )
    commands, scored = {train: None}, []
    for point in points:
        for evaluation in study.evaluations:
            needed = list(_commands_of(evaluation, point, train.output, imports))
            commands |= dict.fromkeys(needed)
            prefix = f"{evaluation.name}:" if evaluation.name else ""
            scored.append(Scored(point, prefix, needed[-1].output))
    outputs = [command.output for command in commands]
    if twice := next((output for output in outputs if outputs.count(output) > 1), None):
        raise UserError(f"{name}: two evaluations write {twice}; give one other evaluate_flags")
    used = {str(key): setting.value for key, setting in training.used.items()}
    said = {flag: used.get(parameter) for flag, parameter in configuration.places().items()}
    varied = {name: tuple(dict.fromkeys(point[name] for point in points)) for name in points[0]}
    return Run(
        number,
        name,
        {name: found for name, found in varied.items() if found != study.axis(name).values},
        tuple(commands),
        tuple(scored),
        training.gin_files,
        tuple(f"{name} = {value}" for name, value in training.gin_bindings),
        {flag: file.text_of(place) for flag, place in said.items() if place is not None},
        training.read,
        training.program,
    )


def _check_flags(evaluation: Evaluation) -> None:
    """Raises UserError for a flag that its verb does not have: now, not after days of training."""
    from tk_instruct import evaluate, predict

    of_suite = suite.flags_of(_owner(evaluation).evaluations[evaluation.suite])
    for verb, module, flags, more in (
        ("predict", predict, evaluation.predict_flags, ()),
        (f"evaluate --suite {evaluation.suite}", evaluate, evaluation.evaluate_flags, of_suite),
    ):
        parser = argparse.ArgumentParser(add_help=False)
        module.add_arguments(parser)
        known = [*parser._option_string_actions, *more]
        for name in (flag.partition("=")[0] for flag in flags):
            if not any(each.startswith(name) for each in known):  # argparse takes a beginning
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]}?" if near else "see its --help"
                raise UserError(f"evaluation: {name} is no flag of `{verb}`; {hint}")


def _owner(evaluation: Evaluation) -> suite.Suite:
    return next(of for of in suite.suites().values() if evaluation.suite in of.evaluations)


def _commands_of(
    evaluation: Evaluation, point: Point, checkpoint: str, imports: tuple[str, ...]
) -> Iterator[Command]:
    """The commands of an evaluation at a point. The last writes the scores."""
    steps = checkpoint.rpartition("/")[2]
    flags = tuple(filled(flag, point) for flag in evaluation.evaluate_flags)
    protocol = ("--suite=" + evaluation.suite,)
    owner = _owner(evaluation)
    # The run keeps its vocabulary. Evaluations refuse flags of other suites' data.
    own = tuple(flag.name for flag in owner.flags if flag.is_place)
    of_data = tuple(name for name in configuration.places() if name != "vocabulary")
    shared = set(of_data) - {flag.name for of in suite.suites().values() for flag in of.flags}
    takes = tuple(name for name in of_data if name in shared or name in own)
    if not evaluation.task:
        output = f"scores/{evaluation.suite}-{steps}{_way(flags)}.json"
        yield Command(
            "evaluate",
            (*protocol, f"--step={steps}", *flags, *imports),
            (("--model_dir", ""), ("--json", output)),
            output,
            checkpoint,
            takes,
        )
        return
    task, split = filled(evaluation.task, point), filled(evaluation.split, point)
    predict_flags = tuple(filled(flag, point) for flag in evaluation.predict_flags)
    name = f"{task}-{split}-{steps}"
    predictions = f"predictions/{name}{_way(predict_flags)}.jsonl"
    yield Command(
        "predict",
        (f"--step={steps}", f"--task={task}", f"--split={split}", *predict_flags, *imports),
        (("--model_dir", ""), ("--output", predictions)),
        predictions,
        checkpoint,
        of_data,
    )
    output = f"scores/{name}{_way((*predict_flags, *flags))}.json"
    asks = "--split" in suite.flags_of(owner.evaluations[evaluation.suite])
    yield Command(
        "evaluate",
        (*protocol, *([f"--split={split}"] if asks else []), *flags, *imports),
        (("--predictions", predictions), ("--json", output)),
        output,
        predictions,
        takes,
    )


def _way(flags: tuple[str, ...]) -> str:
    """What is added to the names of files that are made with flags: other flags, other files."""
    text = ",".join(dict.fromkeys(flag.removeprefix("--") for flag in flags))
    if not text:
        return ""
    if len(text) > 60 or re.search(r"[^\w=,-]", text):
        text = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f".{text}"
