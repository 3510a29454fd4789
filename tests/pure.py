"""``python -m tests.pure``: the files of the pure modules, as the import contract names them."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def files() -> list[str]:
    """Relative to the root; a package is everything in it."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    [contract] = [c for c in config["tool"]["importlinter"]["contracts"] if c["id"] == "pure"]
    paths = [module.replace(".", "/") for module in contract["source_modules"]]
    return [f"{path}/*" if (ROOT / path).is_dir() else f"{path}.py" for path in paths]


if __name__ == "__main__":
    print(",".join(files()))
