"""The picture of the ratios: SVG, for light and dark pages."""

from collections.abc import Iterable, Mapping

from lab.benchmarks.measure import OPERATIONS, Samples, economy

BAR, GAP, LABEL, PANEL, TOP = 11, 12, 58, 380, 62
COLORS = {
    "limit": "#8b949e",
    "ours": "#2f81f7",
    "before": "#a5d6ff",
    "starlette": "#3fb950",
    "litestar": "#a371f7",
    "orm": "#d29922",
}

STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #1f2328; }
  .small { font-size: 10px; }
  .title { font-weight: 600; }
  .line { stroke: #8b949e; stroke-dasharray: 2 3; }
  .spread { stroke: #1f2328; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .spread { stroke: #e6edf3; }
  }
"""


def text(x: float, y: float, said: str, style: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" class="{style}" text-anchor="{anchor}">{said}</text>'


def group_height(samples: Mapping[str, Samples]) -> int:
    return len(samples[OPERATIONS[0]]) * BAR + GAP


def panel(left: float, title: str, samples: Mapping[str, Samples], most: float) -> list[str]:
    """Return the bars of one database, from `left`. `most` is the ratio at the right edge."""
    zero = left + LABEL
    scale = (PANEL - LABEL - 44) / most
    group = group_height(samples)
    bottom = TOP + len(OPERATIONS) * group - GAP
    parts = [text(zero, TOP - 14, title, "title")]
    for number, operation in enumerate(OPERATIONS):
        top = TOP + number * group
        parts.append(text(zero - 8, top + group / 2, operation, anchor="end"))
        for place, name in enumerate(samples[operation]):
            ratio = economy(samples[operation], name)
            y = top + place * BAR
            width, middle = ratio.median * scale, y + BAR / 2 - 0.5
            parts.append(
                f'<rect x="{zero}" y="{y}" width="{width:.1f}" height="{BAR - 1}" '
                f'fill="{COLORS[name]}"/>'
            )
            if name != "limit":
                ends = f'x1="{zero + ratio.least * scale:.1f}" x2="{zero + ratio.most * scale:.1f}"'
                parts.append(f'<line {ends} y1="{middle}" y2="{middle}" class="spread"/>')
            end = zero + max(ratio.median, ratio.most) * scale
            parts.append(text(end + 5, y + BAR - 2, f"{ratio.median:.2f}", "small"))
    one = zero + scale
    parts.append(
        f'<line x1="{one:.1f}" x2="{one:.1f}" y1="{TOP - 6}" y2="{bottom + 2}" class="line"/>'
    )
    return parts


def legend(subjects: Iterable[str]) -> list[str]:
    parts = []
    for place, name in enumerate(subjects):
        x = LABEL + place * 82
        parts.append(
            f'<rect x="{x}" y="20" width="10" height="10" fill="{COLORS[name]}"/>'
            + text(x + 15, 29, name)
        )
    return parts


def plot(panels: Mapping[object, Mapping[str, Samples]]) -> str:
    """Return a picture with a panel for each title, side by side and to one scale."""
    most = max(
        economy(samples[operation], name).most
        for samples in panels.values()
        for operation in OPERATIONS
        for name in samples[operation]
    )
    [first, *_] = panels.values()
    width, height = len(panels) * PANEL, TOP + len(OPERATIONS) * group_height(first) + 4
    parts = [
        *legend(first[OPERATIONS[0]]),
        text(width - 8, 29, "requests per CPU second, limit = 1.00", anchor="end"),
    ]
    for place, (title, samples) in enumerate(panels.items()):
        parts += panel(place * PANEL, str(title), samples, most)
    return "\n".join((
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" '
        'aria-label="Requests per CPU second, compared with the limit">',
        f"<style>{STYLE}</style>",
        *parts,
        "</svg>\n",
    ))  # fmt: skip
