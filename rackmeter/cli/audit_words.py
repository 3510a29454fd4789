"""Acts and verifications as a person reads them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rackmeter.audit_trail import Outcome
    from sinks.audit_rows import Row

_LONG: Final = 60


def shown(row: "Row") -> dict[str, Any]:
    """One act, with what is left of what was said."""
    assert row.link is not None, "listed by number"
    assert row.act is not None, "listed by number"
    act, said = row.act, row.said
    return {
        "number": row.link.number, "at": act.at, "action": act.action, "subject": act.subject,
        "account": act.account, "actor": act.actor, "login": act.login,
        "reason": None if said is None else said.reason,
        "before": None if said is None else said.before,
        "after": None if said is None else said.after,
        "erased": said is None, "digest": row.link.digest,
    }  # fmt: skip


def summary(act: dict[str, Any]) -> str:
    """What changed, in a few words: `limit 400.00 → 500.00`."""
    if act["erased"]:
        return "erased"
    before, after = act["before"] or {}, act["after"] or {}
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    names = [name for name in changed if _plain(before.get(name)) or _plain(after.get(name))]
    said = ", ".join(_change(name, before, after) for name in names)
    return said if len(said) <= _LONG else said[: _LONG - 1] + "…"


def notes(done: "Outcome") -> Iterator[str]:
    """What a person should know of a verification besides its findings."""
    if done.verified.erased:
        yield f"{done.verified.erased} acts had what was personal erased"
    for one in done.recovered:
        when = f"{one.at:%Y-%m-%d %H:%M} UTC"
        yield f"the database went back to act {one.number} at {when}: {one.recovered}"
    if not done.heads:
        yield "no head was signed: an end that is cut off would not be seen (`audit sign`)"
    elif not done.believed:
        keys = ", ".join(done.keys)
        yield f"the heads are signed by {keys}: is it yours? --public KEY insists on it"


def told(done: "Outcome") -> dict[str, Any]:
    """A verification as one JSON object."""
    found = done.verified
    return {
        "acts": found.acts, "number": found.number, "digest": found.digest,
        "erased": found.erased, "heads": done.heads, "keys": done.keys,
        "keys_known": done.believed,
        "recovered": [{"number": one.number, "at": one.at, "why": one.recovered}
                      for one in done.recovered],
        "findings": [{"number": one.number, "what": one.what} for one in found.findings],
    }  # fmt: skip


def _change(name: str, before: dict[str, Any], after: dict[str, Any]) -> str:
    old, new = _plain(before.get(name)), _plain(after.get(name))
    return f"{name} {old} → {new or 'none'}" if old else f"{name} {new}"


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_plain, value))
    if isinstance(value, dict):
        return " ".join(f"{key}={_plain(part)}" for key, part in value.items())
    return "" if value is None else str(value)
