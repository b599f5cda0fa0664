from .engine import Engine


class Mnn(Engine):
    """precision: high. A run overwrites its input tensor, so that copying the input in belongs to
    it; copying the output out does not."""

    name = "mnn"
    title = "MNN"
    requirements = ("onnx", "mnn")
    package = "MNN"
    suffix = ".mnn"
    note = "called through Python"

    def export(self, source, path, threads):
        # The module MNN.tools.mnnconvert would install and call a telemetry client.
        import _tools

        _tools.mnnconvert(["mnnconvert", "-f", "ONNX", "--modelFile", str(source.onnx()),
                           "--MNNModel", str(path), "--bizCode", "bench"])
        if not path.exists():
            raise RuntimeError("mnnconvert wrote nothing")

    def load(self, path, array, threads):
        import MNN
        import numpy

        net = MNN.Interpreter(str(path))
        session = net.createSession({"backend": "CPU", "numThread": threads, "precision": "high"})
        given = net.getSessionInput(session)
        host = MNN.Tensor(array.shape, MNN.Halide_Type_Float, array, MNN.Tensor_DimensionType_Caffe)

        def run():
            given.copyFrom(host)
            net.runSession(session)

        def output():
            result = net.getSessionOutput(session)
            shape = result.getShape()
            copy = MNN.Tensor(shape, MNN.Halide_Type_Float,
                              numpy.zeros(shape, numpy.float32), MNN.Tensor_DimensionType_Caffe)
            result.copyToHostTensor(copy)
            return numpy.array(copy.getData(), numpy.float32).reshape(shape)

        return run, output
