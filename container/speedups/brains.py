"""The player is asked for its brains when they may have changed, where ML-Agents asks twice in each step."""

from mlagents.envs.subprocess_env_manager import SubprocessEnvManager


def apply() -> None:
    """Keep the answer of the first player until a reset, or until a brain appears in what it sends.

    A player tells of a brain together with the first observations of its agents, so that a new brain is always seen
    in them.
    """
    ask, reset = SubprocessEnvManager.external_brains.fget, SubprocessEnvManager.reset

    def external_brains(self):
        seen = self.env_workers[0].previous_step.current_all_brain_info
        known = self.__dict__.get("known_brains")
        if known is None or not known.keys() >= seen.keys():
            known = self.known_brains = ask(self)
        return known

    def forgetting_reset(self, *args, **kwargs):
        self.known_brains = None
        return reset(self, *args, **kwargs)

    SubprocessEnvManager.external_brains = property(external_brains)
    SubprocessEnvManager.reset = forgetting_reset
