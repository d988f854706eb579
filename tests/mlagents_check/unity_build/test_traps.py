"""Each problem seen in real folders is found, with what to do."""

import os
import shutil
import socket

import pytest

from helpers import volume
from mlagents_check import unity_build
from mlagents_check.unity_build import last_check, listing

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 14000000\n"


def errors(folder):
    return [finding.what for finding in unity_build.check(folder).errors]


def found(folder, level):
    return [finding.what for finding in unity_build.check(folder).findings if finding.level == level]


def test_missing_folder(tmp_path):
    report = unity_build.check(tmp_path / "nowhere")
    assert report.build is None and report.errors[0].what == f"There is no folder {tmp_path}/nowhere."
    (tmp_path / "file").write_text("")
    assert errors(tmp_path / "file") == [f"{tmp_path}/file is not a folder."]


def test_empty_folder_says_what_to_do(tmp_path):
    folder = tmp_path / "unity-volume"
    folder.mkdir()
    (finding,) = unity_build.check(folder).errors
    assert finding.what == "Expected one *.x86_64 in unity-volume/, found none."
    assert finding.todo.startswith("Build for Linux x86_64 in Unity")
    assert finding.todo.endswith(f"or run make_sample_build('{folder}').")
    assert not unity_build.has_build(folder)


MACH_O = b"\xcf\xfa\xed\xfe\x07\0\0\x01\x03" + b"\0" * 200


@pytest.mark.parametrize("content", [MACH_O, b"MZ" + b"\0" * 100, b"", LFS], ids=["mac", "windows", "empty", "lfs"])
@pytest.mark.parametrize(
    ("library", "message"),
    [
        (
            "Game_Data/Plugins/lib_burst_generated.so",
            "The player starts without it. Its code runs as plain C#, slower.",
        ),
        (
            "Game_Data/Plugins/x86_64/ScreenSelector.so",
            "The player starts without it. It draws the screen selection dialog",
        ),
        ("Game_Data/Plugins/x86_64/libsteam_api.so", "The player starts without it. What your game does with"),
        ("Game_Data/MonoBleedingEdge/x86_64/libMonoPosixHelper.so", "The player starts without it. Some of Mono's own"),
        ("UnityPlayer.so", None),
        ("GameAssembly.so", None),
        ("Game_Data/MonoBleedingEdge/x86_64/libmonobdwgc-2.0.so", None),
        ("Game_Data/Plugins/x86_64/libgrpc_csharp_ext.x64.so", None),
    ],
)
def test_a_library_is_an_error_only_if_the_player_needs_it(formats, tmp_path, library, message, content):
    build = formats.write(tmp_path / "build", "il2cpp" if library == "GameAssembly.so" else "stub")
    (build / library).write_bytes(content)
    (finding,) = unity_build.check(build).findings
    assert (finding.path, finding.level) == (library, "error" if message is None else "warning")
    if message and content is not LFS:
        assert finding.todo.startswith(message)


def test_a_windows_build_whose_program_is_not_in_git(formats, tmp_path):
    """As with *.exe in .gitignore; the rest looks like a data folder without a program."""
    folder = tmp_path / "unity-volume"
    for file in ("Managed/Assembly-CSharp.dll", "MonoBleedingEdge/EmbedRuntime/mono-2.0-bdwgc.dll", "level0"):
        (folder / "airhockey_Data" / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / "airhockey_Data" / file).write_bytes(b"MZ")
    found = "airhockey_Data/MonoBleedingEdge/EmbedRuntime/mono-2.0-bdwgc.dll"
    for name in ("", "UnityPlayer.dll"):
        if name:
            (folder / name).write_bytes(b"MZ")
        (finding,) = unity_build.check(folder).errors
        assert finding.what == (
            f"Expected one *.x86_64 in unity-volume/, found a Windows build without its .exe, with {name or found}."
        )
        assert finding.todo.startswith("Its .exe is missing, perhaps because git ignores it")
        assert "Build again in Unity: File > Build Settings, target platform Linux" in finding.todo


def test_both_architectures_of_unity_2018_with_one_data_folder(formats, build):
    """As in Udacity's course: Tennis.x86, Tennis.x86_64 and Tennis_Data/ with libraries for both."""
    (build / "Game.x86").write_bytes(formats.elf(machine=3, loader="/lib/ld-linux.so.2"))
    for library in ("MonoBleedingEdge/x86/libmonobdwgc-2.0.so", "Plugins/x86/libgrpc_csharp_ext.x86.so"):
        (build / "Game_Data" / library).parent.mkdir(parents=True)
        (build / "Game_Data" / library).write_bytes(formats.library(machine=3))
    report = unity_build.check(build)
    assert report.ok and report.warnings == () and report.others == ()
    assert report.build.executable.name == "Game.x86_64"
    assert {finding.todo for finding in report.findings} == {"It is never loaded here."}
    (build / "Game_Data/MonoBleedingEdge/x86_64/libmonobdwgc-2.0.so").unlink()  # the 32-bit one does not serve
    assert errors(build) == ["libmonobdwgc-2.0.so is missing."]
    (build / "Other.x86").write_bytes(b"x")
    assert [finding.path for finding in unity_build.check(build).warnings] == ["Other.x86"]


def test_many_lfs_pointers_are_reported_once(build):
    for path in sorted((build / "Game_Data").rglob("*")):
        if path.is_file():
            path.write_bytes(LFS)
    (finding,) = unity_build.check(build).errors
    assert finding.what == (
        "18 files are Git LFS pointers, not the files themselves: Assembly-CSharp.dll, Google.Protobuf.dll, Grpc.Core.dll "
        "and 15 more."
    )
    assert "`git lfs pull`" in finding.todo and unity_build.check(build).warnings == ()


def test_an_lfs_pointer_next_to_the_build_is_a_warning(build):
    (build / "picture.psd").write_bytes(LFS)
    report = unity_build.check(build)
    assert report.ok and [finding.what for finding in report.warnings] == [
        "picture.psd is a Git LFS pointer, not the file itself."
    ]


def test_two_builds(formats, build):
    formats.write(build, "stub", "Other")
    report = unity_build.check(build)
    assert report.build is None
    assert errors(build) == ["Expected one build, found 2: Game.x86_64, Other.x86_64."]


@pytest.mark.parametrize(
    ("rename", "message"),
    [
        ("Game.exe", "found the Windows build Game.exe."),
        ("Game.x86", "found the 32-bit Game.x86."),
        ("Game.app/Contents/MacOS/Game", "found the macOS build Game.app."),
        ("Game", "found Game."),
        ("Game.X86_64", "found Game.X86_64."),
        ("Inner/Game.x86_64", "found Inner/Game.x86_64."),
        ("of/many/Game.x86_64", "found of/many/Game.x86_64."),
        ("Game.zip", "found Game_Data/ alone."),
        ("Game.x86_64.d/x", "found Game_Data/ alone."),
        ("Inner/Game.exe", "found Game_Data/ alone."),
    ],
)
def test_something_else_in_place_of_a_build(build, rename, message):
    (build / rename).parent.mkdir(parents=True, exist_ok=True)
    (build / "Game.x86_64").rename(build / rename)
    report = unity_build.check(build)
    assert report.build is None
    assert errors(build) == [f"Expected one *.x86_64 in unity-volume/, {message}"]
    assert unity_build.has_build(build)  # so no sample is put beside it


@pytest.mark.parametrize(
    ("files", "message", "todo"),
    [
        (["Win/Game.exe", "Win/Game_Data/x"], "found the Windows build Win/Game.exe.", "Training runs on Linux."),
        (
            ["Game.exe", "A.exe", "Game_Data/x", "UnityPlayer.dll"],
            "found the Windows build Game.exe.",
            "Training runs on Linux.",
        ),
        (
            ["index.html", "Build/Game.wasm"],
            "found a build for the web or a phone, Build/Game.wasm.",
            "Training runs on",
        ),
        (["Game.apk"], "found a build for the web or a phone, Game.apk.", "Training runs on Linux."),
        (["mac/Game.app/Contents/x"], "found the macOS build mac/Game.app.", "Training runs on Linux."),
        (
            ["Contents/MacOS/Game", "Contents/Info.plist"],
            "found a macOS build without its .app folder, with Contents/MacOS.",
            "Training runs on Linux.",
        ),
        (["old/Game.x86", "old/Game_Data/x"], "found the 32-bit old/Game.x86.", "The trainer needs 64 bits."),
        (["Game.tar.gz"], "found the archive Game.tar.gz.", "If the build is in it, unpack it there"),
        (["Game.x86_64/x"], "found Game.x86_64/, a folder.", "The executable is a file."),
        (
            ["a/G.x86_64", "b/G.x86_64"],
            "found 2 deeper in it: a/G.x86_64, b/G.x86_64.",
            "Keep one build, and move what is in its folder",
        ),
        (
            ["3DBall_Data/sample_env.json"],
            "found 3DBall_Data/ alone.",
            "It belongs to the sample environment. Complete it",
        ),
    ],
)
def test_folders_in_which_no_sample_may_be_made(tmp_path, files, message, todo):
    folder = tmp_path / "unity-volume"
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(b"MZ")
    (finding,) = unity_build.check(folder).errors
    assert finding.what == f"Expected one *.x86_64 in unity-volume/, {message}"
    assert finding.todo.startswith(todo) and unity_build.has_build(folder)


def test_depth_of_a_build(formats, tmp_path):
    formats.write(tmp_path / "unity-volume/of/many")
    (finding,) = unity_build.check(tmp_path / "unity-volume").errors
    assert finding.todo == ("The build lies 2 folders too deep. Move what is in of/many/ into unity-volume/ itself.")


@pytest.mark.parametrize("name", ["notes.txt", "trainer_config.yaml", "tools/python.exe", "README.md", "._Game.x86_64"])
def test_a_sample_may_be_made_next_to_other_files(tmp_path, name):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("x")
    assert not unity_build.has_build(tmp_path)
    assert "found none." in errors(tmp_path)[0]


def test_second_build_merged_into_the_folder(build):
    (build / "Old_Data").mkdir()
    (build / "Game.exe").write_bytes(b"MZ")
    (build / "UnityPlayer.dll").write_bytes(b"MZ")
    report = unity_build.check(build)
    assert report.ok
    assert [finding.path for finding in report.warnings] == ["Old_Data", "Game.exe", "UnityPlayer.dll"]


def test_data_folder_of_another_name(build):
    (build / "Alt_Data").mkdir()
    (build / "Game_Data").rename(build / "game_Data")
    (finding,) = unity_build.check(build).errors
    assert finding.what == "Expected Game_Data/ beside Game.x86_64, found game_Data/."
    assert finding.todo.endswith("Rename game_Data/ to Game_Data/, or Game.x86_64 to game.x86_64.")


def test_no_data_folder(formats, tmp_path):
    (tmp_path / "Game.x86_64").write_bytes(formats.elf())
    assert errors(tmp_path) == ["Expected Game_Data/ beside Game.x86_64, found none."]
    (tmp_path / "Game_Data").mkdir()
    assert errors(tmp_path) == ["Game_Data/ is empty."]


def test_a_script_without_a_data_folder(tmp_path):
    (tmp_path / "Game.x86_64").write_text("#!/bin/sh\n")
    (finding,) = unity_build.check(tmp_path).errors
    assert finding.what == "Game.x86_64 is a script, and no Game_Data/ lies beside it."
    assert "put that here instead of the script" in finding.todo and "make_sample_build" in finding.todo


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"\0" * 5000, "filled with zeros"),
        (b"MZ" + b"\0" * 100, "a Windows file"),
        (b"\xcf\xfa\xed\xfe" + b"\0" * 100, "a macOS file"),
        (b"#!/bin/sh\n", "a script"),
        (b"PK\x03\x04....", "a zip archive"),
        (b"hello", "not an ELF file"),
        (LFS, "a Git LFS pointer, not the file itself"),
    ],
)
def test_executable_that_is_something_else(build, content, message):
    (build / "Game.x86_64").write_bytes(content)
    assert errors(build) == [f"Game.x86_64 is {message}."]


def test_executable_of_another_kind(formats, build):
    path = build / "Game.x86_64"
    path.write_bytes(formats.elf(machine=183))
    assert errors(build) == ["Game.x86_64 is made for another processor (64-bit EM_AARCH64, not x86-64)."]
    path.write_bytes(formats.library())
    assert "a library, not a program" in errors(build)[0]
    path.write_bytes(formats.elf(loader="/lib/ld-musl-x86_64.so.1"))
    assert "loaded by /lib/ld-musl-x86_64.so.1" in errors(build)[0]


def test_engine_next_to_the_executable(formats, tmp_path):
    formats.write(tmp_path, "stub")
    (tmp_path / "UnityPlayer.so").write_bytes(LFS)
    assert errors(tmp_path) == ["UnityPlayer.so is a Git LFS pointer, not the file itself."]
    (tmp_path / "UnityPlayer.so").unlink()
    assert errors(tmp_path) == ["UnityPlayer.so is missing."]
    (tmp_path / "UnityPlayer.so").write_bytes(formats.library())
    (tmp_path / "Game.x86_64").write_bytes(formats.elf(needs=("UnityPlayer.so",)))
    assert found(tmp_path, "warning") == ["Game.x86_64 doesn't look for UnityPlayer.so beside itself."]


def test_grpc_library(formats, build):
    path = build / "Game_Data" / formats.GRPC
    path.write_bytes(LFS)
    assert errors(build) == ["libgrpc_csharp_ext.x64.so is a Git LFS pointer, not the file itself."]
    path.write_bytes(formats.library()[:-1])
    assert "libgrpc_csharp_ext.x64.so is truncated" in errors(build)[0]
    whole = formats.library(padding=10_000)
    path.write_bytes(whole[:5000] + bytes(len(whole) - 5000))  # what some tools leave where a copy was broken off
    assert errors(build) == ["libgrpc_csharp_ext.x64.so is damaged (its section table is missing)."]
    path.write_bytes(formats.elf())
    assert errors(build) == ["libgrpc_csharp_ext.x64.so is not a library."]
    path.rename(build / "Game_Data/libgrpc_csharp_ext.x64.so")
    assert "where the player doesn't look" in errors(build)[0]
    (build / "Game_Data/libgrpc_csharp_ext.x64.so").unlink()
    (finding,) = unity_build.check(build).errors
    assert finding.what == "Expected libgrpc_csharp_ext.x64.so below Game_Data/Plugins/, found none."
    assert finding.todo.startswith("The player would start and never connect")
    (build / "Game_Data/Plugins/libgrpc_csharp_ext.x64.so").write_bytes(formats.library())
    assert errors(build) == []


@pytest.mark.parametrize(
    "missing",
    [
        "Managed/mscorlib.dll",
        "Managed/UnityEngine.dll",
        "Managed/UnityEngine.CoreModule.dll",
        "Managed/Google.Protobuf.dll",
        "Managed/Grpc.Core.dll",
        "MonoBleedingEdge/x86_64/libmonobdwgc-2.0.so",
        "globalgamemanagers",
        "level0",
    ],
)
def test_missing_part(build, missing):
    (build / "Game_Data" / missing).unlink()
    assert errors(build) == [f"{missing.rpartition('/')[2]} is missing."]


@pytest.mark.parametrize("missing", ["boot.config", "globalgamemanagers.assets", "MonoBleedingEdge/etc/mono/config"])
def test_missing_optional_part(build, missing):
    (build / "Game_Data" / missing).unlink()
    assert found(build, "warning") == [f"{missing.rpartition('/')[2]} is missing."] and errors(build) == []


def test_il2cpp_without_its_code(formats, tmp_path):
    formats.write(tmp_path, "il2cpp")
    (tmp_path / "GameAssembly.so").unlink()
    assert errors(tmp_path) == ["GameAssembly.so is missing."]
    formats.write(tmp_path, "il2cpp")
    (tmp_path / "Game_Data/il2cpp_data/Metadata/global-metadata.dat").unlink()
    assert "global-metadata.dat is missing." in errors(tmp_path)


def test_unreadable_code_is_not_reported_as_lacking_mlagents(formats, tmp_path, build):
    metadata = formats.write(tmp_path / "il2cpp", "il2cpp") / "Game_Data/il2cpp_data/Metadata/global-metadata.dat"
    metadata.write_bytes(metadata.read_bytes()[:-1])
    assert errors(tmp_path / "il2cpp") == ["global-metadata.dat is truncated or damaged."]
    (build / "Game_Data/Managed/Assembly-CSharp.dll").unlink()
    assert errors(build) == ["Assembly-CSharp.dll is missing."]


def test_build_without_any_code(build):
    shutil.rmtree(build / "Game_Data/Managed")
    assert errors(build) == ["Game_Data/ holds neither Managed/ (Mono) nor il2cpp_data/ (IL2CPP)."]


def test_truncated_libraries(formats, build):
    mono = build / "Game_Data/MonoBleedingEdge/x86_64/libmonobdwgc-2.0.so"
    whole = formats.library(padding=10_000)
    mono.write_bytes(whole[:5000])
    assert "libmonobdwgc-2.0.so is truncated" in errors(build)[0]
    mono.write_bytes(whole)
    dll = build / "Game_Data/Managed/mscorlib.dll"
    dll.write_bytes(dll.read_bytes()[:-1])
    assert errors(build) == ["mscorlib.dll is truncated: 1,023 bytes are left of 1,024."]
    dll.write_bytes(b"")
    assert errors(build) == ["mscorlib.dll is truncated or not a .NET assembly."]


def test_library_for_another_processor_is_ignored(formats, build):
    (build / "Game_Data/Plugins/x86").mkdir()
    (build / "Game_Data/Plugins/x86/libsound.so").write_bytes(formats.library(machine=3))
    assert errors(build) == [] and "another processor" in found(build, "note")[0]


def test_files_of_macos(build):
    (build / "__MACOSX").mkdir()
    (build / "__MACOSX/._Game.x86_64").write_bytes(b"\0\5\x16\7")
    (build / "._Game.x86_64").write_bytes(b"\0\5\x16\7")
    (build / ".DS_Store").write_bytes(b"x")
    report = unity_build.check(build)
    assert report.ok and report.build is not None
    assert [finding.what for finding in report.warnings] == ["macOS added files of its own (._Game.x86_64, __MACOSX)."]
    assert report.others == ()


def test_debug_symbols_are_left_out(build):
    folder = build / "Game_BackUpThisFolder_ButDontShipItWithYourGame"
    folder.mkdir()
    (folder / "symbols.so").write_bytes(b"x")
    report = unity_build.check(build)
    assert report.findings == () and report.others == ()


@pytest.mark.parametrize("name", ["Game.x86", "my.app", "a.exe.b", " Game", "Game.x86_64.x86_64"])
def test_names_that_mlagents_learn_mangles(formats, tmp_path, name):
    formats.write(tmp_path, name=name)
    assert any(findings.startswith("mlagents-learn would look for ") for findings in errors(tmp_path))


@pytest.mark.parametrize("name", ["Game[1]", "Game?", "Ga*me"])
def test_names_with_wildcards(formats, tmp_path, name):
    formats.write(tmp_path, name=name)
    assert errors(tmp_path) == [f"The name {name!r} holds a wildcard, so mlagents-learn can't find it."]


@pytest.mark.parametrize("name", ["My Game", "Game's", "$Game", "Spiel;", "-Game", "Größe"])
def test_names_that_break_shells(formats, tmp_path, name):
    formats.write(tmp_path, name=name)
    assert errors(tmp_path) == []
    assert len(found(tmp_path, "warning")) == 1 and repr(name) in found(tmp_path, "warning")[0]


@pytest.mark.parametrize("name", ["Game", "3DBall", "my-game_2", "v0.11"])
def test_plain_names_pass(formats, tmp_path, name):
    assert unity_build.check(formats.write(tmp_path, name=name)).findings == ()


def test_links(build, tmp_path):
    (tmp_path / "outside").write_text("x")
    (build / "out").symlink_to(tmp_path / "outside")
    (build / "lost").symlink_to("nothing")
    (build / "round").symlink_to(".")
    (build / "inside").symlink_to("Game_Data/boot.config")
    assert errors(build) == [
        "inside is a link to Game_Data/boot.config.",
        "The link lost -> nothing leads nowhere.",
        f"The link out -> {tmp_path}/outside leads out of the folder.",
        "round is a link to ..",
    ]


@pytest.mark.parametrize("part", ["Game.x86_64", "Game_Data"])
def test_a_link_in_place_of_a_part(build, tmp_path, part):
    (build / part).rename(tmp_path / "elsewhere")
    (build / part).symlink_to(tmp_path / "elsewhere")
    assert errors(build) == [f"The link {part} -> {tmp_path}/elsewhere leads out of the folder."]
    assert unity_build.has_build(build)


def test_check_and_upload_leave_out_and_refuse_the_same(build):
    for name in listing.LEFT_OUT + listing.LEFT_OUT_AT_TOP:
        name = name.replace("*", "x")
        for folder in (build, build / "Game_Data"):
            (folder / name).mkdir()
            (folder / name / "file").write_text("x")
    taken = {file.name for file in volume.read(build).files}
    assert taken == unity_build.check(build).listing.files.keys()
    assert [name for name in taken if name.endswith("/file")]  # in the data folder a README is the build's own
    (build / "link").symlink_to("Game.x86_64")
    assert errors(build) == ["link is a link to Game.x86_64."]
    with pytest.raises(volume.VolumeError, match="symbolic link"):
        volume.read(build)


def test_pipes_and_sockets_are_never_opened(build):
    os.mkfifo(build / "Game_Data/pipe.dll")
    os.mkfifo(build / "config.yaml")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(build / "s"))
        assert [finding.path for finding in unity_build.check(build).errors] == [
            "Game_Data/pipe.dll",
            "config.yaml",
            "s",
        ]


def test_names_that_differ_only_in_case(build):
    (build / "Game_Data/Level0").write_bytes(b"x")
    if len(list((build / "Game_Data").glob("[lL]evel0"))) == 1:
        pytest.skip("this file system does not tell cases apart")
    assert found(build, "warning") == ["Game_Data/Level0 and Game_Data/level0 differ only in upper and lower case."]


def test_names_that_s3_cannot_hold(build):
    try:
        (build / os.fsdecode(b"caf\xe9")).write_text("x")
        (build / "line\nbreak").write_text("x")
    except OSError:
        pytest.skip("this file system refuses such names itself")
    long = build / "/".join(["f" * 200] * 5)
    long.parent.mkdir(parents=True)
    long.write_text("x")
    findings = errors(build)
    assert len(findings) == 3
    assert findings[0] == "The name 'caf\\udce9' is not UTF-8." and findings[1] == "A path is 1004 bytes long."
    assert findings[2] == "The name 'line\\nbreak' contains a control character."
    report = unity_build.check(build)
    assert "caf" in str(report) and report._repr_html_().encode()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_folder_that_cannot_be_read(build):
    (build / "Game_Data/Managed").chmod(0)
    try:
        assert "Game_Data/Managed can't be read." in errors(build)
    finally:
        (build / "Game_Data/Managed").chmod(0o755)


@pytest.mark.parametrize("part", ["Game.x86_64", "Game_Data/level0", "trainer_config.yaml"])
def test_file_that_cannot_be_read(build, monkeypatch, part):
    (build / part).touch()
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: access(path, mode) and not str(path).endswith(part))
    assert f"{part} can't be read." in errors(build)
    assert unity_build.has_build(build)


def test_changes_since_an_earlier_check(build):
    before = unity_build.check(build)
    assert unity_build.check(build, since=before.listing).findings == ()
    (build / "Game_Data/level0").write_bytes(b"other level")
    (build / "Game_Data/level1").write_bytes(b"new")
    (build / "Game_Data/resources.assets").unlink()
    (finding,) = [
        finding for finding in unity_build.check(build, since=before.listing).findings if finding.level == "note"
    ]
    assert finding.what == (
        "Since the last check: 1 new (Game_Data/level1), 1 changed (Game_Data/level0), 1 gone (Game_Data/resources.assets)."
    )


def test_a_build_that_is_replaced_between_two_notebooks(formats, build, tmp_path, monkeypatch):
    monkeypatch.setattr(last_check, "LISTINGS", tmp_path / "kept")
    monkeypatch.chdir(tmp_path)
    assert unity_build.check_since_last("unity-volume").findings == ()
    assert unity_build.check_since_last(build).findings == ()
    shutil.rmtree(build)
    formats.write(build, "stub")
    (finding,) = unity_build.check_since_last(build).findings
    assert finding.what.startswith("Since the last check: 1 new (UnityPlayer.so), ")
    assert "19 changed (Game.x86_64, …)" in finding.what
    assert unity_build.check_since_last(build).findings == ()


def test_a_lost_listing_is_no_error(build, tmp_path, monkeypatch):
    monkeypatch.setattr(last_check, "LISTINGS", tmp_path / "kept")
    monkeypatch.setattr(last_check, "_MAX_LISTINGS", 2)
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        unity_build.check_since_last(tmp_path / name)
    assert len(list((tmp_path / "kept").iterdir())) == 2
    for content in ("", "[[1]]", "[3]", "{}"):
        unity_build.check_since_last(build)
        for path in (tmp_path / "kept").iterdir():
            path.write_text(content)
        assert unity_build.check_since_last(build).build.protocol == "API-11"
    monkeypatch.setattr(last_check, "LISTINGS", build / "Game.x86_64" / "no folder")
    assert unity_build.check_since_last(build).findings == ()
    assert not unity_build.check_since_last(tmp_path / "nowhere").ok


def test_all_findings_are_shown_at_once(formats, build):
    (build / "Game_Data" / formats.GRPC).unlink()
    (build / "Game_Data/Managed/Assembly-CSharp.dll").write_bytes(formats.dll("API-10"))
    (build / "Game_Data/level0").unlink()
    report = unity_build.check(build)
    assert len(report.errors) == 3
    with pytest.raises(unity_build.UnityBuildError) as caught:
        report.raise_for_errors()
    for finding in report.errors:
        assert finding.what in str(caught.value) and finding.todo in str(caught.value)
    assert report.verdict.startswith("Not ready, 3 errors. First: ")
