"""The report reads in a terminal, in JupyterLab's light and dark themes, and from scripts."""

import dataclasses
import re
import subprocess
import sys
import time

import pytest

import sample_env
from common.findings import CheckError, Finding, Report, join, ordered
from mlagents_check import unity_build
from mlagents_check.unity_build.__main__ import main
from mlagents_check.unity_build.report import shown_size


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.fixture
def report():
    findings = [
        Finding("note", "A note.", "Nothing to do."),
        Finding("error", "<b>Broken</b> & bad.", "Mend it.", "file.so"),
        Finding("warning", "Strange.", "Look.", "config.yaml", 3),
    ]
    return Report("Subject", ordered(findings))


def test_html_reads_without_colours(report):
    html = report._repr_html_()
    assert html.index("✖ error") < html.index("▲ warning") < html.index("● note")
    assert "&lt;b&gt;Broken&lt;/b&gt; &amp; bad." in html and "config.yaml:3" in html
    assert "Not ready, 1 error. First: file.so: &lt;b&gt;Broken&lt;/b&gt; &amp; bad. Mend it." in html


def test_html_reads_on_light_and_dark_pages(report):
    """Text outside badges has the page's colour; each badge has sufficient contrast."""
    html = report._repr_html_()
    badges = re.findall(r"color:(#\w{6});background:(#\w{6})", html)
    assert len(badges) == 4
    for pair in badges:
        dark, light = sorted(map(luminance, pair))
        assert (light + 0.05) / (dark + 0.05) >= 4.5
    assert len(re.findall(r"#\w{6}", html)) == 2 * len(badges)


def test_text_report(report):
    assert str(report).splitlines() == [
        "Subject",
        "  ERROR    file.so: <b>Broken</b> & bad. Mend it.",
        "  WARNING  config.yaml:3: Strange. Look.",
        "  note     A note. Nothing to do.",
        "Not ready, 1 error. First: file.so: <b>Broken</b> & bad. Mend it.",
    ]


def test_verdicts():
    warning = Finding("warning", "Strange.", "Look.")
    assert Report("x", ()).verdict == "Ready."
    assert Report("x", (warning,)).verdict == "Ready. Read the warning first."
    assert Report("x", (warning, warning)).verdict == "Ready. Read the 2 warnings first."
    Report("x", (warning,)).raise_for_errors()


def test_many_similar_findings_are_shortened():
    report = Report("x", tuple(Finding("warning", f"Link {n}.", "Put the file there.") for n in range(100)))
    text = str(report)
    assert "Link 7." in text and "Link 8." not in text and "… and 92 more like these." in text


def run(folder, **more):
    return subprocess.run(
        [sys.executable, "-m", "mlagents_check.unity_build", str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        **more,
    )


def test_command_line(build):
    good = run(build)
    assert (good.returncode, good.stderr) == (0, "")
    assert "The build is ready to train." in good.stdout and "API-11" in good.stdout
    (build / "Game.x86_64").unlink()
    bad = run(build)
    assert (bad.returncode, bad.stderr) == (1, "")
    assert "Expected one *.x86_64 in unity-volume/, found Game_Data/ alone." in " ".join(bad.stdout.split())
    assert "Since the last check: 1 gone (Game.x86_64)." in " ".join(bad.stdout.split())


def test_command_line_in_a_terminal_without_unicode(build):
    (build / "Größe.bin").write_text("x")
    done = run(build, env={"PYTHONIOENCODING": "ascii", "PATH": ""})
    assert (done.returncode, done.stderr) == (0, "") and r"Gr\xf6\xdfe.bin" in done.stdout


def test_large_build_is_checked_quickly(formats, build):
    """1 GB in 5,000 files under 2 s; sparse files stand in for the assets, which are never read."""
    for number in range(5000):
        path = build / f"Game_Data/StreamingAssets/{number % 50}/{number}.bundle"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(200_000)
    start = time.process_time()  # a busy machine must not fail this
    report = unity_build.check(build)
    assert time.process_time() - start < 2
    assert report.ok and report.build.size > 1e9 and report.build.files > 5000


def test_repeated_findings_count_as_the_worse():
    worse, better = (Finding(level, "It is broken.", level, "file") for level in ("error", "warning"))
    assert ordered([better, worse]) == ordered([worse, better]) == (worse,)


def test_a_notebook_shows_the_errors_and_no_traceback():
    errors = tuple(Finding("error", f"{what} is broken.", "Mend it.") for what in ("A", "B"))
    with pytest.raises(CheckError) as caught:
        Report("The folder", errors).raise_for_errors()
    assert caught.value._render_traceback_() == [
        "The folder is not ready:",
        "- A is broken. Mend it.",
        "- B is broken. Mend it.",
        "First: A is broken. Mend it.",
    ]


def test_reports_together():
    error = Finding("error", "It is broken.", "Mend it.")
    together = join("all", Report("a", (Finding("note", "x", "y"),)), Report("b", (error,)))
    assert together.findings[0] == error
    assert together.verdict == "Not ready, 1 error. First: It is broken. Mend it."
    assert join("all", Report("a", ()), Report("b", ())).verdict == "Ready."


def test_passed_checks_are_shown_last_and_never_shortened():
    wells = [Finding("ok", f"part {number}", "", f"place {number}") for number in range(20)]
    report = Report("x", ordered([*wells, Finding("note", "what", "todo")]))
    assert [finding.level for finding in report.findings] == ["note", *["ok"] * 20]
    assert "  ok       place 19: part 19\n" in str(report)
    assert report._repr_html_().count("✔ ok") == 21
    assert report.verdict == "Ready."


@pytest.mark.parametrize("size, shown", [(0, "0.0 kB"), (30_524, "30.5 kB"), (999_999, "1,000.0 kB"), (1e6, "1.0 MB")])
def test_sizes(size, shown):
    assert shown_size(size) == shown


def test_the_picture_has_a_bar_for_each_part(tmp_path):
    sample_env.make_sample_build(tmp_path)
    build = unity_build.check(tmp_path).build
    (ax,) = unity_build.plot(build).axes
    assert [label.get_text() for label in ax.get_yticklabels()] == [part for part, _ in reversed(build.parts)]
    assert [bar.get_width() for bar in ax.patches] == [size for _, size in reversed(build.parts)]
    assert ax.get_title(loc="left") == f"3DBall: {shown_size(build.size)}"


def test_the_command(tmp_path, capsys):
    folder = tmp_path / "unity-volume"
    assert main([str(folder)]) == 1
    assert "There is no folder" in capsys.readouterr().out
    sample_env.make_sample_build(folder)
    assert main([str(folder)]) == 0
    output = capsys.readouterr().out
    assert "The build is ready to train." in output
    assert "Trainer config container/trainers/v0_11/trainer_config.yaml" in output
    assert output.endswith("\nReady.\n")


def test_the_command_with_a_config_that_is_wrong(tmp_path, capsys):
    sample_env.make_sample_build(tmp_path)
    (tmp_path / "trainer_config.yaml").write_text("3DBall: {}\n")
    assert main([str(tmp_path)]) == 1
    assert "The section default: is missing." in capsys.readouterr().out


def test_the_command_without_a_trainer(tmp_path, monkeypatch):
    sample_env.make_sample_build(tmp_path)
    monkeypatch.setenv("TRAINER_HOME", str(tmp_path / "none"))
    with pytest.raises(SystemExit, match="Expected an environment of the trainer 0.11.0"):
        main([str(tmp_path), "--start"])


def test_only_linux_starts_a_build_for_linux(tmp_path, monkeypatch):
    sample_env.make_sample_build(tmp_path)
    build = dataclasses.replace(unity_build.check(tmp_path).build, backend="Mono")
    monkeypatch.setattr("sys.platform", "darwin")
    report = unity_build.smoke_start(build, "python-that-is-never-started")
    assert [finding.level for finding in report.findings] == ["warning"]
    assert (report.brains, report.reset_parameters) == ((), None)
