"""Captures on disk: NDJSON, plain or gzip, one message a line (schemas.capture has the form).

Read as a stream, whatever the size. What is wrong with a line ends in one sentence that names file
and line. A file is written beside its name and renamed when it is whole.
"""

import gzip
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from rackmeter.errors import ConfigError
from rackmeter.files import replacing
from schemas.capture import Captured, encode_line
from schemas.capture_read import CaptureError, decode_line

LINE_BYTES_MAX: Final = 64 * 2**20
"""The longest message a broker takes by default is 1 MB, and six times as long when every byte is
escaped. A compressed file cannot fill the memory: it is read line by line."""
_GZIP: Final = b"\x1f\x8b"


def read_capture(path: Path) -> Iterator[Captured]:
    """The messages of a file in order; blank lines are skipped. Raises ``ConfigError``."""
    for number, line in _lines(path):
        try:
            yield decode_line(line)
        except CaptureError as error:
            cut = "" if line.endswith(b"\n") else "; the file ends in the middle of this line"
            raise ConfigError(f"{path}, line {number}: {error}{cut}.") from None


def write_capture(path: Path, messages: Iterable[Captured]) -> int:
    """Write a file, compressed when its name ends in .gz; returns how many messages."""
    count = 0
    with replacing(path) as raw, _packed(path, raw) as file:
        for message in messages:
            file.write(encode_line(message).encode())
            count += 1
    return count


def _packed(path: Path, raw: BinaryIO) -> BinaryIO:
    """The same messages give the same bytes: no name and no time inside."""
    if path.suffix != ".gz":
        return raw
    return gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0)  # type: ignore[return-value]


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Every line that is not blank, with its number."""
    number = 0
    try:
        with path.open("rb") as raw:
            packed = raw.peek(2)[:2] == _GZIP
            file = gzip.GzipFile(fileobj=raw) if packed else raw
            while line := file.readline(LINE_BYTES_MAX):
                number += 1
                if len(line) == LINE_BYTES_MAX:
                    raise ConfigError(
                        f"{path}, line {number}: it is longer than {LINE_BYTES_MAX} bytes."
                    )
                if not line.isspace():
                    yield number, line
    except EOFError:
        raise ConfigError(f"{path} is cut off after line {number}: its gzip has no end.") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise ConfigError(f"{path} is damaged after line {number}: {error}.") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}.") from error
