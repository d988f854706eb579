"""Each trap that was seen in real folders is found, with what to do."""

import os
import socket

import pytest

from helpers import unity_build

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 14000000\n"


def errors(folder):
    return [finding.what for finding in unity_build.check(folder).errors]


def found(folder, level):
    return [finding.what for finding in unity_build.check(folder).findings if finding.level == level]


def test_no_folder(tmp_path):
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


def test_two_builds(formats, build):
    formats.write(build, "stub", "Other")
    report = unity_build.check(build)
    assert report.build is None
    assert errors(build) == ["Expected one build, found 2: Game.x86_64, Other.x86_64."]


@pytest.mark.parametrize(
    ("rename", "said"),
    [
        ("Game.exe", "found the Windows build Game.exe."),
        ("Game.x86", "found the 32-bit Game.x86."),
        ("Game.app/Contents/MacOS/Game", "found the macOS build Game.app."),
        ("Game", "found Game."),
        ("Game.X86_64", "found Game.X86_64."),
        ("Inner/Game.x86_64", "found Inner/Game.x86_64."),
    ],
)
def test_something_else_in_place_of_a_build(build, rename, said):
    (build / rename).parent.mkdir(parents=True, exist_ok=True)
    (build / "Game.x86_64").rename(build / rename)
    report = unity_build.check(build)
    assert report.build is None
    assert errors(build) == [f"Expected one *.x86_64 in unity-volume/, {said}"]
    assert unity_build.has_build(build)  # so no sample is put beside it


def test_second_build_merged_into_the_folder(build):
    (build / "Old_Data").mkdir()
    (build / "Game.exe").write_bytes(b"MZ")
    (build / "UnityPlayer.dll").write_bytes(b"MZ")
    report = unity_build.check(build)
    assert report.ok
    assert [finding.path for finding in report.warnings] == ["Old_Data", "Game.exe", "UnityPlayer.dll"]


def test_data_folder_of_another_name(build):
    (build / "Game_Data").rename(build / "Spiel_Data")
    assert errors(build) == ["Expected Game_Data/ beside Game.x86_64, found Spiel_Data/."]


def test_no_data_folder(formats, tmp_path):
    (tmp_path / "Game.x86_64").write_bytes(formats.elf())
    assert errors(tmp_path) == ["Expected Game_Data/ beside Game.x86_64, found none."]


@pytest.mark.parametrize(
    ("content", "said"),
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
def test_executable_that_is_something_else(build, content, said):
    (build / "Game.x86_64").write_bytes(content)
    assert errors(build) == [f"Game.x86_64 is {said}."]


def test_executable_of_another_kind(formats, build):
    path = build / "Game.x86_64"
    path.write_bytes(formats.elf(machine=183))
    assert errors(build) == ["Game.x86_64 is made for another processor (64-bit EM_AARCH64, not x86-64)."]
    path.write_bytes(formats.library())
    assert "a library, not a program" in errors(build)[0]
    path.write_bytes(formats.elf(loader="/lib/ld-musl-x86_64.so.1"))
    assert "loaded by /lib/ld-musl-x86_64.so.1" in errors(build)[0]


def test_engine_beside_the_stub(formats, tmp_path):
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
    assert "libgrpc_csharp_ext.x64.so is cut short" in errors(build)[0]
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
def test_missing_part_that_may_do_without(build, missing):
    (build / "Game_Data" / missing).unlink()
    assert found(build, "warning") == [f"{missing.rpartition('/')[2]} is missing."] and errors(build) == []


def test_il2cpp_without_its_code(formats, tmp_path):
    formats.write(tmp_path, "il2cpp")
    (tmp_path / "GameAssembly.so").unlink()
    assert errors(tmp_path) == ["GameAssembly.so is missing."]
    formats.write(tmp_path, "il2cpp")
    (tmp_path / "Game_Data/il2cpp_data/Metadata/global-metadata.dat").unlink()
    assert "global-metadata.dat is missing." in errors(tmp_path)


def test_build_without_any_code(build):
    import shutil

    shutil.rmtree(build / "Game_Data/Managed")
    assert errors(build) == ["Game_Data/ holds neither Managed/ (Mono) nor il2cpp_data/ (IL2CPP)."]


def test_truncated_libraries(formats, build):
    mono = build / "Game_Data/MonoBleedingEdge/x86_64/libmonobdwgc-2.0.so"
    whole = formats.library(padding=10_000)
    mono.write_bytes(whole[:5000])
    assert "libmonobdwgc-2.0.so is cut short" in errors(build)[0]
    mono.write_bytes(whole)
    dll = build / "Game_Data/Managed/mscorlib.dll"
    dll.write_bytes(dll.read_bytes()[:-1])
    assert errors(build) == ["mscorlib.dll is cut short: 1,023 bytes are left of 1,024."]
    dll.write_bytes(b"")
    assert errors(build) == ["mscorlib.dll is cut short or no .NET assembly."]


def test_library_for_another_processor_is_left_alone(formats, build):
    (build / "Game_Data/Plugins/x86").mkdir()
    (build / "Game_Data/Plugins/x86/libsound.so").write_bytes(formats.library(machine=3))
    assert errors(build) == [] and "another processor" in found(build, "note")[0]


def test_what_macos_leaves(build):
    (build / "__MACOSX").mkdir()
    (build / "__MACOSX/._Game.x86_64").write_bytes(b"\0\5\x16\7")
    (build / "._Game.x86_64").write_bytes(b"\0\5\x16\7")
    (build / ".DS_Store").write_bytes(b"x")
    report = unity_build.check(build)
    assert report.ok and report.build is not None
    assert [finding.what for finding in report.warnings] == ["macOS left 2 files of its own (._Game.x86_64, …)."]
    assert report.others == ()


def test_symbols_that_are_not_to_be_shipped_are_left_out(build):
    folder = build / "Game_BackUpThisFolder_ButDontShipItWithYourGame"
    folder.mkdir()
    (folder / "symbols.so").write_bytes(b"x")
    report = unity_build.check(build)
    assert report.findings == () and report.others == ()


@pytest.mark.parametrize("name", ["Game.x86", "my.app", "a.exe.b", " Game", "Game.x86_64.x86_64"])
def test_names_that_mlagents_learn_mangles(formats, tmp_path, name):
    formats.write(tmp_path, name=name)
    assert any(what.startswith("mlagents-learn would look for ") for what in errors(tmp_path))


@pytest.mark.parametrize("name", ["Game[1]", "Game?", "Ga*me"])
def test_names_that_mlagents_learn_takes_for_patterns(formats, tmp_path, name):
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
        "The link lost -> nothing leads nowhere.",
        f"The link out -> {tmp_path}/outside leads out of the folder.",
    ]
    assert found(build, "warning") == ["inside is a link to Game_Data/boot.config.", "round is a link to .."]


def test_pipes_and_sockets_are_never_opened(build):
    os.mkfifo(build / "Game_Data/pipe.dll")
    os.mkfifo(build / "config.yaml")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(build / "s"))
        assert [finding.path for finding in unity_build.check(build).warnings] == [
            "Game_Data/pipe.dll",
            "config.yaml",
            "s",
        ]


def test_names_that_differ_in_case_alone(build):
    (build / "Game_Data/Level0").write_bytes(b"x")
    if len(list((build / "Game_Data").glob("[lL]evel0"))) == 1:
        pytest.skip("this file system does not tell cases apart")
    assert found(build, "warning") == ["Game_Data/Level0 and Game_Data/level0 differ in upper and lower case alone."]


def test_names_that_s3_cannot_hold(build):
    try:
        (build / os.fsdecode(b"caf\xe9")).write_text("x")
        (build / "line\nbreak").write_text("x")
    except OSError:
        pytest.skip("this file system refuses such names itself")
    long = build / "/".join(["f" * 200] * 5)
    long.parent.mkdir(parents=True)
    long.write_text("x")
    said = errors(build)
    assert len(said) == 3
    assert said[0] == "The name 'caf\\udce9' is not UTF-8." and said[1] == "A path is 1004 bytes long."
    assert said[2] == "The name 'line\\nbreak' holds a control character."
    report = unity_build.check(build)
    assert "caf" in str(report) and report._repr_html_().encode()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_folder_that_cannot_be_read(build):
    (build / "Game_Data/Managed").chmod(0)
    try:
        assert "Game_Data/Managed can't be read." in errors(build)
    finally:
        (build / "Game_Data/Managed").chmod(0o755)


def test_changes_since_an_earlier_check(build):
    before = unity_build.check(build)
    assert unity_build.check(build, since=before).findings == ()
    (build / "Game_Data/level0").write_bytes(b"other level")
    (build / "Game_Data/level1").write_bytes(b"new")
    (build / "Game_Data/resources.assets").unlink()
    (finding,) = [finding for finding in unity_build.check(build, since=before).findings if finding.level == "note"]
    assert finding.what == (
        "Since the last check: 1 new (Game_Data/level1), 1 changed (Game_Data/level0), 1 gone (Game_Data/resources.assets)."
    )


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
