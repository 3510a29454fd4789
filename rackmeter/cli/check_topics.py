"""What the doctor says of topics: how they are set, and whether the ledger can go on in them."""

import time
from collections.abc import Iterator

from rackmeter.cli.checks import cluster_in_force, database_in_force
from rackmeter.cli.finding import Finding
from rackmeter.errors import RackmeterError
from rackmeter.kafka import Cluster
from rackmeter.settings import Settings
from rackmeter.topic_rules import Advice, about, about_lag, about_reports, retention_ms, summary
from rackmeter.topics import Topic, describe_topics, log_starts, missing_topics
from sinks.database import connect, require_schema
from sinks.positions import check_log_start, check_topic, positions


def topics(settings: Settings) -> Iterator[Finding]:
    """One line for each topic, and one for each thing to mend. The embedded broker is for trying:
    nothing is asked of its topics."""
    where = cluster_in_force(settings)
    if where is None:
        return
    names = [settings.topic_reports, settings.topic_changed, settings.topic_dead]
    missing = missing_topics(where, names)
    for name in missing:
        yield Finding(f"topic {name}", "is not there yet: the worker makes it", warning=True)
    there = [name for name in names if name not in missing]
    found = describe_topics(where, there) if there else {}
    for name, topic in found.items():
        yield Finding(f"topic {name}", summary(topic))
        if settings.kafka_bootstrap is None:
            continue
        for advice in _advice(settings, where, topic):
            warning = advice.exit_code == 0
            yield Finding(f"topic {name}", advice.text, advice.exit_code, warning=warning)


def _advice(settings: Settings, where: Cluster, topic: Topic) -> Iterator[Advice]:
    yield from about(topic)
    if topic.name == settings.topic_reports:
        yield from about_reports(topic, settings.partitions)
        try:
            yield from _fed(settings, where, topic)
        except RackmeterError as error:
            yield Advice(str(error), error.exit_code)


def _fed(settings: Settings, where: Cluster, topic: Topic) -> Iterator[Advice]:
    """The ledger was fed from this topic, and can go on where it ended."""
    url = database_in_force(settings)
    identity = topic.identity
    if url is None or identity is None:
        return
    with connect(url) as conn:
        require_schema(conn)
        check_topic(conn, identity, accept_new=settings.accept_new_topic)
        found = positions(conn, [identity.topic_id])
    starts = log_starts(where, topic) if found else {}
    now_ms = time.time_ns() // 1_000_000
    for position in found:
        check_log_start(position.part, position.next_offset, starts[position.part])
        if position.append_ms:
            yield from about_lag(position.part, now_ms - position.append_ms, retention_ms(topic))
