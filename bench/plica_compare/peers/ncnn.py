import contextlib
import os
import pathlib

from .engine import Engine


class Ncnn(Engine):
    """float32 throughout, Winograd on. It has no batch dimension: samples run one by one."""

    name = "ncnn"
    title = "ncnn"
    requirements = ("ncnn",)
    package = "ncnn"
    suffix = ".ncnn"
    note = "called through Python; one sample at a time"

    def export(self, source, path, threads):
        import pnnx

        path.mkdir(exist_ok=True)
        before = pathlib.Path.cwd()
        os.chdir(path)
        try:
            # Last of all it loads a Python file that it wrote itself, which may not even parse.
            with contextlib.suppress(SyntaxError):
                pnnx.export(source.module(), "net.pt", (source.example(batch=1),), fp16=False)
        finally:
            os.chdir(before)
            for file in path.iterdir():
                if not file.name.startswith("net.ncnn."):
                    file.unlink()
        if not (path / "net.ncnn.param").exists():
            raise RuntimeError("pnnx wrote no net.ncnn.param")

    def load(self, path, array, threads):
        import ncnn
        import numpy

        net = ncnn.Net()
        net.opt.use_vulkan_compute = False
        net.opt.num_threads = threads
        net.opt.use_winograd_convolution = True
        for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic",
                       "use_bf16_storage"):
            if hasattr(net.opt, option):
                setattr(net.opt, option, False)
        if net.load_param(str(path / "net.ncnn.param")) != 0:
            raise RuntimeError("load_param failed: an operator that ncnn does not have?")
        if net.load_model(str(path / "net.ncnn.bin")) != 0:
            raise RuntimeError("load_model failed")
        samples = [ncnn.Mat(sample) for sample in array]
        last = [None] * len(samples)

        def run():
            for i, sample in enumerate(samples):
                extractor = net.create_extractor()
                extractor.input("in0", sample)
                code, last[i] = extractor.extract("out0")
                if code != 0:
                    raise RuntimeError(f"extract failed with {code}")

        return run, lambda: numpy.stack([numpy.array(mat) for mat in last])
