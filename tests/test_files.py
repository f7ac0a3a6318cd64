"""Files whole or not at all, JSON lines with the place of what is wrong."""

import errno
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tk_instruct.errors import UserError
from tk_instruct.files import (
    cannot_write,
    check_target,
    open_atomically,
    read_bytes,
    write_atomically,
    write_lines,
)


def test_texts_are_written_as_utf8_with_their_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "scores.txt"
    write_atomically(path, (text for text in ["né\r\n", "", "漢\n"]))
    assert path.read_bytes() == b"n\xc3\xa9\r\n\xe6\xbc\xa2\n"


def test_a_file_that_is_written_in_parts_is_there_when_all_are(tmp_path: Path) -> None:
    path = tmp_path / "a" / "lines"
    with open_atomically(path) as file:
        file.write(b"1\n")
        assert not path.exists()
        file.write(b"2\n")
    assert path.read_bytes() == b"1\n2\n"
    with pytest.raises(TypeError), open_atomically(path) as file:
        file.writelines([b"3\n", 4])  # type: ignore[list-item]
    assert path.read_bytes() == b"1\n2\n"
    assert os.listdir(path.parent) == ["lines"]


def test_bytes_are_written_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "model"
    write_atomically(path, b"\xff\x00\r\n")
    assert path.read_bytes() == b"\xff\x00\r\n"


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_text("old")

    def lines() -> Iterator[str]:
        yield "new " * 100_000
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, lines())
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["predictions.jsonl"]


def test_text_that_is_no_utf8_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, ["fine\n", "\ud800"])
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["predictions.jsonl"]


def test_a_file_in_the_place_of_a_folder_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    for path in (tmp_path / "cache" / "entry", tmp_path / "cache" / "ab" / "entry"):
        with pytest.raises(UserError) as caught:
            write_atomically(path, b"content")
        assert str(caught.value).startswith(f"{path}: cannot be written (")
        assert "choose another place" in str(caught.value)
    assert (tmp_path / "cache").read_text() == "a file"


def test_a_folder_in_the_place_of_the_file_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "scores.json" / "kept").mkdir(parents=True)
    with pytest.raises(UserError, match=r"scores\.json: cannot be written \(Is a directory\)"):
        write_atomically(tmp_path / "scores.json", b"{}")
    assert os.listdir(tmp_path) == ["scores.json"]


def test_a_full_disk_asks_for_space(tmp_path: Path) -> None:
    def lines() -> Iterator[str]:
        yield "half"
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(UserError) as caught:
        write_atomically(tmp_path / "f", lines())
    assert str(caught.value) == (
        f"{tmp_path / 'f'}: cannot be written (No space left on device); free some space and run "
        "it again, what was there before is unchanged"
    )
    assert os.listdir(tmp_path) == []


def test_a_link_stays_and_its_file_is_replaced_whole(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    real, link = tmp_path / "real" / "scores.json", tmp_path / "link"
    real.write_text("old")
    link.symlink_to("hop")
    (tmp_path / "hop").symlink_to("real/scores.json")
    before = real.stat().st_ino
    write_atomically(link, ["new"])
    assert [link.readlink(), (tmp_path / "hop").readlink()] == [
        Path("hop"),
        Path("real/scores.json"),
    ]
    assert real.read_text() == "new"
    assert real.stat().st_ino != before  # replaced, not written over
    assert os.listdir(tmp_path / "real") == ["scores.json"]


def test_of_a_dangling_link_the_target_is_made(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "target")
    write_atomically(tmp_path / "link", ["new"])
    assert (tmp_path / "folder" / "target").read_text() == "new"
    assert (tmp_path / "link").is_symlink()


def test_a_loop_of_links_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(UserError, match=r"a: cannot be written \(Too many levels of symbolic"):
        write_atomically(tmp_path / "a", ["new"])
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_the_mode_of_a_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "private"
    path.write_text("old")
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 12, 34)
    before = path.stat()
    write_atomically(path, ["new"])
    after = path.stat()
    assert path.read_text() == "new"
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode,
        before.st_uid,
        before.st_gid,
    )


def test_a_pipe_is_written_through(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    content = b"line\n" * 100_000  # more than a pipe holds
    with ThreadPoolExecutor(1) as pool:
        received = pool.submit(path.read_bytes)
        write_atomically(path, content)
        assert received.result() == content
    assert path.is_fifo()
    assert os.listdir(tmp_path) == ["pipe"]


def test_a_pipe_without_a_reader_breaks(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        write_atomically(f"/dev/fd/{writer}", ["new"])
    os.close(writer)


@pytest.mark.parametrize("where", ["/dev/fd/{}", "/proc/self/fd/{}", "link"])
def test_an_open_descriptor_is_gone_on_with(tmp_path: Path, where: str) -> None:
    with (tmp_path / "log").open("wb") as log:
        log.write(b"before\n")
        log.flush()
        path = where.format(log.fileno())
        if path == "link":
            path = str(tmp_path / "link")
            os.symlink(f"/proc/self/fd/{log.fileno()}", path)
        write_atomically(path, ["between\n"])
        log.write(b"after\n")
    assert (tmp_path / "log").read_bytes() == b"before\nbetween\nafter\n"


def test_a_device_stays_one(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if os.geteuid() == 0:  # who could replace the real one
        full = tmp_path / "full"
        os.mknod(full, 0o666 | stat.S_IFCHR, os.stat("/dev/full").st_rdev)
    with pytest.raises(UserError, match=r"/full: cannot be written \(No space left"):
        write_atomically(full, ["x"])
    assert full.is_char_device()


def test_what_could_not_be_written_at_the_end_is_told_before(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "here").symlink_to(".")
    for name, reason in (
        (".", "Is a directory"),
        ("here", "Is a directory"),
        ("a", "Too many levels of symbolic links"),
        ("file/below", "Not a directory"),
        ("file/far/below", "Not a directory"),
    ):
        with pytest.raises(UserError, match=rf"cannot be written \({reason}\); choose another"):
            check_target(tmp_path / name)
    for name in ("file", "new", "new/below", "here/new", "/dev/null", "gs://bucket/x"):
        check_target(tmp_path / name if ":" not in name else name)


def test_a_descriptor_that_is_not_open_is_a_user_error() -> None:
    with pytest.raises(UserError, match=r"/dev/fd/987: cannot be written \(No such file"):
        write_atomically("/dev/fd/987", ["x"])


def test_an_error_without_a_number_is_quoted() -> None:
    assert "cannot be written (write failed)" in str(
        cannot_write(Path("f"), OSError("write failed"))
    )


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.jsonl: cannot be read \(No such file"):
        read_bytes(tmp_path / "absent.jsonl")


def test_lines_are_written_as_they_come_and_all_or_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "lines"
    write_lines(file, ["é\n", "\ud800\n"])
    assert file.read_bytes() == "é\n?\n".encode()

    def broken() -> Iterator[str]:
        yield "one\n"
        raise ValueError("a broken line")

    with pytest.raises(ValueError, match="a broken line"):
        write_lines(file, broken())
    assert file.read_bytes() == "é\n?\n".encode()
    write_lines(None, ["é\n"])
    assert capsys.readouterr().out == "é\n"
