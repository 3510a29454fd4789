"""Fixtures: Apache Kafka beside the embedded broker, and both of them as one parameter.

``kafka`` starts on first use, once for each test process, and skips where Java or Maven is missing.
A test that takes ``broker`` runs on both; what the embedded one cannot do asks for ``kafka``.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.kafka.server import MISSING, Kafka, installed, run_kafka


@dataclass(frozen=True)
class Broker:
    """A broker that answers without TLS; ``name`` is ``embedded`` or ``kafka``."""

    name: str
    bootstrap: str

    @property
    def embedded(self) -> bool:
        return self.name == "embedded"


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """One node, ready."""
    if not installed():
        pytest.skip(MISSING)
    with run_kafka(tmp_path_factory.mktemp("kafka")) as running:
        yield running


@pytest.fixture(scope="session", params=["embedded", "kafka"])
def broker(request: pytest.FixtureRequest) -> Broker:
    """Each of the two."""
    if request.param == "embedded":
        return Broker("embedded", request.getfixturevalue("bootstrap"))
    running: Kafka = request.getfixturevalue("kafka")
    return Broker("kafka", running.bootstrap)
