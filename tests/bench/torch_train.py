#!/usr/bin/env python3
"""PyTorch's side of train_vs_pytorch.py: trains a net of the zoo, prints a JSON
line. A process of its own, so that each runs under its own Python and settings.

Only steps are timed: no evaluation, no shuffling, no loading. Batches lie ready
as tensors and denormals are flushed.
"""
import argparse
import gzip
import json
import os
import struct
import sys
import time


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
    sys.exit(f"torch_train.py: {folder} has no {split}-{kind}-ubyte")


def load(folder, split):
    import numpy as np
    import torch
    raw, shape = read_idx(folder, split, "images-idx3")
    x = torch.from_numpy(np.frombuffer(raw, np.uint8).copy())
    x = x.reshape(shape[0], 1, shape[1], shape[2]).float() / 255
    labels, _ = read_idx(folder, split, "labels-idx1")
    return x, torch.from_numpy(np.frombuffer(labels, np.uint8)
                               .astype(np.int64))


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


def products_are_right():
    """Some OpenBLAS kernels compute wrong numbers on some processors. Sums of
    small whole numbers are exact in float; integers do not go through BLAS."""
    import torch
    for m, k, n in ((128, 1152, 500), (10, 400, 120), (50, 3136, 512),
                    (7, 33, 19)):
        a, b = torch.randint(-4, 5, (m, k)), torch.randint(-4, 5, (k, n))
        if not torch.equal(a.float() @ b.float(), (a @ b).float()):
            return False
    return True


def optimizer(args, net):
    import torch
    more = {"foreach": args.foreach}
    if args.fused:
        more = {"fused": True}
    if args.optimizer == "adam":
        return torch.optim.Adam(net.parameters(), args.lr, **more)
    return torch.optim.SGD(net.parameters(), args.lr, **more)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--model", required=True)
    p.add_argument("--optimizer", required=True, choices=("adam", "sgd"))
    p.add_argument("--data", required=True)
    for name, kind in (("batch", int), ("lr", float), ("epochs", int),
                       ("threads", int), ("seed", int)):
        p.add_argument("--" + name, type=kind, required=True)
    p.add_argument("--samples", type=int, default=0,
                   help="stop after so many, warmed up: a trial")
    for flag in ("channels-last", "jit", "foreach", "fused", "compile"):
        p.add_argument("--" + flag, action="store_true")
    args = p.parse_args()
    import torch
    import torch.nn.functional as F
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(args.seed)
    if not products_are_right():
        sys.exit("torch_train.py: this BLAS computes wrong products here; "
                 "another OPENBLAS_CORETYPE may not")

    x, y = load(args.data, "train")
    net = network(args.model)
    init_like_ours(net)
    if args.channels_last:
        net = net.to(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last)
    opt = optimizer(args, net)
    run = net
    if args.jit:
        run = torch.jit.trace(net, x[:args.batch])
    if args.compile:
        run = torch.compile(net)

    def step(xs, ys):
        opt.zero_grad(set_to_none=True)
        F.cross_entropy(run(xs), ys).backward()
        opt.step()

    if args.samples or args.jit or args.compile:
        # What is compiled on first use is not timed; then as it was.
        before = {k: v.clone() for k, v in net.state_dict().items()}
        for _ in range(20):
            step(x[:args.batch], y[:args.batch])
        tail = len(x) % args.batch
        if args.compile and tail and not args.samples:
            for _ in range(3):
                step(x[:tail], y[:tail])
        net.load_state_dict(before)
        opt = optimizer(args, net)
    seconds, samples = 0.0, 0
    for _ in range(args.epochs):
        order = torch.randperm(len(x))
        xs, ys = x[order], y[order]
        if args.channels_last:
            xs = xs.contiguous(memory_format=torch.channels_last)
        began = time.perf_counter()
        for at in range(0, len(xs), args.batch):
            if args.samples and samples >= args.samples:
                break
            step(xs[at:at + args.batch], ys[at:at + args.batch])
            samples += len(ys[at:at + args.batch])
        seconds += time.perf_counter() - began
    correct = 0
    if not args.samples:
        xt, yt = load(args.data, "t10k")
        net.eval()
        with torch.no_grad():
            for at in range(0, len(xt), 500):
                correct += int((net(xt[at:at + 500]).argmax(1) ==
                                yt[at:at + 500]).sum())
        correct /= len(xt)
    print(json.dumps({"samples_per_s": samples / seconds, "seconds": seconds,
                      "accuracy": correct, "version": torch.__version__}))


if __name__ == "__main__":
    main()
