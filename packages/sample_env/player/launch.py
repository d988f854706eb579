#!/usr/bin/env python3
"""Start the sample player. This is a build's executable, `NAME.x86_64`, beside the folder `NAME_Data`."""

import json
import sys
from pathlib import Path

data = Path(__file__).absolute().with_name(Path(__file__).stem + "_Data")
marker = data / "sample_env.json"
if not marker.is_file():
    sys.exit(
        f"Expected {data.name}/ beside {Path(__file__).name}, found none in {data.parent}. Make the sample build again."
    )

about = json.loads(marker.read_text())
# Builds are stored by the hash of their content: write nothing into them, and import nothing beside them.
sys.dont_write_bytecode = True
sys.path[0] = str(data)
try:
    from player.main import main
    from player.scenes import protocol_module

    protocol = protocol_module(about["protocol"])
except ImportError as error:
    sys.exit(
        f"Expected the trainer's Python (NumPy, grpcio, mlagents_envs {about['trainer']}), found {sys.executable}: "
        f"{error}. Put the bin folder of the trainer's environment first on PATH."
    )
sys.exit(main(about["scene"], protocol, sys.argv[1:]))
