"""The MLflow model: a model package behind ``mlflow.pyfunc``, written as code so that no pickle is stored.

MLflow runs this file when it loads the model; the package itself is the artifact ``package``.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel, PythonModelContext

from pipelines.errors import PredictionsError
from pipelines.inference.predictor import Predictor


class FilmModel(PythonModel):
    """Paths of films → the rows of the predictions table."""

    def load_context(self, context: PythonModelContext) -> None:
        """Build the predictor from the logged package."""
        self.predictor = Predictor.from_package(Path(context.artifacts["package"]))

    # A type hint on model_input would take the place of the signature that the model was logged with.
    def predict(  # type: ignore[no-untyped-def]
        self,
        context: PythonModelContext,  # noqa: ARG002  MLflow's signature
        model_input,
        params: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> pd.DataFrame:
        """Score films.

        Args:
            context: unused; the package is loaded once.
            model_input: a DataFrame with a column ``path``, or a list of paths.
            params: none are known.

        Returns:
            One row per film, in order: the columns of the predictions table.

        Raises:
            PredictionsError: a DataFrame without a column ``path``.
        """
        if not isinstance(model_input, pd.DataFrame):
            return self.predictor([str(path) for path in model_input])
        if "path" not in model_input.columns:
            names = ", ".join(str(column) for column in model_input.columns)
            raise PredictionsError(f"model input: expected a column 'path', found {names or 'no columns'}")
        return self.predictor([str(path) for path in model_input["path"]])


mlflow.models.set_model(FilmModel())
