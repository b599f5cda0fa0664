from .engine import Engine


class Mnn(Engine):
    """precision: high. Copying the input in and the output out is not part of a run."""

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
        given.copyFrom(host)

        def output():
            result = net.getSessionOutput(session)
            shape = result.getShape()
            copy = MNN.Tensor(shape, MNN.Halide_Type_Float,
                              numpy.zeros(shape, numpy.float32), MNN.Tensor_DimensionType_Caffe)
            result.copyToHostTensor(copy)
            return numpy.array(copy.getData(), numpy.float32).reshape(shape)

        return lambda: net.runSession(session), output
