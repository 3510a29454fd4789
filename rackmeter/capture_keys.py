"""The keys that the signatures of a capture are checked with: a TOML file, one entry a server.

    ax-017 = "5f0c…"                  whatever kid its reports name; hex or base64 as in the agent's
                                      key file, else the text itself ("text:…" says so for sure)
    [ax-018]                          one key; [[ax-018]] several
    kid = "ax-018.1f2e3d4c"
    secret = "…"
    valid_from = 2026-03-01T00:00:00Z     judged at append time; both may be missing
    valid_to = 2026-06-01T00:00:00Z

The agent's own key file (server, kid, secret) is read too. Usage before the beginning of a server's
oldest key is not spread further back, as in the ledger.
"""

import base64
import binascii
import re
import tomllib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from pipeline.keyring import Keyring, ServerSecrets
from rackmeter.errors import ConfigError
from schemas.envelope import NEVER_MS, Key

SECRET_BYTES_MIN: Final = 16
"""As for the agent's key file; what decodes to fewer bytes is taken for a text."""
_HEX = re.compile(r"([0-9a-fA-F]{2})+")
_TEXT: Final = "text:"
_FIELDS: Final = ("kid", "secret", "valid_from", "valid_to")


def read_keys(path: Path) -> tuple[Keyring, dict[str, int]]:
    """The ring, and for each server with dated keys the start of its oldest one."""
    try:
        fields = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not TOML: {error}.") from error
    if fields.keys() == {"server", "kid", "secret"} and isinstance(fields["server"], str):
        fields = {fields.pop("server"): fields}
    secrets = {name: _secret(path, name, v) for name, v in fields.items() if isinstance(v, str)}
    keys = [
        key
        for server, found in fields.items()
        if not isinstance(found, str)
        for key in _keys(path, server, found)
    ]
    registered: dict[str, int] = {}
    for key in keys:
        known = registered.get(key.server, key.valid_from_ms)
        registered[key.server] = min(known, key.valid_from_ms)
    try:
        return ServerSecrets(secrets, keys), registered
    except ValueError as error:
        raise ConfigError(f"{path}: {error}.") from None


def _keys(path: Path, server: str, found: Any) -> Iterator[Key]:
    for table in found if isinstance(found, list) else [found]:
        if not isinstance(table, dict):
            raise ConfigError(f"{path}: {server} must be a secret, a table or tables, not {table}.")
        if unknown := sorted(table.keys() - set(_FIELDS)):
            raise ConfigError(f"{path}: {server} has {unknown[0]}; known are {', '.join(_FIELDS)}.")
        kid = table.get("kid")
        if not isinstance(kid, str) or not kid:
            raise ConfigError(f"{path}: {server} needs a text as its kid.")
        yield Key(
            kid,
            server,
            _secret(path, server, table.get("secret")),
            _instant(path, server, "valid_from", table, 0),
            _instant(path, server, "valid_to", table, NEVER_MS),
        )


def _secret(path: Path, server: str, found: Any) -> bytes:
    if not isinstance(found, str) or not found.removeprefix(_TEXT):
        raise ConfigError(f"{path}: {server} needs a text as its secret.")
    if found.startswith(_TEXT):
        return found.removeprefix(_TEXT).encode()
    try:
        hexadecimal = _HEX.fullmatch(found)
        decoded = bytes.fromhex(found) if hexadecimal else base64.b64decode(found, validate=True)
    except (binascii.Error, ValueError):
        return found.encode()
    return decoded if len(decoded) >= SECRET_BYTES_MIN else found.encode()


def _instant(path: Path, server: str, name: str, table: dict[str, Any], default: int) -> int:
    found = table.get(name, default)
    if type(found) is int:
        return found
    if isinstance(found, datetime) and found.tzinfo is not None:
        return round(found.timestamp() * 1000)
    raise ConfigError(
        f"{path}: {name} of {server} is {found}; write 2026-03-01T00:00:00Z, or milliseconds."
    )
