"""Watch a trained model: how much reward it earns, and what that looks like.

`evaluate` starts any build over ML-Agents' protocol and lets the `.nn` file decide. `film` draws the sample
environments.
"""

from evaluation.picture import Film, film
from evaluation.score import BrainScore, Evaluation, EvaluationError, evaluate, interval

__all__ = ["BrainScore", "Evaluation", "EvaluationError", "Film", "evaluate", "film", "interval"]
