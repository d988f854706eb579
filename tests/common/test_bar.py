"""Progress bars: in a terminal as tqdm draws them, in a notebook one output each that is replaced in place."""

import re

import nbformat
from nbclient import NotebookClient

from common import ROOT, bar

TWO_AT_ONCE = """\
from common.bar import make
with make(desc="layer a", unit="B", unit_scale=True) as a, make(desc="layer b", unit="B", unit_scale=True) as b:
    for total, step in ((a, 100), (b, 300)) * 10:
        total.total = 3000
        total.update(step)
with make(desc="build", bar_format="{desc} |{bar:20}| {elapsed} {postfix}") as c:
    c.set_postfix_str("<pip>")
"""


def shown(output):
    html = output["data"]["text/html"]
    return re.search(r'value="(\d+)" max="(\d+)"', html), re.sub("<[^>]+>", "", html).strip()


def test_a_notebook_has_one_output_for_each_bar():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(TWO_AT_ONCE)])
    NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(ROOT)}}).execute()
    outputs = notebook.cells[0].outputs
    assert [output.output_type for output in outputs] == ["display_data"] * 3
    (a, said_a), (b, said_b), (c, said_c) = map(shown, outputs)
    assert (a.groups(), b.groups(), c) == (("1000", "3000"), ("3000", "3000"), None)
    assert re.fullmatch(r"layer a:  33% 1\.00k of 3\.00k in 00:0\d, .+B/s", said_a)
    assert re.fullmatch(r"layer b: 100% 3\.00k of 3\.00k in 00:0\d, .+B/s", said_b)
    assert re.fullmatch(r"build 00:0\d , &lt;pip&gt;", said_c)


def test_a_terminal_has_tqdms_bar(capsys):
    assert not bar.in_notebook()
    with bar.make(desc="layer a", total=2) as made:
        made.update(2)
    assert "layer a: 100%" in capsys.readouterr().out
