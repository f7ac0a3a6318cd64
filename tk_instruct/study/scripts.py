"""The commands of a study for a TPU pod or for Slurm, as scripts that bash and sbatch take."""

import re
import shlex
from collections.abc import Mapping, Sequence

from tk_instruct.errors import UserError
from tk_instruct.files import PathLike, is_local
from tk_instruct.study.runs import Places, Run

_SECONDS_TO_SAVE = 120


def study_words(
    file: PathLike, runs: PathLike, places: Places, modules: Sequence[str]
) -> list[str]:
    """`tk-instruct study run …` of the same study."""
    return [
        *("tk-instruct", "study", "run", str(file), f"--runs={runs}"),
        *(f"--import={module}" for module in modules),
        *(word for words in places.values() for word in words),
    ]


def slurm(
    name: str, left: Sequence[Run], run_study: Sequence[str], notes: Mapping[int, str]
) -> str:
    """A script for sbatch: an array job with a task for each run that is left.

    run_study: the words of study_words.
    notes: number of a run → what is said of it.
    """
    lines = [
        "#!/usr/bin/env bash",
        f"#SBATCH --job-name={_plain(name)}",
        f"#SBATCH --array={','.join(str(run.number) for run in left)}",
        "#SBATCH --output=%x-%A_%a.log",
        # The shell is replaced by the study, which has the training save when it gets the signal.
        f"#SBATCH --signal=B:TERM@{_SECONDS_TO_SAVE}",
        *(f"# {run.number}: {_about(run, notes)}" for run in left),
        "set -euo pipefail",
        f'exec {shlex.join(run_study)} --only="$SLURM_ARRAY_TASK_ID"',
    ]
    return "\n".join(lines) + "\n"


def pod(
    name: str,
    left: Sequence[Run],
    folder: PathLike,
    places: Places,
    run_study: Sequence[str],
    notes: Mapping[int, str],
    kind: str | None,
) -> str:
    """A script for bash, to be run in a checkout: trains the runs one by one on one pod slice.

    kind: of the slice, such as v4-256, if it is known.

    Raises UserError unless the runs are to lie in a bucket.
    """
    if is_local(folder):
        raise UserError(
            f"--runs={folder} must be in a bucket, which all hosts of a pod reach; give "
            "--runs=gs://BUCKET/FOLDER"
        )
    tpu = f"bash launch/tpu_pod.sh --name={_plain(name)}" + (f" --type={kind}" if kind else "")
    lines = [
        "#!/usr/bin/env bash",
        "# Where, and on what: TK_INSTRUCT_PROJECT, _ZONE, _TYPE and _BUCKET (launch/tpu_pod.sh).",
        "set -uo pipefail",
        "status=0",
    ]
    for run in left:
        words = run.commands[0].words(f"{folder}/{run.name}", places)[1:]
        lines += [f"# {_about(run, notes)}", f"{tpu} -- {shlex.join(words)} || status=1"]
    lines += [
        f"{tpu} --delete || status=1",
        "# Then, on a machine that is to predict and score:",
        f"#   {shlex.join(run_study)}",
        'exit "$status"',
    ]
    return "\n".join(lines) + "\n"


def _about(run: Run, notes: Mapping[int, str]) -> str:
    return run.name + (f", {notes[run.number]}" if run.number in notes else "")


def _plain(name: str) -> str:
    """A name as clouds take it: small letters, digits and dashes, from a letter on."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return plain if plain[:1].isalpha() else f"study-{plain}".strip("-")
