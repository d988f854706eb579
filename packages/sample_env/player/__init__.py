"""The sample player: a headless stand-in for a Unity build that mlagents-learn 0.11.0, or 1.1.0, starts and trains.

`sample_env.json` in a build says which of the two: they speak different protocols (`api_11.py`, `api_1_5.py`), and all
else is the same. The player needs only what the trainer's environment holds (Python 3.7 to 3.11, NumPy, grpcio,
protobuf, mlagents_envs), and finds it as `python3` on PATH: the `bin` folder of that environment must come first.

Options, which follow `--env-args` of mlagents-learn:

`--agents N`
    Number of agents of each brain; 12 by default, as in Unity's 3DBall.
`--brains NAME,NAME`
    The brains of the scene that take part; by default all of them.
`--seed N`
    A seed to use instead of the one that the trainer sends.
`--record FOLDER`, `--steps N`
    Write `<brain>.demo` for each brain into a folder, N steps (3,000 by default) of one agent that its heuristic
    drives, as the Demonstration Recorder in Unity does. There is no trainer then.
`-logFile FILE`
    The log file; `-` is standard output. The default is that of Unity's Linux players,
    `~/.config/unity3d/DefaultCompany/<scene>/Player.log`. Players append, and begin each line with their port,
    because all players of a training (`--num-envs`) may share one file. Errors also go to standard error.
`-batchmode`, `-nographics`
    Accepted because mlagents-learn passes them; there are never any graphics.

In training the player runs as fast as possible. It runs in real time, as Unity does, with `train_mode` off
(`mlagents-learn --slow`), or, since 1.0, with a `capture_frame_rate` of 0 in the engine settings.

Exit codes: 0 when the trainer quits or closes the connection; 1 when there is no trainer, its process is gone, or it
sends an invalid request (which is answered with the reason); 2 for a wrong command line. The log names the reason.
"""
