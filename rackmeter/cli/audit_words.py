"""Acts as a person reads them."""

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sinks.audit_chain import Row

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
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    said = ", ".join(_change(name, before, after) for name in names)
    return said if len(said) <= _LONG else said[: _LONG - 1] + "…"


def _change(name: str, before: dict[str, Any], after: dict[str, Any]) -> str:
    old, new = _plain(before.get(name)), _plain(after.get(name))
    return f"{name} {old} → {new}" if old else f"{name} {new}"


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_plain, value))
    if isinstance(value, dict):
        return " ".join(f"{key}={_plain(part)}" for key, part in value.items())
    return "" if value is None else str(value)
