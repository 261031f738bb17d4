#!/usr/bin/python3
"""Writes tests/vectors/nn_<model>.bin: what PyTorch computes, in double, for
each model of the zoo from parameters and inputs that a formula gives.

    /usr/bin/python3 tests/interop/make_vectors.py

Needs PyTorch (python3-torch) and numpy.  The files are committed; make them
anew only when the zoo changes.  tests/unit/test_pytorch.c computes the same
formula and compares.

A file holds little-endian 64-bit floats: for each run (an optimiser) the
losses of its five steps; then for each set of tensors (first gradient,
parameters after each run) and each tensor: the largest magnitude, the sum of
magnitudes, the sum, the L2 norm, four projections on vectors of +-1, and
sampled values.

tests/vectors/nn_small_<name>.json are specs of small models that between them
have every layer and loss; behind the losses of a run stands the one that its
model has on the last batch in eval mode, where running statistics count.
"""
import json
import os

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

BATCH, STEPS, PROJECTIONS = 4, 5, 4
SAMPLES, FEW_SAMPLES = 64, 8
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


class Leaky(TwoConvTwoDense):
    def forward(self, x):
        x = F.avg_pool2d(F.leaky_relu(self.conv1(x)), 2)
        x = F.avg_pool2d(F.leaky_relu(self.conv2(x)), 2)
        return self.fc2(F.leaky_relu(self.fc1(torch.flatten(x, 1))))


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
    "lenet-coreml-leaky": lambda: Leaky(
        nn.Conv2d(1, 32, 3), nn.Conv2d(32, 32, 2), (1152, 500)),
}


class FromSpec(nn.Module):
    """A spec (docs/MODELS.md) as the PyTorch modules that it stands for."""

    def __init__(self, spec):
        super().__init__()
        self.steps = []
        shapes, before = {"input": torch.Size(spec["input"])}, "input"
        for l in spec["layers"]:
            inputs = l.get("inputs", [before])
            f = module(l, shapes[inputs[0]])
            if isinstance(f, nn.Module):
                self.add_module(l["name"], f)
            self.steps.append((l["name"], inputs, f))
            before = l["name"]
            with torch.no_grad():  # two examples: batch norm wants more than one
                x = [torch.zeros(2, *shapes[i]) for i in inputs]
                shapes[before] = f(*x).shape[1:]

    def forward(self, x):
        values = {"input": x}
        for name, inputs, f in self.steps:
            x = values[name] = f(*(values[i] for i in inputs))
        return x


def module(l, shape):
    c, kind = shape[0], l["type"]
    size, stride = l.get("size"), l.get("stride")
    window = dict(padding=l.get("padding", 0), stride=stride or 1)
    if kind == "conv2d":
        return nn.Conv2d(c, l["out_channels"], l["kernel"], **window)
    if kind == "depthwise_conv2d":
        return nn.Conv2d(c, c, l["kernel"], groups=c, **window)
    if kind == "dense":
        return nn.Linear(c, l["units"])
    if kind == "batchnorm2d":
        norm = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
        return norm(c, l.get("eps", 1e-5), l.get("momentum", 0.1))
    if kind == "dropout":
        return nn.Dropout(l.get("rate", 0.5))
    if kind == "groupnorm":
        return nn.GroupNorm(l["groups"], c, l.get("eps", 1e-5))
    return {
        "maxpool2d": lambda x: F.max_pool2d(x, size, stride),
        "avgpool2d": lambda x: F.avg_pool2d(x, size, stride),
        "globalavgpool": lambda x: x.mean((2, 3)),
        "globalmaxpool": lambda x: x.amax((2, 3)),
        "relu": F.relu,
        "leaky_relu": lambda x: F.leaky_relu(x, l.get("slope", 0.01)),
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "flatten": lambda x: torch.flatten(x, 1),
        "add": torch.add,
    }[kind]


def binary(z, y):
    if z.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(z, y.unsqueeze(1).double())
    return F.binary_cross_entropy_with_logits(z, one_hot(z, y))


def one_hot(z, y):
    return F.one_hot(y, z.shape[1]).double()


LOSSES = {
    "softmax_cross_entropy": F.cross_entropy,
    "mse": lambda z, y: F.mse_loss(z, one_hot(z, y)),
    "binary_cross_entropy": binary,
}

SGD, ADAM, ADAMW = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW
RUNS = [
    lambda p: SGD(p, lr=0.05),
    lambda p: SGD(p, lr=0.05, momentum=0.9, weight_decay=0.001),
    lambda p: ADAM(p, lr=0.001),
]
SMALL_RUNS = [
    lambda p: SGD(p, lr=0.05, weight_decay=0.001),
    lambda p: SGD(p, lr=0.05, momentum=0.9, weight_decay=0.001),
    lambda p: SGD(p, lr=0.05, momentum=0.9, nesterov=True,
                  weight_decay=0.001),
    lambda p: ADAM(p, lr=0.001, weight_decay=0.01),
    lambda p: ADAMW(p, lr=0.001, weight_decay=0.01),
]


def tensors_of(model):
    """In pocketfed's order, which is that of a state_dict."""
    return [(k, v) for k, v in model.state_dict(keep_vars=True).items()
            if not k.endswith("num_batches_tracked")]


def start(make):
    model = make().double()
    fan_in = 1
    for i, (name, p) in enumerate(tensors_of(model)):
        if p.dim() > 1:  # a bias reaches as far as the weight before it
            fan_in = p[0].numel()
        v = (2 * uniform(PARAMS, i, p.numel()) - 1) / np.sqrt(float(fan_in))
        if name.endswith("running_var"):
            v += 1
        p.data.copy_(torch.from_numpy(v).reshape(p.shape))
    return model


def batch(step, shape, classes):
    x = uniform(INPUTS, step, BATCH * int(np.prod(shape)))
    y = [(3 * i + step) % classes for i in range(BATCH)]
    return torch.from_numpy(x).reshape(BATCH, *shape), torch.tensor(y)


def summary(index, tensor, samples):
    v = tensor.detach().numpy().reshape(-1)
    out = [np.abs(v).max(), np.abs(v).sum(), v.sum(), np.sqrt((v * v).sum())]
    for p in range(PROJECTIONS):
        top = words(SIGN + p, index, v.size) >> np.uint64(63)
        out.append(np.where(top == 1, -v, v).sum())
    at = words(SAMPLE, index, samples) % np.uint64(v.size)
    return out + list(v[at.astype(np.int64)])


def gradient(p):
    return torch.zeros_like(p) if p.grad is None else p.grad


def make_file(make, runs, loss_of, shape, classes, samples, evaluate):
    losses, tensors, gradients = [], [], None
    for make_optimizer in runs:
        model = start(make)
        optimizer = make_optimizer(model.parameters())
        for step in range(STEPS):
            x, y = batch(step, shape, classes)
            optimizer.zero_grad()
            loss = loss_of(model(x), y)
            loss.backward()
            losses.append(loss.item())
            if gradients is None:
                gradients = [g for i, (_, p) in enumerate(tensors_of(model))
                             for g in summary(i, gradient(p), samples)]
            optimizer.step()
        if evaluate:
            model.eval()
            losses.append(loss_of(model(x), y).item())
        tensors += [v for i, (_, p) in enumerate(tensors_of(model))
                    for v in summary(i, p, samples)]
    return np.array(losses + gradients + tensors, dtype="<f8")


def main():
    torch.set_num_threads(1)
    here = os.path.dirname(os.path.abspath(__file__))
    folder = os.path.join(here, "..", "vectors")
    for name, make in ZOO.items():
        path = os.path.join(folder, "nn_%s.bin" % name)
        make_file(make, RUNS, F.cross_entropy, (1, 28, 28), 10, SAMPLES,
                  False).tofile(path)
        print(name, os.path.getsize(path))
    for name in sorted(os.listdir(folder)):
        if not (name.startswith("nn_small_") and name.endswith(".json")):
            continue
        with open(os.path.join(folder, name)) as f:
            spec = json.load(f)
        path = os.path.join(folder, name[:-5] + ".bin")
        classes = max(2, spec["layers"][-1]["units"])
        make_file(lambda: FromSpec(spec), SMALL_RUNS, LOSSES[spec["loss"]],
                  spec["input"], classes, FEW_SAMPLES, True).tofile(path)
        print(name, os.path.getsize(path))


if __name__ == "__main__":
    main()
