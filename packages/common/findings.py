"""What a check found, shown as one kind of table for builds, trainer files and accounts."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from typing import ClassVar, Literal

Level = Literal["error", "warning", "note", "ok"]

_ORDER: dict[str, int] = {"error": 0, "warning": 1, "note": 2, "ok": 3}

_ALIKE = 8  # at most this many findings with the same advice are shown in full

# Symbol, text colour and badge colour: each pair reads at 4.5:1 or better, on a light and on a dark page,
# because the badge brings its own background.
_BADGES: dict[str, tuple[str, str, str]] = {
    "error": ("✖", "#ffffff", "#b3261e"),
    "warning": ("▲", "#000000", "#f0b400"),
    "note": ("●", "#ffffff", "#4a5a6a"),
    "ok": ("✔", "#ffffff", "#1e6b34"),
}

PLAIN = 'class="tex2jax_ignore mathjax_ignore"'
"""HTML attributes that keep JupyterLab from reading text between two $ as a formula."""

# Control characters, and those that change the direction of text.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

_CELL = "text-align:left;vertical-align:top;padding:.35em .7em;border-bottom:1px solid rgba(128,128,128,.4)"


@dataclass(frozen=True)
class Finding:
    """One thing a check found.

    Parameters
    ----------
    level
        ``error``: training would fail. ``warning``: it may fail, or do something unintended. ``note``: good to know.
        ``ok``: checked and fine, in tables that list everything that was checked.
    what
        What was found.
    todo
        What that means and what to do about it; empty if all is well.
    path
        The file, relative to what was checked, or another name of the place; empty if it concerns everything.
    line
        The line in that file, counted from 1.
    text
        Lines to write into a file, shown verbatim.
    """

    level: Level
    what: str
    todo: str
    path: str = ""
    line: int | None = None
    text: str = ""

    @property
    def place(self) -> str:
        """File and line, as editors write them."""
        return f"{self.path}:{self.line}" if self.line else self.path

    def __str__(self) -> str:
        text = f"{self.what} {self.todo}".rstrip()
        return printable(f"{self.place}: {text}" if self.place else text)


class CheckError(ValueError):
    """A check found errors; the text lists all of them."""

    def _render_traceback_(self) -> list[str]:
        """Show only the text in a notebook: the traceback says nothing about what was checked."""
        return str(self).splitlines()


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sort findings, errors first; within a level their order stays. Duplicates for a place are dropped."""
    first: dict[tuple[str, str], Finding] = {}
    for finding in sorted(findings, key=lambda finding: _ORDER[finding.level]):
        first.setdefault((finding.what, finding.place), finding)
    return tuple(first.values())


@dataclass(frozen=True)
class Report:
    """Everything that a check found.

    Parameters
    ----------
    subject
        What was checked, for the table's heading.
    findings
        Errors first.
    """

    error_type: ClassVar[type[CheckError]] = CheckError
    ready: ClassVar[str] = "Ready."

    subject: str
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether there are no errors (there may be warnings and notes)."""
        return not self.errors

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Only the errors."""
        return tuple(finding for finding in self.findings if finding.level == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Only the warnings."""
        return tuple(finding for finding in self.findings if finding.level == "warning")

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Facts about the subject: pairs of a name and a value."""
        return ()

    @property
    def verdict(self) -> str:
        """One sentence: ready, or what to do first."""
        if self.errors:
            count = f"{len(self.errors)} errors" if len(self.errors) > 1 else "1 error"
            return f"Not ready, {count}. First: {self.errors[0]}"
        count = len(self.warnings)
        if count:
            return (
                f"{self.ready} Read the warning first."
                if count == 1
                else f"{self.ready} Read the {count} warnings first."
            )
        return self.ready

    def raise_for_errors(self) -> None:
        """Raise all errors in one text.

        Raises
        ------
        CheckError
            If the report holds an error; the subclass is `error_type`.
        """
        if self.errors:
            lines = [f"{self.subject} is not ready:"]
            for finding in self.errors:
                lines += [f"- {finding}", *finding.text.splitlines()]
            if self.errors[1:]:
                lines.append(f"First: {self.errors[0]}")
            raise self.error_type(printable("\n".join(lines)))

    def __str__(self) -> str:
        width = max((len(name) for name, _ in self.facts), default=0)
        lines = [self.subject, *(f"  {name:<{width}}  {value}" for name, value in self.facts)]
        for finding in _shortened(self.findings):
            label = f"{finding.level.upper() if finding.level in ('error', 'warning') else finding.level:<8}"
            lines += textwrap.wrap(
                str(finding), 108, initial_indent=f"  {label} ", subsequent_indent=" " * 11, break_on_hyphens=False
            )
            lines += finding.text.splitlines()
        lines += textwrap.wrap(self.verdict, 108, break_on_hyphens=False)
        return printable("\n".join(lines))

    def _repr_html_(self) -> str:
        rows = [
            f'<tr><th scope="row" style="{_CELL}">{as_html(name)}</th>'
            f'<td colspan="3" style="{_CELL}">{as_html(value)}</td></tr>'
            for name, value in self.facts
        ]
        for finding in _shortened(self.findings):
            place = f"<code>{as_html(finding.place)}</code>" if finding.place else ""
            rows.append(
                f'<tr><td style="{_CELL};white-space:nowrap">{_badge(finding.level)}</td>'
                f'<td style="{_CELL};min-width:8em">{place}</td>'
                f'<td style="{_CELL}">{as_html(finding.what)}</td><td style="{_CELL}">{as_html(finding.todo)}</td></tr>'
            )
            if finding.text:
                lines = f'<pre style="margin:0;color:inherit;background:transparent">{as_html(finding.text)}</pre>'
                rows.append(f'<tr><td style="{_CELL}" colspan="4">{lines}</td></tr>')
        return (
            f'<div {PLAIN}><table class="findings" '
            'style="border-collapse:collapse;color:inherit;background:transparent">'
            f'<caption style="text-align:left;font-weight:bold;color:inherit">{as_html(self.subject)}</caption>'
            f"<tbody>{''.join(rows)}</tbody></table>"
            f"<p>{_badge('ok' if self.ok else 'error')} {as_html(self.verdict)}</p></div>"
        )


def join(subject: str, *reports: Report) -> Report:
    """Join several reports into one, with one verdict.

    Parameters
    ----------
    subject
        The common subject.
    reports
        In the order in which to fix what they found.
    """
    return Report(subject, ordered(finding for report in reports for finding in report.findings))


def _shortened(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Drop findings that repeat an advice more than `_ALIKE` times; a wrong folder has thousands."""
    count = Counter((finding.level, finding.todo) for finding in findings)
    seen: Counter[tuple[str, str]] = Counter()
    for finding in findings:
        alike = (finding.level, finding.todo)
        seen[alike] += 1
        if seen[alike] <= _ALIKE or not finding.todo:
            yield finding
        elif seen[alike] == _ALIKE + 1:
            yield Finding(finding.level, f"… and {count[alike] - _ALIKE} more like these.", finding.todo)


def printable(text: object) -> str:
    r"""Escape control characters, as ``\x1b``, and what UTF-8 cannot encode; line ends and tabs stay.

    Names of files and brains, log lines and failure reasons are untrusted and may hold either.
    """
    shown = _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))
    return shown.encode("utf-8", "backslashreplace").decode()


def as_html(text: object) -> str:
    """Escape untrusted text for HTML."""
    return escape(printable(text))


def as_label(text: object) -> str:
    """Escape untrusted text for Matplotlib, where text between two $ would be a formula."""
    return printable(text).replace("$", r"\$")


class Tabular:
    """A table with sentences below it, aligned as text and as a table in a notebook: for what knows these three.

    Attributes
    ----------
    header : tuple of str
    rows : tuple of tuple of str
        None: the sentences alone are shown.
    notes : tuple of str
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        rows = [self.header, *self.rows] if self.rows else []
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return printable("\n".join([*lines, *self.notes]))

    def _repr_html_(self) -> str:
        return table_html(self.header, self.rows, self.notes)


def table_html(header: Iterable[str], rows: Iterable[Iterable[str]], notes: Iterable[str] = ()) -> str:
    """Return an HTML table with sentences below it; without rows only the sentences."""
    lines = ["<tr>" + "".join(f"<td>{as_html(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    head = "".join(f"<th>{as_html(cell)}</th>" for cell in header)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>" if lines else ""
    return f"<div {PLAIN}>{table}{''.join(f'<p>{as_html(note)}</p>' for note in notes)}</div>"


def _badge(level: str) -> str:
    symbol, ink, paper = _BADGES[level]
    style = f"color:{ink};background:{paper};padding:.1em .5em;border-radius:.3em;font-weight:bold"
    return f'<span style="{style}">{symbol} {level}</span>'
