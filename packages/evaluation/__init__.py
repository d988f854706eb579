"""Evaluate a trained model: measure its reward, and show it at work.

`evaluate` starts any build over ML-Agents' protocol and lets the model file decide. `film` draws the sample
environments.
"""

from evaluation.picture import Film, film
from evaluation.score import BrainScore, Evaluation, EvaluationError, evaluate, interval

__all__ = ["BrainScore", "Evaluation", "EvaluationError", "Film", "evaluate", "film", "interval"]
