"""Octets of a switch's ports, by SNMP v2c or v3. No arithmetic across readings.

Read are the 64-bit counters of IF-MIB (RFC 2863): ifHCInOctets is what the port received, which is
what the server behind it sent; where a port has none, its 32-bit ones, as long as looks are close
(rackmeter/collect/narrow.py). A port is known by its ifName; its ifIndex is looked up, and again
when the name at that index changes, as after a reboot of a switch. Counters that were interrupted
(ifCounterDiscontinuityTime moved) start a new device: what passed at the interruption nobody knows,
and nothing is counted for it. A switch that booted shows smaller values, counted from zero.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pysnmp.error import PySnmpError
from pysnmp.hlapi.v3arch.asyncio import (
    USM_AUTH_HMAC96_SHA,
    USM_AUTH_HMAC192_SHA256,
    USM_AUTH_HMAC384_SHA512,
    USM_AUTH_NONE,
    USM_PRIV_CFB128_AES,
    USM_PRIV_CFB256_AES,
    USM_PRIV_NONE,
    CommunityData,
    ContextData,
    ObjectIdentity,
    ObjectType,
    SnmpEngine,
    UdpTransportTarget,
    UsmUserData,
    bulk_walk_cmd,
    get_cmd,
)
from pysnmp.proto.rfc1905 import EndOfMibView, NoSuchInstance, NoSuchObject

from agents import clock
from agents.sample import Sample, resource_name
from rackmeter.collect import narrow
from rackmeter.collect.source import Seen

METERS: Final = frozenset({"port.rx_bytes", "port.tx_bytes"})
AUTH: Final = {
    "": USM_AUTH_NONE,
    "sha1": USM_AUTH_HMAC96_SHA,
    "sha256": USM_AUTH_HMAC192_SHA256,
    "sha512": USM_AUTH_HMAC384_SHA512,
}
PRIVACY: Final = {"": USM_PRIV_NONE, "aes128": USM_PRIV_CFB128_AES, "aes256": USM_PRIV_CFB256_AES}

IF_NAME: Final = "1.3.6.1.2.1.31.1.1.1.1"
IF_HC_IN: Final = "1.3.6.1.2.1.31.1.1.1.6"
IF_HC_OUT: Final = "1.3.6.1.2.1.31.1.1.1.10"
IF_DISCONTINUITY: Final = "1.3.6.1.2.1.31.1.1.1.19"
COLUMNS: Final = (IF_NAME, IF_HC_IN, IF_HC_OUT, IF_DISCONTINUITY)
UPTIME: Final = "1.3.6.1.2.1.1.3.0"
NARROW: Final = (
    "1.3.6.1.2.1.2.2.1.10",  # ifInOctets
    "1.3.6.1.2.1.2.2.1.16",  # ifOutOctets
    "1.3.6.1.2.1.31.1.1.1.15",  # ifHighSpeed, Mbit/s
    IF_DISCONTINUITY,
)
PORTS_AT_ONCE: Final = 10
"""Forty values fit one datagram of 1,472 bytes, names of thirty characters included."""
TIMEOUT_S, RETRIES = 2.0, 2
MISSING: Final = (NoSuchObject, NoSuchInstance, EndOfMibView)


class SilentError(Exception):
    """The switch gave no answer that can be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Login:
    """Version 2c where there is a community, else 3. Secrets are shown to nobody."""

    community: str = field(default="", repr=False)
    user: str = ""
    auth: str = ""
    auth_secret: str = field(default="", repr=False)
    privacy: str = ""
    privacy_secret: str = field(default="", repr=False)


class Engines:
    """One SNMP engine for all switches with the same login: making one takes a third of a second.

    Not one for all: an engine knows a user's name with one set of secrets.
    """

    def __init__(self) -> None:
        self._made: dict[Login, Any] = {}

    def of(self, login: Login) -> Any:
        """In a running event loop."""
        if login not in self._made:
            self._made[login] = SnmpEngine()
        return self._made[login]

    def close(self) -> None:
        for engine in self._made.values():
            engine.close_dispatcher()
        self._made.clear()


@dataclass(slots=True)
class Switch:
    """One switch, and which server is plugged to which of its ports: ifName → reported server."""

    name: str
    host: str
    port: int
    login: Login
    ports: Mapping[str, str]
    engines: Engines = field(default_factory=Engines)
    interval_ms: int = 60_000
    """Between two looks, as configured."""
    meters: frozenset[str] = METERS
    _stretches: dict[str, narrow.Stretch] = field(default_factory=dict)
    _target: Any = None
    _index: dict[str, int] = field(default_factory=dict)

    @property
    def servers(self) -> frozenset[str]:
        return frozenset(self.ports.values())

    async def look(self) -> Seen:
        try:
            rows = await self._rows()
            found = {port: _samples(self.name, port, *row) for port, row in rows.items()}
            said = [await self._look_narrow(one, found) for one in self.ports if one not in rows]
        except (SilentError, PySnmpError, OSError) as error:
            self._index.clear()
            return Seen(clock.now(), said=f"switch {self.name} at {self.host}: {error}")
        now = clock.now()
        samples: dict[str, tuple[Sample, ...]] = {}
        for port, of_port in found.items():
            server = self.ports[port]
            samples[server] = (*samples.get(server, ()), *of_port)
        wrong = "; ".join(filter(None, said))
        return Seen(now, samples, f"switch {self.name}: {wrong}" if wrong else "")

    async def _look_narrow(self, port: str, found: dict[str, tuple[Sample, ...]]) -> str:
        """Adds the samples of a port without 64-bit counters; why not, where it cannot."""
        if port not in self._index:
            return f"there is no port {port}"
        wanted = [UPTIME, *(f"{oid}.{self._index[port]}" for oid in NARROW)]
        asked = _checked(await self._get([ObjectType(ObjectIdentity(oid)) for oid in wanted]))
        if any(isinstance(one, MISSING) for _, one in asked[1:3]):
            return f"{port} has no counters"
        uptime, rx, tx, mbit_s, broken = (
            0 if isinstance(one, MISSING) else int(one) for _, one in asked
        )
        stretch = narrow.after(self._stretches.get(port), clock.now().up_ms, uptime, mbit_s)
        most_ms = narrow.look_ms_max(stretch.mbit_s)
        if self.interval_ms >= most_ms:
            why = f"at {stretch.mbit_s} Mbit/s: interval must be below {most_ms / 1000:g}"
            why = why if most_ms else "and does not say its speed"
            return f"{port} is not metered: it counts in 32 bits, {why}"
        self._stretches[port] = stretch
        device = f"{self.name}/{port}@{broken} in 32 bits since {stretch.since_up_ms}"
        of_port = _samples(self.name, port, rx, tx, broken)
        found[port] = tuple(replace(one, device=device, bits=32) for one in of_port)
        return ""

    async def _rows(self) -> dict[str, tuple[int, int, int]]:
        """By port: octets in, octets out, discontinuity. Twice, where indices have moved."""
        await self._open()
        for _ in range(2):
            if not self._index:
                self._index = await self._find()
            rows, moved = await self._read()
            if not moved:
                return rows
            self._index.clear()
        raise SilentError("its ports change their places while they are read")

    async def _open(self) -> None:
        if self._target is None:
            self._target = await UdpTransportTarget.create(
                (self.host, self.port), timeout=TIMEOUT_S, retries=RETRIES
            )

    async def _find(self) -> dict[str, int]:
        """The ifIndex of each wanted port."""
        found: dict[str, int] = {}
        walk = bulk_walk_cmd(
            *self._to(), 0, 25, ObjectType(ObjectIdentity(IF_NAME)),
            lexicographicMode=False, lookupMib=False,
        )  # fmt: skip
        async for answer in walk:
            for oid, value in _checked(answer):
                if not str(oid).startswith(f"{IF_NAME}."):
                    return found
                name = bytes(value).decode("utf-8", "replace")
                if name in self.ports:
                    found[name] = int(str(oid).rpartition(".")[2])
        return found

    async def _read(self) -> tuple[dict[str, tuple[int, int, int]], bool]:
        rows: dict[str, tuple[int, int, int]] = {}
        for part in _parts(list(self._index.items())):
            wanted = [
                ObjectType(ObjectIdentity(f"{oid}.{index}")) for _, index in part for oid in COLUMNS
            ]
            values = [value for _, value in _checked(await self._get(wanted))]
            if len(values) != len(wanted):
                raise SilentError("it answered something else than it was asked")
            for place, (port, _) in enumerate(part):
                name, rx, tx, broken = values[4 * place : 4 * place + 4]
                if isinstance(name, MISSING) or bytes(name).decode("utf-8", "replace") != port:
                    return {}, True
                if not isinstance(rx, MISSING) and not isinstance(tx, MISSING):
                    since = 0 if isinstance(broken, MISSING) else int(broken)
                    rows[port] = int(rx), int(tx), since
        return rows, False

    async def _get(self, wanted: Sequence[ObjectType]) -> Any:
        return await get_cmd(*self._to(), *wanted, lookupMib=False)

    def _to(self) -> tuple[Any, Any, Any, Any]:
        engine = self.engines.of(self.login)
        return engine, _authority(self.login), self._target, ContextData()


def _authority(login: Login) -> CommunityData | UsmUserData:
    if login.community:
        return CommunityData(login.community, mpModel=1)
    return UsmUserData(
        login.user,
        login.auth_secret or None,
        login.privacy_secret or None,
        authProtocol=AUTH[login.auth],
        privProtocol=PRIVACY[login.privacy],
    )


def _checked(answer: Any) -> Any:
    """The pairs of an answer; raises SilentError."""
    indication, status, place, pairs = answer
    if indication:
        raise SilentError(str(indication))
    if status:
        raise SilentError(f"it refuses value {int(place)} of a request ({status.prettyPrint()})")
    return pairs


def _samples(switch: str, port: str, rx: int, tx: int, broken: int) -> tuple[Sample, ...]:
    name, device = resource_name(f"{switch}/{port}".encode()), f"{switch}/{port}@{broken}"
    return (
        Sample("port.rx_bytes", name, rx, device),
        Sample("port.tx_bytes", name, tx, device),
    )


def _parts(ports: list[tuple[str, int]]) -> Iterator[list[tuple[str, int]]]:
    for at in range(0, len(ports), PORTS_AT_ONCE):
        yield ports[at : at + PORTS_AT_ONCE]
