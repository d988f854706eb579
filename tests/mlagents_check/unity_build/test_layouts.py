"""Good builds of every layout pass, and the report describes them."""

import platform
import stat
import subprocess
import sys

import pytest

from mlagents_check import unity_build

LAYOUTS = ("monolithic", "stub", "il2cpp", "server", "packed")


@pytest.mark.parametrize("kind", LAYOUTS)
def test_every_layout_passes_without_findings(formats, tmp_path, kind):
    report = unity_build.check(formats.write(tmp_path, kind))
    assert report.findings == ()
    assert report.ok and report.verdict == "The build is ready to train."
    assert report.build.protocol == "API-11"
    assert report.build.backend == ("IL2CPP" if kind == "il2cpp" else "Mono")
    assert report.build.unity_version == ("2019.4.1f1" if kind == "packed" else "2018.4.8f1")
    assert report.build.headless is (True if kind == "server" else None)


def test_build_is_described(build):
    described = unity_build.check(build).build
    assert described.name == "Game"
    assert described.executable == build / "Game.x86_64"
    assert described.data == build / "Game_Data"
    files = [path for path in build.rglob("*") if path.is_file()]
    assert described.files == len(files)
    assert described.size == sum(path.stat().st_size for path in files) == sum(size for _, size in described.parts)
    assert {part for part, _ in described.parts} == {"engine", "code", "Mono runtime", "plugins", "scenes and assets"}
    assert described.brains is None and not described.is_sample


def test_sample_is_recognised(tmp_path):
    (tmp_path / "3DBall_Data").mkdir()
    (tmp_path / "3DBall_Data/sample_env.json").write_text('{"scene": "3DBall", "protocol": "API-11"}')
    (tmp_path / "3DBall.x86_64").write_text("#!/usr/bin/env python3\n")
    report = unity_build.check(tmp_path)
    assert report.ok and report.build.is_sample
    assert report.build.brains == ("3DBall",)
    assert [finding.level for finding in report.findings] == ["note"]


def test_real_sample_is_recognised(tmp_path):
    sample_env = pytest.importorskip("sample_env")
    sample_env.make_sample_build(tmp_path / "unity-volume")
    report = unity_build.check(tmp_path / "unity-volume")
    assert report.ok and report.build.is_sample and report.build.protocol == "API-11"
    assert report.build.brains == ("3DBall",)


@pytest.mark.parametrize(
    "marker", ["", "{", "[]", "3", '{"scene": "3DBall"}', '{"protocol": "API-12", "scene": "x"}', "\xff"]
)
def test_damaged_sample_is_refused(tmp_path, marker):
    (tmp_path / "3DBall_Data").mkdir()
    (tmp_path / "3DBall_Data/sample_env.json").write_bytes(marker.encode("latin-1"))
    (tmp_path / "3DBall.x86_64").write_text("#!/usr/bin/env python3\n")
    assert not unity_build.check(tmp_path).ok


def test_other_files_are_listed(build):
    for path, content in {
        "trainer_config.yaml": "default:\n  trainer: ppo\n",
        "sampler.yaml": "resampling-interval: 5000\nmass:\n  sampler-type: uniform\n",
        "curricula/3DBall.json": '{"measure": "progress", "thresholds": [0.1]}',
        "demos/Expert.demo": "x",
        "models/ppo-0/3DBall.nn": "x",
        "notes.txt": "x",
        "README.md": "left out",
        ".gitignore": "left out",
        "strange.bin": "x",
    }.items():
        (build / path).parent.mkdir(parents=True, exist_ok=True)
        (build / path).write_text(content)
    report = unity_build.check(build)
    assert [(other.kind, other.path) for other in report.others] == [
        ("curriculum", "curricula"),
        ("demonstration", "demos/Expert.demo"),
        ("model", "models/ppo-0/3DBall.nn"),
        ("sampler", "sampler.yaml"),
        ("text", "notes.txt"),
        ("trainer config", "trainer_config.yaml"),
        ("unknown", "strange.bin"),
    ]
    assert report.ok


def test_lost_executable_bit_is_a_note(build):
    (build / "Game.x86_64").chmod(0o644)
    report = unity_build.check(build)
    assert report.ok and [finding.what for finding in report.findings] == ["The executable bit is not set."]
    assert stat.S_IMODE((build / "Game.x86_64").stat().st_mode) == 0o644  # a check changes nothing


@pytest.mark.skipif((sys.platform, platform.machine()) != ("linux", "x86_64"), reason="runs a Linux x86-64 program")
@pytest.mark.parametrize("kind", ["monolithic", "server"])
def test_the_test_executables_really_run(formats, tmp_path, kind):
    formats.write(tmp_path, kind)
    assert subprocess.run([tmp_path / "Game.x86_64"]).returncode == formats.EXIT_CODE


@pytest.mark.parametrize(("protocol", "release"), [("API-10", "0.10"), ("API-12", "0.12"), ("API-1", "0.1")])
def test_another_protocol_is_reported_with_its_release(formats, build, protocol, release):
    (build / "Game_Data/Managed/Assembly-CSharp.dll").write_bytes(formats.dll("11", protocol, "1"))
    report = unity_build.check(build)
    assert report.build.protocol == protocol
    assert len(report.errors) == 1 and f"speaks {protocol} (ML-Agents {release});" in report.errors[0].what


def test_protocol_of_later_packages_is_reported(formats, build):
    managed = build / "Game_Data/Managed"
    (managed / "Assembly-CSharp.dll").write_bytes(formats.dll("game"))
    (managed / "Unity.ML-Agents.dll").write_bytes(formats.dll("1.0.0"))
    report = unity_build.check(build)
    assert report.ok and report.build.protocol == "1.0.0" and "ML-Agents 1.0 or later" in report.warnings[0].what
    (managed / "Unity.ML-Agents.dll").write_bytes(formats.dll("API-15-dev0"))
    assert "a development version of ML-Agents 0.15" in unity_build.check(build).errors[0].what
    (managed / "Unity.ML-Agents.dll").write_bytes(formats.dll("2.0.0-pre.3"))  # the number is elsewhere
    report = unity_build.check(build)
    assert report.build.protocol is None and report.ok and report.trainer == "1.1.0"
    (managed / "Unity.ML-Agents.dll").write_bytes(formats.dll("nothing"))
    report = unity_build.check(build)
    assert report.build.protocol is None
    assert "speaks another protocol (ML-Agents 0.14 or later)" in report.errors[0].what


PACKAGES = [
    ("1.0.0", "1.0.8"),
    ("1.3.0", "1.7.2-preview"),
    ("1.5.0", "1.9.1-preview"),
    ("1.5.0", "2.0.1"),
    ("1.5.0", "2.3.0-exp.3"),
    ("1.5.0", "3.0.0-exp.1"),
    ("1.5.0", "4.0.0"),
]


@pytest.mark.parametrize("il2cpp", [None, 24, 31, 35, 39])
@pytest.mark.parametrize(("number", "package"), PACKAGES)
def test_builds_of_the_package_are_ready_for_the_trainer_of_today(formats, tmp_path, number, package, il2cpp):
    formats.write(tmp_path, "il2cpp" if il2cpp else "stub")
    formats.package(tmp_path, number, package, il2cpp=il2cpp)
    report = unity_build.check(tmp_path)
    assert report.ok and report.trainer == report.build.trainer == "1.1.0"
    assert dict(report.facts)["ML-Agents protocol"] == f"{number}, package {package}"
    verdict = (
        f"The build is ready to train with ML-Agents 1.1.0, because it speaks protocol {number} (package {package})."
    )
    old = package.startswith("1.")
    assert report.verdict == verdict + " Read the warning first." * old
    assert [finding.what for finding in report.warnings] == old * [
        f"The build is of ML-Agents package {package}, with which Unity can't run the trained model."
    ]


def test_builds_without_a_package_are_trained_by_the_default(build, tmp_path):
    assert unity_build.check(build).trainer == unity_build.check(tmp_path / "absent").trainer == "0.11.0"
    assert unity_build.check(build).verdict == "The build is ready to train."


@pytest.mark.parametrize(
    ("number", "package"), [("2.0.0", "5.0.0"), ("0.15.0", "0.15.1-preview"), ("API-14", "0.14.1")]
)
def test_the_protocol_is_the_first_error_and_what_follows_from_it_the_last(formats, build, number, package):
    formats.package(build, number, package)
    managed = build / "Game_Data/Managed"
    for path in (*managed.glob("Google.Protobuf*.dll"), build / "Game_Data" / formats.GRPC):
        path.unlink()
    first, *others = unity_build.check(build).errors
    assert first.what == (
        f"The build speaks {number} (ML-Agents package {package}); "
        "the trainer 0.11.0 speaks API-11 and the trainer 1.1.0 speaks 1.5.0."
    )
    assert [error.what for error in others] == [
        "Google.Protobuf.dll is missing, and no Google.Protobuf_Packed.dll lies there.",
        "Expected libgrpc_csharp_ext.x64.so below Game_Data/Plugins/, found none.",
    ]


@pytest.mark.parametrize("backend", ["Mono", "IL2CPP"])
def test_grpc_net_needs_no_native_library(formats, tmp_path, backend):
    formats.write(tmp_path, "il2cpp" if backend == "IL2CPP" else "stub")
    formats.package(tmp_path, "1.5.0", "4.0.0", il2cpp=31 if backend == "IL2CPP" else None)
    (tmp_path / "Game_Data" / formats.GRPC).unlink()
    assert [error.path for error in unity_build.check(tmp_path).errors] == ["Game_Data/Plugins"]
    if backend == "IL2CPP":
        with (tmp_path / "Game_Data/il2cpp_data/Metadata/global-metadata.dat").open("ab") as metadata:
            metadata.write(b"Grpc.Net.Client\0")
    else:
        managed = tmp_path / "Game_Data/Managed"
        (managed / "Grpc.Core.dll").rename(managed / "Grpc.Net.Client.dll")
    assert unity_build.check(tmp_path).ok


@pytest.mark.parametrize("backend", ["Mono", "IL2CPP"])
@pytest.mark.parametrize(
    ("number", "package", "named"),
    [
        ("API-12", "", "ML-Agents 0.12"),
        ("API-13", "", "ML-Agents 0.13"),
        ("API-14", "0.14.1-preview", "ML-Agents package 0.14.1-preview"),
        ("0.15.0", "0.15.0-preview", "ML-Agents package 0.15.0-preview"),
        ("0.15.0", "0.15.1-preview", "ML-Agents package 0.15.1-preview"),
        ("1.0.0", "1.0.0-preview", ""),
        ("1.0.0", "1.0.5", ""),
        ("1.4.0", "1.8.1-preview", ""),
        ("1.5.0", "2.3.0-exp.3", ""),
        ("1.5.0", "4.0.0", ""),
    ],
)
def test_the_release_is_read_from_the_strings_of_academy_cs(formats, tmp_path, backend, number, package, named):
    """Literals are in the order of the releases' sources; a game has versions of its own before and after them."""
    literals = [number, package, "AcademySingleton"] if package else ["Step", number]
    if package >= "1.0.3":
        labelled = ["communication_protocol_version", number, "com.unity.ml-agents_version", package]
        literals = [*labelled, "--mlagents-port", "AcademySingleton"]
    game = ["2.7.1", "a game's 3.2.1", *literals, "9.9.9"]
    build = formats.write(tmp_path / "build", "il2cpp" if backend == "IL2CPP" else "monolithic")
    if backend == "IL2CPP":
        (build / "Game_Data/il2cpp_data/Metadata/global-metadata.dat").write_bytes(formats.metadata(*game))
    else:
        own = build / "Game_Data/Managed/Assembly-CSharp.dll"
        own.write_bytes(formats.dll(*(game if not package else ["2.7.1"])))
        if package:
            own.with_name("Unity.ML-Agents.dll").write_bytes(formats.dll("Analytics", *literals, "Reset"))
    report = unity_build.check(build)
    assert (report.build.protocol, report.build.package) == (number, package)
    assert [error.what.partition(";")[0] for error in report.errors] == [f"The build speaks {number} ({named})"] * bool(
        named
    )


def test_protocol_in_a_separate_assembly(formats, build):
    managed = build / "Game_Data/Managed"
    (managed / "Assembly-CSharp.dll").unlink()
    (managed / "MyGame.dll").write_bytes(formats.dll("API-11"))  # an .asmdef of the reader's
    report = unity_build.check(build)
    assert report.ok and report.build.protocol == "API-11"


def test_missing_protocol(formats, build):
    (build / "Game_Data/Managed/Assembly-CSharp.dll").write_bytes(formats.dll("game"))
    report = unity_build.check(build)
    assert report.build.protocol is None and "No ML-Agents protocol version" in report.errors[0].what


def test_il2cpp_literals_are_separated(formats, tmp_path):
    formats.write(tmp_path, "il2cpp")
    path = tmp_path / "Game_Data/il2cpp_data/Metadata/global-metadata.dat"
    path.write_bytes(formats.metadata("x", "API-1", "1"))  # end to end they read API-11
    assert unity_build.check(tmp_path).build.protocol == "API-1"
    path.write_bytes(path.read_bytes()[:-1])
    assert "global-metadata.dat is truncated" in unity_build.check(tmp_path).errors[0].what
