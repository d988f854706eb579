"""A stand-in for container/train that reports rewards which follow from the hyperparameters, in no time."""

import json
import os
from pathlib import Path

given = json.loads(Path(os.environ["SAGEMAKER_BASE_DIR"], "input/config/hyperparameters.json").read_text())
every, steps = int(given["summary_freq"]), int(given["max_steps"])
for step in range(every, steps + 1, every):
    reward = step / every + int(given["seed"]) / 8 + 1200 / int(given["buffer_size"])
    print(
        f"INFO:mlagents.trainers: run: 3DBall: Step: {step}. Time Elapsed: {step / 100:.3f} s Mean Reward: {reward:.3f}. "
        "Std of Reward: 0.250. Training.",
        flush=True,
    )
