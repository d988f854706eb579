"""The training image: build `container/` and push it to a registry, with a tag that is the hash of its content.

`read` and `locate` only compute its name. Modules that need a Docker engine are imported on first use.
"""

from importlib import import_module

from common.errors import ImageError, UnavailableError
from training_image.name import REPOSITORY, Image, locate, read

MODULES = {
    "find_engine": "building",
    "build": "building",
    "push": "pushing",
    "build_in_codebuild": "codebuild",
    "plot": "picture",
}

__all__ = ["REPOSITORY", "Image", "ImageError", "UnavailableError", "locate", "read", *MODULES]


def __getattr__(name: str) -> object:
    if name in MODULES:
        return getattr(import_module(f"{__name__}.{MODULES[name]}"), name)
    raise AttributeError(f"module {__name__} has no attribute {name}")
