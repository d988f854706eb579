"""A Unity Linux build on disk: is it one that ML-Agents 0.11.0 can train, and what is in it.

>>> from mlagents_check import unity_build
>>> report = unity_build.check("unity-volume")
>>> report.ok, report.verdict  # doctest: +SKIP
(True, 'The build is ready to train.')

`check` reads files; it starts and writes nothing. `check_since_last` remembers what it saw, and says what changed.
`smoke_start` starts the build once. The layouts and traps that are looked for come from real players, Unity 2017.2 to
2020.3.
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
