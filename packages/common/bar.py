"""Progress bars: tqdm's in a terminal; in a notebook an output that is replaced in place.

In a notebook, tqdm leaves a line for each update, and several bars at once write cursor codes, which are shown
as text.
"""

import re
import sys
from typing import Any

from tqdm import tqdm

from common.findings import as_html

PLAIN = "{desc}: {percentage:3.0f}% {n_fmt} of {total_fmt} in {elapsed}, {rate_fmt}"
DRAWN = re.compile(r" *\|\{bar[^}]*\}\| *")


class NotebookBar(tqdm):
    """A bar of tqdm as an output of its own, replaced in place. Takes the arguments of `tqdm`."""

    def __init__(self, *args: Any, **options: Any):
        from IPython.display import HTML, display

        super().__init__(*args, **{**options, "gui": True})  # then tqdm itself writes nothing
        self._html = HTML
        self._panel = display(HTML(self.render()), display_id=True)

    def render(self) -> str:
        """Return the bar and its text as HTML."""
        bar_format = DRAWN.sub(" ", self.bar_format or PLAIN)
        text = self.format_meter(**{**self.format_dict, "bar_format": bar_format})
        drawn = f'<progress value="{min(self.n, self.total)}" max="{self.total}"></progress> ' if self.total else ""
        return f'{drawn}<span style="font-family:monospace;font-size:85%">{as_html(text.strip())}</span>'

    def display(self, *_: Any, **__: Any) -> None:
        """Replace what is shown."""
        self._panel.update(self._html(self.render()))

    def clear(self, *_: Any, **__: Any) -> None:
        """Do nothing: the bar covers no other output."""

    def close(self) -> None:
        """Show the final state."""
        if not self.disable:
            self.display()
        super().close()


def in_notebook() -> bool:
    """Whether this runs in a notebook's kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and hasattr(shell, "kernel")


def make(**options: Any) -> tqdm:
    """Return a bar for a terminal or a notebook, wherever this runs; takes the arguments of `tqdm`."""
    return NotebookBar(**options) if in_notebook() else tqdm(file=sys.stdout, **options)
