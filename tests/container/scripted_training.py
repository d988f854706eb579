"""Trains with a scripted player and notes everything that the trainer makes of it; run by the trainer's Python.

Reads a list of trainings as JSON from standard input, each with `speedups`, `player` and `settings`, and writes into
the folder named on the command line, for each of them, what was noted: lists of digests, and the network at the end.
The player answers to the actions it gets, so that one other action is seen in all that follows. Each training is a
process of its own, forked from this one, for a speedup can't be taken back.
"""

import hashlib
import io
import json
import multiprocessing
import os
import sys
import tempfile
import traceback

import numpy as np

CONTAINER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "container")
sys.path.insert(0, CONTAINER)
if sys.version_info >= (3, 8):
    from trainers.v0_11 import tf1_compat

    tf1_compat.install()

import cores  # noqa: E402
import process_tree  # noqa: E402
import speedups  # noqa: E402
import tensorflow as tf  # noqa: E402
from mlagents.envs.communicator import Communicator  # noqa: E402
from mlagents.envs.communicator_objects.unity_output_pb2 import UnityOutputProto  # noqa: E402
from mlagents.envs.environment import UnityEnvironment  # noqa: E402
from mlagents.envs.sampler_class import SamplerManager  # noqa: E402
from mlagents.envs.subprocess_env_manager import SubprocessEnvManager  # noqa: E402
from mlagents.trainers.tf_policy import TFPolicy  # noqa: E402
from mlagents.trainers.trainer_controller import TrainerController  # noqa: E402
from mlagents.trainers.trainer_util import TrainerFactory  # noqa: E402
from PIL import Image  # noqa: E402

DEFAULTS = {
    "trainer": "ppo",
    "batch_size": 16,
    "beta": 5.0e-3,
    "buffer_size": 64,
    "epsilon": 0.2,
    "hidden_units": 16,
    "lambd": 0.95,
    "learning_rate": 3.0e-3,
    "learning_rate_schedule": "linear",
    "max_steps": 60,
    "memory_size": 8,
    "normalize": True,
    "num_epoch": 2,
    "num_layers": 1,
    "time_horizon": 7,
    "sequence_length": 4,
    "summary_freq": 20,
    "use_recurrent": False,
    "reward_signals": {"extrinsic": {"strength": 0.7, "gamma": 0.95}},
    "buffer_init_steps": 10,
    "init_entcoef": 1.0,
    "num_update": 1,
    "train_interval": 2,
    "tau": 0.005,
    "batches_per_epoch": 3,
    "vis_encode_type": "simple",
}
SIZE = 24  # pixels of an image, each way; the simple encoder takes no less


class Player(Communicator):
    """A player in the worker's own process."""

    def __init__(self, agents=5, brains=("Test",), discrete=(), images=0, changing=False, broken=False, masks=False):
        self.agents, self.brains, self.discrete, self.images = agents, brains, list(discrete), images
        self.changing, self.broken, self.masks = changing, broken, masks
        self.step = 0
        self.state = {}

    def initialize(self, inputs):
        output = UnityOutputProto()
        output.rl_initialization_output.name = "Scripted"
        output.rl_initialization_output.version = UnityEnvironment.API_VERSION
        output.rl_initialization_output.environment_parameters.float_parameters["size"] = 1.0
        return output

    def exchange(self, inputs):
        output = UnityOutputProto()
        if inputs.rl_input.command == 1:  # reset
            for brain in self.brains:
                output.rl_initialization_output.brain_parameters.add(
                    brain_name=brain,
                    vector_observation_size=4,
                    num_stacked_vector_observations=1,
                    vector_action_size=self.discrete or [2],
                    vector_action_space_type=0 if self.discrete else 1,
                )
        else:
            self.step += 1
        for number, brain in enumerate(self.brains):
            actions = inputs.rl_input.agent_actions[brain].value
            infos = output.rl_output.agentInfos[brain].value
            for place, agent in enumerate(self._present()):
                self._observe(infos.add(), (number, agent), actions[place] if place < len(actions) else None)
        return output

    def _present(self):
        """Return the agents that are there; where they change, one leaves, one comes and two change places."""
        if not self.changing or self.step % 9 < 5:
            return list(range(self.agents))
        return [1, 0, *range(3, self.agents), self.agents + 1]

    def _observe(self, info, key, action):
        rng = np.random.RandomState(1000 * self.step + 10 * key[1] + key[0])
        acted = list(action.vector_actions) if action else [0.0] * (len(self.discrete) or 2)
        pull = sum(np.tanh(acted)) / 4
        state = self.state[key] = 0.9 * self.state.get(key, np.zeros(4)) + rng.uniform(-0.5, 0.5, 4) + pull
        begun = self.step > 0
        info.id = key[1]
        info.stacked_vector_observation.extend(state.tolist())
        info.stored_vector_actions.extend(acted)
        info.reward = float(state[0] - abs(pull)) if begun else 0.0
        info.max_step_reached = begun and (self.step + key[1]) % 12 == 0
        info.done = info.max_step_reached or (begun and (self.step + 2 * key[1]) % 10 == 0)
        info.text_observation = "step %d" % self.step if key[1] == 0 else ""
        if action is not None and key[1] != 1:  # ML-Agents fills up the memories of who sends none
            info.memories.extend(action.memories)
        if self.masks and self.step % 3 == 0 and key[1] != 2:
            info.action_mask.extend(place == 0 for place in range(sum(self.discrete)))
        if self.broken and self.step == 15 and key[1] == 1:
            info.stacked_vector_observation[2] = float("nan")
            info.reward = float("nan")
        for _ in range(self.images):
            pixels = io.BytesIO()
            Image.fromarray(rng.randint(0, 255, (SIZE, SIZE, 3)).astype(np.uint8)).save(pixels, "PNG")
            info.compressed_observations.add(data=pixels.getvalue(), shape=[SIZE, SIZE, 3], compression_type=1)

    def close(self):
        pass


def notes_of(training):
    """Train, and return what was noted: after each step, of each question to a network and its answer, and of the networks."""
    notes = {
        "turns": {"experiences": [], "statistics": []},
        "asked": {},
        "answered": {},
        "updates": 0,
        "ahead": 0,
        "network": {},
    }
    if training.get("one_core"):
        cores.available = lambda: 1
    speedups.apply(training["speedups"])
    execute, advance, queue_steps = (
        TFPolicy._execute_model,
        TrainerController.advance,
        SubprocessEnvManager._queue_steps,
    )
    turn = {"sent": 0}

    def noted_execute(self, feeds, fetches):
        found = execute(self, feeds, fetches)
        fed = {feed.name: np.asarray(value, dtype=feed.dtype.as_numpy_dtype) for feed, value in feeds.items()}
        brain = self.brain.brain_name
        notes["asked"].setdefault(brain, []).append(digest(fed))
        notes["answered"].setdefault(brain, []).append(digest(found))
        notes["updates"] += "update_batch" in fetches
        return found

    def noted_queue(self):
        turn["sent"] += 1
        queue_steps(self)

    def noted_advance(self, env):
        turn["sent"] = 0
        steps = advance(self, env)
        notes["ahead"] += turn["sent"] == 2
        seen = env.env_workers[0].previous_step.current_all_brain_info
        held = {name: [trainer.get_step, state(trainer)] for name, trainer in self.trainers.items()}
        notes["turns"]["experiences"].append(digest([{name: vars(info) for name, info in seen.items()}, held]))
        notes["turns"]["statistics"].append(digest({name: trainer.stats for name, trainer in self.trainers.items()}))
        return steps

    TFPolicy._execute_model, TrainerController.advance = noted_execute, noted_advance
    SubprocessEnvManager._queue_steps = noted_queue
    player = training["player"]
    with tempfile.TemporaryDirectory() as folder:
        settings = dict(DEFAULTS, **training["settings"])
        models, summaries = os.path.join(folder, "models"), os.path.join(folder, "summaries")
        factory = TrainerFactory({"default": settings}, summaries, "run", models, 5, True, False, 7)
        controller = TrainerController(
            factory, models, summaries, "run", 30, None, True, 7, True, SamplerManager({}), None
        )
        np.random.seed(7)

        learner = os.getpid()

        def environment(worker_id):
            process_tree.die_with(learner)

            class Scripted(UnityEnvironment):
                get_communicator = staticmethod(lambda *_: Player(**player))

            return Scripted(worker_id=worker_id)

        controller._save_model = lambda: None
        controller._export_graph = lambda: notes["network"].update(
            {name: weights(trainer.policy) for name, trainer in controller.trainers.items()}
        )
        controller.start_learning(SubprocessEnvManager(environment, 1))
    return notes


def state(trainer):
    """Return what a trainer holds but for its network, its statistics and the clock."""
    held = {name: value for name, value in vars(trainer).items() if name in STATE}
    buffers = getattr(trainer, "training_buffer", None)
    if buffers is not None:
        held["agents"] = {
            agent: [
                None if buffer.last_brain_info is None else vars(buffer.last_brain_info),
                {name: [field.padding_value, list(field)] for name, field in buffer.items()},
            ]
            for agent, buffer in buffers.items()
        }
        held["buffer"] = {name: list(field) for name, field in buffers.update_buffer.items()}
    return held


STATE = ("collected_rewards", "episode_steps", "_reward_buffer", "cumulative_returns_since_policy_update")


def weights(policy):
    with policy.graph.as_default():
        names = tf.global_variables()
    return digest([[v.name, value] for v, value in zip(names, policy.sess.run(names))])


def digest(value):
    """Hash a value with its types: a number of NumPy's is another than Python's, and a list than an array."""
    hasher = hashlib.sha256()
    _hash(value, hasher.update)
    return hasher.hexdigest()[:16]


def _hash(value, update):
    if isinstance(value, dict):
        update(b"{")
        for key in sorted(value, key=str):
            update(str(key).encode())
            _hash(value[key], update)
    elif isinstance(value, np.ndarray):
        update(("%s%s" % (value.dtype, value.shape)).encode())
        update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, np.generic):
        update(value.dtype.str.encode() + value.tobytes())
    elif hasattr(value, "SerializeToString"):
        update(value.SerializeToString())
    elif hasattr(value, "__iter__") and not isinstance(value, (str, bytes)):
        update(b"[")
        for item in value:
            _hash(item, update)
        update(b"]")
    else:
        update(repr(value).encode())


def work(number, training, folder):
    """Train in a process of its own, and write its notes."""
    process_tree.die_with(training["parent"])
    code = 1
    try:
        found = notes_of(training)
        with open(os.path.join(folder, "%d.json" % number), "w", encoding="utf-8") as file:
            json.dump(found, file)
        code = 0
    except Exception:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)  # a plain exit would wait for the worker, which never ends once the trainer has failed


def main():
    """Train all that is asked for."""
    for number, training in enumerate(json.load(sys.stdin)):
        process = multiprocessing.get_context("fork").Process(
            target=work, args=(number, dict(training, parent=os.getpid()), sys.argv[1])
        )
        process.start()
        process.join()
        if process.exitcode != 0:
            sys.exit("training %d ended with %s" % (number, process.exitcode))


if __name__ == "__main__":
    main()
