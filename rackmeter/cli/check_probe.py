"""What the doctor says after reports of its own went all the way."""

from collections.abc import Iterator, Mapping

from rackmeter.cli.finding import Finding
from rackmeter.errors import DependencyError
from rackmeter.kafka import Cluster
from rackmeter.key_files import load_vault
from rackmeter.probe import probe
from rackmeter.settings import Settings
from rackmeter.topics import describe_topics
from sinks.database import Connection


def probed(
    settings: Settings, conn: Connection, where: Cluster, seconds: float
) -> Iterator[Finding]:
    """One finding: how long it took, or where nothing came back."""
    topic = describe_topics(where, [settings.topic_reports])[settings.topic_reports]
    vault = load_vault(settings)
    yield about_probe(probe(settings, conn, vault, where, topic, seconds), seconds)


def about_probe(taken: Mapping[int, float | None], seconds: float) -> Finding:
    """``taken``: partition → seconds, None where nothing came in time."""
    lost = [str(part) for part, one in taken.items() if one is None]
    if lost:
        return Finding(
            "probe", f"nothing came back from partition {', '.join(lost)} within {seconds:g} s",
            DependencyError.exit_code,
            why="what servers report there is not metered, or comes late",
            todo="`rackmeter dlq list` shows whether it was refused; else look at workers' logs",
        )  # fmt: skip
    longest = max((one for one in taken.values() if one is not None), default=0.0)
    return Finding(
        "probe", f"{len(taken)} partitions, from the producer to the ledger in {longest:.2f} s"
    )
