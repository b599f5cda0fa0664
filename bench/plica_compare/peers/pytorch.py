"""PyTorch in four ways: as it is, with BatchNorm folded, frozen TorchScript, compiled."""

from .. import models
from .engine import Engine


class _PyTorch(Engine):
    requirements = ()  # It is always there: the models are made with it.
    package = "torch"
    note = "called through Python"

    def load(self, path, array, threads):
        import torch

        torch.set_num_threads(threads)
        # For the whole life of the process.
        torch.inference_mode().__enter__()
        module, tensor = self._load(path, torch.from_numpy(array))
        last = [None]

        def run():
            last[0] = module(tensor)

        return run, lambda: last[0].contiguous().numpy()

    def _load(self, path, tensor):
        raise NotImplementedError


class Eager(_PyTorch):
    name = "torch_eager"
    title = "PyTorch eager"
    suffix = ".pth"

    def export(self, source, path, threads):
        source.save(path)

    def _load(self, path, tensor):
        return models.load(path), tensor


class Folded(Eager):
    """BatchNorm folded into convolutions, memory channels-last."""

    name = "torch_folded"
    title = "PyTorch eager, folded"
    suffix = ".folded.pth"

    def _load(self, path, tensor):
        import torch
        from torch.fx.experimental.optimization import fuse

        module = fuse(models.load(path))
        if tensor.dim() == 4:
            module = module.to(memory_format=torch.channels_last)
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        return module, tensor


class Frozen(_PyTorch):
    """torch.jit.freeze and optimize_for_inference."""

    name = "torch_jit"
    title = "TorchScript, frozen"
    suffix = ".jit.pt"

    def export(self, source, path, threads):
        import torch

        with torch.no_grad():
            torch.jit.trace(source.module(), source.example()).save(path)

    def _load(self, path, tensor):
        import torch

        module = torch.jit.load(path).eval()
        return torch.jit.optimize_for_inference(torch.jit.freeze(module)), tensor


class Compiled(_PyTorch):
    """AOTInductor with freezing: an artifact for each number of threads."""

    name = "torch_aoti"
    title = "PyTorch compiled (AOTInductor)"
    suffix = ".aoti.pt2"
    per_threads = True
    compiled = True

    def export(self, source, path, threads):
        import torch
        import torch._inductor

        torch.set_num_threads(threads)
        with torch.no_grad():
            torch._inductor.aoti_compile_and_package(
                source.program(), package_path=str(path), inductor_configs={"freezing": True})

    def _load(self, path, tensor):
        import torch
        import torch._inductor

        return torch._inductor.aoti_load_package(str(path)), tensor
