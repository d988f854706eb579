"""``python -m mlagents_check.unity_build FOLDER``: the checks of notebook 1 for scripts; exit code 0 or 1."""

import argparse
import sys

from common import findings, trainer_env
from mlagents_check import trainer_config, unity_build


def main(argv: list[str] | None = None) -> int:
    """Print the findings for a folder; return 0 if there is no error, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m mlagents_check.unity_build", description="Check a Unity build and the trainer config beside it."
    )
    parser.add_argument("folder", help="the folder that holds the build, e.g. unity-volume")
    parser.add_argument("--start", action="store_true", help="also start the build once, for some seconds")
    arguments = parser.parse_args(argv)
    reports: list[findings.Report] = [unity_build.check_since_last(arguments.folder)]
    build = reports[0].build
    if build:
        brains, reset_parameters = build.brains, None
        if arguments.start and reports[0].ok:
            try:
                python = trainer_env.find(build.trainer).python
            except trainer_env.TrainerEnvError as error:
                sys.exit(str(error))
            smoke = unity_build.smoke_start(build, python)
            brains, reset_parameters = smoke.brains or brains, smoke.reset_parameters
            reports.append(smoke)
        more = {"reset_parameters": reset_parameters, "trainer": build.trainer}
        reports.append(trainer_config.check_folder(arguments.folder, brains, **more))
    together = findings.join(arguments.folder, *reports)
    texts = [str(report) for report in reports] + ([together.verdict] if len(reports) > 1 else [])
    # A file's name may have characters that the terminal's encoding lacks.
    encoding = sys.stdout.encoding or "utf-8"
    print("\n\n".join(texts).encode(encoding, "backslashreplace").decode(encoding))
    return 0 if together.ok else 1


if __name__ == "__main__":
    sys.exit(main())
