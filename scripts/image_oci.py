"""An OCI image layout in a tar file. The same entries give the same bytes."""

import hashlib
import io
import json
import tarfile
import time
import zlib

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
INDEX = "application/vnd.oci.image.index.v1+json"


def rfc3339(epoch):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch))


def to_json(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tar_of(members, epoch):
    """A tar file of (name, mode, owner, data); folders have no data."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, mode, owner, data in members:
            info = tarfile.TarInfo(name)
            info.mode, info.uid, info.gid, info.mtime = mode, owner, owner, epoch
            if data is None:
                info.type = tarfile.DIRTYPE
            else:
                info.size = len(data)
            tar.addfile(info, None if data is None else io.BytesIO(data))
    return out.getvalue()


def layer(entries, epoch):
    return tar_of(((e.path.lstrip("/"), e.mode, e.owner, e.data) for e in entries), epoch)


def gzip(data):
    # Not the gzip module: the head that it writes differs between versions of Python.
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(data) + packer.flush()


def archive(layers, about, labels, epoch):
    """The archive's bytes, and the digest of its manifest.

    `layers` are pairs of words about a layer and its entries; `about` has the image's name,
    architecture, user, entrypoint, env and ports.
    """
    created = rfc3339(epoch)
    blobs, plain, packed = {}, [], []

    def put(kind, data):
        digest = sha256(data)
        blobs["blobs/" + digest.replace(":", "/")] = data
        return {"mediaType": kind, "digest": digest, "size": len(data)}

    for _, entries in layers:
        data = layer(entries, epoch)
        plain.append(sha256(data))
        packed.append(put(LAYER, gzip(data)))
    config = {
        "created": created,
        "architecture": about["architecture"],
        "os": "linux",
        "config": {
            "User": f"{about['user']}:{about['user']}",
            "Entrypoint": about["entrypoint"],
            "Env": about["env"],
            "ExposedPorts": {port: {} for port in about["ports"]},
            "WorkingDir": "/",
            "Labels": labels,
        },
        "rootfs": {"type": "layers", "diff_ids": plain},
        "history": [{"created": created, "created_by": words} for words, _ in layers],
    }
    settings = put(CONFIG, to_json(config))
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": settings,
        "layers": packed,
        "annotations": labels,
    }
    top = put(MANIFEST, to_json(manifest))
    digest = top["digest"]
    top["platform"] = {"architecture": about["architecture"], "os": "linux"}
    # containerd takes the whole name from its own annotation, others the tag from OCI's.
    top["annotations"] = {
        "io.containerd.image.name": about["name"],
        "org.opencontainers.image.ref.name": about["name"].rpartition(":")[2],
    }
    path = lambda blob: "blobs/" + blob["digest"].replace(":", "/")
    # What Docker before version 25 reads instead.
    docker = {"Config": path(settings), "RepoTags": [about["name"]], "Layers": [path(p) for p in packed]}
    files = {
        "oci-layout": to_json({"imageLayoutVersion": "1.0.0"}),
        "index.json": to_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [top]}),
        "manifest.json": to_json([docker]),
        **blobs,
    }
    order = ["oci-layout", "index.json", "manifest.json", *sorted(blobs)]
    folders = [("blobs", 0o755, 0, None), ("blobs/sha256", 0o755, 0, None)]
    members = [(name, 0o644, 0, files[name]) for name in order]
    return tar_of([*members[:3], *folders, *members[3:]], epoch), digest
