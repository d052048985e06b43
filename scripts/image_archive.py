"""Reads an OCI archive and the files that its layers make, whoever built it."""

import dataclasses
import io
import json
import tarfile
import zlib

import image_oci


class Broken(Exception):
    """The archive is not what it says of itself."""


@dataclasses.dataclass(frozen=True)
class File:
    kind: str  # "file", "folder", or what else it is
    mode: int
    owner: int
    group: int
    data: bytes


class Image:
    """An image whose digests and sizes all hold: otherwise there is none."""

    def __init__(self, archive):
        try:
            with tarfile.open(archive) as tar:
                read = ((m.name.removeprefix("./"), tar.extractfile(m).read()) for m in tar if m.isreg())
                self.members = dict(read)
            self._open()
        except (tarfile.TarError, ValueError, LookupError, TypeError, AttributeError, EOFError) as error:
            raise Broken(f"it cannot be read: {error!r}") from error

    def _open(self):
        if json.loads(self._member("oci-layout")).get("imageLayoutVersion") != "1.0.0":
            raise Broken("its layout is not OCI 1.0.0")
        for name, data in self.members.items():
            if name.startswith("blobs/"):
                digest = name.removeprefix("blobs/").replace("/", ":")
                if image_oci.sha256(data) != digest:
                    raise Broken(f"{name} has the digest {image_oci.sha256(data)}")
        self.index = json.loads(self._member("index.json"))
        self.top = self._manifest(self.index)
        self.manifest = json.loads(self.blob(self.top))
        self.config = json.loads(self.blob(self.manifest["config"]))
        self.settings = self.config["config"]
        layers = [unpacked(self.blob(layer)) for layer in self.manifest["layers"]]
        digests = [image_oci.sha256(layer) for layer in layers]
        if digests != self.config["rootfs"]["diff_ids"]:
            raise Broken(f"its layers unpack to {digests}, and diff_ids says otherwise")
        self._docker()
        self.files = {}
        for layer in layers:
            self.files.update(files_of(layer))

    def _member(self, name):
        if name not in self.members:
            raise Broken(f"{name} is missing")
        return self.members[name]

    def blob(self, descriptor):
        data = self._member("blobs/" + descriptor["digest"].replace(":", "/"))
        if len(data) != descriptor["size"]:
            raise Broken(f"{descriptor['digest']} has {len(data)} octets, not {descriptor['size']}")
        return data

    def _manifest(self, index):
        """The one image; attestations, which builders may add, are for no platform."""
        found = [
            entry
            for entry in index["manifests"]
            if entry.get("platform", {}).get("architecture") != "unknown"
        ]
        if len(found) != 1:
            raise Broken(f"it has {len(found)} images, not one")
        if "index" in found[0]["mediaType"]:
            return self._manifest(json.loads(self.blob(found[0])))
        return found[0]

    def _docker(self):
        """What old versions of Docker read must be the same image."""
        if "manifest.json" not in self.members:
            return
        path = lambda blob: "blobs/" + blob["digest"].replace(":", "/")
        (docker,) = json.loads(self.members["manifest.json"])
        ours = (path(self.manifest["config"]), [path(layer) for layer in self.manifest["layers"]])
        if (docker["Config"], docker["Layers"]) != ours:
            raise Broken("manifest.json has another image than index.json")

    def data(self, path):
        """The data of a file, or None."""
        file = self.files.get(path)
        return file.data if file and file.kind == "file" else None


def unpacked(layer):
    if layer[:2] != b"\x1f\x8b":
        return layer
    try:
        return zlib.decompress(layer, 31)
    except zlib.error as error:
        raise Broken(f"a layer cannot be unpacked: {error}") from error


def files_of(layer):
    found = {}
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        for member in tar:
            parts = [part for part in member.name.split("/") if part not in ("", ".")]
            if ".." in parts:
                raise Broken(f"a layer has the path {member.name}")
            if not parts:
                continue  # the root itself
            kind = "file" if member.isreg() else "folder" if member.isdir() else "link or device"
            data = tar.extractfile(member).read() if member.isreg() else b""
            found["/" + "/".join(parts)] = File(kind, member.mode, member.uid, member.gid, data)
    return found
