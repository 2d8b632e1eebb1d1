"""The base of every record that is written as JSON."""

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A part of a result file: frozen, closed, without NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
