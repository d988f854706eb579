"""Draw how the project's packages import each other, from the import graph itself: ``make architecture``.

The rows are the layers of the contract in `pyproject.toml`, which `make lint` enforces; the lines are the imports that
grimp, import-linter's own reader, finds in the code. A test holds `docs/architecture.svg` to both.
"""

from __future__ import annotations

from html import escape

import grimp
from importlinter import api

from common import ROOT

PICTURE = ROOT / "docs" / "architecture.svg"
WIDTH, ROW, HEIGHT, GAP = 940, 96, 40, 26
"""The picture's width, the distance of rows, a box's height, and the least distance of boxes, in pixels."""
ASIDE = 130
"""How far a box that is alone in its row stands to one side, so that lines pass it, in pixels."""
GROUND, ROOF = "common", "tools"
"""The packages that everything may import, and that may import everything; their lines would hide the others."""
STYLE = """\
  text { font: 14px system-ui, sans-serif; text-anchor: middle; fill: #1f2933; }
  rect { fill: #eef4fb; stroke: #0072b2; stroke-width: 1.5; }
  .roof rect { fill: #fdf1e7; stroke: #d55e00; }
  .ground rect { fill: #eef7f1; stroke: #009e73; }
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
    places: dict[str, tuple[float, float, float]] = {}
    side = ASIDE
    for row, names in enumerate(layers):
        widths = [9.0 * len(name) + 24 for name in names]
        x = (WIDTH - sum(widths) - GAP * (len(names) - 1)) / 2
        if len(names) == 1 and names[0] not in (ROOF, GROUND):
            x, side = x + side, -side
        for name, width in zip(names, widths, strict=True):
            places[name] = (x + width / 2, 20 + row * ROW, width)
            x += width + GAP
    drawn = [pair for pair in sorted(imports) if pair[0] != ROOF and pair[1] != GROUND]
    lines = [line(places[importer], places[imported]) for importer, imported in drawn]
    boxes = [box(name, *place) for name, place in places.items()]
    height = 20 + len(layers) * ROW
    idle = sorted(name for name in places if (name, GROUND) not in imports and name != GROUND)
    note = f"Not drawn: {ROOF} imports what it needs; every package imports {GROUND}"
    note += f", except {', '.join(idle)}." if idle else "."
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
    kind = {ROOF: "roof", GROUND: "ground"}.get(name, "package")
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
