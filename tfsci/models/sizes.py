"""What size a model is taken at where nobody says: its published one where there is one."""

from importlib import import_module

from tfsci.models import MODELS

LISTED = {
    "mlp": {"input_shape": (28, 28, 1), "num_classes": 10},
    "cnn": {"input_shape": (64, 64, 3), "num_classes": 10},
    "resnet": {"input_shape": (224, 224, 3), "num_classes": 1000},
    "rnn": {"input_shape": (128, 32), "num_classes": 10},
    "vit": {"input_shape": (224, 224, 3), "num_classes": 1000},
    "gpt": {},
    "autoencoder": {"input_shape": (64, 64, 3)},
    "vae": {"input_shape": (64, 64, 3)},
    "unet": {"input_shape": (64, 64, 1)},
    "deeponet": {"input_shape": (128,), "points": tuple(-1 + i / 64 for i in range(128))},
}
LISTED_VARIANT = {
    ("cnn", "oak-ridge"): {"input_shape": (128, 128, 3), "num_classes": 231},
    ("vit", "mini"): {"input_shape": (64, 64, 3), "num_classes": 10},
}


def options(spec: str, **own: object) -> tuple[str, dict[str, object]]:
    """Returns a model's name and the options of its builder.

    Args:
        spec: ``MODEL`` or ``MODEL:VARIANT``; the first variant by default.
        **own: Options instead of the listed ones; None for the listed one.

    Raises:
        ValueError: There is no such model, or variant, or the model has no such option.

    Example:
        >>> options("resnet:50", input_shape=(64, 64, 3), num_classes=None)
        ('resnet', {'input_shape': (64, 64, 3), 'num_classes': 1000, 'variant': '50'})
    """
    name, _, variant = spec.partition(":")
    if name not in MODELS:
        raise ValueError(f"unknown model {name!r}; expected one of {', '.join(MODELS)}")
    variants = import_module(f"tfsci.models.{name}").VARIANTS
    variant = variant or next(iter(variants))
    if variant not in variants:
        raise ValueError(f"{spec}: no variant {variant!r}; expected one of {', '.join(variants)}")
    found = {**LISTED[name], **LISTED_VARIANT.get((name, variant), {})}
    for option, value in own.items():
        if value is not None and option not in found:
            raise ValueError(f"--{option.replace('_', '-')}: {name} has none; leave it out")
        if value is not None:
            found[option] = value
    return name, {**found, "variant": variant}
