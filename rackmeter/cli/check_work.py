"""What the doctor says of those who work: workers, rater, deliveries, servers' keys, backups."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from rackmeter.cli.finding import Finding
from rackmeter.cli.look import looked
from rackmeter.errors import DependencyError, RefusedError
from rackmeter.kafka import Cluster
from rackmeter.settings import Settings
from rackmeter.topics import Topic, describe_topics, log_ends, missing_topics
from schemas import metrics
from sinks.database import Connection
from sinks.health import (
    Claim,
    claims,
    keyless_servers,
    keys_that_end,
    overdue_deliveries,
    overdue_scopes,
)

LOOK_SECONDS: Final = 3.0
"""A worker takes a checkpoint each second."""
LATE: Final = timedelta(minutes=2)
"""Raters sweep every five seconds; two minutes are a restart with everything that goes wrong."""
BACKUP_AGE_MAX: Final = timedelta(hours=36)
"""Nightly, and one that took long."""
KEY_ENDS: Final = timedelta(hours=12)
SHOWN: Final = 5
Bounds = dict[int, int]


def work(settings: Settings, conn: Connection, where: Cluster) -> Iterator[Finding]:
    """On an autocommit connection to tables of this version, and a broker that answers."""
    now = datetime.now(UTC)
    yield from looked("workers", lambda: _workers(settings, conn, where))
    yield from looked("rater", lambda: [about_rater(overdue_scopes(conn, now, LATE, SHOWN + 1))])
    yield from looked(
        "deliveries", lambda: [about_deliveries(*overdue_deliveries(conn, now, LATE))]
    )
    yield from looked(
        "keys",
        lambda: about_keys(
            keyless_servers(conn, now, SHOWN + 1), keys_that_end(conn, now, KEY_ENDS)
        ),
    )
    yield about_egress(settings.allow_private_webhooks)
    if settings.database_url is not None:
        yield about_backup(last_backup(settings.metrics_dir), now)


def _workers(settings: Settings, conn: Connection, where: Cluster) -> Iterator[Finding]:
    if missing_topics(where, [settings.topic_reports]):
        return
    topic = describe_topics(where, [settings.topic_reports])[settings.topic_reports]
    if topic.topic_id is None:
        return
    before, ends = claims(conn, topic.topic_id), log_ends(where, topic)
    if any(ends.get(one.part, 0) > one.next_offset for one in before):
        time.sleep(LOOK_SECONDS)
    yield from about_workers(topic, before, claims(conn, topic.topic_id), ends)


def about_workers(
    topic: Topic, before: list[Claim], after: list[Claim], ends: Bounds
) -> Iterator[Finding]:
    """Two looks, ``LOOK_SECONDS`` apart where something was waiting at the first."""
    if not after:
        yield Finding(
            "workers", "none has run yet", warning=True,
            why="reports wait in the topic", todo="start `rackmeter run worker`",
        )  # fmt: skip
        return
    known = {one.part for one in after}
    unheld = [one.part for one in after if not one.held]
    unheld += [part for part in range(topic.partitions) if part not in known]
    if unheld:
        yield Finding(
            "workers", f"nobody meters partition {_some(sorted(unheld))} of {topic.name}",
            DependencyError.exit_code,
            why="reports wait in the topic until its retention removes them",
            todo="start `rackmeter run worker`, or look at its log",
        )  # fmt: skip
    was = {one.part: one.next_offset for one in before}
    still = [
        one.part
        for one in after
        if one.held and ends.get(one.part, 0) > one.next_offset == was.get(one.part)
    ]
    if still:
        yield Finding(
            "workers", f"partition {_some(still)} has reports that wait and no checkpoint came",
            DependencyError.exit_code,
            why="usage is not billable, and nobody is told of an overage",
            todo="look at the worker's log; the database may be slow or refuse it",
        )  # fmt: skip
    if not unheld and not still:
        behind = sum(max(0, ends.get(one.part, 0) - one.next_offset) for one in after)
        yield Finding("workers", f"all {topic.partitions} partitions are held, {behind} wait")


def about_rater(overdue: list[str]) -> Finding:
    if not overdue:
        return Finding("rater", "no scope is overdue")
    return Finding(
        "rater", f"scope {_some(overdue)} should have been rated {LATE.seconds} s ago",
        DependencyError.exit_code,
        why="hourly rent, caps and alerts come late",
        todo="start a worker: raters are in it; its log says `rating paused` where it fails",
    )  # fmt: skip


def about_deliveries(overdue: int, why: str | None) -> Finding:
    if not overdue:
        return Finding("deliveries", "no webhook is overdue")
    said = f", the last try of one: {why}" if why else ""
    return Finding(
        "deliveries", f"{overdue} webhooks wait for a try{said}", warning=True,
        why="customers hear of an overage late", todo="look for `delivery paused` in workers' logs",
    )  # fmt: skip


def about_keys(keyless: list[str], ending: list[str]) -> Iterator[Finding]:
    if keyless:
        yield Finding(
            "keys", f"server {_some(keyless)} is rented and has no key in force",
            RefusedError.exit_code,
            why="its reports are refused as unknown_key",
            todo="`rackmeter server enroll-token SERVER`, or `server rotate-key SERVER --again`",
        )  # fmt: skip
    if ending:
        yield Finding(
            "keys", f"the last key of {_some(ending)} ends within {KEY_ENDS.seconds // 3600} h",
            warning=True, why="its reports are refused from then on",
            todo="`rackmeter server enroll-token SERVER --renew`",
        )  # fmt: skip
    if not keyless and not ending:
        yield Finding("keys", "every rented server has one in force")


def about_egress(private: bool) -> Finding:
    if not private:
        return Finding("webhooks", "go to public addresses over https alone")
    return Finding(
        "webhooks", "may go to private addresses and over plain http", warning=True,
        why="a customer could make workers reach into your network",
        todo="unset RACKMETER_ALLOW_PRIVATE_WEBHOOKS",
    )  # fmt: skip


def last_backup(folder: Path | None) -> datetime | None:
    """As `db backup` left it for node_exporter; None where nobody says."""
    file = folder / "backup.prom" if folder is not None else None
    if file is None or not file.exists():
        return None
    for family in text_string_to_metric_families(file.read_text(encoding="utf-8")):
        if family.name == metrics.BACKUP_SUCCESS.name and family.samples:
            return datetime.fromtimestamp(family.samples[0].value, UTC)
    return None


def about_backup(last: datetime | None, now: datetime) -> Finding:
    todo = "`rackmeter db backup --to DIR` nightly, with RACKMETER_METRICS_DIR as here"
    if last is None:
        return Finding(
            "backup", "nobody says when the last one was taken", warning=True,
            why="what a lost database had beyond the log's retention is gone", todo=todo,
        )  # fmt: skip
    hours = (now - last).total_seconds() / 3600
    if now - last > BACKUP_AGE_MAX:
        return Finding(
            "backup", f"the last one is {hours:.0f} h old", DependencyError.exit_code,
            why="a restore goes on from there, if the topic still reaches back to it", todo=todo,
        )  # fmt: skip
    return Finding("backup", f"taken {hours:.0f} h ago")


def _some(names: list[str] | list[int]) -> str:
    """The first few, and that there are more."""
    shown = ", ".join(str(name) for name in names[:SHOWN])
    return f"{shown} and more" if len(names) > SHOWN else shown
