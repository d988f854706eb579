"""The player is asked for its brains only when they may have changed; ML-Agents asks twice in each step."""

from mlagents.envs.subprocess_env_manager import SubprocessEnvManager


def apply() -> None:
    """Cache the first player's response until a reset, or until a new brain appears in its messages.

    A player announces a brain together with the first observations of its agents, so a new brain always appears there.
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
