"""The sample's physics and rules, held against mechanics."""

import numpy as np
import pytest

from sample_env.player.ball3d import HALF_CUBE, PHYSICS_STEP, TILT_LIMIT, Ball3D

GRAVITY = 9.81
RADIUS = 0.5


def world(agents=1, *, tilt=(0.0, 0.0), position=(0.0, HALF_CUBE + RADIUS, 0.0), seed=0):
    """Return a scene whose cubes and balls are all set up like this, the balls at rest."""
    scene = Ball3D(agents, seed)
    scene.tilt[:] = np.reshape(tilt, (2, 1))
    scene.position[:] = np.reshape(position, (3, 1))
    return scene


def idle(scene):
    return np.zeros((scene.agents, 2))


def top_of(scene):
    """Return the direction in which the top faces of the cubes look, from the cubes' rotation matrices."""
    return scene.turn_cubes(idle(scene))[-1][:, 1]


def energy(scene):
    """Return potential, translational and rotational energy for each kilogram, in joules."""
    rolling = 0.5 * 2 / 5 * (scene.roll**2).sum(0)
    return GRAVITY * scene.position[1] + 0.5 * (scene.velocity**2).sum(0) + rolling


def roll_down(scene, decisions):
    for _ in range(decisions):
        scene.step(idle(scene))


def test_a_ball_on_a_level_cube_stays_where_it_is():
    scene = world(position=(1.25, 3.0, -0.75))
    roll_down(scene, 999)
    assert scene.position[:, 0] == pytest.approx([1.25, 3.0, -0.75], abs=1e-9)
    assert scene.velocity[:, 0] == pytest.approx([0, 0, 0], abs=1e-9)
    assert not scene.done.any()


def test_a_ball_in_the_air_falls_freely():
    scene = world(position=(0, 4, 0))
    scene.step(idle(scene))
    steps = 5
    assert scene.velocity[1, 0] == pytest.approx(-GRAVITY * PHYSICS_STEP * steps)
    assert scene.position[1, 0] == pytest.approx(4 - GRAVITY * PHYSICS_STEP**2 * steps * (steps + 1) / 2)


def test_a_ball_lands_on_the_surface_without_bounce():
    scene = world(position=(0.5, 4, 0.5))
    heights = []
    for _ in range(10):
        scene.step(idle(scene))
        heights.append(scene.position[1, 0])
    assert heights == sorted(heights, reverse=True)
    assert heights[-1] == pytest.approx(HALF_CUBE + RADIUS, abs=1e-9)
    assert scene.velocity[:, 0] == pytest.approx([0, 0, 0], abs=1e-9)


@pytest.mark.parametrize(
    ("tilt", "downhill"),
    [((0.1, 0.0), (-1, 0)), ((-0.1, 0.0), (1, 0)), ((0.0, 0.1), (0, 1)), ((0.0, -0.1), (0, -1))],
)
def test_a_ball_rolls_downhill_with_five_sevenths_of_the_acceleration_of_a_sliding_one(tilt, downhill):
    scene = world(tilt=tilt)
    normal = top_of(scene)[:, 0]
    scene.position[:, 0] = (HALF_CUBE + RADIUS) * normal
    roll_down(scene, 5)
    seconds = 5 * scene.decision_seconds
    speed = 5 / 7 * GRAVITY * np.sin(0.1) * seconds
    slope = np.array([downhill[0] * np.cos(0.1), -np.sin(0.1), downhill[1] * np.cos(0.1)])
    assert scene.velocity[:, 0] == pytest.approx(speed * slope, rel=2e-3, abs=1e-9)
    # What is left out of it is the ball's angular drag, 1 % a second.
    assert -scene.roll[:, 0] == pytest.approx(scene.velocity[:, 0], rel=2e-3, abs=1e-9)


def test_rolling_keeps_energy_and_landing_only_takes_it():
    scene = world(tilt=(0.06, -0.04), position=(0.2, 4.0, -0.2))
    energies = [energy(scene)[0]]
    for _ in range(12):
        scene.step(idle(scene))
        energies.append(energy(scene)[0])
    in_the_air, rolling = energies[:4], energies[7:]
    assert max(in_the_air) - min(in_the_air) < 0.01 * energies[0]
    assert energies[7] < energies[0] - GRAVITY * 0.9
    assert max(rolling) - min(rolling) < 1e-3 * rolling[0]


def test_the_cube_lifts_a_ball_without_throwing_it():
    scene = world(position=(-2.0, HALF_CUBE + RADIUS, 0.0))
    scene.step(np.array([[-1.0, 0.0]]))
    assert scene.position[1, 0] > HALF_CUBE + RADIUS + 0.2
    assert scene.velocity[1, 0] <= 0


def test_no_ball_sinks_into_its_cube():
    scene = Ball3D(64, seed=3)
    actions = np.random.RandomState(4)
    deepest = 0.0
    for _ in range(200):
        for rotation in scene.turn_cubes(actions.uniform(-1, 1, (64, 2))):
            scene.move_balls(rotation)
            local = np.einsum("can,cn->an", rotation, scene.position)
            over_the_top = (np.abs(local[[0, 2]]) < HALF_CUBE).all(0) & (local[1] > 0)
            deepest = max(deepest, *(HALF_CUBE + RADIUS - local[1, over_the_top]), 0.0)
    assert deepest < 1e-9


def test_a_ball_rolls_off_over_the_edge():
    scene = world(position=(HALF_CUBE - 0.01, HALF_CUBE + RADIUS, 0.0))
    scene.velocity[0], scene.roll[0] = 0.5, -0.5
    lowest = scene.position[1, 0]
    while not scene.done[0]:
        edge = np.hypot(scene.position[0, 0] - HALF_CUBE, scene.position[1, 0] - HALF_CUBE)
        assert edge > RADIUS - 1e-2 or scene.position[0, 0] < HALF_CUBE
        lowest = scene.position[1, 0]
        scene.step(idle(scene))
    assert lowest < HALF_CUBE + RADIUS
    assert scene.rewards == [-1.0]


def test_an_action_of_one_turns_the_cube_by_ten_degrees_a_decision():
    scene = world(3)
    scene.step(np.array([[1.0, 0.0], [0.0, -0.5], [7.0, 0.0]]))
    assert np.degrees(scene.tilt) == pytest.approx(np.array([[10, 0, 10], [0, -5, 0]]))


def test_the_cube_tilts_by_at_most_29_degrees():
    scene = world(2)
    for _ in range(4):
        scene.turn_cubes(np.array([[1.0, -1.0], [-1.0, 1.0]]))
    assert scene.tilt == pytest.approx(np.array([[TILT_LIMIT, -TILT_LIMIT], [-TILT_LIMIT, TILT_LIMIT]]))
    assert np.degrees(TILT_LIMIT) == pytest.approx(28.955, abs=1e-3)


def test_observations_are_those_of_unity_in_its_order():
    scene = world(tilt=(0.3, -0.2), position=(1, 2, 3))
    scene.velocity[:, 0] = 4, 5, 6
    rotation = scene.turn_cubes(idle(scene))[0, :, :, 0]
    four_w = 2 * np.sqrt(1 + np.trace(rotation))
    z = (rotation[1, 0] - rotation[0, 1]) / four_w
    x = (rotation[2, 1] - rotation[1, 2]) / four_w
    assert scene.observe() == pytest.approx(np.array([[z, x, 1, 2, 3, 4, 5, 6]]))


def test_an_episode_starts_as_in_unity():
    scene = Ball3D(1000, seed=1)
    assert np.degrees(scene.tilt).min() == pytest.approx(-10, abs=0.05)
    assert np.degrees(scene.tilt).max() == pytest.approx(10, abs=0.05)
    assert scene.position[[0, 2]].min() == pytest.approx(-1.5, abs=0.01)
    assert scene.position[[0, 2]].max() == pytest.approx(1.5, abs=0.01)
    assert (scene.position[1] == 4).all()
    assert (scene.velocity == 0).all()


def test_falling_ends_the_episode_and_starts_the_next():
    scene = world(2, position=(0.0, 3.0, 0.0))
    scene.position[:, 1] = 2.99, 2.0, 0.0
    scene.velocity[0, 1], scene.roll[0, 1] = 1.0, -1.0
    scene.step(idle(scene))
    assert scene.rewards.tolist() == [0.1, -1.0]
    assert scene.done.tolist() == [False, True]
    assert scene.max_step_reached.tolist() == [False, False]
    assert scene.decisions.tolist() == [1, 0]
    assert scene.episodes == 1
    assert scene.observe()[1, 3] == 4
    assert (scene.roll[:, 1] == 0).all()
    scene.step(idle(scene))
    assert scene.rewards.tolist() == [0.1, 0.1]
    assert scene.done.tolist() == [False, False]


def test_the_heuristic_balances_every_ball_for_whole_episodes():
    scene = Ball3D(48, seed=5)
    total = np.zeros(48)
    for decision in range(1, 1001):
        scene.step(scene.heuristic())
        total += scene.rewards
        assert scene.done.all() == (decision == 1000), decision
    assert scene.max_step_reached.all()
    assert total == pytest.approx(100)


def test_a_cube_left_alone_drops_its_ball():
    scene = Ball3D(48, seed=5)
    ended = np.zeros(48, dtype=bool)
    for _ in range(100):
        scene.step(idle(scene))
        ended |= scene.done
    assert ended.all()


def test_the_seed_makes_a_run_repeatable():
    actions = np.random.RandomState(0).uniform(-1, 1, (100, 5, 2))

    def run(seed):
        scene = Ball3D(5, seed)
        seen = []
        for action in actions:
            scene.step(action)
            seen.append((scene.observe(), scene.rewards))
        assert scene.episodes > 5
        return np.concatenate([np.column_stack(pair) for pair in seen])

    assert (run(1) == run(1)).all()
    assert (run(-1) == run(-1)).all()
    assert not (run(1) == run(2)).all()


def test_reset_parameters_take_effect_and_persist():
    scene = Ball3D(4, seed=1)
    scene.step(idle(scene))
    scene.reset({"gravity": 2.0, "scale": 2.0})
    assert not scene.done.any()
    assert scene.decisions.tolist() == [0, 0, 0, 0]
    assert (scene.position[1] == 4).all()
    scene.step(idle(scene))
    assert scene.velocity[1] == pytest.approx([-0.2] * 4)
    scene.reset({"mass": 5.0})
    assert scene.current == {"mass": 5.0, "gravity": 2.0, "scale": 2.0}
    scene.tilt[:] = 0
    roll_down(scene, 30)
    assert scene.position[1] == pytest.approx([HALF_CUBE + 1] * 4, abs=1e-9)


def test_the_mass_of_the_ball_is_of_no_consequence():
    runs = []
    for mass in (0.5, 10.0):
        scene = Ball3D(8, seed=1)
        scene.reset({"mass": mass})
        roll_down(scene, 20)
        runs.append(scene.observe())
    assert (runs[0] == runs[1]).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"scale": 0.0}, r"scale above 0, got 0\. Correct"),
        ({"mass": -1.0}, r"mass above 0, got -1\. Correct"),
        ({"gravity": float("nan")}, r"finite reset parameter gravity, got nan\. Correct"),
        ({"wind": 1.0}, r"out of mass, gravity, scale, got wind\. Take"),
    ],
)
def test_impossible_reset_parameters_are_refused_and_change_nothing(parameters, message):
    scene = Ball3D(2, seed=1)
    before = scene.observe()
    with pytest.raises(ValueError, match=message):
        scene.reset(parameters)
    assert scene.current == Ball3D.parameters
    assert (scene.observe() == before).all()


def test_nan_actions_do_not_turn_the_cube():
    scene = world()
    scene.step(np.array([[np.nan, 0.5]]))
    assert np.degrees(scene.tilt) == pytest.approx(np.array([[0], [5]]))
