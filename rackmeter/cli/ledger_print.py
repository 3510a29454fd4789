"""How snapshots, builds and differences of a ledger are shown: tables, and documents for --json."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rackmeter.cli.output import table

if TYPE_CHECKING:
    from rackmeter.rebuild_steps import Comparison
    from sinks.rebuild import Build
    from sinks.rebuild_compare import Quantity, Sum
    from sinks.snapshots import Snapshot


def beginning(build: "Build") -> str:
    return f"snapshot {build.from_snapshot}" if build.from_snapshot else "the log's beginning"


def usable(gone: dict[int, int]) -> str:
    if not gone:
        return "yes"
    return f"no: {sum(gone.values()):,} offsets behind it are gone"


def difference(found: "Comparison") -> str:
    if found.damaged_sets:
        ids = ", ".join(map(str, found.damaged_sets[:10]))
        return f"Series sets {ids} do not hold the names that their digests say."
    count = sum(sum(each.values()) for each in found.changes.values())
    return (
        f"{count:,} rows of the ledger are not what the log says; see what `rackmeter ledger swap"
        " --dry-run` would do."
    )


def print_changes(changes: dict[str, dict[str, int]]) -> None:
    if changes:
        table(
            ("rows", "missing", "extra", "changed"),
            [
                (kind, *(what.get(name, 0) for name in ("missing", "extra", "changed")))
                for kind, what in changes.items()
            ],
        )


def print_sums(found: "Sequence[Sum]") -> None:
    """By server and series."""
    if found:
        table(
            ("server", "meter", "resource", "windows", "ledger", "log", "difference"),
            [
                (s.server, s.meter, s.resource, s.windows, s.live, s.rebuilt, s.rebuilt - s.live)
                for s in found
            ],
        )


def print_quantities(found: "Sequence[Quantity]") -> None:
    if found:
        table(
            ("server", "window (UTC)", "meter", "resource", "ledger", "log", "difference", ""),
            [
                (
                    q.server, f"{q.window:%Y-%m-%d %H:%M}", q.meter, q.resource, q.live, q.rebuilt,
                    q.rebuilt - q.live, "sealed" if q.sealed else "",
                )
                for q in found
            ],
        )  # fmt: skip


def shown_snapshot(one: "Snapshot") -> dict[str, Any]:
    return {
        "snapshot": one.snapshot_id,
        "taken_at": one.taken_at,
        "servers": one.servers,
        "positions": one.positions,
    }


def shown_build(build: "Build") -> dict[str, Any]:
    return {
        "from_snapshot": build.from_snapshot,
        "goal_snapshot": build.goal_snapshot,
        "began_at": build.began_at,
        "from": build.low,
        "to": build.positions,
    }


def shown_comparison(found: "Comparison") -> dict[str, Any]:
    return {
        **shown_build(found.build),
        "compared": found.rows,
        "rows": found.changes,
        "sums": found.sums,
        "quantities": found.quantities,
        "damaged_series_sets": found.damaged_sets,
        "equal": found.equal,
    }
