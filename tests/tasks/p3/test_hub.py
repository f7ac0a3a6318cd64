"""Downloads with the real huggingface_hub, from a server here that speaks the Hub's protocol."""

import hashlib
import io
import json
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tk_instruct.errors import UserError
from tk_instruct.tasks.p3 import hub

COMMITS = {"main": "1" * 40, "refs/convert/parquet": "2" * 40}


def parquet(*texts: str) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"text": list(texts)}), buffer)
    return buffer.getvalue()


@dataclass
class Hub:
    """What the server has: dataset → branch → path → content, and how it misbehaves."""

    endpoint: str = ""
    files: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    moved: dict[str, str] = field(default_factory=dict)  # old name → new name
    gated: bool = False
    status: int = 0  # of every answer to GET of a file
    num_cut: int = 0  # answers with a file that break off in the middle
    wrong: bool = False  # whether other bytes come than are listed
    requests: list[str] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)

    def put(self, dataset: str, branch: str, files: dict[str, bytes]) -> None:
        self.files.setdefault(dataset, {"main": {}})[branch] = files


class Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        path = urllib.parse.urlparse(self.path).path
        self.hub.requests.append(f"{self.command} {path}")
        self.hub.tokens.add(self.headers.get("Authorization"))
        for old, new in self.hub.moved.items():
            for prefix in ("/api/datasets/", "/datasets/"):
                if path.startswith(f"{prefix}{old}/"):
                    self.reply(307, headers={"Location": self.path.replace(f"/{old}/", f"/{new}/")})
                    return
        if path.startswith("/api/datasets/"):
            self.describe(path.removeprefix("/api/datasets/"))
        elif path.startswith("/datasets/"):
            self.send_file(path.removeprefix("/datasets/"))
        else:  # huggingface_hub asks which agents it may be run by
            self.reply(404)

    def describe(self, path: str) -> None:
        dataset, _, branch = path.partition("/revision/")
        branch = urllib.parse.unquote(branch)
        if dataset not in self.hub.files:
            self.reply(401, headers={"X-Error-Code": "RepoNotFound"})
            return
        if branch not in self.hub.files[dataset]:
            self.reply(404, headers={"X-Error-Code": "RevisionNotFound"})
            return
        siblings = [
            {
                "rfilename": path,
                "size": len(content),
                "blobId": "b",
                "lfs": {
                    "sha256": hashlib.sha256(content).hexdigest(),
                    "size": len(content),
                    "pointerSize": 100,
                },
            }
            for path, content in self.hub.files[dataset][branch].items()
        ]
        document = {
            "id": dataset,
            "sha": COMMITS[branch],
            "tags": self.hub.tags if branch == "main" else [],
            "siblings": siblings,
        }
        self.reply(200, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def send_file(self, path: str) -> None:
        dataset, _, rest = path.partition("/resolve/")
        commit, _, name = urllib.parse.unquote(rest).partition("/")
        if self.hub.gated:
            self.reply(401, headers={"X-Error-Code": "GatedRepo"})
            return
        (branch,) = (branch for branch, known in COMMITS.items() if known == commit)
        content = self.hub.files[dataset][branch][name]
        headers = {
            "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            "X-Repo-Commit": commit,
            "Accept-Ranges": "bytes",
        }
        if self.command == "GET" and self.hub.status:
            self.reply(self.hub.status)
        elif self.command == "GET" and self.hub.wrong:
            self.reply(200, bytes(len(content)), headers)
        elif asked := self.headers.get("Range"):
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.reply(206, content[start:], headers)
        else:
            self.reply(200, content, headers)

    def reply(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET" and self.hub.num_cut and not self.path.startswith("/api/"):
            self.hub.num_cut -= 1
            self.wfile.write(body[: len(body) // 2])
        elif self.command == "GET":
            self.wfile.write(body)
        self.close_connection = True


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    found = Hub()
    handler = type("OfHub", (Handler,), {"hub": found})
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    found.endpoint = f"http://127.0.0.1:{httpd.server_port}"
    monkeypatch.setenv("HF_ENDPOINT", found.endpoint)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between huggingface_hub's attempts
    yield found
    httpd.shutdown()
    thread.join()
    httpd.server_close()


CONVERTED = "refs/convert/parquet"


def texts(folder: Path) -> dict[str, list[str]]:
    """The rows of each parquet file of a folder."""
    return {
        path.name: pq.read_table(path).column("text").to_pylist()
        for path in sorted(folder.glob("*.parquet"))
    }


def test_converted_files_are_taken_first(server: Hub, tmp_path: Path) -> None:
    server.put("ag_news", "main", {"data/train-00000-of-00001.parquet": parquet("main")})
    server.put(
        "ag_news",
        CONVERTED,
        {
            "default/test/0000.parquet": parquet("c"),
            "default/train/0001.parquet": parquet("b"),
            "default/train/0000.parquet": parquet("a"),
        },
    )
    folder = hub.download("ag_news", None, tmp_path)
    assert folder == tmp_path / "ag_news"
    assert texts(folder) == {
        "test-0000.parquet": ["c"],
        "train-0000.parquet": ["a"],
        "train-0001.parquet": ["b"],
    }
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        "source.json", "test-0000.parquet", "train-0000.parquet", "train-0001.parquet",
    ]  # fmt: skip
    assert json.loads((folder / "source.json").read_text()) == {
        "dataset": "ag_news",
        "branch": CONVERTED,
        "commit": "2" * 40,
        "licence": "",
    }


def test_a_subset_of_a_dataset_that_has_another_name_now(server: Hub, tmp_path: Path) -> None:
    server.moved = {"glue": "nyu-mll/glue"}
    server.put("nyu-mll/glue", CONVERTED, {
        "mrpc/train/0000.parquet": parquet("a"), "qqp/train/0000.parquet": parquet("b"),
    })  # fmt: skip
    assert hub.download("glue", "mrpc", tmp_path) == tmp_path / "glue" / "mrpc"
    assert texts(tmp_path / "glue" / "mrpc") == {"train-0000.parquet": ["a"]}
    assert hub.download("glue", "qqp", tmp_path) == tmp_path / "glue" / "qqp"
    assert texts(tmp_path / "glue" / "qqp") == {"train-0000.parquet": ["b"]}
    assert "Bearer hf_secret" in server.tokens


def test_again_is_no_download(server: Hub, tmp_path: Path) -> None:
    server.put("imdb", CONVERTED, {"plain_text/train/0000.parquet": parquet("a")})
    hub.download("imdb", None, tmp_path)
    num_requests = len(server.requests)
    server.put("imdb", CONVERTED, {"plain_text/train/0000.parquet": parquet("new")})
    assert hub.download("imdb", None, tmp_path) == tmp_path / "imdb"
    assert texts(tmp_path / "imdb") == {"train-0000.parquet": ["a"]}
    assert len(server.requests) == num_requests


def test_own_files_of_the_user_stay(server: Hub, tmp_path: Path) -> None:
    (tmp_path / "imdb").mkdir()
    (tmp_path / "imdb" / "train.jsonl").write_text("mine")
    assert hub.download("imdb", None, tmp_path) == tmp_path / "imdb"
    assert [path.name for path in (tmp_path / "imdb").iterdir()] == ["train.jsonl"]

    (tmp_path / "piqa").mkdir()
    (tmp_path / "piqa" / "notes.txt").write_text("mine")
    server.put("piqa", CONVERTED, {"plain_text/train/0000.parquet": parquet("a")})
    with pytest.raises(UserError, match="piqa already holds something other than rows of piqa"):
        hub.download("piqa", None, tmp_path)
    assert [path.name for path in (tmp_path / "piqa").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("subset", "paths", "expected"),
    [
        (
            None,
            [
                "README.md",
                "data/train-00000-of-00002-0a1b2c.parquet",
                "data/train-00001-of-00002-0a1b2c.parquet",
                "data/validation-00000-of-00001.parquet",
                "data/train_r1-00000-of-00001.parquet",
                "data/notes.parquet",
                "script.py",
            ],
            {
                "train-0000.parquet": "data/train-00000-of-00002-0a1b2c.parquet",
                "train-0001.parquet": "data/train-00001-of-00002-0a1b2c.parquet",
                "validation-0000.parquet": "data/validation-00000-of-00001.parquet",
                "train_r1-0000.parquet": "data/train_r1-00000-of-00001.parquet",
            },
        ),
        (
            "main",
            ["main/test-00000-of-00001.parquet", "additional/test-00000-of-00001.parquet"],
            {"test-0000.parquet": "main/test-00000-of-00001.parquet"},
        ),
        (
            "v1.11",
            ["data/v1.11/train/0000.parquet", "data/v1.0/train/0000.parquet"],
            {"train-0000.parquet": "data/v1.11/train/0000.parquet"},
        ),
        (
            None,
            ["train.jsonl", "dev.jsonl", "test.jsonl.gz", "train.csv", "data.pkl"],
            {
                "train-0000.jsonl": "train.jsonl",
                "validation-0000.jsonl": "dev.jsonl",
                "test-0000.jsonl.gz": "test.jsonl.gz",
            },
        ),
        (None, ["data/test.jsonl.gz"], {"test-0000.jsonl.gz": "data/test.jsonl.gz"}),
        (
            None,
            ["train.jsonl", "train.parquet"],
            {"train-0000.parquet": "train.parquet"},
        ),
    ],
)
def test_files_of_authors(
    server: Hub, tmp_path: Path, subset: str | None, paths: list[str], expected: dict[str, str]
) -> None:
    server.put("x/y.z-1", "main", {path: path.encode() for path in paths})
    folder = hub.download("x/y.z-1", subset, tmp_path)
    assert folder == (tmp_path / "x/y.z-1" / subset if subset else tmp_path / "x/y.z-1")
    assert {
        path.name: path.read_text() for path in folder.iterdir() if path.name != "source.json"
    } == expected


@pytest.mark.parametrize(
    ("configs", "chosen"),
    [
        (["only"], "only"),
        (["a", "default"], "default"),
        (["a", "plain_text"], "plain_text"),
        (["a", "squad"], "squad"),
    ],
)
def test_the_subset_of_a_dataset_without_one(
    server: Hub, tmp_path: Path, configs: list[str], chosen: str
) -> None:
    server.put(
        "squad", CONVERTED, {f"{name}/train/0000.parquet": parquet(name) for name in configs}
    )
    assert texts(hub.download("squad", None, tmp_path)) == {"train-0000.parquet": [chosen]}


def test_subsets_to_choose_from_are_told(server: Hub, tmp_path: Path) -> None:
    server.put("duorc", CONVERTED, {
        f"{name}/train/0000.parquet": parquet("a") for name in ("SelfRC", "ParaphraseRC")
    })  # fmt: skip
    with pytest.raises(UserError, match=r"duorc has the subsets ParaphraseRC, SelfRC; name one"):
        hub.download("duorc", None, tmp_path)
    with pytest.raises(UserError, match=r"no subset 'Self' on the Hub, only ParaphraseRC, SelfRC"):
        hub.download("duorc", "Self", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_part_of_the_rows_is_not_taken_for_all(server: Hub, tmp_path: Path) -> None:
    server.put("wiki_bio", CONVERTED, {
        "default/partial-train/0000.parquet": parquet("a"),
        "default/test/0000.parquet": parquet("b"),
    })  # fmt: skip
    with pytest.raises(
        UserError, match=r"wiki_bio has only a part of its rows as parquet.*p3_data"
    ):
        hub.download("wiki_bio", None, tmp_path)
    assert list(tmp_path.iterdir()) == []

    server.put("wiki_bio", "main", {"data/train-00000-of-00001.parquet": parquet("whole")})
    assert texts(hub.download("wiki_bio", None, tmp_path)) == {"train-0000.parquet": ["whole"]}


def test_code_of_a_dataset_is_not_run(server: Hub, tmp_path: Path) -> None:
    server.put("quail", "main", {"quail.py": b"raise SystemExit", "data.pkl": b"", "a.csv": b""})
    with pytest.raises(UserError, match=r"has neither parquet files nor JSON lines .* by hand"):
        hub.download("quail", None, tmp_path)
    assert not any(request.endswith((".py", ".pkl")) for request in server.requests)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "path",
    ["../train.parquet", "data/../../train/0000.parquet", "/train.parquet", "..\\train.jsonl"],
)
@pytest.mark.parametrize("branch", ["main", CONVERTED])
def test_a_listed_name_does_not_lead_out_of_the_folder(
    server: Hub, tmp_path: Path, branch: str, path: str
) -> None:
    server.put("evil", branch, {path: parquet("a"), "default/train/0000.parquet": parquet("a")})
    directory = tmp_path / "data"
    directory.mkdir()
    with pytest.raises(UserError, match=r"lists a file .* nothing is downloaded"):
        hub.download("evil", None, directory)
    assert list(tmp_path.rglob("*")) == [directory]


@pytest.mark.parametrize(
    ("dataset", "subset"),
    [("..", None), ("a", ".."), ("a/../b", None), ("", None), ("a", "b/c"), ("a/b/c", "d")],
)
def test_names_that_are_no_datasets(tmp_path: Path, dataset: str, subset: str | None) -> None:
    with pytest.raises(UserError, match="is no name of a dataset"):
        hub.download(dataset, subset, tmp_path)


def test_a_bucket_is_no_place_for_downloads() -> None:
    with pytest.raises(UserError, match="gs://bucket/p3 is not on this machine"):
        hub.download("piqa", None, "gs://bucket/p3")


FAILURES: list[tuple[dict[str, Any], str]] = [
    (
        {"gated": True},
        r"accept their conditions\); accept them at .*/datasets/piqa and set HF_TOKEN",
    ),
    ({"status": 500}, r"the server answers 500 Internal Server Error\); try again later"),
    ({"status": 403}, r"the server answers 403 Forbidden\); check HF_TOKEN"),
    ({"status": 404}, r"the server answers 404 Not Found\); try again later"),
    ({"num_cut": 99}, r"peer closed connection .*check the network and HF_ENDPOINT, run it again"),
    ({"wrong": True}, r"plain_text/train/0000.parquet of .* is damaged: .*; run it again"),
]


@pytest.mark.parametrize(("behaviour", "message"), FAILURES)
def test_failures_are_told_and_leave_nothing(
    server: Hub, tmp_path: Path, behaviour: dict[str, Any], message: str
) -> None:
    server.put("piqa", CONVERTED, {
        "plain_text/train/0000.parquet": parquet("a"),
        "plain_text/test/0000.parquet": parquet("b"),
    })  # fmt: skip
    for name, value in behaviour.items():
        setattr(server, name, value)
    with pytest.raises(UserError, match=message):
        hub.download("piqa", None, tmp_path / "p3")
    assert not any((tmp_path / "p3").rglob("*"))

    for name, value in vars(Hub()).items():  # it is well again
        if name in behaviour:
            setattr(server, name, value)
    assert len(texts(hub.download("piqa", None, tmp_path / "p3"))) == 2


def test_a_failure_of_a_subset_leaves_no_folder_of_its_dataset(server: Hub, tmp_path: Path) -> None:
    server.put("glue", CONVERTED, {"mrpc/train/0000.parquet": parquet("a")})
    server.status = 500
    with pytest.raises(UserError, match="500"):
        hub.download("glue", "mrpc", tmp_path)
    assert list(tmp_path.rglob("*")) == []


def test_an_interrupted_download_leaves_nothing(
    server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: Any) -> None:
        raise KeyboardInterrupt

    server.put("glue", CONVERTED, {"mrpc/train/0000.parquet": parquet("a")})
    monkeypatch.setattr(hub.Progress, "advance", interrupt)
    with pytest.raises(KeyboardInterrupt):
        hub.download("glue", "mrpc", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_breaks_off_once_goes_on(server: Hub, tmp_path: Path) -> None:
    server.put("piqa", CONVERTED, {"plain_text/train/0000.parquet": parquet("a" * 1000)})
    server.num_cut = 1
    assert texts(hub.download("piqa", None, tmp_path)) == {"train-0000.parquet": ["a" * 1000]}


def test_a_dataset_that_is_not_there(server: Hub, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"datasets/nothing cannot be downloaded \(there is no such"
    ):
        hub.download("nothing", None, tmp_path)


def test_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"127.0.0.1:9/datasets/piqa .*\(ConnectError: .*network"):
        hub.download("piqa", None, tmp_path)


def test_a_disk_that_cannot_be_written(server: Hub, tmp_path: Path) -> None:
    server.put("piqa", CONVERTED, {"plain_text/train/0000.parquet": parquet("a")})
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/piqa cannot be written \(File exists\)"):
        hub.download("piqa", None, tmp_path / "file")


def test_a_file_that_the_disk_does_not_take(server: Hub, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    server.put("glue", "main", {"mrpc/train.jsonl": b" " * 3_000_000})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(UserError, match=r"glue/mrpc cannot be written \(File too large\)"):
            hub.download("glue", "mrpc", tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", None)
    with pytest.raises(UserError, match=r"pip install 'tk_instruct\[hub\]'"):
        hub.download("piqa", None, tmp_path)


def test_the_licence_is_what_the_data_card_says(server: Hub, tmp_path: Path) -> None:
    server.put("piqa", CONVERTED, {"plain_text/train/0000.parquet": parquet("a")})
    server.tags = ["language:en", "license:cc-by-4.0", "license:afl-3.0"]
    assert hub.licence("piqa", None, tmp_path) == ""
    hub.download("piqa", None, tmp_path)
    assert hub.licence("piqa", None, tmp_path) == "cc-by-4.0, afl-3.0"
    (tmp_path / "piqa" / "source.json").write_text("{}")
    with pytest.raises(UserError, match=r"source\.json: dataset is missing; remove it"):
        hub.licence("piqa", None, tmp_path)


def test_progress_counts_the_megabytes_of_all_files(
    server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.put("piqa", "main", {
        f"{split}.jsonl": b" " * 1_600_000 for split in ("train", "test")
    })  # fmt: skip
    shown: list[Any] = []

    class Recorded(hub.Progress):
        def __exit__(self, *error: Any) -> None:
            shown.append((self.what, self.done, self.total))

    monkeypatch.setattr(hub, "Progress", Recorded)
    hub.download("piqa", None, tmp_path)
    assert shown == [("downloading piqa, megabytes", 3, 3)]
