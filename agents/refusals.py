"""Why the broker takes no reports, in a sentence that says what to correct. No input, no output.

librdkafka tells a refusal as text, and tells it beside the message that waited: a time-out knows
nothing of the password that caused it. So reasons have a rank, and the most telling one since the
last try is said.
"""

import re
from collections.abc import Mapping
from typing import Final

from agents.client import KafkaError

Kafka = Mapping[str, str | int | float | bool]

_SILENT: Final = (KafkaError._ALL_BROKERS_DOWN, KafkaError._MSG_TIMED_OUT, KafkaError._TIMED_OUT)
_AWAY: Final = (KafkaError._TRANSPORT, KafkaError._RESOLVE)
_DENIED: Final = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
)
_NO_TOPIC: Final = (
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
)


def rank(error: KafkaError) -> int:
    """0 says nothing, 1 that a broker is away, 2 what is to be mended."""
    if error.code() in _SILENT:
        return 0
    said = error.str()
    telling = "alert" in said or "PLAINTEXT broker" in said
    return 1 if error.code() in _AWAY and not telling else 2


def sentence(error: KafkaError, topic: str, kafka: Kafka) -> str:
    said, where = error.str(), kafka.get("bootstrap.servers", "")
    user = kafka.get("sasl.username", "")
    if error.code() in _DENIED:
        who = f"user {user}" if user else "this agent"
        return f"{who} may not write to topic {topic}: allow it to (ACL: Write, Describe)"
    if error.code() in _NO_TOPIC:
        return f"there is no topic {topic} at {where}: correct topic, or have it made"
    if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
        return f"a report is larger than {topic} takes: raise its max.message.bytes to 1048576"
    if error.code() == KafkaError.INVALID_TIMESTAMP:
        return f"{topic} refuses this machine's clock: set the clock, or LogAppendTime there"
    if error.code() == KafkaError._AUTHENTICATION and "mechanism handshake" in said:
        return f"{where} does not do {kafka.get('sasl.mechanism')}: correct sasl.mechanism"
    if error.code() == KafkaError._AUTHENTICATION:
        return f"{where} refuses user {user} or its password: correct kafka_password_file"
    return _tls(said, where, kafka) or _away(error, where)


def untrusted(said: str) -> bool:
    """Whether it is the broker's certificate that is not believed."""
    return "verify failed" in said


def reason(error: object) -> str:
    """What the client says of it, without its state and time."""
    said = error.str() if isinstance(error, KafkaError) else str(error)
    return re.sub(r" \(after \d+ms in state \w+\)$", "", said)


def clock_said(ahead_ms: int, off_ms: int) -> str:
    """A sentence where this machine's clock is too far from the broker's."""
    if abs(ahead_ms) <= off_ms:
        return ""
    way = "ahead of" if ahead_ms > 0 else "behind"
    seconds = abs(ahead_ms) // 1000
    return (
        f"this machine's clock is {seconds} s {way} the broker's: readings are dated by the "
        "broker's; set the clock (chronyc makestep)"
    )


def _tls(said: str, where: object, kafka: Kafka) -> str:
    if untrusted(said):
        trust = kafka.get("ssl.ca.location", "this system")
        return (
            f"{where} shows a certificate that {trust} does not vouch for, or that has expired, "
            "or is another host's: correct ssl.ca.location"
        )
    if "PLAINTEXT broker" in said:
        return f"{where} speaks no TLS there: correct bootstrap or security.protocol"
    if "alert certificate expired" in said:
        return f"{where} says that this agent's certificate has expired: renew it"
    if "alert bad certificate" in said or "certificate required" in said:
        return (
            f"{where} wants a certificate that it knows: set ssl.certificate.location and "
            "ssl.key.location"
        )
    return ""


def _away(error: KafkaError, where: object) -> str:
    if error.code() == KafkaError._RESOLVE:
        return f"the name of {where} is not known: correct bootstrap, or the resolver"
    if error.code() == KafkaError._MSG_TIMED_OUT:
        return f"{where} does not answer in time"
    if error.code() == KafkaError._ALL_BROKERS_DOWN:
        return f"no broker answers at {where}"
    return f"{reason(error)}"
