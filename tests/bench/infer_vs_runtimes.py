#!/usr/bin/env python3
"""Times our inference against ONNX Runtime's and LiteRT's, in turn.

A net is trained for an epoch; Debian's torch.onnx makes the ONNX file of it,
TensorFlow's converter the LiteRT file. All have one thread; tensors lie ready
where the runtime reads them and only the run is timed. Both runtimes are called
from Python, which is not their fault: the same call of a net that does nothing
is timed as well, and `less_call` is the latency without it. A row is ok when
ours is below both even then, and all say the same of the test images.
"""
import argparse
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True  # the tree stays as it is
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(HERE, "..", "interop"))
AGREE = 1000  # images that all are asked about


# In Debian's Python: the ONNX files, and what the others need to know.

def export_onnx(args):
    import numpy as np
    import torch
    import torch_eval
    net = torch_eval.ZOO[args.model]()
    tensors = torch_eval.read_safetensors(args.file)
    net.load_state_dict(tensors)
    net.eval()
    for batch in args.batches:
        torch.onnx.export(net, torch.zeros(batch, 1, 28, 28),
                          os.path.join(args.work, "b%d.onnx" % batch),
                          opset_version=13, input_names=["x"],
                          output_names=["y"])
    torch.onnx.export(torch.nn.ReLU(), torch.zeros(1, 1, 2, 2),
                      os.path.join(args.work, "nothing.onnx"),
                      opset_version=13, input_names=["x"], output_names=["y"])
    np.savez(os.path.join(args.work, "tensors.npz"),
             **{k: v.numpy() for k, v in tensors.items()})
    images = torch_eval.read_idx(args.data, "t10k", "images", 3)
    labels = torch_eval.read_idx(args.data, "t10k", "labels", 1)
    np.savez(os.path.join(args.work, "images.npz"), y=labels.numpy(),
             x=(images.float() / 255).numpy()[:, None])


# In the Python that has TensorFlow: the LiteRT files.

def layers_of(model):
    """(padding of the convolutions, activation, pool) of a zoo net."""
    return {"lenet-coreml": ("VALID", "relu", "max"),
            "lenet-coreml-leaky": ("VALID", "leaky", "avg"),
            "cnn-mcmahan": ("SAME", "relu", "max")}[model]


def convert_tflite(args):
    import numpy as np
    import tensorflow as tf
    t = np.load(os.path.join(args.work, "tensors.npz"))
    padding, act, pool = layers_of(args.model)
    act = tf.nn.relu if act == "relu" else (
        lambda v: tf.nn.leaky_relu(v, alpha=0.01))
    pool = tf.nn.max_pool2d if pool == "max" else tf.nn.avg_pool2d
    channels = t["conv2.weight"].shape[0]
    side = int(round((t["fc1.weight"].shape[1] / channels) ** 0.5))
    # Ours flattens channels, rows, columns; TensorFlow has channels last.
    fc1 = t["fc1.weight"].reshape(-1, channels, side, side)
    fc1 = fc1.transpose(2, 3, 1, 0).reshape(-1, fc1.shape[0])

    def net(x):
        for name in ("conv1", "conv2"):
            w = tf.constant(t[name + ".weight"].transpose(2, 3, 1, 0))
            x = tf.nn.conv2d(x, w, 1, padding) + t[name + ".bias"]
            x = pool(act(x), 2, 2, "VALID")
        x = tf.reshape(x, (x.shape[0], -1))
        x = act(tf.matmul(x, tf.constant(fc1)) + t["fc1.bias"])
        return tf.matmul(x, tf.constant(t["fc2.weight"].T)) + t["fc2.bias"]

    def write(f, shape, name):
        f = tf.function(f, input_signature=[tf.TensorSpec(shape, tf.float32)])
        converter = tf.lite.TFLiteConverter.from_concrete_functions(
            [f.get_concrete_function()])
        with open(os.path.join(args.work, name), "wb") as out:
            out.write(converter.convert())

    for batch in args.batches:
        write(net, (batch, 28, 28, 1), "b%d.tflite" % batch)
    write(tf.nn.relu, (1, 2, 2, 1), "nothing.tflite")


# The runtimes. run() is what is timed.

class OnnxRuntime:
    name = "onnxruntime"

    def __init__(self, work, stem):
        import numpy as np
        import onnxruntime as ort
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.graph_optimization_level = (
            ort.GraphOptimizationLevel.ORT_ENABLE_ALL)
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
        session = ort.InferenceSession(os.path.join(work, stem + ".onnx"),
                                       options, ["CPUExecutionProvider"])
        self.version = ort.__version__
        shape = session.get_inputs()[0].shape
        self.batch = shape[0]
        self.x = ort.OrtValue.ortvalue_from_numpy(np.zeros(shape, np.float32))
        self.y = ort.OrtValue.ortvalue_from_numpy(
            np.zeros(session.get_outputs()[0].shape, np.float32))
        binding = session.io_binding()
        binding.bind_ortvalue_input("x", self.x)
        binding.bind_ortvalue_output("y", self.y)
        # Straight to what InferenceSession.run_with_iobinding calls.
        raw, bound = session._sess, binding._iobinding
        self.keep = session, binding
        self.run = lambda: raw.run_with_iobinding(bound, None)

    def put(self, x):
        import numpy as np
        self.x.update_inplace(np.ascontiguousarray(x))

    def get(self):
        return self.y.numpy()


class LiteRT:
    name = "litert"

    def __init__(self, work, stem):
        from importlib.metadata import version
        from ai_edge_litert.interpreter import Interpreter
        self.i = Interpreter(os.path.join(work, stem + ".tflite"),
                             num_threads=1)
        self.i.allocate_tensors()
        self.version = version("ai-edge-litert")
        self.batch = int(self.i.get_input_details()[0]["shape"][0])
        self.at = self.i.get_input_details()[0]["index"]
        self.out = self.i.get_output_details()[0]["index"]
        self.run = self.i.invoke

    def put(self, x):
        self.i.set_tensor(self.at, x.transpose(0, 2, 3, 1).copy())

    def get(self):
        return self.i.get_tensor(self.out)


def latency(runtime, seconds, images):
    """Median seconds of a run; new images in every run."""
    runs, at, until = [], 0, time.perf_counter() + seconds
    while time.perf_counter() < until or not runs:
        if at + runtime.batch > len(images):
            at = 0
        runtime.put(images[at:at + runtime.batch])
        at += runtime.batch
        began = time.perf_counter()
        runtime.run()
        runs.append(time.perf_counter() - began)
    return statistics.median(runs)


def predictions(runtime, images):
    import numpy as np
    said = []
    for at in range(0, len(images), runtime.batch):
        part = images[at:at + runtime.batch]
        n = len(part)
        if n < runtime.batch:
            part = np.concatenate([part, images[:runtime.batch - n]])
        runtime.put(part)
        runtime.run()
        said.append(runtime.get()[:n].argmax(1))
    return np.concatenate(said)


def our_predictions(args, work, images):
    import numpy as np
    t = np.load(os.path.join(work, "tensors.npz"))
    spec = json.loads(subprocess.run(
        [args.pocketfed, "model", "info", args.file, "--json"], check=True,
        text=True, stdout=subprocess.PIPE).stdout)["spec"]
    spec = (spec if isinstance(spec, str) else json.dumps(spec)).encode()
    path, out = os.path.join(work, "case"), os.path.join(work, "outputs")
    params = np.concatenate([t[k].reshape(-1) for k in t.files])
    with open(path, "wb") as f:
        f.write(struct.pack("<I", len(spec)) + spec)
        f.write(struct.pack("<I", len(images)) + bytes(4 * len(images)))
        f.write(params.astype("<f8").tobytes())
        f.write(images.astype("<f8").tobytes())
    subprocess.run([os.path.join(args.build, "tests", "net_gradients"), path,
                    out], check=True, stdout=subprocess.DEVNULL)
    numbers = np.fromfile(out, "<f8")  # the best family comes first
    return numbers[1:1 + 10 * len(images)].reshape(-1, 10).argmax(1)


def ours(args, batch):
    out = subprocess.run(
        [args.pocketfed, "bench", "infer", "--model", args.file, "--data",
         args.data, "--batch", str(batch), "--seconds", str(args.seconds),
         "--json"], check=True, text=True, stdout=subprocess.PIPE).stdout
    return json.loads(out.splitlines()[-1])


def one_row(args, work, batch, data):
    runtimes = [R(work, "b%d" % batch) for R in (OnnxRuntime, LiteRT)]
    images = data["x"]
    said = [our_predictions(args, work, images[:AGREE])]
    accuracy = {}
    for r in runtimes:
        p = predictions(r, images)
        accuracy[r.name] = float((p == data["y"]).mean())
        said.append(p[:AGREE])
    call = {r.name: latency(r, 0.3, images[:, :, :2, :2]) for r in
            (OnnxRuntime(work, "nothing"), LiteRT(work, "nothing"))}
    taken = {"ours": []}
    for _ in range(args.rounds):
        last = ours(args, batch)
        taken["ours"].append(last["latency_median_us"] * 1e-6)
        for r in runtimes:
            taken.setdefault(r.name, []).append(
                latency(r, args.seconds, images))
    median = {k: statistics.median(v) for k, v in taken.items()}
    less_call = {k: median[k] - call[k] for k in call}
    agree = float(((said[0] == said[1]) & (said[0] == said[2])).mean())
    same = all(abs(v - last["test_accuracy"]) < 2e-4
               for v in accuracy.values())
    ok = agree == 1 and same and all(median["ours"] < v
                                     for v in less_call.values())
    us = {k: round(v * 1e6, 1) for k, v in median.items()}
    print(json.dumps({
        "model": args.model, "batch": batch, "threads": 1,
        "latency_us": us,
        "less_call_us": {k: round(v * 1e6, 1) for k, v in less_call.items()},
        "samples_per_s": {k: round(batch / v) for k, v in median.items()},
        "ratio": {k: round(v / median["ours"], 2)
                  for k, v in less_call.items()},
        "agreement": agree, "accuracy": dict(
            accuracy, ours=last["test_accuracy"]),
        "versions": {r.name: r.version for r in runtimes},
        "kernels": last["kernels"], "rounds": args.rounds,
        "gated": batch == 1, "ok": ok}), flush=True)
    return ok or batch != 1


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--model", default="lenet-coreml", choices=(
        "lenet-coreml", "lenet-coreml-leaky", "cnn-mcmahan"))
    p.add_argument("--batches", type=int, nargs="+", default=[1, 128])
    p.add_argument("--seconds", type=float, default=1, help="of each chunk")
    p.add_argument("--rounds", type=int, default=5, help="A B C in turn")
    for hidden in ("torch", "tensorflow", "build", "data", "file", "work",
                   "child"):
        p.add_argument("--" + hidden, help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.child:
        (export_onnx if args.child == "onnx" else convert_tflite)(args)
        return 0
    import numpy as np
    args.pocketfed = os.path.join(args.build, "bin", "pocketfed")
    with tempfile.TemporaryDirectory() as work:
        args.file = os.path.join(work, "net.safetensors")
        subprocess.run([args.pocketfed, "train-local", "--model", args.model,
                        "--epochs", "1", "--data", args.data, "--out",
                        args.file, "--json"], check=True,
                       stdout=subprocess.DEVNULL)
        for python, child in ((args.torch, "onnx"),
                              (args.tensorflow, "tflite")):
            subprocess.run(
                [python, os.path.abspath(__file__), "--child", child,
                 "--model", args.model, "--file", args.file, "--data",
                 args.data, "--work", work, "--batches"] +
                [str(b) for b in args.batches], check=True,
                stdout=subprocess.DEVNULL)
        data = np.load(os.path.join(work, "images.npz"))
        data = {"x": data["x"], "y": data["y"]}
        return 0 if all([one_row(args, work, b, data)
                         for b in args.batches]) else 1


if __name__ == "__main__":
    sys.exit(main())
