#!/usr/bin/env python3
"""Writes helm/kudzu/values.schema.json: types from values.yaml, settings from
docs/kudzu.example.toml, and RULES for what these do not say.

    scripts/chart_schema.py [--check]
"""

import json
import re
import sys
import tomllib

from chart_values import CHART, ROOT, load, settle

SETTINGS = ROOT / "docs" / "kudzu.example.toml"

# What is not in the ConfigMap: secrets, and what the chart sets itself. Without tokens a
# coordinator listens on loopback alone, which is of no use here.
ELSEWHERE = {
    "archive", "broker", "redis", "client", "api.listen", "api.advertise", "api.auth",
    "pdns.password", "pdns.api_key", "sources.example.api_key",
}

TEXT = {"type": "string"}


def named(pattern, schema):
    """A table whose keys users choose. An error of propertyNames would not say where it is."""
    return {"type": "object", "additionalProperties": False, "patternProperties": {pattern: schema}}


NAME = {"type": "string", "minLength": 1}
# A Service has it in its name.
DNS_NAME = {"type": "string", "pattern": "^([a-z]([a-z0-9-]*[a-z0-9])?)?$"}
COUNT = {"type": "integer", "minimum": 0}
MARKING = {"type": "string", "pattern": "^(TLP:|PAP:)?(CLEAR|GREEN|AMBER|AMBER\\+STRICT|RED)$"}
WEB = {"type": "string", "pattern": "^(https?://[^@\\s]+)?$"}
OBJECT = {"type": "object"}
OBJECTS = {"type": "array", "items": OBJECT}
TEXTS = {"type": "object", "additionalProperties": TEXT}
PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
# An empty list would be every port, and everybody.
PORTS = {"type": "array", "minItems": 1, "items": PORT}
PEERS = {"type": "array", "minItems": 1, "items": OBJECT}
# null takes a default out.
SHARES = {"type": "object", "additionalProperties": {"type": ["string", "number", "null"]}}
RESOURCES = {
    "type": "object", "additionalProperties": False, "properties": {"limits": SHARES, "requests": SHARES},
}
OWN_PASSWORD = {"type": "string", "pattern": "^[A-Za-z0-9._-]+$"}
OCTET = "(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
IPV6 = "[0-9a-fA-F]*:[0-9a-fA-F:.]*"
# A policy takes no names.
RESOLVER = {"type": "string", "pattern": f"^({OCTET}(\\.{OCTET}){{3}}(:[0-9]+)?|{IPV6}|\\[{IPV6}\\](:[0-9]+)?)$"}


def one_of(*values):
    """One of some words."""
    return {"enum": list(values)}


def url(*schemes):
    """A URL with one of these schemes, or none."""
    return {"type": "string", "pattern": f"^(({'|'.join(schemes)})://\\S+)?$"}


# By path, or by a last part of it after "*.".
RULES = {
    "nameOverride": DNS_NAME,
    "fullnameOverride": DNS_NAME,
    "commonLabels": TEXTS,
    "image.repository": NAME,
    "image.digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
    "image.pullPolicy": one_of("Always", "IfNotPresent", "Never"),
    "image.pullSecrets": {"type": "array", "items": NAME},
    "serviceAccount.annotations": TEXTS,
    "*.podSecurity.user": {"type": "integer", "minimum": 1},
    "*.podSecurity.group": {"type": "integer", "minimum": 1},
    "files": named("^[A-Za-z0-9._-]+$", TEXT),
    "broker.url": url("amqps?"),
    "redis.url": url("rediss?", "rediss?-sentinel", "rediss?-cluster"),
    "sources.env": named("^KUDZU_(PDNS__(PASSWORD|API_KEY)|SOURCES__[A-Z0-9_-]+__API_KEY)$", TEXT),
    "archive.type": one_of("claim", "s3", "memory"),
    "archive.claim.accessModes": {
        "type": "array", "minItems": 1,
        "items": one_of("ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany"),
    },
    "archive.claim.size": {"type": "string", "pattern": "^[0-9.]+(k|[KMGTPE]i?)?$"},
    "archive.s3.url": url("s3"),
    "archive.s3.endpoint": WEB,
    "coordinator.replicas": {"type": "integer", "minimum": 1, "maximum": 100},
    "coordinator.preStopSeconds": {"type": "integer", "minimum": 1, "maximum": 120},
    "coordinator.service.type": one_of("ClusterIP", "NodePort", "LoadBalancer"),
    "coordinator.service.port": PORT,
    "*.annotations": TEXTS,
    "*.labels": TEXTS,
    "*.podLabels": TEXTS,
    "*.podAnnotations": TEXTS,
    "*.alertLabels": TEXTS,
    "*.nodeSelector": TEXTS,
    "*.tolerations": OBJECTS,
    "*.affinity": OBJECT,
    "*.topologySpreadConstraints": OBJECTS,
    "*.extraEnv": {"type": "array", "items": {"type": "object", "required": ["name"], "properties": {"name": NAME, "value": TEXT}}},
    "*.extraVolumes": OBJECTS,
    "*.extraVolumeMounts": OBJECTS,
    "*.resources": RESOURCES,
    "*.behavior": OBJECT,
    "*.mode": one_of("none", "hpa", "keda"),
    "*.hpa.metric": one_of("cpu", "external"),
    "*.hpa.cpuPercent": {"type": "integer", "minimum": 1, "maximum": 1000},
    "*.hpa.external.type": one_of("AverageValue", "Value"),
    "*.hpa.external.target": {"type": ["string", "number"]},
    "*.keda.signal": one_of("seconds", "lookups", "queue"),
    "*.keda.seconds": {"type": "integer", "minimum": 1},
    "*.keda.lookups": {"type": "integer", "minimum": 1},
    "*.keda.queue.target": {"type": "integer", "minimum": 1},
    "*.keda.queue.protocol": one_of("amqp", "http"),
    "*.maxReplicas": {"type": "integer", "minimum": 1},
    "networkPolicy.publicPorts": {"type": "array", "items": PORT},
    "*.Ports": PORTS,
    "*.To": PEERS,
    "*.From": OBJECTS,
    "*.Egress": OBJECTS,
    "*.closed4": {"type": "array", "items": {"type": "string", "pattern": "^[0-9.]+/[0-9]+$"}},
    "*.closed6": {"type": "array", "items": {"type": "string", "pattern": "^[0-9a-fA-F:]+/[0-9]+$"}},
    "metrics.monitors.interval": {"type": "string", "pattern": "^[0-9]+(ms|s|m)$"},
    "metrics.rules.runbooks": WEB,
    "devServices.password": OWN_PASSWORD,
    "devServices.token": OWN_PASSWORD,
    "devServices.rabbitmq.command": {"type": "array", "minItems": 1, "items": NAME},
    "devServices.redis.command": {"type": "array", "minItems": 1, "items": NAME},
    # Numbers are floating ones here.
    "devServices.simnet.seed": {"type": "integer", "minimum": 0, "maximum": 2**53 - 1},
    "devServices.simnet.scale": {"type": "number", "exclusiveMinimum": 0, "maximum": 100},
}
CLASSES = {
    "type": "array", "minItems": 1, "uniqueItems": True, "items": one_of("dns", "http", "local"),
}


def rule(path):
    """What RULES says of a path."""
    dotted = "." + ".".join(path)
    if (own := RULES.get(dotted[1:])) is not None:
        return own
    for pattern, found in RULES.items():
        tail = pattern.removeprefix("*")
        # "*.To" also holds for names that end so: brokerTo.
        if pattern != tail and (dotted.endswith(tail) or (tail[1].isupper() and dotted.endswith(tail[1:]))):
            return found
    return None


def table(properties, **more):
    """A table of ours: nothing else may be in it."""
    return {"type": "object", "additionalProperties": False, "properties": properties, **more}


def scalar(value):
    """The schema of a value whose type says enough."""
    if isinstance(value, bool):
        return {"type": "boolean"}
    if isinstance(value, int):
        return COUNT
    if isinstance(value, str):
        return TEXT
    return None


def of(value, path):
    """The schema of a value by what it is."""
    if path == ("config",):
        return settings()
    if path == ("workers",):
        return named("^[a-z]([a-z0-9-]{0,14}[a-z0-9])?$", {"$ref": "#/definitions/workers"})
    if (found := rule(path)) is not None:
        return found
    if (found := scalar(value)) is not None:
        return found
    if isinstance(value, dict) and value:
        return table({key: of(one, path + (key,)) for key, one in value.items()})
    raise SystemExit(f"scripts/chart_schema.py: {'.'.join(path)}: RULES has to say what it is")


def example():
    """The settings there are: those of the example, with what it has in comments."""
    lines = []
    for line in SETTINGS.read_text().splitlines():
        bare = re.sub(r"^# ", "", line)
        if re.match(r"^(\[[a-z0-9_.]+\]|[a-z0-9_]+ = )", bare):
            lines.append(bare)
        elif not line.startswith("#"):
            lines.append(line)
    return tomllib.loads("\n".join(lines))


def setting(value, path):
    """The schema of a setting by what the example has."""
    key = path[-1]
    if key in ("max_tlp", "marking", "tlp", "pap"):
        return MARKING
    if key == "rate":
        return {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"const": "inf"}]}
    if key == "scopes":
        return {"type": "array", "minItems": 1, "items": one_of("read", "submit")}
    if key == "sha256":
        return {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"}
    if key in ("url", "bootstrap", "otlp") and path[0] != "sources":
        return WEB
    if key == "headers":
        return TEXTS
    if (found := scalar(value)) is not None:
        return found
    if isinstance(value, float):
        return {"type": "number", "exclusiveMinimum": 0}
    if key == "resolvers":
        return {"type": "array", "items": RESOLVER}
    if isinstance(value, list):
        return {"type": "array", "items": TEXT}
    return TEXT


def section(values, path):
    """A section, or a table below it; what is elsewhere is not in it."""
    kept = {key: value for key, value in values.items() if ".".join(path + (key,)) not in ELSEWHERE}
    below = {
        key: section(value, path + (key,)) if isinstance(value, dict) and key != "headers" else setting(value, path + (key,))
        for key, value in kept.items()
    }
    # Tables by a name that users choose, of which the example shows one.
    if path in (("api", "tokens"), ("tenants",), ("sources",), ("pairs",)):
        (shown,) = below.values()
        return named("^[A-Za-z0-9_-]+$" if path == ("api", "tokens") else "^[a-z0-9_-]{1,64}$", shown)
    required = {"api.tokens.ci": ["tenant", "sha256", "scopes"], "tenants.soc": ["tlp", "pap"], "sources.example": ["url", "takes", "value"]}
    more = {"required": required[".".join(path)]} if ".".join(path) in required else {}
    return table(below, **more)


def settings():
    """The schema of `config`."""
    kept = {key: value for key, value in example().items() if key not in ELSEWHERE}
    return table({key: section(value, (key,)) for key, value in kept.items()})


def schema():
    """All of it."""
    values = load()
    properties = {key: of(value, (key,)) for key, value in values.items()}
    worker = properties["workerDefaults"]["properties"] | {"classes": CLASSES}
    several = {"properties": {"replicas": {"type": "integer", "minimum": 2}}, "required": ["replicas"]}
    a_claim = {"properties": {"type": {"const": "claim"}}, "required": ["type"]}
    # Its error names the mode that is wanted.
    shared = {"properties": {"accessModes": {"items": {"const": "ReadWriteMany"}}}}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart kudzu; written by scripts/chart_schema.py",
        **table(properties | {"global": OBJECT}),
        "allOf": [{
            "if": {"properties": {"coordinator": several, "archive": a_claim}, "required": ["coordinator", "archive"]},
            "then": {"properties": {"archive": {"properties": {"claim": shared}}}},
        }],
        "definitions": {"workers": {**table(worker), "type": ["object", "null"]}},
    }


def written(value, indent=0):
    """JSON with what fits on a line on one."""
    flat = json.dumps(value)
    if not isinstance(value, dict) or len(flat) + indent <= 170 or not value:
        return flat
    pad = " " * (indent + 1)
    rows = [f"{pad}{json.dumps(key)}: {written(one, indent + 1)}" for key, one in value.items()]
    return "{\n" + ",\n".join(rows) + "\n" + " " * indent + "}"


if __name__ == "__main__":
    text = written(schema()) + "\n"
    sys.exit(settle(CHART / "values.schema.json", text, "--check" in sys.argv[1:], "scripts/chart_schema.py"))
