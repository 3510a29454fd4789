"""``python -m deploy.grafana.build`` writes ``dashboards/*.json`` from ``boards/``, ``queries/``.

What is written is committed, for whoever imports it by hand; a test holds that it is current.
"""

import json
from pathlib import Path

from deploy.grafana.boards import BOARDS
from deploy.grafana.dashboard import dashboard

FOLDER = Path(__file__).parent / "dashboards"


def files() -> dict[Path, str]:
    """Every file and what it has to hold."""
    return {
        FOLDER / f"{board.name}.json": json.dumps(
            dashboard(board, BOARDS), indent=2, ensure_ascii=False
        )
        + "\n"
        for board in BOARDS
    }


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
