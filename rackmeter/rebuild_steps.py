"""Snapshot, build, compare, swap: the steps of rebuilding a ledger, each for one command.

What a step leaves behind lies in the database, so the next one may come days later, from another
machine. Workers go on all the time; only a swap makes them wait, for as long as it writes.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from rackmeter.kafka import Cluster
from rackmeter.key_files import load_vault
from rackmeter.rebuild import Builder, Progress
from rackmeter.settings import Settings
from rackmeter.topics import Topic, describe_topics, log_starts
from schemas.errors import DependencyError, RefusedError
from sinks import rebuild, rebuild_compare, snapshots
from sinks.database import Connection, connect, require_schema
from sinks.positions import TopicIdentity, check_topic, positions
from sinks.rebuild import Build
from sinks.rebuild_compare import Quantity, Sum
from sinks.rebuild_sql import Source
from sinks.rebuild_swap import Swapped, swap
from sinks.snapshots import Snapshot

STATEMENT_MS: Final = 4 * 3_600_000
"""A comparison reads everything that was rebuilt."""
SWAP_TRIES: Final = 20
"""A worker commits once a second: catching up with it takes a try or two."""

_UNFINISHED: Final = "The rebuild is not at its goal: run `rackmeter ledger rebuild`."


@dataclass(frozen=True, slots=True)
class Comparison:
    """``rows``: how many were compared; ``changes``: kind → what is wrong with the live one."""

    build: Build
    rows: dict[str, int]
    changes: dict[str, dict[str, int]]
    sums: list[Sum]
    quantities: list[Quantity]
    damaged_sets: list[int]

    @property
    def equal(self) -> bool:
        return not self.changes and not self.damaged_sets


@dataclass(frozen=True)
class Place:
    """The ledger, and the topic that feeds it."""

    settings: Settings
    url: str
    kafka: Cluster
    conn: Connection

    @cached_property
    def topic(self) -> Topic:
        name = self.settings.topic_reports
        return describe_topics(self.kafka, [name])[name]

    @property
    def unchecked(self) -> TopicIdentity:
        """The topic as the broker describes it."""
        if self.topic.identity is None:
            raise DependencyError(f"The broker at {self.kafka.bootstrap} gives topics no id.")
        return self.topic.identity

    @cached_property
    def identity(self) -> TopicIdentity:
        """The topic, which is the one that the ledger was fed from."""
        found = self.unchecked
        check_topic(self.conn, found, accept_new=False)
        if not self.live():
            raise RefusedError(f"Nothing of topic {found.name} was metered yet: start a worker.")
        return found

    def live(self) -> dict[int, int]:
        """How far the live ledger is."""
        wanted = [self.topic.topic_id] if self.topic.topic_id else []
        return {each.part: each.next_offset for each in positions(self.conn, wanted)}

    def log_starts(self) -> dict[int, int]:
        return log_starts(self.kafka, self.topic)


@contextmanager
def place(settings: Settings, url: str, kafka: Cluster) -> Iterator[Place]:
    """A connection that commits each statement, to tables of this version."""
    with connect(
        url,
        autocommit=True,
        application_name="rackmeter rebuild",
        statement_timeout_ms=STATEMENT_MS,
    ) as conn:
        require_schema(conn)
        yield Place(settings, url, kafka, conn)


def take_snapshot(at: Place, keep: int) -> tuple[Snapshot, list[int]]:
    """A new snapshot, and the numbers of those that were deleted for it."""
    made = snapshots.take(at.conn, at.identity.topic_id)
    build = rebuild.current(at.conn)
    return made, snapshots.prune(at.conn, keep, build.snapshots if build else ())


def build(
    at: Place,
    *,
    start: int | None = None,
    anew: bool = False,
    progress: Progress = lambda _: None,
    failpoint: Callable[[str], None] = lambda _step: None,
) -> Build:
    """Build up to where the live ledger is now, or go on with a build that was interrupted.

    ``start``: the snapshot to begin with; 0: the beginning of the log; None: wherever the build
    that is there began, else the log.
    """
    rebuild.alone(at.conn)
    found = rebuild.current(at.conn)
    if found is not None and not anew and start not in (None, found.from_snapshot or 0):
        raise RefusedError(
            f"A build that began with {_beginning(found.from_snapshot)} is there already:"
            " add --anew to throw it away, or leave --from out to go on with it."
        )
    if found is None or anew:
        found = _begin(at, start)
    goal = _goal(at, found)
    _check_log(found.positions, at.log_starts())
    with _builder(at, failpoint) as builder:
        builder.advance(goal.positions, rebuild.stops(at.conn, found.topic_id), progress)
    return _current(at.conn)


def _begin(at: Place, start: int | None) -> Build:
    snapshot = None
    if start:
        known = {each.snapshot_id: each for each in snapshots.snapshots(at.conn)}
        if start not in known or known[start].topic_id != at.identity.topic_id:
            raise RefusedError(f"There is no snapshot {start}; see `rackmeter ledger status`.")
        snapshot = known[start]
    begin = snapshot.positions if snapshot else dict.fromkeys(range(at.identity.partitions), 0)
    _check_log(begin, at.log_starts())
    return rebuild.begin(at.conn, at.url, at.identity, snapshot)


def _goal(at: Place, found: Build) -> Snapshot:
    """That of an interrupted build, or a new one."""
    if found.goal_snapshot is not None:
        (goal,) = snapshots.snapshots(at.conn, found.goal_snapshot)
        if any(found.positions[part] < end for part, end in goal.positions.items()):
            return goal
    goal = snapshots.take(at.conn, found.topic_id)
    rebuild.set_goal(at.conn, goal)
    return goal


def compare(at: Place, limit: int | None = None) -> Comparison:
    """What differs at the position of the build's goal; ``limit`` sums at most are listed."""
    rebuild.alone(at.conn)
    found = _complete(at.conn)
    with at.conn.transaction():
        source = Source(found.goal_snapshot)
        rebuild_compare.clear(at.conn)
        rebuild_compare.find_rows(at.conn, found.topic_id, found.low, found.positions)
        rebuild_compare.find_heads(at.conn, found.topic_id, source)
        return Comparison(
            found,
            rebuild.sizes(at.conn),
            rebuild_compare.changes(at.conn),
            rebuild_compare.sums(at.conn, source, found.low, found.positions, limit),
            rebuild_compare.quantities(at.conn, source, found.low, found.positions, limit),
            rebuild_compare.damaged_sets(at.conn),
        )


def put_in_place(
    at: Place, who: str, why: str, *, dry_run: bool = False, progress: Progress = lambda _: None
) -> Swapped:
    """Compare once more, catch up with the live ledger, swap; the build is dropped afterwards."""
    rebuild.alone(at.conn)
    found = _current(at.conn)
    _check_log(found.positions, at.log_starts())
    compared = _goal_of(at.conn, found).positions
    stops = rebuild.stops(at.conn, found.topic_id)
    with _builder(at) as builder:
        builder.advance(compared, stops, progress)
        rebuild_compare.clear(at.conn)
        rebuild_compare.find_rows(at.conn, found.topic_id, found.low, compared)
        for _ in range(SWAP_TRIES):
            builder.advance(at.live(), rebuild.stops(at.conn, found.topic_id), progress)
            done = swap(at.conn, found, compared, who, why, dry_run=dry_run)
            if done is not None:
                break
        else:
            raise RefusedError(
                f"The workers were ahead {SWAP_TRIES} times: stop them for the time of the swap."
            )
    if not dry_run:
        rebuild.discard(at.conn)
    return done


def discard(at: Place) -> bool:
    """Throw the build away; whether there was one."""
    rebuild.alone(at.conn)
    found = rebuild.current(at.conn) is not None
    rebuild.discard(at.conn)
    return found


def _builder(at: Place, failpoint: Callable[[str], None] = lambda _step: None) -> Builder:
    vault = load_vault(at.settings)
    return Builder(at.settings, at.url, at.kafka, at.identity, vault, failpoint=failpoint)


def _current(conn: Connection) -> Build:
    found = rebuild.current(conn)
    if found is None:
        raise RefusedError("Nothing was rebuilt yet: run `rackmeter ledger rebuild`.")
    return found


def _complete(conn: Connection) -> Build:
    """A build that stands exactly at its goal."""
    found = _current(conn)
    if _goal_of(conn, found).positions != found.positions:
        raise RefusedError(_UNFINISHED)
    return found


def _goal_of(conn: Connection, found: Build) -> Snapshot:
    """Where the live ledger had a checkpoint as well."""
    goals = snapshots.snapshots(conn, found.goal_snapshot) if found.goal_snapshot else []
    if not goals:
        raise RefusedError(_UNFINISHED)
    return goals[0]


def _beginning(snapshot: int | None) -> str:
    return "the beginning of the log" if snapshot is None else f"snapshot {snapshot}"


def _check_log(begin: Mapping[int, int], starts: Mapping[int, int]) -> None:
    """The log still has everything from there on."""
    for part, at in sorted(begin.items()):
        if starts.get(part, 0) > at:
            raise RefusedError(
                f"Partition {part} would be read from offset {at} and its log begins at"
                f" {starts[part]}: retention removed what was before. Begin with a snapshot that"
                " `rackmeter ledger status` calls usable (--from N --anew)."
            )
