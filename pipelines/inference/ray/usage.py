"""Where the time of a run on a Ray cluster went."""

from pipelines.decoding import Work
from pipelines.inference.predictor import Predictor
from pipelines.inference.ray.stages import Scored
from pipelines.inference.usage import Usage


class ClusterUsage(Usage):
    """Processor time on all machines of a cluster."""

    def __init__(self) -> None:
        super().__init__()
        self.cores = 1.0
        self._network = 0.0

    def took(self, outcome: Scored) -> None:
        """Count one batch."""
        self.read(outcome.reading)
        self.drew(Work(outcome.drawing, 0.0))
        self.ran(outcome.network)
        self._network += outcome.processor

    def stop(self) -> None:
        """All films are done."""
        super().stop()
        self.parent = self._network

    def shares(self) -> dict[str, float]:
        """Return what part of the cluster's processor time went where; the parts and ``idle`` sum to 1."""
        whole = max(self.wall * self.cores, 1e-9)
        parts = {"network": self.parent / whole, "reading": self.reading / whole, "pictures": self.pictures / whole}
        scale = max(1.0, sum(parts.values()))
        parts = {name: share / scale for name, share in parts.items()}
        return parts | {"idle": 1.0 - sum(parts.values())}

    def line(self, seconds: float, predictor: Predictor) -> str:
        """One line: where the time went."""
        del predictor
        names = {"network": "network", "reading": "reading and decoding", "pictures": "pictures", "idle": "idle"}
        parts = ", ".join(f"{names[name]} {share:.0%}" for name, share in self.shares().items() if share >= 0.005)
        return f"time of {self.cores:g} cores of the Ray cluster: {parts}; start and tables {seconds - self.wall:.1f} s"
