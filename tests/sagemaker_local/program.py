"""A stand-in for container/train: runs the small steps listed in the hyperparameter `do`."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

base = Path(os.environ["SAGEMAKER_BASE_DIR"])
given = json.loads((base / "input/config/hyperparameters.json").read_text())
steps = given.get("do", "")


def leave(code, note):
    (base / "model" / "note.txt").write_text(note)
    sys.exit(code)


for step in filter(None, steps.split(";")):
    verb, _, rest = step.partition(" ")
    if verb == "say":
        print(rest, flush=True)
    elif verb == "tell":  # a hyperparameter as the reward
        print(f"Mean Reward: {given[rest]}", flush=True)
    elif verb == "if":  # NAME VALUE: continue only with this value of a hyperparameter
        name, _, value = rest.partition(" ")
        if given[name] != value:
            break
    elif verb == "model":
        (base / "model" / "model.nn").write_text(rest)
    elif verb == "data":
        (base / "output/data/summary.txt").write_text(rest)
    elif verb == "failure":
        (base / "output/failure").write_text(rest)
    elif verb == "env":
        print(rest, os.environ.get(rest), flush=True)
    elif verb == "ls":
        for path in sorted(base.rglob("*")):
            if path.is_file():
                print(path.relative_to(base), oct(path.stat().st_mode & 0o777), flush=True)
    elif verb == "cat":
        print((base / rest).read_text(), flush=True)
    elif verb == "count":  # increment the checkpoint
        file = base / "checkpoints" / "count"
        count = int(file.read_text()) + 1 if file.exists() else 1
        file.write_text(str(count))
        print("count", count, flush=True)
    elif verb == "flood":
        out = sys.stdout.buffer
        out.write(b"".join(b"line %d\n" % number for number in range(int(rest))))
        out.write(b"\xffbroken\n\nno newline at the end")
        out.flush()
    elif verb == "term":
        signal.signal(signal.SIGTERM, lambda *_: leave(0, "stopped by SIGTERM"))
    elif verb == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    elif verb == "player":  # a child in a session of its own, as mlagents_envs starts players
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
        print("player", child.pid, flush=True)
    elif verb == "hidden":  # one that has forgotten its environment and its parent
        code = "import os, subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], env={})"
        subprocess.run([sys.executable, "-c", code], start_new_session=True)
    elif verb == "odd":  # write a file, two links out of the job's folder, and a FIFO
        folder = base / rest
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "file").write_text("kept")
        (folder / "link").symlink_to(base.parent.parent / "server.json")
        (folder / "folder").symlink_to(base.parent.parent)
        os.mkfifo(folder / "fifo")
    elif verb == "link":  # a link out of the job's folder
        shutil.rmtree(base / rest, ignore_errors=True)
        (base / rest).symlink_to(base.parent.parent)
    elif verb == "deep":  # folders nested deeper than Python's own functions can handle
        os.chdir(base / rest)
        for _ in range(1_500):
            Path("d").mkdir()
            os.chdir("d")
        os.chdir(base)
    elif verb == "fifo":
        os.mkfifo(base / rest)
    elif verb == "lost":  # a child that the supervisor can't know of holds the output after the supervisor was killed
        code = "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], env={}).pid)"
        child = subprocess.run([sys.executable, "-c", code], start_new_session=True, stderr=2)
        os.kill(os.getppid(), signal.SIGKILL)
    elif verb == "wait":
        print("waiting", flush=True)
        time.sleep(float(rest or 600))
    elif verb == "gate":  # until the test opens it
        print("waiting", flush=True)
        while not (base / "gate").exists():
            time.sleep(0.02)
    elif verb == "until":  # one wait of the first attempt only
        if not (base / "checkpoints" / "count").read_text() >= rest:
            print("waiting", flush=True)
            time.sleep(600)
    elif verb == "exit":
        sys.exit(int(rest))
    else:
        sys.exit(f"unknown step {step}")
