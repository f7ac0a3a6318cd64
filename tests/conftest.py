"""Fixtures that many tests share; the mini benchmark and its vocabulary are made once a session."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# What one test has compiled others reuse, in other processes too. Set before anything imports JAX.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _compiled = tempfile.TemporaryDirectory(prefix="compiled")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _compiled.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

# Compiling is most of what tests of tiny models cost, and LLVM's optimizations most of that.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)


# A shell that runs tests in the background has them, and all that they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real files beside the checkout; tests that use them are skipped where they are absent."""
    directory = ROOT.parent / "shared" / "data"
    if not directory.is_dir():
        pytest.skip(f"no {directory.name} beside the checkout")
    return directory


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests neither see nor fill the user's cache."""
    os.environ["TK_INSTRUCT_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))
    for variable in (
        "TK_INSTRUCT_NI_V1_DIR",
        "TK_INSTRUCT_SUPERNI_DIR",
        "TK_INSTRUCT_NI_V1_DIR",
        "TK_INSTRUCT_VOCABULARY",
        "TK_INSTRUCT_GPT2_BPE",
        "TFDS_DATA_DIR",
        "TK_INSTRUCT_SELF_INSTRUCT_DATA",
        "TK_INSTRUCT_USER_ORIENTED",
    ):
        os.environ.pop(variable, None)


@pytest.fixture(scope="session")
def tiny_recipe() -> list[str]:
    """The smoke recipe with a model that compiles and steps as fast as one can."""
    return ["--gin_file=recipes/smoke.gin", f"--gin_file={ROOT / 'tests' / 'tiny.gin'}"]


@pytest.fixture(autouse=True)
def _clean_gin() -> Iterator[None]:
    """What one test, or the fixtures of its module, told gin no other test hears."""
    import gin

    gin.clear_config()
    yield
    gin.clear_config()


@pytest.fixture
def on_the_mini_benchmark(
    mini_dir: Path, mini_vocabulary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data and vocabulary by environment variables."""
    monkeypatch.setenv("TK_INSTRUCT_SUPERNI_DIR", str(mini_dir))
    monkeypatch.setenv("TK_INSTRUCT_VOCABULARY", str(mini_vocabulary))


@pytest.fixture(scope="session")
def mini_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The mini benchmark."""
    from tk_instruct.tasks.superni import mini

    return mini.write(tmp_path_factory.mktemp("mini") / "tree")


@pytest.fixture(scope="session")
def mini_vocabulary(mini_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SentencePiece model trained on the mini benchmark's prompts, 1,000 pieces."""
    from tk_instruct.data.vocabulary import train_sentencepiece
    from tk_instruct.tasks.superni.mini import prompts
    from tk_instruct.tasks.superni.records import SuperNI

    path = tmp_path_factory.mktemp("vocabulary") / "sentencepiece.model"
    path.write_bytes(train_sentencepiece(prompts(SuperNI(data_dir=str(mini_dir))), 1000))
    return path


@pytest.fixture(scope="session")
def flan_dir(_own_cache: None) -> str:
    """Every dataset of FLAN in TFDS's format, with synthetic examples."""
    from tk_instruct import configuration

    configuration.import_declarations()
    from tk_instruct.tasks.flan.mini import mini_flan

    return mini_flan()


@pytest.fixture(scope="session")
def flan_vocabulary(flan_dir: str) -> Path:
    """A SentencePiece model trained on its prompts, 2,000 pieces."""
    import gin

    from tk_instruct.tasks.flan.mini import flan_vocabulary

    gin.bind_parameter("tfds_data_dir.directory", flan_dir)
    return Path(flan_vocabulary(2000))


@pytest.fixture(scope="session")
def ni_v1_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthetic Natural Instructions v1."""
    from tk_instruct.tasks.natural_instructions_v1 import mini

    return mini.write(tmp_path_factory.mktemp("mini") / "ni_v1")


@pytest.fixture(scope="session")
def p3_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic rows for the prompts of P3 that ship."""
    from tk_instruct.tasks.p3 import mini

    return mini.write(tmp_path_factory.mktemp("mini") / "p3")


@pytest.fixture
def on_mini_flan(flan_dir: str, flan_vocabulary: Path) -> None:
    """Data and vocabulary by gin."""
    import gin

    gin.bind_parameter("tfds_data_dir.directory", flan_dir)
    gin.bind_parameter("vocabulary.name", str(flan_vocabulary))


@dataclass(frozen=True)
class SmokeStudy:
    """A study that has been interrupted once and then run to its end.

    Attributes:
        places: the flags that say where its data lies.
        interrupted: exit status and standard error of the `study run` that Ctrl-C has ended.
    """

    file: Path
    runs: Path
    places: tuple[str, ...]
    interrupted: tuple[int, str]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`study run`, in a process of its own."""
        command = [sys.executable, "-m", "tk_instruct.cli", "study", "run", str(self.file)]
        return subprocess.run(
            [*command, f"--runs={self.runs}", *self.places, *arguments],
            capture_output=True,
            text=True,
            check=False,
        )


SMOKE_STUDY = """
title = "Encodings"
recipe = ["recipes/smoke.gin", "{tiny}"]
metrics = ["rougeL", "exact_match"]

[settings]
DATA_DIR = "None"
superni_task.encoding = "{{train_encoding}}"
RANDOM_SEED = "{{seed}}"
TRAIN_STEPS = 100
LOG_PERIOD = 2
EVAL_PERIOD = 0
CHECKPOINT_PERIOD = 0

[[axis]]
name = "train_encoding"
title = "trained with"
values = ["def", "def_pos2"]

[[axis]]
name = "test_encoding"
title = "tested with"
values = ["def", "def_pos2"]

[[axis]]
name = "seed"
values = [0]
repeats = true

[[evaluation]]
suite = "superni"
task = "superni_en_{{test_encoding}}"
predict_flags = ["--max_instances_per_eval_task=2"]
evaluate_flags = ["--max_instances_per_eval_task=2"]

[[published]]
at = {{ train_encoding = "def", test_encoding = "def" }}
system = "Other"
metric = "rougeL"
value = 12.5
source = "nowhere"
"""


@pytest.fixture(scope="session")
def smoke_study(
    mini_dir: Path, mini_vocabulary: Path, tmp_path_factory: pytest.TempPathFactory
) -> SmokeStudy:
    """Two trainings of a tiny model, each tested twice, on the mini benchmark."""
    folder = tmp_path_factory.mktemp("study")
    file, runs = folder / "encodings.toml", folder / "runs"
    file.write_text(SMOKE_STUDY.format(tiny=ROOT / "tests" / "tiny.gin"))
    places = (f"--data_dir={mini_dir}", f"--vocabulary={mini_vocabulary}")
    command = [sys.executable, "-m", "tk_instruct.cli", "study", "run", str(file)]
    with subprocess.Popen(
        [*command, f"--runs={runs}", *places], stderr=subprocess.PIPE, text=True
    ) as process:
        while not any(path.stat().st_size for path in runs.glob("*/metrics.jsonl")):
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    study = SmokeStudy(file, runs, places, (process.returncode, said))
    ended = study.run()
    assert ended.returncode == 0, ended.stderr
    return study
