"""Run by the trainer environment's Python: train on each config with ML-Agents' own trainers, as far as an update.

Reads a JSON list of config paths from standard input; prints a JSON list of what went wrong, null where nothing did.
With the argument `demonstrations` it reads paths of those, and prints what the trainers' loader made of each.
The environment is a stand-in; loading, trainer initialisation, experiences, updates and summaries are the wheel's.
"""

import contextlib
import io
import itertools
import json
import logging
import os
import signal
import sys
import tempfile
import warnings
from pathlib import Path

STEPS, UPDATES, AGENTS, EPISODE, SECONDS = 60, 3, 12, 10, 60


def imitate(brain, np, BrainInfo):  # noqa: N803
    """Return one step of an environment with random observations."""
    done = np.random.rand(AGENTS) < 1 / EPISODE
    size = brain.vector_observation_space_size
    return BrainInfo(
        [np.random.rand(AGENTS, c.height, c.width, c.num_channels) for c in brain.camera_resolutions],
        np.random.rand(AGENTS, size),
        [""] * AGENTS,
        np.zeros((AGENTS, 0)),
        np.random.rand(AGENTS).tolist(),
        list(range(AGENTS)),
        done.tolist(),
        np.zeros((AGENTS, 2)),
        [""] * AGENTS,
        [False] * AGENTS,
        np.ones((AGENTS, 2)),
    )


def train(path):
    """Do what `mlagents-learn` does with a config, to its max_steps (STEPS or UPDATES at most) and the export of the model.

    Raises an error if no update changes the network, or if what it learns is not numbers.
    """
    import numpy as np
    import tensorflow as tf
    from mlagents.envs.brain import BrainInfo, BrainParameters
    from mlagents.trainers.trainer_util import initialize_trainer, load_config

    tf.reset_default_graph()
    config = load_config(path)
    brain = BrainParameters("Ball", 4, 1, [], [2], ["", ""], 1)
    with tempfile.TemporaryDirectory() as folder:
        trainer = initialize_trainer(config, brain, folder, "run", folder, 5, True, False, 1)
        str(trainer)
        Path(folder, "Ball").mkdir(exist_ok=True)
        with trainer.policy.graph.as_default():
            network = [v for v in tf.trainable_variables() if not v.name.startswith(("gail", "curiosity"))]

        def weights():
            return [value.copy() for value in trainer.policy.sess.run(network)]

        first = weights()
        drawn, update = set(), trainer.policy.update
        trainer.policy.update = lambda *args, **more: (drawn.add(step), update(*args, **more))[1]
        before = imitate(brain, np, BrainInfo)
        step = 0
        while trainer.get_step <= trainer.get_max_steps and step < STEPS and len(drawn) < UPDATES:
            step += 1
            action = trainer.policy.get_action(before)
            after = imitate(brain, np, BrainInfo)
            if action.memory is not None:
                after.memories = action.memory
            if action.action is not None:
                after.previous_vector_actions = action.action
            trainer.add_experiences({"Ball": before}, {"Ball": after}, action.outputs)
            trainer.process_experiences({"Ball": before}, {"Ball": after})
            trainer.increment_step(1)
            if trainer.is_ready_update():
                trainer.update_policy()
                for name, values in trainer.stats.items():
                    if "Loss" in name and values and not np.isfinite(values[-1]):
                        raise RuntimeError(f"learned nothing: {name} is {values[-1]}")
            trainer.write_summary(step, 0.0)
            before = after
        trainer.save_model()
        trainer.export_model()
        last = weights()
        trainer.policy.sess.close()
        if not Path(folder, "Ball.nn").stat().st_size:
            raise RuntimeError("no model")
    if not all(np.isfinite(value).all() for value in last):
        raise RuntimeError("learned nothing: the weights are no numbers")
    if max(abs(value - old).max() for value, old in zip(last, first)) < 1e-7:  # noqa: B905
        raise RuntimeError("learned nothing")


def load(path):
    """Load demonstrations as the trainers do, in each order of a folder's files; give how many steps, or what failed."""
    import numpy as np
    from mlagents.trainers import demo_loader

    def once(names):
        demo_loader.os.listdir = lambda _: names
        brain, infos, _ = demo_loader.load_demonstration(path)
        fields = demo_loader.make_demo_buffer(infos, brain, 1).update_buffer
        expected = {"actions": brain.vector_action_space_size[:1]}
        if brain.vector_action_space_type == "discrete":
            expected["actions"] = [len(brain.vector_action_space_size)]
        if brain.vector_observation_space_size > 0:
            size = brain.vector_observation_space_size * brain.num_stacked_vector_observations
            expected["vector_obs"] = [size]
        for number, camera in enumerate(brain.camera_resolutions):
            expected[f"visual_obs{number}"] = list(camera)
        for name, shape in expected.items():  # else the network can't be fed with it
            values = np.array(fields[name], dtype=np.float32)
            assert list(values.shape) == [len(infos) - 1, *shape] and len(infos) > 1, name
            assert np.isfinite(values).all(), name  # else its loss is not a number
        return len(infos)

    # protobuf's C++ ends a message at a stray end-group tag with a mere warning, its Python fails.
    warnings.filterwarnings("error", "Unexpected end-group tag")
    listdir, outcomes = os.listdir, []
    names = sorted(listdir(path)) if Path(path).is_dir() else []
    for order in itertools.permutations(names):
        try:
            outcomes.append(once(list(order)))
        except BaseException as error:
            outcomes.append(f"{type(error).__name__}: {error}")
    demo_loader.os.listdir = listdir
    return outcomes


def interrupt(*_):
    raise TimeoutError("it hangs")


def main():
    paths = json.load(sys.stdin)
    os.environ.update(CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="3")
    warnings.simplefilter("ignore")
    if sys.version_info[:2] != (3, 7):  # then TensorFlow is not 1.15
        sys.path.insert(0, sys.argv[1])
        from trainers.v0_11 import tf1_compat

        tf1_compat.install()
    logging.disable(logging.CRITICAL)
    if "demonstrations" in sys.argv:
        json.dump([load(path) for path in paths], sys.stdout)
        return
    signal.signal(signal.SIGPROF, interrupt)
    outcomes = []
    for path in paths:
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # of its own time: a busy machine is no hang
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            try:
                train(path)
            except BaseException as error:
                outcomes.append(f"{type(error).__name__}: {error}"[:200])
            else:
                outcomes.append(None)
        signal.setitimer(signal.ITIMER_PROF, 0)
    json.dump(outcomes, sys.stdout)


if __name__ == "__main__":
    main()
