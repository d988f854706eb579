"""The pages under docs/: what they quote is what the code says, and what they link is there."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

from account_setup.leftovers import USD_A_MONTH
from common import ROOT
from tools import tutorial
from training_jobs import cost

PAGES = sorted((ROOT / "docs").glob("*.md"))
TROUBLES = (ROOT / "docs/troubleshooting.md").read_text()
ENTRIES = dict(re.findall(r"^### (.+)\n\n((?:(?!#).*\n)+)", TROUBLES, re.MULTILINE))
PLACEHOLDER = re.compile(r"%(?:\(\w+\))?[-#0-9.,]*[sdrfgx]|\{[^{}]*\}|\\\d")


def read_strings(path):
    """Return the texts of a module, with … for what is filled in."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "…" for part in node.values]
            yield PLACEHOLDER.sub("…", "".join(parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield PLACEHOLDER.sub("…", node.value)


@pytest.fixture(scope="module")
def messages():
    modules = [path for top in ("container", "helpers", "packages", "tools") for path in (ROOT / top).rglob("*.py")]
    return "\n".join([(ROOT / "Makefile").read_text(), *(text for path in modules for text in read_strings(path))])


def test_what_the_page_quotes_is_in_the_code(messages):
    quoted = re.findall(r"^> (.+)$", TROUBLES, re.MULTILINE)
    assert [message for message in quoted if message not in messages] == []
    assert len(quoted) >= 30


def test_an_entry_has_a_cause_what_to_do_and_a_message_or_a_report():
    assert len(ENTRIES) == TROUBLES.count("\n### ") >= 30
    for title, entry in ENTRIES.items():
        assert [entry.count(f"- **{word}**: ") for word in ("Why", "Do")] == [1, 1], title
        assert re.search(r"^> ", entry, re.MULTILINE) or "](https://" in entry or title in WITHOUT, title


WITHOUT = {
    "A notebook works somewhere else than you thought",
    "It acts worse than the curve",
}
"""Entries of which nobody sees a message."""


@pytest.mark.parametrize("package", sorted(path.parent for path in (ROOT / "packages").glob("*/README.md")))
def test_a_packages_page_names_each_of_its_modules(package):
    page = (package / "README.md").read_text()
    modules = {path.stem for path in package.glob("*.py")} | {path.parent.name for path in package.glob("*/*.py")}
    assert {name for name in modules if f"`{name}`" not in page and f"`{name}/`" not in page} <= {
        "__init__",
        "__main__",
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_its_links_lead_somewhere(page):
    text = page.read_text()
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in anchors, target
        elif not target.startswith("https://"):
            assert Path(page.parent, target.partition("#")[0]).exists(), target


NO_TERMS = {
    *("you will", "you will learn", "you need", "time", "cost"),
    *("place", "name", "kept for ever", "on a\ncopy", "linux", "x86_64", "v0.11.0"),
    *("linux build support", "server build", "demonstration recorder", "model", "play"),  # what Unity calls its buttons
}
"""What lessons write in bold and nobody looks up."""


def test_the_glossary_has_each_word_that_a_lesson_introduces():
    cells = [cell for path in tutorial.list_notebooks() for cell in nbformat.read(path, as_version=4).cells]
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    words = {word.lower() for word in re.findall(r"\*\*([^*]+)\*\*", prose)} - NO_TERMS
    terms = " ".join(re.findall(r"^\| (.+?) \|", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE)).lower()
    assert {word for word in words if word not in terms and word.removesuffix("s") not in terms} == set()
    assert len(words) > 40


def test_prices_are_those_of_the_code():
    rows = (line.split("|") for line in (ROOT / "docs/costs.md").read_text().splitlines() if line.startswith("| "))
    stated = {row[1].strip(): {float(number) for number in re.findall(r"\d+\.\d+", row[3])} for row in rows}
    prices = {price.instance_type: price.usd_per_hour for price in cost.TABLE}
    assert prices["ml.c5.xlarge"] in stated["training job"]
    for what, kind in (
        ("build, results, checkpoints", "builds"),
        ("zipped `container/` for that", "sources"),
        ("image", "images"),
        ("log", "logs"),
    ):
        assert USD_A_MONTH[kind] in stated[what]
    lesson = (ROOT / "notebooks/03_build_and_push_image.ipynb").read_text()
    assert re.findall(r"(?:charges |1e9 \* )([0-9.]+)", lesson) == [f"{USD_A_MONTH['images']:.2f}"] * 2
