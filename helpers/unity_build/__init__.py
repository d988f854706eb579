"""A Unity Linux build on disk: is it one that ML-Agents 0.11.0 can train, and what is in it.

>>> from helpers import unity_build
>>> report = unity_build.check("unity-volume")
>>> report.ok, report.verdict  # doctest: +SKIP
(True, 'The build is ready to train.')

Only files are read; nothing is started or written. The layouts and traps come from real players, Unity 2017.2 to
2020.3.
"""

from helpers.unity_build.check import check
from helpers.unity_build.locate import has_build
from helpers.unity_build.report import BuildReport, Other, UnityBuild, UnityBuildError

__all__ = ["BuildReport", "Other", "UnityBuild", "UnityBuildError", "check", "has_build"]
