"""Unity builds made by code: each layout with files of the real formats, small enough to make in a millisecond."""

import struct
from pathlib import Path

import pytest

GRPC = "Plugins/x86_64/libgrpc_csharp_ext.x64.so"
LOADER = "/lib64/ld-linux-x86-64.so.2"
EXIT_CODE = 7  # of the program in every executable


def elf(kind="ET_EXEC", needs=(), runpath="", loader=LOADER, machine=62, padding=0):
    """Bytes of an x86-64 ELF file that the system really loads; as a program it exits with EXIT_CODE."""
    code = b"\xb8\x3c\x00\x00\x00\xbf" + struct.pack("<I", EXIT_CODE) + b"\x0f\x05"  # exit(EXIT_CODE)
    names = b"\0" + b"".join(name.encode() + b"\0" for name in (*needs, runpath))
    base = 0x400000 if kind == "ET_EXEC" else 0
    interp = loader.encode() + b"\0" if loader else b""
    headers = 4 if loader else 2
    at = 64 + 56 * headers
    place = {}
    body = b""
    for name, data in {
        "interp": interp,
        "code": code,
        "strings": names,
        "symbols": bytes(24),
        "hash": struct.pack("<4I", 1, 1, 0, 0),
    }.items():
        body += b"\0" * (-(at + len(body)) % 8)
        place[name] = (at + len(body), len(data))
        body += data
    tags = [(1, names.index(name.encode() + b"\0")) for name in needs]  # DT_NEEDED
    tags += [(29, names.index(runpath.encode() + b"\0"))] if runpath else []  # DT_RUNPATH
    tags += [(5, base + place["strings"][0]), (10, len(names)), (6, base + place["symbols"][0]), (11, 24)]
    tags += [(4, base + place["hash"][0]), (0, 0)]
    dynamic = b"".join(struct.pack("<2Q", *tag) for tag in tags)
    body += b"\0" * (-(at + len(body)) % 16)
    place["dynamic"] = (at + len(body), len(dynamic))
    body += dynamic + bytes(padding)
    end = at + len(body)

    def segment(what, flags, start, size):
        return struct.pack(
            "<2I6Q", what, flags, start, base + start, base + start, size, size, 0x1000 if what == 1 else 8
        )

    # Without PT_PHDR the loader can't tell where a program that may lie anywhere was put.
    table = segment(6, 4, 64, 56 * headers) + segment(3, 4, *place["interp"]) if loader else b""
    table += segment(1, 7, 0, end) + segment(2, 6, *place["dynamic"])
    shnames = b"\0.text\0.dynstr\0.dynamic\0.shstrtab\0"
    sections_at = end + len(shnames) + (-(end + len(shnames)) % 8)

    def section(name, what, start, size, link=0, entry=0):
        offset = shnames.index(name) + (1 if name != b"\0" else 0)
        return struct.pack("<2I4Q2I2Q", offset, what, 2, base + start, start, size, link, 0, 8, entry)

    sections = bytes(64)
    sections += section(b"\0.text", 1, *place["code"])
    sections += section(b"\0.dynstr", 3, *place["strings"])
    sections += section(b"\0.dynamic", 6, *place["dynamic"], link=2, entry=16)
    sections += section(b"\0.shstrtab", 3, end, len(shnames))
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<2HI", {"ET_EXEC": 2, "ET_DYN": 3}[kind], machine, 1)
    head += struct.pack("<3QI", base + place["code"][0], 64, sections_at, 0)
    head += struct.pack("<6H", 64, 56, headers, 64, 5, 4)
    return head + table + body + shnames + b"\0" * (sections_at - end - len(shnames)) + sections


def library(needs=(), **more):
    """Bytes of a shared library."""
    return elf("ET_DYN", needs, loader="", **more)


def dll(*strings):
    """Bytes of a .NET assembly (a PE file with one section) that holds some string literals."""
    literals = b"".join(bytes([2 * len(text) + 1]) + text.encode("utf-16-le") + b"\0" for text in strings)
    data = b"#US\0" + literals
    data += b"\0" * (-len(data) % 512)
    head = b"MZ" + bytes(58) + struct.pack("<I", 0x80) + bytes(64)
    head += struct.pack("<4s2H3I2H", b"PE\0\0", 0x14C, 1, 0, 0, 0, 0xE0, 0x2102) + bytes(0xE0)
    head += struct.pack("<8s6I2HI", b".text", len(data), 0x2000, len(data), 512, 0, 0, 0, 0, 0x60000020)
    return head + bytes(512 - len(head)) + data


def metadata(*strings, version=24):
    """Bytes of an IL2CPP global-metadata.dat that holds some string literals, end to end.

    From version 35 on (Unity 6) the table has no lengths, from 38 on the header has counts.
    """
    table, texts = b"", b""
    for text in strings:
        table += struct.pack("<I", len(text.encode())) * (version < 35) + struct.pack("<I", len(texts))
        texts += text.encode()
    places = [(256, len(table)), (256 + len(table), len(texts))]
    counts = [struct.pack("<I", len(strings)) if version >= 38 else b""] * 2
    head = struct.pack("<Ii", 0xFAB11BAF, version)
    head += b"".join(struct.pack("<2I", *place) + count for place, count in zip(places, counts, strict=True))
    return head + bytes(256 - len(head)) + table + texts


def game_managers(version="2018.4.8f1"):
    """Beginning of a globalgamemanagers file."""
    return struct.pack(">4I", 4000, 40000, 17, 4096) + bytes(4) + version.encode() + b"\0" + bytes(100)


COMMON = {
    "boot.config": b"gfx-enable-gfx-jobs=1\nwait-for-native-debugger=0\n",
    "Resources/unity default resources": b"resources",
    "Resources/unity_builtin_extra": b"extra",
    GRPC: library(("libc.so.6",)),
}
LOOSE = {
    "globalgamemanagers": game_managers(),
    "globalgamemanagers.assets": b"assets",
    "level0": b"level",
    "resources.assets": b"assets",
    "sharedassets0.assets": b"assets",
}
MONO = {
    "Managed/Assembly-CSharp.dll": dll("Step", "API-11", "Reset"),
    "Managed/mscorlib.dll": dll("x"),
    "Managed/UnityEngine.dll": dll("x"),
    "Managed/UnityEngine.CoreModule.dll": dll("x"),
    "Managed/Google.Protobuf.dll": dll("x"),
    "Managed/Grpc.Core.dll": dll("x"),
    "MonoBleedingEdge/x86_64/libmonobdwgc-2.0.so": library(),
    "MonoBleedingEdge/x86_64/libMonoPosixHelper.so": library(),
    "MonoBleedingEdge/etc/mono/config": b"<configuration/>",
}


def layout(kind):
    """Files of a build: those beside the executable, and those in its data folder."""
    stub = elf("ET_DYN", ("UnityPlayer.so", "libc.so.6"), "$ORIGIN")
    player = {"UnityPlayer.so": library(("libc.so.6",))}
    if kind == "monolithic":
        return {".x86_64": elf(needs=("libc.so.6",))}, COMMON | LOOSE | MONO
    if kind == "stub":
        return {".x86_64": stub} | player, COMMON | LOOSE | MONO
    if kind == "il2cpp":
        code = {"il2cpp_data/Metadata/global-metadata.dat": metadata("API", "-1", "API-11", "9")}
        return {".x86_64": stub, "GameAssembly.so": library()} | player, COMMON | LOOSE | code
    if kind == "server":
        return {".x86_64": elf("ET_DYN", ("libc.so.6",))}, COMMON | LOOSE | MONO | {"boot.config": b"headless=1\n"}
    if kind == "packed":
        packed = {"data.unity3d": b"UnityFS\0" + struct.pack(">I", 6) + b"5.x.x\0" + b"2019.4.1f1\0" + bytes(99)}
        return {".x86_64": stub} | player, COMMON | packed | MONO
    raise ValueError(kind)


def package(build, number, version, *, il2cpp=None):
    """Make a written build one of com.unity.ml-agents; `il2cpp` is the version of its metadata."""
    literals = ["communication_protocol_version", number, "com.unity.ml-agents_version", version, "AcademySingleton"]
    if il2cpp:
        code = metadata("Grpc", *literals, "Reset", version=il2cpp)
        (build / "Game_Data/il2cpp_data/Metadata/global-metadata.dat").write_bytes(code)
        return
    managed = build / "Game_Data/Managed"
    (managed / "Assembly-CSharp.dll").write_bytes(dll("game"))
    (managed / "Unity.ML-Agents.dll").write_bytes(dll("Analytics", *literals, "Reset"))
    if version >= "3":
        (managed / "Google.Protobuf.dll").rename(managed / "Google.Protobuf_Packed.dll")


LAYOUTS = ("monolithic", "stub", "il2cpp", "server", "packed")


def write(folder: Path, kind="monolithic", name="Game") -> Path:
    """Write a build into a folder."""
    beside, inside = layout(kind)
    files = {name + file if file.startswith(".") else file: data for file, data in beside.items()}
    files |= {f"{name}_Data/{file}": data for file, data in inside.items()}
    for file, data in files.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (folder / f"{name}.x86_64").chmod(0o755)
    return folder


class Formats:
    """What tests write single files with (a test module can't import from a conftest)."""

    elf, library, dll, metadata, game_managers = map(staticmethod, (elf, library, dll, metadata, game_managers))
    write, package = staticmethod(write), staticmethod(package)
    LAYOUTS, GRPC, EXIT_CODE = LAYOUTS, GRPC, EXIT_CODE


@pytest.fixture(scope="session")
def formats():
    return Formats


@pytest.fixture
def build(tmp_path):
    """A good monolithic build, to be damaged."""
    return write(tmp_path / "unity-volume")
