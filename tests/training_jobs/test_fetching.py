"""Archives of jobs as hostile input: what is brought, what is named instead, and that nothing else happens."""

import errno
import gzip
import io
import os
import random
import stat
import tarfile
import time
from datetime import datetime, timezone

import pytest

import training_jobs as training
from training_jobs import fetching


@pytest.fixture
def make_job(connection, request):
    """Return what makes an ended job of archives."""
    name = f"mlagents-{abs(hash(request.node.nodeid)):x}"

    def make(**archives):
        for archive, content in archives.items():
            key = f"training/{name}/output/{archive}.tar.gz"
            connection.client("s3").put_object(Bucket=connection.bucket, Key=key, Body=content)
        output = f"s3://{connection.bucket}/training/{name}/output"
        created = datetime.now(timezone.utc)
        return training.Job(name, "Completed", "Completed", "", "", {}, "", "", output, created, 1, 1, {})

    return make


def member(name, content=b"", kind=tarfile.REGTYPE, **more):
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(content)
    for key, value in more.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.PAX_FORMAT) + content + bytes(-len(content) % 512)


def pack(*members, end=bytes(1024)):
    return gzip.compress(b"".join(members) + end, 1)


def pax(text):
    return member("pax", text, tarfile.XHDTYPE)


FIRST, LAST = member("3DBall.nn", b"first", mode=0o4777), member("sub/last.txt", b"last")


def listed(place):
    """List what a folder holds, followed by nothing: names, and the content of plain files."""
    found = {}
    for path in sorted(place.rglob("*")):
        mode = path.lstat().st_mode
        assert stat.S_ISREG(mode) or stat.S_ISDIR(mode)
        assert stat.S_IMODE(mode) & ~0o755 == 0
        if stat.S_ISREG(mode):
            found[path.relative_to(place).as_posix()] = path.read_bytes()
    return found


def test_only_plain_files_and_folders_with_plain_names_are_fetched(connection, make_job, tmp_path, capsys):
    hostile = [
        (member("link", kind=tarfile.SYMTYPE, linkname="/etc"), "'link' (a symbolic link, not a plain file)"),
        (member("link/passwd", b"x"), ""),  # a folder of that name is a plain one
        (member("hard", kind=tarfile.LNKTYPE, linkname="../../x"), "'hard' (a hard link, not a plain file)"),
        (member("fifo", kind=tarfile.FIFOTYPE), "'fifo' (a named pipe, not a plain file)"),
        (member("null", kind=tarfile.CHRTYPE, devmajor=1, devminor=3), "'null' (a device, not a plain file)"),
        (member("disk", kind=tarfile.BLKTYPE), "'disk' (a device, not a plain file)"),
        (member("odd", b"x", kind=b"Z"), "'odd' (of an unknown kind, not a plain file)"),
        (member("/absolute", b"x"), "'/absolute' (an absolute name)"),
        (member("C:/windows", b"x"), "'C:/windows' (an absolute name)"),
        (member("../out", b"x"), "'../out' (a name that leads out of its folder)"),
        (member("a/../../out", b"x"), "'a/../../out' (a name that leads out of its folder)"),
        (member("a\\b", b"x"), "'a\\\\b' (a name with a backslash)"),
        (member("a\nb", b"x"), "'a\\nb' (a name with unprintable characters)"),
        (pax(b"21 path=before\0after\n") + member("x", b"x"), "'before\\x00after' (a name with unprintable cha"),
        (member("\udcff", b"x"), "'\\udcff' (a name with unprintable characters)"),
        (member("n" * 256, b"x"), f"'{'n' * 200}' (a name that is too long)"),
        (member("d/" * 500 + "f", b"x"), f"'{'d/' * 100}' (a name that is too long)"),
        (member("3DBall.nn", b"second"), "'3DBall.nn' (a file or folder of the same name is there)"),
        (member("3DBall.nn/below", b"x"), "'3DBall.nn/below' (a file or folder of the same name is there)"),
        (member("3DBall.nn", kind=tarfile.DIRTYPE), "'3DBall.nn' (a file or folder of the same name is there)"),
        (member("link", b"x"), "'link' (a file or folder of the same name is there)"),
        (member("log.txt", b"x"), "'log.txt' (fetching writes a file with this name itself)"),
        (member("Not-Fetched.txt/x", b"x"), "'Not-Fetched.txt/x' (fetching writes a file with this name itself)"),
        (pax(b"30 GNU.sparse.size=99999999999\n22 GNU.sparse.map=0,1\n") + member("holes", b"x"), "'holes' (a sparse"),
        (pax(b"13 size=1e99\n11 uid=x\n14 mtime=1e999\n") + member("odd values", b""), ""),
        (member("empty", kind=tarfile.DIRTYPE, mode=0), ""),
        (member("./", kind=tarfile.DIRTYPE), ""),
    ]
    job = make_job(model=pack(FIRST, *(content for content, _ in hostile), LAST), output=pack(member("summary", b"s")))
    place = training.fetch(connection, job, tmp_path)
    notes = (place / fetching.NOTE).read_text().splitlines()
    expected = [f"model.tar.gz: {reason}" for _, reason in hostile if reason]
    assert [note[: len(reason)] for note, reason in zip(notes, expected, strict=True)] == expected
    assert listed(place) == {
        "3DBall.nn": b"first",
        "link/passwd": b"x",
        "odd values": b"",
        "sub/last.txt": b"last",
        "summary": b"s",
        fetching.LOG: b"\n",
        fetching.NOTE: (place / fetching.NOTE).read_bytes(),
    }
    assert (place / "empty").is_dir()
    assert [path.name for path in tmp_path.iterdir()] == [job.name]
    output = capsys.readouterr().out
    assert (
        output
        == f"Not fetched of {job.name}: {'; '.join(notes[:3])} and {len(notes) - 3} more (NOT-FETCHED.txt lists them)\n"
    )
    training.fetch(connection, job, tmp_path)
    assert capsys.readouterr().out == f"{place} does not have all files of {job.name}: see NOT-FETCHED.txt there.\n"


def cut(content):
    return content[: len(content) * 2 // 3]


NOISE = random.Random(1).randbytes(50_000)
NEGATIVE = bytearray(member("negative"))
NEGATIVE[124:136] = b"\xff" * 10 + b"\xfc\x00"  # -1024, as old versions of tarfile read round and round
NEGATIVE[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(NEGATIVE))[0]


@pytest.mark.parametrize(
    ("archive", "files", "reason"),
    [
        (b"no gzip", [], "after 0 members (Not a gzipped file (b'no'))"),
        (b"", [], "after 0 members (empty file)"),
        (gzip.compress(NOISE), [], "after 0 members ("),
        (
            cut(pack(FIRST, member("noise", NOISE), LAST)),
            ["3DBall.nn"],
            "after 2 members (Compressed file ended before",
        ),
        (pack(FIRST, LAST)[:-8] + bytes(8), ["3DBall.nn", "sub/last.txt"], "after 3 members (CRC check failed"),
        (pack(FIRST, b"\1" * 512, LAST), ["3DBall.nn"], "after 1 members (what follows is not a tar header)"),
        (pack(FIRST, LAST[:100], end=b""), ["3DBall.nn"], "after 1 members (what follows is not a tar header)"),
        (pack(FIRST, bytes(NEGATIVE), LAST), ["3DBall.nn"], "after 2 members (a member that begins before the end of"),
        (pack(FIRST, *[pax(b"11 a=bcdef\n")] * 40, LAST), ["3DBall.nn", "sub/last.txt"], ""),
        (
            pack(FIRST, *[pax(b"11 a=bcdef\n")] * 2000, LAST),
            ["3DBall.nn"],
            "after 1 members (headers of more than 65,536",
        ),
        (pack(FIRST, pax(b"1" * 50_000), LAST), ["3DBall.nn"], "after 1 members (a header with a number of a hundred"),
        (pack(FIRST, member("n", b"x" * 70_000, b"L"), LAST), ["3DBall.nn"], "after 1 members (headers of more than"),
        (
            pack(
                FIRST, pax(b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"), member("s", b"99999\n" + b"0\n" * 50_000)
            ),
            ["3DBall.nn"],
            "after 1 members (headers of more than 65,536",
        ),
    ],
)
def test_the_readable_part_of_a_damaged_archive_is_fetched(connection, make_job, tmp_path, archive, files, reason):
    job = make_job(model=archive, output=pack(member("summary", b"s")))
    place = tmp_path / job.name
    start = time.monotonic()
    if reason:
        with pytest.raises(training.TrainingError) as error:
            training.fetch(connection, job, tmp_path)
        message = str(error.value)
        assert message.startswith(
            f"The results of {job.name} were fetched only in part: model.tar.gz cannot be read {reason}"
        )
        assert message.endswith(f"Run this again to continue with it, or remove {place} to fetch it again.")
        assert f"model.tar.gz cannot be read {reason}" in (place / fetching.NOTE).read_text()
    assert training.fetch(connection, job, tmp_path) == place
    assert time.monotonic() - start < 20
    assert sorted(set(listed(place)) - {fetching.NOTE}) == sorted([*files, fetching.LOG, "summary"])
    assert [path.name for path in tmp_path.iterdir()] == [job.name]


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([member("zeros", bytes(10**6))], r"more than 200,000 bytes unpacked"),
        ([member("dir", bytes(10**6), tarfile.DIRTYPE)], r"more than 200,000 bytes unpacked"),
        ([member(f"{number}") for number in range(40)], "more than 30 files and folders"),
        ([member("a/" * 40 + "b")], "more than 30 files and folders"),
        ([member(f"{number}", kind=tarfile.SYMTYPE) for number in range(40)], "more than 30 files and folders"),
    ],
)
def test_an_archive_that_exceeds_a_limit(connection, make_job, tmp_path, monkeypatch, members, reason):
    monkeypatch.setattr(fetching, "MAX_BYTES", 200_000)
    monkeypatch.setattr(fetching, "MAX_MEMBERS", 30)
    job = make_job(model=pack(FIRST, *members, LAST), output=pack(member("summary", b"s")))
    with pytest.raises(training.TrainingError, match=reason):
        training.fetch(connection, job, tmp_path)
    found = listed(tmp_path / job.name)
    assert (found["3DBall.nn"], found["summary"]) == (b"first", b"s")
    assert sum(map(len, found.values())) < 200_000


def test_an_archive_that_is_too_large_is_not_downloaded(connection, make_job, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "MAX_BYTES", 1000)
    job = make_job(model=NOISE, output=pack(member("summary", b"s")))
    with pytest.raises(training.TrainingError, match="model.tar.gz has 50,000 bytes, more than the 1,000 that are"):
        training.fetch(connection, job, tmp_path)
    assert "summary" in listed(tmp_path / job.name)


def test_a_full_disk_keeps_nothing(connection, make_job, tmp_path, monkeypatch):
    job = make_job(model=pack(FIRST))
    open_file = os.open

    def refuse(path, *rest, **more):
        if str(path).endswith("3DBall.nn"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return open_file(path, *rest, **more)

    monkeypatch.setattr(fetching.os, "open", refuse)
    with pytest.raises(training.TrainingError, match="No space left on device. Nothing was kept. Make room there"):
        training.fetch(connection, job, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["..", "a/b", "/etc", ""])
def test_an_invalid_job_name(connection, make_job, tmp_path, name):
    job = training.Job(**{**vars(make_job()), "name": name})
    with pytest.raises(training.TrainingError, match="Expected the name of a job, found"):
        training.fetch(connection, job, tmp_path / "results")
    assert list(tmp_path.iterdir()) == []


def test_hostile_archives_neither_raise_nor_write_elsewhere(tmp_path):
    """Change bytes of an archive of every kind of header, and see that it is only ever an archive."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, kind in (("d", tarfile.DIRTYPE), ("d/f", tarfile.REGTYPE), ("l" * 150, tarfile.SYMTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "t" * 150
            tar.addfile(info)
    sparse = member("s", bytes(512), tarfile.GNUTYPE_SPARSE)
    good = packed.getvalue()[:-10240] + pax(b"30 mtime=1600000000.123456789\n") + FIRST + sparse + LAST
    numbers = random.Random(1)
    for turn in range(400):
        changed = bytearray(good)
        for _ in range(numbers.randint(1, 4)):
            block = numbers.randrange(0, len(good), 512)
            changed[block + numbers.choice([*range(100), *range(100, 350)])] = numbers.choice(
                [0, 47, 255, *range(48, 58)]
            )
            header = bytes(changed[block : block + 512])
            changed[block + 148 : block + 156] = b"%06o\0 " % tarfile.calc_chksums(header)[0]
        root = tmp_path / str(turn) / "root"
        root.mkdir(parents=True)
        (tmp_path / "archive").write_bytes(pack(bytes(changed)))
        archive = fetching.Archive("archive", root)
        archive.unpack(tmp_path / "archive")
        assert archive.members < 50
        listed(root)
        assert list(root.parent.iterdir()) == [root]
