"""Hyperparameter tuning jobs of the embedded AWS: trainings that really run, with hyperparameters chosen by Optuna.

`api` implements the calls, `request` validates requests, `jobs` runs the tuning jobs, `record` is the state of one,
`sampler` chooses hyperparameters, `stopping` decides when a training or a tuning job ends early.
"""
