"""Topics of a Kafka-compatible cluster: made once, looked at, never silently different.

What the embedded broker answers (Tansu 0.6.0, measured): a cluster id, the one it was started
with; a random topic id, another one after a topic is deleted and made again; it accepts and shows
message.timestamp.type=LogAppendTime, yet its records keep the producer's time as CreateTime. So a
topic's setting promises nothing: read the timestamp type of each record. It cannot add partitions.
"""

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from uuid import UUID

from confluent_kafka import KafkaError, KafkaException, TopicCollection, Uuid
from confluent_kafka.admin import AdminClient, ConfigEntry, ConfigResource, NewTopic

from rackmeter.errors import ConfigError, DependencyError

ANSWER_SECONDS = 10.0
# The broker's own time at append, not the producer's: what readings are dated by.
TOPIC_CONFIG: Mapping[str, str] = {"message.timestamp.type": "LogAppendTime"}


@dataclass(frozen=True)
class Topic:
    """A topic as the cluster describes it; topic_id is None where the broker gives none."""

    name: str
    partitions: int
    topic_id: UUID | None
    cluster_id: str
    timestamp_type: str


def create_topics(
    bootstrap: str, partitions: Mapping[str, int], config: Mapping[str, str] | None = None
) -> dict[str, Topic]:
    """Make the topics that do not exist; refuse one whose partition count differs."""
    admin = _admin(bootstrap)
    wanted = {**TOPIC_CONFIG, **(config or {})}
    new = [NewTopic(name, count, config=wanted) for name, count in partitions.items()]
    try:
        for future in admin.create_topics(new, request_timeout=ANSWER_SECONDS).values():
            _finish(future)
        found = describe_topics(bootstrap, list(partitions))
    except KafkaException as error:
        raise _failed(bootstrap, error) from error
    for name, count in partitions.items():
        if found[name].partitions != count:
            raise ConfigError(
                f"Topic {name} has {found[name].partitions} partitions and {count} are set: "
                "a topic keeps its count; set RACKMETER_PARTITIONS to it, or name a new topic."
            )
    return found


def describe_topics(bootstrap: str, names: list[str]) -> dict[str, Topic]:
    """Describe existing topics; one that is missing is a DependencyError."""
    admin = _admin(bootstrap)
    try:
        cluster_id = admin.describe_cluster(request_timeout=ANSWER_SECONDS).result().cluster_id
        resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
        types = {
            resource.name: _timestamp_type(future.result())
            for resource, future in admin.describe_configs(resources).items()
        }
        described = admin.describe_topics(TopicCollection(names), request_timeout=ANSWER_SECONDS)
        found = {name: future.result() for name, future in described.items()}
    except KafkaException as error:
        raise _failed(bootstrap, error) from error
    return {
        name: Topic(name, len(one.partitions), _uuid(one.topic_id), cluster_id, types[name])
        for name, one in found.items()
    }


def check_broker(bootstrap: str) -> None:
    """One sentence when no broker answers."""
    if not answers(bootstrap, seconds=ANSWER_SECONDS):
        raise DependencyError(
            f"No Kafka broker answers at {bootstrap}: "
            "start it, or correct RACKMETER_KAFKA_BOOTSTRAP."
        )


def answers(bootstrap: str, *, seconds: float) -> bool:
    """Whether a broker answers a metadata request in that time."""
    try:
        return bool(_admin(bootstrap).list_topics(timeout=seconds).brokers)
    except KafkaException:
        return False


def _admin(bootstrap: str) -> AdminClient:
    # Refused connections are reported by the caller in one sentence, not by librdkafka on stderr.
    return AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})


def _finish(made: Future[None]) -> None:
    try:
        made.result()
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise


def _timestamp_type(config: Mapping[str, ConfigEntry]) -> str:
    entry = config.get("message.timestamp.type")
    return str(entry.value) if entry is not None else "CreateTime"  # Kafka's default


def _uuid(topic_id: Uuid | None) -> UUID | None:
    """The broker's two signed halves as a UUID; all zero means it gave none."""
    if topic_id is None:
        return None
    # Both methods are missing in the stub.
    high = topic_id.get_most_significant_bits()  # type: ignore[attr-defined]
    low = topic_id.get_least_significant_bits()  # type: ignore[attr-defined]
    number = (high % 2**64) << 64 | (low % 2**64)
    return UUID(int=number) if number else None


def _failed(bootstrap: str, error: KafkaException) -> DependencyError:
    reason = error.args[0].str().removeprefix("Broker: ")
    return DependencyError(f"Kafka at {bootstrap} refused or did not answer: {reason}.")
