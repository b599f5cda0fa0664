"""Golden cases of im2col, col2im, roll and cumsum."""

import torch

from golden import Cases, random

cases = Cases("windows")
image = random(2, 3, 6, 7, seed=1)
for kernel, dilation, padding, stride in [
        ((1, 1), (1, 1), (0, 0), (1, 1)), ((3, 2), (1, 1), (0, 0), (1, 1)),
        ((3, 3), (1, 1), (1, 1), (2, 2)), ((2, 3), (2, 1), (1, 2), (1, 3)),
        ((2, 2), (3, 5), (4, 5), (2, 1)), ((6, 7), (1, 1), (0, 0), (1, 1)),
        ((1, 2), (1, 1), (3, 3), (7, 2))]:
    options = {"kernel_size": list(kernel), "dilation": list(dilation), "padding": list(padding),
               "stride": list(stride)}
    title = " ".join(f"{k} {v}" for k, v in options.items())
    cases.add(f"im2col {title}", "aten.im2col.default", {"self": image, **options})
    columns = torch.ops.aten.im2col.default(image[:, :2], *options.values())
    columns = random(*columns.shape, seed=2)
    cases.add(f"col2im {title}", "aten.col2im.default",
              {"self": columns, "output_size": [6, 7], **options}, length=9, magnitude=18)
unpadded = {"kernel_size": [2, 2], "dilation": [1, 1], "padding": [0, 0], "stride": [2, 2]}
cases.add("im2col without batch", "aten.im2col.default", {"self": image[0], **unpadded})
cases.add("col2im without batch", "aten.col2im.default",
          {"self": random(8, 6, seed=3), "output_size": [4, 6], **unpadded})

for shifts, dims in [([1], [0]), ([-2, 3], [2, 3]), ([7], [1]), ([0, 1], [1, -1]), ([5], []),
                     ([-300], []), ([1, 2, -1], [3, 3, 1])]:
    cases.add(f"roll {shifts} {dims}", "aten.roll.default",
              {"self": image, "shifts": shifts, "dims": dims})
cases.add("roll nothing", "aten.roll.default",
          {"self": random(2, 0, 3, seed=1), "shifts": [1], "dims": [1]})
for dim in [0, 1, -1]:
    cases.add(f"cumsum {dim}", "aten.cumsum.default", {"self": random(3, 5, 70, seed=4), "dim": dim})
cases.add("cumsum of one", "aten.cumsum.default", {"self": torch.tensor(2.5), "dim": 0})
cases.add("cumsum empty", "aten.cumsum.default", {"self": random(2, 0, seed=1), "dim": 1})
cases.add("cumsum special", "aten.cumsum.default",
          {"self": torch.tensor([[1, float("inf"), 2, -float("inf"), 3]]), "dim": 1})
cases.write()
