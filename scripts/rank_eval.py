#!/usr/bin/env python3
"""How good is the ranking? Measured from outside: candidates.json against the truth.

For each world: runs `kudzu demo`, reads candidates.json, tree.ndjson and the truth, and
computes precision and recall at n and 2n (n = planned domains that the truth calls
reachable), the share of decoys, and the same for three baselines on the same tree:
degree, breadth-first order, and plain personalised PageRank. Standard library only.

    scripts/rank_eval.py --kudzu target/release/kudzu --seeds 101-120 --scale 0.2
    scripts/rank_eval.py --kudzu target/release/kudzu --seeds 201-205 --no-campaign
    scripts/rank_eval.py --kudzu target/release/kudzu --seeds '' --world mine.json
"""

import argparse
import collections
import json
import pathlib
import subprocess
import sys
import tempfile


def seeds(text):
    out = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        out.extend(range(int(first), int(last or first) + 1))
    return out


def worlds(args):
    """Each world: its name, and the flags that make it."""
    for seed in args.seeds:
        flags = ["--seed", str(seed), "--scale", str(args.scale)]
        yield f"seed {seed}", f"world-{seed}", flags + (["--no-campaign"] if args.no_campaign else [])
    for path in args.world:
        yield str(path), f"world-{path.stem}", ["--world", str(path)]


def run_world(args, name, world, out):
    # The summary is written last: with it, the result is whole.
    if not (out / "summary.json").is_file():
        demo = [args.kudzu, "demo", *world, "--latency", args.latency, "--out", str(out), "--force", "-q"]
        done = subprocess.run(demo, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            sys.exit(f"kudzu demo failed for {name} ({done.returncode}):\n{done.stderr}")
    truth = subprocess.run([args.kudzu, "simnet", "truth", *world], capture_output=True, text=True)
    if truth.returncode != 0:
        sys.exit(f"kudzu simnet truth failed for {name}:\n{truth.stderr}")
    return json.loads(truth.stdout)


class Tree:
    """Names by registrable domain, and the plain undirected graph of all pairs."""

    def __init__(self, path):
        self.seeds, self.order, self.owner = [], [], {}
        self.neighbours = collections.defaultdict(set)
        names, above = {}, {}
        with open(path, encoding="utf-8") as lines:
            for text in lines:
                row = json.loads(text)
                if row["type"] == "node":
                    if row["depth"] == 0:
                        self.seeds.append(row["n"])
                    if row["kind"] == "domain-name":
                        names[row["n"]] = row["value"]
                elif row["type"] == "edge":
                    self.neighbours[row["from"]].add(row["to"])
                    self.neighbours[row["to"]].add(row["from"])
                    if row["relation"] == "registrable-domain":
                        above[row["from"]] = row["to"]
        for n, value in names.items():
            self.owner[n] = names.get(above.get(n), value)
        seen = set()
        for n in sorted(names):
            if self.owner[n] not in seen and n not in self.seeds:
                seen.add(self.owner[n])
                self.order.append(self.owner[n])

    def by_domain(self, score):
        total = collections.defaultdict(float)
        for n, domain in self.owner.items():
            total[domain] += score.get(n, 0.0)
        barred = {self.owner[s] for s in self.seeds if s in self.owner}
        ranked = sorted((d for d in total if d not in barred), key=lambda d: (-total[d], d))
        return ranked

    def degree(self):
        return self.by_domain({n: len(self.neighbours[n]) for n in self.owner})

    def pagerank(self, damping=0.85, rounds=30):
        restart = 1.0 / max(1, len(self.seeds))
        rank = {s: restart for s in self.seeds}
        for _ in range(rounds):
            nxt = collections.defaultdict(float)
            for n, value in rank.items():
                around = self.neighbours[n]
                for m in around:
                    nxt[m] += damping * value / len(around)
            for s in self.seeds:
                nxt[s] += 1.0 - damping
            rank = nxt
        return self.by_domain(rank)


def measure(ranked, planned, decoys, n):
    first, second = ranked[:n], ranked[: 2 * n]
    hit_n, hit_2n = len(planned & set(first)), len(planned & set(second))
    return {
        "precision_n": hit_n / n,
        "precision_2n": hit_2n / (2 * n),
        "recall_n": hit_n / n,
        "recall_2n": hit_2n / n,
        "decoys_2n": len(decoys & set(second)) / max(1, len(decoys)),
        "decoy_share_2n": len(decoys & set(second)) / max(1, len(second)),
    }


def evaluate(out, truth):
    tree = Tree(out / "tree.ndjson")
    candidates = json.loads((out / "candidates.json").read_text(encoding="utf-8"))
    domains = [c for c in candidates if c["kind"] == "domain-name"]
    ours = [c["value"] for c in domains]
    planned = {p["domain"]: p for p in truth["planned"] if p["reachable"]}
    decoys = {d["domain"]: d["kind"] for d in truth["decoys"]}
    n = len(planned)
    likely = sum(c["band"] == "likely" for c in domains)
    row = {"n": n, "likely": likely, "in_tree": len(set(planned) & set(tree.order)), "ties": {}, "decoy_kinds": {}}
    row["top_score"] = domains[0]["score"] if domains else 0.0
    if n == 0:
        return row
    methods = {"kudzu": ours, "degree": tree.degree(), "breadth-first": tree.order, "pagerank": tree.pagerank()}
    for name, ranked in methods.items():
        row[name] = measure(ranked, set(planned), set(decoys), n)
    top = set(ours[: 2 * n])
    for domain, p in planned.items():
        kinds = list(p["ties"]) + (["single:" + p["ties"][0]] if len(p["ties"]) == 1 else [])
        for kind in kinds:
            counts = row["ties"].setdefault(kind, [0, 0])
            counts[0] += domain in top
            counts[1] += 1
    for domain, kind in decoys.items():
        counts = row["decoy_kinds"].setdefault(kind, [0, 0])
        counts[0] += domain in top
        counts[1] += 1
    row["missed"] = sorted(set(planned) - top)
    row["likely_right"] = sum(c["band"] == "likely" and c["value"] in {p["domain"] for p in truth["planned"]} for c in domains)
    return row


def summary(rows):
    print(f"\n{len(rows)} worlds; mean (worst)")
    header = ["precision_n", "recall_n", "precision_2n", "recall_2n", "decoys_2n", "decoy_share_2n"]
    print(f"{'method':14}" + "".join(f"{h:>18}" for h in header))
    for method in ["kudzu", "degree", "breadth-first", "pagerank"]:
        cells = []
        for h in header:
            values = [r[method][h] for r in rows]
            worst = max(values) if h.startswith("decoy") else min(values)
            cells.append(f"{sum(values) / len(values):.3f} ({worst:.3f})")
        print(f"{method:14}" + "".join(f"{c:>18}" for c in cells))
    for title, key in [("recall in 2n by tie", "ties"), ("decoys in 2n by kind", "decoy_kinds")]:
        sums = collections.defaultdict(lambda: [0, 0])
        for r in rows:
            for kind, (hit, all_) in r[key].items():
                sums[kind][0] += hit
                sums[kind][1] += all_
        print(f"\n{title}")
        for kind in sorted(sums):
            hit, all_ = sums[kind]
            print(f"  {kind:32}{hit:5} of {all_:5}  {hit / max(1, all_):.3f}")


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--kudzu", default="target/release/kudzu")
    p.add_argument("--seeds", default="101-120", type=seeds)
    p.add_argument("--world", default=[], nargs="+", type=pathlib.Path, help="files of worlds with a truth, beside the seeds")
    p.add_argument("--scale", default=0.2, type=float)
    p.add_argument("--latency", default="0ms")
    p.add_argument("--no-campaign", action="store_true")
    p.add_argument("--keep", type=pathlib.Path, help="keep results in this folder, and use those that are there")
    p.add_argument("--json", type=pathlib.Path, help="write the rows here")
    args = p.parse_args()
    rows = []
    for name, folder, world in worlds(args):
        with tempfile.TemporaryDirectory() as temp:
            out = (args.keep or pathlib.Path(temp)) / folder
            truth = run_world(args, name, world, out)
            row = evaluate(out, truth)
            row["world"] = name
            rows.append(row)
            ours = row.get("kudzu")
            figures = (
                f"n {row['n']} in tree {row['in_tree']} p@n {ours['precision_n']:.3f} r@2n {ours['recall_2n']:.3f} "
                f"decoys@2n {ours['decoys_2n']:.3f} pagerank r@2n {row['pagerank']['recall_2n']:.3f}"
                if ours
                else "no campaign"
            )
            print(f"{name}: {figures} likely {row['likely']} top {row['top_score']:.3f}", flush=True)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    if not any("kudzu" in r for r in rows):
        called = sum(r["likely"] for r in rows)
        print(f"\n{len(rows)} worlds without a campaign: {called} domains called likely")
        sys.exit(1 if called else 0)
    summary([r for r in rows if "kudzu" in r])


if __name__ == "__main__":
    main()
