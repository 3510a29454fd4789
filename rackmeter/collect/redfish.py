"""Energy of chassis, from their controllers (BMCs) by Redfish over HTTPS. No arithmetic across
readings.

A chassis shows it in one of three places, the first that answers is read: EnvironmentMetrics
(PowerWatts, EnergyJoules, EnergykWh), Power (PowerControl, whose first entry is the whole chassis)
and each supply's metrics (InputPowerWatts) below PowerSubsystem (DMTF DSP0268, 2024.1). Whether
power or a counter of energy is read is said in the configuration: one after the other of the same
chassis would count twice. A chassis inside one that is metered is not metered.
"""

import asyncio
import json
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256
from hmac import compare_digest
from http.client import HTTPException, HTTPSConnection
from ssl import CERT_NONE, SSLContext, create_default_context
from typing import Any, Final, Literal

from agents import clock
from agents.sample import Sample, resource_name
from rackmeter.collect.source import Seen

METERS: Final = frozenset({"chassis.energy_mj"})
ROOT: Final = "/redfish/v1/Chassis"
BYTES_MAX: Final = 2**20
"""A controller's largest document is some tens of kilobytes."""
CHASSIS_MAX: Final = 256
TIMEOUT_S: Final = 20.0
"""For one answer: controllers are slow computers."""
Reads = Literal["power", "energy"]
Document = Mapping[str, Any]
_NJ_IN_MJ: Final = 10**6
_MJ_IN: Final = {"EnergyJoules": Decimal(1000), "EnergykWh": Decimal(3_600_000_000)}
_WATTS: Final = ("PowerWatts", "InputPowerWatts")


class SilentError(Exception):
    """The controller gave no answer that can be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Login:
    """How to be sure of the controller, and who asks. A password is sent after it is sure."""

    user: str
    password: str = field(repr=False)
    trust: SSLContext
    fingerprint: str = ""
    """SHA-256 of the controller's certificate in hex; then no authority has to vouch for it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a chassis, or one of its supplies, shows what it takes."""

    chassis: str
    resource: str
    path: str


@dataclass(slots=True)
class Bmc:
    """One controller, and which reported server its chassis are: all one, or by their ids."""

    name: str
    host: str
    port: int
    login: Login
    reads: Reads
    server: str = ""
    chassis: Mapping[str, str] = field(default_factory=dict)
    meters: frozenset[str] = METERS
    _places: tuple[Place, ...] = ()

    @property
    def servers(self) -> frozenset[str]:
        return frozenset(self.chassis.values()) or frozenset({self.server})

    async def look(self) -> Seen:
        try:
            samples = await asyncio.to_thread(self._read)
        except (SilentError, OSError, HTTPException, ValueError, ArithmeticError) as error:
            self._places = ()
            said = f"controller {self.name} at {self.host}: {str(error) or type(error).__name__}"
            return Seen(clock.now(), said=said)
        missing = [one for one in self.servers if one not in samples]
        what = "power" if self.reads == "power" else 'energy; reads = "power" may find some'
        said = f"controller {self.name} shows no {what} of {', '.join(sorted(missing))}"
        return Seen(clock.now(), samples, said if missing else "")

    def _read(self) -> dict[str, tuple[Sample, ...]]:
        with _Session(self.host, self.port, self.login) as session:
            if not self._places:
                self._places = tuple(self._find(session))
            samples: dict[str, tuple[Sample, ...]] = {}
            for place in self._places:
                server = self.chassis.get(place.chassis, self.server)
                found = sample(session.get(place.path), self.reads, self.name, place)
                if found is not None:
                    samples[server] = (*samples.get(server, ()), found)
        return samples

    def _find(self, session: "_Session") -> Iterator[Place]:
        members = links(session.get(ROOT).get("Members"))[:CHASSIS_MAX]
        known = {path: session.get(path) for path in members}
        found: dict[str, list[Place]] = {}
        for path, document in known.items():
            name = str(document.get("Id") or path.rpartition("/")[2])
            if not self.chassis or name in self.chassis:
                found[path] = self._places_of(session, name, document)
        for path, places in found.items():
            inside = not self.chassis and any(found.get(one) for one in _around(known, path))
            yield from () if inside else places

    def _places_of(self, session: "_Session", name: str, document: Document) -> list[Place]:
        """The first kind of place that shows anything."""
        for kind in ("EnvironmentMetrics", "Power"):
            for path in links(document.get(kind)):
                if amount(session.get(path), self.reads) is not None:
                    return [Place(name, name, path)]
        places = []
        for subsystem in links(document.get("PowerSubsystem")):
            for supplies in links(session.get(subsystem).get("PowerSupplies")):
                for supply in links(session.get(supplies).get("Members")):
                    one = session.get(supply)
                    places += [
                        Place(name, f"{name}/{one.get('Id')}", path)
                        for path in links(one.get("Metrics"))
                    ]
        return places


def amount(document: Document, reads: Reads) -> int | None:
    """Microwatts, or millijoules; None where it is not shown, or is null."""
    if reads == "energy":
        for name, scale in _MJ_IN.items():
            counted = _reading(document.get(name))
            if counted is not None:
                return int(counted * scale)
        return None
    controls = document.get("PowerControl")
    first = controls[0] if isinstance(controls, list) and controls else {}
    shown = [_reading(document.get(name)) for name in _WATTS]
    shown.append(_number(first.get("PowerConsumedWatts")) if isinstance(first, dict) else None)
    watts = next((one for one in shown if one is not None), None)
    return None if watts is None else int(watts * 10**6)


def sample(document: Document, reads: Reads, name: str, place: Place) -> Sample | None:
    value = amount(document, reads)
    if value is None:
        return None
    resource = resource_name(f"{name}/{place.resource}".encode())
    device, level = f"{resource} {reads}", reads == "power"
    unit = 1 if level else _NJ_IN_MJ
    return Sample("chassis.energy_mj", resource, value, device, unit=unit, level=level)


def links(found: object) -> list[str]:
    """Paths of a reference, or of a list of them; nothing that leads away from this service."""
    if isinstance(found, list):
        return [path for one in found for path in links(one)]
    path = found.get("@odata.id") if isinstance(found, dict) else None
    return [path] if isinstance(path, str) and path.startswith("/redfish/") else []


def _around(known: Mapping[str, Document], path: str) -> Iterator[str]:
    """The chassis that a chassis is in, from the inside out."""
    seen = {path}
    while path in known:
        contained = known[path].get("Links")
        outer = links(contained.get("ContainedBy")) if isinstance(contained, dict) else []
        if not outer or outer[0] in seen:
            return
        path = outer[0]
        seen.add(path)
        yield path


def _reading(sensor: object) -> Decimal | None:
    return _number(sensor.get("Reading")) if isinstance(sensor, dict) else None


def _number(found: object) -> Decimal | None:
    """JSON has no NaN; nobody takes less than nothing."""
    number = Decimal(found) if isinstance(found, int | Decimal) else None
    return number if number is not None and number.is_finite() and number >= 0 else None


class _Session:
    """One connection, for one look."""

    def __init__(self, host: str, port: int, login: Login) -> None:
        trust = login.trust
        self._login = login
        self._host = host
        self._connection = HTTPSConnection(host, port, timeout=TIMEOUT_S, context=trust)
        word = b64encode(f"{login.user}:{login.password}".encode()).decode("ascii")
        self._headers = {
            "Authorization": f"Basic {word}", "Accept": "application/json", "OData-Version": "4.0",
        }  # fmt: skip

    def __enter__(self) -> "_Session":
        self._connection.connect()
        if self._login.fingerprint:
            shown = sha256(self._connection.sock.getpeercert(binary_form=True) or b"").hexdigest()
            if not compare_digest(shown, self._login.fingerprint):
                self._connection.close()
                raise SilentError(f"its certificate has another fingerprint: {shown}")
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def get(self, path: str) -> Document:
        self._connection.request("GET", path, headers=self._headers)
        answer = self._connection.getresponse()
        body = answer.read(BYTES_MAX + 1)
        if answer.status == 401:
            raise SilentError(f"it refuses user {self._login.user} or the password")
        if answer.status != 200:
            raise SilentError(f"it answers {answer.status} for {path}")
        if len(body) > BYTES_MAX:
            raise SilentError(f"it answers with more than {BYTES_MAX >> 20} MiB for {path}")
        document = json.loads(body, parse_float=Decimal)
        if not isinstance(document, dict):
            raise SilentError(f"its answer for {path} is not an object")
        return document


def trusting(ca_file: str | None, fingerprint: str) -> SSLContext:
    """Of an authority, or of one certificate that is compared by us. Raises OSError."""
    context = create_default_context(cafile=ca_file)
    if fingerprint:
        context.check_hostname = False
        context.verify_mode = CERT_NONE
    return context
