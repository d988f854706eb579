"""Image manifests: convert those of newer Docker engines into the kind that SageMaker is known to accept.

An engine that keeps images in containerd pushes OCI manifests. They name the same layers and the same configuration as
Docker's (Image Manifest Version 2, Schema 2) and differ in media types alone:
https://github.com/opencontainers/image-spec/blob/v1.1.0/media-types.md#compatibility-matrix.
"""

import json
from typing import Any

from common.errors import ImageError
from training_image.name import MANIFEST

OCI = "application/vnd.oci.image.manifest.v1+json"
KINDS = (MANIFEST, OCI)
INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
CONFIG, LAYER = "application/vnd.docker.container.image.v1+json", "application/vnd.docker.image.rootfs.diff.tar.gzip"
CONFIGS = (CONFIG, "application/vnd.oci.image.config.v1+json")
LAYERS = (LAYER, "application/vnd.oci.image.layer.v1.tar+gzip")


def convert(text: str) -> str:
    """Return an image's manifest in Docker's format.

    Raises
    ------
    ImageError
        If it is not that of an image, or if Docker's format has no media type for a layer.
    """
    manifest = _read(text)
    try:
        config, layers = manifest["config"], manifest["layers"]
        parts = [(config, CONFIGS, CONFIG, "configuration"), *((layer, LAYERS, LAYER, "layer") for layer in layers)]
        for part, known, _, name in parts:
            if part["mediaType"] not in known:
                raise ImageError(
                    f"Expected an image whose layers are packed with gzip, found the {name} {part['digest']} of the "
                    f"kind {part['mediaType']}. Build it anew with `docker build --output "
                    "type=image,compression=gzip,force-compression=true`, or with another builder."
                )
        descriptors = [
            {"mediaType": kind, "size": part["size"], "digest": part["digest"]} for part, _, kind, _ in parts
        ]
    except (KeyError, TypeError) as error:
        raise ImageError(
            f"Expected the manifest of an image, found one without {error}. Build and push again."
        ) from error
    document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptors[0], "layers": descriptors[1:]}
    return json.dumps(document, indent=3)


def choose(text: str, platform: str) -> str:
    """Return the digest of the only image in an index; build attestations are ignored.

    Raises
    ------
    ImageError
        If the index does not have exactly one image, for this platform.
    """
    try:
        images = [
            (f"{one['platform']['os']}/{one['platform']['architecture']}", one["digest"])
            for one in _read(text)["manifests"]
            if one.get("annotations", {}).get("vnd.docker.reference.type") != "attestation-manifest"
        ]
    except (AttributeError, KeyError, TypeError) as error:
        raise ImageError(f"Expected an index of images, found one without {error}. Build and push again.") from error
    platforms = [each for each, _ in images]
    if platforms != [platform]:
        raise ImageError(
            f"Expected one image for {platform}, found an index of {', '.join(platforms) or 'none'}. SageMaker "
            "takes a single image."
        )
    return images[0][1]


def _read(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ImageError(f"Expected a manifest in JSON, found {text[:40]!r}. Build and push again.") from error
    if not isinstance(document, dict):
        raise ImageError(f"Expected a manifest, found {text[:40]!r}. Build and push again.")
    return document
