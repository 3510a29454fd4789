"""The signing key of this server, from a file only its owner and group may read. Imports words
only.
"""

import base64
import binascii
import json
import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any

from schemas.envelope import Key
from schemas.errors import ConfigError

SECRET_BYTES_MIN = 16
"""HMAC-SHA256 is no stronger than its key; 128 bits is the least NIST SP 800-131A accepts."""
_OTHERS = 0o007


def load(path: Path, server: str) -> Key:
    """``kid`` and ``secret`` (hex or base64), TOML or JSON; ``server``, where stated, must be this
    server.
    """
    fields = fields_of(path, own_text(path))
    kid, secret = fields.get("kid"), fields.get("secret")
    if not isinstance(kid, str) or not kid:
        raise ConfigError(f'{path}: kid is {kid!r}; it must be a text, as in kid = "k1"')
    if not isinstance(secret, str):
        raise ConfigError(f"{path}: secret is missing or not text; it must be hex or base64")
    owner = fields.get("server", server)
    if owner != server:
        raise ConfigError(
            f"{path}: the key is for server {owner!r}, this agent reports as {server!r}; "
            "its reports would be refused: give it the server's own key, or --server"
        )
    return Key(kid, server, _secret(path, secret))


def fields_of(path: Path, text: str) -> dict[str, Any]:
    """What the file says, unchecked."""
    try:
        fields = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except ValueError as error:
        raise ConfigError(f"{path}: the key file is neither TOML nor JSON ({error})") from error
    return dict(fields)


def private_text(path: Path) -> str:
    """Of a file that holds a key: its owner and group may read it, others may not."""
    return _read(path)[1]


def own_text(path: Path) -> str:
    """Of a file that holds a key of this very process: it belongs to root or to this user, and
    nobody else can replace it. Its group may read it, as systemd's credentials want it.
    """
    status, text = _read(path)
    if status.st_mode & stat.S_IWGRP:
        raise ConfigError(
            f"{path}: its group can replace the key (mode {status.st_mode & 0o777:o}); "
            f"run: chmod 600 {path}"
        )
    if status.st_uid not in (0, os.geteuid()):
        raise ConfigError(
            f"{path}: the key belongs to user {status.st_uid}, who could replace it; "
            f"run: chown {os.geteuid()} {path}"
        )
    return text


def _read(path: Path) -> tuple[os.stat_result, str]:
    try:
        status = path.stat()
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the key file cannot be read ({error})") from error
    if status.st_mode & _OTHERS:
        raise ConfigError(
            f"{path}: every user here can read or write the key (mode {status.st_mode & 0o777:o}); "
            f"run: chmod 600 {path}"
        )
    return status, text


def _secret(path: Path, text: str) -> bytes:
    """Hex if it can be: base64 of a random key is all hex digits once in 10¹⁸ times."""
    try:
        if re.fullmatch(r"([0-9a-fA-F]{2})+", text):
            secret = bytes.fromhex(text)
        else:
            secret = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ConfigError(f"{path}: secret is neither hex nor base64") from error
    if len(secret) < SECRET_BYTES_MIN:
        raise ConfigError(
            f"{path}: secret has {len(secret)} bytes; at least {SECRET_BYTES_MIN} are needed"
        )
    return secret
