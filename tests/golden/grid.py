"""Golden cases of grid_sampler and what makes its grids."""

import torch

from golden import Cases, random

cases = Cases("grid")
image = random(2, 3, 5, 4, seed=1)
# A quarter of the places are outside, some of them far.
grid = random(2, 3, 6, 2, seed=2, lo=-1.3, hi=1.3)
grid[0, 0, 0] = torch.tensor([-9.5, 4.25])
grid[0, 0, 1] = torch.tensor([1.0, -1.0])
grid[0, 0, 2] = torch.tensor([1e30, -1e30])
for mode in [0, 1]:
    for padding in [0, 1, 2]:
        # PyTorch reflects what is far to anywhere.
        places = grid.clamp(-9.5, 4.25) if padding == 2 else grid
        for corners in [False, True]:
            args = {"interpolation_mode": mode, "padding_mode": padding, "align_corners": corners}
            cases.add(f"{mode} {padding} {corners}", "aten.grid_sampler_2d.default",
                      {"input": image, "grid": places, **args}, length=30, magnitude=4)
            cases.add(f"{mode} {padding} {corners}, one pixel", "aten.grid_sampler.default",
                      {"input": random(2, 1, 1, 1, seed=3), "grid": places, **args}, length=30,
                      magnitude=4)
infinite = image.clone()
infinite[0, 0, 0, 0] = float("inf")
cases.add("infinity outside", "aten.grid_sampler_2d.default",
          {"input": infinite, "grid": torch.tensor([-1.25, -1.5]).expand(2, 1, 1, 2),
           "interpolation_mode": 0, "padding_mode": 0, "align_corners": False})
for size in [(2, 3, 5, 4), (2, 1, 1, 6)]:
    for corners in [False, True]:
        cases.add(f"affine_grid {size} {corners}", "aten.affine_grid_generator.default",
                  {"theta": random(2, 2, 3, seed=4), "size": list(size), "align_corners": corners},
                  length=3, magnitude=6)
cases.write()
