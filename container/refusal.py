"""The error for refusing to train."""


class RefusalError(Exception):
    """What was expected, what was found and what to do, in one paragraph, which becomes the job's failure reason."""
