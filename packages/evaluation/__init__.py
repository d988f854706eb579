"""Watch a trained model: how much reward it earns, and what that looks like.

`evaluate` runs the build over ML-Agents' own protocol and lets the `.nn` file decide: the numbers, for any build. The
file is run by `policy_files.inference`, in NumPy; tests hold its decisions to TensorFlow's with the same weights.
`film` shows the sample's scenes moving. With a Unity build the picture is in Unity.
"""

from evaluation.picture import Film, film
from evaluation.score import BrainScore, Evaluation, EvaluationError, evaluate, interval

__all__ = ["BrainScore", "Evaluation", "EvaluationError", "Film", "evaluate", "film", "interval"]
