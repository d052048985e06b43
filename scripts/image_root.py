"""The root filesystem of the image: the entries that image/files.toml lists."""

import dataclasses
import glob
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import tomllib

import image_elf

DOCS = "/usr/share/doc"


class Failed(Exception):
    """What cannot be built, and why."""


@dataclasses.dataclass(frozen=True)
class Entry:
    path: str
    mode: int
    owner: int = 0
    data: bytes | None = None  # None: a folder


@dataclasses.dataclass
class Root:
    """What changes seldom, and what every build changes: a layer each."""

    base: list
    program: list
    architecture: str
    packages: list  # Debian packages of what was copied

    def entries(self):
        return self.base + self.program


def read_list(path):
    return tomllib.loads(pathlib.Path(path).read_text(encoding="utf-8"))


def stripped(program):
    """The program without what only debuggers read, which is three quarters of it."""
    if not shutil.which("strip"):
        raise Failed("strip is missing: install binutils")
    with tempfile.TemporaryDirectory() as temp:
        out = pathlib.Path(temp) / "program"
        command = ["strip", "--strip-debug", "-o", str(out), str(program)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"strip {program}: {done.stderr.strip()}")
        return out.read_bytes()


def build(spec, program, project):
    """The image's files around a program, given as bytes."""
    image = spec["image"]
    copied = set()
    try:
        libraries = image_elf.closure(program, on_this_system)
        libraries |= loaded_unnamed(libraries, spec["libraries"], program)
    except (image_elf.Missing, image_elf.NotElf) as error:
        raise Failed(str(error)) from error
    elf = image_elf.read(program)
    base = [Entry(f["path"], f.get("mode", 0o755), f.get("owner", 0)) for f in spec.get("folder", [])]
    for path, data in libraries.items():
        base.append(Entry(path, 0o755 if path == elf.interpreter else 0o644, data=data))
        copied.add(path)
    for file in spec.get("file", []):
        data, origin = content(file, project)
        base.append(Entry(file["path"], 0o644, data=data))
        copied |= origin
    packages = packages_of(sorted(copied))
    for package in packages:
        path = f"{DOCS}/{package['name']}/copyright"
        base.append(Entry(path, 0o644, data=must_read(path)))
    top = [Entry(image["program"], 0o755, data=program)]
    return Root(complete(base), complete(top), elf.architecture, packages)


def on_this_system(path):
    try:
        return pathlib.Path(path).read_bytes()
    except OSError:
        return None


def must_read(path):
    data = on_this_system(path)
    if data is None:
        raise Failed(f"{path} cannot be read")
    return data


def glibc(libraries):
    """The version of the GNU C library among them, as (2, 36); None where there is none."""
    for path, data in libraries.items():
        said = re.search(rb"GNU C Library [^\n]*version (\d+)\.(\d+)", data)
        if path.endswith("/libc.so.6") and said:
            return int(said[1]), int(said[2])
    return None


def loaded_unnamed(libraries, spec, program):
    """What an old C library loads when it first resolves a name."""
    version = glibc(libraries)
    if version is None or version >= tuple(map(int, spec["glibc_before"].split("."))):
        return {}
    found = {}
    for name in spec["also"]:
        path, data = image_elf.locate(name, image_elf.read(program), on_this_system)
        if data is None:
            raise image_elf.Missing(f"{name}, with which this C library resolves names, is not there")
        found[path] = data
    return found


def content(file, project):
    """The data of a listed file, and the files of this system that it comes from."""
    if "text" in file:
        return file["text"].lstrip("\n").encode(), set()
    if "from" in file:
        return must_read(project / file["from"]), set()
    parts = sorted(glob.glob(file["join"]))
    if not parts:
        raise Failed(f"{file['path']}: nothing is at {file['join']}")
    return b"".join(must_read(part).rstrip(b"\n") + b"\n" for part in parts), {parts[0]}


def packages_of(paths):
    """The Debian packages that files come from, by name."""
    if not shutil.which("dpkg-query"):
        raise Failed("dpkg is missing: build on a Debian system, or with image/Dockerfile")
    # Its database may know a library by the path from before /lib and /usr/lib became one.
    other = {path: path.removeprefix("/usr") for path in paths}
    asked = sorted({*paths, *other.values()})
    done = subprocess.run(["dpkg-query", "-S", *asked], capture_output=True, text=True)
    owner = {}
    for line in done.stdout.splitlines():
        names, _, path = line.rpartition(": ")
        owner[path] = names.split(", ")[0]
    without = [path for path in paths if path not in owner and other[path] not in owner]
    if without:
        raise Failed(f"no package has {', '.join(without)}: the list of what is inside would lie")
    names = sorted({owner.get(path) or owner[other[path]] for path in paths})
    form = "${Package}\t${Version}\t${Architecture}\t${source:Package}\n"
    command = ["dpkg-query", "-W", "-f", form, *names]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    keys = ("name", "version", "architecture", "source")
    return [dict(zip(keys, line.split("\t"))) for line in sorted(shown.splitlines())]


def complete(entries):
    """Sorted, each once, with the folders that they are in."""
    found = {}
    for entry in entries:
        if entry.path in found:
            raise Failed(f"{entry.path} is listed twice")
        found[entry.path] = entry
    for path in list(found):
        for parent in list(pathlib.PurePosixPath(path).parents)[:-1]:
            found.setdefault(str(parent), Entry(str(parent), 0o755))
    return [found[path] for path in sorted(found)]


def write(entries, into, epoch):
    """Writes them below a folder that is empty or not there yet."""
    into = pathlib.Path(into)
    into.mkdir(parents=True, exist_ok=True)
    if any(into.iterdir()):
        raise Failed(f"{into} is not empty")
    into.chmod(0o755)
    merged = {entry.path: entry for entry in entries}
    for path in sorted(merged):
        entry, at = merged[path], into / path.lstrip("/")
        if entry.data is None:
            at.mkdir()
        else:
            at.write_bytes(entry.data)
        # Only root can give files away; in a build of an image it is root who does this.
        if os.geteuid() == 0:
            os.chown(at, entry.owner, entry.owner)
        at.chmod(entry.mode)
    for path in sorted(merged, reverse=True):
        os.utime(into / path.lstrip("/"), (epoch, epoch))
