"""The state of a run in the learner's process."""


class Run:
    """The state of the run in this process."""

    def __init__(self, settings):
        self.folder = settings["run_folder"]
        self.environment = settings["environment"]
        self.stall_timeout = settings["stall_timeout"]
        self.trainers = {}
        self.brains = set()  # those that the environment has reported
        self.known = []  # brains with checkpoints, complete or not
        self.found = {}  # brain -> checkpoint from which it resumes
        self.notes = {}  # brain -> the note of this checkpoint
        self.shapes = {}  # brain -> shape of brain and network
        self.curricula = {}  # ML-Agents' own
        self.imitated = set()  # brains that pretraining changed, or did so in an earlier job
        self.updated = set()  # brains whose network was updated in this process
        self.empty_updates = {}  # brain -> updates before its first batch
        self.episodes = set()  # brains with an ended episode in this process
        self.first_step = 0
        self.summarised = 0  # step of this process up to which summaries are written
        self.summaries = {}  # brain -> step of its last summary, of the run
        self.failed = None  # the error of a trainer that learns in a thread of its own
        self.ending = False  # processes that end from now on have not failed
        self.interrupted = False  # an interrupt has arrived
        self.leaving = False  # learning has ended
        self.dismissed = set()  # numbers of players that were dismissed
        self.update_seconds = 0.0  # spent in policy updates
        self.marks = 0  # increases with everything that the main thread completes
        self.waiting = False  # for the players

    def steps(self):
        """Return brain -> (step, max_steps)."""
        trainers = list(self.trainers.items())  # at once: another thread may add one
        return {name: (int(t.get_step), int(t.get_max_steps)) for name, t in trainers}

    def newest_step(self):
        """Return the highest step of all brains."""
        return max((step for step, _ in self.steps().values()), default=0)
