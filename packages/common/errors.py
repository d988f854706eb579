"""Errors of building, pushing and running images; apart from the engine, so that naming an image needs no Docker."""


class ImageError(RuntimeError):
    """The image cannot be named, built or pushed."""


class UnavailableError(ImageError):
    """What building or pushing takes is missing here: an engine, the right to use it, a base image, a registry."""

    @property
    def what(self) -> str:
        """Its first sentence: what is missing, without what to do about it."""
        return str(self).partition(". ")[0].rstrip(".")
