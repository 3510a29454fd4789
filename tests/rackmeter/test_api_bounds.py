"""What a request may cost, with a clock in hand."""

import asyncio
from collections.abc import Iterator

import pytest
from starlette.types import Message, Receive, Scope, Send

from rackmeter.api import bounds
from rackmeter.api.bounds import BODY_BYTES_MAX, BoundedBodies, Mistakes


def test_a_burst_then_one_each_so_many_seconds() -> None:
    mistakes = Mistakes(burst=3, seconds=6.0)
    assert mistakes.wait("a", 0.0) == 0
    for at in (0.0, 0.0, 0.0):
        mistakes.count("a", at)
    assert mistakes.wait("a", 0.0) == 6.0
    assert mistakes.wait("a", 4.0) == pytest.approx(2.0)
    assert mistakes.wait("a", 6.0) == 0
    assert mistakes.wait("b", 0.0) == 0
    mistakes.count("a", 6.0)
    assert mistakes.wait("a", 6.0) == 6.0
    assert mistakes.wait("a", 600.0) == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("testclient", "unknown", False),
    ],
)
def test_which_addresses_count_as_one(one: str, other: str, same: bool) -> None:
    mistakes = Mistakes(burst=1, seconds=6.0)
    mistakes.count(one, 0.0)
    assert (mistakes.wait(other, 0.0) > 0) is same


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "ADDRESSES_MAX", 2)
    mistakes = Mistakes(burst=1, seconds=6.0)
    for address in ("a", "b", "a", "c"):
        mistakes.count(address, 0.0)
    assert [mistakes.wait(address, 0.0) > 0 for address in "abc"] == [True, False, True]


# -- bodies ----------------------------------------------------------------------------------------


def answered(parts: Iterator[Message | None]) -> tuple[int, bytes | None]:
    """The status, and the body that reached the application; None in ``parts`` never comes."""
    seen: list[bytes] = []
    codes: list[int] = []

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> Message:
        part = next(parts)
        if part is None:
            await asyncio.sleep(60)
            raise AssertionError
        return part

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            codes.append(message["status"])

    asyncio.run(BoundedBodies(app)({"type": "http"}, receive, send))
    return codes[0], seen[0] if seen else None


def part(body: bytes, more: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_in_pieces_arrives_whole() -> None:
    assert answered(iter([part(b"ab", True), part(b"c", False)])) == (200, b"abc")


def test_a_body_is_bounded_to_the_byte() -> None:
    most = b"x" * BODY_BYTES_MAX
    assert answered(iter([part(most, False)])) == (200, most)
    assert answered(iter([part(most, True), part(b"x", True), None])) == (413, None)


def test_a_body_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "BODY_SECONDS_MAX", 0.01)
    assert answered(iter([part(b"ab", True), None])) == (408, None)


def test_a_client_that_goes_away() -> None:
    assert answered(iter([part(b"ab", True), {"type": "http.disconnect"}])) == (200, b"")
