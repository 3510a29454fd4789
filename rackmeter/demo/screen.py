"""Progress on stderr: one live line a stage in a terminal, otherwise plain lines and no colour."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

PLAIN_SECONDS: Final = 5.0
"""How often a long stage says in plain text how far it is."""


class Stage(Protocol):
    """One stage while it runs."""

    def progress(self, done: int, total: int) -> None:
        """So much of the whole is done."""

    def note(self, text: str) -> None:
        """What the stage has found; shown when it is done."""


class Screen(Protocol):
    """Where stages are shown, and how long each took."""

    seconds: dict[str, float]

    def stage(self, name: str, title: str) -> AbstractContextManager[Stage]:
        """A stage as a `with` block."""


def screen() -> Screen:
    """Rich where a person watches, plain where not."""
    if sys.stderr.isatty() and "NO_COLOR" not in os.environ:
        return Rich()
    return Plain()


class Plain:
    """One line when a stage begins to matter, one when it is done."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, title: str) -> Iterator[Stage]:
        """A stage as a `with` block."""
        began = time.monotonic()
        running = PlainStage(title)
        yield running
        self.seconds[name] = round(time.monotonic() - began, 2)
        _say(f"{title}: {running.found or 'done'} ({self.seconds[name]:.1f} s)")


class PlainStage:
    """Says now and then how far it is."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.found = ""
        self._said = time.monotonic()

    def progress(self, done: int, total: int) -> None:
        """So much of the whole is done."""
        if time.monotonic() - self._said >= PLAIN_SECONDS and total:
            self._said = time.monotonic()
            _say(f"{self.title}: {done:,} of {total:,}")

    def note(self, text: str) -> None:
        """What the stage has found."""
        self.found = text


class Rich:
    """A spinner, a bar and a check mark for each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._console = Console(stderr=True, highlight=False)

    @contextmanager
    def stage(self, name: str, title: str) -> Iterator[Stage]:
        """A stage as a `with` block."""
        began = time.monotonic()
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self._console, transient=True) as bars:
            running = RichStage(bars, bars.add_task(title, total=None, rate=""))
            yield running
        self.seconds[name] = round(time.monotonic() - began, 2)
        told = f"  [dim]{running.found}[/dim]" if running.found else ""
        self._console.print(
            f"[green]✓[/green] {title}{told}  [dim]{self.seconds[name]:.1f} s[/dim]"
        )


class RichStage:
    """Moves the bar."""

    def __init__(self, bars: Progress, task: TaskID) -> None:
        self.found = ""
        self._bars, self._task = bars, task
        self._began = time.monotonic()

    def progress(self, done: int, total: int) -> None:
        """So much of the whole is done."""
        rate = done / max(time.monotonic() - self._began, 0.001)
        told = f"{done:,} / {total:,}  {rate:,.0f}/s" if total > 1000 else f"{done} / {total}"
        self._bars.update(self._task, completed=done, total=total, rate=told)

    def note(self, text: str) -> None:
        """What the stage has found."""
        self.found = text


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
