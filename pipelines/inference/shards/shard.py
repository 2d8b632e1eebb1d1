"""Which share of a run this process does: said with ``--shard``, or found in what a cluster tells its processes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pipelines.errors import CxrError
from pipelines.inference.inputs.film_names import text_of
from pipelines.inference.outputs import PLAN_FILE, RUN_FILE, read_json

MAX_SHARDS: Final = 99_999
NO_SHARD: Final = "none"
"""What ``--shard`` says of a process that does the whole run, whatever the environment holds."""

_TEXT: Final = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")
_FOLDER: Final = re.compile(r"shard-([0-9]{5})-of-([0-9]{5})")
_SAY_SHARD: Final = "say which shard this is with --shard, such as --shard 3/8, or --shard none for the whole run"


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `count` equal shares of a run: the parts p with p % count == index.

    Raises:
        CxrError: no such shard.
    """

    index: int
    """From 0."""
    count: int
    source: str = field(default="--shard", compare=False)
    """Where this was found, in words."""

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MAX_SHARDS:
            raise CxrError(f"{self.source}: {self.count} shards, expected 1 to {MAX_SHARDS:,}")
        if not 0 <= self.index < self.count:
            raise CxrError(
                f"{self.source}: shard {self.index} of {self.count} does not exist; expected 0 to {self.count - 1}"
            )

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read ``3/8``: the fourth of eight.

        Raises:
            CxrError: something else, or no such shard.
        """
        match = _TEXT.fullmatch(text.strip())
        if match is None:
            raise CxrError(f"--shard {text!r}: expected INDEX/COUNT with an index from 0, such as 3/8, or {NO_SHARD}")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def of_folder(cls, name: str) -> "Shard | None":
        """Return the shard that a folder of this name holds; None where the name is not one of a shard's folder."""
        match = _FOLDER.fullmatch(name)
        if match is None or int(match[1]) >= int(match[2]):
            return None
        return cls(int(match[1]), int(match[2]), source=name)

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def folder(self) -> str:
        """Name of its folder inside the folder of the whole run."""
        return f"shard-{self.index:05d}-of-{self.count:05d}"

    def parts(self, total: int) -> range:
        """Which of a run's parts are its own, in order."""
        return range(self.index, total, self.count)

    def line(self) -> str:
        """One sentence for the operator: which share this is and where that was found."""
        return f"shard {self} (from {self.source})"


def choose_shard(given: str | None, environ: Mapping[str, str], out: Path) -> Shard | None:
    """Return what this process has to do, after a look at what other shards left in the folder.

    Args:
        given: the ``--shard`` of the command line; it wins over the environment.
        environ: as in `detect_shard`.
        out: folder of the whole run. A single element of an array that is started again looks like a job of its own:
            without this look it would silently score every film.

    Returns:
        None for the whole run.

    Raises:
        CxrError: as `Shard.parse` and `detect_shard`, or `out` holds shards of another count, or a run that is not cut
            into shards where this process is one.
    """
    if given is None:
        shard = detect_shard(environ)
    else:
        shard = None if given.strip().lower() == NO_SHARD else Shard.parse(given)
    _refuse_another_count(shard, out)
    return shard


def shards_in(out: Path) -> list[Shard]:
    """Return the shards that have a folder in the folder of a run, in order of their names."""
    try:
        names = sorted(entry.name for entry in out.iterdir() if entry.is_dir())
    except OSError:
        return []
    return [shard for shard in map(Shard.of_folder, names) if shard is not None]


def is_merged(out: Path) -> bool:
    """Whether the finished run in a folder was merged from shards."""
    return "shards" in (read_json(out / RUN_FILE) or {})


def _refuse_another_count(shard: Shard | None, out: Path) -> None:
    there = shards_in(out)
    others = sorted({other.count for other in there if shard is None or other.count != shard.count})
    if others and not (shard is None and is_merged(out)):
        found = f"{text_of(out)}: holds shards of a run in {' and '.join(map(str, others))}"
        if shard is None:
            raise CxrError(
                f"{found}, and this process was not told which it is: for a shard say --shard INDEX/{others[0]} (an "
                f"array element started alone does not know; CXR_SHARDS={others[0]} tells it too), to join finished "
                "ones run cxr predict merge, for a run of all films choose another folder"
            )
        raise CxrError(
            f"{found}, and this is {shard.line()}: say --shard INDEX/{others[0]} to go on with those, or choose "
            "another folder"
        )
    if shard is not None and _holds_whole_run(out):
        raise CxrError(
            f"{text_of(out)}: holds a run that is not cut into shards, and this is {shard.line()}: choose another "
            f"folder, or go on with that run with --shard {NO_SHARD}"
        )


def _holds_whole_run(out: Path) -> bool:
    return (out / PLAN_FILE).exists() or ((out / RUN_FILE).exists() and not is_merged(out))


@dataclass(frozen=True, slots=True)
class _Level:
    """What one system says: this is process `index` of `count`."""

    index: int
    count: int
    source: str
    spans: bool = False
    """It numbers the processes of all machines of a job, not only those that one outer process started."""

    def __post_init__(self) -> None:
        if self.count < 1:
            raise CxrError(f"{self.source}: the number of processes is {self.count}, expected at least 1; {_SAY_SHARD}")
        if not 0 <= self.index < self.count:
            raise CxrError(
                f"{self.source}: process {self.index} of {self.count} does not exist, expected 0 to {self.count - 1}; "
                f"{_SAY_SHARD}"
            )


def detect_shard(environ: Mapping[str, str]) -> Shard | None:
    """Find which of several processes this one is.

    - ``torchrun``: ``RANK`` of ``WORLD_SIZE``;
    - a SLURM array: the position of ``SLURM_ARRAY_TASK_ID`` among ``SLURM_ARRAY_TASK_COUNT`` elements that start at
      ``_MIN`` in steps of ``_STEP``; with ``CXR_SHARDS``, which a single element that is started again needs, the id
      itself, counted from 0;
    - ``srun``: ``SLURM_PROCID`` of ``SLURM_NTASKS``;
    - a Kubernetes indexed Job: ``JOB_COMPLETION_INDEX`` of ``CXR_SHARDS``, because Kubernetes does not say of how many.

    What starts processes inside another's (``srun`` in every element of an array, ``torchrun`` on the one machine of
    every element) multiplies; ``torchrun`` over several machines numbers the processes of all. One process is no shard.

    Args:
        environ: the environment's variables; an empty one counts as not set.

    Raises:
        CxrError: a variable that is not a number, only half of a pair, or two that contradict each other.
    """
    world, array, task, pod = _torchrun(environ), _array(environ), _srun(environ), _completion(environ)
    if array is not None and pod is not None:
        raise CxrError(f"SLURM_ARRAY_TASK_ID and JOB_COMPLETION_INDEX are both set; {_SAY_SHARD}")
    if world is not None and world.spans:
        task = pod = None
    levels = [level for level in (array, pod, task, world) if level is not None and level.count > 1]
    if world in levels and array in levels and not environ.get("GROUP_WORLD_SIZE"):
        raise CxrError(f"RANK and SLURM_ARRAY_TASK_ID are both set, and not by torchrun; {_SAY_SHARD}")
    if not any((world, array, pod)) and _number(environ, "CXR_SHARDS") not in (None, 1):
        raise CxrError(
            "CXR_SHARDS is set, but neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX (a Kubernetes Job has it with "
            f"completionMode: Indexed); {_SAY_SHARD}"
        )
    index, count = 0, 1
    for level in levels:
        index, count = index * level.count + level.index, count * level.count
    return Shard(index, count, source=" and ".join(level.source for level in levels)) if levels else None


def local_device(device: str, environ: Mapping[str, str], gpus: int) -> str:
    """Return the device of this process among those that share a machine.

    Args:
        device: what was asked for; only ``auto`` and ``cuda`` leave a choice.
        environ: ``LOCAL_RANK`` is what torchrun calls the processes of one machine, ``SLURM_LOCALID`` what srun does.
        gpus: GPUs that this process sees. Where each process was given its own, that is 1, and all take ``cuda:0``.
    """
    name = "LOCAL_RANK" if environ.get("LOCAL_RANK") else "SLURM_LOCALID"
    rank = _number(environ, name)
    return device if rank is None or gpus < 2 or device not in ("auto", "cuda") else f"cuda:{rank % gpus}"


def processes_here(environ: Mapping[str, str]) -> int:
    """Return how many processes torchrun started on this machine: they share its cores. 1 where it did not."""
    return max(1, _number(environ, "LOCAL_WORLD_SIZE") or 1)


def _torchrun(environ: Mapping[str, str]) -> _Level | None:
    pair = _pair(environ, "RANK", "WORLD_SIZE")
    # One machine: torchrun was started by each outer process alone. Otherwise its ranks go through all of them.
    return pair and _Level(*pair, source="RANK and WORLD_SIZE", spans=environ.get("GROUP_WORLD_SIZE") != "1")


def _srun(environ: Mapping[str, str]) -> _Level | None:
    index, count = _number(environ, "SLURM_PROCID"), _number(environ, "SLURM_NTASKS")
    if index is None or (count is None and index == 0):  # a shell inside an allocation; a batch script of one task
        return None
    if count is None:
        raise CxrError(f"SLURM_PROCID is {index}, but SLURM_NTASKS is not set; {_SAY_SHARD}")
    # The script of a job of several tasks is process 0 of them too, but nobody starts the others for it.
    hint = "" if environ.get("SLURM_STEP_ID") or index else "; without srun nothing starts the other shards"
    return _Level(index, count, source=f"SLURM_PROCID and SLURM_NTASKS{hint}")


def _array(environ: Mapping[str, str]) -> _Level | None:
    shards = _number(environ, "CXR_SHARDS")
    names = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT")
    if shards is not None:
        index, count = _number(environ, names[0]), _number(environ, names[1])
        if index is not None and count != shards:
            return _Level(index, shards, source=f"{names[0]} and CXR_SHARDS")
    pair = _pair(environ, *names)
    if pair is None:
        return None
    index, count = pair
    first, last, step = (_number(environ, f"SLURM_ARRAY_TASK_{name}") for name in ("MIN", "MAX", "STEP"))
    # One element started alone is no shard, whatever its number.
    first, step = (index if count == 1 else 0) if first is None else first, 1 if step is None else step
    listed = step < 1 or (last is not None and (last - first) // step + 1 != count)
    if listed or index < first or (index - first) % step:
        raise CxrError(
            f"SLURM_ARRAY_TASK_ID is {index}, of {count} from {first} in steps of {step}: a list of elements does not "
            f"say which shards they are; {_SAY_SHARD}, or set CXR_SHARDS where the elements are counted from 0"
        )
    return _Level((index - first) // step, count, source=" and ".join(names))


def _completion(environ: Mapping[str, str]) -> _Level | None:
    index = _number(environ, "JOB_COMPLETION_INDEX")
    if index is None:
        return None
    count = _number(environ, "CXR_SHARDS")
    if count is None:
        raise CxrError(
            f"JOB_COMPLETION_INDEX is {index}, but Kubernetes does not say of how many: set CXR_SHARDS in the pod to "
            "the Job's completions"
        )
    return _Level(index, count, source="JOB_COMPLETION_INDEX and CXR_SHARDS")


def _pair(environ: Mapping[str, str], first: str, second: str) -> tuple[int, int] | None:
    index, count = _number(environ, first), _number(environ, second)
    if index is None and count is None:
        return None
    if index is None or count is None:
        there, absent = (second, first) if index is None else (first, second)
        raise CxrError(f"{there} is set, but {absent} is not; {_SAY_SHARD}")
    return index, count


def _number(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name, "").strip()
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise CxrError(f"{name} is {text[:40]!r}, expected a whole number from 0; {_SAY_SHARD}")
    return int(text)
