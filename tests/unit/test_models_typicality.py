"""The distance from the training films: against scikit-learn, by simulation, and through the package."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy import stats
from sklearn.covariance import LedoitWolf

from models import (
    Architecture,
    Classifier,
    IntendedUse,
    ModelPackage,
    Typicality,
    fit_typicality,
    load_package,
    save_package,
)
from models.errors import ModelError
from models.package import compute_model_id
from models.typicality import tolerance_limit
from tests.unit.test_models_package import make_package


def correlated(films: int, features: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(9).normal(size=(12, features))
    return rng.normal(size=(films, 12)) @ mixing + rng.normal(size=(films, features)) + 3


@pytest.mark.parametrize("films", [40, 400])  # fewer and more films than features
def test_with_all_directions_it_is_the_mahalanobis_distance_of_ledoit_and_wolf(
    films: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.typicality.DIRECTIONS", 10_000)
    seen, unseen = correlated(films, 60), correlated(50, 60, seed=1)
    standard = (seen - seen.mean(axis=0)) / seen.std(axis=0)
    oracle = LedoitWolf(assume_centered=True).fit(standard)
    expected = np.sqrt(oracle.mahalanobis((unseen - seen.mean(axis=0)) / seen.std(axis=0)) / 60)
    np.testing.assert_allclose(fit_typicality(seen, unseen).distance(unseen), expected, rtol=1e-4)


def test_directions_left_out_count_with_their_mean_variance(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, unseen = correlated(300, 60), correlated(50, 60, seed=1)
    monkeypatch.setattr("models.typicality.DIRECTIONS", 5)
    short = fit_typicality(seen, unseen)
    standard = (seen - seen.mean(axis=0)) / seen.std(axis=0)
    values, vectors = np.linalg.eigh(LedoitWolf(assume_centered=True).fit(standard).covariance_)
    values[:-5] = values[:-5].mean()
    rotated = ((unseen - seen.mean(axis=0)) / seen.std(axis=0)) @ vectors
    np.testing.assert_allclose(short.distance(unseen), np.sqrt((rotated**2 / values).mean(axis=1)), rtol=1e-4)
    assert short.directions.shape == (60, 5)


def test_the_unit_is_one_for_films_like_the_training_films_and_grows_with_the_shift() -> None:
    fitted = fit_typicality(correlated(2000, 60), correlated(100, 60, seed=1))
    fresh = correlated(500, 60, seed=2)
    assert np.sqrt((fitted.distance(fresh) ** 2).mean()) == pytest.approx(1, abs=0.05)
    shifts = [fitted.atypicality(fresh + shift).mean() for shift in (0, 3, 6, 12)]
    assert shifts == sorted(shifts)
    assert (fitted.atypicality(fresh + 12) > 1).all()
    np.testing.assert_allclose(fitted.atypicality(fresh), fitted.distance(fresh) / fitted.threshold)


def test_the_limit_is_the_published_tolerance_factor() -> None:
    """40 values, 90 % covered with 99 % confidence: k = 1.9017 (real-statistics.com, tolerance interval example)."""
    logs = np.random.default_rng(0).normal(size=40)
    limit = tolerance_limit(np.exp(logs), refuse=0.1, confidence=0.99)
    assert (np.log(limit) - logs.mean()) / logs.std(ddof=1) == pytest.approx(1.9017, abs=1e-4)


@pytest.mark.parametrize("films", [16, 60, 400])
def test_locked_on_few_films_it_refuses_no_more_good_films_than_it_says(films: int) -> None:
    """The realised share over 4,000 lockings; the maximum of 60 films would refuse 1.6 % on average."""
    rng = np.random.default_rng(films)
    limits = np.array([tolerance_limit(np.exp(rng.normal(0.4, 0.12, films))) for _ in range(4000)])
    refused = stats.norm.sf((np.log(limits) - 0.4) / 0.12)
    assert (refused <= 0.005).mean() == pytest.approx(0.9, abs=0.02)
    assert refused.mean() < 0.005
    if films == 60:
        maxima = np.exp(rng.normal(0.4, 0.12, (4000, films))).max(axis=1)
        assert stats.norm.sf((np.log(maxima) - 0.4) / 0.12).mean() > 0.015


def test_channels_that_never_moved_and_films_all_alike_do_not_break_it() -> None:
    seen, unseen = correlated(50, 20), correlated(20, 20, seed=1)
    seen[:, 3] = unseen[:, 3] = 7.0
    fitted = fit_typicality(seen, unseen)
    assert np.isfinite(fitted.distance(unseen)).all()
    moved = unseen.copy()
    moved[:, 3] += 1.0
    assert (fitted.distance(moved) > fitted.distance(unseen)).all()
    alike = fit_typicality(np.ones((12, 8)), np.ones((12, 8)))
    assert (alike.distance(np.ones((2, 8))) == 0).all()
    assert (alike.atypicality(np.ones((2, 8)) + 1) > 1).all()


def test_what_cannot_be_fitted_or_compared_is_said() -> None:
    good = correlated(40, 20)
    with pytest.raises(ModelError, match="found 40 and 5 films, expected at least 10"):
        fit_typicality(good, good[:5])
    with pytest.raises(ModelError, match="not finite"):
        fit_typicality(np.full((20, 3), np.nan), np.ones((20, 3)))
    with pytest.raises(ModelError, match=r"shape \[n, 20\], got shape \[2, 19\]"):
        fit_typicality(good, good).distance(np.ones((2, 19)))


def guarded_package() -> ModelPackage:
    width = Classifier(make_package().architecture).feature_count
    limit = fit_typicality(correlated(40, width), correlated(20, width, seed=1))
    return replace(make_package(), typicality=limit, intended_use=IntendedUse(min_age_years=15.0))


def test_a_package_carries_its_limit_and_its_use_and_its_id_covers_both(tmp_path: Path) -> None:
    package = guarded_package()
    save_package(package, tmp_path / "p", card="")
    back = load_package(tmp_path / "p")
    assert back.typicality is not None
    assert package.typicality is not None
    assert back.typicality.to_json() == package.typicality.to_json()
    assert back.intended_use == package.intended_use
    assert back.model_id == package.model_id
    films = correlated(5, len(back.typicality.mean), seed=3)
    assert (back.typicality.distance(films) == package.typicality.distance(films)).all()
    looser = replace(package.typicality, threshold=package.typicality.threshold * 2)
    others = [
        replace(package, typicality=looser),
        replace(package, typicality=None),
        replace(package, intended_use=IntendedUse()),
    ]
    assert len({package.model_id, *(other.model_id for other in others)}) == 4


def test_a_package_from_before_is_read_with_its_old_id_and_checks_nothing(tmp_path: Path) -> None:
    package = make_package()
    save_package(package, tmp_path / "p", card="")
    file = tmp_path / "p" / "model.json"
    described = json.loads(file.read_text())
    del described["typicality"], described["intended_use"]
    file.write_text(json.dumps(described | {"schema": "cxr-triage/model/1"}))
    back = load_package(tmp_path / "p")
    assert back.typicality is None
    assert back.intended_use == IntendedUse(("PA", "AP"), None, None)
    assert back.model_id == compute_model_id(package.weights, package.architecture, package.calibration)


def change_threshold(folder: Path) -> None:
    described = json.loads((folder / "model.json").read_text())
    described["typicality"]["threshold"] *= 10
    (folder / "model.json").write_text(json.dumps(described))


def change_mean(folder: Path) -> None:
    tensors = load_file(folder / "typicality.safetensors")
    save_file(tensors | {"mean": tensors["mean"] + 1}, folder / "typicality.safetensors")


def drop_tensor(folder: Path) -> None:
    tensors = load_file(folder / "typicality.safetensors")
    del tensors["scale"]
    save_file(tensors, folder / "typicality.safetensors")


def shorten(folder: Path) -> None:
    tensors = load_file(folder / "typicality.safetensors")
    save_file(tensors | {"scale": tensors["scale"][1:].clone()}, folder / "typicality.safetensors")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (change_threshold, "changed after it was written"),
        (change_mean, "changed after it was written"),
        (drop_tensor, "found tensors"),
        (shorten, "scale has shape"),
        (lambda folder: (folder / "typicality.safetensors").unlink(), r"typicality\.safetensors is missing"),
        (lambda folder: (folder / "typicality.safetensors").write_bytes(b"no"), r"typicality\.safetensors is damaged"),
    ],
)
def test_a_limit_that_was_changed_or_lost_is_found(tmp_path: Path, harm, message: str) -> None:
    save_package(guarded_package(), tmp_path / "p", card="")
    harm(tmp_path / "p")
    with pytest.raises(ModelError, match=message):
        load_package(tmp_path / "p")


@pytest.mark.parametrize("name", ["resnet18", "timm:tf_efficientnet_lite0", "swin_t", "vit_b_16"])
def test_features_are_the_moments_of_the_backbones_maps_and_train_nothing(name: str) -> None:
    torch.manual_seed(0)
    network = Classifier(Architecture(backbone=name, size=224, map_stride=32 if name == "swin_t" else 16)).eval()
    films = torch.rand(2, 1, 224, 224)
    with torch.no_grad():
        levels = network.backbone((films - network.mean) / network.std)
    moments = [np.moveaxis(level.double().numpy(), 1, 0).reshape(level.shape[1], 2, -1) for level in levels]
    expected = np.concatenate([part for values in moments for part in (values.mean(-1), values.std(-1))]).T
    features = network(films).features
    assert features.shape == (2, network.feature_count)
    assert not features.requires_grad
    np.testing.assert_allclose(features.numpy(), expected, rtol=1e-3, atol=1e-4)


def test_half_precision_moves_the_distance_little() -> None:
    torch.manual_seed(0)
    network = Classifier(Architecture(backbone="resnet18", size=96)).eval()
    films = torch.rand(60, 1, 12, 12).repeat_interleave(8, 2).repeat_interleave(8, 3) * torch.rand(60, 1, 1, 1)
    with torch.inference_mode():
        full = network(films).features
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = network(films).features
    assert half.dtype == torch.float32
    fitted: Typicality = fit_typicality(full[:40], full[40:])
    np.testing.assert_allclose(fitted.distance(half[40:]), fitted.distance(full[40:]), rtol=0.03)
