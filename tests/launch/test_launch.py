"""The scripts for TPUs, on a Google Cloud of folders that goes wrong when told to (gcloud.py).

What is sent to hosts is run there by bash; gcloud, tmux, uv, pip and tk-instruct are stubs.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

LAUNCH = Path(__file__).resolve().parents[2] / "launch"
STUBS = Path(__file__).resolve().parent / "stubs"
REQUIRED = ["--project", "p", "--zone", "z", "--bucket", "b"]
JOB = ["--", "--gin_file=recipes/smoke.gin", "--gin.NOTE='two words'", "--data_dir", "gs://b/$data"]
SCRIPTS = {"tpu_vm.sh": "v4-8", "tpu_pod.sh": "v4-16", "t5x_pod.sh": "v4-16"}


class Cloud:
    """What a test does to the stub and asks it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.checkout = folder, folder / "checkout"
        for name in ("nodes", "queued"):
            (folder / name).mkdir()
        shutil.copytree(LAUNCH, self.checkout / "launch")
        for name in ("setup.py", "constraints.txt", "a recipe.gin"):
            (self.checkout / name).write_text(name)
        (self.checkout / ".gitignore").write_text(".venv/\n")
        (self.checkout / ".venv").mkdir()
        (self.checkout / ".venv" / "large").write_text("not to be copied")
        subprocess.run(["git", "init", "-q", self.checkout], check=True)
        self.job_ends_with("0")
        outside = {k: v for k, v in os.environ.items() if not k.startswith("TK_INSTRUCT_")}
        self.environment = {
            **outside,
            "PATH": f"{STUBS}:{outside['PATH']}",
            "STUB": str(folder),
            "STUBS": str(STUBS),
            "STUB_PYTHON": sys.executable,
            "TK_INSTRUCT_POLL_SECONDS": "0",
        }

    def start(self, script: str, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", self.checkout / "launch" / script, *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            start_new_session=True,
        )

    def run(self, script: str, *arguments: str) -> tuple[int, str, str]:
        process = self.start(script, *arguments)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def train(self, script: str, *flags: str) -> tuple[int, str, str]:
        return self.run(script, *REQUIRED, "--type", SCRIPTS[script], *flags, *JOB)

    def job_ends_with(self, *statuses: str) -> None:
        (self.folder / "statuses").write_text(" ".join(statuses) + "\n")

    def events(self, *events: tuple[str, str]) -> None:
        (self.folder / "events").write_text(json.dumps(events))

    def calls(self, word: str) -> list[list[str]]:
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [call for call in map(json.loads, lines) if any(word in part for part in call)]

    def created(self) -> int:
        return len(self.calls("create"))

    def exists(self) -> bool:
        return any((self.folder / "nodes").iterdir()) or any((self.folder / "queued").iterdir())

    def home(self, worker: int = 0) -> Path:
        return self.folder / "nodes" / "tk-instruct" / str(worker)

    def arguments(self, worker: int = 0) -> list[str]:
        return (self.folder / f"arguments.{worker}").read_text().splitlines()

    def attempts(self, worker: int = 0) -> int:
        return len((self.folder / f"attempts.{worker}").read_text().splitlines())


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    cloud = Cloud(tmp_path)
    yield cloud
    for session in tmp_path.glob("nodes/*/*/.tmux/*"):
        os.killpg(int(session.read_text()), signal.SIGKILL)


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_the_scripts_pass_shellcheck() -> None:
    found = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if not found:
        pytest.skip("shellcheck is not installed")
    scripts = sorted(str(path.relative_to(LAUNCH.parent)) for path in LAUNCH.glob("*.sh"))
    command = [found, "-x", *scripts]
    done = subprocess.run(command, cwd=LAUNCH.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_dry_run_prints_every_command_and_runs_none(script: str, cloud: Cloud) -> None:
    status, out, err = cloud.train(script, "--dry_run", "--spot", "--copy_to", "here")
    assert all("--spot" in words for words in words_of(out) if "create" in words)
    assert (status, err) == (0, "")
    assert not cloud.calls("")
    assert not (cloud.folder / "here").exists()


def words_of(commands: str) -> list[list[str]]:
    """The words of the gcloud commands that a dry run has printed, as bash understands them."""
    lines = [line for line in commands.splitlines() if line.startswith("gcloud ")]
    split = "\n".join(f"printf '%s\\0' {line}; echo" for line in lines)
    out = subprocess.run(["bash", "-c", split], capture_output=True, text=True, check=True).stdout
    return [line.split("\0")[1:-1] for line in out.splitlines()]


def comparable(call: list[str]) -> str:
    """Without what depends on the moment: temporary folders and the state of the sources."""
    shown = []
    for word in call:
        if word.startswith("/") and word.endswith(".tar.gz"):
            word = "TARBALL"
        if " start " in word:
            parts = word.split(" ")
            word = " ".join(parts[:4] + parts[5:])
        shown.append(word)
    return "\n".join(shown)


@pytest.mark.parametrize("missing", ["project", "zone", "type", "bucket"])
def test_a_missing_value_is_named_and_nothing_is_done(missing: str, cloud: Cloud) -> None:
    given = {"project": "p", "zone": "z", "type": "v4-8", "bucket": "b"}
    flags = [f"--{key}={value}" for key, value in given.items() if key != missing]
    for script in SCRIPTS:
        status, _, err = cloud.run(script, *flags, *JOB)
        assert status == 2
        assert err == f"error: --{missing} (or $TK_INSTRUCT_{missing.upper()}) must be given\n"
    assert not cloud.calls("")
    cloud.environment[f"TK_INSTRUCT_{missing.upper()}"] = given[missing]
    assert cloud.run("tpu_vm.sh", "--dry_run", *flags, *JOB)[0] == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--type", "v4-256", *JOB], "--type=v4-256 has several hosts"),
        (["--type", "h100-8", *JOB], "--type=h100-8 is none that an image is known for"),
        (["--type", "v4-8"], "nothing is to be trained"),
        (["--type", "v4-8", "--recipe", "x"], "--recipe is not an option"),
        (["--type", "--spot"], "--type needs a value"),
        (["--type", "v4-8", "--name", "My Run", *JOB], "--name=My Run must be lower-case"),
    ],
)
def test_wrong_use_is_refused(flags: list[str], message: str, cloud: Cloud) -> None:
    status, _, err = cloud.run("tpu_vm.sh", *REQUIRED, *flags)
    assert status == 2
    assert message in err
    assert not cloud.calls("")


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_job_runs_on_every_host_and_is_reported(script: str, cloud: Cloud) -> None:
    (cloud.folder / "b" / "tk-instruct" / "checkpoints").mkdir(parents=True)
    (cloud.folder / "b" / "tk-instruct" / "metrics.jsonl").write_text("{}")
    status, out, err = cloud.train(script, "--copy_to", "results here")
    assert status == 0, err
    verb = {
        "tpu_vm.sh": ["train"],
        "tpu_pod.sh": ["train", "--distributed"],
        "t5x_pod.sh": ["t5x", "train", "--distributed"],
    }[script]
    workers = [0] if script == "tpu_vm.sh" else [0, 1]
    for worker in workers:
        assert cloud.arguments(worker) == [
            *verb,
            '--gin.MODEL_DIR="gs://b/tk-instruct"',
            "--gin_file=recipes/smoke.gin",
            "--gin.NOTE='two words'",
            "--data_dir",
            "gs://b/$data",
        ]
        assert f"t1v-stub-w-{worker} 0" in err
        assert (cloud.home(worker) / "tk_instruct" / "a recipe.gin").exists()
        assert not (cloud.home(worker) / "tk_instruct" / ".venv" / "large").exists()
        extras = ".[tpu,t5x]" if script == "t5x_pod.sh" else ".[tpu]"
        installed = (cloud.home(worker) / "installed").read_text()
        assert "-m uv pip install" in installed
        assert f"--constraint constraints.txt --editable {extras}\n" in installed
        assert (cloud.home(worker) / "tk_instruct_run" / "current" / "status").read_text() == "0\n"
    assert "training on host 0" in out
    assert "training on host 1" not in out
    # What is left behind is said.
    assert cloud.exists()
    assert (
        f"exists and costs money. Delete it: bash {cloud.checkout}/launch/{script} --delete" in err
    )
    results = cloud.folder / "results here"
    assert sorted(path.name for path in results.iterdir()) == ["logs", "metrics.jsonl"]
    assert len(list((results / "logs").iterdir())) == len(workers)

    # Again: everything is there already, and only looked at.
    before = len(cloud.calls(""))
    status, _, err = cloud.train(script)
    assert status == 0
    assert "t1v-stub-w-0 0" in err
    assert all("describe" in call or "status" in call[-4] for call in cloud.calls("")[before:])
    assert cloud.attempts() == 1

    _, planned, _ = cloud.train(script, "--dry_run", "--copy_to", "results here")
    status, _, err = cloud.run(script, *REQUIRED, "--delete")
    assert (status, cloud.exists()) == (0, False)
    assert "is deleted" in err
    # What a dry run prints is what was run, by this script and not by the hosts.
    done = [call for call in cloud.calls("") if "cp" not in call]
    assert set(map(comparable, words_of(planned))) == set(map(comparable, done))
    assert "costs money" not in err
    status, _, err = cloud.run(script, *REQUIRED, "--delete")
    assert status == 0
    assert "nothing to delete" in err


@pytest.mark.parametrize("script", ["tpu_vm.sh", "tpu_pod.sh"])
def test_a_preempted_tpu_is_made_anew_and_the_job_goes_on(script: str, cloud: Cloud) -> None:
    cloud.job_ends_with("wait", "0")
    cloud.events(("tpu_host.sh follow", "preempt"))
    status, _, err = cloud.train(script)
    assert status == 0, err
    assert "will be deleted and made anew: 1 of at most 20" in err
    assert (cloud.created(), len(cloud.calls("delete")), cloud.attempts()) == (2, 1, 2)
    assert len(cloud.calls("install")) == 2


def test_capacity_that_is_gone_is_waited_for_but_not_for_ever(cloud: Cloud) -> None:
    cloud.job_ends_with("wait")
    cloud.events(("follow", "preempt"))
    process = cloud.start(
        "tpu_vm.sh", *REQUIRED, "--type", "v4-8", "--max_restarts", "3", "--copy_to", "x", *JOB
    )
    until(lambda: cloud.calls("follow"))
    cloud.events(*[("vm create", "fail")] * 9)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "could not be created; this was tried 3 times in a row (--max_restarts)" in err
    assert cloud.created() <= 4
    assert not cloud.exists()
    assert "costs money" not in err


def test_a_job_stopped_by_sigterm_is_started_again(cloud: Cloud) -> None:
    cloud.job_ends_with("143", "0")
    status, _, err = cloud.train("tpu_pod.sh")
    assert status == 0, err
    assert "t1v-stub-w-1 143" in err
    assert (cloud.created(), cloud.attempts(0), cloud.attempts(1)) == (1, 2, 2)


def test_a_command_that_is_refused_is_not_started_again_until_it_changes(cloud: Cloud) -> None:
    cloud.job_ends_with("2")
    status, out, err = cloud.train("tpu_vm.sh")
    assert (status, cloud.attempts()) == (2, 1)
    assert "the end" in out
    assert "costs money" in err
    assert cloud.train("tpu_vm.sh")[0] == 2
    assert cloud.attempts() == 1
    (cloud.checkout / "a recipe.gin").write_text("corrected")
    cloud.job_ends_with("0")
    assert cloud.train("tpu_vm.sh")[0] == 0
    assert (cloud.created(), cloud.attempts()) == (1, 2)
    assert (cloud.home() / "tk_instruct" / "a recipe.gin").read_text() == "corrected"


def test_a_crash_ends_it_and_the_same_command_starts_it_again(cloud: Cloud) -> None:
    cloud.job_ends_with("1", "0")
    status, _, err = cloud.train("tpu_vm.sh")
    assert (status, cloud.attempts()) == (1, 1)
    assert "the job failed" in err
    assert cloud.train("tpu_vm.sh")[0] == 0
    assert (cloud.created(), cloud.attempts()) == (1, 2)


def test_an_interrupted_script_leaves_the_job_and_attaches_again(cloud: Cloud) -> None:
    cloud.job_ends_with("wait")
    process = cloud.start("tpu_pod.sh", *REQUIRED, "--type", "v4-16", *JOB)
    until(lambda: cloud.calls("tpu_host.sh follow"))
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f"the job goes on. Attach again: bash {cloud.checkout}/launch/tpu_pod.sh" in err
    assert "--delete" in err
    # The lines that it prints are commands: run them as they stand.
    again = err.split("Attach again: ")[1].splitlines()[0]
    attached = subprocess.Popen(
        ["bash", "-c", again],
        env=cloud.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: len(cloud.calls("tpu_host.sh follow")) == 2)
    other = cloud.run("tpu_pod.sh", *REQUIRED, "--type", "v4-16", "--", "--gin_file=other.gin")
    assert other[0] == 1
    assert "runs another command" in other[2]
    (cloud.folder / "finish").touch()
    out, err = attached.communicate(timeout=30)
    assert attached.returncode == 0, err
    assert "training on host 0" in out
    assert (cloud.created(), cloud.attempts(0), cloud.attempts(1)) == (1, 1, 1)
    delete = err.split("Delete it: ")[1].splitlines()[0]
    subprocess.run(["bash", "-c", delete], env=cloud.environment, check=True, capture_output=True)
    assert not cloud.exists()


@pytest.mark.parametrize(
    ("fails", "left", "message"),
    [
        ("describe", "may exist", "gcloud cannot tell whether tk-instruct exists"),
        ("create", None, "tk-instruct could not be created"),
        ("scp", "exists and costs money", "could not be started on every host"),
        ("install", "exists and costs money", "could not be started on every host"),
        ("tpu_host.sh start", "exists and costs money", "could not be started on every host"),
    ],
)
def test_what_a_failure_leaves_is_said_and_the_same_command_goes_on(
    fails: str, left: str | None, message: str, cloud: Cloud
) -> None:
    cloud.events((fails, "fail"))
    status, _, err = cloud.train("tpu_pod.sh")
    assert status == 1
    assert message in err
    assert "it does not work" in err
    assert (f"of p {left}. Delete it" in err) if left else ("Delete it" not in err)
    assert cloud.exists() == (left == "exists and costs money")
    status, _, err = cloud.train("tpu_pod.sh")
    assert status == 0, err
    assert cloud.attempts() == 1
    assert cloud.created() == (2 if fails == "create" else 1)


def test_an_installation_without_network_says_so(cloud: Cloud) -> None:
    (cloud.folder / "no_network").touch()
    status, _, err = cloud.train("tpu_vm.sh")
    assert status == 1
    assert "pip: no network" in err
    (cloud.folder / "no_network").unlink()
    assert cloud.train("tpu_vm.sh")[0] == 0


def test_a_creation_that_only_seemed_to_fail_is_used(cloud: Cloud) -> None:
    cloud.events(("create", "fail after"))
    status, _, err = cloud.train("tpu_pod.sh")
    assert status == 0, err
    assert cloud.created() == 1


def test_connections_that_break_are_made_again(cloud: Cloud) -> None:
    cloud.events(("follow", "fail"), ("status", "fail after"), ("status", "fail after"))
    status, _, err = cloud.train("tpu_pod.sh")
    assert status == 0, err
    assert "do not answer" in err
    assert (cloud.created(), cloud.attempts()) == (1, 1)


def test_a_tpu_that_someone_stopped_is_left_alone(cloud: Cloud) -> None:
    cloud.job_ends_with("wait")
    cloud.events(("follow", "stop"))
    status, _, err = cloud.train("tpu_vm.sh")
    assert status == 1
    assert "is in state STOPPED" in err
    assert not cloud.calls("delete")


def test_a_deletion_that_fails_is_said(cloud: Cloud) -> None:
    cloud.train("tpu_vm.sh")
    cloud.events(("vm delete", "fail"))
    status, _, err = cloud.run("tpu_vm.sh", *REQUIRED, "--delete")
    assert status == 1
    assert "could not be deleted" in err
    assert "exists and costs money" in err


def test_results_are_copied_before_the_tpu_is_deleted(cloud: Cloud) -> None:
    cloud.train("tpu_vm.sh")
    cloud.events(("rsync", "fail"))
    status, _, err = cloud.run("tpu_vm.sh", *REQUIRED, "--delete", "--copy_to", "here")
    assert status == 1
    assert "could not be copied" in err
    assert cloud.exists()
    assert cloud.run("tpu_vm.sh", *REQUIRED, "--delete", "--copy_to", "here")[0] == 0
    assert (cloud.folder / "here" / "logs").is_dir()
    assert not cloud.exists()


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_tells_what_is_needed(script: str, cloud: Cloud) -> None:
    status, out, _ = cloud.run(script, "--help")
    assert status == 0
    for needed in ("--project", "$TK_INSTRUCT_BUCKET", "--delete", f"bash launch/{script}"):
        assert needed in out
