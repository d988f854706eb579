"""Warehouse: robots on a floor of 8 by 8 cells, with discrete actions, two brains and a curriculum.

Each agent has a floor of its own; x runs to the right and y up, both from 0 to 7. Distances are counted in steps from
cell to cell, of which there are at most 14. What is drawn is drawn uniformly.

Seeker
------
It drives to a lit cell.

* Observations, 4: its x and y, scaled to [-1, 1]; how far the lit cell is off in x and in y, in units of 7 cells.
* Actions, one branch of 5: stay, left, right, down, up. Driving against a wall is staying.
* Reward: -0.01 a decision, and 1 for arriving, which ends the episode. The best that can be had from `n` steps away
  is `1 - 0.01 n`.
* Reset parameter `goal_distance`, 14 by default: the lit cell is at most so many steps away at the start.

Carrier
-------
It fetches a parcel and takes it to the gate.

* Observations, 7: its x and y; how far the parcel is off in x and in y (0 while carried), and how far the gate; in the
  units above. Whether it carries the parcel, 0 or 1.
* Actions, two branches: 5 as above, then 2: leave the gripper alone, use it. It first drives, then grips.
* The gripper takes the parcel up in its cell, and puts it down in the cell of the gate alone.
* Reward: -0.01 a decision, a further -0.01 for using the gripper in vain, 0.5 for taking the parcel up, 0.5 for
  delivering it, which ends the episode. From `n` steps away, the gate `m` steps from the parcel, the best is
  `1 - 0.01 (n + m)`.
* Reset parameter `parcel_distance`, 14 by default: at most so many steps to the parcel, and from there to the gate.

For both
--------
After 50 decisions an episode ends with `max_step_reached`. An agent whose episode ended is set up again at once, as in
3DBall. Places that must differ, such as robot and lit cell, are one step apart at least.

A robot that knows nothing seldom reaches a cell that is far away, and learns from the times that it does. The
curriculum that comes with the build begins near by, where it does so often, and has three lessons for each brain. It
can be done without: the scene is small enough to be learned from the whole floor at once.
"""

from __future__ import annotations

import numpy as np

from .scene import Behaviour, Group

SIZE = 8
FARTHEST = 2 * (SIZE - 1)
STEP_REWARD = -0.01
VAIN_GRIP_REWARD = -0.01
PARCEL_REWARD = 0.5
STAY, LEFT, RIGHT, DOWN, UP = range(5)
MOVES = np.array([[0, -1, 1, 0, 0], [0, 0, 0, -1, 1]])
"""In x and y, of each move."""
PLACES = np.stack(np.divmod(np.arange(SIZE * SIZE), SIZE))[::-1]
"""The x and y of all cells."""


class Robots(Group):
    """Robots of one kind.

    Attributes
    ----------
    place : ndarray of int, shape (2, agents)
        Where each robot is, x and y.
    """

    decision_seconds = 0.1
    decisions_per_episode = 50
    distance: str
    """The name of the reset parameter that limits distances."""

    def __init__(self, agents: int, seed: int) -> None:
        super().__init__(agents, seed)
        self.choices = np.array(self.behaviour.actions) - 1
        self.place = np.zeros((2, agents), dtype=int)

    def check(self, name: str, value: float) -> None:
        """Refuse a distance of less than a step.

        Raises
        ------
        ValueError
            If it is below 1.
        """
        if value < 1:
            raise ValueError(
                f"Expected the reset parameter {name} to be 1 or more, got {value:g}. "
                "Correct the curriculum or sampler that sets it."
            )

    def draw(self, count: int) -> np.ndarray:
        """Draw places anywhere, shape (2, count)."""
        return self.random.randint(SIZE, size=(2, count))

    def draw_near(self, places: np.ndarray) -> np.ndarray:
        """Draw a place for each of these, at least one step from it and as far as the reset parameter allows."""
        steps = np.abs(places[:, :, np.newaxis] - PLACES[:, np.newaxis]).sum(0)
        fits = (steps >= 1) & (steps <= self.values(self.distance, len(steps))[:, np.newaxis])
        # Of the cells that fit, the one that draws the highest number.
        return PLACES[:, (self.random.uniform(size=steps.shape) * fits).argmax(1)]

    def choose(self, actions: np.ndarray) -> np.ndarray:
        """Return the number of each branch's choice, shape (branches, agents); beyond the last one it is the last."""
        return np.minimum(np.maximum(actions, 0), self.choices).astype(int).T

    def drive(self, moves: np.ndarray) -> None:
        """Move every robot by a cell or not at all."""
        self.place = np.minimum(np.maximum(self.place + MOVES[:, moves], 0), SIZE - 1)

    def off(self, places: np.ndarray) -> np.ndarray:
        """Return the offsets of places from the robots, as observed."""
        return (places - self.place) / (SIZE - 1)

    def towards(self, places: np.ndarray) -> np.ndarray:
        """Return the moves that lead to these places, first in x, then in y, shape (agents,)."""
        x, y = np.sign(places - self.place)
        return np.where(x, np.where(x < 0, LEFT, RIGHT), np.where(y, np.where(y < 0, DOWN, UP), STAY))

    def seen_place(self) -> np.ndarray:
        """Return the robots' places, as observed."""
        return self.place * (2 / (SIZE - 1)) - 1


class Seeker(Robots):
    """Robots that drive to a lit cell.

    Attributes
    ----------
    goal : ndarray of int, shape (2, agents)
        The lit cells.
    """

    behaviour = Behaviour(name="Seeker", observations=4, actions=(5,), continuous=False)
    outcome = "Arrived"
    parameters = {"goal_distance": float(FARTHEST)}  # noqa: RUF012
    distance = "goal_distance"

    def __init__(self, agents: int, seed: int) -> None:
        super().__init__(agents, seed)
        self.goal = np.zeros((2, agents), dtype=int)
        self.reset({})

    def start(self, which: np.ndarray) -> None:
        """Put these robots somewhere and light a cell for each."""
        self.place[:, which] = self.draw(len(which))
        self.goal[:, which] = self.draw_near(self.place[:, which])

    def act(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Drive; return the rewards, and which robots have arrived."""
        (moves,) = self.choose(actions)
        self.drive(moves)
        arrived = (self.place == self.goal).all(0)
        return STEP_REWARD + arrived, arrived

    def observe(self) -> np.ndarray:
        """Return the observations, shape (agents, 4)."""
        return np.concatenate((self.seen_place(), self.off(self.goal))).T

    def heuristic(self) -> np.ndarray:
        """Drive to the lit cell by the shortest way."""
        return self.towards(self.goal)[:, np.newaxis]


class Carrier(Robots):
    """Robots that fetch a parcel and take it to the gate.

    Attributes
    ----------
    parcel, gate : ndarray of int, shape (2, agents)
        Where they are; a carried parcel is where its robot is.
    carries : ndarray of bool, shape (agents,)
    """

    behaviour = Behaviour(name="Carrier", observations=7, actions=(5, 2), continuous=False)
    outcome = "Delivered"
    parameters = {"parcel_distance": float(FARTHEST)}  # noqa: RUF012
    distance = "parcel_distance"

    def __init__(self, agents: int, seed: int) -> None:
        super().__init__(agents, seed)
        self.parcel = np.zeros((2, agents), dtype=int)
        self.gate = np.zeros((2, agents), dtype=int)
        self.carries = np.zeros(agents, dtype=bool)
        self.reset({})

    def start(self, which: np.ndarray) -> None:
        """Put these robots, their parcels and gates somewhere."""
        self.place[:, which] = self.draw(len(which))
        self.parcel[:, which] = self.draw_near(self.place[:, which])
        self.gate[:, which] = self.draw_near(self.parcel[:, which])
        self.carries[which] = False

    def act(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Drive and grip; return the rewards, and which robots have delivered."""
        moves, grips = self.choose(actions)
        self.drive(moves)
        self.parcel = np.where(self.carries, self.place, self.parcel)
        grips = grips == 1
        taken = grips & ~self.carries & (self.place == self.parcel).all(0)
        delivered = grips & self.carries & (self.place == self.gate).all(0)
        self.carries = self.carries ^ taken ^ delivered
        vain = grips & ~taken & ~delivered
        return STEP_REWARD + PARCEL_REWARD * (taken | delivered) + VAIN_GRIP_REWARD * vain, delivered

    def observe(self) -> np.ndarray:
        """Return the observations, shape (agents, 7)."""
        return np.concatenate(
            (self.seen_place(), self.off(self.parcel), self.off(self.gate), self.carries[np.newaxis])
        ).T

    def heuristic(self) -> np.ndarray:
        """Drive to the parcel, then to the gate, by the shortest way, and grip in the decision that arrives there."""
        target = np.where(self.carries, self.gate, self.parcel)
        arrives = np.abs(target - self.place).sum(0) <= 1
        return np.stack([self.towards(target), arrives], axis=1)
