import shutil

from .engine import Engine


class OnnxRuntime(Engine):
    """All graph optimisations, input and output bound; through the C interface."""

    name = "onnxruntime"
    title = "ONNX Runtime"
    requirements = ("onnx", "onnxruntime")
    package = "onnxruntime"
    program = "onnxruntime_worker"
    suffix = ".onnx"

    def options(self, site_packages):
        libraries = sorted((site_packages / "onnxruntime/capi").glob("libonnxruntime.so.*"))
        return ["--library", str(libraries[0])] if libraries else []

    def export(self, source, path, threads):
        shutil.copyfile(source.onnx(), path)
