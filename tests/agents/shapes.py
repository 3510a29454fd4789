"""Machines as text: a recorded /proc and /sys in one file, planted into a folder.

``== path`` begins a file, ``-> path target`` makes a link, ``/ path`` a folder, and
``# …`` before the first of them says what machine it is.
"""

from pathlib import Path

SHAPES = Path(__file__).parent / "trees" / "shapes"


def plant(shape: str, root: Path) -> Path:
    """The tree of ``trees/shapes/SHAPE.txt``, under ``root``."""
    files: dict[Path, list[str]] = {}
    lines: list[str] = []
    for line in (SHAPES / f"{shape}.txt").read_text(encoding="utf-8").splitlines(keepends=True):
        word, _, rest = line.rstrip("\n").partition(" ")
        if word == "==":
            lines = files.setdefault(root / rest, [])
        elif word == "->":
            path, _, target = rest.partition(" ")
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).symlink_to(target)
        elif word == "/":
            (root / rest).mkdir(parents=True, exist_ok=True)
        elif word == "nic":
            _nic(root, rest.split())
        else:
            lines.append(line)
    for file, text in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(text).rstrip("\n") + "\n", encoding="utf-8")
    return root


def _nic(root: Path, words: list[str]) -> None:
    """``nic NAME IFINDEX MAC`` and what else it has, linked as sysfs links it."""
    name, ifindex, mac, *more = words
    said = dict(one.split("=", 1) for one in more)
    slot = said.get("slot")
    real = root / (f"sys/devices/pci/{slot}/net" if slot else "sys/devices/virtual/net") / name
    real.mkdir(parents=True)
    links = root / "sys/class/net"
    links.mkdir(parents=True, exist_ok=True)
    (links / name).symlink_to(Path("../..") / real.relative_to(root / "sys"))
    (real / "ifindex").write_text(f"{ifindex}\n")
    (real / "address").write_text(f"{mac}\n")
    (real / "addr_assign_type").write_text(said.get("kind", "0") + "\n")
    if slot:
        (real / "device").symlink_to(f"../../../{slot}")
        driver = root / "sys/bus/pci/drivers" / said["driver"]
        driver.mkdir(parents=True, exist_ok=True)
        if not (real.parents[1] / "driver").exists():
            (real.parents[1] / "driver").symlink_to(driver)
    if "port" in said:
        (real / "phys_port_name").write_text(said["port"] + "\n")
    if "perm" in said:
        (real / "bonding_slave").mkdir()
        (real / "bonding_slave/perm_hwaddr").write_text(said["perm"] + "\n")
    for lower in filter(None, said.get("lower", "").split(",")):
        (real / f"lower_{lower}").symlink_to(f"../{lower}")
