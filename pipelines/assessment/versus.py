"""From several systems' files and one manifest to a comparison."""

from collections.abc import Mapping
from pathlib import Path

from pipelines.assessment.assess import Source, read_source
from pipelines.evaluation.comparison.compare import System, compare
from pipelines.evaluation.comparison.records import Comparison
from pipelines.evaluation.options import Options
from pipelines.manifest import manifest_digest, read_manifest


def compare_sources(
    sources: Mapping[str, Source],
    manifest: Path,
    *,
    split: str | None = None,
    options: Options | None = None,
    title: str | None = None,
) -> Comparison:
    """Set systems side by side.

    Args:
        sources: by name, the earlier version first.
        manifest: the reference.
        split: train, val, test, or None for every film of the manifest.
        options: level, intervals, replicates, seed, margin.
        title: what was compared, in words.

    Raises:
        CxrError: as for `read_source`, `read_manifest` and `pipelines.evaluation.comparison.compare.compare`.
    """
    systems = [System(name, *read_source(source)) for name, source in sources.items()]
    rows = read_manifest(manifest)
    named = title or f"Comparison of {', '.join(sources)}"
    return compare(
        systems, rows, split=split, options=options, title=named, manifest_digest=manifest_digest(rows, canonical=True)
    )
