"""Executed notebooks as a small site: a page for each, and an overview.

``make tutorial`` writes it at the end, ``make html`` again from the executed notebooks.
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
DOCS = ("troubleshooting", "glossary", "costs", "windows", "apple-silicon", "studio")
"""The pages under docs/ that lessons link."""
GIF = re.compile(r'src="data:image/gif;base64,([^"]+)"')
CARD = "card"
"""Tag of the cell whose picture, table or text is shown on the notebook's card; else the last picture is."""
LINK = re.compile(r"(?<!!)\[([^]]+)\]\((?!https?:|#)([^)#\s]+)(#[^)\s]+)?\)")
PICTURE = re.compile(r"(!\[[^]]*\]\()\.\./")  # of the project: nbconvert embeds no file outside of its path
HEADING = re.compile(r'<h2 id="([^"]+)">(.+?)<a class="anchor-link"')
CONTENTS = "<!-- contents -->"
STYLE = re.compile(r"<style.*?</style>", re.DOTALL)
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
<p>The notebooks as they ran, one after another. To look something up: {docs}.</p>
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
        What readers will do there, for its card.
    file : str
        Name of its HTML file.
    picture : str
        A PNG, base64-encoded, of the tagged cell, else the last one; empty if there is none. The first frame of an
        animation.
    excerpt : str
        HTML of the output of a tagged cell without a picture.
    """

    number: int
    title: str
    goal: str
    file: str
    picture: str = ""
    excerpt: str = ""


def describe(notebook: Path) -> Page:
    """Read a notebook's title, goal and picture."""
    cells = nbformat.read(notebook, as_version=4).cells
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    title = re.search(r"^# (\d+) · (.+)$", prose, re.MULTILINE)
    goal = re.search(r"^\| \*\*You will\*\* \| (.+?) \|$", prose, re.MULTILINE)
    tagged = [cell for cell in cells if CARD in cell.metadata.get("tags", [])]
    outputs = [output for cell in tagged or cells for output in cell.get("outputs", [])]
    pictures = [picture for output in outputs for picture in _pictures(output)]
    return Page(
        number=int(title[1]),
        title=title[2],
        goal=goal[1].replace("`", ""),
        file=notebook.with_suffix(".html").name,
        picture=pictures[-1] if pictures else "",
        excerpt="" if pictures or not tagged else "".join(map(_excerpt, outputs)),
    )


def _excerpt(output: nbformat.NotebookNode) -> str:
    """Return an output's table or text as HTML."""
    data = output.get("data", {})
    if "text/html" in data:
        return STYLE.sub("", data["text/html"])
    return f"<pre>{escape(output.get('text', data.get('text/plain', '')))}</pre>"


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
    return _write(notebook, folder / executed.with_suffix(".html").name, pages)


def write_doc(name: str, folder: Path, pages: Sequence[Page]) -> Path:
    """Write a page of docs/ as one of the site, and return it; `folder` and `pages` as for `write_page`."""
    text = (ROOT / "docs" / f"{name}.md").read_text()
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])
    return _write(notebook, folder / f"{name}.html", pages)


def _write(notebook: nbformat.NotebookNode, page: Path, pages: Sequence[Page]) -> Path:
    names = {*DOCS, *(Path(each.file).stem for each in pages)}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            source = PICTURE.sub(r"\1", cell.source)
            cell.source = LINK.sub(lambda found: _link(*found.groups(), names), source)
    place = next((index for index, each in enumerate(pages) if each.file == page.name), -1)
    gallery = {
        "style": read_style(),
        "pages": pages,
        "current": page.name,
        "previous": pages[place - 1] if place > 0 else None,
        "next": pages[place + 1] if -1 < place < len(pages) - 1 else None,
    }
    exporter = HTMLExporter(extra_template_basedirs=[str(TEMPLATES)], template_name="gallery", embed_images=True)
    resources = {"gallery": gallery, "metadata": {"name": page.stem, "path": str(ROOT)}}
    body, _ = exporter.from_notebook_node(notebook, resources=resources)
    entries = "".join(f'<li><a href="#{name}">{heading}</a></li>' for name, heading in HEADING.findall(body))
    contents = f'<details class="contents"><summary>On this page</summary><ul>{entries}</ul></details>'
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(body.replace(CONTENTS, contents if entries else "", 1), encoding="utf-8")
    return page


def _link(label: str, target: str, anchor: str | None, names: set[str]) -> str:
    """Return a link for the site: to one of its pages, or just the name of a file that is not part of it."""
    path = Path(target)
    if path.parts[0] == "solutions":
        return f"{label} is `notebooks/{target}`"
    if path.stem in names:
        return f"[{label}]({path.stem}.html{anchor or ''})"
    return f"`{target.removeprefix('../')}`"


def write_overview(folder: Path, pages: Sequence[Page]) -> Path:
    """Write `index.html`, which lists the pages, and return it."""
    cards = "\n".join(
        f'<li><a href="{page.file}">{page.number} · {escape(page.title)}</a><p>{escape(page.goal)}</p>'
        + (f'<img alt="" src="data:image/png;base64,{page.picture}">' if page.picture else "")
        + (f'<div class="excerpt" aria-hidden="true">{page.excerpt}</div>' if page.excerpt else "")
        + "</li>"
        for page in pages
    )
    docs = ", ".join(f'<a href="{name}.html">{name.replace("-", " ")}</a>' for name in DOCS)
    overview = folder / "index.html"
    overview.write_text(OVERVIEW.format(style=read_style(), cards=cards, docs=docs), encoding="utf-8")
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
    for name in DOCS:
        write_doc(name, folder, pages)
    return write_overview(folder, pages)


def read_style() -> str:
    """Return the site's style sheet."""
    return (TEMPLATES / "gallery" / "style.css").read_text()
