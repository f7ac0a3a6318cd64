"""A Google Cloud of folders, for test_launch.py: TPUs, their hosts and buckets under $STUB.

Every call is recorded in $STUB/calls. Commands for hosts are run, with a home of their own. What
goes wrong stands in $STUB/events, a JSON list of [text, event]: the first one whose text is in a
call happens to it, once. Events: fail, fail after (it was done nevertheless), preempt, stop.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

STUB = Path(os.environ["STUB"])


def main(arguments: list[str]) -> int:
    with (STUB / "calls").open("a") as calls:
        calls.write(json.dumps(arguments) + "\n")
    event = next_event(" ".join(arguments))
    if event == "fail":
        return failed("stub: it does not work")
    if event in ("preempt", "stop"):
        take_away({"preempt": "PREEMPTED", "stop": "STOPPED"}[event])
        return 255
    flags = dict(
        a.removeprefix("--").split("=", 1) for a in arguments if a.startswith("--") and "=" in a
    )
    words = [a for a in arguments if not a.startswith("--")]
    if words[0] == "storage":
        return storage(words[1:], flags)
    assert words[:2] == ["compute", "tpus"], words
    for flag in ("project", "zone"):
        assert flags.get(flag), flag
    assert "--quiet" in arguments
    status = {"tpu-vm": tpu_vm, "queued-resources": queued}[words[2]](words[3:], flags)
    return failed("stub: lost the connection") if event == "fail after" else status


def failed(message: str) -> int:
    print(f"ERROR: {message}", file=sys.stderr)
    return 1


def next_event(call: str) -> str | None:
    path = STUB / "events"
    events = json.loads(path.read_text()) if path.exists() else []
    for i, (text, event) in enumerate(events):
        if text in call:
            path.write_text(json.dumps(events[:i] + events[i + 1 :]))
            return event
    return None


def node(name: str) -> Path:
    return STUB / "nodes" / name


def create_node(name: str, type_: str) -> None:
    cores = int(type_.rsplit("-", 1)[1])
    for worker in range(max(1, cores // 8)):
        (node(name) / str(worker)).mkdir(parents=True)
    (node(name) / "state").write_text("READY")


def kill_jobs(name: str) -> None:
    for file in node(name).glob("*/.tmux/*"):
        with contextlib.suppress(ProcessLookupError, ValueError, FileNotFoundError):
            os.killpg(int(file.read_text()), signal.SIGKILL)


def take_away(state: str) -> None:
    for folder in (STUB / "nodes").iterdir():
        kill_jobs(folder.name)
        for home in folder.glob("[0-9]*"):
            shutil.rmtree(home, ignore_errors=True)
        (folder / "state").write_text(state)
    for queued_resource in (STUB / "queued").glob("*"):
        queued_resource.write_text("SUSPENDED " + queued_resource.read_text().split()[1])


def tpu_vm(words: list[str], flags: dict[str, str]) -> int:
    verb, name, *_ = words
    if verb == "create":
        assert flags["version"]
        if node(name).exists():
            return failed("ALREADY_EXISTS")
        create_node(name, flags["accelerator-type"])
        return 0
    if verb == "scp":
        host, _, target = words[2].partition(":")
        for home in homes(host, flags):
            shutil.copy(name, home / target)
        return 0
    if not node(name).exists():
        return failed(f"(stub) NOT_FOUND: Resource 'nodes/{name}' was not found")
    state = (node(name) / "state").read_text()
    if verb == "describe":
        print(state)
        return 0
    if verb == "delete":
        kill_jobs(name)
        shutil.rmtree(node(name))
        return 0
    assert verb == "ssh", verb
    if state != "READY":
        return failed(f'This TPU has terminal state "{state}"')
    statuses = [run_on_host(home, flags["command"]) for home in homes(name, flags)]
    return next((status for status in statuses if status), 0)


def homes(name: str, flags: dict[str, str]) -> list[Path]:
    return sorted(node(name).glob("[0-9]*" if flags["worker"] == "all" else flags["worker"]))


def run_on_host(home: Path, command: str) -> int:
    return subprocess.run(
        ["bash", "-c", command], cwd=home, env={**os.environ, "HOME": str(home)}
    ).returncode


def queued(words: list[str], flags: dict[str, str]) -> int:
    verb, name = words[:2]
    path = STUB / "queued" / name
    if verb == "create":
        assert flags["runtime-version"]
        assert flags["node-id"] == name
        if path.exists():
            return failed("ALREADY_EXISTS")
        path.write_text(f"WAITING_FOR_RESOURCES {flags['accelerator-type']}")
        return 0
    if not path.exists():
        return failed(f"(stub) NOT_FOUND: Resource 'queuedResources/{name}' was not found")
    state, type_ = path.read_text().split()
    if verb == "delete":
        assert state in ("SUSPENDED", "FAILED") or "--force" in sys.argv
        path.unlink()
        kill_jobs(name)
        shutil.rmtree(node(name), ignore_errors=True)
        return 0
    assert verb == "describe", verb
    print(state)
    later = {"WAITING_FOR_RESOURCES": "PROVISIONING", "PROVISIONING": "ACTIVE"}.get(state, state)
    if later == "ACTIVE" != state:
        create_node(name, type_)
    path.write_text(f"{later} {type_}")
    return 0


def storage(words: list[str], flags: dict[str, str]) -> int:
    verb, source, target = words
    if verb == "cp":
        copy = STUB / target.removeprefix("gs://")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, copy)
    else:
        assert verb == "rsync"
        assert flags["exclude"] == "checkpoint.*"
        found = STUB / source.removeprefix("gs://")
        shutil.copytree(
            found, target, ignore=shutil.ignore_patterns("checkpoint*"), dirs_exist_ok=True
        )
    return 0


sys.exit(main(sys.argv[1:]))
