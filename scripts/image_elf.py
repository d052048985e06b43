"""Of an ELF file, what its loader goes by: interpreter, needed libraries, names."""

import dataclasses
import pathlib
import struct

# e_machine: what images call it, and the folder of its libraries on Debian.
MACHINES = {62: ("amd64", "x86_64-linux-gnu"), 183: ("arm64", "aarch64-linux-gnu")}

PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
DT_NEEDED, DT_STRTAB, DT_SONAME, DT_RPATH, DT_RUNPATH = 1, 5, 14, 15, 29


class NotElf(ValueError):
    """No ELF file, or one that this does not read."""


@dataclasses.dataclass(frozen=True)
class Elf:
    architecture: str
    triplet: str
    interpreter: str | None
    needed: tuple[str, ...]
    soname: str | None
    runpath: str | None


def read(data):
    """The parts of a little-endian ELF file of 64 bits."""
    if data[:4] != b"\x7fELF":
        raise NotElf("is no ELF file")
    if data[4:6] != b"\x02\x01":
        raise NotElf("is not of 64 bits and little-endian")
    try:
        return _read(data)
    except (struct.error, IndexError, ValueError) as error:
        raise NotElf(f"is damaged: {error}") from error


def _read(data):
    (machine,) = struct.unpack_from("<H", data, 18)
    if machine not in MACHINES:
        raise NotElf(f"is for machine {machine}, which is not known here")
    (table,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    loads, dynamic, interpreter = [], [], None
    for n in range(count):
        kind, _, offset, address, _, length = struct.unpack_from("<IIQQQQ", data, table + n * size)
        if kind == PT_LOAD:
            loads.append((address, offset, length))
        elif kind == PT_INTERP:
            interpreter = _text(data, offset)
        elif kind == PT_DYNAMIC:
            dynamic = list(struct.iter_unpack("<QQ", data[offset : offset + length // 16 * 16]))
    # A tag of zero ends the table.
    ends = [n for n, (tag, _) in enumerate(dynamic) if tag == 0]
    dynamic = dynamic[: ends[0]] if ends else dynamic
    strings = [_offset(loads, value) for tag, value in dynamic if tag == DT_STRTAB]

    def texts(*tags):
        return tuple(_text(data, strings[0] + value) for tag, value in dynamic if tag in tags)

    first = lambda found: found[0] if found else None
    return Elf(
        *MACHINES[machine],
        interpreter=interpreter,
        needed=texts(DT_NEEDED),
        soname=first(texts(DT_SONAME)),
        runpath=first(texts(DT_RPATH, DT_RUNPATH)),
    )


def _offset(loads, address):
    """Where in the file is what is loaded at an address."""
    for start, offset, length in loads:
        if start <= address < start + length:
            return address - start + offset
    raise NotElf(f"is damaged: nothing is loaded at {address:#x}")


def _text(data, offset):
    return data[offset : data.index(b"\0", offset)].decode("ascii")


def folders(triplet):
    """Where a loader looks by itself, without the cache of a whole system."""
    return [f"/usr/lib/{triplet}", f"/lib/{triplet}", "/usr/lib64", "/lib64", "/usr/lib", "/lib"]


class Missing(Exception):
    """A library that is nowhere."""


def closure(program, find):
    """Every library that a program needs, as {path: data}, its loader included.

    `find(path)` returns the data of a file, or None. What is loaded without being named
    anywhere is the caller's to add.
    """
    start = read(program)
    if start.interpreter is None:
        # glibc resolves names by loading libraries, which such a program cannot do reliably.
        raise Missing("the program is linked statically: it would not resolve names")
    loader = find(start.interpreter)
    if loader is None:
        raise Missing(f"{start.interpreter}, the loader, is not there")
    found = {start.interpreter: loader}
    names = {pathlib.PurePosixPath(start.interpreter).name}
    waiting = [("the program", start)]
    while waiting:
        who, elf = waiting.pop()
        if elf.runpath:
            raise Missing(f"{who} looks for libraries in {elf.runpath}, which is not followed")
        for name in elf.needed:
            if name in names:
                continue
            names.add(name)
            path, data = locate(name, start, find)
            if data is None:
                raise Missing(f"{name}, which {who} needs, is not there")
            found[path] = data
            waiting.append((name, read(data)))
    return found


def locate(name, like, find):
    """The path and data of a library for the same machine as `like`; without it, Nones."""
    for folder in folders(like.triplet):
        path = f"{folder}/{name}"
        data = find(path)
        try:
            if data is not None and read(data).architecture == like.architecture:
                return path, data
        except NotElf:
            pass  # a linker's script, or a library for another machine
    return None, None
