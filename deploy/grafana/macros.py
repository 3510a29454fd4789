"""What Grafana makes of a panel's SQL before the database sees it. Pure.

First the browser puts variables in (grafana.com/docs, "Variable syntax"): ``${name:sqlstring}``
quotes the value and doubles quotes in it, ``$name`` takes it as it is, ``${__from}`` and
``${__to}`` are Unix milliseconds. Then the data source its macros (grafana.com/docs, "PostgreSQL
query editor"; ``pkg/tsdb/grafana-postgresql-datasource/macros.go``): times become quoted RFC 3339
text in UTC.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

_MACRO = re.compile(r"\$([_a-zA-Z0-9]+)\(([^)]*)\)")
"""As in macros.go: what stands in the brackets holds none."""
_VARIABLE = re.compile(r"\$\{(\w+)(?::(\w+))?\}|\$(\w+)(?!\w*\()")


def expand(
    sql: str,
    low: datetime,
    high: datetime,
    variables: Mapping[str, str],
    interval_ms: int = 3_600_000,
) -> str:
    """The SQL as it is sent. Raises KeyError for an unknown variable, ValueError for a macro."""
    known = {
        **variables,
        "__from": str(_ms(low)),
        "__to": str(_ms(high)),
        "__interval_ms": str(interval_ms),
    }

    def variable(found: re.Match[str]) -> str:
        value = known[found[1] or found[3]]
        if found[2] == "sqlstring":
            return "'" + value.replace("'", "''") + "'"
        if found[2] is not None:
            raise ValueError(f"The format {found[2]} of {found[0]} is not known here.")
        return value

    def macro(found: re.Match[str]) -> str:
        if found[1] == "__timeFrom":
            return f"'{_text(low)}'"
        if found[1] == "__timeTo":
            return f"'{_text(high)}'"
        raise ValueError(f"The macro {found[0]} is not known here.")

    return _MACRO.sub(macro, _VARIABLE.sub(variable, sql))


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
