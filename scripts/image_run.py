"""Runs the image's program in its own files, as root only: chroot takes no less.

Its user may write nothing there, so that it is as on a root filesystem that is read-only.
"""

import json
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time

LABEL = "org.opencontainers.image."
# As in a pod: a service is named without its domain.
NAME, DOMAIN = "image-check", "test-space.svc.cluster.test"
SECONDS = 60


def outcomes(image, check, user):
    """(check, (state, why)) for each."""
    names = ("runs", "resolves")
    if os.geteuid() != 0 or not shutil.which("chroot"):
        for name in names:
            yield name, ("skipped", "only root may try it, with chroot")
        return
    with tempfile.TemporaryDirectory() as temp:
        root = pathlib.Path(temp)
        unpack(image, root)
        inside = Inside(root, image.settings, user)
        yield "runs", runs(inside, check, image.settings.get("Labels") or {})
        yield "resolves", resolves(inside, check)


def unpack(image, root):
    root.chmod(0o755)
    for path, file in sorted(image.files.items()):
        at = root / path.lstrip("/")
        at.parent.mkdir(parents=True, exist_ok=True)
        if file.kind == "folder":
            at.mkdir(exist_ok=True)
        elif file.kind == "file":
            at.write_bytes(file.data)
            at.chmod(file.mode & 0o555)
    for folder, _, _ in os.walk(root, topdown=False):
        os.chmod(folder, 0o555)


class Inside:
    def __init__(self, root, settings, user):
        self.root = root
        self.entrypoint = settings.get("Entrypoint") or []
        self.env = dict(word.split("=", 1) for word in settings.get("Env") or [])
        self.user = user

    def start(self, args):
        who = [f"--userspec={self.user}:{self.user}", "--groups="]
        command = [shutil.which("chroot"), *who, str(self.root), *self.entrypoint, *args]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=self.env, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe)


def end(process):
    """What it printed, once it has ended or its time is over."""
    try:
        return process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()
    except BaseException:
        process.kill()  # nothing of it stays behind an interrupt
        raise


def runs(inside, check, labels):
    process = inside.start(check["version"])
    out, err = end(process)
    if process.returncode != 0:
        return "FAILED", f"it ended with {process.returncode}: {err.decode(errors='replace').strip()}"
    try:
        said = json.loads(out)
        version, commit = said["version"], said["commit"]
    except (ValueError, KeyError, TypeError):
        return "FAILED", f"it does not say its version: {out[:200]!r}"
    if version != labels.get(LABEL + "version"):
        return "FAILED", f"the program says version {version}, the label {labels.get(LABEL + 'version')}"
    if commit != labels.get(LABEL + "revision"):
        return "FAILED", f"the program says commit {commit}, the label {labels.get(LABEL + 'revision')}"
    return "ok", f"{version}, commit {commit}"


def resolves(inside, check):
    """Whether it reaches a port of a host by the host's short name, over DNS."""
    try:
        names = Names()
    except OSError as error:
        return "skipped", f"no DNS server can listen on port 53 here: {error}"
    with names, socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(SECONDS)
        config = f"nameserver {names.address}\nsearch {DOMAIN}\noptions ndots:5 timeout:5\n"
        # Read by any user, as the kubelet writes it.
        (inside.root / "etc" / "resolv.conf").write_text(config)
        port = str(server.getsockname()[1])
        args = [word.replace("{name}", NAME).replace("{port}", port) for word in check["resolve"]]
        process = inside.start(args)
        came = threading.Event()
        waiting = threading.Thread(target=answer, args=(server, came), daemon=True)
        waiting.start()
        until = time.monotonic() + SECONDS
        while process.poll() is None and not came.wait(0.05) and time.monotonic() < until:
            if names.refused > 20:
                break  # it asks for what nobody has; it would do so for a minute
        if not came.wait(0.2):
            process.kill()
        _, err = end(process)
    if came.is_set():
        return "ok", f"{NAME} in {DOMAIN}, asked {names.asked} times"
    asked = f"DNS was asked {names.asked} times"
    return "FAILED", f"it did not connect to {NAME}; {asked}: {err.decode(errors='replace').strip()}"


def answer(server, came):
    """Takes one connection, and says that what is asked for is not there."""
    try:
        client, _ = server.accept()
    except OSError:
        return
    came.set()
    with client:
        client.settimeout(5)
        try:
            client.recv(65536)
            client.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        except OSError:
            pass


class Names:
    """A DNS server on a loopback address that knows one name."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.address = f"127.{os.getpid() % 250 + 1}.53.1"
        try:
            self.socket.bind((self.address, 53))
        except OSError:
            self.socket.close()
            raise
        self.socket.settimeout(0.1)
        self.asked = self.refused = 0
        self.over = False
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        # The port is free only once nobody waits at it.
        self.over = True
        self.thread.join()
        self.socket.close()

    def serve(self):
        while not self.over:
            try:
                question, client = self.socket.recvfrom(4096)
                self.socket.sendto(self.reply(question), client)
            except TimeoutError:
                continue

    def reply(self, question):
        self.asked += 1
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1 : at + 1 + question[at]].decode("ascii", "replace"))
            at += 1 + question[at]
        asked, kind = question[12 : at + 5], question[at + 2]
        known = ".".join(labels).lower() == f"{NAME}.{DOMAIN}"
        self.refused += not known
        # The address itself for type A; for others the name is there and has none.
        found = known and kind == 1
        record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + socket.inet_aton("127.0.0.1")
        head = question[:2] + struct.pack("!HHHHH", 0x8580 | (0 if known else 3), 1, int(found), 0, 0)
        return head + asked + (record if found else b"")
