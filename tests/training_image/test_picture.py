"""The picture of layers where there is no image."""

import json
import re

import training_image as image
from training_image import picture


def test_without_an_image_a_recorded_one_is_drawn_with_its_digest():
    recorded = json.loads(picture.RECORDED.read_text())
    [axes] = image.plot(None).axes
    assert re.search(rf"^recorded on {recorded['date']} .*\nsha256:[0-9a-f]{{64}}$", axes.get_title())
    assert recorded["digest"] in axes.get_title()
    assert [bar.get_width() for bar in axes.patches] == [size / 1e6 for _, size in recorded["layers"]]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        *("base: Debian, Python 3.7", "ML-Agents, TensorFlow", "speedups", "train"),
    ]
