"""The sample player: a headless stand-in for a Unity build that mlagents-learn 0.11.0 starts and trains.

It needs what the trainer's environment holds anyway (Python 3.7 to 3.11, NumPy, grpcio, protobuf, mlagents_envs)
and finds it as `python3` on PATH: whoever starts it puts that environment's `bin` first.

Options, after `--env-args` of mlagents-learn:

`--agents N`
    How many agents of each brain act at once; 12 by default, as in Unity's 3DBall.
`--brains NAME,NAME`
    Which of the scene's brains take part; all of them by default.
`--seed N`
    In place of the seed that the trainer sends.
`--record FOLDER`, `--steps N`
    Write `<brain>.demo` for each brain into a folder, N steps (3,000 by default) of one agent that its heuristic
    drives, as the Demonstration Recorder in Unity does. There is no trainer then.
`-logFile FILE`
    Where the log goes; `-` is standard output. By default it is where Unity's Linux players write theirs,
    `~/.config/unity3d/DefaultCompany/<scene>/Player.log`. Players append, and begin each line with their port,
    so that all players of a training (`--num-envs`) can share one file. Errors go to standard error as well.
`-batchmode`, `-nographics`
    Taken because mlagents-learn passes them; there are no graphics in any case.

In training the player runs as fast as it can. A trainer that resets it with `train_mode` off (`mlagents-learn
--slow`) gets it in real time, as from Unity.

The player ends by itself: with exit code 0 when the trainer quits or closes the connection, with 1 when there was
none to connect to, when its process is gone, or when it asks for what cannot be (and is told so), with 2 for a
wrong command line. The log names the reason.
"""
