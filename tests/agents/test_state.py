"""The state file: torn, flipped, foreign, locked, on a full disk."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.origin import start
from agents.state import FILE_NAME, Store, UnreadableError, decode, encode
from schemas.errors import RackmeterError, RefusedError
from tests.agents.words import counted, disk, gpu, nic, reading

BOOTED = start(
    counted(reading(1000, nic(500), disk(7, "/größe"))), reading(500), "s1", "boot-2", "o2"
)
ORIGIN = counted(
    *(reading(1000, nic(500), disk(7, "/größe"), gpu(3)), reading(2000, nic(2**63), disk(2**50))),
    origin=BOOTED.origin,
)


def test_everything_comes_back() -> None:
    assert ORIGIN.former
    assert ORIGIN.gone
    assert decode(encode(ORIGIN)) == ORIGIN


def test_torn_at_every_byte() -> None:
    body = encode(ORIGIN)
    for length in range(len(body)):
        with pytest.raises(UnreadableError):
            decode(body[:length])


@given(st.integers(0, len(encode(ORIGIN)) * 8 - 1))
def test_a_flipped_bit_is_never_another_state(bit: int) -> None:
    """Refused, or, where the bit only changes how the same JSON is written, the same."""
    body = bytearray(encode(ORIGIN))
    body[bit // 8] ^= 1 << bit % 8
    try:
        origin = decode(bytes(body))
    except UnreadableError:
        return
    assert origin == ORIGIN


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"null", b'"x"', b"[" * 10_000, b'{"format":"rackmeter-agent/2"}']
)
def test_foreign_files(body: bytes) -> None:
    with pytest.raises(UnreadableError):
        decode(body)


def test_outside_checks_can_read_the_number() -> None:
    assert json.loads(encode(ORIGIN))["state"]["seq"] == 2


def test_save_and_load(tmp_path: Path) -> None:
    store = Store(tmp_path / "deep/er")
    store.open()
    assert store.load() is None
    store.save(ORIGIN)
    assert store.load() == ORIGIN
    assert {path.name for path in store.folder.iterdir()} == {FILE_NAME, "agent.lock"}
    assert store.path.stat().st_mode & 0o077 == 0
    store.close()


def test_what_a_dead_agent_left_half_written_is_in_nobodys_way(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save(ORIGIN)
    store.path.with_suffix(".tmp").write_bytes(b"half")
    assert store.load() == ORIGIN
    store.save(ORIGIN)
    assert store.load() == ORIGIN


def test_one_agent_at_a_time(tmp_path: Path) -> None:
    first, second = Store(tmp_path), Store(tmp_path)
    first.open()
    with pytest.raises(RefusedError, match="another agent runs"):
        second.open()
    second.close()
    first.close()
    second.open()
    second.close()


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RackmeterError, match=r"cannot keep its state in .*file/state") as caught:
        Store(tmp_path / "file/state").open()
    assert caught.value.exit_code == 1


def test_a_state_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(UnreadableError):
        Store(tmp_path).load()


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system with no room left, where this process may mount one."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs needs root")
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_full_disk_keeps_the_last_state(full_disk: Path) -> None:
    store = Store(full_disk)
    store.save(ORIGIN)
    filler = full_disk / "filler"
    with pytest.raises(OSError, match="No space"):
        filler.write_bytes(bytes(100_000))
    with pytest.raises(OSError, match="No space"):
        store.save(counted(reading(3000, nic(1)), origin=ORIGIN))
    assert store.load() == ORIGIN
    filler.unlink()
    store.save(ORIGIN)
