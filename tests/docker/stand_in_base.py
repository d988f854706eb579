"""Makes a stand-in for the official `python:…-slim` images where no public registry can be reached.

``python tests/docker/stand_in_base.py`` (as root, on Debian or a relative of it) prints the name of that for ML-Agents
0.11.0. The base system comes from the mirror in this machine's apt sources. CPython 3.7 comes from where
`common.trainer_env` finds it, that for 1.1.0 is the one that runs this, so nothing here is to be edited. An image that
is there already is kept.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import docker
from docker.errors import ImageNotFound

from common import trainer_env
from common.contract import DEFAULT_TRAINER

NAME = "mlagents-stand-in-base:python-3.7"
PACKAGES = {"ca-certificates", "netbase", "tzdata"}  # what the official image holds beside Python's libraries
TK = "_tkinter"  # would bring all of X11 along


class StandInError(RuntimeError):
    """The stand-in cannot be made on this machine."""


def run(*command: str | Path) -> str:
    """Run a program and give what it prints; raise a `StandInError` with its last words if it fails."""
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        output = (result.stderr or result.stdout).strip()[-600:]
        raise StandInError(f"`{' '.join(map(str, command))}` failed: {output}")
    return result.stdout


def apt_source() -> tuple[str, str]:
    """Return the mirror and the suite of this machine's own system, such as bookworm."""
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    suite = release.get("VERSION_CODENAME", "").strip('"')
    for line in run("apt-get", "indextargets", "--format", "$(SITE) $(RELEASE)", "Created-By: Packages").splitlines():
        site, found = line.split()
        if found == suite:
            return site, suite
    raise StandInError(f"Expected a mirror of {suite or 'this system'} in the apt sources, found none.")


def library_packages(prefix: Path) -> set[str]:
    """Name the packages whose libraries this Python links to."""
    modules = [path for path in prefix.glob("lib/python3.*/lib-dynload/*.so") if not path.name.startswith(TK)]
    lines = run("ldd", (prefix / "bin" / "python3").resolve(), *modules).splitlines()
    libraries = {Path(line.split("=> ")[1].split(" (")[0]).resolve() for line in lines if "=> /" in line}
    packages = set()
    for library in libraries:
        if not library.is_relative_to(prefix):
            # /lib is a link to /usr/lib, and dpkg may know a file by either name.
            owner = run("dpkg-query", "--search", f"*/{library.name}").splitlines()[0]
            packages.add(owner.split(":")[0])
    return packages


def find_python(trainer: str) -> tuple[str, Path]:
    """Return the minor version and the folder of a CPython for a version of ML-Agents.

    Raises
    ------
    StandInError
        If there is none, or it shares its folder with the rest of the system.
    """
    if trainer == DEFAULT_TRAINER:
        python, wanted = trainer_env.exact_python(), {"3.7"}
    else:
        python, wanted = Path(sys.executable), trainer_env.flavours(trainer).keys()
    found = run(python, "-c", "import sys; print('%d.%d' % sys.version_info[:2], sys.base_prefix)") if python else ""
    minor, _, prefix = found.strip().partition(" ")
    if minor not in wanted or prefix == "/usr":
        place = "on Linux x86-64 on PATH, in pyenv or in conda" if trainer == DEFAULT_TRAINER else "to run these tests"
        raise StandInError(
            f"Expected a CPython {' or '.join(wanted)} in a folder of its own {place}, found {found.strip() or 'none'}."
        )
    return minor, Path(prefix)


def make(trainer: str = DEFAULT_TRAINER) -> str:
    """Make the image for a version of ML-Agents, unless it is there. Returns its name.

    Raises
    ------
    StandInError
        If this machine lacks what it takes.
    """
    minor, prefix = find_python(trainer)
    name = NAME.replace("3.7", minor)
    engine = docker.from_env()
    try:
        engine.images.get(name)
        return name
    except ImageNotFound:
        pass
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        raise StandInError("Expected to be root with debootstrap installed: `apt-get install debootstrap`.")
    mirror, suite = apt_source()
    packages = ",".join(sorted(PACKAGES | library_packages(prefix)))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        print(f"debootstrap {suite} from {mirror}", file=sys.stderr)
        run("debootstrap", "--variant=minbase", f"--include={packages}", suite, root, mirror)
        for cache in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
            shutil.rmtree(root / cache, ignore_errors=True)
        fill_in_python(minor, prefix, root / "usr" / "local")
        run("chroot", root, "ldconfig")
        run("chroot", root, "python3", "-m", "ensurepip")
        archive = Path(folder) / "root.tar"
        run("tar", "--create", "--numeric-owner", "--file", archive, "--directory", root, ".")
        repository, tag = name.split(":")
        changes = [
            "ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
            "ENV LANG=C.UTF-8",
            'CMD ["python3"]',
        ]
        engine.api.import_image_from_file(str(archive), repository=repository, tag=tag, changes=changes)
    return name


def fill_in_python(minor: str, prefix: Path, local: Path) -> None:
    """Copy CPython to /usr/local, without its tests and other packages, as the official images have it."""
    left_out = shutil.ignore_patterns("test", "tests", "idlelib", "tkinter", "config-3.*", "*.a", "site-packages")
    shutil.copytree(prefix, local, symlinks=True, dirs_exist_ok=True, ignore=left_out)
    (local / "lib" / f"python{minor}" / "site-packages").mkdir()
    for alias in ("python", "python3"):
        link = local / "bin" / alias
        link.unlink(missing_ok=True)
        link.symlink_to(f"python{minor}")


if __name__ == "__main__":
    try:
        print(make())
    except StandInError as error:
        sys.exit(str(error))
