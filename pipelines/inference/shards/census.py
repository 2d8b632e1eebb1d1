"""Every film once, in order, and as many of each kind as the shards counted."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.errors import CxrError
from pipelines.inference.shards.folder import Counts, ShardFolder, rows_in_order

Progress = Callable[[int, int], None]
"""Called with (films joined, films in all)."""


class Census:
    """Counts rows as they pass, and holds them against the list of films that every shard was given.

    Holds 8 bytes for each film.

    Args:
        folders: all shards of the run, in order.
    """

    def __init__(self, folders: Sequence[ShardFolder]) -> None:
        self._folders = folders
        self._ids: list[bytes] = []
        self._list = hashlib.sha256()
        self._status: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._rows = 0

    def check(self, tables: Iterable[pa.Table], progress: Progress | None) -> Iterator[pa.Table]:
        """Pass tables on; behind the last, refuse rows that are not every film once and in order.

        Args:
            tables: of one part each, in order.
            progress: called after each.

        Raises:
            CxrError: says what is wrong with the rows.
        """
        films = self._folders[0].facts.plan.inputs.films
        for table in tables:
            image_ids = table["image_id"].to_pylist()
            self._ids.append(b"".join(map(_id_hash, image_ids)))
            for image_id, path in zip(image_ids, table["path"].to_pylist(), strict=True):
                self._list.update(f"{image_id}\0{path}\0".encode())
            self._status.update(table["status"].to_pylist())
            self._reasons.update(reason for reason in table["reason"].to_pylist() if reason is not None)
            self._rows += table.num_rows
            yield table
            if progress:
                progress(self._rows, films)
        self._verify(films)

    @property
    def counts(self) -> dict[str, Any]:
        """Rows by status and reason, as ``run.json`` has them."""
        by_status = {status: self._status[status] for status in ("ok", "rejected", "error")}
        return {"inputs": self._rows} | by_status | {"by_reason": dict(sorted(self._reasons.items()))}

    def _verify(self, films: int) -> None:
        twice = self._id_that_is_there_twice()
        if twice is not None:
            raise CxrError(f"image_id {twice!r} has two rows in the shards, expected every film once")
        if self._rows != films or self._list.hexdigest() != self._folders[0].facts.plan.inputs.digest:
            raise CxrError(
                f"the {self._rows:,} rows of the shards are not the {films:,} films of their list in its order: a "
                "table was changed since its shard was finished; do that shard again with --restart"
            )
        for key, found in Counts.model_validate(self.counts):
            noted = [getattr(folder.facts.counts, key) for folder in self._folders]
            expected = dict(sum(map(Counter, noted), Counter())) if key == "by_reason" else sum(noted)
            if found != expected:
                raise CxrError(
                    f"counts.{key} of the shards' run.json add up to {expected}, but their tables to {found}"
                )

    def _id_that_is_there_twice(self) -> str | None:
        hashes, counts = np.unique(np.frombuffer(b"".join(self._ids), np.uint64), return_counts=True)
        suspects = set(hashes[counts > 1].tolist())
        if not suspects:
            return None
        # Two ids may have one hash: look at the ids themselves.
        seen: set[str] = set()
        for table in rows_in_order(self._folders):
            for image_id in table["image_id"].to_pylist():
                if int.from_bytes(_id_hash(image_id), "little") in suspects:
                    if image_id in seen:
                        return str(image_id)
                    seen.add(image_id)
        return None


def _id_hash(image_id: str) -> bytes:
    return hashlib.blake2b(image_id.encode("utf-8", "surrogateescape"), digest_size=8).digest()
