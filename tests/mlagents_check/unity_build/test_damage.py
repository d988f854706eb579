"""Damage of any kind never makes the check fail, and never makes it pass what can't train."""

import random
import struct
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlagents_check import unity_build
from mlagents_check.unity_build.elf import BrokenElfError, read_elf

EXECUTABLE, LIBRARY = "Game.x86_64", "Game_Data/Plugins/x86_64/libgrpc_csharp_ext.x64.so"
LAYOUTS = ("monolithic", "stub", "il2cpp", "server", "packed")

bounded = settings(
    max_examples=30,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def fresh(formats):
    """A new good build in a folder of its own for each example."""

    def make(kind="monolithic"):
        folder = tempfile.TemporaryDirectory()
        formats.write(Path(folder.name), kind)
        return folder

    return make


@bounded
@given(
    kind=st.sampled_from(LAYOUTS), part=st.sampled_from([EXECUTABLE, LIBRARY]), share=st.floats(0, 1, exclude_max=True)
)
def test_truncated_executable_or_library_never_passes(fresh, kind, part, share):
    with fresh(kind) as folder:
        path = Path(folder) / part
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])
        assert any(finding.path == part for finding in unity_build.check(folder).errors)


@bounded
@given(part=st.sampled_from([EXECUTABLE, LIBRARY]))
def test_deleted_executable_or_library_never_passes(fresh, part):
    with fresh() as folder:
        (Path(folder) / part).unlink()
        assert not unity_build.check(folder).ok


# Every bit of these fields of the ELF header says that the file is an x86-64 program, or where its parts lie.
_VITAL = [*range(7), *range(18, 24), *range(52, 56), *range(58, 60)]


@bounded
@given(part=st.sampled_from([EXECUTABLE, LIBRARY]), byte=st.sampled_from(_VITAL), bit=st.integers(0, 7))
def test_flipped_header_bit_never_passes(fresh, part, byte, bit):
    with fresh() as folder:
        path = Path(folder) / part
        data = bytearray(path.read_bytes())
        data[byte] ^= 1 << bit
        path.write_bytes(data)
        assert any(finding.path == part for finding in unity_build.check(folder).errors)


@bounded
@given(kind=st.sampled_from(LAYOUTS), seed=st.integers(0, 2**32), flips=st.integers(1, 40))
def test_flipped_bits_anywhere_never_raise(fresh, kind, seed, flips):
    chance = random.Random(seed)
    with fresh(kind) as folder:
        files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        for _ in range(flips):
            path = chance.choice(files)
            data = bytearray(path.read_bytes())
            data[chance.randrange(min(len(data), 600))] ^= 1 << chance.randrange(8)
            path.write_bytes(data)
        report = unity_build.check(folder)
        assert str(report) and report._repr_html_()


@bounded
@given(kind=st.sampled_from(LAYOUTS), seed=st.integers(0, 2**32), gone=st.integers(0, 12), cut=st.integers(0, 6))
def test_deleted_and_cut_files_never_raise(fresh, kind, seed, gone, cut):
    chance = random.Random(seed)
    with fresh(kind) as folder:
        files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        for path in chance.sample(files, min(cut, len(files))):
            path.write_bytes(path.read_bytes()[: chance.randrange(path.stat().st_size + 1)])
        damaged = chance.sample(files, min(gone, len(files)))
        for path in damaged:
            path.unlink()
        report = unity_build.check(folder)
        vital = {EXECUTABLE, LIBRARY} & {path.relative_to(folder).as_posix() for path in damaged}
        assert str(report) and not (vital and report.ok)


@bounded
@given(
    names=st.lists(
        st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=30), max_size=8
    ),
    content=st.binary(max_size=300),
    where=st.sampled_from(["", "Game_Data", "Game_Data/Managed", "Game_Data/Plugins"]),
)
def test_junk_never_raises(fresh, names, content, where):
    with fresh() as folder:
        for name in names:
            path = Path(folder) / where / name
            if name not in (".", "..") and len(name.encode()) < 250 and not path.exists():
                path.write_bytes(content)
        report = unity_build.check(folder)
        assert str(report) and report._repr_html_()


@settings(bounded, max_examples=150)
@given(seed=st.integers(0, 2**32), flips=st.integers(1, 30))
def test_elf_reader_raises_only_its_own_error(formats, tmp_path, seed, flips):
    chance = random.Random(seed)
    data = bytearray(formats.elf(needs=("libc.so.6",), runpath="$ORIGIN"))
    for _ in range(flips):
        data[chance.randrange(len(data))] = chance.randrange(256)
    path = tmp_path / "program"
    path.write_bytes(data)
    try:
        assert read_elf(path).kind in ("ET_EXEC", "ET_DYN")
    except BrokenElfError as error:
        assert str(error)


@pytest.mark.skipif(sys.platform != "linux", reason="Python is no ELF file there")
def test_huge_section_names_are_read_only_once(tmp_path):
    """Each section of this program has a name of 30 MB, which is the same."""
    data = bytearray(Path(sys.executable).resolve().read_bytes())
    place, names = struct.unpack_from("<Q", data, 40)[0], struct.unpack_from("<H", data, 62)[0]
    struct.pack_into("<QQ", data, place + 64 * names + 24, len(data), 30_000_000)
    path = tmp_path / "program"
    path.write_bytes(data + b"A" * 30_000_000)
    with pytest.raises(BrokenElfError, match=r"^damaged \(its headers name more than a program has\)$"):
        read_elf(path)


def test_a_file_with_one_line_of_spaces_is_classified_quickly(fresh):
    """A pattern that goes back over 64 KB of them takes half a minute for each file."""
    with fresh() as folder:
        (Path(folder) / "a.yaml").write_bytes(b"a" + b" " * 65_535)
        (Path(folder) / "b.yaml").write_bytes(b"resampling-interval" + b" " * 60_000 + b": 5")
        (Path(folder) / "c.yaml").write_bytes(b"'3D Ball' \t: # mine\r\n  x: 1")
        start = time.process_time()
        kinds = {other.path: other.kind for other in unity_build.check(folder).others}
        assert kinds == {"a.yaml": "unknown", "b.yaml": "sampler", "c.yaml": "trainer config"}
        assert time.process_time() - start < 3


def test_endless_dynamic_section_is_cut_off(formats, tmp_path):
    """A damaged list of needed libraries has no end; it must not be read for minutes."""
    data = bytearray(formats.elf(padding=16 * 200_000))
    at = data.index(bytes(16) * 100)  # the padding follows the list's end
    data[at - 16 : at + 16 * 200_000 - 16] = (b"\1" + bytes(15)) * 200_000
    (tmp_path / "program").write_bytes(data)
    assert len(read_elf(tmp_path / "program").needs) <= 10_000
