#!/usr/bin/env python3
"""Measures `kudzu resolve` against massdns and hickory-resolver, on real servers on loopback.

    scripts/bench_dns.py --kudzu PATH --hickory PATH [--massdns FOLDER] [--pairs N]

It starts NSD (one process, a zone of 400,000 names) and kudzu's simulated internet itself,
builds massdns in a copy of the given source folder (without one it is left out, and said so),
runs the commands that are compared in turns, and writes medians with the raw figures to
docs/DNS-BENCH.md and docs/dns-bench.json. Everything is bounded in count and time, and goes to
127.0.0.1 only. Needs Python 3.9 and nsd.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

NAMES = 400_000
SIZES = (500, 1000, 2000, 5000, 10_000)
LIMIT = 900  # seconds for any one command


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        return udp.getsockname()[1]


class Run:
    """One command: wall and CPU seconds, its most memory, its lines."""

    def __init__(self, command, stdin=None, out=subprocess.DEVNULL):
        begin = time.monotonic()
        with open(stdin, "rb") if stdin else open(os.devnull, "rb") as source:
            child = subprocess.Popen(command, stdin=source, stdout=out, stderr=subprocess.PIPE)
            timer = threading.Timer(LIMIT, child.kill)
            timer.start()
            errors = child.stderr.read()
            _, status, usage = os.wait4(child.pid, 0)
            timer.cancel()
            child.returncode = os.waitstatus_to_exitcode(status)
        self.wall = time.monotonic() - begin
        if child.returncode != 0:
            sys.exit(f"failed ({child.returncode}): {command}\n{errors.decode(errors='replace')}")
        self.cpu = usage.ru_utime + usage.ru_stime
        self.rss = usage.ru_maxrss // 1024
        self.errors = errors.decode(errors="replace")


class Bench:
    def __init__(self, args, folder: Path):
        self.args, self.folder = args, folder
        self.raw: dict = {}
        self.children: list[subprocess.Popen] = []
        self.names = folder / "names.txt"
        self.massdns = self.build_massdns()

    # servers

    def names_and_zone(self) -> None:
        """Names of 2 to 5 syllables, half of them with a number, as people make them."""
        rng, names = random.Random(5), set()
        while len(names) < self.args.names:
            word = "".join(rng.choice("bcdfghjklmnpqrstvwz") + rng.choice("aeiou") for _ in range(rng.choice([2, 3, 3, 4, 4, 5])))
            names.add(word + (str(rng.randrange(1000)) if rng.random() < 0.5 else ""))
        names = sorted(names)
        rng.shuffle(names)
        soa = "ns.bench.test. host.bench.test. 1 3600 600 86400 60"
        address = lambda i: f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}"
        self.names.write_text("".join(f"{n}.bench.test\n" for n in names))
        with open(self.folder / "bench.zone", "w") as zone:
            zone.write(f"$ORIGIN bench.test.\n$TTL 3600\n@ SOA {soa}\n@ NS ns\nns A 127.0.0.1\n")
            zone.writelines(f"{n} A {address(i)}\n" for i, n in enumerate(names))
        zones = {"bench.test": {"SOA": [soa], "NS": ["ns.bench.test."]}}
        zones.update({f"{n}.bench.test": {"A": [address(i)]} for i, n in enumerate(names)})
        (self.folder / "world.json").write_text(json.dumps({"as_of": "2026-11-01", "zones": zones}))

    def nsd(self) -> str:
        port = free_port()
        conf = self.folder / "nsd.conf"
        conf.write_text(
            f"server:\n  ip-address: 127.0.0.1@{port}\n  server-count: 1\n  username: \"\"\n  chroot: \"\"\n"
            f"  zonesdir: \"{self.folder}\"\n  pidfile: \"{self.folder}/nsd.pid\"\n  database: \"\"\n"
            f"  xfrdfile: \"{self.folder}/xfrd.state\"\n  zonelistfile: \"{self.folder}/zone.list\"\n"
            f"  logfile: \"{self.folder}/nsd.log\"\n  rrl-ratelimit: 0\nremote-control:\n  control-enable: no\n"
            f"zone:\n  name: bench.test\n  zonefile: bench.zone\n"
        )
        self.children.append(subprocess.Popen(["nsd", "-d", "-c", str(conf)], stderr=subprocess.DEVNULL))
        return self.wait_for(port)

    def simnet(self, *options: str, world: bool = True):
        command = [self.args.kudzu, "simnet", *(["--world", str(self.folder / "world.json")] if world else []), *options]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.children.append(child)
        return child, json.loads(child.stdout.readline())["dns"]

    def wait_for(self, port: int) -> str:
        """Until the server answers; loading a zone takes seconds."""
        query = b"\0\1\1\0\0\1\0\0\0\0\0\0\2ns\5bench\4test\0\0\1\0\1"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.settimeout(0.2)
            for _ in range(300):
                udp.sendto(query, ("127.0.0.1", port))
                try:
                    if len(udp.recv(512)) > 40:
                        return f"127.0.0.1:{port}"
                except OSError:
                    time.sleep(0.1)
        sys.exit("the server does not answer")

    def stop(self, child=None) -> str:
        """Ends servers; gives what the one given has printed."""
        text = ""
        for each in [child] if child else self.children:
            if each.poll() is None:
                each.send_signal(signal.SIGINT if child else signal.SIGTERM)
                try:
                    out, err = each.communicate(timeout=20)
                    text = (out or "") + (err or "")
                except subprocess.TimeoutExpired:
                    each.kill()
        return text

    # clients

    def build_massdns(self):
        if not self.args.massdns:
            say("massdns: no source folder given (--massdns FOLDER); it is left out")
            return None
        copy = self.folder / "massdns"
        shutil.copytree(self.args.massdns, copy, dirs_exist_ok=True)
        subprocess.run(["make", "-C", str(copy)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return str(copy / "bin" / "massdns")

    def kudzu(self, servers, *options, names=None, out=None, own=True):
        summary = self.folder / "summary.json"
        command = [self.args.kudzu, "resolve", "--quiet", "--no-check", "--summary", str(summary)]
        command += ["--own"] if own else []
        for server in servers:
            command += ["--resolver", server]
        with open(out, "wb") if out else open(os.devnull, "wb") as sink:
            run = Run([*command, *options, str(names or self.names)], out=sink)
        run.summary = json.loads(summary.read_text())
        return run

    def run_massdns(self, server: str, size: int, out: Path):
        resolvers = self.folder / "resolvers.txt"
        resolvers.write_text(server + "\n")
        return Run([self.massdns, "-r", str(resolvers), "-s", str(size), "-t", "A", "-o", "S", "-w", str(out), "--quiet", str(self.names)])

    # measurements

    def pairs(self, what: str, server: str) -> None:
        """The same names, the same output, in turns."""
        n, ours, theirs = self.args.names, self.folder / "ours.txt", self.folder / "theirs.txt"
        if not self.massdns:
            runs = [self.kudzu([server], "--format", "simple", out=ours) for _ in range(self.args.pairs)]
            self.raw[what] = {"kudzu": [(r.wall, r.cpu) for r in runs]}
            return
        sizes = {s: [self.run_massdns(server, s, theirs).wall for _ in range(2)] for s in SIZES}
        best = min(sizes, key=lambda s: min(sizes[s]))
        say(f"{what}: massdns is best at -s {best}")
        rows = []
        for i in range(self.args.pairs):
            a = self.kudzu([server], "--format", "simple", out=ours)
            b = self.run_massdns(server, best, theirs)
            if i == 0 and sorted(ours.read_bytes().split(b"\n")) != sorted(theirs.read_bytes().split(b"\n")):
                sys.exit(f"{what}: the outputs differ: {ours} {theirs}")
            verdicts = a.summary["verdicts"]
            if verdicts != {"found": n} or sum(1 for _ in open(ours)) != n:
                sys.exit(f"{what}: not all answered once: {verdicts}")
            rows.append({"kudzu_wall": a.wall, "kudzu_cpu": a.cpu, "massdns_wall": b.wall, "massdns_cpu": b.cpu})
            say(f"{what}: kudzu {a.wall:.2f} s (CPU {a.cpu:.2f}), massdns {b.wall:.2f} s (CPU {b.cpu:.2f})")
        self.raw[what] = {"massdns_sizes": sizes, "best": best, "pairs": rows}

    def in_flight(self, server: str) -> None:
        sizes, rows = (1, 10, 100, 300, 1000, 3000, 10_000), {}
        few = self.folder / "few.txt"
        lines = self.names.read_text().splitlines(keepends=True)
        few.write_text("".join(lines[:20_000]))
        # In turns, since the machine is not the same all the time.
        for n in sizes * 5:
            names, count = (few, 20_000) if n < 100 else (self.names, len(lines))
            run = self.kudzu([server], "--in-flight", str(n), "--format", "simple", names=names)
            if run.summary["verdicts"] != {"found": count}:
                sys.exit(f"in flight {n}: {run.summary['verdicts']}")
            rows.setdefault(n, []).append(count / run.wall)
        for n in sizes:
            say(f"in flight {n}: {statistics.median(rows[n]):,.0f}/s, all answered")
        self.raw["in_flight"] = rows

    def hickory(self, what: str, server: str) -> None:
        rows = []
        few = self.folder / "hickory.txt"
        few.write_text("".join(self.names.read_text().splitlines(keepends=True)[:50_000]))
        for _ in range(3):
            run = Run([self.args.hickory, server], stdin=few)
            ours = self.kudzu([server], "--format", "simple", names=few)
            rows.append({"hickory": 50_000 / run.wall, "kudzu": 50_000 / ours.wall})
            say(f"{what}: hickory-resolver {rows[-1]['hickory']:,.0f}/s, kudzu {rows[-1]['kudzu']:,.0f}/s")
        self.raw.setdefault("hickory", {})[what] = rows

    def loss(self) -> None:
        rows = {}
        for each_way in (0.0, 0.01, 0.05, 0.2):
            both = 1 - (1 - each_way) ** 2
            child, servers = self.simnet("--latency", "10", "--resolvers", "2", "--loss", f"{both:.6f}")
            run = self.kudzu(servers)
            self.stop(child)
            found = run.summary["verdicts"].get("found", 0) / self.args.names
            sends = run.summary["datagrams"]["sent"] / self.args.names
            rows[each_way] = {"answered": found, "seconds": run.wall, "sends": sends}
            say(f"loss {each_way:.0%} each way: {found:.4%} answered in {run.wall:.1f} s, {sends:.3f} sends each")
        self.raw["loss"] = rows

    def dead_one(self) -> None:
        """Without limits, where the machine is the bound, and with a rate for each resolver."""
        for limit, options in (("unlimited", ""), ("10,000/s each", " rate=10000")):
            rows = []
            for _ in range(5):
                child, servers = self.simnet("--latency", "10", "--resolvers", "8")
                live, dead = self.folder / "live.txt", self.folder / "dead.txt"
                live.write_text("".join(f"{s}{options}\n" for s in servers[:7]))
                dead.write_text(live.read_text() + f"127.0.0.1:{free_port()}{options}\n")
                seven = self.kudzu([], "--resolvers", str(live))
                with_dead = self.kudzu([], "--resolvers", str(dead))
                self.stop(child)
                for run in (seven, with_dead):
                    if run.summary["verdicts"] != {"found": self.args.names}:
                        sys.exit(f"one dead: {run.summary['verdicts']}")
                rows.append({"seven": seven.wall, "with_dead": with_dead.wall})
                say(f"{limit}: seven resolvers {seven.wall:.2f} s, with a dead one {with_dead.wall:.2f} s")
            self.raw.setdefault("one_dead_of_8", {})[limit] = rows

    def outage(self) -> None:
        """The server stops for 30 s in the middle; answers are counted each half second."""
        child, servers = self.simnet("--latency", "10")
        command = [self.args.kudzu, "resolve", "--quiet", "--no-check", "--own", "--format", "simple", "--rate", "50000"]
        names = self.folder / "endless.txt"
        with open(names, "w") as out:
            for _ in range(5):
                out.write(self.names.read_text())
        run = subprocess.Popen([*command, "--resolver", servers[0], str(names)], stdout=subprocess.PIPE)
        os.set_blocking(run.stdout.fileno(), False)
        begin, per, stopped = time.monotonic(), {}, False
        while (now := time.monotonic() - begin) < 45 and run.poll() is None:
            if not stopped and 5 <= now < 35:
                os.kill(child.pid, signal.SIGSTOP)
                stopped = True
            if stopped and now >= 35:
                os.kill(child.pid, signal.SIGCONT)
                stopped = False
            block = run.stdout.read()
            per[int(now * 2)] = per.get(int(now * 2), 0) + (block.count(b"\n") if block else 0)
            time.sleep(0.02)
        run.kill()
        run.wait()
        self.stop(child)
        rates = [2 * per.get(i, 0) for i in range(90)]
        before = statistics.median(rates[4:9])
        back = next((i / 2 - 35 for i in range(70, 90) if rates[i] >= 0.9 * before), None)
        say(f"outage of 30 s: {before:,.0f}/s before; at 90 % of that {back} s after it")
        self.raw["outage"] = {"rates": rates, "before": before, "back_after": back}

    def politeness(self) -> None:
        rows = []
        few = self.folder / "polite.txt"
        few.write_text("".join(self.names.read_text().splitlines(keepends=True)[:100_000]))
        for rate in (5000, 20_000):
            child, servers = self.simnet("--latency", "10", "--stats")
            run = self.kudzu(servers, "--rate", str(rate), names=few)
            stats = json.loads(self.stop(child).strip().splitlines()[-1])
            rows.append({"rate": rate, "most": stats["dns_max_rate"], "seconds": run.wall})
            say(f"rate {rate}: at most {stats['dns_max_rate']} in any second at the server, {run.wall:.1f} s")
        self.raw["politeness"] = rows

    def memory(self) -> None:
        child, servers = self.simnet("--latency", "0")
        rows = {}
        for millions in (1, 10):
            command = [self.args.kudzu, "resolve", "--quiet", "--no-check", "--own", "--resolver", servers[0], "--format", "simple", "-"]
            run = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
            lines = self.names.read_bytes().splitlines(keepends=True)
            written = 0
            while written < millions * 1_000_000:
                part = lines[: millions * 1_000_000 - written]
                run.stdin.write(b"".join(part))
                written += len(part)
            run.stdin.close()
            timer = threading.Timer(LIMIT, run.kill)
            timer.start()
            _, _, usage = os.wait4(run.pid, 0)
            timer.cancel()
            rows[f"{millions} million"] = usage.ru_maxrss // 1024
            say(f"{millions} million names: {usage.ru_maxrss // 1024} MiB")
        self.stop(child)
        self.raw["memory_mib"] = rows

    def all(self) -> None:
        self.names_and_zone()
        server = self.nsd()
        self.pairs("NSD", server)
        self.in_flight(server)
        self.hickory("NSD", server)
        self.stop()
        self.children.clear()
        child, servers = self.simnet("--latency", "0")
        self.pairs("simnet", servers[0])
        self.hickory("simnet", servers[0])
        self.stop(child)
        self.loss()
        self.dead_one()
        self.politeness()
        self.memory()
        self.outage()


def median(rows, key):
    return statistics.median(key(r) for r in rows)


def report(bench: Bench) -> str:
    raw, out = bench.raw, []
    cpu = next((l.split(":", 1)[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "?")
    out.append("# The DNS engine, measured\n")
    out.append(
        f"`make bench-dns` on {time.strftime('%Y-%m-%d')}: {os.cpu_count()} cores ({cpu}), Linux {platform.release()}. "
        f"Client and server share them. {bench.args.names:,} distinct names, asked for A, answers written as "
        "`name type data`; commands in turns; medians. Raw figures: [dns-bench.json](dns-bench.json).\n"
    )
    out.append("## Against massdns\n")
    if bench.massdns:
        out.append("Both wrote the same lines, each name answered once.\n")
        out.append("| server | kudzu | massdns, best `-s` | rate | CPU |\n|---|---|---|---|---|")
        for what in ("NSD", "simnet"):
            rows, n = raw[what]["pairs"], bench.args.names
            us = lambda who: median(rows, lambda r: r[f"{who}_cpu"]) / n * 1e6
            rate = median(rows, lambda r: r["massdns_wall"] / r["kudzu_wall"])
            cpu = median(rows, lambda r: r["kudzu_cpu"] / r["massdns_cpu"])
            cell = lambda who: f"{n / median(rows, lambda r: r[f'{who}_wall']):,.0f}/s, {us(who):.1f} us CPU a question"
            out.append(f"| {what} | {cell('kudzu')} | {cell('massdns')} (`-s {raw[what]['best']}`) | {rate:.2f} times | {cpu:.2f} times |")
    else:
        out.append("massdns was left out: no source folder was given.")
    out.append("\n## Against hickory-resolver\n\n50,000 of the names, 2,000 in flight.\n")
    out.append("| server | kudzu | hickory-resolver | rate |\n|---|---|---|---|")
    for what, rows in raw["hickory"].items():
        rates = [median(rows, lambda r, who=who: r[who]) for who in ("kudzu", "hickory")]
        times = median(rows, lambda r: r["kudzu"] / r["hickory"])
        out.append(f"| {what} | {rates[0]:,.0f}/s | {rates[1]:,.0f}/s | {times:.1f} times |")
    out.append("")
    out.append("## Any number in flight (NSD)\n\n| in flight | questions a second | answered |\n|---|---|---|")
    out += [f"| {n:,} | {statistics.median(r):,.0f} | 100 % |" for n, r in raw["in_flight"].items()]
    out.append("\n## Loss (two resolvers, 10 ms)\n\n| lost each way | answered | time | sends a question |\n|---|---|---|---|")
    out += [f"| {l:.0%} | {r['answered']:.4%} | {r['seconds']:.1f} s | {r['sends']:.3f} |" for l, r in raw["loss"].items()]
    out.append(
        "\nA question whose sends are lost is sent again after 0.2 s at first, up to five times, and the last send is "
        "waited for 2 s: so much longer takes the end of a run, however many names it has."
    )
    o = raw["outage"]
    out.append("\n## Failures\n")
    out.append(
        "".join(
            f"- One dead resolver beside seven, {limit}: {median(rows, lambda r: r['with_dead'] / r['seven']):.3f} times the time of the seven, all answered.\n"
            for limit, rows in raw["one_dead_of_8"].items()
        )
        + f"- A server that stops for 30 s at {o['before']:,.0f}/s: the rate is back {o['back_after']} s after it goes on.\n"
    )
    out.append("## Politeness, counted at the server\n\n| asked for | most in any second | 100,000 questions took |\n|---|---|---|")
    out += [f"| {r['rate']:,}/s | {r['most']:,} | {r['seconds']:.1f} s |" for r in raw["politeness"]]
    out.append("\n## Memory\n\n" + "; ".join(f"{k} names: {v} MiB" for k, v in raw["memory_mib"].items()) + " at most.\n")
    out.append(asked(bench))
    return "\n".join(out)


def asked(bench: Bench) -> str:
    """What it was built to reach, and whether it did in this run."""
    raw, rows = bench.raw, []

    def goal(what: str, seen: float, most: bool, limit: float, form: str) -> None:
        met = seen <= limit if most else seen >= limit
        word = "at most" if most else "at least"
        rows.append(f"| {what} | {word} {limit:{form}} | {seen:{form}} | {'yes' if met else '**no**'} |")

    if bench.massdns:
        for what, least in (("NSD", 1.2), ("simnet", 1.5)):
            pairs = raw[what]["pairs"]
            goal(f"rate over massdns's, {what}", median(pairs, lambda r: r["massdns_wall"] / r["kudzu_wall"]), False, least, ".2f")
            goal(f"CPU over massdns's, {what}", median(pairs, lambda r: r["kudzu_cpu"] / r["massdns_cpu"]), True, 0.6, ".2f")
    for what, pairs in raw["hickory"].items():
        goal(f"rate over hickory-resolver's, {what}", median(pairs, lambda r: r["kudzu"] / r["hickory"]), False, 8, ".1f")
    rates = {n: statistics.median(r) for n, r in raw["in_flight"].items()}
    goal("rate at 10,000 in flight over the best", rates[10_000] / max(rates.values()), False, 0.9, ".2f")
    for loss, least in ((0.01, 0.9999), (0.05, 0.999), (0.2, 0.99)):
        goal(f"answered at {loss:.0%} loss each way", raw["loss"][loss]["answered"], False, least, ".3%")
    for limit, pairs in raw["one_dead_of_8"].items():
        goal(f"time with a dead resolver of 8, {limit}", median(pairs, lambda r: r["with_dead"] / r["seven"]), True, 1.05, ".3f")
    for row in raw["politeness"]:
        goal(f"most in a second over {row['rate']:,}", row["most"] / row["rate"], True, 1.05, ".3f")
    back = raw["outage"]["back_after"]
    goal("seconds until the rate is back after an outage", math.inf if back is None else back, True, 3, ".1f")
    return "\n## What it was built to reach\n\n| | goal | seen | met |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kudzu", required=True)
    parser.add_argument("--hickory", required=True, help="the example of that name")
    parser.add_argument("--massdns", help="its source folder")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--names", type=int, default=NAMES)
    parser.add_argument("--docs", default="docs")
    args = parser.parse_args()
    if not shutil.which("nsd"):
        sys.exit("nsd is missing: install the system package nsd")
    with tempfile.TemporaryDirectory(prefix="kudzu-bench-") as folder:
        bench = Bench(args, Path(folder))
        try:
            bench.all()
        finally:
            bench.stop()
        docs = Path(args.docs)
        (docs / "dns-bench.json").write_text(json.dumps(bench.raw, indent=1) + "\n")
        (docs / "DNS-BENCH.md").write_text(report(bench))
        say(f"wrote {docs}/DNS-BENCH.md and {docs}/dns-bench.json")


if __name__ == "__main__":
    main()
