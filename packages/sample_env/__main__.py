"""Make a sample build in a folder, or remove it: ``python -m sample_env remove unity-volume``."""

import argparse
import sys
from pathlib import Path

from common import trainer_env
from sample_env import SampleEnvError, make_sample_build, remove_sample_build

parser = argparse.ArgumentParser(prog="python -m sample_env", description=__doc__)
parser.add_argument("action", choices=("make", "remove"))
parser.add_argument("folder", type=Path)
parser.add_argument("--scene", default="3DBall", help="the scene to make (%(default)s)")
parser.add_argument("--trainer", default=trainer_env.DEFAULT, help="the version of ML-Agents (%(default)s)")
arguments = parser.parse_args()
try:
    if arguments.action == "make":
        print(f"Made {make_sample_build(arguments.folder, arguments.scene, arguments.trainer)}.")
    else:
        removed = ", ".join(map(str, remove_sample_build(arguments.folder)))
        print(f"Removed {removed}." if removed else f"There is no sample environment in {arguments.folder}.")
except SampleEnvError as error:
    sys.exit(str(error))
except OSError as error:
    sys.exit(
        f"Expected to {arguments.action} the sample environment in {arguments.folder}, found that {error.filename} "
        f"can't be changed ({error.strerror}). Take a folder that you may write to."
    )
