"""Run in the trainer's environment: ML-Agents' own policies, exported by ML-Agents, and what TensorFlow makes of them.

Usage: ``python policies.py FOLDER KIND…``. For each kind `FOLDER/<kind>/Brain.nn` and `FOLDER/<kind>/expected.npz`: the
inputs of two decisions in a row and the action that the frozen graph, from which the `.nn` was made, gives for each. For
a brain of the sample environment `FOLDER/<brain>.nn` alone: a policy that has learned nothing.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "container"))
if sys.version_info >= (3, 8):  # noqa: UP036
    from trainers.v0_11 import tf1_compat

    tf1_compat.install()
import numpy as np
import tensorflow as tf
from mlagents.envs.brain import BrainParameters, CameraResolution
from mlagents.trainers.bc.policy import BCPolicy
from mlagents.trainers.ppo.policy import PPOPolicy
from mlagents.trainers.sac.policy import SACPolicy

AGENTS, OBSERVATIONS, MEMORY = 7, 6, 16
PARAMETERS = {
    "batch_size": 16,
    "beta": 0.001,
    "buffer_size": 64,
    "buffer_init_steps": 0,
    "epsilon": 0.2,
    "hidden_units": 24,
    "init_entcoef": 0.5,
    "lambd": 0.95,
    "learning_rate": 0.0003,
    "learning_rate_schedule": "linear",
    "max_steps": 100.0,
    "memory_size": MEMORY,
    "normalize": True,
    "num_epoch": 1,
    "num_layers": 2,
    "num_update": 1,
    "reward_signals": {"extrinsic": {"strength": 1.0, "gamma": 0.99}},
    "sequence_length": 1,
    "tau": 0.005,
    "time_horizon": 16,
    "train_interval": 1,
    "use_recurrent": False,
    "vis_encode_type": "simple",
}
CONTINUOUS, DISCRETE = [[3], 1], [[5, 2, 3], 0]
KINDS = {
    "ppo_continuous": (PPOPolicy, CONTINUOUS, {}, 0),
    "ppo_discrete": (PPOPolicy, DISCRETE, {"normalize": False}, 0),
    "ppo_one_branch": (PPOPolicy, [[4], 0], {}, 0),
    "sac_continuous": (SACPolicy, CONTINUOUS, {}, 0),
    "sac_discrete": (SACPolicy, DISCRETE, {}, 0),
    "bc_continuous": (BCPolicy, CONTINUOUS, {}, 0),
    "bc_discrete": (BCPolicy, DISCRETE, {}, 0),
    "ppo_cameras": (PPOPolicy, CONTINUOUS, {}, 2),
    "ppo_nature_cnn": (PPOPolicy, CONTINUOUS, {"vis_encode_type": "nature_cnn"}, 1),
    "ppo_resnet": (PPOPolicy, DISCRETE, {"vis_encode_type": "resnet"}, 1),
    "ppo_recurrent": (PPOPolicy, CONTINUOUS, {"use_recurrent": True}, 0),
    "ppo_recurrent_discrete": (PPOPolicy, DISCRETE, {"use_recurrent": True}, 0),
}
SAMPLE = {"3DBall": (8, [[2], 1]), "Seeker": (4, [[5], 0]), "Carrier": (7, [[5, 2], 0])}


def make_untrained(name, folder):
    observations, (sizes, action_type) = SAMPLE[name]
    brain = BrainParameters(name, observations, 1, [], sizes, [""] * len(sizes), action_type)
    path = Path(folder, name)
    path.mkdir(parents=True)
    tf.reset_default_graph()
    PPOPolicy(1, brain, dict(PARAMETERS, model_path=str(path)), True, False).export_model()


def make(kind, folder):
    policy_class, (sizes, action_type), changes, cameras = KINDS[kind]
    brain = BrainParameters(
        "Brain", OBSERVATIONS // 2, 2, [CameraResolution(44, 40, 3)] * cameras, sizes, [""] * len(sizes), action_type
    )
    path = Path(folder, kind, "Brain")
    path.mkdir(parents=True)
    parameters = dict(PARAMETERS, model_path=str(path), **changes)
    tf.reset_default_graph()
    policy = policy_class(1, brain, parameters, *([True, False] if policy_class is not BCPolicy else [False]))
    random = np.random.RandomState(2)
    if policy_class is not BCPolicy and parameters["normalize"]:
        for _ in range(3):
            policy.update_normalization(random.normal(1, 3, (50, OBSERVATIONS)))
    policy.export_model()
    return policy, random, sizes, cameras


def expected(kind, folder):
    policy, random, sizes, cameras = make(kind, folder)
    graph_def = tf.GraphDef()
    graph_def.ParseFromString(Path(folder, kind, "Brain", "frozen_graph_def.pb").read_bytes())
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(graph_def, name="")
    there = {operation.name for operation in graph.get_operations() if operation.type == "Placeholder"}
    noise = [operation.name for operation in graph.get_operations() if operation.type == "RandomStandardNormal"]
    memory, previous, state = np.zeros((AGENTS, MEMORY)), np.zeros((AGENTS, len(sizes))), {}
    with tf.Session(graph=graph) as session:
        for decision in range(2):
            masks = (random.uniform(size=(AGENTS, sum(sizes))) < 0.8).astype(float)
            masks[:, np.cumsum([0, *sizes[:-1]])] = 1  # never all choices of a branch
            feed = {
                "vector_observation": random.normal(1, 3, (AGENTS, OBSERVATIONS)),
                "epsilon": random.normal(size=(AGENTS, sizes[0])),
                "action_masks": masks,
                "recurrent_in": memory,
                "prev_action": previous,
                "sequence_length": 1,
                "dropout_rate": 1.0,
            }
            # What the graph draws itself is drawn here for it.
            feed.update({name: random.normal(size=(AGENTS, sizes[0])) for name in noise})
            for number in range(cameras):
                feed[f"visual_observation_{number}"] = random.uniform(size=(AGENTS, 44, 40, 3))
            fed = {name + ":0": value for name, value in feed.items() if name in there or name in noise}
            fetch = ["action:0"] + (["recurrent_out:0"] if policy.use_recurrent else [])
            result = session.run(fetch, fed)
            memory = result[-1] if policy.use_recurrent else memory
            state.update({f"in/{decision}/{name}": value for name, value in feed.items() if name + ":0" in fed})
            state[f"out/{decision}"] = result[0]
            previous = random.randint(0, 2, size=previous.shape)
    np.savez(str(Path(folder, kind, "expected.npz")), **state)


if __name__ == "__main__":
    for wanted in sys.argv[2:]:
        (make_untrained if wanted in SAMPLE else expected)(wanted, sys.argv[1])
