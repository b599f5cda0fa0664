import re

from .engine import Engine


class ExecuTorch(Engine):
    """XNNPACK's kernels; operators that its partitioner leaves out run in portable ones."""

    name = "xnnpack"
    title = "XNNPACK (ExecuTorch)"
    requirements = ("executorch_needs", "executorch")
    package = "executorch"
    suffix = ".pte"
    note = "called through Python, which also loads PyTorch into its memory"

    def export(self, source, path, threads):
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        edge = to_edge_transform_and_lower(source.program(), partitioner=[XnnpackPartitioner()])
        left = {}
        for node in edge.exported_program().graph.nodes:
            name = re.search(r"\w+\.\w+\.\w+", str(node.target))
            if node.op == "call_function" and name and "delegate" not in name[0]:
                left[name[0]] = left.get(name[0], 0) + 1
        path.write_bytes(edge.to_executorch().buffer)
        if left:
            return "not delegated: " + ", ".join(f"{n} {op}" for op, n in sorted(left.items()))
        return None

    def load(self, path, array, threads):
        import torch
        from executorch.extension.pybindings import portable_lib

        portable_lib._unsafe_reset_threadpool(threads)
        module = portable_lib._load_for_executorch(str(path))
        inputs = [torch.from_numpy(array)]
        last = []

        def run():
            last[:] = module.run_method("forward", inputs, clone_outputs=False)

        return run, lambda: last[0].numpy()
