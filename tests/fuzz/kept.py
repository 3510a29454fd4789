"""The kept inputs, one a line in a form that people and diffs can read."""

from collections.abc import Iterable
from pathlib import Path

_FOLDER = Path(__file__).parent / "corpus"


def path(target: str) -> Path:
    """The smallest inputs that together reach all that was ever reached; made anew at will."""
    return _FOLDER / f"{target}.txt"


def finds(target: str) -> Path:
    """Inputs that once broke a law; never removed."""
    return _FOLDER / f"{target}-finds.txt"


def read(file: Path) -> list[bytes]:
    lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
    return [line.decode("unicode_escape").encode("latin-1") for line in lines]


def write(file: Path, inputs: Iterable[bytes]) -> None:
    """Sorted, so that one input more is one line more."""
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"".join(sorted(map(line, set(inputs)))))


def line(data: bytes) -> bytes:
    return data.decode("latin-1").encode("unicode_escape") + b"\n"
