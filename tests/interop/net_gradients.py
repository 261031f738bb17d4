#!/usr/bin/env python3
"""Outputs, loss and gradients of our kernels against PyTorch's.

usage: net_gradients.py random BIN [--nets N] [--seed S] [--only I]
       net_gradients.py zoo BIN --data DIR

random: nets drawn from a seed, with every layer, loss, odd sizes, strides,
paddings, residual sums, in any order. zoo: every net of the zoo at its initial
weights on the first images of MNIST. BIN is the folder with the two programs
net_gradients and net_gradients_double.

What is asked: PyTorch computes in double. In double ours is within 1e-9, in
float every kernel family within 1e-5 (zoo) or 5e-5 (random) of it, or, where a
random net is ill-conditioned (a batch norm of nearly equal values), within 20
times the worst error that PyTorch makes in float. Errors are relative to the
largest magnitude of the tensor; in a random net, a bias's also to that of its
weights, since a bias in front of a norm has no gradient but rounding, and all
to at least a thousandth of the largest gradient.

The derivatives of ReLU and max pools jump. Inputs of random nets are drawn
anew until no value is so near a jump that rounding decides.
"""
import argparse
import json
import os
import random
import struct
import subprocess
import sys
import tempfile

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

sys.dont_write_bytecode = True  # the tree stays as it is
import make_vectors  # noqa: E402
import torch_eval    # noqa: E402

MAX_VALUES = 20000  # of one example over all layers
NEAR = 2e-6         # of the largest value: rounding in float may decide


class Draw:
    """Draws the spec of a net, layer by layer, and keeps its shapes."""

    def __init__(self, rng):
        self.r = rng
        self.layers = []
        big = rng.random() < 0.3
        self.shape = (rng.choice((1, 1, 2, 3, 4)),
                      rng.randint(8, 28) if big else rng.randint(4, 14),
                      rng.randint(8, 28) if big else rng.randint(4, 14))
        self.input = self.shape
        self.values = {"input": self.shape}
        self.total = int(np.prod(self.shape))

    def put(self, kind, shape, **attributes):
        """Adds a layer unless it would make the net too large or empty."""
        size = int(np.prod(shape))
        if min(shape) < 1 or self.total + size > MAX_VALUES:
            return False
        name = "l%d" % len(self.layers)
        self.layers.append(dict(name=name, type=kind, **attributes))
        self.values[name] = self.shape = shape
        self.total += size
        return True

    def window(self, kind, channels, span, pad, stride, **attributes):
        c, h, w = self.shape
        if min(h, w) + 2 * pad < span:
            return False
        return self.put(kind, (channels, (h + 2 * pad - span) // stride + 1,
                               (w + 2 * pad - span) // stride + 1),
                        stride=stride, **attributes)

    def conv(self):
        r, kernel = self.r, self.r.randint(1, 5)
        channels = r.choice((1, 2, 3, 5, 7, 8, 12, 16, 17, 24, 32, 33))
        stride = 1 if r.random() < 0.7 else r.randint(2, 3)
        padding = r.randint(0, kernel - 1)
        if r.random() < 0.2:
            return self.window("depthwise_conv2d", self.shape[0], kernel,
                               padding, stride, kernel=kernel, padding=padding)
        return self.window("conv2d", channels, kernel, padding, stride,
                           kernel=kernel, padding=padding,
                           out_channels=channels)

    def pool(self):
        size = 2 if self.r.random() < 0.7 else self.r.randint(1, 4)
        stride = size if self.r.random() < 0.7 else self.r.randint(1, 3)
        kind = self.r.choice(("maxpool2d", "maxpool2d", "avgpool2d"))
        return self.window(kind, self.shape[0], size, 0, stride, size=size)

    def activation(self):
        kind = self.r.choice(("relu", "relu", "relu", "leaky_relu", "tanh",
                              "sigmoid"))
        more = {}
        if kind == "leaky_relu" and self.r.random() < 0.5:
            more["slope"] = round(self.r.uniform(0.05, 0.5), 3)
        return self.put(kind, self.shape, **more)

    def norm(self):
        if self.r.random() < 0.5:
            return self.put("batchnorm2d", self.shape)
        c = self.shape[0]
        groups = self.r.choice([g for g in range(1, c + 1) if c % g == 0])
        if int(np.prod(self.shape)) // groups < 4:
            return False  # hardly anything to take a variance of
        return self.put("groupnorm", self.shape, groups=groups)

    def add(self):
        same = [n for n, s in self.values.items() if s == self.shape]
        if len(same) < 2:
            return False
        return self.put("add", self.shape,
                        inputs=[same[-1], self.r.choice(same[:-1])])

    def net(self):
        r = self.r
        usual = r.random() < 0.6
        for _ in range(r.randint(0, 4)):
            if usual:  # what steps fuse, in the usual order or the other one
                self.conv()
                for part in r.choice(((self.activation, self.pool),
                                      (self.pool, self.activation),
                                      (self.activation,), (self.pool,))):
                    part()
            else:
                r.choice((self.conv, self.conv, self.pool, self.activation,
                          self.norm, self.add))()
            if r.random() < 0.15:
                self.add()
            if r.random() < 0.1:
                self.put("dropout", self.shape, rate=0.0)
        if r.random() < 0.25:
            self.put(r.choice(("globalavgpool", "globalmaxpool")),
                     self.shape[:1])
        if len(self.shape) == 3 and not self.put(
                "flatten", (int(np.prod(self.shape)),)):
            return None  # grew too large: the next draw
        for _ in range(r.randint(0, 2)):
            units = r.choice((3, 8, 15, 16, 40, 64, 100, 129))
            self.put("dense", (units,), units=units)
            if r.random() < 0.15:
                self.put("batchnorm2d", self.shape)
            if r.random() < 0.8:
                self.activation()
            if r.random() < 0.15:
                self.add()
        loss = r.choice(("softmax_cross_entropy", "softmax_cross_entropy",
                         "mse", "binary_cross_entropy"))
        units = r.randint(2, 12)
        if loss == "binary_cross_entropy" and r.random() < 0.5:
            units = 1
        if not self.put("dense", (units,), units=units):
            return None
        return {"version": 1, "input": list(self.input), "loss": loss,
                "layers": self.layers}


def start(model, rng):
    """Parameters of a size that lets values and gradients live."""
    for module in model.modules():
        for name, p in module.named_parameters(recurse=False):
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                bound = np.sqrt(6.0 / module.weight[0].numel())
                v = rng.uniform(-1, 1, p.shape) * bound
                v *= 1 if name == "weight" else 0.2
            else:
                v = rng.uniform(-0.5, 0.5, p.shape) + (name == "weight")
            # A float, so that all begin at the same point.
            p.data.copy_(torch.from_numpy(v.astype(np.float32).astype(float)))


def nearest_jump(model, x):
    """The smallest distance from a jump, relative to the largest value."""
    nearest = 1.0
    values, kinds = {"input": x}, {l["name"]: l for l in model.spec["layers"]}
    for name, inputs, f in model.steps:
        v, l = values[inputs[0]], kinds[name]
        distance = None
        if l["type"] in ("relu", "leaky_relu"):
            distance = v.abs()
        elif l["type"] in ("maxpool2d", "globalmaxpool"):
            size = l.get("size")
            cells = (F.unfold(v.reshape(-1, 1, *v.shape[2:]), size,
                              stride=l.get("stride", size)).transpose(1, 2)
                     if size else v.flatten(2))
            if cells.shape[-1] > 1:
                top = cells.topk(2, dim=-1).values
                distance = top[..., 0] - top[..., 1]
        if distance is not None:
            # Equal values are dead, or of equal patches: either may win.
            distance = distance[distance > 0]
            if distance.numel():
                nearest = min(nearest, (distance.min() / v.abs().max()).item())
        values[name] = f(*(values[i] for i in inputs))
    return nearest


class Case:
    """A net, its data, and what PyTorch computes."""

    def __init__(self, title, spec, model, x, y, loss, floor, tolerance):
        self.title, self.spec, self.floor = title, spec, floor
        self.tolerance = tolerance
        self.x, self.y = x.numpy(), y.numpy()
        self.params = np.concatenate(
            [p.detach().numpy().reshape(-1)
             for _, p in make_vectors.tensors_of(model)])
        self.parts = self.compute(model, x, y, loss)
        rough = self.compute(model.float(), x.float(), y, loss)
        # What float does to this net at worst, in PyTorch's hands.
        self.rough = max(np.abs(a - b).max() / self.scale(i)
                         for i, ((_, a), (_, b))
                         in enumerate(zip(self.parts, rough)))

    def alive(self):
        """Every weight learns."""
        largest = [np.abs(v).max() for n, v in self.parts[2:]
                   if n.endswith(".weight")]
        return min(largest) >= self.floor * max(largest)

    def allowed(self):
        """In float."""
        return max(self.tolerance, 20 * self.rough if self.floor else 0)

    def scale(self, number):
        """What errors of a part are relative to."""
        name, values = self.parts[number]
        scale = np.abs(values).max()
        if number < 2 or not self.floor:
            return max(scale, 1e-3 if number < 2 else 1e-300)
        if name.endswith(".bias"):
            scale = max(scale, np.abs(self.parts[number - 1][1]).max())
        return max(scale, self.floor * max(np.abs(v).max()
                                           for _, v in self.parts[2:]))

    @staticmethod
    def compute(model, x, y, loss):
        model.zero_grad()
        z = model(x)
        value = loss(z.double(), y)
        value.backward()
        parts = [("the loss", np.array([value.item()])),
                 ("the outputs", z.detach().numpy().astype(float).reshape(-1))]
        for name, p in make_vectors.tensors_of(model):
            g = p.grad.numpy() if p.requires_grad else None
            parts.append((name, None if g is None
                          else g.astype(float).reshape(-1)))
        # A running statistic has no gradient: its place is not looked at.
        return [(n, v if v is not None else np.full(p.numel(), 0.0))
                for (n, v), p in zip(parts, [value, z] + [
                    q for _, q in make_vectors.tensors_of(model)])]

    def bytes(self):
        spec = json.dumps(self.spec).encode()
        return b"".join((struct.pack("<I", len(spec)), spec,
                         struct.pack("<I", len(self.y)),
                         self.y.astype("<u4").tobytes(),
                         self.params.astype("<f8").tobytes(),
                         self.x.astype("<f8").tobytes()))

    def check(self, values, family, double):
        """Takes our numbers off the front of values; the worst error."""
        sizes = [v.size for _, v in self.parts]
        worst, at = 0.0, 0
        wrong = []
        for number, (name, theirs) in (
                list(enumerate(self.parts)) +
                list(enumerate(self.parts))[2:]):
            ours = values[at:at + sizes[number]]
            at += sizes[number]
            if "running_" in name:
                continue
            error = np.abs(ours - theirs).max() / self.scale(number)
            allowed = 1e-9 if double else self.allowed()
            worst = max(worst, error / allowed)
            if not error <= allowed:
                wrong.append("%s with %s: %s is off by %.2g of its maximum, "
                             "%.2g is allowed" % (self.title, family, name,
                                                  error, allowed))
        return worst, wrong


def from_spec(spec):
    model = make_vectors.FromSpec(spec)
    model.spec = spec
    return model


def random_case(title, spec, n, numbers):
    """The net with parameters and inputs with which it is alive and no value
    is near a jump; None when 30 draws were not."""
    model = from_spec(spec)
    classes = max(2, spec["layers"][-1]["units"])
    for _ in range(30):
        start(model.double(), numbers)
        x = numbers.uniform(0, 1, (n, *spec["input"])).astype(np.float32)
        x = torch.from_numpy(x.astype(float))
        y = torch.from_numpy(numbers.integers(0, classes, n))
        with torch.no_grad():
            if nearest_jump(model, x) <= NEAR:
                continue
        case = Case(title, spec, model, x, y,
                    make_vectors.LOSSES[spec["loss"]], 1e-3, 5e-5)
        # Where PyTorch's own floats are lost, ours need not be right.
        if case.alive() and case.allowed() <= 1e-3:
            return case
    return None


def random_cases(args):
    for i in range(args.nets):
        if args.only is not None and i != args.only:
            continue
        rng = random.Random("%d/%d" % (args.seed, i))
        numbers = np.random.default_rng([args.seed, i])
        case = None
        while case is None:
            spec = Draw(rng).net()
            if spec is None:
                continue
            n = rng.choice((1, 2, 3, 5, 8, 10, 13))
            if any(l["type"] == "batchnorm2d" for l in spec["layers"]):
                n = max(n, 8)
            case = random_case("net %d" % i, spec, n, numbers)
        yield case


def zoo_spec(name):
    """As docs/MODELS.md lists the zoo: the names are all that is taken."""
    layers, shapes = [], {
        "lenet5": ("6k5p2 r p", "16k5 r p", "d120 r d84 r"),
        "lenet-caffe": ("20k5 p", "50k5 p", "d500 r"),
        "lenet-coreml": ("32k3 r p", "32k2 r p", "d500 r"),
        "lenet-coreml-leaky": ("32k3 l a", "32k2 l a", "d500 l"),
        "cnn-mcmahan": ("32k5p2 r p", "64k5p2 r p", "d512 r"),
        "mlp": ("d200 r d200 r",),
        "logreg": ("",),
    }[name]
    count = {"conv": 0, "fc": 0}

    def put(stem, kind, **attributes):
        if stem in count:
            count[stem] += 1
            stem += str(count[stem])
        else:
            stem += str(len(layers))
        layers.append(dict(name=stem, type=kind, **attributes))

    for word in " ".join(shapes).split() + ["d10"]:
        if word[0] == "d":
            if count["fc"] == 0:
                put("flatten", "flatten")
            put("fc", "dense", units=int(word[1:]))
        elif word[0].isdigit():
            channels, _, rest = word.partition("k")
            kernel, _, padding = rest.partition("p")
            put("conv", "conv2d", out_channels=int(channels),
                kernel=int(kernel), padding=int(padding or 0))
        else:
            kind, more = {"r": ("relu", {}), "l": ("leaky_relu", {}),
                          "p": ("maxpool2d", {"size": 2}),
                          "a": ("avgpool2d", {"size": 2})}[word]
            put(kind, kind, **more)
    return {"version": 1, "input": [1, 28, 28],
            "loss": "softmax_cross_entropy", "layers": layers}


def zoo_cases(args):
    images = torch_eval.read_idx(args.data, "train", "images", 3)
    labels = torch_eval.read_idx(args.data, "train", "labels", 1).long()
    for name in make_vectors.ZOO:
        n = 10 if name == "cnn-mcmahan" else 128
        model = from_spec(zoo_spec(name)).double()
        # The bytes as our readers make floats of them.
        x = (images[:n].unsqueeze(1).float() / 255).double()
        torch.manual_seed(1)
        for module in model.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)
        for p in model.parameters():
            p.data.copy_(p.data.float().double())
        yield Case("%s at batch %d" % (name, n), model.spec, model, x,
                   labels[:n], F.cross_entropy, 0, 1e-5)


def ours(binary, work, cases):
    """{family: numbers} for each case."""
    path, out = os.path.join(work, "in"), os.path.join(work, "out")
    with open(path, "wb") as f:
        for case in cases:
            f.write(case.bytes())
    families = subprocess.run([binary, path, out], check=True, text=True,
                              stdout=subprocess.PIPE).stdout.split()
    numbers, at = np.fromfile(out, "<f8"), 0
    for case in cases:
        sizes = [v.size for _, v in case.parts]
        size = sum(sizes) + sum(sizes[2:])
        result = {}
        for family in families:
            result[family] = numbers[at:at + size]
            at += size
        yield case, result
    assert at == numbers.size


def main():
    p = argparse.ArgumentParser(description="Hold our gradients against "
                                            "PyTorch's.")
    p.add_argument("what", choices=("random", "zoo"))
    p.add_argument("bin", help="folder of net_gradients")
    p.add_argument("--nets", type=int, default=200)
    p.add_argument("--seed", type=int, default=4)
    p.add_argument("--only", type=int, help="this net alone; prints its spec")
    p.add_argument("--data", help="folder with MNIST")
    args = p.parse_args()
    torch.set_num_threads(1)
    cases = list((random_cases if args.what == "random" else zoo_cases)(args))
    if args.only is not None:
        print(json.dumps(cases[0].spec, indent=1))
    worst, wrong = {}, []
    with tempfile.TemporaryDirectory() as work:
        for name in ("net_gradients_double", "net_gradients"):
            double = name.endswith("double")
            for case, result in ours(os.path.join(args.bin, name), work, cases):
                for family, numbers in result.items():
                    title = family + (" in double" if double else "")
                    error, faults = case.check(numbers, title, double)
                    worst[title] = max(worst.get(title, (0, "")),
                                       (error, case.title))
                    wrong += faults
    for title, (error, where) in worst.items():
        print("%s: worst error %.3f of what is allowed, %s" %
              (title, error, where))
    kinds = {l["type"] for c in cases for l in c.spec["layers"]}
    print("%d nets, layers: %s" % (len(cases), " ".join(sorted(kinds))))
    print("%d of them ill-conditioned" %
          sum(c.allowed() > c.tolerance for c in cases))
    for line in wrong[:40]:
        print(line)
    print("%d differences" % len(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
