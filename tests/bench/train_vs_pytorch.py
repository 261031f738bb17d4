#!/usr/bin/env python3
"""Times our training against PyTorch's, in turn (A B A B), one thread each.

PyTorch runs at its best honest settings: the batches lie ready as tensors,
denormals are flushed, BLAS has one thread, and before the rows are timed each
memory format and each of OpenBLAS's kernels for this processor is tried on the
row's network; the fastest is taken. Prints one JSON line per row. A speed
counts with the accuracy of the same run only: a network whose units die gets
faster.
"""
import argparse
import gzip
import json
import os
import statistics
import struct
import subprocess
import sys
import time

# name: model, batch, optimiser, lr, data set, epochs, least ratio
ROWS = {
    "lenet-coreml": ("lenet-coreml", 128, "adam", 0.001, "mnist", 10, 3.0),
    "lenet5": ("lenet5", 10, "sgd", 0.05, "mnist", 1, 4.0),
    "cnn-mcmahan-10": ("cnn-mcmahan", 10, "sgd", 0.02, "mnist", 1, 2.0),
    "cnn-mcmahan-50": ("cnn-mcmahan", 50, "sgd", 0.05, "mnist", 1, 1.7),
    "lenet-coreml-leaky": ("lenet-coreml-leaky", 128, "adam", 0.001,
                           "fashion", 10, 1.3),
}
CORES = ("SkylakeX", "Haswell", "Zen", "Prescott")


def read_idx(folder, split, kind):
    for name in (f"{split}-{kind}-ubyte", f"{split}-{kind}-ubyte.gz"):
        path = os.path.join(folder, name)
        if os.path.exists(path):
            opener = gzip.open if name.endswith(".gz") else open
            with opener(path, "rb") as f:
                raw = f.read()
            dims = raw[3]
            return raw[4 + 4 * dims:], struct.unpack(
                f">{dims}I", raw[4:4 + 4 * dims])
    sys.exit(f"train_vs_pytorch.py: {folder} has no {split}-{kind}-ubyte")


def network(name):
    import torch.nn as nn

    def lenet(act, pool):
        return nn.Sequential(
            nn.Conv2d(1, 32, 3), act(), pool(2), nn.Conv2d(32, 32, 2), act(),
            pool(2), nn.Flatten(), nn.Linear(1152, 500), act(),
            nn.Linear(500, 10))

    if name == "lenet-coreml":
        return lenet(nn.ReLU, nn.MaxPool2d)
    if name == "lenet-coreml-leaky":
        return lenet(nn.LeakyReLU, nn.AvgPool2d)
    if name == "lenet5":
        return nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(),
            nn.Linear(84, 10))
    return nn.Sequential(
        nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, 10))


def init_like_ours(net):
    """He-uniform weights (the last layer Glorot's), no bias."""
    import torch.nn as nn
    layers = [m for m in net if hasattr(m, "weight")]
    for m in layers[:-1]:
        nn.init.kaiming_uniform_(m.weight, nonlinearity="relu")
        nn.init.zeros_(m.bias)
    nn.init.xavier_uniform_(layers[-1].weight)
    nn.init.zeros_(layers[-1].bias)


def torch_side(args):
    """The child process: trains, prints a JSON line."""
    import numpy as np
    import torch
    import torch.nn.functional as F
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(args.seed)
    model, batch, rule, lr, data, _, _ = ROWS[args.row]
    folder = os.path.join(args.data, data)

    def load(split):
        raw, shape = read_idx(folder, split, "images-idx3")
        x = torch.from_numpy(np.frombuffer(raw, np.uint8).copy())
        x = x.reshape(shape[0], 1, shape[1], shape[2]).float() / 255
        labels, _ = read_idx(folder, split, "labels-idx1")
        return x, torch.from_numpy(np.frombuffer(labels, np.uint8)
                                   .astype(np.int64))

    x, y = load("train")
    net = network(model)
    init_like_ours(net)
    if args.channels_last:
        net = net.to(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last)
    if rule == "adam":
        opt = torch.optim.Adam(net.parameters(), lr)
    else:
        opt = torch.optim.SGD(net.parameters(), lr)
    seconds, samples = 0.0, 0
    for _ in range(args.epochs):
        order = torch.randperm(len(x))
        xs, ys = x[order], y[order]
        began = time.perf_counter()
        for at in range(0, len(xs), batch):
            if args.samples and samples >= args.samples:
                break
            opt.zero_grad(set_to_none=True)
            F.cross_entropy(net(xs[at:at + batch]), ys[at:at + batch]
                            ).backward()
            opt.step()
            samples += len(ys[at:at + batch])
        seconds += time.perf_counter() - began
    correct = 0
    if not args.samples:
        xt, yt = load("t10k")
        net.eval()
        with torch.no_grad():
            for at in range(0, len(xt), 500):
                correct += int((net(xt[at:at + 500]).argmax(1) ==
                                yt[at:at + 500]).sum())
        correct /= len(xt)
    print(json.dumps({"samples_per_s": samples / seconds,
                      "accuracy": correct, "version": torch.__version__}))


def run_torch(args, row, epochs, settings, samples=0):
    core, channels_last = settings
    env = dict(os.environ, OMP_NUM_THREADS=str(args.threads),
               OPENBLAS_NUM_THREADS="1", OPENBLAS_CORETYPE=core)
    env.pop("OPENBLAS_L2_SIZE", None)
    command = [sys.executable, os.path.abspath(__file__), "--child",
               "--row", row, "--data", args.data, "--seed", str(args.seed),
               "--epochs", str(epochs), "--threads", str(args.threads),
               "--samples", str(samples)]
    if channels_last:
        command.append("--channels-last")
    out = subprocess.run(command, env=env, check=True, text=True,
                         capture_output=True).stdout
    return json.loads(out.splitlines()[-1])


def run_ours(args, row, epochs):
    model, batch, rule, lr, data, _, _ = ROWS[row]
    out = subprocess.run(
        [args.bin, "train-local", "--model", model, "--batch", str(batch),
         "--optimizer", rule, "--lr", str(lr), "--epochs", str(epochs),
         "--threads", str(args.threads), "--seed", str(args.seed), "--data",
         os.path.join(args.data, data), "--json"],
        check=True, text=True, capture_output=True).stdout
    return json.loads(out.splitlines()[-1])


def cores():
    """OpenBLAS's kernels that this processor has the instructions for."""
    with open("/proc/cpuinfo") as f:
        flags = f.read()
    skip = set() if " avx512f" in flags else {"SkylakeX"}
    return [c for c in CORES if c not in skip]


def best_settings(args, row):
    tried = {}
    for core in cores():
        for channels_last in (True, False):
            got = run_torch(args, row, 1, (core, channels_last), 2000)
            tried[core, channels_last] = got["samples_per_s"]
    return max(tried, key=tried.get)


def one_row(args, row):
    model, batch, _, _, data, epochs, least = ROWS[row]
    epochs = args.epochs or epochs
    settings = best_settings(args, row)
    ours, theirs = [], []
    for _ in range(args.rounds):
        ours.append(run_ours(args, row, epochs))
        theirs.append(run_torch(args, row, epochs, settings))
    a = statistics.median(r["samples_per_s"] for r in ours)
    b = statistics.median(r["samples_per_s"] for r in theirs)
    print(json.dumps({
        "model": model, "batch": batch, "threads": args.threads,
        "ours": round(a), "pytorch": round(b), "ratio": round(a / b, 2),
        "ours_all": [round(r["samples_per_s"]) for r in ours],
        "pytorch_all": [round(r["samples_per_s"]) for r in theirs],
        "ours_accuracy": ours[-1]["test_accuracy"],
        "pytorch_accuracy": theirs[-1]["accuracy"], "data": data,
        "epochs": epochs, "seed": args.seed, "kernels": ours[-1]["kernels"],
        "pytorch_version": theirs[-1]["version"],
        "settings": {"OPENBLAS_CORETYPE": settings[0],
                     "memory_format": "channels_last" if settings[1]
                     else "contiguous", "blas_threads": 1,
                     "openmp_threads": args.threads},
        "least": least, "ok": a / b >= least}), flush=True)
    return a / b >= least


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--rows", default=",".join(ROWS),
                   help="comma-separated: " + ", ".join(ROWS))
    p.add_argument("--epochs", type=int, default=0,
                   help="of each run (default: 10 with Adam, 1 with SGD)")
    p.add_argument("--rounds", type=int, default=3, help="A B pairs")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--data", help=argparse.SUPPRESS)
    p.add_argument("--bin", help=argparse.SUPPRESS)
    p.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    p.add_argument("--row", help=argparse.SUPPRESS)
    p.add_argument("--samples", type=int, default=0, help=argparse.SUPPRESS)
    p.add_argument("--channels-last", action="store_true",
                   help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.child:
        torch_side(args)
        return 0
    rows = args.rows.split(",")
    unknown = [r for r in rows if r not in ROWS]
    if unknown:
        p.error(f"there is no row {unknown[0]}; rows are {', '.join(ROWS)}")
    return 0 if all([one_row(args, r) for r in rows]) else 1


if __name__ == "__main__":
    sys.exit(main())
