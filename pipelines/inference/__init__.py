"""Batch inference: films → the predictions table, continued where it was interrupted."""

from pipelines.inference.engine import predict_films
from pipelines.inference.inputs.collect import InputList, collect_inputs
from pipelines.inference.inputs.film_list import FilmInput
from pipelines.inference.predictor import Predictor
from pipelines.inference.registry import log_pyfunc, resolve_model
from pipelines.inference.summary import RunSummary

__all__ = [
    "FilmInput",
    "InputList",
    "Predictor",
    "RunSummary",
    "collect_inputs",
    "log_pyfunc",
    "predict_films",
    "resolve_model",
]
