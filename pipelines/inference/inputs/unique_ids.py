"""One id for each film of a run, where several inputs call films alike."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import CxrError
from pipelines.inference.inputs.film_list import FilmBlock, text_column


@dataclass(frozen=True, slots=True)
class InputSource:
    """One argument of the run."""

    given: str
    """Without credentials and query, where it is an address."""
    kind: Literal["folder", "file", "manifest"]
    films: int
    skipped: dict[str, int] = field(default_factory=dict)
    """How many entries of a folder were not taken as films, by suffix, name or ``hidden``."""


@dataclass(frozen=True, slots=True)
class Collected:
    """What one argument gave."""

    source: InputSource
    block: FilmBlock
    label: str
    """Name of the folder that the films lie in: told apart by it, should their names be those of others."""
    digest: str | None = None
    """Of a manifest."""

    @property
    def fixed(self) -> bool:
        """Whether the ids are a manifest's, and never changed."""
        return self.source.kind == "manifest"


def unique_blocks(groups: Sequence[Collected]) -> list[FilmBlock]:
    """Return the groups' films with ids that no two of them share.

    Raises:
        CxrError: an id occurs in two manifests.
    """
    _refuse_shared([_ids(group.block) for group in groups if group.fixed])
    if len(groups) == 1 and (groups[0].fixed or groups[0].block.unique):
        return [groups[0].block]
    blocks = [group.block for group in groups]
    if len(groups) > 1 and _repeated(blocks) is not None:
        blocks = [_prefixed(group) for group in groups]
    repeated = _repeated(blocks)
    return blocks if repeated is None else _numbered(groups, blocks, repeated)


def _ids(block: FilmBlock) -> Any:
    if block.ids is not None:
        return block.ids
    if not block.id_prefix:
        return block.texts
    prefix, nothing = (pa.scalar(text, pa.large_string()) for text in (block.id_prefix, ""))
    return pc.binary_join_element_wise(prefix, block.texts, nothing)


def _repeated(blocks: Sequence[FilmBlock]) -> Any:
    """Ids that occur more than once; None where there are none."""
    return _repeated_values([_ids(block) for block in blocks])


def _repeated_values(columns: Sequence[Any]) -> Any:
    values = pa.chunked_array(columns, pa.large_string())
    if pc.count_distinct(values).as_py() == len(values):
        return None
    counted = pc.value_counts(values)
    return counted.field("values").filter(pc.greater(counted.field("counts"), 1))


def _refuse_shared(columns: Sequence[Any]) -> None:
    twice = _repeated_values(columns) if len(columns) > 1 else None
    if twice is not None:
        raise CxrError(f"image_id {twice[0].as_py()!r} occurs in two of the manifests given; expected every film once")


def _prefixed(group: Collected) -> FilmBlock:
    return group.block if group.fixed or not group.label else replace(group.block, id_prefix=f"{group.label}/")


def _numbered(groups: Sequence[Collected], blocks: Sequence[FilmBlock], repeated: Any) -> list[FilmBlock]:
    """Put ``#2``, ``#3``, ... behind ids that are taken, in the order of the films."""
    # Only these can be taken, or become so: looking at all of five million ids would hold them all in memory.
    contested = [
        pc.or_(pc.is_in(ids, value_set=repeated), pc.match_substring_regex(ids, "#[0-9]+$"))
        for ids in map(_ids, blocks)
    ]
    used: set[str] = set()
    for group, block, mask in zip(groups, blocks, contested, strict=True):
        if group.fixed:
            used.update(_ids(block).filter(mask).to_pylist())
    return [
        block if group.fixed else _with_numbers(block, mask, used)
        for group, block, mask in zip(groups, blocks, contested, strict=True)
    ]


def _with_numbers(block: FilmBlock, mask: Any, used: set[str]) -> FilmBlock:
    ids, changed = _ids(block), {}
    for place in pc.indices_nonzero(mask).to_pylist():
        own = ids[place].as_py()
        image_id, number = own, 1
        while image_id in used:
            number += 1
            image_id = f"{own}#{number}"
        used.add(image_id)
        if number > 1:
            changed[place] = image_id
    if not changed:
        return block
    return replace(block, ids=text_column(changed.get(place, own) for place, own in enumerate(ids.to_pylist())))
