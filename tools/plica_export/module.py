"""Makes a loaded module ready for export, and runs it so that errors name the layer."""

import torch
from torch import nn

from .errors import Refusal, listed, one_line


def untracked_tensors(model):
    """Plain tensor attributes, as (module, attribute, path): not in the state_dict.

    Tensors that a hook recomputes from parameters (weight normalisation, pruning) do not count.
    """
    tracked = {id(tensor) for tensor in (*model.parameters(), *model.buffers())}
    found = []
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            derived = any(f"{name}{suffix}" in module._parameters
                          for suffix in ("_g", "_orig"))
            if isinstance(value, torch.Tensor) and id(value) not in tracked and not derived:
                found.append((module, name, f"{path}.{name}" if path else name))
    return found


def refuse_untracked(model, path, allow, note):
    """A state_dict does not hold plain tensor attributes: refuses unless allowed."""
    names = listed(entry[2] for entry in untracked_tensors(model))
    if not names:
        return
    if not allow:
        raise Refusal(f"{path}: a state_dict without the plain tensor attributes {names}; their "
                      "trained values are lost: save the whole module, or give --allow-untracked "
                      "to export the constructor's values")
    note(f"{path}: not in the state_dict, so as the constructor made them: {names}")


def prepare(model, note):
    """The module to export: unwrapped, in eval mode, float32, its tensors registered."""
    while isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)) or \
            hasattr(model, "_orig_mod"):
        note(f"exporting the module inside {type(model).__name__}")
        model = model._orig_mod if hasattr(model, "_orig_mod") else model.module
    if isinstance(model, torch.jit.ScriptModule):
        raise Refusal("a TorchScript module, which torch.export cannot convert")
    model.eval()
    for path, module in model.named_modules():
        if module.training:
            note(f"{path or type(model).__name__} stays in training mode after eval(); "
                 "switched off")
            module.training = False
        for name, value in list(vars(module).items()):
            if isinstance(value, torch.device) and value.type != "cpu":
                note(f"{path + '.' if path else ''}{name}: changed from device {value} to cpu")
                setattr(module, name, torch.device("cpu"))
    for module, name, _ in untracked_tensors(model):
        value = vars(module).pop(name)
        module.register_buffer(name, value.detach())
    tensors = [*model.parameters(), *model.buffers()]
    dtypes = {tensor.dtype for tensor in tensors if tensor.is_floating_point()} - {torch.float32}
    if dtypes:
        note("converted to float32 from " +
             listed(sorted(str(dtype).removeprefix("torch.") for dtype in dtypes)))
        model.float()
    return model.requires_grad_(False)


def flatten(value):
    """The tensors in an output of nested tuples, lists and dicts."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, (tuple, list)):
        return [tensor for part in value for tensor in flatten(part)]
    if isinstance(value, dict):
        return [tensor for part in value.values() for tensor in flatten(part)]
    raise Refusal(f"the model returns a {type(value).__name__}; expected tensors")


def run(model, inputs):
    """The output tensors; an error in the model becomes a Refusal with the layer's path."""
    active, handles = [], []

    def enter(path):
        return lambda module, args: active.append((path, module))

    def leave(module, args, output):
        active.pop()

    for path, module in model.named_modules():
        handles.append(module.register_forward_pre_hook(enter(path)))
        handles.append(module.register_forward_hook(leave))
    try:
        with torch.no_grad():
            return flatten(model(*inputs))
    except Refusal:
        raise
    except Exception as error:
        path, module = active[-1] if active else ("", model)
        shapes = listed("x".join(map(str, tensor.shape)) for tensor in inputs)
        where = f"in {path} ({type(module).__name__})" if path else f"in {type(module).__name__}"
        raise Refusal(f"the model cannot run on an input {shapes}: {where}: "
                      f"{one_line(error)}") from error
    finally:
        for handle in handles:
            handle.remove()


def random_inputs(shapes, batch=None, seed=0):
    """Normal inputs of the shapes, the first dimension replaced by batch if given."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn([batch, *shape[1:]] if batch is not None else shape, generator=generator)
            for shape in shapes]


def agree(a, b, tolerance=1e-4):
    """Whether two lists of outputs are the same up to float32 rounding."""
    if len(a) != len(b):
        return False
    for x, y in zip(a, b):
        if x.shape != y.shape:
            return False
        x, y = x.double(), y.double()
        finite = torch.where(torch.isfinite(y), y.abs(), 0.0)
        scale = float(finite.max()) if finite.numel() else 0.0
        if not torch.allclose(x, y, rtol=0, atol=tolerance * max(scale, 1e-30), equal_nan=True):
            return False
    return True


def refuse_random(model, inputs):
    if not agree(run(model, inputs), run(model, inputs)):
        raise Refusal("the model is random in eval mode: two runs on one input differ, e.g. by "
                      "F.dropout without training=self.training")


def batch_dependence(model, shapes):
    """Why samples cannot share a batch of any size; None if they can."""
    batch = 3
    inputs = random_inputs(shapes, batch)
    try:
        together = run(model, inputs)
        alone = [run(model, [tensor[i:i + 1] for tensor in inputs]) for i in range(batch)]
    except Refusal as refusal:
        return str(refusal)
    for index, output in enumerate(together):
        parts = [outputs[index] for outputs in alone]
        if any(part.dim() == 0 or part.shape[0] != 1 for part in parts) or \
                output.dim() == 0 or output.shape[0] != batch:
            return (f"the first dimension of an output is not the batch: "
                    f"{list(output.shape)} for a batch of {batch}")
        if not agree([torch.cat(parts)], [output]):
            return "the output of a sample depends on the other samples of its batch"
    return None
