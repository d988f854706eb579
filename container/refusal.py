"""The one way to say no before or instead of training."""


class RefusalError(Exception):
    """What was wanted, what was found and what to do, in one paragraph; it becomes the job's failure reason."""
