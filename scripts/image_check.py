"""Whether an image is what image/files.toml and docs/IMAGE.md promise. Nothing here trusts
what built it: it looks at the archive alone."""

import dataclasses
import hashlib
import json
import re

import image_archive
import image_elf
import image_root
import image_run

LABEL = "org.opencontainers.image."
LABELS = ["title", "description", "version", "revision", "created", "licenses"]
SHELLS = {"sh", "bash", "dash", "ash", "zsh", "ksh", "csh", "fish", "busybox", "toybox", "perl", "python3"}


@dataclasses.dataclass(frozen=True)
class Result:
    check: str
    state: str  # "ok", "FAILED", "skipped"
    why: str = ""

    def line(self):
        return f"{self.state:8} {self.check}" + (f": {self.why}" if self.why else "")


def verify(archive, spec):
    """One result for each check."""
    try:
        image = image_archive.Image(archive)
    except image_archive.Broken as error:
        return [Result("archive", "FAILED", str(error))]
    results = [Result("archive", "ok", f"{image.top['digest']}")]
    for name, check in CHECKS.items():
        problems = list(check(image, spec))
        results.append(Result(name, "FAILED" if problems else "ok", "; ".join(problems)))
    for name, outcome in image_run.outcomes(image, spec["check"], spec["image"]["user"]):
        results.append(Result(name, *outcome))
    return results


def user(image, spec):
    number = spec["image"]["user"]
    said = image.settings.get("User")
    # By number: the kubelet cannot tell of a name whether it is root.
    if number == 0 or said != f"{number}:{number}":
        yield f"it runs as {said!r}, not as {number}:{number}"
    for path in ("/etc/passwd", "/etc/group"):
        if f":x:{number}:" not in (image.data(path) or b"").decode():
            yield f"{path} does not have {number}"


def entrypoint(image, spec):
    said = image.settings.get("Entrypoint")
    if said != [spec["image"]["program"]]:
        yield f"it is {said}, not {[spec['image']['program']]}"
    if image.settings.get("Cmd"):
        yield f"there are arguments that nobody gave: {image.settings['Cmd']}"
    if image.settings.get("Env") != spec["image"]["env"]:
        yield f"the environment is {image.settings.get('Env')}, not {spec['image']['env']}"


def labels(image, spec):
    have = image.settings.get("Labels") or {}
    for name in LABELS:
        if not have.get(LABEL + name):
            yield f"{LABEL}{name} is missing"
    created = have.get(LABEL + "created", "")
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", created):
        yield f"{LABEL}created is {created!r}, no time"


def modes(image, spec):
    own = {f["path"]: (f.get("mode", 0o755), f.get("owner", 0)) for f in spec.get("folder", [])}
    for path, file in sorted(image.files.items()):
        if file.kind not in ("file", "folder"):
            yield f"{path} is a {file.kind}"
        mode, owner = own.get(path, (file.mode & ~0o7022, 0))
        if file.mode != mode:
            yield f"{path} has the mode {file.mode:o}, not {mode:o}"
        if (file.owner, file.group) != (owner, owner):
            yield f"{path} belongs to {file.owner}:{file.group}, not to {owner}"


def programs(image, spec):
    program = spec["image"]["program"]
    try:
        loader = image_elf.read(image.data(program) or b"").interpreter
    except image_elf.NotElf as error:
        loader = None
        yield f"{program} {error}"
    if not image.files.get(program) or not image.files[program].mode & 0o001:
        yield f"{program} cannot be run"
    for path, file in sorted(image.files.items()):
        if file.kind == "folder" or path in (program, loader):
            continue
        if path.rpartition("/")[2] in SHELLS:
            yield f"{path} is a shell"
        elif file.mode & 0o111:
            yield f"{path} is another program"


def libraries(image, spec):
    program = image.data(spec["image"]["program"]) or b""
    try:
        found = image_elf.closure(program, image.data)
        architecture = image_elf.read(program).architecture
    except (image_elf.Missing, image_elf.NotElf) as error:
        yield str(error)
        return
    if image.config.get("architecture") != architecture:
        yield f"the program is for {architecture}, the image says {image.config.get('architecture')}"
    version = image_root.glibc(found)
    before = tuple(map(int, spec["libraries"]["glibc_before"].split(".")))
    if version and version < before:
        inside = {path.rpartition("/")[2] for path in image.files}
        for name in sorted(set(spec["libraries"]["also"]) - inside):
            yield f"{name} is missing, with which this C library resolves names"


def settings(image, spec):
    hosts = re.search(rb"^hosts:(.*)$", image.data("/etc/nsswitch.conf") or b"", re.M)
    if not hosts or hosts[1].split() != [b"files", b"dns"]:
        yield "/etc/nsswitch.conf does not say hosts: files dns"
    bundle = image.data("/etc/ssl/certs/ca-certificates.crt") or b""
    if bundle.count(b"-----BEGIN CERTIFICATE-----") < 50:
        yield "/etc/ssl/certs/ca-certificates.crt has fewer than 50 authorities"
    for path, file in sorted(image.files.items()):
        if b"PRIVATE KEY-----\n" in file.data and path.startswith("/etc/"):
            yield f"{path} has a private key"


def materials(image, spec):
    title = spec["image"]["title"]
    path = f"{image_root.DOCS}/{title}/{title}.spdx.json"
    try:
        bill = json.loads(image.data(path) or b"")
        packages = {p["SPDXID"]: p for p in bill["packages"]}
        sums = packages["SPDXRef-program"]["checksums"][0]["checksumValue"]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        yield f"{path} cannot be read: {error!r}"
        return
    program = image.data(spec["image"]["program"]) or b""
    if sums != hashlib.sha256(program).hexdigest():
        yield f"{path} is of another program"
    if bill.get("spdxVersion") != "SPDX-2.3":
        yield f"{path} is {bill.get('spdxVersion')}, not SPDX-2.3"
    for relation in bill["relationships"]:
        for end in (relation["spdxElementId"], relation["relatedSpdxElement"]):
            if end not in packages and end != "SPDXRef-DOCUMENT":
                yield f"{path} names {end} and does not have it"
    for file in sorted(image.files):
        package = re.fullmatch(rf"{image_root.DOCS}/([^/]+)/copyright", file)
        if package and f"SPDXRef-deb-{re.sub('[^A-Za-z0-9.-]', '-', package[1])}" not in packages:
            yield f"{path} does not have the package {package[1]}"


CHECKS = {
    "user": user,
    "entrypoint": entrypoint,
    "labels": labels,
    "modes": modes,
    "programs": programs,
    "libraries": libraries,
    "settings": settings,
    "materials": materials,
}
