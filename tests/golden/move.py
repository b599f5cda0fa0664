"""Golden cases of operators that move data, change shapes or resize."""

import torch

from golden import Cases, random

INF, NAN = float("inf"), float("nan")
LAST = 2**63 - 1  # what a slice without an end has

cases = Cases("move")


def add(op, name, args, **options):
    cases.add(f"{op} {name}".strip(), op if op.startswith("aten.") else f"aten.{op}", args, **options)


def axes(*shape):
    """Numbers that tell their place."""
    return torch.arange(float(torch.Size(shape).numel())).reshape(shape)


x = axes(2, 3, 3, 4)

# Shapes.
add("view.default", "", {"self": x, "size": [6, 12]})
add("view.default", "-1", {"self": x, "size": [2, -1, 6]})
add("view.default", "scalar", {"self": axes(1, 1), "size": []})
add("view.default", "empty", {"self": axes(2, 0, 3), "size": [0, 7]})
add("view.default", "ones", {"self": axes(6), "size": [1, 2, 1, 3, 1]})
add("_unsafe_view.default", "", {"self": x, "size": [12, 6]})
add("reshape.default", "", {"self": x, "shape": [4, -1, 3]})
add("reshape_as.default", "", {"self": x, "other": axes(8, 9)})
add("view_as.default", "", {"self": x, "other": axes(8, 9)})
add("flatten.using_ints", "", {"self": x, "start_dim": 1})
add("flatten.using_ints", "middle", {"self": x, "start_dim": 1, "end_dim": -2})
add("flatten.using_ints", "all defaults", {"self": x})
add("flatten.using_ints", "scalar", {"self": torch.tensor(3.0)})
add("flatten.using_ints", "empty", {"self": axes(0, 3, 2), "start_dim": 1})
add("ravel.default", "", {"self": x})
add("unflatten.int", "", {"self": axes(2, 12), "dim": 1, "sizes": [3, -1]})
add("unflatten.int", "negative axis", {"self": axes(2, 12), "dim": -2, "sizes": [2, 1]})
s = axes(1, 3, 1, 2, 1)
add("squeeze.default", "", {"self": s})
add("squeeze.dim", "", {"self": s, "dim": -1})
add("squeeze.dim", "not 1", {"self": s, "dim": 1})
add("squeeze.dim", "scalar", {"self": torch.tensor(3.0), "dim": -1})
add("squeeze.dims", "", {"self": s, "dim": [0, 2, 3]})
add("unsqueeze.default", "front", {"self": x, "dim": 0})
add("unsqueeze.default", "back", {"self": x, "dim": -1})
add("unsqueeze.default", "scalar", {"self": torch.tensor(3.0), "dim": 0})

# Orders of axes.
add("permute.default", "", {"self": x, "dims": [0, 2, 3, 1]})
add("permute.default", "negative", {"self": x, "dims": [-1, 0, -2, 1]})
add("transpose.int", "", {"self": x, "dim0": 1, "dim1": -1})
add("transpose.int", "scalar", {"self": torch.tensor(3.0), "dim0": 0, "dim1": -1})
add("swapaxes.default", "", {"self": x, "axis0": 0, "axis1": 2})
add("swapdims.default", "", {"self": x, "dim0": 0, "dim1": 2})
add("movedim.int", "", {"self": x, "source": 1, "destination": -1})
add("movedim.intlist", "", {"self": x, "source": [3, 0], "destination": [0, 2]})
add("t.default", "", {"self": axes(2, 3)})
add("t.default", "vector", {"self": axes(3)})
add("mT.default", "", {"self": x})
add("flip.default", "", {"self": x, "dims": [1, -1]})
add("flip.default", "no axis", {"self": x, "dims": []})

# Repetition.
add("expand.default", "", {"self": axes(3, 1), "size": [2, -1, 4]})
add("expand.default", "to nothing", {"self": axes(3, 1), "size": [3, 0]})
add("expand.default", "scalar", {"self": torch.tensor(3.0), "size": [2, 2]})
add("expand_as.default", "", {"self": axes(3, 1), "other": axes(2, 3, 4)})
add("broadcast_to.default", "", {"self": axes(3, 1), "size": [2, 3, 4]})
add("repeat.default", "", {"self": axes(2, 3), "repeats": [2, 1, 3]})
add("repeat.default", "none", {"self": axes(2, 3), "repeats": [0, 2]})
add("repeat.default", "image", {"self": x, "repeats": [1, 2, 1, 2]})
add("tile.default", "", {"self": axes(2, 3), "dims": [2]})
add("repeat_interleave.self_int", "", {"self": x, "repeats": 2, "dim": 1})
add("repeat_interleave.self_int", "flat", {"self": axes(2, 3), "repeats": 3})

# Parts.
add("slice.Tensor", "", {"self": x, "dim": 2, "start": 1, "end": LAST})
add("slice.Tensor", "step", {"self": x, "dim": -1, "start": 0, "end": LAST, "step": 2})
add("slice.Tensor", "negative", {"self": x, "dim": 3, "start": -3, "end": -1})
add("slice.Tensor", "beyond", {"self": x, "dim": 3, "start": -30, "end": 50})
add("slice.Tensor", "None", {"self": x, "dim": 1, "start": None, "end": 2})
add("slice.Tensor", "nothing", {"self": x, "dim": 1, "start": 3, "end": 1})
add("slice.Tensor", "step beyond", {"self": x, "dim": 3, "start": 1, "end": LAST, "step": 9})
add("slice.Tensor", "huge step", {"self": x, "dim": 3, "step": 2**40})
add("narrow.default", "", {"self": x, "dim": 1, "start": -2, "length": 2})
add("select.int", "", {"self": x, "dim": 1, "index": -1})
add("select.int", "to scalar", {"self": axes(3), "dim": 0, "index": 1})
add("split.Tensor", "", {"self": x, "split_size": 2, "dim": 3})
add("split.Tensor", "empty axis", {"self": axes(2, 0), "split_size": 2, "dim": 1})
add("split_with_sizes.default", "", {"self": x, "split_sizes": [1, 0, 2], "dim": 1})
add("split.sizes", "", {"self": x, "split_size": [1, 2], "dim": 2})
add("chunk.default", "", {"self": axes(7, 2), "chunks": 3})
add("chunk.default", "fewer than asked", {"self": axes(2, 6), "chunks": 4, "dim": 1})
add("unbind.int", "", {"self": x, "dim": 1})

# Constant positions.
POSITIONS = {"constants": ("indices",)}


def positions(*values):
    return torch.tensor(values)


add("index.Tensor", "columns", {"self": x, "indices": [None, None, None, positions(0, 0, 3, -1, 2)]},
    **POSITIONS)
add("index.Tensor", "reflected rows", {"self": x, "indices": [None, None, positions(2, 1, 0, 1, 2, 1)]},
    **POSITIONS)
add("index.Tensor", "batch", {"self": x, "indices": [positions(1, 0, 1)]}, **POSITIONS)
add("index.Tensor", "channels", {"self": x, "indices": [None, positions(2, 0)]}, **POSITIONS)
add("index.Tensor", "grid", {"self": x, "indices": [None, None, positions([0], [0], [2]),
                                                    positions(0, 1, 3, 3)]}, **POSITIONS)
add("index.Tensor", "points", {"self": x, "indices": [None, positions(0, 2), positions(1, 0)]}, **POSITIONS)
add("index.Tensor", "apart", {"self": x, "indices": [None, positions(0, 2, 1), None, positions(1, 0, 3)]},
    **POSITIONS)
add("index.Tensor", "table", {"self": x, "indices": [None, positions([0, 2, 2], [1, 0, 2])]}, **POSITIONS)
add("index.Tensor", "one position", {"self": x, "indices": [None, positions(-1), None, positions([1], [0])]},
    **POSITIONS)
add("index.Tensor", "scalar", {"self": x, "indices": [None, torch.tensor(1)]}, **POSITIONS)
add("index.Tensor", "none", {"self": x, "indices": [None, torch.zeros(0)]}, **POSITIONS)
add("index.Tensor", "many", {"self": axes(1, 3, 40, 40), "indices": [
    None, None, (torch.arange(40) * 7 % 40)[:, None], torch.arange(40) * 11 % 40]}, **POSITIONS)
add("index_select.default", "", {"self": x, "dim": -1, "index": positions(3, 1, 1)}, constants=("index",))
add("index_select.default", "scalar", {"self": x, "dim": 1, "index": torch.tensor(2)}, constants=("index",))
add("slice_scatter.default", "", {"self": x, "src": -axes(2, 3, 2, 4), "dim": 2, "start": 1})
add("slice_scatter.default", "step", {"self": x, "src": -axes(2, 3, 3, 2), "dim": -1, "start": 1, "end": LAST,
                                      "step": 2})
add("slice_scatter.default", "nothing", {"self": x, "src": axes(2, 0, 3, 4), "dim": 1, "start": 3})
add("copy.default", "", {"self": x, "src": axes(3, 1, 4)})

# Nothing.
add("contiguous.default", "", {"self": x})
add("clone.default", "", {"self": x})
add("alias.default", "", {"self": x})
add("detach.default", "", {"self": x})
add("dropout.default", "eval", {"input": x, "p": 0.5, "train": False})
add("feature_dropout.default", "eval", {"input": x, "p": 0.5, "train": False})
add("alpha_dropout.default", "eval", {"input": x, "p": 0.5, "train": False})

# Together.
y = axes(2, 2, 3, 4) + 1000
add("cat.default", "channels", {"tensors": [x, y, x], "dim": 1})
add("cat.default", "batch", {"tensors": [x, x]})
add("cat.default", "last axis", {"tensors": [axes(2, 3), axes(2, 1)], "dim": -1})
add("cat.default", "empty", {"tensors": [axes(0), x, axes(2, 0, 3, 4)], "dim": 1})
add("cat.default", "only empty", {"tensors": [axes(0), axes(0)]})
add("cat.default", "one", {"tensors": [x], "dim": 1})
add("concat.default", "weights", {"tensors": [axes(2, 2), axes(2, 3)], "dim": 1}, constants=("tensors",))
add("stack.default", "", {"tensors": [x, x + 1], "dim": 0})
add("stack.default", "last axis", {"tensors": [axes(2, 3), axes(2, 3) + 9], "dim": -1})
add("stack.default", "scalars", {"tensors": [torch.tensor(1.0), torch.tensor(2.0)]})

# Padding.
for name, pad in [("", [1, 2, 3, 0]), ("one axis", [2, 1]), ("crop", [-1, 2, 1, -2]),
                  ("all axes", [1, 0, 0, 1, 2, 1, 1, 1]), ("to nothing", [-2, -2])]:
    add("constant_pad_nd.default", name, {"self": x, "pad": pad, "value": 1.5})
add("constant_pad_nd.default", "nan", {"self": axes(2), "pad": [1, 1], "value": NAN})
add("constant_pad_nd.default", "none", {"self": x, "pad": []})
add("constant_pad_nd.default", "of nothing", {"self": axes(2, 0, 3), "pad": [0, 0, 2, 1]})
add("pad.default", "constant", {"self": x, "pad": [1, 1, 1, 1]})
add("pad.default", "constant value", {"self": x, "pad": [1, 1], "mode": "constant", "value": -INF})
for mode in ["reflect", "replicate", "circular"]:
    add("pad.default", mode, {"self": x, "pad": [2, 1, 2, 0], "mode": mode})
    add("pad.default", f"{mode} 1d", {"self": axes(2, 3, 4), "pad": [3, 2], "mode": mode})
    add("pad.default", f"{mode} 3d", {"self": axes(1, 2, 2, 3, 3), "pad": [1, 2, 0, 1, 1, 1], "mode": mode})
    add("pad.default", f"{mode} crop", {"self": x, "pad": [-1, 2, 1, -2], "mode": mode})
    add("pad.default", f"{mode} crop more", {"self": x, "pad": [-2, 1, 1, -1], "mode": mode})
add("pad.default", "reflect without batch", {"self": axes(3, 4, 5), "pad": [1, 2, 3, 1], "mode": "reflect"})
add("pad.default", "replicate far", {"self": axes(1, 2, 3), "pad": [7, 5], "mode": "replicate"})
add("reflection_pad1d.default", "", {"self": axes(2, 3, 4), "padding": [2, 1]})
add("reflection_pad2d.default", "", {"self": x, "padding": [2, 1, 1, 2]})
add("reflection_pad3d.default", "", {"self": axes(1, 1, 2, 3, 2), "padding": [1, 1, 2, 0, 1, 0]})
add("replication_pad1d.default", "", {"self": axes(2, 3, 4), "padding": [2, 1]})
add("replication_pad2d.default", "", {"self": x, "padding": [2, 1, 1, 2]})
add("replication_pad3d.default", "", {"self": axes(1, 1, 2, 3, 2), "padding": [1, 1, 2, 0, 3, 0]})

# Shuffles.
add("pixel_shuffle.default", "", {"self": axes(2, 18, 2, 3), "upscale_factor": 3})
add("pixel_shuffle.default", "no batch", {"self": axes(4, 2, 3), "upscale_factor": 2})
add("pixel_unshuffle.default", "", {"self": axes(2, 2, 4, 6), "downscale_factor": 2})
add("channel_shuffle.default", "", {"self": axes(2, 6, 2, 2), "groups": 3})
add("native_channel_shuffle.default", "", {"self": axes(2, 6, 2), "groups": 2})

# Resizing.
image = random(2, 1, 4, 3, seed=1)
wide = random(1, 19, 2, 2, seed=2)
signal = random(1, 3, 7, seed=3)
volume = random(1, 1, 2, 3, 2, seed=4)
# PyTorch's antialiased images of one column and more rows are wrong.
broad = random(2, 1, 7, 8, seed=6)
for kind, inputs in [("nearest1d", [signal]), ("nearest2d", [image, wide]), ("nearest3d", [volume]),
                     ("_nearest_exact2d", [image]), ("linear1d", [signal]),
                     ("bilinear2d", [image, wide]), ("trilinear3d", [volume]),
                     ("bicubic2d", [image, wide]), ("_bilinear2d_aa", [broad, wide]),
                     ("_bicubic2d_aa", [broad, wide])]:
    linear = "linear" in kind or "cubic" in kind
    op = ("_upsample" + kind if kind[0] == "_" else "upsample_" + kind) + ".vec"
    for t in inputs:
        n = t.dim() - 2
        for corners in [False, True] if linear else [None]:
            extra = {} if corners is None else {"align_corners": corners}
            magnitude = 2 if linear else None
            tag = f"{list(t.shape)} {'corners' if corners else ''}"
            for scale in [2.0] if t is wide else [2.0, 1.7, 0.6]:
                add(op, f"{tag} by {scale}", {"input": t, "output_size": None, **extra,
                                              "scale_factors": [scale] * n}, magnitude=magnitude)
            for size in [3] if t is wide else [1, 5]:
                add(op, f"{tag} to {size}", {"input": t, "output_size": [size + i for i in range(n)],
                                             **extra, "scale_factors": None}, magnitude=magnitude)
add("upsample_nearest2d.default", "", {"self": image, "output_size": [7, 9]})
add("upsample_nearest2d.default", "scales", {"self": random(1, 2, 4, 3, seed=5), "output_size": [7, 6], "scales_h": 1.9, "scales_w": 2.1})
add("upsample_nearest1d.default", "same size", {"self": signal, "output_size": [7], "scales": 1.1})
add("_upsample_nearest_exact1d.default", "same size", {"self": signal, "output_size": [7], "scales": 1.1})
add("upsample_bilinear2d.default", "", {"self": image, "output_size": [7, 9], "align_corners": False}, magnitude=2)
add("upsample_bilinear2d.default", "scales", {"self": image, "output_size": [7, 6], "align_corners": False,
                                              "scales_h": 1.9, "scales_w": 2.1}, magnitude=2)
add("upsample_bicubic2d.default", "scales",
    {"self": image, "output_size": [7, 6], "align_corners": False, "scales_h": 1.9,
     "scales_w": 2.1}, magnitude=2)
add("upsample_bicubic2d.default", "same size", {"self": image, "output_size": [4, 3],
                                                "align_corners": True}, magnitude=2)
add("_upsample_bicubic2d_aa.default", "", {"self": random(2, 3, 9, 40, seed=9),
                                           "output_size": [4, 3], "align_corners": True},
    magnitude=2)
add("upsample_nearest1d.default", "", {"self": signal, "output_size": [11]})
add("upsample_linear1d.default", "", {"self": signal, "output_size": [11], "align_corners": True}, magnitude=2)
infinite = torch.tensor([[[1, INF, 2, NAN, 3]]])
add("upsample_linear1d.vec", "inf and nan", {"input": infinite, "output_size": [8], "align_corners": False,
                                             "scale_factors": None})
plane = axes(1, 1, 3, 3)
plane[0, 0, 1, 1] = INF
for corners in [False, True]:
    add("upsample_bilinear2d.vec", f"inf {corners}", {"input": plane, "output_size": [3, 5],
                                                      "align_corners": corners, "scale_factors": None})

# Constants.
add("full.default", "", {"size": [2, 3], "fill_value": 1.5})
add("full.default", "scalar", {"size": [], "fill_value": -INF})
add("zeros.default", "", {"size": [2, 0]})
add("ones.default", "", {"size": [3]})
add("full_like.default", "", {"self": x, "fill_value": 2.5})
add("zeros_like.default", "", {"self": axes(2, 3)})
add("ones_like.default", "", {"self": axes(2, 3)})
add("new_zeros.default", "", {"self": x, "size": [2]})
add("new_ones.default", "", {"self": x, "size": [2]})
add("new_full.default", "", {"self": x, "size": [2], "fill_value": 3})
add("scalar_tensor.default", "", {"s": 2.5})
add("arange.default", "", {"end": 5})
add("arange.start", "", {"start": 2, "end": 5})
add("arange.start_step", "", {"start": 5, "end": -2, "step": -3})
add("arange.start_step", "fractions", {"start": 0.5, "end": 3, "step": 0.25})

cases.write()
