"""Hyperparameter tuning jobs of the embedded AWS: trainings that really run, chosen by Optuna.

`api` answers the calls, `request` says what is invalid, `tunings` runs the jobs, `record` is what is known of one,
`search` chooses hyperparameters, `stopping` says when a training or a search is not worth going on.
"""
