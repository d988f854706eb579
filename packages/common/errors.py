"""Errors of building, pushing and running images, in a module that does not import Docker."""


class ImageError(RuntimeError):
    """The image cannot be named, built or pushed."""


class UnavailableError(ImageError):
    """Something that building or pushing needs is missing: an engine, the right to use it, a base image, a registry."""

    @property
    def what(self) -> str:
        """What is missing: the first sentence, without what to do about it."""
        return str(self).partition(". ")[0].rstrip(".")
