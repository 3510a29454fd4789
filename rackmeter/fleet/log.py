"""A fleet's topic as the broker would hold it: every message, in log order, with append times.

What ``plan.adversities`` switches on happens here; ``publish`` sends an ordinary month, live. The
truth of a log has every window, and the verdict of each message stands beside it. Pure.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from rackmeter.fleet.adversity import Adversity
from rackmeter.fleet.book import Book
from rackmeter.fleet.breach import ALL as BREACHES
from rackmeter.fleet.breach import Breach, breached
from rackmeter.fleet.cast import Part, diary, parts
from rackmeter.fleet.delivery import Post, posts
from rackmeter.fleet.diary import Diary, Series
from rackmeter.fleet.plan import FleetPlan
from rackmeter.fleet.poison import KINDS, RARE, Message, Place, Sender, poisoned
from rackmeter.fleet.spelling import Spelling, spelled, upgraded
from rackmeter.fleet.truth import SeriesTruth, Truth
from schemas.capture import Captured
from schemas.envelope import Key, headers
from schemas.report import Report
from schemas.verdict import Verdict

REPLAYS: Final = 3
REPLAY_PAUSE_MS: Final = 3_600_000
FLOOD_MS: Final = 3_600_000
"""From the middle of the period on."""
FLOOD_PER_REPORT: Final = 9
"""Nine of ten messages in that hour are poison."""
_POISON_PERMILLE, _BREACH_PERMILLE = 30, 30
_UPGRADE_SHARE: Final = 5
"""A server whose agent was upgraded too early writes the next version for a fifth of its life."""
PLACE: Final = Place("production", "usage.reports")


class Entry(NamedTuple):
    """One message, and what it is."""

    message: Captured
    report: Report | None
    """What it says; None where it is refused at the door."""
    verdict: Verdict | None
    """How the door refuses it; None where it comes in."""


@dataclass(frozen=True, slots=True)
class Log:
    """A topic with its truth."""

    messages: Sequence[Captured]
    verdicts: Sequence[Verdict]
    keys: Sequence[Key]
    truth: Truth


def simulate(plan: FleetPlan, place: Place = PLACE, *, by_broker: bool = True) -> Log:
    """The log of a plan. ``by_broker``: its time stamps are those of a topic with LogAppendTime."""
    cast = parts(plan)
    diaries = [diary(plan, part) for part in cast]
    senders = _senders(plan, diaries, place)
    entries = [
        entry
        for part, written, sender in zip(cast, diaries, senders, strict=True)
        for entry in _Agent(plan, part, written, sender).entries()
    ]
    entries.sort(key=lambda entry: entry.message.ts_ms)
    if Adversity.REPLAY in plan.adversities:
        entries = list(_replayed(entries))
    keys = [senders[0].neighbour]
    keys += [key for sender in senders for key in (sender.key, sender.expired)]
    book = Book({key.server: key.valid_from_ms for key in keys}, by_broker=by_broker)
    verdicts, samples = _judged(entries, book)
    arrived = {(e.report.server, e.report.origin, e.report.seq) for e in entries if e.report}
    truth = Truth(
        plan=plan,
        reports=len(entries),
        samples=samples,
        lost=sum(len(written.notes) for written in diaries) - len(arrived),
        verdicts=dict(sorted(Counter(verdict.value for verdict in verdicts).items())),
        series=tuple(_series(plan, diaries, book)),
        corrected=book.corrected,
        by_broker=by_broker,
    )
    whose = int(by_broker)
    messages = [replace(entry.message, ts_type=whose) for entry in entries]
    return Log(messages, verdicts, keys, truth)


def _senders(plan: FleetPlan, diaries: Sequence[Diary], place: Place) -> list[Sender]:
    """Every server's keys. Every other server is registered right before its first report, however
    long it has been running. The neighbour never reports anything true.
    """
    neighbour = Key("neighbour.1", "neighbour", plan.rng(25).bytes(32))
    made = []
    for index, written in enumerate(diaries):
        rng, server = plan.rng(22, index), written.server
        from_ms = written.notes[0].read_ms - 1_000 if index % 2 else 0
        key = Key(f"{server}.1", server, rng.bytes(32), from_ms)
        expired = Key(f"{server}.0", server, rng.bytes(32), from_ms, from_ms + 1)
        made.append(Sender(place, key, expired, neighbour))
    return made


class _Agent:
    """One server's side of the log."""

    def __init__(self, plan: FleetPlan, part: Part, written: Diary, sender: Sender) -> None:
        self._plan, self._part, self._diary, self._sender = plan, part, written, sender
        self._rng = plan.rng(23, part.machine.index)
        self._sent: list[Report] = []
        middle_ms = (plan.start_ms + plan.end_ms) // 2
        self._flood = range(middle_ms, middle_ms + FLOOD_MS)
        first = int(self._rng.integers(0, max(len(written.notes) * 3 // 4, 1)))
        upgrade = range(first, first + len(written.notes) // _UPGRADE_SHARE)
        upgraded_too_early = part.spelling is Spelling.UPGRADED
        self._next_version = {*upgrade} - written.lasts if upgraded_too_early else set[int]()
        self._rare = list(RARE) if part.machine.index == 0 else []

    def entries(self) -> Iterator[Entry]:
        """Everything in which this server is named."""
        rng = self._plan.rng(24, self._part.machine.index)
        for post in posts(self._part.route, rng, self._diary, self._plan.mishaps):
            report = self._stamped(post)
            for kind in self._poison(post.append_ms):
                verdict, message = poisoned(kind, report, self._sender, self._rng)
                yield Entry(_captured(message, post.append_ms), None, verdict)
            if post.note in self._next_version:
                message = self._signed(report, upgraded(report))
                yield Entry(_captured(message, post.append_ms), None, Verdict.UNKNOWN_VERSION)
                continue
            breach = self._breach()
            if breach in (Breach.FALL, Breach.LEAP):
                yield from self._breached(breach, report, post.append_ms)
            self._sent.append(report)
            body = spelled(self._part.spelling, report)
            yield Entry(_captured(self._signed(report, body), post.append_ms), report, None)
            if breach not in (None, Breach.FALL, Breach.LEAP):
                yield from self._breached(breach, report, post.append_ms)

    def _stamped(self, post: Post) -> Report:
        """As it is sent, by the clock of the boot that it is of. After a boot that clock is gone;
        the agent goes on with the wall clock, as far as it trusts it.
        """
        note = self._diary.notes[post.note]
        waited_ms = post.sent_ms - note.read_ms
        if post.over >= 0:
            first = self._diary.notes[post.over]
            wall_ms = post.sent_ms + first.report.at_ms - first.read_ms
            waited_ms = max(wall_ms - note.report.at_ms, 0)
        return replace(note.report, sent_up_ms=note.report.at_up_ms + waited_ms)

    def _signed(self, report: Report, body: bytes) -> Message:
        sender = self._sender
        made = headers(report, body, sender.key, sender.place.environment, sender.place.topic)
        return report.server.encode(), body, made

    def _poison(self, append_ms: int) -> list[str]:
        """What comes in front of a report."""
        kinds: list[str] = []
        if Adversity.FLOOD in self._plan.adversities and append_ms in self._flood:
            kinds += self._drawn(FLOOD_PER_REPORT)
        if Adversity.POISON in self._plan.adversities:
            kinds += [self._rare.pop()] if self._rare else []
            kinds += self._drawn(1) if self._rng.integers(0, 1000) < _POISON_PERMILLE else []
        return kinds

    def _drawn(self, count: int) -> list[str]:
        return [KINDS[n] for n in self._rng.integers(0, len(KINDS), count).tolist()]

    def _breach(self) -> Breach | None:
        if Adversity.CONFLICT not in self._plan.adversities:
            return None
        if self._rng.integers(0, 1000) >= _BREACH_PERMILLE:
            return None
        return BREACHES[int(self._rng.integers(0, len(BREACHES)))]

    def _breached(self, breach: Breach | None, report: Report, append_ms: int) -> Iterator[Entry]:
        wrong = breached(breach, report, self._sent) if breach else None
        if wrong:
            body = spelled(self._part.spelling, wrong)
            yield Entry(_captured(self._signed(wrong, body), append_ms), wrong, None)


def _captured(message: Message, append_ms: int) -> Captured:
    key, body, made = message
    return Captured(key, append_ms, tuple(made), body)


def _replayed(entries: Sequence[Entry]) -> Iterator[Entry]:
    """The whole topic, and again from its start, with the append times of then."""
    first, last = entries[0].message.ts_ms, entries[-1].message.ts_ms
    for nth in range(1 + REPLAYS):
        later_ms = nth * (last - first + REPLAY_PAUSE_MS)
        for entry in entries:
            again = replace(entry.message, ts_ms=entry.message.ts_ms + later_ms)
            yield entry._replace(message=again)


def _judged(entries: Iterable[Entry], book: Book) -> tuple[list[Verdict], int]:
    """The verdict of each message, and how many counter values count."""
    verdicts, samples = [], 0
    for message, report, refused in entries:
        verdict = refused or (book.enter(report, message.ts_ms) if report else Verdict.MALFORMED)
        verdicts.append(verdict)
        if report and verdict is Verdict.ACCEPTED:
            samples += len(report.value)
    return verdicts, samples


def _series(plan: FleetPlan, diaries: Iterable[Diary], book: Book) -> Iterator[SeriesTruth]:
    """Totals by what happened on the machines, windows by what arrived; both must agree."""
    windows: defaultdict[str, defaultdict[Series, list[tuple[int, int]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for (server, meter, resource, start_ms), units in sorted(book.windows.items()):
        if units:
            windows[server][meter, resource].append((start_ms, units))
    for written in diaries:
        for (meter, resource), life in written.used.items():
            found = windows[written.server].pop((meter, resource), [])
            if sum(units for _, units in found) != life:
                raise AssertionError(f"{written.server} {meter} {resource}: {life} did not arrive")
            period = sum(units for at, units in found if plan.start_ms <= at < plan.end_ms)
            yield SeriesTruth(written.server, meter, resource, life, period, tuple(found))


def registered_ms(keys: Iterable[Key]) -> Mapping[str, int]:
    """Since when each server is registered: the start of its oldest key."""
    since: dict[str, int] = {}
    for key in keys:
        since[key.server] = min(key.valid_from_ms, since.get(key.server, key.valid_from_ms))
    return since
