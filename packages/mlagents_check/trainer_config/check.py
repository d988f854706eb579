"""The complete check of the trainer's files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from common import ROOT
from common.contract import DEFAULT_TRAINER, TRAINERS
from common.findings import Finding, ordered
from mlagents_check.brain_spaces import BrainSpaces
from mlagents_check.trainer_config import keys
from mlagents_check.trainer_config.behaviors import check_behaviors
from mlagents_check.trainer_config.brain_settings import AliasError, Source, examine
from mlagents_check.trainer_config.conversion import convert_behaviors, convert_sections
from mlagents_check.trainer_config.demonstrations import check_demonstration, kind_of
from mlagents_check.trainer_config.document import Document, UnreadableError, read_document, read_text, repeated_keys
from mlagents_check.trainer_config.hyperparameters import split
from mlagents_check.trainer_config.lessons import check_curriculum, check_sampler
from mlagents_check.trainer_config.report import BrainSettings, ConfigReport

SHIPPED = {trainer: ROOT / "container" / row["trainer_config"] for trainer, row in TRAINERS.items()}


def check_folder(
    folder: str | Path,
    brains: Iterable[str | BrainSpaces] | None = None,
    hyperparameters: Mapping[str, Any] | None = None,
    reset_parameters: Collection[str] | None = None,
    trainer: str = DEFAULT_TRAINER,
) -> ConfigReport:
    """Check the trainer config that a training job would use from a folder, and the files named by its hyperparameters.

    As in the job, it is the file named by the hyperparameter ``trainer-config``, else ``trainer_config.yaml``, else the
    one for 3DBall in the container.

    Parameters
    ----------
    folder
        The folder of the build.
    brains, hyperparameters, reset_parameters, trainer
        As for `check`.
    """
    folder = Path(folder)
    options, _, _ = split(hyperparameters or {}, trainer)
    own = folder / options.get("trainer-config", "trainer_config.yaml")
    run_check = partial(
        check,
        brains=brains,
        hyperparameters=hyperparameters,
        folder=folder,
        reset_parameters=reset_parameters,
        trainer=trainer,
    )
    if kind_of(own) == "file" or "trainer-config" in options:
        return run_check(own)
    report = run_check(SHIPPED[trainer])
    todo = f"To change the settings, put a file there, such as a copy of {SHIPPED[trainer].relative_to(ROOT)}."
    note = Finding("note", f"There is no trainer_config.yaml in {folder}/: the container's own is used.", todo)
    return replace(report, findings=ordered((*report.findings, note)))


def check(
    path: str | Path,
    brains: Iterable[str | BrainSpaces] | None = None,
    hyperparameters: Mapping[str, Any] | None = None,
    *,
    folder: str | Path | None = None,
    reset_parameters: Collection[str] | None = None,
    trainer: str = DEFAULT_TRAINER,
) -> ConfigReport:
    """Check a trainer config against what ML-Agents 0.11.0 or 1.1.0 reads.

    Parameters
    ----------
    path
        The YAML file.
    brains
        Names of the build's brains, or the brains themselves as found by a smoke start; without it,
        every section counts as a brain.
    hyperparameters
        The job's: overrides of trainer keys, and options such as ``curriculum`` and ``sampler``, whose files are
        checked too.
    folder
        The folder that the job will have, with demonstrations, curricula and samplers; by default the config's.
    reset_parameters
        Names of the environment's reset parameters, if known.
    trainer
        The trainer version, such as `BuildReport.trainer`.

    Returns
    -------
    ConfigReport
        Findings with line numbers, and each brain's settings.
    """
    path = Path(path)
    folder = path.parent if folder is None else Path(folder)
    name = (path.relative_to(ROOT) if path.is_relative_to(ROOT) else path).as_posix()
    shown = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else name
    if brains is not None:
        brains = list(brains)
    known = None if brains is None else [brain if isinstance(brain, str) else brain.name for brain in brains]
    options, overrides, findings = split(hyperparameters or {}, trainer)
    late = [brain.name for brain in brains or () if getattr(brain, "late", False)]
    findings += _files(options, folder, known, late, reset_parameters)
    settings: tuple[BrainSettings, ...] = ()
    described = {brain.name: brain for brain in brains or () if not isinstance(brain, str)}
    try:
        run_check = partial(_CHECKS[trainer], shown, folder, overrides, known, described)
        found, settings = run_check(read_text(path))
        findings += found
    except UnreadableError as error:
        findings.append(Finding("error", f"It can't be read as YAML: {error}.", "Fix it there.", shown, error.line))
    except (OSError, ValueError) as error:  # ValueError: an invalid file name
        reason = getattr(error, "strerror", None) or "no file has such a name"
        todo = "Put one there, or omit the hyperparameter trainer-config to use the container's own."
        findings.append(Finding("error", f"{path} can't be read ({reason}).", todo, shown))
    return ConfigReport(f"Trainer config {name}", ordered(findings), path, settings)


def _check_text(
    shown: str,
    folder: Path,
    overrides: Mapping[tuple[str, ...], Any],
    known: Collection[str] | None,
    described: Mapping[str, BrainSpaces],
    text: str,
) -> tuple[list[Finding], tuple[BrainSettings, ...]]:
    """Check the text of a config."""
    document = read_document(text)
    findings = list(repeated_keys(document, shown))
    config = document.value if isinstance(document.value, dict) else {}
    if "behaviors" in config or ("default_settings" in config and "default" not in config):
        look = partial(_check_text, shown, folder, overrides, known, described)
        return [*findings, _later_format(document, shown, look)], ()
    outer = list(_outer(document, shown))
    if any(finding.level == "error" for finding in outer):
        return findings + outer, ()
    source = Source(shown, document, overrides, partial(check_demonstration, folder))
    settings = tuple(_brains(source, known, described, findings := findings + outer))
    return findings, settings


def _check_later_text(
    shown: str,
    folder: Path,
    overrides: Mapping[tuple[str, ...], Any],
    known: Collection[str] | None,
    described: Mapping[str, BrainSpaces],
    text: str,
) -> tuple[list[Finding], tuple[BrainSettings, ...]]:
    """Check the text of a config of 1.1.0."""
    document = read_document(text)
    findings = list(repeated_keys(document, shown))
    if not isinstance(document.value, dict):
        what = "It is empty." if document.value is None else "It holds no sections."
        return [*findings, Finding("error", what, "It needs behaviors: with a section for each behavior.", shown)], ()
    if "behaviors" not in document.value and any(
        isinstance(values, dict) and ("trainer" in values or name == "default")
        for name, values in document.value.items()
    ):
        look = partial(_check_later_text, shown, folder, overrides, known, described)
        agents = {name: getattr(brain, "agents", 0) for name, brain in described.items()}
        return [*findings, _earlier_format(document, shown, look, agents)], ()
    found, settings = check_behaviors(
        document, shown, overrides, known, described, folder, partial(check_demonstration, folder, trainer="1.1.0")
    )
    return findings + found, settings


_CHECKS = {"0.11.0": _check_text, "1.1.0": _check_later_text}


def _later_format(document: Document, shown: str, look: Callable) -> Finding:
    """Offer the conversion of a config in the later format."""
    sign = "behaviors" if "behaviors" in document.value else "default_settings"
    what = f"It is in the format of ML-Agents 0.17 and later ({sign}:)."
    todo = "0.11.0 reads default: and a section for each brain."
    if not isinstance(document.value.get("behaviors") or {}, dict):
        return Finding("error", what, f"{todo} This one names no behaviors.", shown, document.line(sign))
    return _offer(what, todo, convert_behaviors(document.value), look, shown, document.line(sign))


def _earlier_format(document: Document, shown: str, look: Callable, agents: Mapping[str, int]) -> Finding:
    """Offer the conversion of a config of 0.11.0."""
    what = "It is in the format of ML-Agents 0.16 and earlier (default: and a section for each brain)."
    todo = "1.1.0 reads behaviors:, and its max_steps counts the steps of every agent, as 0.14 and later do."
    line = document.line(next(iter(document.value)))
    return _offer(what, todo, convert_sections(document.value, agents), look, shown, line)


def _offer(what: str, todo: str, converted: str, look: Callable, shown: str, line: int | None) -> Finding:
    """Return the finding of a config in the other version's format; it has the conversion if that passes the check."""
    try:
        errors = [finding for finding in look(converted)[0] if finding.level == "error"]
    except UnreadableError as error:
        errors = [error]
    if not errors:
        return Finding("error", what, f"{todo} Save this as {shown}, and check it again:", shown, line, converted)
    # Line numbers refer to the converted text, which is not shown.
    first = str(replace(errors[0], line=None, path="") if isinstance(errors[0], Finding) else errors[0])
    return Finding("error", what, f"{todo} It can't be converted because of this error: {first}", shown, line)


def _files(
    options: Mapping[str, Any],
    folder: Path,
    brains: Collection[str] | None,
    late: Collection[str],
    reset_parameters: Collection[str] | None,
) -> Iterator[Finding]:
    if named := options.get("curriculum"):
        yield from check_curriculum(folder / named, named, brains, reset_parameters, late)
    if named := options.get("sampler"):
        yield from check_sampler(folder / named, named, reset_parameters)


def _outer(document: Document, shown: str) -> Iterator[Finding]:
    config = document.value
    if not isinstance(config, dict):
        what = "It is empty." if config is None else "It holds no sections."
        yield Finding("error", what, "It needs a section default: with the trainer's settings.", shown)
    elif "default" not in config:
        close = keys.nearest("default", config).replace("Did you mean", "Is it misspelt as")
        todo = f"0.11.0 can't start without it; 0.13 and later can. Add it, even if empty: default: {{}}.{close}"
        yield Finding("error", "The section default: is missing.", todo, shown)
    elif not isinstance(config["default"], dict):
        todo = "It must hold settings, or {} for none."
        yield Finding("error", "The section default: holds no settings.", todo, shown, document.line("default"))
    else:
        for name in keys.FILE_KEYS:
            if name in config:
                yield Finding("warning", *keys.of_release(name, keys.FILE_KEYS, "ignored"), shown, document.line(name))
        yield from _counted_by_agents(document, shown)


def _counted_by_agents(document: Document, shown: str) -> Iterator[Finding]:
    """Warn once, if a key is from a later release, that its steps are many times those of 0.11.0."""
    for section, settings in document.value.items():
        for key in settings if isinstance(settings, dict) else ():
            row = keys.ELSEWHERE.get(key)
            if row and row.counts_each_agent:
                what = (
                    f"{key} is from ML-Agents {row.releases}: there max_steps and summary_freq count all agents' steps."
                )
                todo = "0.11.0 counts the environment's: divide both by the number of agents in the scene."
                yield Finding("warning", what, todo, shown, document.line(section, key))
                return


def _brains(
    source: Source, known: Collection[str] | None, described: Mapping[str, BrainSpaces], findings: list[Finding]
) -> Iterator[BrainSettings]:
    sections = [name for name in source.document.value if name not in ("default", *keys.FILE_KEYS)]
    for brain in known if known is not None else [name for name in sections if isinstance(name, str)] or ["default"]:
        try:
            section = source.section(brain)
        except AliasError as error:
            findings.append(Finding("error", error.what, error.todo, source.path, source.document.line(error.section)))
            continue
        settings = source.effective(brain, section)
        if known is not None and section is None:
            close = keys.nearest(brain, sections).replace("Did you mean", "Is it misspelt as")
            level, todo = ("warning", close.strip()) if close else ("note", f"Add a section {brain}: for its own.")
            findings.append(Finding(level, f"{brain} has no section: it is trained with default:.", todo, source.path))
        findings += examine(settings, source, described.get(brain))
        yield settings
    if known is not None:
        used = set(known)
        for name in list(used):
            while isinstance(target := source.document.value.get(name), str) and target not in used:
                used.add(name := target)
        idle = [str(name) for name in sections if name not in used]
        if idle:
            some = ", ".join(idle[:5]) + (f" and {len(idle) - 5} more" if len(idle) > 5 else "")
            line = source.document.line(next(name for name in sections if name not in used))
            what = f"No brain of the build uses the section{'s' if len(idle) > 1 else ''} {some}."
            findings.append(Finding("note", what, "mlagents-learn does not read unused sections.", source.path, line))
