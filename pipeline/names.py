"""What hardly changes from one report to the next, known by its bytes: stems and names. Pure.

For one thread. Bounded by the bytes it is known by; only an admitted report may enter, so that no
forger can push the servers out.
"""

import zlib
from dataclasses import dataclass
from typing import Generic, TypeVar

from pipeline.records import Names

NAMES_BYTES_MAX = 128 * 2**20
"""Texts kept, in bytes as sent. The half that is sure to stay is 100,000 servers of 24 series in
600 bytes, no two alike; as Python objects they take about five times as much."""
VALUE_KEY = b',"value":['
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Text:
    """The bytes of a body from ``"meter"`` to the first counter, and what they mean."""

    sent: bytes
    names: Names
    crc: int
    """CRC-32 of the names as ``schemas.report.names_json`` writes them."""
    commas: bytes
    """Those between as many counters as there are names."""

    @classmethod
    def of(cls, names_json: bytes, names: Names) -> "Text":
        return cls(names_json + VALUE_KEY, names, zlib.crc32(names_json), b"," * (len(names) - 1))


@dataclass(slots=True)
class Stem:
    """The bytes of a body up to ``"since_ms"``: a server's origin, and where it belongs."""

    server: str
    origin: str
    since_ms: int
    key: bytes
    """The message key it must have."""
    part: int
    """The partition it must be in."""
    identity: bytes
    """``schemas.report.report_id`` without the sequence number."""
    text: Text | None = None
    """The latest report's."""


class Generations(Generic[T]):
    """A bounded mapping from bytes. What is used moves to the young half; when that is full, the
    old one goes: whoever keeps reporting is kept, however many others come and go.
    """

    __slots__ = ("_half", "_old", "_young", "_young_bytes")

    def __init__(self, bytes_max: int = NAMES_BYTES_MAX) -> None:
        self._half = bytes_max // 2
        self._young: dict[bytes, T] = {}
        self._old: dict[bytes, T] = {}
        self._young_bytes = 0

    def get(self, key: bytes) -> T | None:
        found = self._young.get(key)
        if found is None and (found := self._old.get(key)) is not None:
            self.keep(key, found)
        return found

    def keep(self, key: bytes, value: T) -> T:
        """The object to use for ``key`` from now on: the one already known, else ``value``."""
        known = self._young.get(key)
        if known is not None:
            return known
        if self._young_bytes + len(key) > self._half:
            self._old, self._young, self._young_bytes = self._young, {}, 0
        known = self._old.get(key, value)
        self._young[key] = known
        self._young_bytes += len(key)
        return known


class NamesCache:
    """Stems and texts of one topic with a fixed number of partitions."""

    __slots__ = ("stems", "texts")

    def __init__(self, bytes_max: int = NAMES_BYTES_MAX) -> None:
        self.stems: Generations[Stem] = Generations(bytes_max)
        self.texts: Generations[Text] = Generations(bytes_max)
