"""Why the broker takes nothing, from all that the client tells: the most telling reason since the
last try. Looks at a broker's certificate, once, when that is what is not believed.
"""

from collections.abc import Mapping

from agents import refusals
from agents.client import KafkaError


class Heard:
    def __init__(self, topic: str, kafka: Mapping[str, str | int | float | bool]) -> None:
        self._topic = topic
        self._kafka = kafka
        self._distrust: str | None = None
        """What is wrong with the certificate, once looked at."""
        self.rank = -1
        self.why = ""

    def hear(self, error: KafkaError) -> None:
        if (rank := refusals.rank(error)) < self.rank:
            return
        self.rank, self.why = rank, refusals.sentence(error, self._topic, self._kafka)
        if refusals.untrusted(error.str()):
            self.why = self._distrusted() or self.why

    def forget(self) -> None:
        self.rank, self.why = -1, ""

    def _distrusted(self) -> str:
        """Asked once: it blocks for a moment."""
        if self._distrust is None:
            from agents import certificate  # noqa: PLC0415 - only where there is a fault

            self._distrust = certificate.fault(self._kafka)
        return self._distrust
