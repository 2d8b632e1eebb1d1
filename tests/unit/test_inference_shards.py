"""Which share of a run a process does: what clusters say, and what is refused."""

import json
from pathlib import Path

import pytest

from pipelines.errors import CxrError
from pipelines.inference.shards.shard import Shard, choose_shard, detect_shard, local_device, processes_here, shards_in


def array(task: int, count: int, *, first: int = 0, step: int = 1, **more: object) -> dict[str, str]:
    """What SLURM sets in one element of an array."""
    last = first + step * (count - 1)
    names = {"ID": task, "COUNT": count, "MIN": first, "MAX": last, "STEP": step}
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in names.items()} | texts(more)


def texts(values: dict[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}


def step(task: int, tasks: int) -> dict[str, str]:
    """What srun sets in one of its tasks."""
    return texts({"SLURM_JOB_ID": 7, "SLURM_STEP_ID": 0, "SLURM_PROCID": task, "SLURM_NTASKS": tasks})


def torchrun(rank: int, world: int, machines: int = 1) -> dict[str, str]:
    """What torchrun sets in one of its processes."""
    each = world // machines
    return texts(
        {"RANK": rank, "WORLD_SIZE": world, "LOCAL_RANK": rank % each, "LOCAL_WORLD_SIZE": each}
        | {"GROUP_RANK": rank // each, "GROUP_WORLD_SIZE": machines}
    )


FOUND = {
    "nothing is set": ({}, None),
    "empty is not set": ({"RANK": "", "WORLD_SIZE": " ", "JOB_COMPLETION_INDEX": ""}, None),
    "torchrun": (torchrun(3, 8), "3/8"),
    "torchrun with one process": (torchrun(0, 1), None),
    "torchrun on two machines": (torchrun(5, 8, machines=2), "5/8"),
    "ranks set by hand": ({"RANK": "1", "WORLD_SIZE": "2"}, "1/2"),
    "array": (array(3, 8), "3/8"),
    "array that counts from 1": (array(8, 8, first=1), "7/8"),
    "array in steps": (array(14, 8, step=2), "7/8"),
    "array in steps, not from 0": (array(9, 3, first=5, step=4), "1/3"),
    "array of one element": (array(3, 1, first=3), None),
    "array of one element, without its first": ({"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "1"}, None),
    "one element again, with the number of shards": (array(3, 1, first=3, CXR_SHARDS=8), "3/8"),
    "some elements again, with the number of shards": (array(5, 3, first=5, CXR_SHARDS=8), "5/8"),
    "whole array from 1, with the number of shards": (array(1, 8, first=1, CXR_SHARDS=8), "0/8"),
    "a list of elements, with the number of shards": (
        array(5, 2, first=2, CXR_SHARDS=8) | {"SLURM_ARRAY_TASK_MAX": "5"},
        "5/8",
    ),
    "array without its number, with the number of shards": ({"SLURM_ARRAY_TASK_ID": "2", "CXR_SHARDS": "4"}, "2/4"),
    "srun": (step(1, 4), "1/4"),
    "srun with one task": (step(0, 1), None),
    "batch script of one task": ({"SLURM_JOB_ID": "7", "SLURM_PROCID": "0"}, None),
    "shell inside an allocation of four tasks": ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4"}, None),
    "array times srun": (array(2, 3) | step(1, 4), "9/12"),
    "array times torchrun": (array(2, 3) | torchrun(1, 2), "5/6"),
    "array times torchrun over the machines of a job": (array(1, 2) | step(1, 2) | torchrun(3, 4, 2), "7/8"),
    "srun that starts one torchrun over all machines": (step(1, 2) | torchrun(5, 8, machines=2), "5/8"),
    "srun that starts torchruns": (step(1, 2) | torchrun(1, 4), "5/8"),
    "ranks that a script took from srun": (step(1, 2) | {"RANK": "1", "WORLD_SIZE": "2"}, "1/2"),
    "indexed job": ({"JOB_COMPLETION_INDEX": "3", "CXR_SHARDS": "8"}, "3/8"),
    "indexed job with one completion": ({"JOB_COMPLETION_INDEX": "0", "CXR_SHARDS": "1"}, None),
    "indexed job times torchrun": ({"JOB_COMPLETION_INDEX": "1", "CXR_SHARDS": "3"} | torchrun(0, 2), "2/6"),
    "indexed job, torchrun over all pods": (
        {"JOB_COMPLETION_INDEX": "1", "CXR_SHARDS": "2"} | torchrun(3, 4, 2),
        "3/4",
    ),
}

REFUSED = {
    "rank alone": ({"RANK": "1"}, "RANK is set, but WORLD_SIZE is not"),
    "world alone": ({"WORLD_SIZE": "4"}, "WORLD_SIZE is set, but RANK is not"),
    "rank outside": ({"RANK": "4", "WORLD_SIZE": "4"}, "process 4 of 4 does not exist, expected 0 to 3"),
    "no processes": ({"RANK": "0", "WORLD_SIZE": "0"}, "the number of processes is 0"),
    "not a number": ({"RANK": "one", "WORLD_SIZE": "4"}, "RANK is 'one', expected a whole number"),
    "negative": ({"RANK": "-1", "WORLD_SIZE": "4"}, "RANK is '-1', expected a whole number"),
    "other digits": ({"RANK": "١", "WORLD_SIZE": "4"}, "expected a whole number"),
    "endless number": ({"RANK": "0", "WORLD_SIZE": "9" * 5000}, "WORLD_SIZE is '9{40}', expected"),
    "element without the array": ({"SLURM_ARRAY_TASK_ID": "3"}, "SLURM_ARRAY_TASK_COUNT is not"),
    "array without the element": ({"SLURM_ARRAY_TASK_COUNT": "3"}, "SLURM_ARRAY_TASK_ID is not"),
    "element outside": (array(8, 8), "process 8 of 8 does not exist"),
    "element before the first": (array(0, 8, first=1), "SLURM_ARRAY_TASK_ID is 0, of 8 from 1"),
    "element between steps": (array(3, 4, step=2), "SLURM_ARRAY_TASK_ID is 3, of 4 from 0 in steps of 2"),
    "steps of nothing": (array(0, 4, step=1) | {"SLURM_ARRAY_TASK_STEP": "0"}, "in steps of 0"),
    "a list of elements": (array(5, 2, first=2) | {"SLURM_ARRAY_TASK_MAX": "5"}, "a list of elements does not say"),
    "element outside the shards": (array(8, 1, first=8, CXR_SHARDS=8), "process 8 of 8 does not exist"),
    "task without tasks": ({"SLURM_PROCID": "2"}, "SLURM_PROCID is 2, but SLURM_NTASKS is not set"),
    "task outside": (step(4, 4), "process 4 of 4"),
    "completion without completions": ({"JOB_COMPLETION_INDEX": "3"}, "set CXR_SHARDS in the pod"),
    "completion outside": ({"JOB_COMPLETION_INDEX": "8", "CXR_SHARDS": "8"}, "process 8 of 8"),
    "no completions": ({"JOB_COMPLETION_INDEX": "0", "CXR_SHARDS": "0"}, "the number of processes is 0"),
    "shards without an index": ({"CXR_SHARDS": "8"}, "completionMode: Indexed"),
    "two clusters": (array(1, 2, JOB_COMPLETION_INDEX=1, CXR_SHARDS=2), "are both set"),
    "array and ranks set by hand": (array(1, 4) | {"RANK": "1", "WORLD_SIZE": "4"}, "not by torchrun"),
    "more shards than folders can name": (array(0, 1000) | step(0, 1000), "1000000 shards, expected 1 to 99,999"),
}


@pytest.mark.parametrize(("environ", "expected"), FOUND.values(), ids=FOUND)
def test_shard_of_an_environment(environ, expected):
    shard = detect_shard(environ)
    assert (shard and str(shard)) == expected


@pytest.mark.parametrize(("environ", "words"), REFUSED.values(), ids=REFUSED)
def test_environment_that_contradicts_itself_is_one_sentence(environ, words):
    with pytest.raises(CxrError, match=words) as refused:
        detect_shard(environ)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("shards", [1, 2, 3, 7, 20])
def test_shards_share_every_part_once(shards):
    shares = [list(Shard(index, shards).parts(15)) for index in range(shards)]
    assert sorted(part for share in shares for part in share) == list(range(15))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_every_process_of_a_product_has_a_share_of_its_own():
    found = {str(detect_shard(array(2 * a + 1, 3, first=1, step=2) | step(t, 4))) for a in range(3) for t in range(4)}
    assert found == {f"{index}/12" for index in range(12)}


def test_line_says_where_it_came_from():
    assert detect_shard(array(3, 8)).line() == "shard 3/8 (from SLURM_ARRAY_TASK_ID and SLURM_ARRAY_TASK_COUNT)"
    script = step(0, 4)
    del script["SLURM_STEP_ID"]
    assert "without srun nothing starts the other shards" in detect_shard(script).line()
    assert "without" not in detect_shard(step(0, 4)).line()


def test_text_and_folder():
    shard = Shard.parse(" 3/8 ")
    assert (str(shard), shard.folder) == ("3/8", "shard-00003-of-00008")
    assert Shard.of_folder(shard.folder) == shard
    for name in ("shard-00008-of-00008", "shard-3-of-8", "shard-00003-of-00008.bak", "parts"):
        assert Shard.of_folder(name) is None


@pytest.mark.parametrize("text", ["8/8", "0/0", "3", "3/", "/8", "-1/8", "3/8/2", "a/b", "", "1.0/2", "0/100000"])
def test_said_shard_that_does_not_exist(text, tmp_path):
    with pytest.raises(CxrError, match="--shard"):
        choose_shard(text, {}, tmp_path)


def test_said_shard_wins(tmp_path):
    assert choose_shard("1/4", array(3, 8), tmp_path) == Shard(1, 4)
    assert choose_shard("1/4", {"RANK": "nonsense"}, tmp_path) == Shard(1, 4)
    assert choose_shard("none", array(3, 8), tmp_path) is None
    assert choose_shard(None, array(3, 8), tmp_path) == Shard(3, 8)
    assert choose_shard(None, {}, tmp_path / "not there yet") is None


def test_array_element_started_alone_does_not_score_everything(tmp_path):
    (tmp_path / "shard-00000-of-00008").mkdir()
    alone = array(3, 1, first=3)
    with pytest.raises(CxrError, match=r"holds shards of a run in 8, .* --shard INDEX/8 .* CXR_SHARDS=8 tells it"):
        choose_shard(None, alone, tmp_path)
    assert choose_shard(None, alone | {"CXR_SHARDS": "8"}, tmp_path) == Shard(3, 8)
    assert choose_shard("3/8", alone, tmp_path) == Shard(3, 8)
    with pytest.raises(CxrError, match=r"holds shards of a run in 8, and this is shard 1/2 .*: say --shard INDEX/8"):
        choose_shard(None, array(3, 2, first=2), tmp_path)
    with pytest.raises(CxrError, match="holds shards of a run in 8"):
        choose_shard("none", {}, tmp_path)


def test_merged_run_can_be_asked_for_again(tmp_path):
    (tmp_path / "shard-00000-of-00008").mkdir()
    (tmp_path / "run.json").write_text(json.dumps({"shards": []}))
    assert choose_shard(None, {}, tmp_path) is None
    assert choose_shard("3/8", {}, tmp_path) == Shard(3, 8)


@pytest.mark.parametrize("name", ["run.json", "plan.json"])
def test_shard_in_the_folder_of_a_whole_run(name, tmp_path):
    (tmp_path / name).write_text("{}")
    with pytest.raises(CxrError, match=r"holds a run that is not cut into shards, and this is shard 3/8 .from --shard"):
        choose_shard("3/8", {}, tmp_path)


def test_shards_in_a_folder(tmp_path):
    for name in ("shard-00001-of-00002", "shard-00000-of-00002", "films", "shard-00009-of-00002"):
        (tmp_path / name).mkdir()
    (tmp_path / "shard-00000-of-00003").write_text("a file")
    assert [str(shard) for shard in shards_in(tmp_path)] == ["0/2", "1/2"]
    assert shards_in(Path("/nowhere")) == []


def test_device_of_one_process_among_those_of_a_machine():
    assert local_device("auto", torchrun(3, 8, machines=2), gpus=4) == "cuda:3"
    assert local_device("cuda", torchrun(7, 8, machines=2), gpus=4) == "cuda:3"
    assert local_device("auto", {"SLURM_LOCALID": "1"}, gpus=2) == "cuda:1"
    assert local_device("auto", {"SLURM_LOCALID": "3"}, gpus=1) == "auto"  # each task was given a GPU of its own
    assert local_device("auto", {}, gpus=4) == "auto"
    assert local_device("cuda:2", torchrun(3, 8), gpus=8) == "cuda:2"
    assert local_device("cpu", torchrun(3, 8), gpus=8) == "cpu"
    assert (processes_here(torchrun(3, 8, machines=2)), processes_here({})) == (4, 1)
