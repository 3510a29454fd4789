"""Verifying the audit trail: what is not as it was entered, found in one pass and named. Pure.

The digests are those of sinks.audit_rows; which act, which link, and what is missing is told by its
number. Heads that were signed know ends that were cut off and chains that were written anew.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sinks.audit_rows import Entered, Link, Row, Said, entered_digest, genesis, keyed, link_digest

ERASED: Final = "account.erase"
"""The action after which what is personal of its account may be gone."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A head whose signature holds: this was the chain's end once."""

    number: int
    digest: str
    at: datetime
    source: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What is not as it was, in one sentence; ``number`` is where, None where no number says it."""

    number: int | None
    what: str

    def __str__(self) -> str:
        return self.what


@dataclass(slots=True)
class Verified:
    """How far a verification has come; ``findings`` is filled as rows are read."""

    number: int = 0
    digest: str = ""
    acts: int = 0
    erased: int = 0
    """Acts of which what was said is gone by an erasure, as it may be."""
    findings: list[Finding] = field(default_factory=list)


def verify(
    rows: Iterable[Row],
    ledger: str,
    marks: Sequence[Mark] = (),
    tip: tuple[int, str] | None = None,
    *,
    whole: bool = True,
) -> Verified:
    """Everything that is not as it was entered, in the order of the chain.

    ``rows`` by number, those without one last. ``whole``: what was said of personal acts must be
    there as well, unless an erasure took it; an export may leave it out.
    """
    chain = _Chain(ledger, marks)
    for row in rows:
        chain.take(row)
    return chain.end(tip, whole=whole)


class _Chain:
    """One pass over the rows."""

    def __init__(self, ledger: str, marks: Sequence[Mark]) -> None:
        self._found = Verified(digest=genesis(ledger))
        self._marks = sorted(marks, key=lambda mark: mark.number)
        self._agreed = 0
        self._gone: dict[str, list[int]] = {}
        self._rewritten = False

    def take(self, row: Row) -> None:
        findings = self._found.findings
        if row.act is not None:
            self._found.acts += 1
        if row.link is None:
            findings += _loose(row)
            return
        link = row.link
        findings += self._follows(link)
        findings += _linked(link, row.act)
        if row.act is not None:
            findings += self._said(link.number, row.act, row.said)
        self._found.number, self._found.digest = link.number, link.digest
        findings += self._marked()

    def end(self, tip: tuple[int, str] | None, *, whole: bool) -> Verified:
        found = self._found
        last = found.number
        if lost := [mark for mark in self._marks if mark.number > last]:
            found.findings.append(
                Finding(last + 1, f"{_acts(last + 1, lost[-1].number)} gone from the end:"
                        f" {_signed(lost[-1])} has them")
            )  # fmt: skip
        if tip is not None and tip != (last, found.digest):
            found.findings.append(
                Finding(min(last, tip[0]) + 1, f"the chain ends with act {last} and the row of its"
                        f" end says {tip[0]}: acts were dropped from the end, or it was edited")
            )  # fmt: skip
        for account, numbers in self._gone.items() if whole else ():
            found.erased -= len(numbers)
            found.findings += [
                Finding(n, f"what act {n} says is gone, and no erasure of {account} took it")
                for n in numbers
            ]
        return found

    def _follows(self, link: Link) -> Iterator[Finding]:
        expected = self._found.number + 1
        if link.number > expected:
            yield Finding(expected, f"{_acts(expected, link.number - 1)} missing")
        elif link.previous != self._found.digest:
            yield Finding(link.number, f"act {link.number} does not follow act {expected - 1}:"
                          " one of them was edited, exchanged or put in")  # fmt: skip
        if link.digest != link_digest(link.number, link.act, link.previous):
            yield Finding(link.number, f"the link of act {link.number} was edited")

    def _said(self, number: int, act: Entered, said: Said | None) -> Iterator[Finding]:
        if act.action == ERASED:
            self._gone.pop(act.account, None)
        if said is not None:
            told = (said.account, said.personal, *keyed(said))
            if told != (act.account, act.personal, act.reason, act.before, act.after):
                yield Finding(number, f"what {_named(number, act)} says was edited")
        elif act.personal:
            self._found.erased += 1
            self._gone.setdefault(act.account, []).append(number)
        else:
            yield Finding(number, f"what {_named(number, act)} says was dropped")

    def _marked(self) -> Iterator[Finding]:
        """Heads that were signed here say what the digest was; the first that differs is told."""
        number = self._found.number
        while self._marks and self._marks[0].number <= number:
            mark = self._marks.pop(0)
            if mark.number < number:
                continue  # its act is missing, which was told
            if mark.digest == self._found.digest:
                self._agreed = mark.number
            elif not self._rewritten:
                self._rewritten = True
                yield Finding(
                    mark.number, f"the chain was rewritten between act {self._agreed + 1} and act"
                    f" {mark.number}: {_signed(mark)} has another digest",
                )  # fmt: skip


def _loose(row: Row) -> Iterator[Finding]:
    if row.act is not None:
        yield Finding(None, f"act {row.act_id} ({row.act.action} {row.act.subject}) has no place in"
                      " the chain: its link was dropped, or it was put in")  # fmt: skip
    else:
        yield Finding(None, f"there is no act {row.act_id}, only what it says")


def _linked(link: Link, act: Entered | None) -> Iterator[Finding]:
    if act is None:
        yield Finding(link.number, f"act {link.number} was dropped")
    elif entered_digest(act) != act.digest:
        yield Finding(link.number, f"{_named(link.number, act)} was edited")
    elif act.digest != link.act:
        yield Finding(
            link.number, f"{_named(link.number, act)} is not what was linked there: it was edited"
            " or exchanged",
        )  # fmt: skip


def _named(number: int, act: Entered) -> str:
    return f"act {number} ({act.action} {act.subject})"


def _acts(first: int, last: int) -> str:
    return f"act {first} is" if first == last else f"acts {first} to {last} are"


def _signed(mark: Mark) -> str:
    return f"the head of {mark.at:%Y-%m-%d %H:%M} UTC in {mark.source}"
