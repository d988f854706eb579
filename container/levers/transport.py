"""A player is sent actions without what only the trainer uses."""

from mlagents.envs.subprocess_env_manager import UnityEnvWorker


def apply() -> None:
    """Leave the network's other outputs out of what is pickled for a worker, which never looks at them."""
    send = UnityEnvWorker.send

    def send_actions(self, name, payload=None):
        if name == "step":
            payload = {brain: action._replace(outputs=None) for brain, action in payload.items()}
        send(self, name, payload)

    UnityEnvWorker.send = send_actions
