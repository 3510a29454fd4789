"""Who may speak for a server: the known signing keys, and the check of a report's signature. Pure.

A keyring is a snapshot that never changes. Its owner loads a new one when a report names an unknown
key and decodes again. Validity is judged at append time, so a replay reaches the same verdicts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hmac import compare_digest

from pipeline.records import Record
from pipeline.rows import Row
from schemas.envelope import Key, mac, scope
from schemas.validate import Refusal, shown
from schemas.verdict import Verdict

Headers = Sequence[tuple[str, bytes | None]]
_ONCE = frozenset(("ce_id", "kid", "sig"))


class Keyring:
    """The signing keys by ``kid``."""

    __slots__ = ("_keys",)
    checks = True
    """Whether a report needs a signature."""

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        self._keys: dict[str, Key] = {}
        for key in keys:
            if self._keys.setdefault(key.kid, key) != key:
                raise ValueError(f"two different keys are named kid {key.kid!r}")

    def get(self, kid: str) -> Key | None:
        return self._keys.get(kid)

    def find(self, kid: str, server: str) -> Key | None:
        """The key that a report of ``server`` names; it may be another server's."""
        return self._keys.get(kid)

    def __len__(self) -> int:
        return len(self._keys)


class ServerSecrets(Keyring):
    """Some servers have one secret each, under whatever ``kid`` they name it: for captures."""

    __slots__ = ("_secrets",)

    def __init__(self, secrets: Mapping[str, bytes], keys: Iterable[Key] = ()) -> None:
        super().__init__(keys)
        self._secrets = dict(secrets)

    def find(self, kid: str, server: str) -> Key | None:
        secret = self._secrets.get(server)
        return self._keys.get(kid) if secret is None else Key(kid, server, secret)


class NoSignatures(Keyring):
    """Everyone speaks for everyone: for captures whose keys nobody has. Never for a live topic."""

    __slots__ = ()
    checks = False


@dataclass(frozen=True, slots=True)
class Verifier:
    """Checks the headers of reports read from one topic of one environment."""

    keyring: Keyring
    environment: str
    topic: str
    _scope: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_scope", scope(self.environment, self.topic))

    def refusal(self, server: str, report_id: bytes, body: bytes, record: Record) -> Refusal | None:
        """Nothing, when a key of this server signed exactly this report; otherwise why not."""
        named = _named(record)
        if isinstance(named, Refusal):
            return named
        event_id, kid, sig = named
        if event_id is not None and event_id != report_id:
            own = shown(report_id.decode())
            detail = f"the header ce_id is {shown(event_id)}: it must be {own}"
            return Refusal(Verdict.MALFORMED, detail)
        if not self.keyring.checks:
            return None
        if kid is None or sig is None:
            missing = "kid" if kid is None else "sig"
            detail = f"the header {missing} is missing: a report is signed by kid and sig"
            return Refusal(Verdict.UNSIGNED, detail)
        key = self.keyring.find(kid.decode(errors="replace"), server)
        if key is None:
            detail = f"kid {shown(kid)} is not known: enrol the server or correct its key"
            return Refusal(Verdict.UNKNOWN_KEY, detail)
        return _not_entitled(key, server, record.timestamp) or self._forged(
            key, report_id, body, sig
        )

    def _forged(self, key: Key, report_id: bytes, body: bytes, sig: bytes) -> Refusal | None:
        if compare_digest(mac(key.secret, self._scope, report_id, body), sig):
            return None
        own = shown(report_id.decode())
        detail = (
            f"sig is not the HMAC-SHA256 by kid {shown(key.kid)} over environment "
            f"{shown(self.environment)}, topic {shown(self.topic)}, id {own} and body"
        )
        return Refusal(Verdict.FORGED, detail)


_Named = tuple[bytes | None, bytes | None, bytes | None]


def _named(record: Record) -> _Named | Refusal:
    """The headers ce_id, kid and sig."""
    if isinstance(record, Row):
        return record.ce_id, record.kid, record.sig
    headers = record.headers
    named = dict(headers)
    if len(named) != len(headers) and (twice := _twice(headers)):
        return Refusal(Verdict.MALFORMED, f"the header {twice} appears twice: send it once")
    return named.get("ce_id"), named.get("kid"), named.get("sig")


def _twice(headers: Headers) -> str | None:
    seen: set[str] = set()
    for name, _ in headers:
        if name in seen and name in _ONCE:
            return name
        seen.add(name)
    return None


def _not_entitled(key: Key, server: str, append_ms: int) -> Refusal | None:
    if key.server != server:
        detail = f"kid {shown(key.kid)} is not a key of server {shown(server)}: sign with its own"
        return Refusal(Verdict.FORGED, detail)
    if key.valid_from_ms <= append_ms < key.valid_to_ms:
        return None
    detail = (
        f"kid {shown(key.kid)} is valid from {key.valid_from_ms} to {key.valid_to_ms}, "
        f"the report was appended at {append_ms}: sign with the current key"
    )
    return Refusal(Verdict.UNKNOWN_KEY, detail)
