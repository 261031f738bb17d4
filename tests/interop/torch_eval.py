#!/usr/bin/env python3
"""Measures a pocketfed model with PyTorch: loss and accuracy on IDX data.

usage: torch_eval.py [--model NAME] [--split t10k|train] MODEL.safetensors DIR

Nothing of pocketfed is used: the modules below are what the zoo's names mean
to a PyTorch user, the two readers follow the public formats.  Prints one JSON
line: {"model", "n", "correct", "accuracy", "loss"}.
"""
import argparse
import gzip
import json
import math
import os
import struct
import sys

import numpy as np
import torch
from torch import nn
import torch.nn.functional as F


class LeNet5(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = torch.flatten(x, 1)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


class LeNetCaffe(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 20, 5)
        self.conv2 = nn.Conv2d(20, 50, 5)
        self.fc1 = nn.Linear(50 * 4 * 4, 500)
        self.fc2 = nn.Linear(500, 10)

    def forward(self, x):
        x = F.max_pool2d(self.conv1(x), 2)
        x = F.max_pool2d(self.conv2(x), 2)
        x = torch.flatten(x, 1)
        return self.fc2(F.relu(self.fc1(x)))


class LeNetCoreML(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3)
        self.conv2 = nn.Conv2d(32, 32, 2)
        self.fc1 = nn.Linear(32 * 6 * 6, 500)
        self.fc2 = nn.Linear(500, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = torch.flatten(x, 1)
        return self.fc2(F.relu(self.fc1(x)))


class LeNetCoreMLLeaky(LeNetCoreML):
    def forward(self, x):
        x = F.avg_pool2d(F.leaky_relu(self.conv1(x)), 2)
        x = F.avg_pool2d(F.leaky_relu(self.conv2(x)), 2)
        x = torch.flatten(x, 1)
        return self.fc2(F.leaky_relu(self.fc1(x)))


class CNNMcMahan(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 5, padding=2)
        self.conv2 = nn.Conv2d(32, 64, 5, padding=2)
        self.fc1 = nn.Linear(64 * 7 * 7, 512)
        self.fc2 = nn.Linear(512, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = torch.flatten(x, 1)
        return self.fc2(F.relu(self.fc1(x)))


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(784, 200)
        self.fc2 = nn.Linear(200, 200)
        self.fc3 = nn.Linear(200, 10)

    def forward(self, x):
        x = torch.flatten(x, 1)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


class LogReg(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(784, 10)

    def forward(self, x):
        return self.fc1(torch.flatten(x, 1))


ZOO = {
    "lenet5": LeNet5,
    "lenet-caffe": LeNetCaffe,
    "lenet-coreml": LeNetCoreML,
    "cnn-mcmahan": CNNMcMahan,
    "mlp": MLP,
    "logreg": LogReg,
    "lenet-coreml-leaky": LeNetCoreMLLeaky,  # its shapes are lenet-coreml's: name it
}


def read_safetensors(path):
    with open(path, "rb") as f:
        (header_len,) = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(header_len))
        data = f.read()
    tensors = {}
    for name, t in header.items():
        if name == "__metadata__":
            continue
        assert t["dtype"] == "F32", f"{name} is {t['dtype']}"
        begin, end = t["data_offsets"]
        assert end - begin == 4 * math.prod(t["shape"]) and end <= len(data)
        values = np.frombuffer(data[begin:end], dtype="<f4")
        tensors[name] = torch.from_numpy(values.copy()).reshape(t["shape"])
    return tensors


def read_idx(folder, split, kind, dims):
    for sep in "-.":
        for suffix, opener in (("", open), (".gz", gzip.open)):
            name = f"{split}-{kind}{sep}idx{dims}-ubyte{suffix}"
            path = os.path.join(folder, name)
            if os.path.exists(path):
                with opener(path, "rb") as f:
                    raw = f.read()
                assert raw[:4] == bytes([0, 0, 8, dims]), f"{path}: not IDX"
                shape = struct.unpack(f">{dims}I", raw[4:4 + 4 * dims])
                body = np.frombuffer(raw, np.uint8, offset=4 + 4 * dims)
                return torch.from_numpy(body.copy()).reshape(shape)
    sys.exit(f"torch_eval.py: {folder} has no {split}-{kind}-idx{dims}-ubyte, "
             "gzipped or not")


def name_by_shapes(tensors):
    shapes = {name: tuple(t.shape) for name, t in tensors.items()}
    for name, make in ZOO.items():
        own = make().state_dict()
        if shapes == {k: tuple(v.shape) for k, v in own.items()}:
            return name
    sys.exit("torch_eval.py: these tensors are no model of the zoo: "
             + ", ".join(f"{k} {list(v)}" for k, v in shapes.items()))


def main():
    parser = argparse.ArgumentParser(
        description="Measure a pocketfed model with PyTorch.")
    parser.add_argument("--model", choices=sorted(ZOO),
                        help="default: told by the tensors' shapes")
    parser.add_argument("--split", choices=("t10k", "train"), default="t10k")
    parser.add_argument("file", metavar="MODEL.safetensors")
    parser.add_argument("dir", metavar="DIR")
    args = parser.parse_args()

    tensors = read_safetensors(args.file)
    name = args.model or name_by_shapes(tensors)
    model = ZOO[name]()
    model.load_state_dict(tensors)
    model.eval()
    images = read_idx(args.dir, args.split, "images", 3)
    labels = read_idx(args.dir, args.split, "labels", 1).long()
    assert len(images) == len(labels)

    n, correct, loss = len(labels), 0, 0.0
    with torch.no_grad():
        for i in range(0, n, 500):
            x = images[i:i + 500].unsqueeze(1).float() / 255
            y = labels[i:i + 500]
            logits = model(x)
            correct += int((logits.argmax(1) == y).sum())
            loss += float(F.cross_entropy(logits, y, reduction="sum"))
    print(json.dumps({"model": name, "n": n, "correct": correct,
                      "accuracy": correct / n, "loss": loss / n}))


if __name__ == "__main__":
    main()
