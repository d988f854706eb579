"""The Warehouse's rules, and what the best driver earns by them."""

import json

import numpy as np
import pytest

from common import ROOT
from sample_env.player.scene import Scene
from sample_env.player.scenes import SCENES
from sample_env.player.warehouse import Carrier, Seeker

STAY, LEFT, RIGHT, DOWN, UP = range(5)
AGENTS = 200


def seeker(place, goal):
    scene = Seeker(1, seed=0)
    scene.place, scene.goal = np.array([place]).T, np.array([goal]).T
    return scene


def carrier(place, parcel, gate, carries=False):
    scene = Carrier(1, seed=0)
    scene.place, scene.parcel, scene.gate = (np.array([cell]).T for cell in (place, parcel, gate))
    scene.carries = np.array([carries])
    return scene


def steps(a, b):
    return np.abs(a - b).sum(0)


def first_episodes(scene, act=None):
    """Play until every agent's first episode has ended; give what each earned."""
    earned, running = np.zeros(scene.agents), np.ones(scene.agents, dtype=bool)
    while running.any():
        scene.step(act(scene.observe()) if act else scene.heuristic())
        earned += scene.rewards * running
        running &= ~scene.done
    return earned


@pytest.mark.parametrize(
    ("move", "place"), [(STAY, (3, 4)), (LEFT, (2, 4)), (RIGHT, (4, 4)), (DOWN, (3, 3)), (UP, (3, 5))]
)
def test_each_move_has_its_direction(move, place):
    scene = seeker((3, 4), (7, 7))
    scene.step(np.array([[move]]))
    assert scene.place[:, 0].tolist() == list(place)
    assert scene.rewards == pytest.approx([-0.01])


@pytest.mark.parametrize(("place", "moves"), [((0, 0), (LEFT, DOWN)), ((7, 7), (RIGHT, UP))])
def test_walls_stop_a_robot(place, moves):
    scene = seeker(place, (3, 3))
    for move in moves:
        scene.step(np.array([[move]]))
        assert scene.place[:, 0].tolist() == list(place)


def test_arriving_ends_the_episode_and_starts_the_next():
    scene = seeker((3, 4), (4, 4))
    scene.step(np.array([[RIGHT]]))
    assert scene.rewards == pytest.approx([0.99])
    assert (scene.done[0], scene.max_step_reached[0], scene.decisions[0], scene.episodes) == (True, False, 0, 1)
    assert steps(scene.place, scene.goal)[0] >= 1


def test_after_50_decisions_an_episode_ends():
    scene = seeker((3, 4), (7, 7))
    for decision in range(1, 51):
        scene.step(np.array([[STAY]]))
        assert scene.done[0] == (decision == 50)
    assert scene.max_step_reached[0]


def test_a_carrier_takes_the_parcel_up_carries_and_delivers_it():
    scene = carrier((0, 0), (1, 0), (1, 2))
    results = []
    for move, grip in [(RIGHT, 1), (UP, 0), (UP, 1)]:
        results.append((scene.carries[0], scene.parcel[:, 0].tolist()))
        scene.step(np.array([[move, grip]]))
        results[-1] += (round(scene.rewards[0], 6), scene.done[0])
    assert results == [(False, [1, 0], 0.49, False), (True, [1, 0], -0.01, False), (True, [1, 1], 0.49, True)]
    assert not scene.carries[0]


@pytest.mark.parametrize(
    ("place", "carries"),
    [((3, 3), False), ((5, 5), False), ((3, 3), True)],
    ids=["nothing there", "gate", "on the way"],
)
def test_gripping_in_vain_costs_and_changes_nothing(place, carries):
    scene = carrier(place, place if carries else (1, 1), (5, 5), carries)
    scene.step(np.array([[STAY, 1]]))
    assert scene.rewards == pytest.approx([-0.02])
    assert (scene.carries[0], scene.done[0]) == (carries, False)


def test_observations_are_scaled():
    assert seeker((0, 7), (7, 0)).observe() == pytest.approx(np.array([[-1, 1, 1, -1]]))
    assert carrier((7, 0), (0, 0), (7, 7)).observe() == pytest.approx(np.array([[1, -1, -1, 0, 0, 1, 0]]))
    assert carrier((7, 0), (7, 0), (7, 7), True).observe() == pytest.approx(np.array([[1, -1, 0, 0, 0, 1, 1]]))


def test_the_best_seeker_earns_1_minus_0_01_per_step():
    scene = Seeker(AGENTS, seed=1)
    best = 1 - 0.01 * steps(scene.place, scene.goal)
    assert first_episodes(scene) == pytest.approx(best)


def test_the_best_carrier_earns_1_minus_0_01_per_step():
    scene = Carrier(AGENTS, seed=1)
    best = 1 - 0.01 * (steps(scene.place, scene.parcel) + steps(scene.parcel, scene.gate))
    assert first_episodes(scene) == pytest.approx(best)


@pytest.mark.parametrize(("kind", "most"), [(Seeker, 0.1), (Carrier, -0.4)])
def test_a_random_robot_earns_little(kind, most):
    random = np.random.RandomState(0)
    scene = kind(AGENTS, seed=1)
    earned = first_episodes(scene, lambda seen: random.randint(scene.choices + 1, size=(AGENTS, len(scene.choices))))
    assert earned.mean() < most


@pytest.mark.parametrize("farthest", [1, 3, 14])
def test_drawn_distances_are_limited_by_the_reset_parameter(farthest):
    seekers, carriers = Seeker(3000, seed=2), Carrier(3000, seed=2)
    seekers.reset({"goal_distance": farthest})
    carriers.reset({"parcel_distance": farthest})
    for a, b in [
        (seekers.place, seekers.goal),
        (carriers.place, carriers.parcel),
        (carriers.parcel, carriers.gate),
    ]:
        assert set(steps(a, b)) == set(range(1, farthest + 1))
    # All cells are used, and none much more than another.
    assert np.bincount(seekers.place[0] + 8 * seekers.place[1], minlength=64).min() > 20


@pytest.mark.parametrize(("kind", "name"), [(Seeker, "goal_distance"), (Carrier, "parcel_distance")])
@pytest.mark.parametrize(
    ("value", "message"), [(0.5, "to be 1 or more, got 0.5"), (float("nan"), "Expected a finite reset parameter")]
)
def test_an_impossible_distance_is_refused(kind, name, value, message):
    scene = kind(2, seed=1)
    with pytest.raises(ValueError, match=message):
        scene.reset({name: value})
    assert scene.current == {name: 14}


def test_invalid_choices_and_nan_are_harmless():
    scene = seeker((3, 3), (7, 7))
    for action, place in [(np.nan, [3, 3]), (99, [3, 4]), (-5, [3, 4]), (np.inf, [3, 5])]:
        scene.step(np.array([[action]]))
        assert scene.place[:, 0].tolist() == place


def test_the_seed_makes_a_run_repeatable():
    actions = np.random.RandomState(0).randint(2, size=(200, 5, 2))

    def run(seed):
        scene = Scene(SCENES["Warehouse"], 5, seed)
        seen = []
        for action in actions:
            for group in scene.groups:
                group.step(action[:, : group.actions.shape[1]])
                seen += [group.observe().tolist(), group.rewards.tolist()]
        assert scene.episodes > 5
        return seen

    assert run(1) == run(1)
    assert run(-1) == run(-1)
    assert run(1) != run(2)


def test_each_group_takes_its_own_reset_parameters():
    scene = Scene(SCENES["Warehouse"], 3, 1)
    scene.reset({"goal_distance": 2.0})
    assert scene.current == {"goal_distance": 2.0, "parcel_distance": 14.0}
    scene.reset({"parcel_distance": 1.0})
    assert [group.current for group in scene.groups] == [{"goal_distance": 2.0}, {"parcel_distance": 1.0}]
    with pytest.raises(ValueError, match="out of goal_distance, parcel_distance, got gravity"):
        scene.reset({"gravity": 1.0})


def test_the_curriculum_has_three_lessons_that_the_scene_can_play():
    for kind in SCENES["Warehouse"]:
        file = ROOT / f"packages/sample_env/extra_files/0.11.0/Warehouse/curriculum/{kind.behaviour.name}.json"
        lessons = json.loads(file.read_text())
        ((name, values),) = lessons["parameters"].items()
        assert len(values) == 3
        assert values[-1] == kind.parameters[name]  # the last lesson is the scene as it is
        for value, threshold in zip(values, [*lessons["thresholds"], 0.8], strict=True):
            scene = kind(AGENTS, seed=1)
            scene.reset({name: value})
            assert first_episodes(scene).mean() > threshold
