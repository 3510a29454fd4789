"""Exchanges a one-time token for this server's key, and writes the agent's two files. Standard
library only; imported by no one but its command.

The key file is there, empty and its owner's alone, before the token is spent: a folder that cannot
be written costs no token.
"""

import contextlib
import http.client
import ipaddress
import json
import os
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Final

from agents.keyfile import fields_of, private_text
from schemas.errors import ConfigError, DependencyError, RackmeterError

PATH: Final = "/v1/agents/enroll"
TIMEOUT_S: Final = 30.0
ANSWER_BYTES_MAX: Final = 65_536
WANTED: Final = ("server", "kid", "secret", "bootstrap", "topic", "environment")
_AGAIN: Final = (429, 502, 503, 504)


def enroll(url: str, token: str, key_file: Path, config: Path, ca_file: Path | None) -> str:
    """Fetch the key; what was written, in one sentence."""
    if _says_anything(config):
        raise ConfigError(f"{config} exists: name another file with --config, or remove it.")
    beside = config.with_name(f"{config.name}.new")
    with _kept(key_file, 0o600) as keys, _kept(beside, 0o644) as settings:
        given = fetch(url, token, ca_file)
        for name in ("server", "kid", "secret"):
            keys.write(f"{name} = {json.dumps(given[name])}\n")
        settings.write(settings_text(given, key_file, ca_file))
    beside.replace(config)
    return f"{given['server']} has key {given['kid']} in {key_file}; settings are in {config}"


def rotate(url: str, token: str, key_file: Path, ca_file: Path | None) -> tuple[str, str]:
    """The next key in place of the one in the file, at once: server and kid.

    The new file lies beside the old one before the token is spent, and takes its place only with a
    key of the same server in it.
    """
    server = fields_of(key_file, private_text(key_file)).get("server")
    beside = key_file.with_name(f"{key_file.name}.new")
    with _kept(beside, 0o600) as keys:
        given = fetch(url, token, ca_file)
        if server is not None and given["server"] != server:
            raise ConfigError(
                f"The token is for server {given['server']}, the key in {key_file} for {server}."
            )
        for name in ("server", "kid", "secret"):
            keys.write(f"{name} = {json.dumps(given[name])}\n")
    owner = key_file.stat()
    os.chown(beside, owner.st_uid, owner.st_gid)
    beside.replace(key_file)
    return given["server"], given["kid"]


def fetch(url: str, token: str, ca_file: Path | None) -> Mapping[str, str]:
    """One POST. Raises what to do about every answer that is no key."""
    target = _checked(url)
    try:
        trust = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ConfigError(f"{ca_file} is no file of certificates, PEM ({error}).") from None
    request = urllib.request.Request(
        target, json.dumps({"token": token}).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=trust) as answer:
            return _parsed(url, answer.read(ANSWER_BYTES_MAX))
    except urllib.error.HTTPError as error:
        with error:
            raise _refused(url, error.code, error.read(ANSWER_BYTES_MAX)) from None
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "reason", error)
        if isinstance(why, ssl.SSLCertVerificationError):
            raise ConfigError(
                f"{url} shows a certificate that {ca_file or 'this system'} does not vouch for"
                f" ({why.verify_message}): give its authority with --ca-file."
            ) from None
        raise DependencyError(f"{url} does not answer: {why}.") from None


def settings_text(given: Mapping[str, str], key_file: Path, ca_file: Path | None) -> str:
    """The agent's TOML."""
    chosen = {name: given[name] for name in ("server", "bootstrap", "topic", "environment")}
    chosen["key_file"] = str(key_file.absolute())
    kafka = {"security.protocol": given.get("security_protocol", "PLAINTEXT")}
    if ca_file is not None and kafka["security.protocol"].endswith("SSL"):
        kafka["ssl.ca.location"] = str(ca_file.absolute())
    lines = [f"{name} = {json.dumps(value)}" for name, value in chosen.items()]
    lines += ["[kafka]", *(f'"{name}" = {json.dumps(value)}' for name, value in kafka.items())]
    return "\n".join(lines) + "\n"


def _says_anything(config: Path) -> bool:
    """Whether there is a file with more than comments, as a package lays one down."""
    try:
        lines = config.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return False
    except (OSError, UnicodeDecodeError):
        return True
    return any(line.strip() and not line.lstrip().startswith("#") for line in lines)


def _checked(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return url.rstrip("/") + PATH
    if parts.scheme == "http" and _is_loopback(parts.hostname or ""):
        return url.rstrip("/") + PATH
    raise ConfigError(f"--url is {url}; it must be https://host:port, as a key comes back.")


def _is_loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _parsed(url: str, body: bytes) -> Mapping[str, str]:
    try:
        found = json.loads(body)
        given = {name: found[name] for name in WANTED}
        bytes.fromhex(given["secret"])
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"{url} is no rackmeter API: its answer is no key.") from None
    return {str(name): str(value) for name, value in found.items()}


def _refused(url: str, code: int, body: bytes) -> RackmeterError:
    try:
        said = str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        said = "no reason is given"
    kind = DependencyError if code in _AGAIN else ConfigError
    return kind(f"{url} refuses ({code}): {said}")


@contextlib.contextmanager
def _kept(path: Path, mode: int) -> Iterator[IO[str]]:
    """A new file, on the disk at the end; gone again when what it was for fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
    except FileExistsError:
        raise ConfigError(
            f"{path} exists: a key is never overwritten; name another file, or move it away."
        ) from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.") from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, mode)  # the agent's user reads the settings, whatever the umask
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
