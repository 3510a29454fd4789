"""What a topic must be set to, as sentences for an operator. Pure: a description in, advice out.

Advice with an exit code is about reports that would be lost, refused or dated wrongly; without one
it is a warning, about what happens when a disk or a broker dies.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from rackmeter.errors import ConfigError, DependencyError
from rackmeter.topics import Topic
from schemas.report import MESSAGE_BYTES_MAX

DAY_MS: Final = 86_400_000
RETENTION_MS_MIN: Final = 3 * DAY_MS
"""Workers that stop on a Friday evening are looked after on Monday."""
BATCH_OVERHEAD_BYTES: Final = 48_576
"""Headers and the batch's own: Kafka's default of 1 MiB leaves that much over a report of 1 MB."""
BATCH_BYTES_MAX: Final = 8 * 2**20
"""A batch is fetched whole, whatever was asked for."""
_KEPT_FOR_EVER: Final = -1


@dataclass(frozen=True, slots=True)
class Advice:
    text: str
    exit_code: int = 0


def about(topic: Topic) -> Iterator[Advice]:
    """For every topic."""
    if "compact" in topic.config.get("cleanup.policy", "delete"):
        yield Advice(
            "cleanup.policy is compact, which keeps only each key's newest message: set delete",
            ConfigError.exit_code,
        )
    if topic.replicas < 2:
        yield Advice("it has one replica: what lies on a disk that dies is lost; make it three")
    elif _number(topic, "min.insync.replicas", 1) < 2:
        yield Advice(
            "min.insync.replicas is 1: a message may be confirmed that one broker alone has; set 2"
        )
    if topic.config.get("unclean.leader.election.enable") == "true":
        yield Advice(
            "unclean.leader.election.enable is true: a broker that missed messages may take over"
        )


def about_reports(topic: Topic, partitions: int) -> Iterator[Advice]:
    """For the topic that feeds the ledger; ``partitions`` is the setting."""
    if topic.partitions != partitions:
        yield Advice(
            f"it has {topic.partitions} partitions and RACKMETER_PARTITIONS is {partitions}:"
            " a topic keeps its count; correct the setting",
            ConfigError.exit_code,
        )
    if topic.timestamp_type != "LogAppendTime":
        yield Advice(
            f"message.timestamp.type is {topic.timestamp_type}, so clocks of servers are believed:"
            " set LogAppendTime",
            ConfigError.exit_code,
        )
    yield from _about_retention(topic)
    yield from _about_size(topic)


def about_lag(part: int, behind_ms: int, retention_ms: int) -> Iterator[Advice]:
    """A partition that is metered up to ``behind_ms`` ago."""
    if retention_ms != _KEPT_FOR_EVER and behind_ms > retention_ms // 2:
        yield Advice(
            f"partition {part} is metered up to {_days(behind_ms)} ago and messages are kept"
            f" {_days(retention_ms)}: start workers before they are gone",
            DependencyError.exit_code,
        )


def retention_ms(topic: Topic) -> int:
    """How long messages are kept; −1 is for ever."""
    return _number(topic, "retention.ms", 7 * DAY_MS)


def summary(topic: Topic) -> str:
    kept = retention_ms(topic)
    how_long = "for ever" if kept == _KEPT_FOR_EVER else _days(kept)
    return f"{topic.partitions} partitions, replication {topic.replicas}, kept {how_long}"


def _about_retention(topic: Topic) -> Iterator[Advice]:
    kept = retention_ms(topic)
    if kept != _KEPT_FOR_EVER and kept < RETENTION_MS_MIN:
        yield Advice(
            f"retention.ms is {kept} ({_days(kept)}): workers that are away for longer lose"
            f" reports; set at least {RETENTION_MS_MIN}",
            ConfigError.exit_code,
        )
    size = _number(topic, "retention.bytes", _KEPT_FOR_EVER)
    if size != _KEPT_FOR_EVER:
        yield Advice(
            f"retention.bytes is {size}: what fills that sooner than expected is lost unmetered;"
            " set -1 and watch the disk"
        )


def _about_size(topic: Topic) -> Iterator[Advice]:
    size = _number(topic, "max.message.bytes", 2**20 + 12)
    least = MESSAGE_BYTES_MAX + BATCH_OVERHEAD_BYTES
    if size < least:
        yield Advice(
            f"max.message.bytes is {size}: large reports are refused; set at least {least}",
            ConfigError.exit_code,
        )
    if size > BATCH_BYTES_MAX:
        yield Advice(
            f"max.message.bytes is {size}: each worker must hold such a message whole;"
            f" reports need {least}"
        )


def _number(topic: Topic, name: str, default: int) -> int:
    return int(topic.config.get(name, default))


def _days(milliseconds: int) -> str:
    return f"{milliseconds / DAY_MS:.3g} days"
