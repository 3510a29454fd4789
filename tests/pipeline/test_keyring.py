"""Who may speak for a server: every way a signature can be wrong, and the sentence it gets."""

from dataclasses import replace

import pytest

from pipeline.decode import decode
from pipeline.keyring import Keyring, NoSignatures, ServerSecrets
from pipeline.names import NamesCache
from schemas.envelope import Key
from schemas.report import encode
from schemas.verdict import Verdict
from tests.schemas.messages import (
    APPENDED_MS,
    ENVIRONMENT,
    KEY,
    PARTITIONS,
    REPORT,
    Message,
    chunk,
    signed,
)

OTHER = Key("k-other", "ams-7", b"a secret of ams-7")
ENDED = replace(KEY, kid="k-ended", valid_to_ms=APPENDED_MS)
COMING = replace(KEY, kid="k-coming", valid_from_ms=APPENDED_MS + 1)
LAST_MS = replace(KEY, kid="k-last", valid_to_ms=APPENDED_MS + 1)
FIRST_MS = replace(KEY, kid="k-first", valid_from_ms=APPENDED_MS)
KEYRING = Keyring([KEY, OTHER, ENDED, COMING, LAST_MS, FIRST_MS])

GOOD = signed()
BODY = encode(REPORT)


def changed(**headers: bytes | None) -> Message:
    """The good message with headers replaced, or without those that are ``None``."""
    named = {**dict(GOOD.headers), **headers}
    kept = [(name, value) for name, value in named.items() if value is not None]
    return replace(GOOD, headers=kept)


def forged(**differs: str) -> Message:
    return signed(**differs)  # type: ignore[arg-type]


REFUSED = [
    # Not signed at all.
    (replace(GOOD, headers=()), Verdict.UNSIGNED, "the header kid is missing"),
    (changed(kid=None), Verdict.UNSIGNED, "the header kid is missing"),
    (changed(sig=None), Verdict.UNSIGNED, "the header sig is missing"),
    # A key nobody has given out, or not for now. The owner of the keyring may know better: reload.
    (changed(kid=b"k-none"), Verdict.UNKNOWN_KEY, "kid b'k-none' is not known"),
    (changed(kid=b""), Verdict.UNKNOWN_KEY, "kid b'' is not known"),
    (changed(kid=b"k\xff\0"), Verdict.UNKNOWN_KEY, r"kid b'k\xff\x00' is not known"),
    (signed(key=ENDED), Verdict.UNKNOWN_KEY, f"from 0 to {APPENDED_MS}, the report was appended"),
    (signed(key=COMING), Verdict.UNKNOWN_KEY, f"is valid from {APPENDED_MS + 1} to"),
    # A server that speaks for another one.
    (signed(key=OTHER), Verdict.FORGED, 'kid "k-other" is not a key of server "fra-1042"'),
    # A message that is not what was signed: other content, environment, topic or identity.
    (changed(sig=b""), Verdict.FORGED, 'sig is not the HMAC-SHA256 by kid "k-2025"'),
    (changed(sig=b"\0" * 32), Verdict.FORGED, "sig is not the HMAC-SHA256"),
    (changed(sig=dict(GOOD.headers)["sig"][:31]), Verdict.FORGED, "sig is not the HMAC-SHA256"),
    (changed(sig=bytes.fromhex(dict(GOOD.headers)["sig"].decode())), Verdict.FORGED, "sig is not"),
    (replace(GOOD, value=BODY.replace(b"789", b"788")), Verdict.FORGED, "sig is not"),
    (replace(GOOD, value=BODY + b" "), Verdict.FORGED, "sig is not"),
    (forged(environment="staging"), Verdict.FORGED, 'over environment "production"'),
    (forged(topic="usage.reports.test"), Verdict.FORGED, 'topic "usage.reports"'),
    (signed(key=replace(KEY, secret=b"stolen")), Verdict.FORGED, 'id "fra-1042/0f5c1e6a-77/41"'),
    # The envelope names another report than the letter.
    (
        changed(ce_id=b"fra-1042/0f5c1e6a-77/42"),
        Verdict.MALFORMED,
        "the header ce_id is b'fra-1042/0f5c1e6a-77/42': it must be \"fra-1042/0f5c1e6a-77/41\"",
    ),
    (changed(ce_id=b"\xff"), Verdict.MALFORMED, r"the header ce_id is b'\xff'"),
    # Twice the same header: two readers could take two different ones.
    (
        replace(GOOD, headers=[*GOOD.headers, ("kid", b"k-other")]),
        Verdict.MALFORMED,
        "the header kid appears twice: send it once",
    ),
    (
        replace(GOOD, headers=[*GOOD.headers, GOOD.headers[-1]]),
        Verdict.MALFORMED,
        "the header sig appears twice",
    ),
    (
        replace(GOOD, headers=[GOOD.headers[3], *GOOD.headers]),
        Verdict.MALFORMED,
        "the header ce_id appears twice",
    ),
]

ADMITTED = [
    (GOOD, "as the agent sends it"),
    (changed(ce_id=None), "ce_id is an extra: the signature binds the identity"),
    (changed(ce_time=b"\xff", ce_type=None), "headers that decide nothing"),
    (replace(GOOD, headers=[*GOOD.headers, ("x", b"1"), ("x", b"2")]), "a tracer's, twice"),
    (replace(GOOD, headers=tuple(reversed(GOOD.headers))), "in any order"),
    (signed(key=LAST_MS), "the last millisecond of a key"),
    (signed(key=FIRST_MS), "the first millisecond of a key"),
    (signed(body=BODY + b"\n"), "the signature is over the bytes as sent"),
]


@pytest.mark.parametrize(("message", "reason", "sentence"), REFUSED)
def test_refused(message: Message, reason: Verdict, sentence: str) -> None:
    batch, [letter] = decode(
        chunk(message), KEYRING, NamesCache(), environment=ENVIRONMENT, partitions=PARTITIONS
    )
    assert len(batch) == 0
    assert letter.reason is reason
    assert sentence in letter.detail
    assert b"secret" not in letter.detail.encode()


@pytest.mark.parametrize(("message", "why"), ADMITTED)
def test_admitted(message: Message, why: str) -> None:
    batch, dead = decode(
        chunk(message), KEYRING, NamesCache(), environment=ENVIRONMENT, partitions=PARTITIONS
    )
    assert dead == [], why
    assert batch.server == ["fra-1042"]


def test_a_header_without_a_value_is_a_missing_header() -> None:
    """Kafka allows null there, and the client hands it over."""
    message = replace(GOOD, headers=[("kid", None), ("sig", None)])  # type: ignore[list-item]
    _, [letter] = decode(
        chunk(message), KEYRING, NamesCache(), environment=ENVIRONMENT, partitions=PARTITIONS
    )
    assert letter.reason is Verdict.UNSIGNED
    assert letter.headers == (("kid", b""), ("sig", b""))


def test_two_keys_of_one_name_are_a_mistake_of_the_operator() -> None:
    assert len(Keyring([KEY, KEY])) == 1
    with pytest.raises(ValueError, match="two different keys are named kid 'k-2025'"):
        Keyring([KEY, replace(KEY, secret=b"other")])


def test_a_keyring_finds_by_kid() -> None:
    assert KEYRING.get("k-other") is OTHER
    assert KEYRING.get("") is None


def test_a_server_with_one_secret_may_name_it_as_it_likes() -> None:
    ring = ServerSecrets({KEY.server: KEY.secret}, [OTHER])
    assert ring.find("any", KEY.server) == Key("any", KEY.server, KEY.secret)
    assert ring.find("k-other", OTHER.server) == OTHER, "the others have their keys"
    assert ring.find("any", OTHER.server) is None
    for message, forged_ in ((changed(kid=b"any"), 0), (signed(key=replace(KEY, secret=b"x")), 1)):
        _, dead = decode(
            chunk(message), ring, NamesCache(), environment=ENVIRONMENT, partitions=PARTITIONS
        )
        assert [letter.reason for letter in dead] == [Verdict.FORGED] * forged_


def test_a_ring_that_checks_no_signature_still_reads_the_envelope() -> None:
    for message, sentence in (
        (replace(GOOD, headers=()), ""),
        (changed(sig=b"0"), ""),
        (changed(ce_id=b"?"), "the header ce_id is b'?'"),
        (replace(GOOD, headers=[*GOOD.headers, GOOD.headers[-1]]), "the header sig appears twice"),
    ):
        batch, dead = decode(
            chunk(message), NoSignatures(), NamesCache(),
            environment=ENVIRONMENT, partitions=PARTITIONS,
        )  # fmt: skip
        assert len(batch) + len(dead) == 1
        assert "".join(letter.detail for letter in dead).startswith(sentence)
        assert bool(dead) is bool(sentence)
