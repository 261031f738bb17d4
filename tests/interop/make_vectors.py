#!/usr/bin/python3
"""Writes tests/vectors/nn_<model>.bin: what PyTorch computes, in double, for
each model of the zoo from parameters and inputs that a formula gives.

    /usr/bin/python3 tests/interop/make_vectors.py

Needs PyTorch (python3-torch) and numpy.  The files are committed; make them
anew only when the zoo changes.  tests/unit/test_pytorch.c computes the same
formula and compares.

A file holds little-endian 64-bit floats: for each run (sgd, momentum, adam)
the losses of its five steps; then for each set of tensors (first gradient,
parameters after the run sgd, momentum, adam) and each tensor: the largest
magnitude, the sum of magnitudes, the sum, the L2 norm, four projections on
vectors of +-1, and 64 sampled values.
"""
import os

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

BATCH, STEPS, SAMPLES, PROJECTIONS = 4, 5, 64, 4
PARAMS, INPUTS, SAMPLE, SIGN = 1, 2, 3, 4  # streams of the formula


def words(stream, tensor, count):
    """splitmix64 (Steele, Lea, Flood 2014) over (stream, tensor, index)."""
    with np.errstate(over="ignore"):
        key = np.uint64(stream * 1000 + tensor) << np.uint64(40)
        z = np.arange(1, count + 1, dtype=np.uint64) + key
        z = z * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def uniform(stream, tensor, count):
    """In [0, 1)."""
    return (words(stream, tensor, count) >> np.uint64(11)) * 2.0**-53


class LeNet5(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(400, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(torch.flatten(x, 1)))
        return self.fc3(F.relu(self.fc2(x)))


class LeNetCaffe(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 20, 5)
        self.conv2 = nn.Conv2d(20, 50, 5)
        self.fc1 = nn.Linear(800, 500)
        self.fc2 = nn.Linear(500, 10)

    def forward(self, x):
        x = F.max_pool2d(self.conv1(x), 2)
        x = F.max_pool2d(self.conv2(x), 2)
        return self.fc2(F.relu(self.fc1(torch.flatten(x, 1))))


class TwoConvTwoDense(nn.Module):
    """lenet-coreml and cnn-mcmahan."""

    def __init__(self, conv1, conv2, dense):
        super().__init__()
        self.conv1 = conv1
        self.conv2 = conv2
        self.fc1 = nn.Linear(*dense)
        self.fc2 = nn.Linear(dense[1], 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc2(F.relu(self.fc1(torch.flatten(x, 1))))


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(784, 200)
        self.fc2 = nn.Linear(200, 200)
        self.fc3 = nn.Linear(200, 10)

    def forward(self, x):
        x = F.relu(self.fc1(torch.flatten(x, 1)))
        return self.fc3(F.relu(self.fc2(x)))


class LogReg(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(784, 10)

    def forward(self, x):
        return self.fc1(torch.flatten(x, 1))


ZOO = {
    "lenet5": LeNet5,
    "lenet-caffe": LeNetCaffe,
    "lenet-coreml": lambda: TwoConvTwoDense(
        nn.Conv2d(1, 32, 3), nn.Conv2d(32, 32, 2), (1152, 500)),
    "cnn-mcmahan": lambda: TwoConvTwoDense(
        nn.Conv2d(1, 32, 5, padding=2), nn.Conv2d(32, 64, 5, padding=2),
        (3136, 512)),
    "mlp": Mlp,
    "logreg": LogReg,
}

RUNS = [
    lambda p: torch.optim.SGD(p, lr=0.05),
    lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.001),
    lambda p: torch.optim.Adam(p, lr=0.001),
]


def start(make):
    model = make().double()
    fan_in = 1
    for i, p in enumerate(model.parameters()):
        if p.dim() > 1:  # a bias reaches as far as the weight before it
            fan_in = p[0].numel()
        v = (2 * uniform(PARAMS, i, p.numel()) - 1) / np.sqrt(float(fan_in))
        p.data = torch.from_numpy(v).reshape(p.shape)
    return model


def batch(step):
    x = uniform(INPUTS, step, BATCH * 784).reshape(BATCH, 1, 28, 28)
    y = [(3 * i + step) % 10 for i in range(BATCH)]
    return torch.from_numpy(x), torch.tensor(y)


def summary(index, tensor):
    v = tensor.detach().numpy().reshape(-1)
    out = [np.abs(v).max(), np.abs(v).sum(), v.sum(), np.sqrt((v * v).sum())]
    for p in range(PROJECTIONS):
        top = words(SIGN + p, index, v.size) >> np.uint64(63)
        out.append(np.where(top == 1, -v, v).sum())
    at = words(SAMPLE, index, SAMPLES) % np.uint64(v.size)
    return out + list(v[at.astype(np.int64)])


def make_file(make):
    losses, tensors, gradients = [], [], None
    for make_optimizer in RUNS:
        model = start(make)
        optimizer = make_optimizer(model.parameters())
        for step in range(STEPS):
            x, y = batch(step)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            losses.append(loss.item())
            if gradients is None:
                gradients = [x for i, p in enumerate(model.parameters())
                             for x in summary(i, p.grad)]
            optimizer.step()
        tensors += [x for i, p in enumerate(model.parameters())
                    for x in summary(i, p)]
    return np.array(losses + gradients + tensors, dtype="<f8")


def main():
    torch.set_num_threads(1)
    here = os.path.dirname(os.path.abspath(__file__))
    for name, make in ZOO.items():
        path = os.path.join(here, "..", "vectors", "nn_%s.bin" % name)
        make_file(make).tofile(path)
        print(name, os.path.getsize(path))


main()
