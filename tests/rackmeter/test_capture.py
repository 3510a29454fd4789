"""Captures on disk: whole or not there, plain or compressed, each mistake with file and line."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from rackmeter.capture import read_capture, write_capture
from rackmeter.errors import ConfigError, DependencyError
from schemas.capture import Captured

MESSAGES = [Captured(b"s%d" % i, i, (("kid", b"k"),), b"{%d\n}" % i, 1) for i in range(500)]
LINE = b'{"ts_ms":1,"value":1}\n'


@pytest.mark.parametrize("name", ["m.ndjson", "m.ndjson.gz"])
def test_what_is_written_is_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    assert write_capture(path, MESSAGES) == 500
    assert list(read_capture(path)) == MESSAGES
    assert (path.read_bytes()[:2] == b"\x1f\x8b") is name.endswith(".gz")
    before = path.read_bytes()
    write_capture(path, MESSAGES)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_an_interrupted_file_does_not_take_the_name(tmp_path: Path) -> None:
    path = tmp_path / "m.ndjson"
    write_capture(path, MESSAGES[:1])

    def interrupted() -> Iterator[Captured]:
        yield from MESSAGES
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_capture(path, interrupted())
    assert list(read_capture(path)) == MESSAGES[:1]
    assert [file.name for file in tmp_path.iterdir()] == ["m.ndjson"]


def test_a_result_is_as_open_as_any_other_file(tmp_path: Path) -> None:
    write_capture(tmp_path / "m", MESSAGES[:1])
    (tmp_path / "other").touch()
    assert (tmp_path / "m").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_link_keeps_pointing_where_it_did(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_capture(tmp_path / "link", MESSAGES)
    assert (tmp_path / "link").is_symlink()
    assert list(read_capture(tmp_path / "real")) == MESSAGES


WRONG = {
    "not JSON": (LINE * 16 + b"{]\n" + LINE, "line 17: it is not JSON"),
    "blank lines count": (LINE + b"\n \n" + b"{}\n", "line 4: ts_ms is missing"),
    "cut off": (LINE + LINE[:9], "line 2: it is not JSON: .* the file ends in the middle of this"),
    "cut gzip": (gzip.compress(LINE * 9)[:-9], "is cut off after line [0-9]: its gzip has no end"),
    "damaged gzip": (gzip.compress(LINE) + b"\x1f\x8bxxxxxxxxxx", "is damaged after line 1"),
    "a compressed bomb": (gzip.compress(b"0" * 2**27), "line 1: it is longer than 67108864 bytes"),
}


@pytest.mark.parametrize(("body", "sentence"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, body: bytes, sentence: str) -> None:
    path = tmp_path / "m"
    path.write_bytes(body)
    with pytest.raises(ConfigError, match=sentence):
        list(read_capture(path))


def test_a_last_line_without_its_end_is_a_line(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(LINE + LINE.rstrip())
    assert len(list(read_capture(tmp_path / "m"))) == 2


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("missing", "missing cannot be read: No such file"), (".", "cannot be read: Is a directory")],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        list(read_capture(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("no/m", "no/m cannot be written: No such file"), (".", "cannot be written: Is a directory")],
)
def test_a_file_that_cannot_be_written(tmp_path: Path, name: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        write_capture(tmp_path / name, MESSAGES)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_a_dependency() -> None:
    with pytest.raises(DependencyError, match="The disk is full: cannot write /dev/full"):
        write_capture(Path("/dev/full"), MESSAGES)
