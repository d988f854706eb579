"""Run by the Python of ML-Agents 1.1.0: export untrained policies as its trainers do, and say what each of them decides.

Usage: ``python export_onnx.py FOLDER``. For each file, `decisions.json` has observations, and the actions that PyTorch
computes for them.
"""

import functools
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from mlagents.trainers.policy.torch_policy import TorchPolicy
from mlagents.trainers.settings import NetworkSettings
from mlagents.trainers.torch_entities.model_serialization import ModelSerializer
from mlagents.trainers.torch_entities.networks import SimpleActor
from mlagents_envs.base_env import ActionSpec, BehaviorSpec, DimensionProperty, ObservationSpec, ObservationType

AGENTS = 3
MEMORY = NetworkSettings.MemorySettings(sequence_length=4, memory_size=8)
# The observations' shapes, numbers, choices, and whether there is a memory.
POLICIES = {
    "3DBall": ([(8,)], 2, (), None),
    "Team%2FRed": ([(4,), (3,)], 0, (3, 2), None),
    "Eyes": ([(3, 20, 24), (2,)], 1, (2,), None),
    "Memory": ([(4,)], 2, (), MEMORY),
}


def observation(shape):
    kinds = (DimensionProperty.NONE, *[DimensionProperty.TRANSLATIONAL_EQUIVARIANCE] * (len(shape) - 1))
    return ObservationSpec(shape, kinds, ObservationType.DEFAULT, "seen")


def main():
    warnings.simplefilter("ignore")
    torch.manual_seed(1)
    # PyTorch 2.9 and later export through onnxscript otherwise, which ML-Agents does not install.
    torch.onnx.export = functools.partial(torch.onnx.export, dynamo=False)
    said = {}
    for name, (shapes, numbers, choices, memory) in POLICIES.items():
        spec = BehaviorSpec([observation(shape) for shape in shapes], ActionSpec(numbers, choices))
        network = NetworkSettings(hidden_units=16, num_layers=1, memory=memory, normalize=memory is None)
        policy = TorchPolicy(0, spec, network, SimpleActor, {"conditional_sigma": False, "tanh_squash": False})
        ModelSerializer(policy).export_policy_model(str(Path(sys.argv[1], name)))
        seen = [np.random.RandomState(2).rand(AGENTS, *shape).astype(np.float32) for shape in shapes]
        masks = torch.ones(AGENTS, sum(choices))
        memories = torch.zeros(1, AGENTS, policy.m_size)
        with torch.no_grad():
            encoding, _ = policy.actor.network_body([torch.from_numpy(one) for one in seen], memories=memories)
            found = policy.actor.action_model.get_action_out(encoding, masks)
        said[name] = {
            "seen": [one.tolist() for one in seen],
            "numbers": found[3].tolist() if numbers else None,
            "choices": found[4].tolist() if choices else None,
        }
    Path(sys.argv[1], "decisions.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main()
