"""The calls of NVIDIA's management library that the agent makes, through ctypes. No arithmetic.

Signatures, structures and codes are those of NVIDIA's nvml.h, as of CUDA 12.2
(https://github.com/NVIDIA/go-nvml/blob/main/gen/nvml/nvml.h); a call's newest version comes first,
and an older driver's is taken where it has the same arguments. NVIDIA's own binding would take
17 MB of memory, this takes half of one.
"""

from collections.abc import Iterator
from ctypes import CDLL, POINTER, Structure, byref, c_char_p, c_int, c_uint, c_ulonglong, c_void_p
from ctypes import create_string_buffer as buffer
from typing import Any, Final

LIBRARY: Final = "libnvidia-ml.so.1"
FOLDERS: Final = ("", "/usr/local/nvidia/lib64/", "/run/opengl-driver/lib/")
"""Where the loader looks, then where drivers of containers and NixOS lie."""

INSUFFICIENT_SIZE, LIBRARY_NOT_FOUND, FUNCTION_NOT_FOUND, GPU_IS_LOST = 7, 12, 13, 15
"""nvmlReturn_t; the library has words for the others."""
_UUID_BYTES: Final = 96
"""NVML_DEVICE_UUID_V2_BUFFER_SIZE."""
_UNCORRECTED, _SINCE_LOADED = 1, 0
"""NVML_MEMORY_ERROR_TYPE_UNCORRECTED and NVML_VOLATILE_ECC."""
_XID_CRITICAL: Final = 8
"""nvmlEventTypeXidCriticalError."""

Handle = c_void_p
"""nvmlDevice_t"""


class Utilization(Structure):
    """nvmlUtilization_t: percent."""

    _fields_ = (("gpu", c_uint), ("memory", c_uint))


class Memory(Structure):
    """nvmlMemory_t: bytes."""

    _fields_ = (("total", c_ulonglong), ("free", c_ulonglong), ("used", c_ulonglong))


class EventData(Structure):
    """nvmlEventData_t; the first version ends before the ids of instances."""

    _fields_ = (
        ("device", Handle),
        ("eventType", c_ulonglong),
        ("eventData", c_ulonglong),
        ("gpuInstanceId", c_uint),
        ("computeInstanceId", c_uint),
    )


_COUNT, _HANDLE, _LONG = POINTER(c_uint), POINTER(Handle), POINTER(c_ulonglong)
_CALLS: Final[dict[str, tuple[tuple[str, ...], tuple[Any, ...]]]] = {
    "Init": (("_v2", ""), ()),
    "Shutdown": (("",), ()),
    "DeviceGetCount": (("_v2", ""), (_COUNT,)),
    "DeviceGetHandleByIndex": (("_v2", ""), (c_uint, _HANDLE)),
    "DeviceGetUUID": (("",), (Handle, c_char_p, c_uint)),
    "DeviceGetUtilizationRates": (("",), (Handle, POINTER(Utilization))),
    "DeviceGetComputeRunningProcesses": (("_v3", "_v2", ""), (Handle, _COUNT, c_void_p)),
    "DeviceGetMemoryInfo": (("",), (Handle, POINTER(Memory))),
    "DeviceGetTotalEnergyConsumption": (("",), (Handle, _LONG)),
    "DeviceGetTotalEccErrors": (("",), (Handle, c_int, c_int, _LONG)),
    "DeviceGetMigMode": (("",), (Handle, _COUNT, _COUNT)),
    "DeviceGetMaxMigDeviceCount": (("",), (Handle, _COUNT)),
    "DeviceGetMigDeviceHandleByIndex": (("",), (Handle, c_uint, _HANDLE)),
    "EventSetCreate": (("",), (_HANDLE,)),
    "DeviceRegisterEvents": (("",), (Handle, c_ulonglong, Handle)),
    "EventSetWait": (("_v2", ""), (Handle, POINTER(EventData), c_uint)),
}
"""Without "nvml": versions, newest first, and arguments. The versions of one call differ in what
they fill arrays with, and none is handed over here.
"""


class NvmlError(Exception):
    """What NVML answers instead; ``code`` is its nvmlReturn_t."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(said)
        self.code = code


class Nvml:
    """The library, once it is opened. Whatever it refuses raises NvmlError."""

    def __init__(self, path: str = "") -> None:
        self._paths = (path,) if path else tuple(folder + LIBRARY for folder in FOLDERS)
        self._library: Any = None
        self._functions: dict[str, Any] = {}
        self._events: Handle | None = None
        self.missing: set[str] = set()
        """Calls that were wanted, and that this driver is too old for."""

    def open(self) -> None:
        if self._library is None:
            self._library = self._loaded()
        self._call("Init")
        self._events = None

    def close(self) -> None:
        self._call("Shutdown")

    def count(self) -> int:
        count = c_uint()
        self._call("DeviceGetCount", byref(count))
        return count.value

    def handle(self, index: int) -> Handle:
        handle = Handle()
        self._call("DeviceGetHandleByIndex", index, byref(handle))
        return handle

    def uuid(self, handle: Handle) -> str:
        text = buffer(_UUID_BYTES)
        self._call("DeviceGetUUID", handle, text, _UUID_BYTES)
        return text.value.decode("ascii", "replace")

    def busy_percent(self, handle: Handle) -> int:
        """Of the last second, or part of one."""
        found = Utilization()
        self._call("DeviceGetUtilizationRates", handle, byref(found))
        return int(found.gpu)

    def allocated(self, handle: Handle) -> bool:
        """Whether any process computes on it. Asked with room for none, so that no version's
        layout of a process matters: where there are some, the room does not suffice.
        """
        count = c_uint()
        try:
            self._call("DeviceGetComputeRunningProcesses", handle, byref(count), None)
        except NvmlError as error:
            if error.code != INSUFFICIENT_SIZE:
                raise
            return True
        return count.value > 0

    def memory_used(self, handle: Handle) -> int:
        found = Memory()
        self._call("DeviceGetMemoryInfo", handle, byref(found))
        return int(found.used)

    def energy_mj(self, handle: Handle) -> int:
        """Since the driver was loaded."""
        return self._long("DeviceGetTotalEnergyConsumption", handle)

    def ecc_errors(self, handle: Handle) -> int:
        """Uncorrected ones since the driver was loaded."""
        return self._long("DeviceGetTotalEccErrors", handle, _UNCORRECTED, _SINCE_LOADED)

    def instances(self, handle: Handle) -> Iterator[Handle]:
        """MIG's. None where it is off, or not offered: before driver 450 there was no MIG."""
        mode, pending, most = c_uint(), c_uint(), c_uint()
        try:
            self._call("DeviceGetMigMode", handle, byref(mode), byref(pending))
            if mode.value:
                self._call("DeviceGetMaxMigDeviceCount", handle, byref(most))
        except NvmlError:
            return
        for index in range(most.value):
            instance = Handle()
            try:
                self._call("DeviceGetMigDeviceHandleByIndex", handle, index, byref(instance))
            except NvmlError:
                continue  # slots are numbered to the most possible; empty ones are "not found"
            yield instance

    def watch(self, handles: list[Handle]) -> None:
        """From now on, for critical events; a GPU that offers none has none."""
        events = Handle()
        self._call("EventSetCreate", byref(events))
        for handle in handles:
            try:
                self._call("DeviceRegisterEvents", handle, _XID_CRITICAL, events)
            except NvmlError:
                continue
        self._events = events

    @property
    def watches(self) -> bool:
        return self._events is not None

    def event(self) -> Handle:
        """Of the GPU that the next event is about; raises NvmlError where none waits."""
        found = EventData()
        self._call("EventSetWait", self._events, byref(found), 0)
        return Handle(found.device)

    def _long(self, name: str, *arguments: Any) -> int:
        value = c_ulonglong()
        self._call(name, *arguments, byref(value))
        return value.value

    def _loaded(self) -> CDLL:
        for path in self._paths:
            try:
                return CDLL(path)
            except OSError:
                continue
        raise NvmlError(
            LIBRARY_NOT_FOUND, f"{LIBRARY} is not there: install the one of the driver's version"
        )

    def _call(self, name: str, *arguments: Any) -> None:
        function = self._functions.get(name) or self._found(name)
        code = function(*arguments)
        if code:
            raise NvmlError(code, self._words(code))

    def _found(self, name: str) -> Any:
        versions, arguments = _CALLS[name]
        for version in versions:
            try:
                function = self._library[f"nvml{name}{version}"]
            except AttributeError:
                continue
            function.argtypes, function.restype = arguments, c_int
            self._functions[name] = function
            return function
        if name != "DeviceGetMigMode":
            self.missing.add(f"nvml{name}")
        raise NvmlError(FUNCTION_NOT_FOUND, f"the driver is too old for nvml{name}")

    def _words(self, code: int) -> str:
        function = self._library["nvmlErrorString"]
        function.restype = c_char_p
        said: bytes = function(code) or b""
        return f"{said.decode('ascii', 'replace')}, NVML's error {code}"
