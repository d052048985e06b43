"""What holds for every rendering, whatever the values. Each is a function that yields what is
wrong; its first line is what it stands for."""

import re
import tomllib

import yaml

from chart import ROOT, containers, look, pods

VOLUMES = {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}


def restricted(found):
    """Every pod passes the Pod Security Standard "restricted", and has no token."""
    for key, _, pod in pods(found):
        for host in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.get(host):
                yield f"{key}: {host}"
        if pod.get("automountServiceAccountToken") is not False:
            yield f"{key}: has a token of its service account"
        if look(pod, "securityContext runAsNonRoot") is not True or not look(pod, "securityContext runAsUser"):
            yield f"{key}: may run as root"
        if look(pod, "securityContext seccompProfile type") != "RuntimeDefault":
            yield f"{key}: no seccomp profile"
        for volume in pod.get("volumes", []):
            if not set(volume) - {"name"} <= VOLUMES:
                yield f"{key}: volume {volume['name']} is of a kind that is not allowed"
        for container in containers(pod):
            own, name = container.get("securityContext", {}), f"{key} {container['name']}"
            if own.get("allowPrivilegeEscalation") is not False or own.get("readOnlyRootFilesystem") is not True:
                yield f"{name}: may gain privileges, or write to its root"
            if look(own, "capabilities drop") != ["ALL"] or look(own, "capabilities add"):
                yield f"{name}: keeps capabilities"


def links(found):
    """No pod has service links: KUDZU_REDIS_PORT would be read as a setting that is wrong."""
    for key, _, pod in pods(found):
        if pod.get("enableServiceLinks") is not False:
            yield key


def accounts(found):
    """A role of a cloud, given by annotations, is the coordinators' alone."""
    role = {pod["serviceAccountName"] for _, labels, pod in pods(found) if labels["app.kubernetes.io/component"] == "coordinator"}
    for key, labels, pod in pods(found):
        name = pod["serviceAccountName"]
        account = found.get(f"ServiceAccount/{name}")
        if labels["app.kubernetes.io/component"] != "coordinator":
            if look(account, "metadata annotations") or (name in role and name != "default"):
                yield f"{key}: has the account of the coordinators, {name}"
        if account and account["automountServiceAccountToken"] is not False:
            yield f"{key}: its account gives a token"


def requests(found):
    """Every container says what it needs, and has a bound of memory."""
    for key, _, pod in pods(found):
        for container in containers(pod):
            for path in ("requests cpu", "requests memory", "limits memory"):
                if not look(container, f"resources {path}"):
                    yield f"{key} {container['name']}: no {path}"


def probes(found):
    """What serves is probed, and being alive never depends on the broker."""
    for key, _, pod in pods(found):
        if found[key]["kind"] == "Pod":
            continue
        for container in pod["containers"]:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                if probe not in container:
                    yield f"{key} {container['name']}: no {probe}"
            if container["name"] in ("coordinator", "worker"):
                for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
                    if look(container, f"{probe} httpGet path") != path:
                        yield f"{key}: {probe} is not {path}"


def once(found):
    """Nothing has two of one name: a server-side apply fails there."""

    def walk(value, where):
        if isinstance(value, dict):
            for key, one in value.items():
                yield from walk(one, f"{where} {key}")
        elif isinstance(value, list):
            for field in ("name", "mountPath", "containerPort"):
                names = [one[field] for one in value if isinstance(one, dict) and field in one]
                for name in {n for n in names if names.count(n) > 1}:
                    yield f"{where}: {field} {name} comes twice"
            for at, one in enumerate(value):
                yield from walk(one, f"{where} {at}")

    for key, document in found.items():
        yield from walk(document, key)


def selected(found):
    """Selectors select, and only pods of their own part."""
    for key, document in found.items():
        if document["kind"] == "Deployment":
            labels = look(document, "spec template metadata labels")
            wanted = look(document, "spec selector matchLabels")
            if not wanted.items() <= labels.items():
                yield f"{key}: does not select its own pods"
        wanted = None
        if document["kind"] == "Service":
            wanted = look(document, "spec selector")
        elif document["kind"] in ("PodDisruptionBudget",):
            wanted = look(document, "spec selector matchLabels")
        elif document["kind"] == "NetworkPolicy":
            wanted = look(document, "spec podSelector matchLabels")
        if wanted is None:
            continue
        hit = [other for other, labels, _ in pods(found) if wanted.items() <= labels.items()]
        if not hit or (len(hit) > 1 and "app.kubernetes.io/component" in wanted):
            yield f"{key}: selects {hit or 'nothing'}"


def ports(found):
    """Services and policies name ports that there are."""
    for key, document in found.items():
        if document["kind"] != "Service":
            continue
        wanted = look(document, "spec selector")
        for _, labels, pod in pods(found):
            if wanted.items() <= labels.items():
                there = {port["name"] for one in containers(pod) for port in one.get("ports", [])}
                for port in look(document, "spec ports"):
                    if port["targetPort"] not in there:
                        yield f"{key}: {port['targetPort']} is no port of its pods"


def policies(found):
    """Where there are policies, each pod has one of its own beside the one that denies all."""
    made = [document for document in found.values() if document["kind"] == "NetworkPolicy"]
    for key, labels, _ in pods(found):
        hit = [p for p in made if look(p, "spec podSelector matchLabels").items() <= labels.items()]
        denies = [p for p in hit if "ingress" not in p["spec"] and "egress" not in p["spec"]]
        if made and (len(hit) < 2 or not denies):
            yield f"{key}: {len(hit)} policies"
    for key, document in found.items():
        for way in ("ingress", "egress"):
            for rule in look(document, f"spec {way}") or [] if document["kind"] == "NetworkPolicy" else []:
                peers = rule.get({"ingress": "from", "egress": "to"}[way])
                if not peers or not all(peers):
                    yield f"{key}: a rule of {way} is for everybody"
                if not rule.get("ports") or not all(port.get("port") for port in rule["ports"]):
                    yield f"{key}: a rule of {way} is for every port"


def referenced(found):
    """What pods name of the release's own is in it."""
    kinds = {"configMap": ("ConfigMap", "name"), "secret": ("Secret", "secretName"), "persistentVolumeClaim": ("PersistentVolumeClaim", "claimName")}
    for key, _, pod in pods(found):
        used = []
        for volume in pod.get("volumes", []):
            for field, (kind, name) in kinds.items():
                if field in volume:
                    used.append((kind, volume[field][name]))
        for container in containers(pod):
            for one in container.get("env", []):
                if secret := look(one, "valueFrom secretKeyRef"):
                    used.append(("Secret", secret["name"]))
                    own = found.get(f"Secret/{secret['name']}")
                    if own and secret["key"] not in own["stringData"]:
                        yield f"{key}: Secret {secret['name']} has no {secret['key']}"
            used += [("Secret", one["secretRef"]["name"]) for one in container.get("envFrom", [])]
            mounted = {one["name"] for one in container.get("volumeMounts", [])}
            for name in mounted - {volume["name"] for volume in pod.get("volumes", [])}:
                yield f"{key} {container['name']}: mounts {name}, which is no volume"
        # Whatever has the release's name in it is the release's.
        own_name = found[key]["metadata"]["labels"]["app.kubernetes.io/instance"]
        outside = re.compile(r"^(kudzu-(broker|redis|sources|s3|token)|rabbitmq-management|company-ca|shared|true|[0-9][0-9a-z]*)$")
        for kind, name in used:
            if f"{kind}/{name}" not in found and not outside.match(name):
                yield f"{key}: there is no {kind} {name} in release {own_name}"


def grace(found):
    """A pod is given the drain time of its program (20 s), and what its hook waits before."""
    for key, _, pod in pods(found):
        for container in pod["containers"]:
            if container["name"] in ("coordinator", "worker"):
                hook = look(container, "lifecycle preStop sleep seconds") or 0
                if pod["terminationGracePeriodSeconds"] < hook + 20 + 5:
                    yield f"{key}: {pod['terminationGracePeriodSeconds']} s"


def one_scaler(found):
    """A set has one scaler at most, and no number of replicas beside it."""
    scaled = []
    for document in found.values():
        if document["kind"] in ("HorizontalPodAutoscaler", "ScaledObject"):
            scaled.append(look(document, "spec scaleTargetRef name"))
    for name in scaled:
        if scaled.count(name) > 1:
            yield f"{name}: several scalers"
        if "replicas" in look(found, f"Deployment/{name} spec"):
            yield f"{name}: a number of replicas beside its scaler"


def settings(found):
    """kudzu.toml can be read, has no secret, and whole numbers are whole."""
    for key, document in found.items():
        text = look(document, "data kudzu.toml") if document["kind"] == "ConfigMap" else None
        if text is None:
            continue
        parsed = tomllib.loads(text)
        for section in ("broker", "redis", "client"):
            if section in parsed:
                yield f"{key}: [{section}]"
        for word in ("password", "secret_key", "api_key ="):
            if word in text:
                yield f"{key}: {word}"
        for line in text.splitlines():
            if re.search(r"= [0-9]+\.0+$|e[+][0-9]+$", line):
                yield f"{key}: {line}"


def metrics(found):
    """Alerts and dashboard ask for metrics that docs/CLUSTER.md lists."""
    known = set(re.findall(r"^\| `(kudzu_[a-z_]+)` \|", (ROOT / "docs" / "CLUSTER.md").read_text(), re.MULTILINE))
    for key, document in found.items():
        if document["kind"] == "PrometheusRule" or "kudzu.json" in (document.get("data") or {}):
            for name in set(re.findall(r"\bkudzu_[a-z_]+", yaml.safe_dump(document))):
                bare = re.sub(r"_(bucket|count|sum)$", "", name)
                if name not in known and bare not in known:
                    yield f"{key}: there is no metric {name}"


def labelled(found):
    """Every object says what it belongs to, and where it is."""
    for key, document in found.items():
        for label in ("name", "instance", "component", "version", "managed-by", "part-of"):
            if not look(document, f"metadata labels app.kubernetes.io/{label}"):
                yield f"{key}: no label {label}"
        if not look(document, "metadata namespace"):
            yield f"{key}: no namespace"
        if not isinstance(look(document, "metadata namespace"), str):
            yield f"{key}: its namespace is no text"
        if len(document["metadata"]["name"]) > 63:
            yield f"{key}: its name is too long"
    # Pages of docs/alerts find pods by it.
    for key, labels, _ in pods(found):
        if labels.get("app.kubernetes.io/part-of") != "kudzu":
            yield f"{key}: its pods are no part of kudzu"


ALL = [
    restricted, links, accounts, requests, probes, once, selected, ports, policies, referenced, grace, one_scaler,
    settings, metrics, labelled,
]
