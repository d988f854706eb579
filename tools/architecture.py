"""Draw how the project's packages import each other, from the import graph itself: ``make architecture``.

The rows are the layers of the contract in `pyproject.toml`, which `make lint` enforces. The lines are the imports that
grimp, on which import-linter is built, finds in the code. A test checks that `docs/architecture.svg` is up to date.
"""

from __future__ import annotations

from html import escape

import grimp
from importlinter import api

from common import ROOT

PICTURE = ROOT / "docs" / "architecture.svg"
WIDTH, ROW, HEIGHT, GAP = 940, 96, 40, 26
"""The width of the picture, the distance of rows, the height of a box, and the gap between boxes, in pixels."""
OFFSET = 130
"""The offset of a box that is alone in its row, so that lines can pass it, in pixels."""
BOTTOM, TOP = "common", "tools"
"""The package that all others may import, and the one that may import all others; their lines are left out."""
STYLE = """\
  text { font: 14px system-ui, sans-serif; text-anchor: middle; fill: #1f2933; }
  rect { fill: #eef4fb; stroke: #0072b2; stroke-width: 1.5; }
  .top rect { fill: #fdf1e7; stroke: #d55e00; }
  .bottom rect { fill: #eef7f1; stroke: #009e73; }
  path { fill: none; stroke: #52606d; stroke-width: 1.3; opacity: 0.75; }
  .note { font-size: 12px; fill: #52606d; }"""


def read_layers() -> list[list[str]]:
    """Return the packages of each layer, the highest first."""
    contracts = api.read_configuration()["contracts_options"]
    (contract,) = (contract for contract in contracts if contract["type"] == "layers")
    return [[name.strip() for name in layer.split("|")] for layer in contract["layers"]]


def read_imports(layers: list[list[str]]) -> set[tuple[str, str]]:
    """Return the pairs of packages of which the first imports the second."""
    graph = grimp.build_graph(*(name for layer in layers for name in layer), cache_dir=None)
    pairs = {
        (importer.partition(".")[0], imported.partition(".")[0])
        for importer in graph.modules
        for imported in graph.find_modules_directly_imported_by(importer)
    }
    return {(importer, imported) for importer, imported in pairs if importer != imported}


def draw(layers: list[list[str]], imports: set[tuple[str, str]]) -> str:
    """Return the picture as SVG: a row for each layer, a line for each import."""
    positions: dict[str, tuple[float, float, float]] = {}
    offset = OFFSET
    for row, names in enumerate(layers):
        widths = [9.0 * len(name) + 24 for name in names]
        x = (WIDTH - sum(widths) - GAP * (len(names) - 1)) / 2
        if len(names) == 1 and names[0] not in (TOP, BOTTOM):
            x, offset = x + offset, -offset
        for name, width in zip(names, widths, strict=True):
            positions[name] = (x + width / 2, 20 + row * ROW, width)
            x += width + GAP
    shown = [pair for pair in sorted(imports) if pair[0] != TOP and pair[1] != BOTTOM]
    lines = [line(positions[importer], positions[imported]) for importer, imported in shown]
    boxes = [box(name, *position) for name, position in positions.items()]
    height = 20 + len(layers) * ROW
    independent = sorted(name for name in positions if (name, BOTTOM) not in imports and name != BOTTOM)
    note = f"Not drawn: {TOP} imports what it needs; every package imports {BOTTOM}"
    note += f", except {', '.join(independent)}." if independent else "."
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
            'aria-labelledby="title">',
            '<title id="title">The packages in their layers. Imports go downwards only.</title>',
            f"<style>\n{STYLE}\n</style>",
            '<rect width="100%" height="100%" rx="12" style="fill:#ffffff;stroke:none"/>',
            *lines,
            *boxes,
            f'<text class="note" x="{WIDTH / 2:g}" y="{height - 34}">{escape(note)}</text>',
            "</svg>\n",
        ]
    )


def line(start: tuple[float, float, float], end: tuple[float, float, float]) -> str:
    """Return a curve from the bottom of one box to the top of another."""
    (x1, y1, _), (x2, y2, _) = start, end
    y1, bend = y1 + HEIGHT, (y2 - y1 - HEIGHT) / 2
    return f'<path d="M{x1:g} {y1:g}C{x1:g} {y1 + bend:g} {x2:g} {y2 - bend:g} {x2:g} {y2:g}"/>'


def box(name: str, x: float, y: float, width: float) -> str:
    """Return a package's box with its name."""
    kind = {TOP: "top", BOTTOM: "bottom"}.get(name, "package")
    return (
        f'<g class="{kind}"><rect x="{x - width / 2:g}" y="{y:g}" width="{width:g}" height="{HEIGHT}" rx="8"/>'
        f'<text x="{x:g}" y="{y + 25:g}">{escape(name)}</text></g>'
    )


def main() -> None:
    """Write the picture."""
    layers = read_layers()
    PICTURE.write_text(draw(layers, read_imports(layers)))
    print(PICTURE.relative_to(ROOT))


if __name__ == "__main__":
    main()
