"""The output of `docker run IMAGE`: how to train with this image, and all options."""

import textwrap

import hyperparameters
import trainers

USAGE = """\
Trains a Unity build, made with {builds}, as an Amazon SageMaker training job does.

  docker run --rm --network none --volume FOLDER:/opt/ml IMAGE train

If FOLDER has no build, the scene that is open in the Unity Editor on this machine is trained. It connects to the
port that is published here; press Play when ML-Agents asks for it:

  docker run --rm --publish 127.0.0.1:5004:5004 --volume FOLDER:/opt/ml IMAGE train max_steps=50000

FOLDER/input/data/unity-volume/                   the build, and trainer_config.yaml if it has one
FOLDER/input/config/hyperparameters.json          such as {{"max_steps": "15000", "num-envs": "2"}}; or as above
FOLDER/model/, FOLDER/output/, FOLDER/checkpoints/  the results: {suffix} files; summaries and logs; checkpoints

Hyperparameters with dashes are options, those with underscores (max_steps, reward_signals.extrinsic.gamma) keys of the
trainer configuration, which they override for every brain. The options:
"""


def main():
    """Print the usage."""
    row = trainers.chosen().ROW
    print(USAGE.format(builds=row["builds"], suffix=row["model_suffix"]))
    for option in hyperparameters.OPTIONS:
        default = "" if option.default is None else " (default: %s)" % (option.default,)
        text = textwrap.fill(option.meaning + default, 118, initial_indent=" " * 22, subsequent_indent=" " * 22)
        print("  %-19s %s" % (option.name, text.strip()))


if __name__ == "__main__":
    main()
