"""The models that are compared: what each is, what it takes, how its weights are made.

Only `build` needs PyTorch; the list itself does not.
"""

import dataclasses
import pathlib
import re
import sys

from . import saved_program

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


@dataclasses.dataclass(frozen=True)
class Spec:
    name: str
    # "torchvision", "nets" (models/nets), "here" (plica_compare/nets), or "file"
    source: str
    sample: tuple  # Shape of the input without the batch.
    gflop: float | None  # Of one sample; two per multiply-add. None: counted when exported.
    batches: tuple = (1, 16)  # Those measured unless others are asked for.
    tiny: bool = False  # A Python call would cost as much as the net.
    digest: str = dataclasses.field(default="", repr=False)  # Of a file.

    @property
    def stem(self):
        """What the names of its files begin with."""
        return f"{pathlib.Path(self.name).stem}-{self.digest}" if self.digest else self.name

    def stem_of(self, batch):
        """The same of those for one size of batch."""
        return f"{self.stem}.b{batch}"


MODELS = {spec.name: spec for spec in (
    Spec("mlp_2_64_32_2", "nets", (2,), 4.48e-6, tiny=True),
    Spec("mlp_784_100x3_10", "nets", (784,), 1.988e-4, tiny=True),
    Spec("lenet", "nets", (1, 28, 28), 5.63e-4, tiny=True),
    Spec("resnet18_1x224", "nets", (1, 224, 224), 3.47),
    Spec("mobilenet_v3_large", "torchvision", (3, 224, 224), 0.433),
    Spec("mobilenet_v2", "torchvision", (3, 224, 224), 0.602),
    Spec("squeezenet1_1", "torchvision", (3, 224, 224), 0.698),
    Spec("efficientnet_b0", "torchvision", (3, 224, 224), 0.772),
    Spec("resnet18", "torchvision", (3, 224, 224), 3.63),
    Spec("densenet121", "torchvision", (3, 224, 224), 5.67, (1,)),
    Spec("resnet50", "torchvision", (3, 224, 224), 8.18),
    Spec("inception_v3", "torchvision", (3, 299, 299), 11.4, (1,)),
    Spec("unet", "here", (3, 256, 256), 24.1, (1,)),
    Spec("vgg16_bn", "torchvision", (3, 224, 224), 30.9, (1,)),
)}

WEIGHTS_SEED = 1
TORCHVISION = "torchvision."
FILE = ".pt2"


def spec(name):
    """The model of that name; "torchvision.NAME" is any that torchvision has for images, a name
    that ends with .pt2 a file of torch.export.save(). Raises KeyError, or UnusableError for a
    file."""
    if name in MODELS:
        return MODELS[name]
    if name.endswith(FILE):
        given = saved_program.read_input(name)
        return Spec(name, "file", given.sample, None, (given.batch,) if given.batch else (1, 16),
                    digest=saved_program.digest(name))
    if not re.fullmatch(re.escape(TORCHVISION) + r"[a-z]\w*", name):
        raise KeyError(name)
    return Spec(name, "torchvision", (3, 224, 224), None, (1,))


def is_tiny(name):
    return name in MODELS and MODELS[name].tiny


def order(name):
    """Where a model stands in reports: in the order of MODELS, then by name."""
    return list(MODELS).index(name) if name in MODELS else len(MODELS), name


def build(spec):
    """The module in eval mode, with weights that exercise it; the same in every call."""
    import torch

    torch.manual_seed(WEIGHTS_SEED)
    module = _construct(spec)
    _randomise_batch_norms(module, spec)
    return module.eval().requires_grad_(False)


def load(path):
    """The module of a file that torch.save() or torch.export.save() wrote."""
    import torch

    if saved_program.is_program(path):
        with open(path, "rb") as file:
            module = torch.export.load(file).module().requires_grad_(False)
        module.eval = lambda: module  # It has no other mode, and refuses to be asked for it.
        return module
    import_definitions()
    return torch.load(path, weights_only=False).eval()


def sample_input(spec, batch, seed):
    """A float32 array [batch, ...] whose values depend on the seed alone."""
    import numpy

    values = numpy.random.default_rng(seed).standard_normal((batch, *spec.sample))
    return values.astype(numpy.float32)


def _construct(spec):
    import_definitions()
    if spec.source == "torchvision":
        import torchvision.models
        name = spec.name.removeprefix(TORCHVISION)
        if name not in torchvision.models.list_models(torchvision.models):
            raise RuntimeError(f"torchvision has no model '{name}' for images")
        # What initialises these takes minutes.
        options = {"init_weights": False} if name in ("inception_v3", "googlenet") else {}
        return getattr(torchvision.models, name)(weights=None, **options)
    if spec.source == "here":
        from .nets.unet import UNet
        return UNet()
    from nets.circles import NetWithBN
    from nets.lenet import lenet
    from nets.mlp import mlp
    from nets.resnet import small_resnet18
    return {"mlp_2_64_32_2": NetWithBN, "mlp_784_100x3_10": lambda: mlp("builtin"),
            "lenet": lenet, "resnet18_1x224": small_resnet18}[spec.name]()


def import_definitions():
    """Makes torchvision.models and models/nets importable.

    torchvision's C++ operators are built for CUDA and do not load beside a PyTorch for CPUs; its
    definitions need no more of them than that nms exists.
    """
    import torch

    if str(REPOSITORY / "models") not in sys.path:
        sys.path.insert(0, str(REPOSITORY / "models"))
    if not hasattr(import_definitions, "library"):
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import_definitions.library = library  # Its operators live as long as it does.


def _randomise_batch_norms(module, spec):
    """Random affine parameters, and statistics near those of the data that arrives.

    Statistics drawn blindly would let activations grow or vanish over the layers.
    """
    import torch

    module.eval()
    norms = [m for m in module.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        torch.nn.init.uniform_(norm.weight, 0.6, 1.4)
        torch.nn.init.normal_(norm.bias, std=0.2)
        norm.train()
        norm.momentum = 1.0  # Statistics become those of the one batch that follows.
    with torch.no_grad():
        module(torch.from_numpy(sample_input(spec, 256 if spec.tiny else 4, seed=0)))
        for norm in norms:
            spread = norm.running_var.sqrt()
            norm.running_mean += 0.2 * spread * torch.randn_like(spread)
            norm.running_var *= torch.empty_like(spread).uniform_(0.7, 1.4)
    module.eval()
