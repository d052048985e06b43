#!/usr/bin/env python3
"""Same seed, other circumstances: is it the same tree, byte for byte?

Runs `kudzu demo` with one seed and, each time, another jitter, loss, number of workers and
window, and compares the SHA-256 of the canonical trees. Standard library only.

    scripts/same_answer.py --kudzu target/release/kudzu --runs 20 --seed 1 --scale 0.1
"""

import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--kudzu", default="target/release/kudzu")
    p.add_argument("--runs", default=20, type=int)
    p.add_argument("--seed", default=1, type=int)
    p.add_argument("--scale", default=0.1, type=float)
    args = p.parse_args()
    draw = random.Random(args.seed)
    digests = {}
    for n in range(args.runs):
        how = {
            "jitter": f"{draw.randrange(0, 40)}ms",
            "loss": str(draw.choice([0, 0.01, 0.02, 0.05])),
            "workers": str(draw.randrange(1, 5)),
            "window": str(draw.choice([64, 512, 2048, 16384])),
        }
        flags = [word for name, value in how.items() for word in (f"--{name}", value)]
        with tempfile.TemporaryDirectory() as temp:
            out = pathlib.Path(temp) / "result"
            command = [args.kudzu, "demo", "--seed", str(args.seed), "--scale", str(args.scale)]
            command += ["--latency", "5ms", "--out", str(out), "-q", *flags]
            done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            if done.returncode != 0:
                sys.exit(f"run {n} ended with {done.returncode}:\n{done.stderr}")
            summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
        digests.setdefault(summary["sha256"], []).append(how)
        words = " ".join(f"{k} {v}" for k, v in how.items())
        print(f"{n + 1:3} {summary['sha256'][:16]} {summary['elapsed_ms']:6} ms  {words}", flush=True)
    print(f"{args.runs} runs, {len(digests)} different trees")
    sys.exit(0 if len(digests) == 1 else 1)


if __name__ == "__main__":
    main()
