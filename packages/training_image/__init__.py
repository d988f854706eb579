"""The training image: `container/` on its way to a registry, named by the content of that folder.

`read` and `locate` only name it. What needs a Docker engine is loaded on first use.
"""

from importlib import import_module

from common.errors import ImageError, UnavailableError
from training_image.name import REPOSITORY, Image, locate, read

PLACES = {
    "find_engine": "building",
    "build": "building",
    "push": "pushing",
    "build_in_codebuild": "codebuild",
    "plot": "picture",
}

__all__ = ["REPOSITORY", "Image", "ImageError", "UnavailableError", "locate", "read", *PLACES]


def __getattr__(name: str) -> object:
    if name in PLACES:
        return getattr(import_module(f"{__name__}.{PLACES[name]}"), name)
    raise AttributeError(f"module {__name__} has no attribute {name}")
