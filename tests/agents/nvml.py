"""A stand-in for NVIDIA's library, compiled from nvml.c, and the hand that sets up its GPUs."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from ctypes import CDLL, Array, Structure, c_char, c_int, c_uint, c_ulonglong
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from agents.nvml import LIBRARY, Nvml

SOURCE = Path(__file__).with_name("nvml.c")


class Gpu(Structure):
    """``struct gpu`` of nvml.c."""

    _fields_ = (
        ("uuid", c_char * 96),
        *((name, c_int) for name in ("parent", "mig")),
        *((name, c_uint) for name in ("percent", "processes")),
        *((name, c_int) for name in ("no_ecc", "lost", "no_handle", "no_busy", "no_processes")),
        *((name, c_ulonglong) for name in ("energy", "energy_step", "ecc", "used")),
    )


def compiled(folder: Path, *flags: str) -> Path:
    """Skips where there is no C compiler, except on a build server."""
    program = shutil.which("cc") or shutil.which("gcc")
    if program is None:
        why = "no C compiler, so no stand-in for NVIDIA's library: apt install gcc libc6-dev"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    target = folder / LIBRARY
    wanted = [program, "-shared", "-fPIC", "-O2", "-Wall", "-Werror", *flags]
    subprocess.run([*wanted, "-o", target, SOURCE], check=True)
    return target


@cache
def _once(*flags: str) -> bytes:
    folder = mkdtemp(prefix="rackmeter-nvml-")
    try:
        return compiled(Path(folder), *flags).read_bytes()
    finally:
        shutil.rmtree(folder)


class StandIn:
    """A library of its own, whose GPUs are as a test says; ``nvml`` is the agent's view of it."""

    def __init__(self, folder: Path, *flags: str) -> None:
        path = folder / f"{LIBRARY}.{len(list(folder.glob(f'{LIBRARY}*')))}"
        path.write_bytes(_once(*flags))
        self._library = CDLL(str(path))
        self._gpus: Array[Gpu] = (Gpu * 64).in_dll(self._library, "gpus")
        self._int("size").value = 0
        self.nvml = Nvml(str(path))

    def _int(self, name: str) -> c_int:
        return c_int.in_dll(self._library, name)

    def card(self, uuid: str = "GPU-1", mig: Sequence[str] = (), **given: Any) -> Gpu:
        """One more: 40 % busy, held by a process, with a GiB in use."""
        place = self._int("size").value
        wanted = {"percent": 40, "processes": 1, "energy": 5_000, "used": 2**30} | given
        made = self._made(uuid, -1, **wanted, mig=int(bool(mig)))
        for instance in mig:
            self._made(instance, place, processes=1, used=2**20, mig=-1)
        return made

    def _made(self, uuid: str, parent: int, **given: Any) -> Gpu:
        size = self._int("size")
        gpu: Gpu = self._gpus[size.value]
        gpu.uuid = uuid.encode()
        for name, *_ in Gpu._fields_[1:]:
            setattr(gpu, name, {"parent": parent, **given}.get(name, 0))
        size.value += 1
        return gpu

    def event(self, place: int) -> None:
        """A critical error of one of the GPUs."""
        waiting = self._int("waiting")
        (c_uint * 64).in_dll(self._library, "events")[waiting.value] = place
        waiting.value += 1

    def fail(self, *, now: bool) -> None:
        self._int("fails").value = now

    def hang(self, *, now: bool) -> None:
        self._int("hangs").value = now

    @property
    def inits(self) -> int:
        return self._int("inits").value
