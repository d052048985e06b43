#!/usr/bin/env python3
"""Builds the container image without a daemon and without root, and checks it.

    scripts/image.py build --program target/dist/kudzu --out target/image
    scripts/image.py root --program target/dist/kudzu --into DIR
    scripts/image.py verify target/image/kudzu.tar

What is inside is listed in image/files.toml. Standard library only; needs strip, dpkg and
cargo.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tomllib

sys.dont_write_bytecode = True

import image_check
import image_oci
import image_root
import image_sbom
from image_root import Entry, Failed

PROJECT = pathlib.Path(__file__).resolve().parent.parent
LABEL = "org.opencontainers.image."


def git(*args):
    """What git says; None where there is no git or no repository."""
    try:
        done = subprocess.run(["git", *args], cwd=PROJECT, capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def epoch():
    """The time that everything in the image has: of the commit, not of the build."""
    said = os.environ.get("SOURCE_DATE_EPOCH") or git("log", "-1", "--format=%ct") or "0"
    if not said.isdigit():
        raise Failed(f"SOURCE_DATE_EPOCH: {said} is no number of seconds")
    return int(said)


def revision(program, words):
    """The commit that the program says it was built from."""
    command = [os.path.abspath(program), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        commit = json.loads(done.stdout)["commit"]
        if not isinstance(commit, str):
            raise ValueError(f"the commit is {commit!r}")
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
        raise Failed(f"{program} does not say its commit: {error}") from error
    if not re.fullmatch(r"[0-9a-f]{7,40}", commit):
        print(f"image: the program is of no commit: {commit}", file=sys.stderr)
    return commit


def about_package():
    """Version and licence of the program."""
    manifest = tomllib.loads((PROJECT / "Cargo.toml").read_text(encoding="utf-8"))
    package = manifest["workspace"]["package"]
    return package["version"], package["license"]


def labels(spec, program, source):
    version, licence = about_package()
    found = {
        "title": spec["image"]["title"],
        "description": spec["image"]["description"],
        "version": version,
        "revision": revision(program, spec["check"]["version"]),
        "created": image_oci.rfc3339(epoch()),
        "licenses": licence,
    }
    if source:
        found["source"] = source
    return {LABEL + key: value for key, value in found.items()}


def root_with_sbom(spec, path):
    """Every entry of the image, and the text of its bill of materials."""
    program = image_root.stripped(path)
    root = image_root.build(spec, program, PROJECT)
    version, licence = about_package()
    title = spec["image"]["title"]
    about = {"title": title, "version": version, "licence": licence, "epoch": epoch()}
    linked, built = image_sbom.crates(PROJECT)
    sums = image_sbom.checksums(PROJECT)
    bill = image_sbom.document(about, program, linked, built, sums, root.packages, image_sbom.system())
    text = image_oci.to_json(bill)
    inside = Entry(f"{image_root.DOCS}/{title}/{title}.spdx.json", 0o644, data=text)
    root.program = image_root.complete([*root.program, inside])
    return root, text


def whole_name(name, title, version):
    """A name with host and tag; without a host, tools would take it for one of a public place."""
    name = name or f"localhost/{title}:{version}"
    host, _, rest = name.partition("/")
    if not re.search(r"[.:]|^localhost$", host) or not re.search(r"[^/]:[\w][\w.-]*$", rest):
        raise Failed(f"{name}: write HOST/NAME:TAG, as in localhost/{title}:{version}")
    return name


def build(args):
    spec = image_root.read_list(args.list)
    title = spec["image"]["title"]
    name = whole_name(args.name, title, about_package()[0])
    root, bill = root_with_sbom(spec, args.program)
    about = {key: spec["image"][key] for key in ("user", "env", "ports")}
    about |= {"name": name, "architecture": root.architecture, "entrypoint": [spec["image"]["program"]]}
    layers = [("libraries and settings", root.base), ("program", root.program)]
    data, digest = image_oci.archive(layers, about, labels(spec, args.program, args.source), epoch())
    out = pathlib.Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    for file, content in ((f"{title}.spdx.json", bill), (f"{title}.tar", data)):
        # Whoever reads it meanwhile has the old one or the new one.
        partial = out / f"{file}.part"
        partial.write_bytes(content)
        partial.replace(out / file)
    unpacked = sum(len(entry.data) for entry in root.entries() if entry.data)
    print(f"{out / title}.tar: {name} {root.architecture}, {digest}")
    print(f"{len(data) / 1e6:.1f} MB packed, {unpacked / 1e6:.1f} MB unpacked")


def write_root(args):
    root, _ = root_with_sbom(image_root.read_list(args.list), args.program)
    image_root.write(root.entries(), args.into, epoch())


def verify(args):
    results = image_check.verify(args.archive, image_root.read_list(args.list))
    for result in results:
        print(result.line())
    failed = sum(result.state == "FAILED" for result in results)
    print(f"{len(results)} checks, {failed} failed")
    return 1 if failed else 0


def main(words=None):
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--list", default=PROJECT / "image" / "files.toml", help="what is in the image")
    commands = p.add_subparsers(dest="command", required=True)
    c = commands.add_parser("build", help="write an OCI archive, and the bill of materials beside it")
    c.add_argument("--program", required=True)
    c.add_argument("--out", required=True, help="the folder of both")
    c.add_argument("--name", help="HOST/NAME:TAG; without it localhost/kudzu:VERSION")
    c.add_argument("--source", help="URL of the sources, for the label")
    c.set_defaults(run=build)
    c = commands.add_parser("root", help="write the image's root filesystem as a folder")
    c.add_argument("--program", required=True)
    c.add_argument("--into", required=True, help="a folder that is empty or not there yet")
    c.set_defaults(run=write_root)
    c = commands.add_parser("verify", help="check an OCI archive; as root, run what is in it too")
    c.add_argument("archive")
    c.set_defaults(run=verify)
    args = p.parse_args(words)
    try:
        return args.run(args) or 0
    except (Failed, OSError) as error:
        print(f"image: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
