"""The notebooks run from top to bottom, and are committed without output."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from pipelines.evaluation import read_evaluation

FOLDER = Path(__file__).parents[2] / "notebooks"


@pytest.mark.timeout(600)
def test_the_way_through_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXR_NOTEBOOK_FILMS", "60")
    monkeypatch.setenv("CXR_NOTEBOOK_EPOCHS", "1")
    monkeypatch.setenv("CXR_NOTEBOOK_FOLDER", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    notebook = nbformat.read(FOLDER / "the_way_through.ipynb", as_version=4)
    NotebookClient(notebook, timeout=500, resources={"metadata": {"path": str(tmp_path)}}).execute()
    evaluation = read_evaluation(tmp_path / "evaluation")
    assert {result.finding for result in evaluation.findings} == {"tb", "nodule"}
    assert (tmp_path / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.stem)
def test_committed_without_output(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert not [cell for cell in notebook.cells if cell.get("outputs") or cell.get("execution_count")]
