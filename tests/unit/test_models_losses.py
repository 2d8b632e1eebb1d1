"""Losses and calibration against scikit-learn, closed forms and torch's own functions."""

import numpy as np
import pytest
import torch
from sklearn.calibration import _SigmoidCalibration
from sklearn.metrics import log_loss
from torchvision.ops import sigmoid_focal_loss

from models.calibration import Calibration, fit_calibration
from models.losses import masked_bce, masked_map_loss

NAN = float("nan")


def test_bce_over_known_labels_is_sklearns_log_loss() -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(40, 2))
    labels = rng.integers(0, 2, size=(40, 2)).astype(float)
    labels[rng.random(labels.shape) < 0.3] = NAN
    total, known = masked_bce(torch.tensor(logits), torch.tensor(labels))
    for finding in range(2):
        seen = ~np.isnan(labels[:, finding])
        probability = 1 / (1 + np.exp(-logits[seen, finding]))
        expected = log_loss(labels[seen, finding], probability, labels=[0, 1])
        assert float(total[finding] / known[finding]) == pytest.approx(expected, rel=1e-6)


def test_an_unknown_label_gives_no_loss_and_no_gradient_whatever_the_logit() -> None:
    logits = torch.tensor([[1e4, 0.3], [-1e4, -0.2]], requires_grad=True)
    labels = torch.tensor([[NAN, 1.0], [NAN, NAN]])
    total, known = masked_bce(logits, labels)
    total.sum().backward()
    assert known.tolist() == [0, 1]
    assert float(total[0].detach()) == 0
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad[:, 0].tolist() == [0, 0]
    assert float(logits.grad[1, 1]) == 0
    assert float(logits.grad[0, 1]) == pytest.approx(1 / (1 + np.exp(-0.3)) - 1, rel=1e-5)


def test_pos_weight_multiplies_positives_only() -> None:
    logits, labels = torch.zeros(2, 1), torch.tensor([[1.0], [0.0]])
    total, _ = masked_bce(logits, labels, torch.tensor([3.0]))
    assert float(total[0]) == pytest.approx(4 * np.log(2))


def test_map_loss_is_torchvisions_focal_loss_where_boxes_are_known() -> None:
    torch.manual_seed(2)
    cells = torch.randn(3, 1, 5, 5)
    regions = (torch.rand(3, 1, 5, 5) > 0.8).float()
    regions[2] = NAN
    total, normaliser = masked_map_loss(cells, regions, gamma=2.0)
    expected = sigmoid_focal_loss(cells[:2], regions[:2], alpha=-1, gamma=2.0, reduction="sum")
    torch.testing.assert_close(total.sum(), expected)
    assert float(normaliser[0]) == float(regions[:2].sum()) + 2


@pytest.mark.parametrize(("scale", "shift"), [(3.0, 0.0), (0.4, -5.0), (1.0, 2.0)])
def test_calibration_is_platts_as_scikit_learn_fits_it(scale: float, shift: float) -> None:
    rng = np.random.default_rng(5)
    truth = rng.normal(size=400) * 2
    labels = (rng.random(400) < 1 / (1 + np.exp(-truth))).astype(float)
    logits = truth * scale + shift
    fitted = fit_calibration(logits, labels)
    oracle = _SigmoidCalibration().fit(logits, labels)
    np.testing.assert_allclose(fitted.probability(logits), oracle.predict(logits), atol=2e-4)
    assert fitted.temperature == pytest.approx(scale, rel=0.25)
    assert fitted.offset == pytest.approx(shift, abs=0.5 * scale)


def test_separated_films_do_not_ask_for_certainty() -> None:
    labels = np.array([0.0] * 40 + [1.0] * 20)
    logits = np.concatenate([np.linspace(-3, -1, 40), np.linspace(1, 3, 20)])
    probability = fit_calibration(logits, labels).probability(logits)
    assert probability[:40].mean() == pytest.approx(1 / 42, abs=0.01)
    assert probability[40:].mean() == pytest.approx(21 / 22, abs=0.03)


def test_scores_that_point_the_wrong_way_are_flattened_never_turned_around() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random(200) < 0.5).astype(float)
    logits = -3 * labels + rng.normal(size=200)
    fitted = fit_calibration(logits, labels)
    assert fitted.temperature == pytest.approx(20)
    assert (np.diff(fitted.probability(np.sort(logits))) > 0).all()


def test_one_class_cannot_say_how_sure_to_be() -> None:
    calibration = fit_calibration(np.array([1.0, 2.0, NAN]), np.array([1.0, 1.0, NAN]), pos_weight=2.0)
    assert calibration == Calibration(temperature=1.0, offset=float(np.log(2)))


def test_calibration_keeps_the_order_of_films() -> None:
    logits = np.linspace(-5, 5, 50)
    probability = Calibration(temperature=2.5, offset=0.4).probability(logits)
    assert (np.diff(probability) > 0).all()
