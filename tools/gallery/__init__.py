"""Executed notebooks as a small linked site: a page each, and one that lists them.

``make tutorial`` writes it as it goes, ``make html`` anew from what was executed.
"""

import base64
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from PIL import Image

from common import ROOT

TEMPLATES = Path(__file__).with_name("templates")
GIF = re.compile(r'src="data:image/gif;base64,([^"]+)"')
CARD = "card"
"""Tag of the cell whose picture stands for its notebook; without it the last picture does."""
LINK = re.compile(r"\]\(([0-9]{2}_\w+)\.ipynb\)")
SOLUTION_LINK = re.compile(r"\[[^]]+\]\((solutions/\w+\.ipynb)\)")  # of which the site has no page
FILE_LINK = re.compile(r"(?<!!)\[[^]]+\]\(\.\./([\w./-]+)\)")  # to a file of the project, which it lacks, too
OVERVIEW = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Train Unity ML-Agents on Amazon SageMaker</title>
<style>
{style}
</style>
</head>
<body class="overview">
<h1>Train Unity ML-Agents on Amazon SageMaker</h1>
<p>The notebooks as they ran, one after another.</p>
<ol class="cards">
{cards}
</ol>
</body>
</html>
"""


@dataclass(frozen=True)
class Page:
    """A notebook's place in the site.

    Attributes
    ----------
    number : int
    title : str
        Without the number.
    goal : str
        What its card says that one will do there.
    file : str
        Name of its HTML file.
    picture : str
        A PNG, base64-encoded, of the cell that is tagged for it, else the last one; empty if there is none. Of a moving
        picture it is the first frame.
    """

    number: int
    title: str
    goal: str
    file: str
    picture: str


def describe(notebook: Path) -> Page:
    """Read a notebook's title, goal and picture."""
    cells = nbformat.read(notebook, as_version=4).cells
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    title = re.search(r"^# (\d+) · (.+)$", prose, re.MULTILINE)
    goal = re.search(r"^\| \*\*You will\*\* \| (.+?) \|$", prose, re.MULTILINE)
    tagged = [cell for cell in cells if CARD in cell.metadata.get("tags", [])]
    pictures = [
        picture for cell in tagged or cells for output in cell.get("outputs", []) for picture in _pictures(output)
    ]
    return Page(
        number=int(title[1]),
        title=title[2],
        goal=goal[1].replace("`", ""),
        file=notebook.with_suffix(".html").name,
        picture=pictures[-1] if pictures else "",
    )


def _pictures(output: nbformat.NotebookNode) -> Iterator[str]:
    """Yield an output's pictures as PNG, base64-encoded."""
    data = output.get("data", {})
    if "image/png" in data:
        yield data["image/png"].replace("\n", "")
    for gif in GIF.findall(data.get("text/html", "")):
        first = io.BytesIO()
        Image.open(io.BytesIO(base64.b64decode(gif))).convert("RGB").save(first, "PNG")
        yield base64.b64encode(first.getvalue()).decode()


def write_page(executed: Path, folder: Path, pages: Sequence[Page]) -> Path:
    """Write an executed notebook as a page.

    Parameters
    ----------
    executed : Path
    folder : Path
        The site's folder.
    pages : sequence of Page
        All pages of the site, for the links to them.

    Returns
    -------
    Path
        The page.
    """
    notebook = nbformat.read(executed, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            source = FILE_LINK.sub(r"`\1`", LINK.sub(r"](\1.html)", cell.source))
            cell.source = SOLUTION_LINK.sub(r"One solution is `notebooks/\1`", source)
    page = folder / executed.with_suffix(".html").name
    exporter = HTMLExporter(extra_template_basedirs=[str(TEMPLATES)], template_name="gallery", embed_images=True)
    gallery = {"style": read_style(), "pages": pages, "current": page.name}
    resources = {"gallery": gallery, "metadata": {"name": executed.stem, "path": str(ROOT / "notebooks")}}
    body, _ = exporter.from_notebook_node(notebook, resources=resources)
    folder.mkdir(parents=True, exist_ok=True)
    page.write_text(body, encoding="utf-8")
    return page


def write_overview(folder: Path, pages: Sequence[Page]) -> Path:
    """Write `index.html`, which lists the pages, and return it."""
    cards = "\n".join(
        f'<li><a href="{page.file}">{page.number} · {escape(page.title)}</a><p>{escape(page.goal)}</p>'
        + (f'<img alt="" src="data:image/png;base64,{page.picture}">' if page.picture else "")
        + "</li>"
        for page in pages
    )
    overview = folder / "index.html"
    overview.write_text(OVERVIEW.format(style=read_style(), cards=cards), encoding="utf-8")
    return overview


def write(executed: Sequence[Path], folder: Path) -> Path:
    """Write the whole site and return its `index.html`.

    Parameters
    ----------
    executed : sequence of Path
        The executed notebooks, in their order.
    folder : Path
    """
    pages = [describe(notebook) for notebook in executed]
    for notebook in executed:
        write_page(notebook, folder, pages)
    return write_overview(folder, pages)


def read_style() -> str:
    """Return the site's style sheet."""
    return (TEMPLATES / "gallery" / "style.css").read_text()
