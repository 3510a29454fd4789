"""Draws how money and card data flow, and how an account that does not pay comes down.

``python -m docs.draw_payments`` writes docs/pictures/payments-*.svg anew; a test holds that they
are what it would write. The days are those of the settings' defaults.
"""

from html import escape
from pathlib import Path
from typing import Final

from docs.draw_metering import FOLDER, STYLE
from invoicing.collecting.dunning import ORDER, Policy, Stand

WIDTH: Final = 860
MORE: Final = """
.us{fill:#ddf4ff;stroke:#0969da}.them{fill:#fff1e5;stroke:#bc4c00}.who{fill:#f6f8fa;stroke:#818b98}
.way{stroke:#59636e;stroke-width:1.5;fill:none;marker-end:url(#tip)}.card{stroke:#bc4c00}
.tip{fill:#59636e}.s0{fill:#1a7f37}.s1{fill:#9a6700}.s2{fill:#bc4c00}.s3{fill:#d1242f}.s4{fill:#59636e}
@media (prefers-color-scheme:dark){.us{fill:#0c2d6b}.them{fill:#3d1300}.who{fill:#151b23}
.way{stroke:#9198a1}.card{stroke:#db6d28}.tip{fill:#9198a1}}
"""
TOLD: Final = {
    Stand.OVERDUE: "told",
    Stand.RESTRICTED: "nothing new is rented",
    Stand.SUSPENDED: "servers are stopped",
    Stand.TERMINATED: "a person ends it",
}


def flow() -> str:
    """Card data goes from the customer's browser to Stripe, past us."""
    drawn = [
        _box(20, 110, 170, 60, "who", "customer's", "browser"),
        _box(340, 20, 180, 60, "them", "Stripe's own page", "takes the card"),
        _box(660, 20, 180, 60, "them", "Stripe", "charges, pays out"),
        _box(340, 200, 180, 60, "us", "rackmeter", "API and worker"),
        _box(660, 200, 180, 60, "us", "payment collect", "hourly"),
        _box(490, 320, 200, 60, "us", "PostgreSQL", "token, last 4, amounts"),
        _way(190, 125, 338, 62, card=True), _text(196, 76, "1 card number"),
        _way(520, 50, 658, 50, card=True), _text(540, 40, "2 card"),
        _way(690, 82, 522, 198), _text(460, 140, "3 signed event"),
        _way(740, 198, 740, 82), _text(748, 130, "4 token,"), _text(748, 148, "  amount"),
        _way(440, 262, 530, 318), _way(750, 262, 650, 318),
        _way(338, 215, 150, 172), _text(160, 218, "5 link, receipt"),
        _text(20, 330, "orange: card data", "s2"),
        _text(20, 350, "it never touches what is blue", "quiet"),
    ]  # fmt: skip
    words = (
        "The customer's browser sends the card number to a page of Stripe's. Stripe sends rackmeter"
        " signed events; rackmeter sends it a token and an amount, and keeps token, last four"
        " digits and amounts in PostgreSQL. Card numbers never reach rackmeter."
    )
    return _svg(400, "Where card data goes", words, drawn)


def dunning(policy: Policy) -> str:
    """Days after the due date, one stand after the other."""
    last = policy.terminate_days + 8
    left, y = 30, 78

    def x(day: float) -> float:
        return left + day * (WIDTH - 2 * left) / last

    days = [policy.after(stand).days for stand in ORDER]
    drawn = [_text(left, 26, "days after the due date", "quiet")]
    for number, (stand, day) in enumerate(zip(ORDER, days, strict=True)):
        end = days[number + 1] if number + 1 < len(days) else last
        drawn.append(
            f'<rect class="s{number}" x="{x(day):.1f}" y="{y}" width="{x(end) - x(day):.1f}"'
            ' height="26"/>'
        )
        if number:
            low = y + 46 if number % 2 else y + 92
            drawn.append(_text(x(day), 70, str(day), "quiet"))
            drawn.append(_text(x(day), low, stand.value, "sum"))
            drawn.append(_text(x(day), low + 18, TOLD[stand]))
        if number > 1:
            noticed = day - policy.notice_days
            drawn.append(f'<circle class="dot" cx="{x(noticed):.1f}" cy="{y + 13}" r="6"/>')
    tries, day = [0], 0
    for wait in policy.retry_days:
        day += wait
        tries.append(day)
    drawn += [f'<path d="M{x(d):.1f} 44l-5 -9h10z" class="s2"/>' for d in tries]
    drawn.append(_text(x(tries[-1]) + 16, 44, "the card is charged, after a decline again"))
    drawn.append('<circle class="dot" cx="36" cy="222" r="6"/>')
    drawn.append(_text(50, 226, f"notice, at least {policy.notice_days} days before, however late"))
    words = "; ".join(f"{s} from day {d}" for s, d in zip(ORDER[1:], days[1:], strict=True))
    return _svg(240, "How an account that does not pay comes down", words, drawn)


def drawings() -> dict[Path, str]:
    """File → what it is to hold."""
    return {
        FOLDER / "payments-flow.svg": flow(),
        FOLDER / "payments-dunning.svg": dunning(Policy()),
    }


def _svg(height: int, title: str, words: str, drawn: list[str]) -> str:
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}><title>{escape(title)}</title>'
        f"<desc>{escape(words)}</desc><style>{STYLE}{MORE}</style>\n"
        '<defs><marker id="tip" markerWidth="9" markerHeight="9" refX="7" refY="4" orient="auto">'
        '<path class="tip" d="M0 0L8 4L0 8z"/></marker></defs>\n'
        f'<rect class="paper" width="{WIDTH}" height="{height}"/>\n'
        + "\n".join([*drawn, "</svg>\n"])
    )


def _box(x: int, y: int, wide: int, high: int, kind: str, name: str, what: str) -> str:
    middle = x + wide / 2
    return (
        f'<rect class="{kind}" x="{x}" y="{y}" width="{wide}" height="{high}" rx="6"/>'
        + _text(middle, y + 26, name, "sum mid") + _text(middle, y + 46, what, "mid")
    )  # fmt: skip


def _way(x: int, y: int, x2: int, y2: int, *, card: bool = False) -> str:
    kind = "way card" if card else "way"
    return f'<path class="{kind}" d="M{x} {y}L{x2} {y2}"/>'


def _text(x: float, y: float, words: str, kind: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(words)}</text>'


def main() -> None:
    """Writes them."""
    for path, drawn in drawings().items():
        path.write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    main()
