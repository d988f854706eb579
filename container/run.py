"""What the learner's process knows of its run."""


class Run:
    """What is known of the run in this process."""

    def __init__(self, settings):
        self.folder = settings["run_folder"]
        self.environment = settings["environment"]
        self.stall_timeout = settings["stall_timeout"]
        self.trainers = {}
        self.brains = set()  # those that the environment has told of
        self.known = []  # brains that had checkpoints, whole or not
        self.found = {}  # brain -> checkpoint that it goes on from
        self.notes = {}  # brain -> the note beside it
        self.shapes = {}  # brain -> shape of brain and network
        self.curricula = {}
        self.updated = set()  # brains whose network was updated in this process
        self.empty_updates = {}  # brain -> updates before its first batch
        self.episodes = set()  # brains of which an episode ended in this process
        self.first_step = 0
        self.summarised = 0  # step of this process up to which summaries are written
        self.ending = False  # what ends from now on has not failed
        self.asked = False  # an interrupt came
        self.leaving = False  # learning is over
        self.dismissed = set()  # numbers of players that were let go
        self.update_seconds = 0.0  # spent in policy updates
        self.marks = 0  # grows with everything that the main thread gets done
        self.waiting = False  # for the players

    def steps(self):
        """Return brain -> (step, max_steps)."""
        return {name: (int(t.get_step), int(t.get_max_steps)) for name, t in self.trainers.items()}

    def newest_step(self):
        """Return the step of the brain that is furthest."""
        return max((step for step, _ in self.steps().values()), default=0)
