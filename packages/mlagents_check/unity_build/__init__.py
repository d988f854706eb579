"""Checks whether a Unity build for Linux can be trained with ML-Agents 0.11.0, and describes its content.

>>> from mlagents_check import unity_build
>>> report = unity_build.check("unity-volume")
>>> report.ok, report.verdict  # doctest: +SKIP
(True, 'The build is ready to train.')

`check` only reads files. `check_since_last` also reports what has changed since its last call. `smoke_start` starts the
build once. The known layouts and problems are from real players of Unity 2017.2 to 2020.3.
"""

from mlagents_check.unity_build.check import check
from mlagents_check.unity_build.last_check import check_since_last
from mlagents_check.unity_build.locate import has_build
from mlagents_check.unity_build.picture import plot
from mlagents_check.unity_build.report import BuildReport, Other, UnityBuild, UnityBuildError
from mlagents_check.unity_build.smoke import Brain, SmokeReport, smoke_start

__all__ = [
    "Brain",
    "BuildReport",
    "Other",
    "SmokeReport",
    "UnityBuild",
    "UnityBuildError",
    "check",
    "check_since_last",
    "has_build",
    "plot",
    "smoke_start",
]
