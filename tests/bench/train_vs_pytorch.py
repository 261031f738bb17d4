#!/usr/bin/env python3
"""Times our training against PyTorch's, in turn (A B A B), one process each.

PyTorch runs at its best honest settings: batches lie ready as tensors,
denormals are flushed, BLAS has one thread, and before a row is timed each of
OpenBLAS's kernels for this processor, both memory formats, then a traced net,
the optimiser over all tensors at once, the fused one and torch.compile are
tried on it; the fastest that computes right products is taken. Prints one JSON
line per row. A speed counts with the accuracy of the same run only: a network
whose units die gets faster. ok: the ratio reaches "least" and the accuracy is
not more than 0.3 point below PyTorch's. Exit 1 when a row against Debian's
PyTorch is not ok.
"""
import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
# name: model, batch, optimiser, lr, data set, epochs, least ratio, kernels
ROWS = {
    "lenet-coreml": ("lenet-coreml", 128, "adam", 0.001, "mnist", 10, 3.0, ""),
    "lenet5": ("lenet5", 10, "sgd", 0.05, "mnist", 1, 4.0, ""),
    "cnn-mcmahan-10": ("cnn-mcmahan", 10, "sgd", 0.02, "mnist", 1, 2.0, ""),
    "cnn-mcmahan-50": ("cnn-mcmahan", 50, "sgd", 0.05, "mnist", 1, 1.7, ""),
    "lenet-coreml-leaky": ("lenet-coreml-leaky", 128, "adam", 0.001,
                           "fashion", 10, 1.3, ""),
    "portable": ("lenet-coreml", 128, "adam", 0.001, "mnist", 1, 1.0,
                 "portable"),
}
# Ours on two threads against ours on one: bench's options, least gain.
GAINS = {
    "two-clients": (["--clients", "2"], 1.9),
    "one-client-two-threads": (["--threads", "2"], 1.7),
}
TRIAL = 4000  # samples
ACCURACY = 0.003


def clean(**more):
    env = dict(os.environ, **more)
    env.pop("OPENBLAS_L2_SIZE", None)
    return env


class Torch:
    """One PyTorch: a Python and where it looks for speed."""

    def __init__(self, name, python):
        self.name, self.python = name, python
        # PyPI's has a BLAS of its own.
        self.cores = cores() if name == "debian" else [None]
        self.flags = (["jit"], ["foreach"], ["jit", "foreach"])
        if name == "current":
            self.flags += (["fused"], ["compile"], ["compile", "fused"],
                           ["compile", "foreach"])

    def run(self, args, row, epochs, settings, samples=0):
        model, batch, rule, lr, data = ROWS[row][:5]
        core, flags = settings
        env = clean(OMP_NUM_THREADS=str(args.threads),
                    OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS=str(args.threads))
        env.pop("OPENBLAS_CORETYPE", None)
        if core:
            env["OPENBLAS_CORETYPE"] = core
        command = [self.python, os.path.join(HERE, "torch_train.py"),
                   "--model", model, "--batch", str(batch), "--optimizer",
                   rule, "--lr", str(lr), "--data",
                   os.path.join(args.data, data), "--epochs", str(epochs),
                   "--threads", str(args.threads), "--seed", str(args.seed),
                   "--samples", str(samples)] + ["--" + f for f in flags]
        out = subprocess.run(command, env=env, check=True, text=True,
                             capture_output=True, timeout=3600).stdout
        return json.loads(out.splitlines()[-1])

    def trial(self, args, row, settings):
        try:
            return self.run(args, row, 1, settings, TRIAL)["samples_per_s"]
        except (subprocess.SubprocessError, ValueError, IndexError):
            return 0.0

    def best(self, args, row):
        tried = {}
        for core in self.cores:
            for flags in ((), ("channels-last",)):
                tried[core, flags] = self.trial(args, row, (core, flags))
        core, base = max(tried, key=tried.get)
        for flags in self.flags:
            more = (core, base + tuple(flags))
            tried[more] = self.trial(args, row, more)
        best = max(tried, key=tried.get)
        if tried[best] == 0:
            sys.exit("PyTorch (%s) does not run: %s" % (self.name, self.python))
        return best, {" ".join(filter(None, (c,) + f)) or "plain": round(v)
                      for (c, f), v in tried.items()}


def cores():
    """OpenBLAS's kernels that this processor has the instructions for."""
    with open("/proc/cpuinfo") as f:
        flags = set(f.read().split())
    need = {"SkylakeX": "avx512f", "Haswell": "avx2", "Zen": "avx2",
            "Prescott": "pni"}
    return [c for c, flag in need.items() if flag in flags]


def run_ours(args, row, epochs):
    model, batch, rule, lr, data, _, _, kernels = ROWS[row]
    env = dict(os.environ, **({"POCKETFED_KERNELS": kernels} if kernels
                              else {}))
    out = subprocess.run(
        [args.bin, "train-local", "--model", model, "--batch", str(batch),
         "--optimizer", rule, "--lr", str(lr), "--epochs", str(epochs),
         "--threads", str(args.threads), "--seed", str(args.seed), "--data",
         os.path.join(args.data, data), "--json"],
        check=True, text=True, capture_output=True, env=env).stdout
    return json.loads(out.splitlines()[-1])


def rates(runs):
    return [round(r["samples_per_s"]) for r in runs]


def one_row(args, row, torch):
    model, batch, _, _, data, epochs, least, _ = ROWS[row]
    epochs = args.epochs or (1 if args.quick else epochs)
    settings, tried = torch.best(args, row)
    ours, theirs = [], []
    for _ in range(args.rounds):
        ours.append(run_ours(args, row, epochs))
        theirs.append(torch.run(args, row, epochs, settings))
    a, b = statistics.median(rates(ours)), statistics.median(rates(theirs))
    accuracy = min(r["test_accuracy"] for r in ours)
    other = min(r["accuracy"] for r in theirs)
    ok = a / b >= least and accuracy >= other - ACCURACY
    return {
        "row": row, "model": model, "batch": batch, "threads": args.threads,
        "ours": round(a), "pytorch": round(b), "ratio": round(a / b, 2),
        "ours_all": rates(ours), "pytorch_all": rates(theirs),
        "ours_accuracy": accuracy, "pytorch_accuracy": other, "data": data,
        "epochs": "1-%d" % epochs, "seed": args.seed,
        "kernels": ours[-1]["kernels"],
        "ours_seconds": round(ours[-1]["seconds"], 1),
        "pytorch_version": theirs[-1]["version"],
        "settings": {"from": torch.name, "OPENBLAS_CORETYPE": settings[0],
                     "flags": settings[1], "blas_threads": 1,
                     "openmp_threads": args.threads, "tried": tried},
        "least": least,
        "gated": torch.name == "debian" and args.threads == 1, "ok": ok}


def one_gain(args, name):
    """Ours alone: a second core's worth. Median over the whole of each run."""
    options, least = GAINS[name]

    def rate(more):
        out = subprocess.run(
            [args.bin, "bench", "train", "--model", "lenet-coreml", "--batch",
             "128", "--optimizer", "adam", "--lr", "0.001", "--seconds", "8",
             "--data", os.path.join(args.data, "mnist"), "--json"] + more,
            check=True, text=True, capture_output=True).stdout
        return json.loads(out.splitlines()[-1])

    one, two = [], []
    for _ in range(max(3, args.rounds)):
        one.append(rate([]))
        two.append(rate(options))
    a, b = (statistics.median(r["samples_per_s"]["median"] for r in runs)
            for runs in (two, one))
    return {"row": name, "model": "lenet-coreml", "batch": 128,
            "threads": 2, "ours": round(a), "ours_one_thread": round(b),
            "ratio": round(a / b, 2), "ours_accuracy": two[-1]["test_accuracy"],
            "data": "mnist", "epochs": "%.1f-%.1f" % (
                two[-1]["epoch_from"], two[-1]["epoch_to"]),
            "kernels": two[-1]["kernels"], "least": least, "gated": True,
            "ok": a / b >= least}


def as_table(rows):
    out = ["| row | batch, threads | ours | PyTorch | ratio | at least | test "
           "accuracy, ours / PyTorch | epochs |",
           "|---|---|---|---|---|---|---|---|"]
    for r in rows:
        theirs = (f"{r['pytorch']:,} ({r['pytorch_version']})"
                  if "pytorch" in r else
                  f"ours on one thread: {r['ours_one_thread']:,}")
        out.append(
            f"| {r['row']} | {r['batch']}, {r['threads']} | {r['ours']:,} | "
            f"{theirs} | {r['ratio']}x | "
            f"{r['least'] if r['gated'] else '-'} | {r['ours_accuracy']:.4f} / "
            f"{r.get('pytorch_accuracy', '-')} | {r['epochs']} |")
    with open("/proc/cpuinfo") as f:
        cpu = next((l.split(":")[1].strip() for l in f
                    if l.startswith("model name")), "?")
    out.append("")
    out.append(f"{datetime.date.today()}, {cpu}, {os.cpu_count()} cores; "
               f"samples/s, medians of {len(rows[0].get('ours_all', [1] * 3))} "
               "runs in turn.")
    return "\n".join(out)


def main():
    names = list(ROWS) + list(GAINS)
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--rows", default=",".join(names),
                   help="comma-separated: " + ", ".join(names))
    p.add_argument("--model", help="only rows of this net")
    p.add_argument("--epochs", type=int, default=0,
                   help="of each run (default: 10 with Adam, 1 with SGD)")
    p.add_argument("--quick", action="store_true", help="1 epoch")
    p.add_argument("--rounds", type=int, default=3, help="A B pairs")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--torch", default="debian",
                   choices=("debian", "current", "both"),
                   help="current: PyPI's, not gated")
    p.add_argument("--table", action="store_true",
                   help="end with the rows in Markdown, on stderr")
    for hidden in ("data", "bin", "current"):
        p.add_argument("--" + hidden, help=argparse.SUPPRESS)
    args = p.parse_args()
    rows = args.rows.split(",")
    for row in rows:
        if row not in names:
            p.error(f"there is no row {row}; rows are {', '.join(names)}")
    if args.model:
        rows = [r for r in rows if r in ROWS and ROWS[r][0] == args.model]
        if not rows:
            p.error(f"no row is of {args.model}; nets are " +
                    ", ".join(sorted({r[0] for r in ROWS.values()})))
    torches = []
    if args.torch != "current":
        torches.append(Torch("debian", "/usr/bin/python3"))
    if args.torch != "debian" and args.current:
        torches.append(Torch("current", args.current))
    done = []
    for row in rows:
        for got in ((one_row(args, row, t) for t in torches) if row in ROWS
                    else [one_gain(args, row)]):
            print(json.dumps(got), flush=True)
            done.append(got)
    if args.table and done:
        print(as_table(done), file=sys.stderr)
    return 0 if all(r["ok"] or not r["gated"] for r in done) else 1


if __name__ == "__main__":
    sys.exit(main())
