"""How much processor time commands take that need no data, beside `python -c 'import seqio'`.

    python benchmarks/startup.py --rounds 5

Each command is a fresh process, started in a folder without any data. In each round all
commands and `import seqio` run once, in turn. Printed for each command:

    cpu s        processor seconds, user and system, of the process and its children: the median
    limit s      what the command may take: 1 s, and 4 s where examples are rendered
    heavy        which of jax, tensorflow and seqio the command has imported

`tasks show` renders examples of the mini benchmark. It runs once before the rounds, which writes
the benchmark and trains its vocabulary; both are kept. A command that ends with another exit
status than it should stops the benchmark. The exit status is 1 where a command is over its limit.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tk_instruct.tables import table

HEAVY = {"jax", "tensorflow", "seqio"}

# At its end a process writes to a descriptor which heavy modules it has imported.
REPORT = f"""
import atexit, os, sys
atexit.register(
    lambda: os.write(int(sys.argv[1]), " ".join({HEAVY} & sys.modules.keys()).encode())
)
"""
IMPORT_SEQIO = f"{REPORT}import seqio"
# What the console script does.
RUN = f"{REPORT}from tk_instruct.cli import main\nsys.exit(main(sys.argv[2:]))"

TRAIN = "train --gin_file=recipes/smoke.gin --gin.MODEL_DIR=run"
# A recipe without data of its own, in the folder where the commands are started.
RECIPE = """
include "models/t5_1_1_tiny.gin"
VOCABULARY = "bytes"
TRAIN_STEPS = 1
BATCH_SIZE = 8
LEARNING_RATE = 0.1
TASK_FEATURE_LENGTHS = {"inputs": 64, "targets": 16}
"""
TRAIN_ON_DATA = "train --gin_file=recipe.gin --gin.MODEL_DIR=run"
SHOW = "tasks show superni_en_def_pos2 --gin_file=recipes/smoke.gin -n 1"

HELP = (
    "--help",
    *(f"{verb} --help" for verb in ("tasks", "train", "plan", "predict", "rank", "evaluate")),
    *(f"{verb} --help" for verb in ("report", "convert", "self-instruct", "t5x", "mini")),
    *(f"tasks {action} --help" for action in ("list", "show", "stats", "doctor", "prepare")),
    *(f"evaluate --suite {name} --help" for name in ("superni", "flan", "user_oriented")),
    "evaluate --task superni_en_def --help",
    *(f"self-instruct {stage} --help" for stage in ("instructions", "classify", "instances")),
    *(f"self-instruct {stage} --help" for stage in ("prepare", "stats", "run")),
    "mini --suite flan --help",
)
ERRORS = (
    "tasks list superni_enn",
    f"{TRAIN} --gin_fiel=x",
    f"{TRAIN} --gin.TRAIN_STPES=3",
    f"{TRAIN} --gin.BATCH_SIZE=many",
    f"{TRAIN} --gin.optim.adafactor.decay_rate=7",
    "train --gin_file=nowhere.gin --gin.MODEL_DIR=run",
    f"{TRAIN} --gin.MIXTURE_OR_TASK_NAME=superni_en_deff",
    f"{TRAIN_ON_DATA} --gin.MIXTURE_OR_TASK_NAME=superni_en_def --data_dir=nowhere",
    f"{TRAIN_ON_DATA} --gin.MIXTURE_OR_TASK_NAME=flan_rte --tfds_data_dir=nowhere",
    f"{TRAIN} --gin.MODEL_DIR=file",
    f"{TRAIN} --gin.INITIAL_CHECKPOINT_PATH=nowhere",
    f"{TRAIN} --gin.MODEL_DIR=gs://bucket/run --gin.TRAIN_STPES=3",
    f"{TRAIN} --gin.VOCABULARY=nowhere.model",
    f"{TRAIN} --import nowhere",
    "tasks show superni_en_deff",
    "tasks show superni_en_def",
    "tasks show superni_en_def --vocabulary=bytes --data_dir=nowhere",
    "tasks show flan_rte --vocabulary=bytes --tfds_data_dir=nowhere",
    "tasks doctor superni --data_dir=nowhere",
    "tasks prepare flan_rtee",
    "tasks stats superni_en_deff",
    "predict --baseline copy_demo --task superni_en_deff --output out.jsonl",
    "predict --baseline copy_demo --task superni_en_def --vocabulary=bytes "
    "--data_dir=nowhere --output out.jsonl",
    "predict --model_dir nowhere",
    "predict --model_dir nowhere --task superni_en_deff",
    "rank --model_dir nowhere",
    "rank --model_dir nowhere --examples nowhere.jsonl",
    "evaluate --suite flan --model_dir nowhere",
    "evaluate --predictions nowhere.jsonl",
    "evaluate --suite flan --predictions nowhere.jsonl",
    "evaluate --suite user_oriented --sheet out.csv --system a=nowhere.jsonl",
    "evaluate --task superni_en_deff --predictions nowhere.jsonl",
    "report nowhere",
    "plan --gin_file=recipes/tk_instruct_3b.gin --topology=v9:4x4",
    "plan --gin_file=recipes/tk_instruct_3b.gin --topology=v3:8x16 --gin.TRAIN_STPES=3",
    "convert nowhere out --to ours",
    "t5x train --gin_file=recipes/smoke.gin --gin_fiel=x",
    "self-instruct stats --run_dir nowhere",
)


@dataclass
class Command:
    """A command line and what its processes took."""

    words: str
    status: int
    code: str = RUN
    limit_seconds: float = 1.0
    heavy: str = ""
    cpu_seconds: list[float] = field(default_factory=list)

    def run(self, folder: Path, cache: Path) -> None:
        """Runs the command in a fresh process; exits where its status is not the expected one."""
        reading, writing = os.pipe()
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("TK_INSTRUCT_") and name != "TFDS_DATA_DIR"
        }
        process = subprocess.Popen(
            [sys.executable, "-c", self.code, str(writing), *self.words.split()],
            cwd=folder,
            env={**environment, "TK_INSTRUCT_CACHE_DIR": str(cache)},
            pass_fds=[writing],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        os.close(writing)
        assert process.stderr is not None
        said = process.stderr.read().decode()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        with open(reading) as found:
            self.heavy = " ".join(sorted(found.read().split()))
        if process.returncode != self.status:
            sys.exit(
                f"`{self.words}` ended with exit status {process.returncode}, not {self.status}: "
                f"{said[-500:]}"
            )
        self.cpu_seconds.append(used.ru_utime + used.ru_stime)


def measure(rounds: int, chosen: str) -> list[Command]:
    """Runs all commands that contain a text, each once a round."""
    seqio = Command("", 0, IMPORT_SEQIO)
    show = Command(SHOW, 0, limit_seconds=4.0)
    commands = [
        *(Command(words, status=0) for words in (*HELP, "tasks list")),
        *(Command(words, status=2) for words in ERRORS),
        show,
    ]
    commands = [command for command in commands if chosen in command.words]
    with tempfile.TemporaryDirectory() as folder:
        cache, work = Path(folder, "cache"), Path(folder, "work")
        work.mkdir()
        (work / "file").touch()
        (work / "recipe.gin").write_text(RECIPE, encoding="utf-8")
        if show in commands:
            show.run(work, cache)
            show.cpu_seconds.clear()
        for number in range(rounds):
            for command in (*commands, seqio):
                command.run(work, cache)
                print(
                    f"round {number + 1} of {rounds}: {command.cpu_seconds[-1]:.2f} s "
                    f"{command.words or 'import seqio'}",
                    file=sys.stderr,
                )
    return [*commands, seqio]


def main() -> int:
    """Measures, and prints the table or the JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", metavar="TEXT", help="commands that contain a text")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    args = parser.parse_args()
    *commands, seqio = measure(args.rounds, args.only)
    rows: list[Sequence[str]] = [("command", "cpu s", "limit s", "heavy")]
    is_over = False
    for command in [*commands, seqio]:
        seconds = median(command.cpu_seconds)
        name = f"tk-instruct {command.words}" if command is not seqio else "import seqio"
        limit = None if command is seqio else command.limit_seconds
        is_over |= limit is not None and seconds > limit
        if args.json:
            result = {
                "command": name,
                "cpu_seconds": seconds,
                "limit_seconds": limit,
                "heavy": command.heavy.split(),
                "rounds_cpu_seconds": command.cpu_seconds,
            }
            print(json.dumps(result))
        rows.append((name, f"{seconds:.2f}", f"{limit:g}" if limit else "", command.heavy))
    if not args.json:
        print(table(rows))
    return int(is_over)


if __name__ == "__main__":
    sys.exit(main())
