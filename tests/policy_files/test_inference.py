"""The model file, run in NumPy, against the frozen graph that it was made of, run in TensorFlow."""

import numpy as np
import pytest

from policy_files import model
from policy_files.inference import Network, Policy
from policy_files.model import ModelError

OFTEN = ["ppo_continuous", "ppo_discrete", "sac_continuous"]
OTHERS = ["ppo_one_branch", "sac_discrete", "bc_continuous", "bc_discrete", "ppo_cameras", "ppo_nature_cnn"]
OTHERS += ["ppo_resnet", "ppo_recurrent", "ppo_recurrent_discrete"]


def compare(folder):
    """Run both decisions; a recurrent network takes its own memory from the first into the second."""
    read = model.read(folder / "Brain.nn")
    network, expected, memories = Network(read), np.load(folder / "expected.npz"), {}
    assert bool(read.memories) == ("recurrent" in folder.name)
    for decision in range(2):
        inputs = {name.split("/", 2)[2]: expected[name] for name in expected if name.startswith(f"in/{decision}/")}
        agents = len(inputs["vector_observation"])
        four = {name: value.reshape(agents, 1, 1, -1) for name, value in inputs.items() if value.ndim == 2}
        four.update({name: value for name, value in inputs.items() if value.ndim == 4})
        if "recurrent_in" in four:
            four["recurrent_in"] = np.zeros_like(four["recurrent_in"])
        for memory in read.memories:
            four[memory.before] = memories.get(memory.before, np.zeros((agents, *memory.shape[1:])))
        out = network.run(four)
        memories = {memory.before: out[memory.after] for memory in read.memories}
        outputs = expected[f"out/{decision}"]
        assert np.ptp(outputs, axis=0).min() > 1e-4  # it depends on what the agents see
        np.testing.assert_allclose(out["action"].reshape(agents, -1), outputs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", OFTEN)
def test_outputs_match_tensorflows(exported, kind):
    compare(exported / kind)


@pytest.mark.slow
@pytest.mark.parametrize("kind", OTHERS)
def test_outputs_of_the_other_kinds_match_tensorflows(exported_too, kind):
    compare(exported_too / kind)


@pytest.mark.slow
def test_an_agent_forgets_when_its_episode_begins(exported_too):
    read = model.read(exported_too / "ppo_recurrent/Brain.nn")
    observations = np.random.default_rng(1).normal(size=(5, read.observations))
    begins = np.array([True, False, True, False, False])

    def second(begins, warm_up=True):
        policy = Policy(read)
        if warm_up:
            policy.decide(observations * 2)
        policy.random = np.random.default_rng(7)
        return policy.decide(observations, begins=begins)

    remembered, emptied, fresh = second(None), second(begins), second(None, warm_up=False)
    assert (emptied[begins] == fresh[begins]).all()
    assert (emptied[~begins] == remembered[~begins]).all()
    assert (np.abs(remembered - fresh).max(axis=1) > 1e-4).all()


def test_the_seed_makes_decisions_repeatable(exported):
    for kind in OFTEN:
        read = model.read(exported / kind / "Brain.nn")
        observations = np.random.default_rng(1).normal(size=(50, read.observations))
        first, again, other = (Policy(read, seed).decide(observations) for seed in (1, 1, 2))
        assert (first == again).all()
        assert not (first == other).all()


def test_choices_are_drawn_with_the_probabilities_of_the_network(exported):
    read = model.read(exported / "ppo_discrete/Brain.nn")
    assert read.actions == (5, 2, 3)
    observation = np.random.default_rng(1).normal(2, 3, size=(1, read.observations))
    policy = Policy(read, seed=3)
    inputs = policy.gather(1, observation, (), None)
    probabilities = np.exp(policy.network.run(inputs)["action"].reshape(-1))
    count = 40_000
    drawn = policy.decide(np.repeat(observation, count, axis=0))
    frequencies = np.concatenate([np.bincount(drawn[:, branch], minlength=n) for branch, n in enumerate(read.actions)])
    # Four standard errors of a frequency.
    assert (
        np.abs(frequencies / count - probabilities) < 4 * np.sqrt(probabilities * (1 - probabilities) / count)
    ).all()


def test_masked_choices_are_never_drawn(exported):
    read = model.read(exported / "ppo_discrete/Brain.nn")
    masks = np.ones((2000, 10))
    masks[:, [0, 1, 3, 6, 9]] = 0
    drawn = Policy(read).decide(np.zeros((2000, read.observations)), masks=masks)
    assert [sorted(set(branch)) for branch in drawn.T.tolist()] == [[2, 4], [0], [0, 1]]


def test_observations_that_do_not_fit_are_refused(exported):
    policy = Policy(model.read(exported / "ppo_continuous/Brain.nn"))
    with pytest.raises(
        ModelError, match=r"Expected vector_observation with \(1, 1, 6\) .* got \(1, 1, 8\)\. Is it the"
    ):
        policy.decide(np.zeros((3, 8)))
