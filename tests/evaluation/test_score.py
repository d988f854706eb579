"""What models earn in the sample environment, over the protocol, against the same scene played here."""

import shutil

import numpy as np
import psutil
import pytest

import evaluation
from evaluation.score import BrainScore, RewardBook
from policy_files import model
from policy_files.inference import Policy, policy_of
from sample_env import make_sample_build
from sample_env.player.scene import Scene
from sample_env.player.scenes import SCENES

AGENTS, SEED = 12, 5


@pytest.fixture(scope="module")
def builds(tmp_path_factory):
    """Return the folder of each scene's build."""
    folders = {scene: tmp_path_factory.mktemp(scene) for scene in SCENES}
    for scene, folder in folders.items():
        make_sample_build(folder, scene)
    return folders


def first_episodes(groups, policies):
    """Play until every agent's first episode has ended; give each brain's rewards."""
    names = [group.behaviour.name for group in groups]
    earned = {name: np.zeros(AGENTS) for name in names}
    running = {name: np.ones(AGENTS, dtype=bool) for name in names}
    begins = dict.fromkeys(names)
    while any(agents.any() for agents in running.values()):
        for name, group in zip(names, groups, strict=True):
            group.step(policies[name].decide(group.observe().astype("f4"), begins=begins[name]))
            earned[name] += group.rewards * running[name]
            begins[name] = group.done.copy()
            running[name] &= ~group.done
    return earned


@pytest.mark.parametrize("scene", ["3DBall", "Warehouse"])
def test_scores_match_the_scene(untrained, builds, scene):
    names = [kind.behaviour.name for kind in SCENES[scene]]
    models = [untrained / f"{name}.nn" for name in names]
    report = evaluation.evaluate(models, builds[scene], episodes=AGENTS, seed=SEED)
    policies = {name: Policy(model.read(path), SEED) for name, path in zip(names, models, strict=True)}
    played = Scene(SCENES[scene], AGENTS, SEED)
    played.reset({})  # as the trainer's first message does
    expected = first_episodes(played.groups, policies)
    assert set(report.scores) == set(expected)
    for name, score in report.scores.items():
        assert score.rewards == pytest.approx(expected[name], abs=1e-4)
    assert report.ok and report.findings == ()


def test_scores_of_an_onnx_model_match_the_scene(onnx_models, untrained, builds, tmp_path):
    make_sample_build(tmp_path, "3DBall", trainer="1.1.0")
    path = onnx_models / "3DBall.onnx"
    report = evaluation.evaluate(path, tmp_path, episodes=AGENTS, seed=SEED)
    played = Scene(SCENES["3DBall"], AGENTS, SEED)
    played.reset({})
    expected = first_episodes(played.groups, {"3DBall": policy_of(model.read(path), SEED)})
    assert report.scores["3DBall"].rewards == pytest.approx(expected["3DBall"], abs=1e-4)
    assert len(evaluation.film(path, tmp_path, seconds=0.2).pictures) == 2
    for wrong, folder, wanted, own in (
        (untrained / "3DBall.nn", tmp_path, ".onnx", "0.11.0"),
        (path, builds["3DBall"], ".nn", "1.1.0"),
    ):
        match = f"Expected an {wanted} file for 3DBall, .* found {wrong.name} of ML-Agents {own}. Take the model that"
        for judge in (evaluation.evaluate, evaluation.film):
            with pytest.raises(evaluation.EvaluationError, match=match):
                judge(wrong, folder)


def test_the_same_seed_gives_the_same_score(untrained, builds):
    rewards = [
        evaluation.evaluate([untrained / "3DBall.nn"], builds["3DBall"], episodes=4, seed=seed).scores["3DBall"].rewards
        for seed in (1, 1, 2)
    ]
    assert rewards[0].tolist() == rewards[1].tolist() != rewards[2].tolist()


def test_env_args_choose_the_agents(untrained, builds):
    report = evaluation.evaluate([untrained / "3DBall.nn"], builds["3DBall"], episodes=5, env_args=["--agents", "2"])
    assert len(report.scores["3DBall"].rewards) == 6  # three each, so that short episodes count no more


def test_models_and_brains_must_match(untrained, builds):
    with pytest.raises(
        evaluation.EvaluationError, match="each brain of the build, Carrier, Seeker; found models for 3D"
    ):
        evaluation.evaluate([untrained / "3DBall.nn"], builds["Warehouse"])
    with pytest.raises(evaluation.EvaluationError, match="brain of the build, 3DBall; found models for none"):
        evaluation.evaluate([], builds["3DBall"])


def test_a_model_of_other_actions_is_refused(untrained, builds, tmp_path):
    shutil.copy(untrained / "Seeker.nn", tmp_path / "3DBall.nn")
    with pytest.raises(
        evaluation.EvaluationError, match=r"continuous actions \(2,\) for the brain 3DBall, found discrete ones \(5,\)"
    ):
        evaluation.evaluate([tmp_path / "3DBall.nn"], builds["3DBall"])


def test_too_little_time(untrained, builds):
    with pytest.raises(evaluation.EvaluationError, match=r"Expected 100 episodes .* only these ended in time"):
        evaluation.evaluate([untrained / "3DBall.nn"], builds["3DBall"], max_seconds=0)


def test_a_player_that_ends_is_reported_with_its_log(untrained, builds):
    with pytest.raises(evaluation.EvaluationError, match=r"(?s)3DBall cannot be evaluated. The player ended.*--agents"):
        evaluation.evaluate([untrained / "3DBall.nn"], builds["3DBall"], env_args=["--agents", "none"])


@pytest.mark.parametrize("episodes", [0, -3, 2.5, "100"])
def test_an_invalid_number_of_episodes(untrained, builds, episodes):
    with pytest.raises(evaluation.EvaluationError, match=rf"whole number, 1 or more, found {episodes!r}\."):
        evaluation.evaluate([untrained / "3DBall.nn"], builds["3DBall"], episodes=episodes)


def test_one_model_and_one_episode(untrained, builds):
    score = evaluation.evaluate(str(untrained / "3DBall.nn"), builds["3DBall"], episodes=1).scores["3DBall"]
    assert len(score.rewards) == 1
    assert np.isnan(score.interval).all()
    text = f"reward {score.rewards[0]:.3f} in 1 episode of {score.lengths[0]} decisions: too few for an interval"
    assert str(score) == text


def test_a_folder_without_a_build(untrained, tmp_path):
    from mlagents_check.unity_build import UnityBuildError

    with pytest.raises(UnityBuildError):
        evaluation.evaluate([untrained / "3DBall.nn"], tmp_path)


def test_nothing_is_left_running(untrained, builds, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # where the player runs
    evaluation.evaluate([untrained / "3DBall.nn"], builds["3DBall"], episodes=1)
    commands = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    assert not [command for command in commands if str(tmp_path) in command]
    assert not list(tmp_path.glob("watch-*"))


def test_every_agent_has_the_same_share():
    book = RewardBook(["a", "b"], 3)
    for done in ([True, False], [True, False], [True, True], [False, True]):
        assert not book.full
        book.note(["a", "b"], np.array([1.0, 10.0]), np.array(done))
    assert book.full
    score = book.score("Brain")
    assert (score.rewards.tolist(), score.lengths.tolist()) == ([1.0, 1.0, 30.0, 10.0], [1, 1, 3, 1])


def test_the_interval_of_a_mean():
    rewards = np.random.default_rng(1).normal(50, 10, 400)
    low, high = evaluation.interval(rewards)
    assert low < rewards.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * rewards.std() / 20, rel=0.05)
    assert evaluation.interval(rewards) == (low, high)
    assert evaluation.interval(np.array([3.0, 3.0])) == (3.0, 3.0)
    score = BrainScore("Brain", np.array([1.0, 3.0]), np.array([10, 20]))
    assert str(score) == (
        "mean reward 2.000 (95 % interval 1.000 to 3.000), standard deviation 1.000, 2 episodes of 15 decisions"
    )
