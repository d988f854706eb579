"""Checks for settings with which ML-Agents 1.1.0 would silently learn nothing."""

from refusal import RefusalError


def refuse_ineffective_training(settings, brain: str) -> None:
    """Refuse settings with which ML-Agents would run to the end and never change the network.

    Parameters
    ----------
    settings
        ML-Agents' own, of one behavior.
    brain
        Its name.

    Raises
    ------
    RefusalError
        No batch is ever full, or SAC ends before its first update.
    """
    algorithm = settings.hyperparameters
    if algorithm.batch_size > algorithm.buffer_size:
        raise RefusalError(
            "Brain %s would learn nothing: batch_size is %d and buffer_size %d, so that no batch is full. Make "
            "buffer_size some 10 times batch_size." % (brain, algorithm.batch_size, algorithm.buffer_size)
        )
    start = getattr(algorithm, "buffer_init_steps", 0)
    if 0 < settings.max_steps <= start:
        raise RefusalError(
            "Brain %s would learn nothing: max_steps is %d, and its first update comes at buffer_init_steps, which is "
            "%d. Raise the one or lower the other." % (brain, settings.max_steps, start)
        )


def refuse_ineffective_imitation(module, brain: str) -> None:
    """Refuse imitation that would draw no batch from its demonstrations.

    Parameters
    ----------
    module
        ML-Agents' own, or None.
    brain
        The brain.

    Raises
    ------
    RefusalError
        Its loss would be NaN.
    """
    if module is None:
        return
    steps, sequence = module.demonstration_buffer.num_experiences, module.policy.sequence_length
    possible, wanted = steps // module.n_sequences, module.samples_per_update // module.n_sequences
    if module.num_epoch < 1 or (min(possible, wanted) if wanted else possible) // sequence < 1:
        raise RefusalError(
            "Brain %s would not imitate: behavioral_cloning draws no batch from %d steps of demonstrations with "
            "num_epoch %d, samples_per_update %d and sequence_length %d. Record more, or change these."
            % (brain, steps, module.num_epoch, module.samples_per_update, sequence)
        )
