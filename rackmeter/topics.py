"""Topics of a Kafka-compatible cluster: made once, looked at, never silently different.

What the embedded broker answers (Tansu 0.6.0, measured): a cluster id, the one it was started
with; a random topic id, another one after a topic is deleted and made again; it accepts and shows
message.timestamp.type=LogAppendTime, yet its records keep the producer's time as CreateTime. So a
topic's setting promises nothing: read the timestamp type of each record. It cannot add partitions.
"""

import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from uuid import UUID

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
    Uuid,
)
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from rackmeter.errors import ConfigError, DependencyError, RackmeterError
from rackmeter.kafka import Admin, Cluster
from sinks.positions import TopicIdentity

ANSWER_SECONDS = 10.0
LEARN_SECONDS = 0.1
BROKERS_DEFAULT = -1
"""Replicas as the cluster sets them for new topics."""
# The broker's own time at append, not the producer's: what readings are dated by.
TOPIC_CONFIG: Mapping[str, str] = {"message.timestamp.type": "LogAppendTime"}

Where = str | Cluster
"""An address alone is a plain connection."""


@dataclass(frozen=True)
class Topic:
    """A topic as the cluster describes it; topic_id is None where the broker gives none."""

    name: str
    partitions: int
    topic_id: UUID | None
    cluster_id: str
    config: Mapping[str, str] = field(hash=False)
    replicas: int
    """Of the partition that has the fewest."""

    @property
    def timestamp_type(self) -> str:
        return self.config.get("message.timestamp.type", "CreateTime")  # Kafka's default

    @property
    def identity(self) -> TopicIdentity | None:
        """The topic as a ledger knows it; None where it has no id."""
        if self.topic_id is None:
            return None
        return TopicIdentity(
            self.topic_id, self.cluster_id, self.name, self.partitions, self.timestamp_type
        )


def create_topics(
    where: Where,
    partitions: Mapping[str, int],
    config: Mapping[str, str] | None = None,
    *,
    replicas: int = BROKERS_DEFAULT,
) -> dict[str, Topic]:
    """Make the topics that do not exist; refuse one whose partition count differs."""
    admin = _reached(where)
    wanted = {**TOPIC_CONFIG, **(config or {})}
    new = [NewTopic(name, count, replicas, config=wanted) for name, count in partitions.items()]
    try:
        for future in admin.client.create_topics(new, request_timeout=ANSWER_SECONDS).values():
            _finish(future)
    except KafkaException as error:
        raise _failed(where, error) from error
    found = _described_soon(where, admin, list(partitions))
    for name, count in partitions.items():
        if found[name].partitions != count:
            raise ConfigError(
                f"Topic {name} has {found[name].partitions} partitions and {count} are set: "
                "a topic keeps its count; set RACKMETER_PARTITIONS to it, or name a new topic."
            )
    return found


def describe_topics(where: Where, names: list[str]) -> dict[str, Topic]:
    """Describe existing topics; one that is missing is a DependencyError."""
    return _described(where, _reached(where), names)


def missing_topics(where: Where, names: list[str]) -> list[str]:
    """Which of these the cluster does not have."""
    there = _reached(where).client.list_topics(timeout=ANSWER_SECONDS).topics
    return [name for name in names if name not in there]


def allow_writing(where: Where, name: str, principal: str) -> None:
    """This principal may write to the topic, and look at it; nothing is taken from anybody."""
    admin = _reached(where)
    allowed = (AclOperation.WRITE, AclOperation.DESCRIBE)
    rules = [
        AclBinding(
            ResourceType.TOPIC, name, ResourcePatternType.LITERAL, principal, "*", operation,
            AclPermissionType.ALLOW,
        )
        for operation in allowed
    ]  # fmt: skip
    try:
        for made in admin.client.create_acls(rules).values():
            made.result()
    except KafkaException as error:
        if error.args[0].code() == KafkaError.SECURITY_DISABLED:
            raise ConfigError(
                f"Kafka at {_cluster(where).bootstrap} has no authorizer: everybody may write"
                " already; set authorizer.class.name, or leave --agents out."
            ) from None
        raise _failed(where, error) from error


def brokers(where: Where) -> int:
    """How many brokers the cluster has."""
    return len(_reached(where).client.list_topics(timeout=ANSWER_SECONDS).brokers)


def log_starts(where: Where, topic: Topic) -> dict[int, int]:
    """The first offset that each partition still has."""
    return {part: low for part, (low, _) in _bounds(where, topic).items()}


def log_ends(where: Where, topic: Topic) -> dict[int, int]:
    """The offset that each partition's next message gets."""
    return {part: high for part, (_, high) in _bounds(where, topic).items()}


def _bounds(where: Where, topic: Topic) -> dict[int, tuple[int, int]]:
    reader = Consumer({**_cluster(where).client(), "group.id": "rackmeter-doctor", "log_level": 0})
    try:
        parts = [TopicPartition(topic.name, part) for part in range(topic.partitions)]
        found = [reader.get_watermark_offsets(tp, timeout=ANSWER_SECONDS) for tp in parts]
        return dict(enumerate(found))
    except KafkaException as error:
        raise _failed(where, error) from error
    finally:
        reader.close()


def check_broker(where: Where) -> None:
    """One sentence when no broker answers, or none lets us in."""
    _reached(where)


def answers(where: Where, *, seconds: float) -> bool:
    """Whether a broker answers a metadata request in that time."""
    try:
        Admin(_cluster(where)).reach(seconds)
    except RackmeterError:
        return False
    return True


def _cluster(where: Where) -> Cluster:
    return Cluster(where) if isinstance(where, str) else where


def _reached(where: Where) -> Admin:
    admin = Admin(_cluster(where))
    admin.reach(ANSWER_SECONDS)
    return admin


def _described_soon(where: Where, admin: Admin, names: list[str]) -> dict[str, Topic]:
    """A controller says that a topic is made before its brokers have learnt of it (KIP-4)."""
    until = time.monotonic() + ANSWER_SECONDS
    while True:
        try:
            return _described(where, admin, names)
        except DependencyError as error:
            if not _is_unknown_topic(error.__cause__) or time.monotonic() > until:
                raise
        time.sleep(LEARN_SECONDS)


def _is_unknown_topic(error: BaseException | None) -> bool:
    if not isinstance(error, KafkaException):
        return False
    return bool(error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART)


def _described(where: Where, admin: Admin, names: list[str]) -> dict[str, Topic]:
    client = admin.client
    try:
        cluster_id = client.describe_cluster(request_timeout=ANSWER_SECONDS).result().cluster_id
        resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
        configs = {
            resource.name: _values(future.result())
            for resource, future in client.describe_configs(resources).items()
        }
        described = client.describe_topics(TopicCollection(names), request_timeout=ANSWER_SECONDS)
        found = {name: future.result() for name, future in described.items()}
    except KafkaException as error:
        raise _failed(where, error) from error
    return {
        name: Topic(
            name, len(one.partitions), _uuid(one.topic_id), cluster_id, configs[name],
            min((len(part.replicas) for part in one.partitions), default=0),
        )
        for name, one in found.items()
    }  # fmt: skip


def _finish(made: Future[None]) -> None:
    try:
        made.result()
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise


def _values(config: Mapping[str, ConfigEntry]) -> dict[str, str]:
    return {name: str(entry.value) for name, entry in config.items() if entry.value is not None}


def _uuid(topic_id: Uuid | None) -> UUID | None:
    """The broker's two signed halves as a UUID; all zero means it gave none."""
    if topic_id is None:
        return None
    # Both methods are missing in the stub.
    high = topic_id.get_most_significant_bits()  # type: ignore[attr-defined]
    low = topic_id.get_least_significant_bits()  # type: ignore[attr-defined]
    number = (high % 2**64) << 64 | (low % 2**64)
    return UUID(int=number) if number else None


def _failed(where: Where, error: KafkaException) -> DependencyError:
    reason = error.args[0].str().removeprefix("Broker: ")
    return DependencyError(
        f"Kafka at {_cluster(where).bootstrap} refused or did not answer: {reason}."
    )
