#!/usr/bin/env python3
"""Tests that each check of an image can fail: every one gets an archive that is broken so."""

import dataclasses
import io
import json
import os
import sys
import tarfile
import unittest
from unittest import mock

sys.dont_write_bytecode = True

import image_archive
import image_check
import image_oci
import image_run
from image_root import Entry
from test_image import Case, COMMIT, EPOCH, LABEL, PROGRAM, good_parts, spec_for_bash

AS_ROOT = os.geteuid() == 0




def members(archive):
    """{name: data} of an archive's files, in order."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar if m.isreg()}


def packed(files):
    return image_oci.tar_of([(name, 0o644, 0, data) for name, data in files.items()], EPOCH)


class Checking(Case):
    @classmethod
    def setUpClass(cls):
        cls.spec = spec_for_bash()
        cls.good = good_parts(cls.spec)

    def setUp(self):
        super().setUp()
        good = self.good
        copies = {"base": list(good.base), "program": list(good.program), "about": dict(good.about)}
        self.parts = dataclasses.replace(good, **copies, labels=dict(good.labels))
        # Packing takes most of the time, and plain layers are layers too.
        self.enterContext(mock.patch("image_oci.gzip", lambda data: data))

    def verify(self, data=None, spec=None):
        """{check: (state, why)} of the parts as they are now, or of an archive's bytes."""
        archive = self.temp / "image.tar"
        archive.write_bytes(data or self.parts.archive())
        return {r.check: (r.state, r.why) for r in image_check.verify(archive, spec or self.spec)}

    def fails(self, check, why, data=None, spec=None):
        """That this check alone fails, and why. Whether it still runs is another question."""
        with mock.patch("image_run.outcomes", return_value=[]):
            results = self.verify(data, spec)
        failed = [name for name, (state, _) in results.items() if state == "FAILED"]
        self.assertEqual(failed, [check], results)
        self.assertRegex(results[check][1], why)


class Files(Checking):
    def test_a_good_image_passes(self):
        results = self.verify()
        bad = {name: why for name, (state, why) in results.items() if state != "ok"}
        self.assertEqual(set(bad), set() if AS_ROOT else {"runs", "resolves"}, bad)

    def test_user(self):
        self.parts.about["user"] = 0
        self.fails("user", "runs as '0:0'")

    def test_user_without_a_line(self):
        self.parts.change("/etc/passwd", data=b"root:x:0:0::/:/x\n")
        self.fails("user", "/etc/passwd does not have 65532")

    def test_entrypoint(self):
        self.parts.about["entrypoint"] = ["/bin/sh", "-c"]
        self.fails("entrypoint", "not \\['/usr/bin/kudzu'\\]")

    def test_environment(self):
        self.parts.about["env"] = ["PATH=/usr/bin", "LD_PRELOAD=/tmp/x.so"]
        self.fails("entrypoint", "LD_PRELOAD")

    def test_labels(self):
        del self.parts.labels[LABEL + "licenses"]
        self.fails("labels", "licenses is missing")

    def test_time_of_the_label(self):
        self.parts.labels[LABEL + "created"] = "yesterday"
        self.fails("labels", "no time")

    def test_setuid(self):
        self.parts.change(PROGRAM, mode=0o4755)
        self.fails("modes", "/usr/bin/kudzu has the mode 4755")

    def test_writable_for_all(self):
        self.parts.change("/etc/passwd", mode=0o666)
        self.fails("modes", "/etc/passwd has the mode 666")

    def test_owner(self):
        self.parts.change(PROGRAM, owner=65532)
        self.fails("modes", "/usr/bin/kudzu belongs to 65532")

    def test_links(self):
        image = image_archive.Image(self.archive())
        image.files["/etc/shadow"] = image_archive.File("link or device", 0o777, 0, 0, b"")
        self.assertIn("/etc/shadow is a link or device", [*image_check.modes(image, self.spec)][0])

    def archive(self):
        path = self.temp / "good.tar"
        path.write_bytes(self.parts.archive())
        return path

    def test_a_shell(self):
        self.parts.base.append(Entry("/usr/bin/sh", 0o644, data=b"x"))
        self.fails("programs", "/usr/bin/sh is a shell")

    def test_another_program(self):
        self.parts.base.append(Entry("/usr/sbin/tool", 0o755, data=b"x"))
        self.fails("programs", "/usr/sbin/tool is another program")

    def test_a_program_that_cannot_be_run(self):
        self.parts.change(PROGRAM, mode=0o644)
        self.fails("programs", "cannot be run")

    def test_a_missing_library(self):
        self.parts.drop("/libc.so.6")
        self.fails("libraries", "libc.so.6, which .* needs, is not there")

    def test_a_missing_loader(self):
        (loader,) = [e.path for e in self.parts.base if "/ld-linux" in e.path]
        self.parts.drop(loader)
        self.fails("libraries", "the loader, is not there")

    def test_the_architecture(self):
        self.parts.about["architecture"] = "s390x"
        self.fails("libraries", "the image says s390x")

    def test_an_old_c_library_without_its_resolver(self):
        with mock.patch("image_root.glibc", return_value=(2, 31)):
            self.fails("libraries", "libnss_dns.so.2 is missing")

    def test_names_of_services(self):
        self.parts.change("/etc/nsswitch.conf", data=b"hosts: files\n")
        self.fails("settings", "hosts: files dns")

    def test_authorities(self):
        self.parts.drop("/ca-certificates.crt")
        self.fails("settings", "fewer than 50 authorities")

    def test_a_private_key(self):
        key = b"-----BEGIN " + b"PRIVATE KEY-----\nx\n"
        self.parts.base.append(Entry("/etc/ssl/key.pem", 0o644, data=key))
        self.fails("settings", "/etc/ssl/key.pem has a private key")


class Bill(Checking):
    path = "/usr/share/doc/kudzu/kudzu.spdx.json"

    def bill(self):
        (entry,) = [e for e in self.parts.program if e.path == self.path]
        return json.loads(entry.data)

    def test_none(self):
        self.parts.drop(self.path)
        self.fails("materials", "cannot be read")

    def test_of_another_program(self):
        bill = self.bill()
        (own,) = [p for p in bill["packages"] if p["SPDXID"] == "SPDXRef-program"]
        own["checksums"][0]["checksumValue"] = "00"
        self.parts.change(self.path, data=image_oci.to_json(bill))
        self.fails("materials", "of another program")

    def test_without_a_package(self):
        bill = self.bill()
        bill["packages"] = [p for p in bill["packages"] if p["name"] != "libc6"]
        self.parts.change(self.path, data=image_oci.to_json(bill))
        self.fails("materials", "does not have the package libc6")

    def test_of_another_version(self):
        self.parts.change(self.path, data=image_oci.to_json(self.bill() | {"spdxVersion": "SPDX-3.0"}))
        self.fails("materials", "not SPDX-2.3")


class Archive(Checking):
    def test_packed_layers(self):
        with mock.patch("image_oci.gzip", GZIP):
            self.assertEqual(self.verify()["archive"][0], "ok")

    def test_a_changed_octet_of_a_blob(self):
        files = members(self.parts.archive())
        name = max(files, key=lambda name: len(files[name]))
        data = files[name]
        files[name] = data[:1000] + bytes([data[1000] ^ 1]) + data[1001:]
        self.fails("archive", "has the digest", packed(files))

    def test_a_missing_blob(self):
        files = members(self.parts.archive())
        del files[max(files, key=lambda name: len(files[name]))]
        self.fails("archive", "is missing", packed(files))

    def replaced(self, change):
        """The archive with its manifest and config changed, and digests that fit."""
        files = members(self.parts.archive())
        index = json.loads(files["index.json"])
        path = lambda descriptor: "blobs/" + descriptor["digest"].replace(":", "/")
        manifest = json.loads(files.pop(path(index["manifests"][0])))
        config = json.loads(files.pop(path(manifest["config"])))
        del files["manifest.json"]
        change(index, manifest, config)
        for value, at in ((config, manifest["config"]), (manifest, index["manifests"][0])):
            data = image_oci.to_json(value)
            at |= {"digest": image_oci.sha256(data), "size": len(data)}
            files[path(at)] = data
        files["index.json"] = image_oci.to_json(index)
        return packed(files)

    def test_a_wrong_size(self):
        data = self.replaced(lambda index, manifest, config: manifest["layers"][0].update(size=7))
        self.fails("archive", "octets, not 7", data)

    def test_wrong_diff_ids(self):
        data = self.replaced(lambda index, manifest, config: config["rootfs"]["diff_ids"].reverse())
        self.fails("archive", "diff_ids says otherwise", data)

    def test_two_images(self):
        data = self.replaced(lambda index, manifest, config: index["manifests"].append(index["manifests"][0]))
        self.fails("archive", "2 images", data)

    def test_attestations_are_no_image(self):
        other = {"mediaType": image_oci.MANIFEST, "platform": {"architecture": "unknown", "os": "unknown"}}
        data = self.replaced(lambda index, manifest, config: index["manifests"].append(other))
        self.assertEqual(self.verify(data)["archive"][0], "ok")

    def test_another_image_for_old_tools(self):
        files = members(self.parts.archive())
        docker = json.loads(files["manifest.json"])
        docker[0]["Layers"].reverse()
        files["manifest.json"] = image_oci.to_json(docker)
        self.fails("archive", "another image", packed(files))

    def test_no_layout_and_no_archive(self):
        files = members(self.parts.archive())
        self.fails("archive", "oci-layout is missing", packed({"x": b""}))
        self.fails("archive", "not OCI 1.0.0", packed(files | {"oci-layout": b"{}"}))
        self.fails("archive", "cannot be read", b"nothing of the kind")

    def test_a_path_that_leads_out(self):
        self.parts.base.append(Entry("/../etc/cron.d/x", 0o644, data=b""))
        with mock.patch("image_root.complete", sorted_by_path):
            self.fails("archive", "has the path")


GZIP = image_oci.gzip
# For ever, and without work: there is no sleep in there, but a pipe to which nobody writes.
WAITS = "coproc { read -r; }; wait"


def sorted_by_path(entries):
    return sorted(entries, key=lambda entry: entry.path)


@unittest.skipUnless(AS_ROOT, "only root may change the root folder")
class Running(Checking):
    def outcome(self, check):
        return self.verify()[check]

    def with_check(self, **check):
        self.spec = self.spec | {"check": self.spec["check"] | check}

    def test_its_user_writes_nowhere(self):
        writes = "for f in /x /tmp/x /var/lib/kudzu/x /etc/passwd; do (: > $f) 2> /dev/null && exit 9; done; "
        command = self.spec["check"]["version"][1]
        self.with_check(version=["-c", writes + "[[ $UID == 65532 && $(echo /*) ]] && " + command])
        self.assertEqual(self.outcome("runs")[0], "ok", self.outcome("runs"))

    def test_it_does_not_start(self):
        self.with_check(version=["-c", "echo no >&2; exit 3"])
        self.assertEqual(self.outcome("runs"), ("FAILED", "it ended with 3: no"))

    def test_it_does_not_say_its_version(self):
        self.with_check(version=["-c", "echo 1.0"])
        self.assertRegex(self.outcome("runs")[1], "does not say its version")

    def test_it_is_another_version(self):
        self.parts.labels[LABEL + "version"] = "9.9.9"
        self.assertRegex(self.outcome("runs")[1], "the label 9.9.9")

    def test_it_is_another_commit(self):
        self.parts.labels[LABEL + "revision"] = "ba9876543210"
        self.assertRegex(self.outcome("runs")[1], f"commit {COMMIT}, the label ba98")

    def test_a_library_that_is_not_one(self):
        (libc,) = [e.path for e in self.parts.base if e.path.endswith("/libc.so.6")]
        self.parts.change(libc, data=b"nothing")
        self.assertEqual(self.outcome("runs")[0], "FAILED")

    def test_names_that_are_not_resolved(self):
        self.parts.change("/etc/nsswitch.conf", data=b"hosts: files\n")
        state, why = self.outcome("resolves")
        self.assertEqual(state, "FAILED")
        self.assertRegex(why, f"did not connect to {image_run.NAME}; DNS was asked 0 times")

    def test_names_that_it_does_not_ask_for(self):
        self.with_check(resolve=["-c", "exec 3<>/dev/tcp/other/{port}"])
        self.assertRegex(self.outcome("resolves")[1], "did not connect")

    def test_a_program_that_does_not_end(self):
        self.with_check(version=["-c", WAITS], resolve=["-c", WAITS])
        with mock.patch("image_run.SECONDS", 0.2):
            self.assertEqual([self.outcome(name)[0] for name in ("runs", "resolves")], ["FAILED", "FAILED"])

    def test_port_53_is_taken(self):
        with image_run.Names():
            self.assertEqual(self.outcome("resolves")[0], "skipped")


if __name__ == "__main__":
    unittest.main()
