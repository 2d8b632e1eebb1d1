"""The same predictor on a GPU."""

import numpy as np
import pandas as pd
import pytest
import torch

from pipelines.inference import collect_inputs, predict_films
from tests.inference_films import mixed_folder, tiny_package

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no CUDA device here"),
]


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-2), ("bf16", 0.05), ("fp16", 0.05)])
def test_gpu_scores_agree_with_the_cpu(tmp_path, precision, tolerance):
    """fp32 on a GPU may use TF32 (10 bits of mantissa) in convolutions."""
    tiny_package(tmp_path / "package")
    films = collect_inputs([mixed_folder(tmp_path / "films")])
    tables = {}
    for device, chosen in (("cpu", "fp32"), ("cuda", precision)):
        out = tmp_path / device
        predict_films(films, tmp_path / "package", out, device=device, precision=chosen, workers=2, batch_size=4)
        tables[device] = pd.read_parquet(out / "predictions.parquet")
    cpu, cuda = tables["cpu"], tables["cuda"]
    assert cpu["image_id"].tolist() == cuda["image_id"].tolist()
    assert cpu["status"].tolist() == cuda["status"].tolist()
    for finding in ("tb", "nodule"):
        np.testing.assert_allclose(cuda[f"p_{finding}"], cpu[f"p_{finding}"], atol=tolerance)
