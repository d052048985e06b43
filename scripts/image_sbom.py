"""What the image is made of, as SPDX 2.3: crates of the program, packages of its libraries."""

import hashlib
import os
import re
import subprocess
import tomllib
import urllib.parse
import uuid

import image_oci
from image_root import Failed

UNKNOWN = "NOASSERTION"


def crates(project):
    """Crates that are linked, and those that only the build runs, each {(name, version): licence}."""
    linked = parse_tree(cargo_tree(project, "normal,no-proc-macro"))
    every = parse_tree(cargo_tree(project, "normal,build"))
    return linked, {crate: licence for crate, licence in every.items() if crate not in linked}


def cargo_tree(project, edges):
    # Not `cargo metadata`: that has the features of all members of the workspace together, and
    # so crates that the program alone does not have.
    command = [os.environ.get("CARGO", "cargo"), "tree", "--locked", "--package", "kudzu-cli"]
    command += ["--edges", edges, "--prefix", "none", "--format", "{p}|{l}"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"cargo tree: {done.stderr.strip()}")
    return done.stdout


def parse_tree(text):
    """{(name, version): licence} of `cargo tree --format '{p}|{l}'`."""
    found = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        crate, _, licence = line.rpartition("|")
        named = re.match(r"(\S+) v(\S+)", crate)
        if not named:
            raise Failed(f"cargo tree says what is not understood: {line}")
        # A crate that was shown before has a mark; old manifests divide licences by a slash.
        licence = licence.removesuffix("(*)").strip()
        found[named[1], named[2]] = re.sub(r"\s*/\s*", " OR ", licence) or UNKNOWN
    return found


def checksums(project):
    """SHA-256 of each crate's source, where Cargo.lock has it."""
    lock = tomllib.loads((project / "Cargo.lock").read_text(encoding="utf-8"))
    return {(p["name"], p["version"]): p["checksum"] for p in lock["package"] if "checksum" in p}


def package(ref, name, version, licence, **more):
    return {
        "SPDXID": f"SPDXRef-{ref}",
        "name": name,
        "versionInfo": version,
        "licenseDeclared": licence,
        "licenseConcluded": UNKNOWN,
        "copyrightText": UNKNOWN,
        "downloadLocation": UNKNOWN,
        "filesAnalyzed": False,
        **more,
    }


def purl(text):
    return [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": text}]


def sha256(value):
    return [{"algorithm": "SHA256", "checksumValue": value}]


def reference(*parts):
    """An identifier: letters, digits, dots and dashes alone."""
    return re.sub(r"[^A-Za-z0-9.-]", "-", "-".join(parts))


def document(about, program, linked, built, sums, debs, system):
    """The document as a value: `about` has title, version, licence and epoch of the program."""
    title, version = about["title"], about["version"]
    image = package("image", f"{title}-image", version, UNKNOWN, primaryPackagePurpose="CONTAINER")
    digest = hashlib.sha256(program).hexdigest()
    own = package("program", title, version, about["licence"], checksums=sha256(digest))
    packages, relations = [image, own], [("DOCUMENT", "DESCRIBES", "image"), ("image", "CONTAINS", "program")]
    for group in (linked, built):
        for (name, number), licence in sorted(group.items()):
            ref = reference("crate", name, number)
            more = {"externalRefs": purl(f"pkg:cargo/{name}@{urllib.parse.quote(number, safe='.-')}")}
            if (name, number) in sums:
                more["checksums"] = sha256(sums[name, number])
            packages.append(package(ref, name, number, licence, **more))
            if group is linked:
                relations.append(("program", "DEPENDS_ON", ref))
            else:
                relations.append((ref, "BUILD_DEPENDENCY_OF", "program"))
    for deb in debs:
        ref = reference("deb", deb["name"])
        where = f"pkg:deb/{system['id']}/{deb['name']}@{urllib.parse.quote(deb['version'], safe='.-~')}"
        where += f"?arch={deb['architecture']}&distro={system['id']}-{system['version']}"
        source = f"built from the source package {deb['source']}"
        more = {"externalRefs": purl(where), "sourceInfo": source}
        packages.append(package(ref, deb["name"], deb["version"], UNKNOWN, **more))
        relations.append(("image", "CONTAINS", ref))
    of = lambda ref: f"SPDXRef-{ref}"
    result = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"{title}-{version}",
        "creationInfo": {"created": image_oci.rfc3339(about["epoch"]), "creators": [f"Tool: {title}-image"]},
        "packages": packages,
        "relationships": [
            {"spdxElementId": of(one), "relationshipType": kind, "relatedSpdxElement": of(other)}
            for one, kind, other in relations
        ],
    }
    # Unique, as SPDX wants it, and the same for the same contents.
    content = hashlib.sha256(image_oci.to_json(result)).hexdigest()
    result["documentNamespace"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, content)}"
    return result


def system(path="/etc/os-release"):
    """Which distribution the packages are of."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = dict(line.strip().split("=", 1) for line in file if "=" in line)
    except OSError:
        lines = {}
    value = lambda key, other: lines.get(key, other).strip('"')
    return {"id": value("ID", "debian"), "version": value("VERSION_ID", "unknown")}
