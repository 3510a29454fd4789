"""Topics against the embedded broker: made once, described, never silently different."""

import pytest
from confluent_kafka.admin import AdminClient

from rackmeter.errors import ConfigError, DependencyError
from rackmeter.topics import answers, check_broker, create_topics, describe_topics


def test_topics_are_made_once(bootstrap: str, topic_prefix: str) -> None:
    wanted = {topic_prefix + "a": 4, topic_prefix + "b": 1}
    first = create_topics(bootstrap, wanted)
    assert {name: topic.partitions for name, topic in first.items()} == wanted
    assert create_topics(bootstrap, wanted) == first
    assert describe_topics(bootstrap, list(wanted)) == first


def test_what_the_embedded_broker_answers(bootstrap: str, topic_prefix: str) -> None:
    """A topic made again is another topic: that is how a lost cluster is noticed."""
    name = topic_prefix + "again"
    before = create_topics(bootstrap, {name: 1})[name]
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for deleted in admin.delete_topics([name]).values():
        deleted.result()
    after = create_topics(bootstrap, {name: 1})[name]
    assert before.topic_id is not None
    assert after.topic_id not in (None, before.topic_id)
    assert after.cluster_id == before.cluster_id
    assert after.timestamp_type == "LogAppendTime"


def test_another_partition_count_is_refused(bootstrap: str, topic_prefix: str) -> None:
    create_topics(bootstrap, {topic_prefix + "a": 4})
    with pytest.raises(ConfigError, match="has 4 partitions and 8 are set"):
        create_topics(bootstrap, {topic_prefix + "a": 8})


def test_a_missing_topic_is_one_sentence(bootstrap: str, topic_prefix: str) -> None:
    with pytest.raises(DependencyError, match="refused or did not answer: Unknown topic"):
        describe_topics(bootstrap, [topic_prefix + "none"])


def test_a_missing_broker_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rackmeter.topics.ANSWER_SECONDS", 0.5)
    assert not answers("127.0.0.1:1", seconds=0.2)
    sentence = r"Kafka at 127\.0\.0\.1:1 does not answer: start it, or correct"
    with pytest.raises(DependencyError, match=sentence):
        check_broker("127.0.0.1:1")
    with pytest.raises(DependencyError, match=sentence):
        create_topics("127.0.0.1:1", {"a": 1})
