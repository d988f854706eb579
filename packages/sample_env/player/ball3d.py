"""3D Balance Ball without Unity: the physics and the rules of the scene, for all agents at once.

The model
---------
Each agent is a cube that can tilt but not move, and a solid ball on top of it. Lengths are metres, times
seconds, angles radians. Axes are Unity's: x to the right, y up, z forward.

* The cube hangs in a gimbal: it is turned about x and, within that, about z. A decision holds for 5 physics
  steps of 0.02 s; in each of them both angles change by up to 2 degrees, as far as the limit of 29 degrees.
* The ball is a rigid solid sphere (moment of inertia 2/5 m r^2). Where it touches the cube (a face, an edge or a
  corner: whichever point of the cube is nearest to its centre) the contact takes away the speed towards the cube,
  without bounce, and friction holds the contact point, so that the ball rolls. Off the cube it falls freely.
* As in Unity, where a script turns the cube and it has no velocity of its own, a cube that rises under the ball
  lifts it without throwing it.
* Velocities are integrated before positions (semi-implicit Euler) and a contact is foreseen one step ahead, so
  that the ball neither sinks in nor stops short of the surface.
* Spin about the contact's normal is left out: nothing else depends on it.
* The mass of the ball is of no consequence: its weight, its inertia and the forces on it all grow with it.

The rules
---------
* Observations, 8: z and x of the cube's quaternion, position of the ball relative to the cube (x, y, z), its
  velocity (x, y, z).
* Actions, 2, each clipped to [-1, 1]: turn about z, turn about x, in units of 2 degrees a physics step.
* Reward 0.1 a decision; -1 and the end of the episode when the ball is 2 m below the cube's centre or 3 m
  beside it.
* After 1,000 decisions an episode ends with `max_step_reached`.
* An agent whose episode ended is set up again at once: as in Unity, what it reports together with `done` is the
  first observation of its next episode, and the last reward of the one that ended.
* An episode starts with the cube tilted by up to 10 degrees about x and about z, and the ball at rest 4 m above
  its centre, up to 1.5 m off in x and in z; each is drawn uniformly.

Where it comes from
-------------------
Rules, sizes (a cube of 5 m, a ball whose diameter is the reset parameter `scale`), the 5 physics steps between
decisions, the 5,000 in an episode and the reset parameters' defaults are those of ML-Agents' own 3DBall
(`Ball3DAgent.cs`, `3DBall.prefab`, `3DBall.unity`); the length of a physics step is Unity's default. What differs:
Unity turns the cube about its own axes, by which it slowly yaws as well; and Unity's friction is finite, but its
coefficient, 0.6, is more than the 0.24 that rolling down the steepest cube takes (2/7 of the slope).
"""

from __future__ import annotations

import math

import numpy as np

from .scene import Behaviour, Group, Parameters

PHYSICS_STEP = 0.02
STEPS_PER_DECISION = 5
TURN_PER_STEP = math.radians(2.0)
TILT_LIMIT = 2 * math.asin(0.25)
HALF_CUBE = 2.5
ANGULAR_DRAG = 0.01
"""Part of its angular velocity that the ball loses in a second."""
START_TILT = math.radians(10.0)
START_OFFSET = 1.5
START_HEIGHT = 4.0
FALL_DEPTH = 2.0
FALL_DISTANCE = 3.0


class Ball3D(Group):
    """A number of independent cubes with a ball on each.

    Attributes
    ----------
    tilt : ndarray, shape (2, agents)
        Of the cubes, about z and about x.
    position, velocity, roll : ndarray, shape (3, agents)
        Of the balls: centre relative to the cube's (m), its velocity, and the velocity that the spin gives the
        contact point relative to the centre (m/s); without slip the last is the opposite of the one before.
    radius : ndarray, shape (agents,)
        Of the balls (m).
    """

    behaviour = Behaviour(name="3DBall", observations=8, actions=(2,), continuous=True)
    outcome = "Dropped"
    # The trainer 0.11.0 sends the defaults back at every reset, as the messages carry them.
    parameters = {"mass": 1.0, "gravity": float(np.float32(9.81)), "scale": 1.0}  # noqa: RUF012
    decision_seconds = PHYSICS_STEP * STEPS_PER_DECISION
    decisions_per_episode = 1000

    def __init__(self, agents: int, seed: int) -> None:
        super().__init__(agents, seed)
        self.tilt = np.zeros((2, agents))
        self.position = np.zeros((3, agents))
        self.velocity = np.zeros((3, agents))
        self.roll = np.zeros((3, agents))
        self.radius = np.zeros(agents)
        self.reset({})

    def change(self, parameters: Parameters) -> None:
        """Change reset parameters; see `Group`. Gravity is one for all agents, and changes at once, as in Unity."""
        super().change(parameters)
        self.fall = self.values("gravity", 1)[0] * PHYSICS_STEP

    def check(self, name: str, value: float) -> None:
        """Refuse a mass or a scale that no ball can have.

        Raises
        ------
        ValueError
            If one of them is not above 0.
        """
        if name in ("mass", "scale") and value <= 0:
            raise ValueError(
                f"Expected the reset parameter {name} above 0, got {value:g}. "
                "Correct the curriculum or sampler that sets it."
            )

    def start(self, which: np.ndarray) -> None:
        """Tilt the cubes of these agents a little and put the balls at rest above them."""
        self.tilt[:, which] = self.random.uniform(-START_TILT, START_TILT, (2, len(which)))
        self.position[0::2, which] = self.random.uniform(-START_OFFSET, START_OFFSET, (2, len(which)))
        self.position[1, which] = START_HEIGHT
        self.velocity[:, which] = 0
        self.roll[:, which] = 0
        self.radius[which] = self.values("scale", len(which)) / 2

    def act(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Turn the cubes and move the balls for one decision.

        Returns
        -------
        rewards : ndarray, shape (agents,)
            0.1, or -1 where the ball fell.
        fallen : ndarray of bool, shape (agents,)
        """
        for rotation in self.turn_cubes(actions):
            self.move_balls(rotation)
        self.roll *= 1 - ANGULAR_DRAG * self.decision_seconds
        x, y, z = self.position
        fallen = (y < -FALL_DEPTH) | (np.maximum(np.abs(x), np.abs(z)) > FALL_DISTANCE)
        return np.where(fallen, -1.0, 0.1), fallen

    def turn_cubes(self, actions: np.ndarray) -> np.ndarray:
        """Turn the cubes for one decision.

        Returns
        -------
        ndarray, shape (physics steps, 3, 3, agents)
            From the cube's coordinates to the world's, after each physics step.
        """
        turn = TURN_PER_STEP * clip(actions.T, 1.0)
        steps = np.arange(1, STEPS_PER_DECISION + 1)[:, np.newaxis, np.newaxis]
        tilts = clip(self.tilt + steps * turn, TILT_LIMIT)
        self.tilt = tilts[-1]
        (cos_z, cos_x), (sin_z, sin_x) = (part.swapaxes(0, 1) for part in cos_and_sin(tilts))
        rotation = np.zeros((STEPS_PER_DECISION, 3, 3, self.agents))
        rotation[:, 0, 0], rotation[:, 0, 1] = cos_z, -sin_z
        rotation[:, 1, 0], rotation[:, 1, 1], rotation[:, 1, 2] = cos_x * sin_z, cos_x * cos_z, -sin_x
        rotation[:, 2, 0], rotation[:, 2, 1], rotation[:, 2, 2] = sin_x * sin_z, sin_x * cos_z, cos_x
        return rotation

    def move_balls(self, rotation: np.ndarray) -> None:
        """Let the balls move for one physics step, on cubes turned so (shape (3, 3, agents))."""
        local = np.einsum("can,cn->an", rotation, self.position)
        offset = local - clip(local, HALF_CUBE)
        # With its centre inside the cube, which only a tiny ball can reach, a ball has no normal and falls through.
        distance = np.sqrt(dot(offset, offset)) + 1e-12
        normal = np.einsum("can,an->cn", rotation, offset / distance)
        gap = distance - self.radius
        room = np.maximum(gap, 0.0)
        self.position += (room - gap) * normal

        # Impulses are changes of velocity here: they are given for each kilogram of the ball.
        self.velocity[1] -= self.fall
        push = np.maximum(room / -PHYSICS_STEP - dot(self.velocity, normal), 0.0)
        slip = self.velocity + self.roll
        # An impulse of 2/7 of the slip makes a solid sphere roll.
        grip = (slip - dot(slip, normal) * normal) * (2 / 7 * (push > 0))
        self.velocity += push * normal - grip
        self.roll -= 2.5 * grip
        self.position += PHYSICS_STEP * self.velocity

    def observe(self) -> np.ndarray:
        """Return the observations: the cube's tilt, the ball's position and velocity, shape (agents, 8)."""
        cos, sin = cos_and_sin(self.tilt / 2)
        quaternion = sin * cos[::-1]
        return np.concatenate((quaternion, self.position, self.velocity)).T

    def heuristic(self) -> np.ndarray:
        """Tilt each cube against its ball's offset and speed, which balances it for whole episodes."""
        turn_z, turn_x, x, _, z, speed_x, _, speed_z = self.observe().T
        target = np.array([0.06 * x + 0.09 * speed_x, -0.06 * z - 0.09 * speed_z])
        return clip(6 * (target - [turn_z, turn_x]).T, 1.0)


def clip(values: np.ndarray, limit: float) -> np.ndarray:
    """Clip to [-limit, limit]."""
    # np.clip takes ten times as long for arrays as small as these.
    return np.minimum(np.maximum(values, -limit), limit)


def cos_and_sin(angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines that are the same in every version of NumPy, whose own differ in the last digit."""
    turned = np.exp(1j * angles)  # the C library's
    return turned.real, turned.imag


def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Dot products of vectors of shape (3, n)."""
    return np.einsum("cn,cn->n", a, b)
