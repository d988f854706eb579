"""Linux programs and libraries (ELF): what a file is, and whether it is complete."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.segments import InterpSegment

LOADER = "/lib64/ld-linux-x86-64.so.2"

_NOT_ELF = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
    (b"MZ", "a Windows file"),
    (b"\xcf\xfa\xed\xfe", "a macOS file"),
    (b"\xca\xfe\xba\xbe", "a macOS file"),
    (b"#!", "a script"),
    (b"PK\x03\x04", "a zip archive"),
)


MAX_READ = 16_000_000  # bytes, each read counted as at least 16; a library of 100 MB needs 1,000,000


class _Bounded:
    """A file with a limit on the bytes read, because a damaged header may describe endless parts."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream, self.left = stream, MAX_READ

    def read(self, count: int = -1) -> bytes:
        content = self.stream.read(count if 0 <= count <= self.left else self.left + 1)
        self.left -= max(len(content), 16)
        if self.left < 0:
            raise BrokenElfError("damaged (its headers name more than a program has)")
        return content

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class BrokenElfError(ValueError):
    """The file is not a complete x86-64 ELF file; the message completes the sentence "it is …"."""


@dataclass(frozen=True)
class Elf:
    """The headers of a complete x86-64 ELF file.

    Parameters
    ----------
    kind
        ``ET_EXEC`` or ``ET_DYN`` (libraries and position-independent programs).
    loader
        The program that loads it; empty for a library.
    needs
        Names of the libraries that it needs to start (DT_NEEDED).
    looks_in
        Folders in which they are searched for, besides the system's (DT_RUNPATH, DT_RPATH).
    """

    kind: str
    loader: str
    needs: tuple[str, ...]
    looks_in: tuple[str, ...]


def read_elf(path: Path) -> Elf:
    """Read the headers of a program or library.

    Only headers are read, so that a large engine costs no time. A file is truncated if a part that the headers describe
    lies beyond its end.

    Raises
    ------
    BrokenElfError
        If it is something else, made for another processor, truncated or damaged.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            head = stream.read(64)
            if not head.startswith(b"\x7fELF"):
                raise BrokenElfError(_other_format(head))
            stream.seek(0)
            return _read(_Bounded(stream), size)
    except BrokenElfError:
        raise
    except OSError as error:
        raise BrokenElfError(f"not readable ({error.strerror})") from error
    except Exception as error:  # a damaged file makes the library raise nearly anything
        raise BrokenElfError(f"truncated or damaged (its ELF headers can't be read: {type(error).__name__})") from error


def _other_format(head: bytes) -> str:
    if not head.strip(b"\0"):
        return "empty" if not head else "filled with zeros"
    return next((name for magic, name in _NOT_ELF if head.startswith(magic)), "not an ELF file")


def _read(stream, size: int) -> Elf:
    elf = ELFFile(stream)
    header = elf.header
    if elf.elfclass != 64 or header.e_machine != "EM_X86_64" or not elf.little_endian:
        raise BrokenElfError(f"made for another processor ({elf.elfclass}-bit {header.e_machine}, not x86-64)")
    if header.e_type not in ("ET_EXEC", "ET_DYN"):
        raise BrokenElfError(f"neither program nor library ({header.e_type})")
    sizes = (header.e_ehsize, header.e_phentsize, header.e_shentsize if header.e_shnum else 64, header.e_version)
    if sizes != (64, 56, 64, "EV_CURRENT") or header.e_ident["EI_VERSION"] != "EV_CURRENT":
        raise BrokenElfError("damaged (its ELF header contradicts itself)")

    segments = list(elf.iter_segments())
    ends = [header.e_phoff + 56 * header.e_phnum, header.e_shoff + 64 * header.e_shnum]
    ends += [segment["p_offset"] + segment["p_filesz"] for segment in segments]
    ends += [part["sh_offset"] + part["sh_size"] for part in elf.iter_sections() if part["sh_type"] != "SHT_NOBITS"]
    if max(ends) > size:
        raise BrokenElfError(f"truncated: {size:,} bytes are left of at least {max(ends):,}")

    # A file whose copying stopped may have its full length, but zeros at its end, where this table is.
    if header.e_shnum and elf.get_section(header.e_shstrndx)["sh_type"] != "SHT_STRTAB":
        raise BrokenElfError("damaged (its section table is missing)")
    kinds = {segment["p_type"] for segment in segments}
    if not {"PT_LOAD", "PT_DYNAMIC"} <= kinds:
        raise BrokenElfError("damaged (it has no loadable segment)")
    needs, looks_in, loader, tags = [], [], "", set()
    for segment in segments:
        if isinstance(segment, InterpSegment):
            loader = segment.get_interp_name()
        elif isinstance(segment, DynamicSegment):
            # The list ends with DT_NULL; in a damaged file it may never end.
            for tag in islice(segment.iter_tags(), 10_000):
                tags.add(tag.entry.d_tag)
                if tag.entry.d_tag == "DT_NEEDED":
                    needs.append(tag.needed)
                elif tag.entry.d_tag in ("DT_RUNPATH", "DT_RPATH"):
                    looks_in += (tag.runpath if tag.entry.d_tag == "DT_RUNPATH" else tag.rpath).split(":")
    if not {"DT_STRTAB", "DT_SYMTAB", "DT_NULL"} <= tags:
        raise BrokenElfError("damaged (its dynamic section can't be read)")
    return Elf(header.e_type, loader, tuple(needs), tuple(looks_in))
