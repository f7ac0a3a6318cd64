"""Wrong command lines of every verb: each must end soon, in words, with little memory.

  python benchmarks/fuzz_command_lines.py [--lines 1000] [--seed 0] [--verb predict]
  python benchmarks/fuzz_command_lines.py --again 'predict --model_dir run --num_beams 100000'

Lines are made of the verbs' own parsers: a line that works, of which one to three words become
wrong, absurd or hostile (numbers, texts, paths that are folders, pipes, devices, empty or binary),
are missing, repeated, cut short or unknown, or which gets bindings of gin of odd syntax and size.
The same seed gives the same lines. Each runs in a copy of a small folder (the mini benchmark, a run
of a tiny model and what the verbs make of it, prepared once) and in a process of its own, forked
from one that has imported everything but has started no thread. It may take --seconds of processor
time, twice as many and a minute of waiting, and --gibibytes of address space beyond the first
process's.

  fine          status 0 or 1, or the status of a reader that has gone
  error, usage  status 2 and words on standard error that say what to do
  FAULTS        a traceback; no end; no memory; a signal; status 2 without words that say what to do
"""

import argparse
import contextlib
import importlib
import io
import json
import os
import pkgutil
import random
import re
import resource
import shlex
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent.parent))
from tk_instruct import cli
from tk_instruct.configuration import gin_files
from tk_instruct.tables import table

_NUMBERS = """
0 -1 1 2 3 7 100000 1000000 100000000 2147483647 2147483648 4294967296 9223372036854775807
9223372036854775808 1e3 2.5 1e-400 1e308 1e309 nan inf -inf 0x10 1_000 ٣ ² None True -0 1,5
"""
NUMBERS = (*_NUMBERS.split(), " 5 ", "1 2", "9" * 400, "9" * 5000, "-" + "9" * 400)
_TEXTS = r"""
x . .. / ~ ~nobody * [ ] % %s {} @x %X é 漢 -1 -x -- best test train validation dev superni_en_def
superni_* flan_rte:x bytes t5 mt5 http://h/x gs:// file:///x hf://x localhost:99999999 :1 host:
[::1]:x copy_input both None [1] 'x' \ cpu:0 cpu:8 v3-7 v4:99999x99999x99999 v5e:0x1
"""
_ODD = ("", " ", "\n", "a\nb", "\udcff", "\x1b[31m", "x" * 300, "x" * 100_000, "a/" * 5000)
TEXTS = (*_TEXTS.split(), *_ODD)
# What `prepare` makes, and what the system has.
_PATHS = """
mini run run/checkpoints run/config.gin sentencepiece.model predictions.jsonl generated
generated/prepared/train.jsonl converted folder empty binary loop absent absent/absent empty/x
options.jsonl /dev/null /dev/zero /dev/full /dev/stdin /dev/stdout /dev/fd/8 /dev/fd/9
/proc/self/mem /proc/self/maps /proc/1/root /sys /
"""
PATHS = (*_PATHS.split(), "\udcff.json", "a\nb.jsonl")
_RUN_FILES = [gin_files.shipped() / "runs" / f"{name}.gin" for name in ("train", "self_instruct")]
MACROS = sorted(set(re.findall(r"%([A-Z_]+)", "".join(p.read_text() for p in _RUN_FILES))))
_PARAMETERS = """
TrainRun.seed TrainRun.keep_checkpoints T5Config.relative_attention_num_buckets
SuperNI.max_instances_per_eval_task optim.constant.warmup_steps Instructions.lag
Instructions.batch_size instructions/Parameters.max_tokens trained_vocabulary.num_pieces
optim.adafactor.decay_rate SelfInstructRun.concurrency mini_benchmark.seed superni_task.track
FLAN.seed
"""
PARAMETERS = _PARAMETERS.split()
_VALUES = """
@ % @x() %x @T5Config() @optim.adamw() @optim.adafactor ( [1, {1:2} () ' \"\"\" lambda:1 9**9**9
'a'*10**9 f'{1}' b'x' 1j ... {'inputs':100000000} {'inputs':100000000,'targets':128}
{'inputs':8,'targets':8} {'inputs':1,'targets':-1} 'a\\x00b'
"""
_LONG = ("1 # x", "1\nX = 2", "include 'x'", "import os", "[" * 1000, "1" + "+1" * 5000)
VALUES = (*NUMBERS, *TEXTS, *_VALUES.split(), *_LONG)

RECIPE = ["--gin_file=recipes/smoke.gin", "--gin_file=tiny.gin"]
TRAIN = [*RECIPE, "--gin.TRAIN_STEPS=2", "--gin.EVAL_PERIOD=0", "--gin.CHECKPOINT_PERIOD=0"]
DATA = ["--data_dir=mini", "--vocabulary=sentencepiece.model"]
TASK = "superni_en_def_pos2"
SHORT = ["--max_input_tokens=64", "--max_target_tokens=8"]
PREDICT = [
    "predict",
    "--model_dir=run",
    f"--task={TASK}",
    "--data_dir=mini",
    "--limit=2",
    "--output=out.jsonl",
    *SHORT,
]
# Lines that work; each word is one that can be made wrong.
LINES = (
    ["tasks", "list", "superni_en_*"],
    ["tasks", "show", TASK, "-n=1", "--split=test", *SHORT, *DATA],
    ["tasks", "stats", TASK, "--split=test", *SHORT, *DATA],
    ["tasks", "export", TASK, "--split=test", "--format=jsonl", "--output=out.jsonl", *DATA],
    ["tasks", "doctor", *DATA],
    ["tasks", "doctor", "flan", "--tfds_data_dir=folder"],
    ["tasks", "prepare", "superni_en_def", *DATA],
    ["train", *TRAIN, "--gin.MODEL_DIR=new"],
    ["plan", *RECIPE, "--topology=v3-7", "--verb=predict", "--batch_size=4"],  # soon refused
    [*PREDICT, "--step=2"],
    [*PREDICT, "--num_beams=2", "--length_penalty=0.6"],
    [*PREDICT, "--sample", "--temperature=0.7", "--top_k=5", "--top_p=0.9", "--seed=1"],
    ["predict", "--baseline=copy_demo", f"--task={TASK}", "--output_dir=out", *DATA],
    [
        "rank",
        "--model_dir=run",
        "--examples=options.jsonl",
        "--output=out.jsonl",
        "--limit=1",
        *SHORT,
    ],
    [
        "rank",
        "--model_dir=run",
        f"--task={TASK}",
        "--data_dir=mini",
        "--option=Yes",
        "--option=No",
        "--limit=1",
        *SHORT,
    ],
    ["evaluate", "--predictions=predictions.jsonl", "--data_dir=mini"],
    ["evaluate", "--suite=flan", "--model_dir=run", "--cluster=nli"],
    [
        "evaluate",
        "--suite=user_oriented",
        "--user_oriented=options.jsonl",
        "--system=a=predictions.jsonl",
        "--sheet=sheet.html",
    ],
    ["report", "run", "generated"],
    ["convert", "run", "out", "--to=huggingface"],
    ["convert", "converted", "out", "--to=ours", "--step=1"],
    [
        "self-instruct",
        "run",
        "--run_dir=new",
        "--num_instructions=2",
        "--seed=1",
        "--concurrency=2",
        "--max_tokens=100000",
    ],
    [
        "self-instruct",
        "instructions",
        "--run_dir=generated",
        "--num_instructions=3",
        "--max_usd=1",
        "--prompt_price=1",
        "--completion_price=1",
    ],
    [
        "self-instruct",
        "classify",
        "--run_dir=generated",
        "--requests_per_minute=1000",
        "--tokens_per_minute=1000000",
    ],
    ["self-instruct", "instances", "--run_dir=generated", "--concurrency=2"],
    ["self-instruct", "prepare", "--run_dir=generated", "--licence=x"],
    ["self-instruct", "stats", "--run_dir=generated", "--json"],
    ["t5x", "train", *RECIPE],
    ["mini", "out", "--seed=1", "--instances_per_train_task=50", "--instances_per_test_task=50"],
)
# Where standard output, error and input go, as a shell says it; ascii is the encoding.
STREAMS = (">&-", "2>&-", ">&- 2>&-", ">/dev/full", "2>/dev/full", "|true", "<&-", "ascii")
# What a message that says what to do has one of.
REPAIRS = re.compile(
    r"\b(try|give|must be|leave|set|use|choose|check|add|remove|write|install|save|name|lower|move|"
    r"take|see|run|look|bring|correct|clone|download|needs|did you mean|there (is|are)|"
    r"is not one of|at (least|most)|is neither|is not there|shows all|puts it|begins one|"
    r"is a macro of|evaluate again|the formats that are read)\b"
)


@dataclass(frozen=True)
class Outcome:
    line: list[str]
    kind: str
    said: str
    seconds: float


def flags_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in parser._actions if action.option_strings]


def parser_of(line: Sequence[str]) -> argparse.ArgumentParser:
    """The parser that reads a line's flags: its verb's, or its action's."""
    parser = cli._parser(line[0], line)
    for word in line:
        subparsers = next(
            (a for a in parser._actions if isinstance(a, argparse._SubParsersAction)), None
        )
        if subparsers and word in subparsers.choices:
            parser = subparsers.choices[word]
    return parser


def wrong_value(draw: random.Random, action: argparse.Action | None) -> str:
    if action is None:
        return draw.choice(draw.choice((NUMBERS, TEXTS, PATHS, VALUES)))
    if action.type in (int, float) or (action.metavar or "N") in (
        "N",
        "P",
        "A",
        "K",
        "T",
        "USD",
        "I",
    ):
        return draw.choice(draw.choice((NUMBERS, NUMBERS, NUMBERS, TEXTS)))
    return draw.choice(draw.choice((PATHS, PATHS, TEXTS, NUMBERS)))


def wrong_line(
    draw: random.Random, line: Sequence[str], parser: argparse.ArgumentParser
) -> list[str]:
    words, flags = list(line), flags_of(parser)
    by_name = {name: action for action in flags for name in action.option_strings}
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        change = draw.choice(
            ("value", "value", "value", "flag", "flag", "flag", "gin", "drop", "odd")
        )
        if change == "value":
            place = draw.randrange(len(words))
            name, equals, _ = words[place].partition("=")
            if equals and not name.startswith("--gin."):
                words[place] = f"{name}={wrong_value(draw, by_name.get(name))}"
            elif equals:
                words[place] = f"{name}={draw.choice(VALUES)}"
            elif place > 1 or (place == 1 and line[0] not in ("tasks", "self-instruct", "t5x")):
                words[place] = wrong_value(draw, None)
        elif change == "flag":
            action = draw.choice([a for a in flags if a.dest not in ("help", "gin_bindings")])
            name = draw.choice(action.option_strings)
            if action.nargs == 0:
                words.append(draw.choice((name, name, f"{name}=1")))
            else:
                words.append(
                    f"{name}={wrong_value(draw, action)}"
                    if len(name) > 2
                    else f"{name}{wrong_value(draw, action)}"
                )
        elif change == "gin":
            name = draw.choice(
                (
                    draw.choice(MACROS),
                    draw.choice(MACROS),
                    draw.choice(PARAMETERS),
                    draw.choice(TEXTS),
                )
            )
            words.append(f"--gin.{name}={draw.choice(VALUES)}")
        elif change == "drop":
            words.pop(draw.randrange(1, len(words))) if len(words) > 1 else None
        else:
            place = draw.randrange(len(words))
            words.append(
                draw.choice(
                    (
                        words[place],
                        words[place][:-2] or "-",
                        words[place].partition("=")[0],
                        "--unknown",
                        "--unknown=1",
                        "-h",
                        "--version",
                        "--coordinator=localhost:1",
                        "--process_id=7",
                        "--num_processes=100000",
                        "extra",
                        "--",
                        "@options.jsonl",
                    )
                )
            )
    return words


def lines(seed: int, count: int, verb: str | None) -> Iterator[tuple[list[str], str]]:
    """Words, and in one of five where the standard streams go; half of those have right words."""
    draw = random.Random(seed)
    working = [line for line in LINES if verb in (None, line[0])]
    parsers = [parser_of(line) for line in working]
    for number in range(count):
        place = number % len(working)
        stream = draw.choice(STREAMS) if draw.random() < 0.2 else ""
        is_right = stream and draw.random() < 0.5
        words = working[place] if is_right else wrong_line(draw, working[place], parsers[place])
        yield words, stream


def prepare(folder: Path) -> None:
    """The folder that every line is run in a copy of."""
    shutil.copy(Path(__file__).parent.parent / "tests" / "tiny.gin", folder)
    os.chdir(folder)

    def run(*words: str) -> None:
        status = in_child(list(words), Path("log"), cpu_seconds=600, address_space=None)[0]
        if status:
            raise SystemExit(f"{shlex.join(words)}: {Path('log').read_text()}")

    run("mini", "mini")
    run("train", *TRAIN, "--gin.MODEL_DIR=run", "--gin.DATA_DIR=mini")
    shutil.copy("run/sentencepiece.model", ".")
    run("predict", "--baseline=copy_demo", f"--task={TASK}", "--output=predictions.jsonl", *DATA)
    run(*PREDICT[:4], "--limit=2", "--split=test", *SHORT, f"--task={TASK}")
    run("convert", "run", "converted", "--to=huggingface")
    run("self-instruct", "run", "--run_dir=generated", "--num_instructions=2")
    Path("options.jsonl").write_text('{"id": "a", "inputs": "b c", "options": ["d", "e"]}\n')
    Path("folder").mkdir()
    Path("empty").touch()
    Path("binary").write_bytes(random.Random(0).randbytes(1000))
    Path("loop").symlink_to("loop")
    Path("log").unlink()


def redirect(log: int, stream: str) -> None:
    """Has the standard streams of this process go to a log, or where a stream of STREAMS goes."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    reader, writer = os.pipe()
    os.write(writer, b'{"id": "a"')
    os.close(writer)
    os.dup2(reader, 8)
    os.dup2(log, 1)
    os.dup2(log, 2)
    encoding = "ascii" if stream == "ascii" else "utf-8"
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), encoding)
    to_error = io.FileIO(2, "w", closefd=False)
    sys.stderr = io.TextIOWrapper(to_error, encoding, "backslashreplace", line_buffering=True)
    if "/dev/full" in stream:
        os.dup2(os.open("/dev/full", os.O_WRONLY), 2 if stream[0] == "2" else 1)
    if stream == "|true":
        reader, writer = os.pipe()
        os.close(reader)
        os.dup2(writer, 1)
        os.close(writer)
    if "<&-" in stream:
        os.close(0)
        sys.stdin = None  # as Python has it then
    if stream.startswith(">&-"):
        os.close(1)
        sys.stdout = None
    if "2>&-" in stream:
        os.close(2)
        sys.stderr = None


def in_child(
    words: list[str], log: Path, cpu_seconds: int, address_space: int | None, stream: str = ""
) -> tuple[int, float]:
    """The status of cli.main in a forked process, as os.waitstatus_to_exitcode has it; seconds."""
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setsid()
            kept = open(log, "w", errors="backslashreplace")  # noqa: SIM115
            redirect(kept.fileno(), stream)
            resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (2**30, 2**30))
            if address_space:
                resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))
            try:
                status = cli.main(words)
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else 1
            for file in (sys.stdout, sys.stderr):
                if file is not None:
                    file.flush()
        except BaseException:
            traceback.print_exc(file=kept)
            kept.flush()
        finally:
            os._exit(status or 0)
    until = began + 2 * cpu_seconds + 60
    while not (found := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > until:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return 1000, time.monotonic() - began
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what it may have left behind
    return os.waitstatus_to_exitcode(found[1]), time.monotonic() - began


def outcome_of(
    line: list[str], stream: str, folder: Path, seconds: int, address_space: int
) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="line") as here:
        place = Path(here) / "work"
        shutil.copytree(folder, place, symlinks=True)
        os.chdir(place)
        log = Path(here) / "log"
        status, took = in_child(line, log, seconds, address_space, stream)
        os.chdir(folder)
        said = log.read_bytes().decode(errors="replace")
    return Outcome(
        [*line, *([stream] if stream else [])], kind_of(status, said, stream), said, took
    )


def kind_of(status: int, said: str, stream: str = "") -> str:
    if "MemoryError" in said or "bad_alloc" in said or "Out of memory" in said:
        return "MEMORY"
    if "RESOURCE_EXHAUSTED" in said:
        return "MEMORY"
    if "Traceback (most recent call last)" in said:
        return "TRACEBACK"
    if status == 1000 or status in (-signal.SIGXCPU, -signal.SIGKILL):
        return "HANG"
    if status < 0:
        return "SIGNAL"
    if status == 2 and "usage: " in said:
        return "usage"
    if status == 2 and "2>" in stream:
        return "error"  # which nobody has seen
    if status == 2:
        message = said[said.rfind("error: ") :] if "error: " in said else ""
        return "error" if REPAIRS.search(message) else "NO REPAIR"
    return "fine" if status in (0, 1, 128 + signal.SIGPIPE) else "STATUS"


def again(line: str) -> tuple[list[str], str]:
    for stream in sorted(STREAMS, key=len, reverse=True):
        if line.endswith(f" {stream}"):
            return shlex.split(line.removesuffix(stream)), stream
    return shlex.split(line), ""


def import_everything() -> None:
    for module, _ in cli.VERBS.values():
        importlib.import_module(module)
    for package in ("tk_instruct", "tk_instruct.tasks"):
        path = importlib.import_module(package).__path__
        for name in [found.name for found in pkgutil.walk_packages(path, f"{package}.")]:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)


def work(
    numbered: Sequence[tuple[int, tuple[list[str], str]]],
    folder: Path,
    results: Path,
    seconds: int,
    address_space: int,
) -> None:
    """Runs lines one after another, and keeps what came of each as it comes."""
    with open(results, "w") as file:
        for number, (line, stream) in numbered:
            outcome = outcome_of(line, stream, folder, seconds, address_space)
            print(json.dumps({"number": number, **asdict(outcome)}), file=file, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verb")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=int, default=40)
    parser.add_argument("--gibibytes", type=int, default=6)
    parser.add_argument("--folder", help="where all is prepared, kept for the next time")
    parser.add_argument("--again", action="append", default=[], metavar="LINE", help="run these")
    args = parser.parse_args()
    scratch = tempfile.TemporaryDirectory(prefix="fuzz")
    folder = Path(args.folder or scratch.name).absolute() / "work"
    os.environ["TK_INSTRUCT_CACHE_DIR"] = str(folder.parent / "cache")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder.parent / "compiled")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["XLA_FLAGS"] = (
        "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    )
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import_everything()
    if not folder.exists():
        folder.mkdir(parents=True)
        prepare(folder)
    os.chdir(folder)
    made = [again(line) for line in args.again] or list(lines(args.seed, args.lines, args.verb))
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    space = pages * resource.getpagesize() + args.gibibytes * 2**30
    parts = [Path(scratch.name) / f"part{number}" for number in range(args.processes)]
    children = []
    for number, part in enumerate(parts):
        if not (child := os.fork()):
            try:
                mine = list(enumerate(made))[number :: args.processes]
                work(mine, folder, part, args.seconds, space)
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    records = [json.loads(line) for part in parts for line in part.read_text().splitlines()]
    records.sort(key=lambda record: record["number"])
    show(records, bool(args.again))
    return int(len(records) < len(made) or any(record["kind"].isupper() for record in records))


def show(records: list[dict[str, Any]], everything: bool) -> None:
    """The faults (of all lines, everything), and a table of counts by verb."""
    for record in records:
        if everything or record["kind"].isupper():
            words = (w if len(w) < 400 else f"{w[:30]}…({len(w)})" for w in record["line"])
            line = shlex.join(words).encode("unicode_escape").decode()
            said = record["said"][-1500:].strip().replace("\n", "\n    ")
            print(f"{record['kind']}, {record['seconds']:.1f} s: {line}\n    {said!s}")
    counts = Counter((record["line"][0], record["kind"]) for record in records)
    kinds = sorted({kind for _, kind in counts})
    verbs = sorted({verb if verb in cli.VERBS else "other" for verb, _ in counts})
    rows = [("verb", *kinds)]
    for verb in verbs:
        whose = [v for v, _ in counts if v == verb or (verb == "other" and v not in cli.VERBS)]
        rows.append((verb, *(str(sum(counts[v, kind] for v in set(whose))) for kind in kinds)))
    total = Counter(record["kind"] for record in records)
    rows.append(("all", *(str(total[kind]) for kind in kinds)))
    print(table(rows))


if __name__ == "__main__":
    sys.exit(main())
