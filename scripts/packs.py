#!/usr/bin/env python3
"""Writes shared/packs/*.txt from the MISP warninglists (CC0-1.0).

The lists come from the data folder of the PyPI package pymispwarninglists, installed or
unpacked:

    pip install --target DIR --no-deps pymispwarninglists
    PYTHONPATH=DIR scripts/packs.py shared/packs
"""

import datetime
import importlib.metadata
import importlib.util
import ipaddress
import json
import pathlib
import re
import sys

# Pack name, MISP lists that it joins, class, and how its entries match: a `hostname` for
# itself and what is below it, a `string` for itself only, a `cidr` for what is in it.
PACKS = [
    ("cloudflare", ["cloudflare"], "cdn", "cidr"),
    ("fastly", ["fastly"], "cdn", "cidr"),
    ("akamai", ["akamai"], "cdn", "cidr"),
    ("stackpath", ["stackpath"], "cdn", "cidr"),
    ("amazon-aws", ["amazon-aws"], "cloud", "cidr"),
    ("google-gcp", ["google-gcp"], "cloud", "cidr"),
    ("microsoft-azure", ["microsoft-azure"], "cloud", "cidr"),
    ("ovh-cluster", ["ovh-cluster"], "shared-hosting", "cidr"),
    ("open-platforms", ["lots-project", "public-ipfs-gateways", "link-in-bio"], "shared-hosting", "hostname"),
    ("parking-domain", ["parking-domain"], "parking", "cidr"),
    ("parking-domain-ns", ["parking-domain-ns"], "parking", "hostname"),
    ("sinkholes", ["sinkholes", "umbrella-blockpage-v4", "umbrella-blockpage-v6"], "sinkhole", "cidr"),
    ("sinkhole-names", ["umbrella-blockpage-hostname"], "sinkhole", "hostname"),
    ("public-dns", ["public-dns-v4", "public-dns-v6"], "public-resolver", "cidr"),
    ("dynamic-dns", ["dynamic-dns"], "dynamic-dns", "hostname"),
    ("mail-hosts", ["smtp-receiving-ips", "smtp-sending-ips", "google-gmail-sending-ips"], "mail-provider", "cidr"),
    ("disposable-email", ["disposable-email"], "mail-provider", "hostname"),
    ("url-shortener", ["url-shortener"], "url-shortener", "hostname"),
    ("popular", ["cisco_top1000", "moz-top500"], "popular", "string"),
]

# The list of open resolvers has 62,745 IPv4 addresses, most of them somebody's router. Kept
# are those of public services; an address that MISP no longer lists is left out.
RESOLVERS = """
1.1.1.1 1.0.0.1 1.1.1.2 1.0.0.2 1.1.1.3 1.0.0.3 8.8.8.8 8.8.4.4 9.9.9.9 9.9.9.10 9.9.9.11
149.112.112.112 149.112.112.10 149.112.112.11 208.67.222.222 208.67.220.220 208.67.222.220
208.67.220.222 208.67.222.123 208.67.220.123 4.2.2.1 4.2.2.2 4.2.2.3 4.2.2.4 4.2.2.5 4.2.2.6
64.6.64.6 64.6.65.6 94.140.14.14 94.140.15.15 94.140.14.15 94.140.15.16 76.76.2.0 76.76.10.0
76.76.19.19 76.223.122.150 185.228.168.9 185.228.169.9 185.228.168.168 185.228.169.168
77.88.8.8 77.88.8.1 77.88.8.2 77.88.8.7 77.88.8.88 84.200.69.80 84.200.70.40 114.114.114.114
114.114.115.115 223.5.5.5 223.6.6.6 119.29.29.29 180.76.76.76 156.154.70.1 156.154.71.1
101.101.101.101 101.102.103.104 193.110.81.0 185.253.5.0 8.26.56.26 8.20.247.20 195.46.39.39
195.46.39.40 80.80.80.80 80.80.81.81 74.82.42.42 91.239.100.100 89.233.43.71 45.90.28.0
45.90.30.0 216.146.35.35 216.146.36.36 199.85.126.10 199.85.127.10 209.244.0.3 209.244.0.4
""".split()

NAME = re.compile(r"^(?=.{4,253}$)([a-z0-9_-]{1,63}\.)+[a-z][a-z0-9-]{0,62}$")


def networks(entries):
    """Blocks, joined where they touch."""
    nets = []
    for entry in entries:
        net = ipaddress.ip_network(entry.strip(), strict=False)
        mapped = net.version == 6 and net.prefixlen == 128 and net.network_address.ipv4_mapped
        nets.append(ipaddress.ip_network(mapped) if mapped else net)
    out = []
    for version in (4, 6):
        for net in ipaddress.collapse_addresses(n for n in nets if n.version == version):
            out.append(str(net.network_address) if net.prefixlen == net.max_prefixlen else str(net))
    return out


def dates(versions):
    """The versions that are a date, as YYYY-MM-DD."""
    found = []
    for version in map(str, versions):
        try:
            found.append(datetime.datetime.strptime(version, "%Y%m%d").date().isoformat())
        except ValueError:
            pass
    return found


def parents(name):
    return (name.split(".", i)[-1] for i in range(1, name.count(".") + 1))


def names(entries, below):
    """Names; with `below`, one that has its parent in the list is left out."""
    found = set()
    for entry in entries:
        name = entry.strip().lower().removeprefix("*").strip(".")
        name = name.split("/")[0]
        if not name.isascii():
            try:
                name = name.encode("idna").decode()
            except UnicodeError:
                continue
        if NAME.match(name):
            found.add(name)
    if below:
        found = {n for n in found if not any(p in found for p in parents(n))}
    return sorted(found)


def main(out):
    spec = importlib.util.find_spec("pymispwarninglists")
    lists = pathlib.Path(spec.submodule_search_locations[0]) / "data" / "misp-warninglists" / "lists"
    release = importlib.metadata.version("pymispwarninglists")
    every = [json.loads(path.read_text())["version"] for path in lists.glob("*/list.json")]
    newest = max(dates(every))
    for pack, sources, klass, kind in PACKS:
        read = [json.loads((lists / source / "list.json").read_text()) for source in sources]
        entries = [entry for data in read for entry in data["list"]]
        if pack == "public-dns":
            entries = [e for e in entries if ":" in e or e in RESOLVERS]
        lines = networks(entries) if kind == "cidr" else names(entries, kind == "hostname")
        header = {
            "name": pack,
            "class": klass,
            "type": kind,
            "version": "+".join(str(data["version"]) for data in read),
            # The oldest of what it joins; lists that count their versions stand as of the release.
            "date": min(dates(data["version"] for data in read), default=newest),
            "source": f"MISP warninglists {', '.join(sources)} (pymispwarninglists {release})",
            "licence": "CC0-1.0",
            "entries": len(lines),
        }
        text = "".join(f"# {key}: {value}\n" for key, value in header.items()) + "\n".join(lines) + "\n"
        (out / f"{pack}.txt").write_text(text)
        print(f"{pack}: {len(lines)} entries, {len(text)} octets")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]))
