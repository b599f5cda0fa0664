from .engine import Engine


class OpenVino(Engine):
    """LATENCY, f32 (read back), one stream; through the C interface."""

    name = "openvino"
    title = "OpenVINO"
    requirements = ("onnx", "openvino")
    package = "openvino"
    program = "openvino_worker"
    suffix = ".xml"

    def export(self, source, path, threads):
        import openvino

        model = openvino.Core().read_model(source.onnx())
        openvino.save_model(model, path, compress_to_fp16=False)
