"""The engines that are measured, by name, in the order of the report."""

from .executorch import ExecuTorch
from .mnn import Mnn
from .ncnn import Ncnn
from .onnxruntime import OnnxRuntime
from .openvino import OpenVino
from .plica import Plica
from .pytorch import Compiled, Eager, Folded, Frozen

ENGINES = {engine.name: engine for engine in (
    Plica(), OnnxRuntime(), OpenVino(), ExecuTorch(), Ncnn(), Mnn(), Eager(), Folded(), Frozen(),
    Compiled())}
