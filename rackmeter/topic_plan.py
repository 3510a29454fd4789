"""The topics of an installation as they should be made, and where existing ones differ. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from rackmeter.settings import Settings
from rackmeter.topic_rules import BATCH_OVERHEAD_BYTES, DAY_MS
from rackmeter.topics import TOPIC_CONFIG, Topic
from schemas.report import MESSAGE_BYTES_MAX

REPLICAS_MAX: Final = 3
"""Where the cluster has so many brokers; more buys nothing (Kafka's own advice)."""
HINTS_KEPT_MS: Final = DAY_MS
"""A hint that is a day old says nothing: rating sweeps what time alone changes."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A topic to make."""

    name: str
    partitions: int
    replicas: int
    config: Mapping[str, str]


def plan(settings: Settings, brokers: int, retention_ms: int, replicas: int | None) -> list[Wanted]:
    """The three topics; without ``replicas``, as many as there are brokers, three at most."""
    count = replicas or min(REPLICAS_MAX, brokers)
    common = {
        **TOPIC_CONFIG,
        "cleanup.policy": "delete",
        # Batches stay as agents packed them: repacking costs the broker and can refuse.
        "compression.type": "producer",
        "max.message.bytes": str(MESSAGE_BYTES_MAX + BATCH_OVERHEAD_BYTES),
        # Two of three: one broker may be away, and what was confirmed survives another.
        "min.insync.replicas": "2" if count >= REPLICAS_MAX else "1",
        "retention.bytes": "-1",
        "unclean.leader.election.enable": "false",
    }
    kept = {
        settings.topic_reports: retention_ms,
        settings.topic_changed: HINTS_KEPT_MS,
        settings.topic_dead: retention_ms,
    }
    return [
        Wanted(name, settings.partitions, count, {**common, "retention.ms": str(kept_ms)})
        for name, kept_ms in kept.items()
    ]


def differences(wanted: Wanted, found: Topic) -> Iterator[str]:
    """What an existing topic is set to, where that is not what would be made."""
    for name in ("partitions", "replicas"):
        is_, should = getattr(found, name), getattr(wanted, name)
        if is_ != should:
            yield f"{name} {is_}, not {should}"
    for name, value in wanted.config.items():
        if name in found.config and found.config[name] != value:
            yield f"{name} {found.config[name]}, not {value}"
