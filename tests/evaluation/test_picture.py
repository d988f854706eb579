"""The moving pictures: right way up, whole, the same for the same seed."""

import numpy as np
import pytest
from PIL import Image

import evaluation
from evaluation import balls
from mlagents_check import unity_build
from policy_files.inference import Policy
from policy_files.model import read
from sample_env import make_sample_build


def test_up_in_the_scene_is_up_in_the_picture():
    right, up, towards = balls.camera()
    assert np.stack([right, up, towards]) @ np.stack([right, up, towards]).T == pytest.approx(np.eye(3))
    assert up[1] > 0.8 and right[1] == 0 and towards[1] > 0


def test_all_cubes_stay_in_the_picture(untrained):
    figure, steps = balls.draw({"3DBall": Policy(read(untrained / "3DBall.nn"), 0)}, 0)
    (ax,) = figure.axes
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    assert (right - left) / (high - low) == pytest.approx(640 / 360, rel=1e-3)  # else the picture would be cut
    faces = ax.collections[1]
    for _ in range(50):
        next(steps)
        corners = np.concatenate([path.vertices for path in faces.get_paths()])
        assert corners[:, 0].min() > left and corners[:, 0].max() < right
        assert corners[:, 1].min() > low and corners[:, 1].max() < high


@pytest.mark.parametrize(("scene", "names"), [("3DBall", ["3DBall"]), ("Warehouse", ["Seeker", "Carrier"])])
def test_a_film_moves_and_can_be_repeated(untrained, tmp_path, scene, names):
    make_sample_build(tmp_path / "build", scene)
    models = [untrained / f"{name}.nn" for name in names]
    first, again, other = (
        evaluation.film(models, tmp_path / "build", seconds=0.5, seed=seed, gif=tmp_path / "film.gif")
        for seed in (1, 1, 2)
    )
    pictures = [[picture.tobytes() for picture in film.pictures] for film in (first, again, other)]
    assert pictures[0] == pictures[1] != pictures[2]
    assert len(set(pictures[0])) == len(pictures[0]) == 5
    with Image.open(tmp_path / "film.gif") as gif:
        assert (gif.format, gif.size, gif.n_frames, gif.info["duration"]) == ("GIF", first.pictures[0].size, 5, 100)
    assert first._repr_html_().startswith('<img src="data:image/gif;base64,R0lGOD')


@pytest.mark.parametrize("seconds", [0, -1, 0.01])
def test_a_film_without_duration(untrained, tmp_path, seconds):
    make_sample_build(tmp_path)
    with pytest.raises(evaluation.EvaluationError, match=rf"seconds to be 0\.1 or more, found {seconds}\."):
        evaluation.film([untrained / "3DBall.nn"], tmp_path, seconds=seconds)


def test_a_unity_build_is_seen_in_unity(untrained, tmp_path, monkeypatch):
    make_sample_build(tmp_path)
    monkeypatch.setattr(unity_build.UnityBuild, "is_sample", False)
    report = evaluation.film([untrained / "3DBall.nn"], tmp_path)
    assert [finding.what for finding in report.findings] == ["Watch the model in Unity."]


def test_a_brain_without_a_model(untrained, tmp_path):
    make_sample_build(tmp_path, "Warehouse")
    with pytest.raises(evaluation.EvaluationError, match="models for Seeker, Carrier, the brains of Warehouse; found"):
        evaluation.film([untrained / "Seeker.nn"], tmp_path)
