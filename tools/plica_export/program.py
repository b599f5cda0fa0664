"""From a prepared module to a .pt2 file."""

import contextlib
import inspect
import io
import re
import warnings

import torch
from torch.export import Dim

from .errors import Refusal, listed, one_line
from .module import agree, batch_dependence, random_inputs, refuse_random, run

DEFAULT_BATCH_MAX = 65536
# Metadata of each node that names source files of the exporting machine, or is never read again.
_DROPPED_META = ("stack_trace", "source_fn_stack", "from_node", "torch_fn", "custom")


def _export(model, inputs, dim=None, strict=False):
    dynamic = None
    if dim is not None:
        parameters = inspect.signature(model.forward).parameters.values()
        each = tuple({0: dim} for _ in inputs)
        starred = any(p.kind == p.VAR_POSITIONAL for p in parameters)
        dynamic = (each,) if starred else each
    silent = contextlib.redirect_stderr(io.StringIO())  # A failing export prints its graph.
    with torch.no_grad(), warnings.catch_warnings(), silent:
        warnings.simplefilter("ignore")
        return torch.export.export(model, tuple(inputs), dynamic_shapes=dynamic, strict=strict)


def _reason(error):
    """What torch.export says without its advice on debugging it."""
    text = re.sub(r"(For more |For extended |If you suspect |Caused by|consider using )[^\n]*", "",
                  str(error))
    return one_line(text, 300)


def _module_path(node):
    """The path of the innermost module that a node of the exported graph comes from."""
    stack = node.meta.get("nn_module_stack") or {}
    entries = list(stack.values())
    return entries[-1][0] if entries and entries[-1][0] else node.name


def _refuse_training(program, note):
    for node in program.graph.nodes:
        if node.op != "call_function":
            continue
        schema = getattr(node.target, "_schema", None)
        if schema is None:
            continue
        names = [argument.name for argument in schema.arguments]
        args = {**dict(zip(names, node.args)), **node.kwargs}
        name = schema.name.split("::")[-1].rstrip("_")
        on_data = isinstance(args.get("input"), torch.fx.Node) and \
            not _is_constant(args["input"], program)
        if name in ("batch_norm", "dropout", "alpha_dropout", "feature_dropout") and on_data and \
                args.get("training", args.get("train")):
            if name == "batch_norm" and args.get("running_mean") is None:
                note(f"{_module_path(node)}: batch_norm has no running statistics, so each output "
                     "depends on the whole batch")
                continue
            raise Refusal(f"{_module_path(node)}: {name} is in training mode, so its output "
                          "depends on the whole batch or on chance: Plica runs models as eval() "
                          "leaves them")


def _is_constant(node, program):
    """Whether a node depends on no user input."""
    users, seen, queue = set(program.graph_signature.user_inputs), set(), [node]
    while queue:
        current = queue.pop()
        if current.name in users and current.op == "placeholder":
            return False
        if current not in seen:
            seen.add(current)
            queue += current.all_input_nodes
    return True


def _run_unchanged(model, inputs):
    """The outputs; refuses a model whose run changes its buffers."""
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    outputs = run(model, inputs)
    changed = [name for name, buffer in model.named_buffers()
               if name not in before or
               not torch.equal(buffer.nan_to_num(), before[name].nan_to_num())]
    if changed:
        raise Refusal(f"the model changes its buffers in eval mode: {listed(changed)}")
    return outputs


def _export_dynamic(model, shapes, batch_max):
    """The program and None, or None and why the batch cannot be dynamic."""
    reason = batch_dependence(model, shapes)
    if reason is not None:
        return None, reason
    dim, inputs = Dim("batch", min=1, max=batch_max), random_inputs(shapes, 2)
    try:
        return _export(model, inputs, dim), None
    except Exception as error:
        reason = f"torch.export cannot make it dynamic: {_reason(error)}"
    # Reading the bytecode copes with more, such as len(x), but not with all.
    with contextlib.suppress(Exception):
        return _export(model, inputs, dim, strict=True), None
    return None, reason


def to_program(model, shapes, note, static_batch=False, batch_max=DEFAULT_BATCH_MAX):
    """The ExportedProgram of a prepared module, and whether its batch is dynamic."""
    given = random_inputs(shapes)
    expected = [(given, _run_unchanged(model, given))]
    refuse_random(model, given)
    program = None
    if not static_batch:
        program, reason = _export_dynamic(model, shapes, batch_max)
        if program is None:
            note(f"static batch of {shapes[0][0]}: {reason}")
    dynamic = program is not None
    if dynamic:
        several = random_inputs(shapes, 3)
        expected.append((several, run(model, several)))
    else:
        try:
            program = _export(model, given)
        except Exception as error:
            raise Refusal(f"torch.export refuses the model: {_reason(error)}") from error
    _refuse_training(program, note)
    for inputs, outputs in expected:
        if not agree(run(program.module(), inputs), outputs, 1e-5):
            raise Refusal("the exported program computes something else than the module")
    return program, dynamic


def save(program, path):
    """Writes the program without sample inputs and without paths of this machine."""
    for node in program.graph.nodes:
        for key in _DROPPED_META:
            node.meta.pop(key, None)
    program.example_inputs = None
    torch.export.save(program, path)
