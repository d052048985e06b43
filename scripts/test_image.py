#!/usr/bin/env python3
"""Tests of scripts/image.py, with bash in place of kudzu: no build is needed.

    python3 scripts/test_image.py
"""

import contextlib
import dataclasses
import io
import json
import os
import pathlib
import re
import struct
import sys
import tarfile
import tempfile
import tomllib
import unittest
from unittest import mock

sys.dont_write_bytecode = True

import image
import image_archive
import image_check
import image_elf
import image_oci
import image_root
import image_sbom
from image_root import Entry, Failed

EPOCH = 1_700_000_000
COMMIT = "0123456789ab"
STAND_IN = pathlib.Path("/bin/bash")
PROGRAM = "/usr/bin/kudzu"
LABEL = image.LABEL
TREE = """kudzu-cli v0.1.0 (/somewhere/cli)|Apache-2.0
serde v1.0.228|MIT OR Apache-2.0
ring v0.17.14|Apache-2.0 AND ISC
old v0.9.0+1.1|MIT/Apache-2.0

serde v1.0.228|MIT OR Apache-2.0 (*)
bare v1.0.0|
"""


def spec_for_bash():
    spec = image_root.read_list(image.PROJECT / "image" / "files.toml")
    said = json.dumps({"version": image.about_package()[0], "commit": COMMIT})
    connect = "exec 3<>/dev/tcp/{name}/{port}"
    spec["check"] = {"version": ["-c", f"echo '{said}'"], "resolve": ["-c", connect]}
    return spec


@dataclasses.dataclass
class Parts:
    """What an archive is made of, for tests to break."""

    base: list
    program: list
    about: dict
    labels: dict

    def archive(self):
        layers = [("base", image_root.complete(self.base)), ("program", image_root.complete(self.program))]
        return image_oci.archive(layers, self.about, self.labels, EPOCH)[0]

    def change(self, path, **changes):
        """Changes a listed file or folder; it must be there."""
        for entries in (self.base, self.program):
            for n, entry in enumerate(entries):
                if entry.path == path:
                    entries[n] = dataclasses.replace(entry, **changes)
                    return
        raise KeyError(path)

    def drop(self, end):
        """Leaves out the one file whose path ends so."""
        (entry,) = [e for e in self.base + self.program if e.path.endswith(end)]
        (self.base if entry in self.base else self.program).remove(entry)


def good_parts(spec):
    program = STAND_IN.read_bytes()
    root = image_root.build(spec, program, image.PROJECT)
    version, licence = image.about_package()
    about = {"title": "kudzu", "version": version, "licence": licence, "epoch": EPOCH}
    linked = image_sbom.parse_tree(TREE)
    bill = image_sbom.document(about, program, linked, {}, {}, root.packages, image_sbom.system())
    root.program.append(Entry("/usr/share/doc/kudzu/kudzu.spdx.json", 0o644, data=image_oci.to_json(bill)))
    settings = {key: spec["image"][key] for key in ("user", "env", "ports")}
    settings |= {"name": "localhost/kudzu:test", "architecture": root.architecture}
    settings["entrypoint"] = [spec["image"]["program"]]
    labels = {image.LABEL + key: "some" for key in image_check.LABELS}
    labels |= {image.LABEL + "version": version, image.LABEL + "revision": COMMIT}
    labels[image.LABEL + "created"] = image_oci.rfc3339(EPOCH)
    return Parts(root.base, root.program, settings, labels)


class Case(unittest.TestCase):
    def setUp(self):
        self.temp = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))


class Elf(Case):
    def test_a_program_says_its_loader_and_libraries(self):
        elf = image_elf.read(STAND_IN.read_bytes())
        self.assertRegex(elf.interpreter, r"^/lib.*/ld-linux-.*\.so\.\d$")
        self.assertIn("libc.so.6", elf.needed)
        self.assertIsNone(elf.soname)

    def test_a_library_says_its_name(self):
        elf = image_elf.read(STAND_IN.read_bytes())
        path, data = image_elf.locate("libc.so.6", elf, image_root.on_this_system)
        self.assertEqual(image_elf.read(data).soname, "libc.so.6")
        self.assertTrue(path.endswith("/libc.so.6"))

    def test_needs_are_followed_to_their_end(self):
        found = image_elf.closure(STAND_IN.read_bytes(), image_root.on_this_system)
        names = {path.rpartition("/")[2] for path in found}
        for data in found.values():
            self.assertLessEqual(set(image_elf.read(data).needed), names)

    def test_what_cannot_be_read_says_why(self):
        whole = STAND_IN.read_bytes()
        other = bytearray(whole)
        struct.pack_into("<H", other, 18, 8)
        cases = {b"#!/bin/sh\n": "no ELF file", whole[:200]: "damaged", bytes(other): "machine 8"}
        cases[whole[:4] + b"\x01" + whole[5:]] = "64 bits"
        for data, why in cases.items():
            with self.assertRaisesRegex(image_elf.NotElf, why):
                image_elf.read(data)

    def test_a_missing_library_and_a_static_program_are_refused(self):
        program = STAND_IN.read_bytes()
        without = lambda path: None if path.endswith("/libc.so.6") else image_root.on_this_system(path)
        with self.assertRaisesRegex(image_elf.Missing, r"libc\.so\.6, which .* needs"):
            image_elf.closure(program, without)
        static = mock.Mock(interpreter=None)
        with mock.patch("image_elf.read", return_value=static):
            with self.assertRaisesRegex(image_elf.Missing, "statically"):
                image_elf.closure(program, image_root.on_this_system)

    def test_an_old_c_library_brings_what_it_loads_unnamed(self):
        program = STAND_IN.read_bytes()
        spec = {"glibc_before": "2.34", "also": ["libresolv.so.2"]}
        of = lambda version: {"/lib64/libc.so.6": b"GNU C Library (x) stable release version %s." % version}
        self.assertEqual(image_root.loaded_unnamed(of(b"2.36"), spec, program), {})
        self.assertEqual(image_root.loaded_unnamed({}, spec, program), {})
        (path,) = image_root.loaded_unnamed(of(b"2.31"), spec, program)
        self.assertTrue(path.endswith("/libresolv.so.2"))


class Building(Case):
    def test_two_builds_are_the_same_bytes(self):
        spec = spec_for_bash()
        first = good_parts(spec).archive()
        os.environ["TZ"] = "Asia/Tokyo"
        self.addCleanup(os.environ.pop, "TZ")
        self.assertTrue(first == good_parts(spec).archive())

    def test_the_order_of_entries_does_not_matter(self):
        entries = [Entry("/b/c", 0o644, data=b"1"), Entry("/a", 0o644, data=b"2")]
        tars = [image_oci.layer(image_root.complete(e), EPOCH) for e in (entries, entries[::-1])]
        self.assertEqual(tars[0], tars[1])
        with tarfile.open(fileobj=io.BytesIO(tars[0])) as tar:
            self.assertEqual(tar.getnames(), ["a", "b", "b/c"])
            self.assertEqual({(m.mtime, m.uid, m.uname) for m in tar}, {(EPOCH, 0, "")})

    def test_a_path_is_listed_once(self):
        with self.assertRaisesRegex(Failed, "twice"):
            image_root.complete([Entry("/a", 0o644, data=b""), Entry("/a", 0o644, data=b"")])

    def test_authorities_are_the_packages_alone(self):
        (file,) = [f for f in spec_for_bash()["file"] if "join" in f]
        data, origin = image_root.content(file, image.PROJECT)
        self.assertGreater(data.count(b"BEGIN CERTIFICATE"), 50)
        self.assertEqual(data.count(b"\n-----BEGIN"), data.count(b"BEGIN CERTIFICATE") - 1)
        self.assertEqual(image_root.packages_of(origin)[0]["name"], "ca-certificates")
        with self.assertRaisesRegex(Failed, "nothing is at"):
            image_root.content({"path": "/x", "join": str(self.temp / "*")}, image.PROJECT)

    def test_a_file_of_no_package_is_refused(self):
        with self.assertRaisesRegex(Failed, "no package has"):
            image_root.packages_of([str(self.temp / "libx.so")])

    def test_the_folder_has_the_files_of_the_archive(self):
        parts = good_parts(spec_for_bash())
        image_root.write(parts.base + parts.program, self.temp / "root", EPOCH)
        archive = self.temp / "a.tar"
        archive.write_bytes(parts.archive())
        for path, file in image_archive.Image(archive).files.items():
            at = self.temp / "root" / path.lstrip("/")
            self.assertEqual(at.stat().st_mode & 0o7777, file.mode, path)
            self.assertEqual(int(at.stat().st_mtime), EPOCH, path)
            if file.kind == "file":
                self.assertTrue(at.read_bytes() == file.data, path)
        with self.assertRaisesRegex(Failed, "not empty"):
            image_root.write(parts.base, self.temp / "root", EPOCH)

    def test_names_say_host_and_tag(self):
        self.assertRegex(image.whole_name(None, "kudzu", "1.2"), r"^localhost/kudzu:1\.2$")
        for name in ("host.example/team/kudzu:1", "host:5000/kudzu:1"):
            self.assertEqual(image.whole_name(name, "kudzu", "1"), name)
        for name in ("kudzu:1", "team/kudzu:1", "localhost/kudzu", "host:5000/kudzu"):
            with self.assertRaisesRegex(Failed, "HOST/NAME:TAG"):
                image.whole_name(name, "kudzu", "1")

    def test_the_revision_is_what_the_program_says(self):
        says = lambda text: image.revision(STAND_IN, ["-c", f"echo '{text}'"])
        with mock.patch("builtins.print") as printed:
            self.assertEqual(says(f'{{"commit": "{COMMIT}"}}'), COMMIT)
            printed.assert_not_called()
            self.assertEqual(says(f'{{"commit": "{COMMIT}-changed"}}'), f"{COMMIT}-changed")
            printed.assert_called_once()
        for wrong in ("", "{}", "[]", '{"commit": 1}'):
            with self.assertRaisesRegex(Failed, "does not say its commit"):
                says(wrong)

    def test_the_time_is_a_number(self):
        with mock.patch.dict(os.environ, SOURCE_DATE_EPOCH="17"):
            self.assertEqual(image.epoch(), 17)
        with mock.patch.dict(os.environ, SOURCE_DATE_EPOCH="today"), self.assertRaises(Failed):
            image.epoch()


class Materials(Case):
    def test_crates_are_read_with_their_licences(self):
        found = image_sbom.parse_tree(TREE)
        self.assertEqual(found["serde", "1.0.228"], "MIT OR Apache-2.0")
        self.assertEqual(found["old", "0.9.0+1.1"], "MIT OR Apache-2.0")
        self.assertEqual(found["bare", "1.0.0"], "NOASSERTION")
        self.assertEqual(len(found), 5)
        with self.assertRaisesRegex(Failed, "not understood"):
            image_sbom.parse_tree("error: something|")

    def test_sums_are_those_of_the_lock(self):
        sums = image_sbom.checksums(image.PROJECT)
        self.assertTrue(all(re.fullmatch("[0-9a-f]{64}", s) for s in sums.values()))
        self.assertNotIn("kudzu-cli", {name for name, _ in sums})

    def test_packages_and_relations(self):
        about = {"title": "kudzu", "version": "1", "licence": "Apache-2.0", "epoch": EPOCH}
        deb = {"name": "libc6", "version": "2.36-9+deb12u1", "architecture": "amd64", "source": "glibc"}
        linked, built = {("a", "1.0.0"): "MIT"}, {("cc", "1.2.0"): "MIT"}
        system = {"id": "debian", "version": "12"}
        make = lambda: image_sbom.document(about, b"p", linked, built, {("a", "1.0.0"): "ab"}, [deb], system)
        bill = make()
        self.assertEqual(bill, make())
        by_name = {p["name"]: p for p in bill["packages"]}
        where = by_name["libc6"]["externalRefs"][0]["referenceLocator"]
        self.assertEqual(where, "pkg:deb/debian/libc6@2.36-9%2Bdeb12u1?arch=amd64&distro=debian-12")
        self.assertEqual(by_name["a"]["checksums"][0]["checksumValue"], "ab")
        kinds = {(r["spdxElementId"], r["relationshipType"]) for r in bill["relationships"]}
        self.assertIn(("SPDXRef-crate-cc-1.2.0", "BUILD_DEPENDENCY_OF"), kinds)


class Dockerfile(Case):
    """It says again what the list says: both must say the same."""

    def setUp(self):
        self.text = (image.PROJECT / "image" / "Dockerfile").read_text()
        self.spec = image_root.read_list(image.PROJECT / "image" / "files.toml")["image"]

    def test_it_has_the_settings_of_the_list(self):
        user = self.spec["user"]
        lines = [f"USER {user}:{user}", f'ENTRYPOINT ["{self.spec["program"]}"]', "FROM scratch"]
        lines += [f"EXPOSE {port}" for port in self.spec["ports"]] + [f"ENV {e}" for e in self.spec["env"]]
        lines.append(f"ARG VERSION={image.about_package()[0]}")
        for line in lines:
            self.assertIn(line, self.text.splitlines())
        for label in image_check.LABELS:
            self.assertIn(f"{image.LABEL}{label}=", self.text)
        self.assertIn(self.spec["description"], self.text)

    def test_it_builds_with_the_same_rust(self):
        channel = tomllib.loads((image.PROJECT / "rust-toolchain.toml").read_text())["toolchain"]["channel"]
        self.assertIn(f"ARG RUST_IMAGE=rust:{channel}-slim-bookworm", self.text)

    def test_the_command_in_it_exists(self):
        command = re.search(r"scripts/image\.py (root .*)", self.text)[1].split()
        with mock.patch("image.write_root", return_value=0) as run:
            self.assertEqual(image.main(command), 0)
        self.assertEqual(run.call_args[0][0].into, "/image")
        self.assertIn("COPY --from=build /image /", self.text)


class Commands(Case):
    def test_build_then_verify(self):
        crates = (image_sbom.parse_tree(TREE), {})
        out = self.temp / "out"
        with (
            mock.patch("image_sbom.crates", return_value=crates),
            mock.patch("image.revision", return_value=COMMIT),
            mock.patch("builtins.print"),
        ):
            words = ["build", "--program", str(STAND_IN), "--out", str(out), "--source", "https://x.example"]
            self.assertEqual(image.main(words), 0)
        self.assertEqual(sorted(p.name for p in out.iterdir()), ["kudzu.spdx.json", "kudzu.tar"])
        built = image_archive.Image(out / "kudzu.tar")
        self.assertEqual(built.settings["Labels"][image.LABEL + "source"], "https://x.example")
        beside = (out / "kudzu.spdx.json").read_bytes()
        self.assertEqual(built.data("/usr/share/doc/kudzu/kudzu.spdx.json"), beside)

    def test_errors_are_a_line_and_a_code(self):
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            words = ["build", "--program", str(self.temp / "no"), "--out", str(self.temp)]
            self.assertEqual(image.main(words), 2)
        self.assertRegex(said.getvalue(), r"^image: strip .*\n$")


if __name__ == "__main__":
    unittest.main()
