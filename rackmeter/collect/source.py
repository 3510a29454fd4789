"""What every source of a collector gives: samples of servers, at the moment they were read."""

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from agents.clock import Now
from agents.sample import Sample


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at one source: samples by reported server, and what there is to say."""

    now: Now
    samples: Mapping[str, tuple[Sample, ...]] = field(default_factory=dict)
    said: str = ""
    """A sentence where something could not be read, empty where all was."""


class Source(Protocol):
    """``look`` never raises for what the other end does; it says so."""

    @property
    def name(self) -> str: ...

    @property
    def meters(self) -> frozenset[str]: ...

    @property
    def servers(self) -> frozenset[str]: ...

    def look(self) -> Awaitable[Seen]: ...
