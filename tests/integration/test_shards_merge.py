"""Shards of a run, and joining them: the bytes of one process, or a refusal that says what is wrong."""

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
import typer
import yaml
from typer.testing import CliRunner

from pipelines.cli import merging
from pipelines.errors import CxrError
from pipelines.inference import collect_inputs, ledger, plan, predict_films, table
from pipelines.inference.folder_lock import locked
from pipelines.inference.shards import census, merge
from pipelines.inference.shards import folder as shard_folder
from pipelines.inference.shards.merge import merge_shards
from pipelines.inference.shards.shard import Shard, detect_shard
from tests.inference_films import tiny_package, write_png

TABLES = ("predictions.parquet", "predictions.csv")
LAUNCH = Path(__file__).parents[2] / "configs" / "launch"
FILMS, PART, BATCH = 76, 8, 4


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", autouse=True)
def short_parts():
    """Parts of 8 films and row groups of 3 parts: ten parts in four row groups, the last of each is short."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ledger, "PART_FILMS", PART)
        patched.setattr(plan, "PART_FILMS", PART)
        patched.setattr(table, "_PARTS_PER_ROW_GROUP", 3)
        yield


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "package"
    tiny_package(folder)
    return folder


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    """76 names for 30 pictures, and some that are not films."""
    folder = tmp_path_factory.mktemp("shards") / "films"
    sources = [write_png(folder / ".sources" / f"{number}.png", number, 90, 80) for number in range(30)]
    for number in range(FILMS):
        path = folder / f"film{number}.png"
        if number % 17 == 5:
            path.write_text("not a film")
        else:
            os.link(sources[number % 30], path)
    (folder / "film75.png").unlink()
    write_png(folder / "film75.png", 99, 50, 50)
    return folder


def run(films: Path, package: Path, out: Path, shard: str | None = None, **options):
    options = {"workers": 0, "batch_size": BATCH} | options
    return predict_films(collect_inputs([films]), package, out, shard=Shard.parse(shard) if shard else None, **options)


@pytest.fixture(scope="module")
def whole(films, package, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    run(films, package, out, heatmaps=True)
    return out


@pytest.fixture(scope="module")
def done(films, package, tmp_path_factory) -> Path:
    """Three finished shards; copied by each test that changes them."""
    out = tmp_path_factory.mktemp("done") / "out"
    for index in range(3):
        run(films, package, out, f"{index}/3", heatmaps=True)
    return out


@pytest.fixture
def shards(done, tmp_path) -> Path:
    return Path(shutil.copytree(done, tmp_path / "out"))


def tables(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in TABLES}


def pictures(out: Path) -> dict[str, bytes]:
    folder = out / "heatmaps"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def edit_record(shard: Path, **changes: object) -> None:
    """Write values into run.json; a key is the way to the value, with double underscores."""
    record = json.loads((shard / "run.json").read_text())
    for key, value in changes.items():
        *way, last = key.split("__")
        target = record
        for name in way:
            target = target[name]
        target[last] = value
    (shard / "run.json").write_text(json.dumps(record))


@pytest.mark.parametrize("count", [1, 12])
def test_any_number_of_shards_gives_the_bytes_of_one_process(count, films, package, whole, tmp_path):
    """12 shards are more than there are parts: some have nothing to do."""
    computed = 0
    for index in reversed(range(count)):
        summary = run(films, package, tmp_path, f"{index}/{count}")
        computed += summary.computed
        assert summary.films == summary.computed == len(pd.read_csv(tmp_path / Shard(index, count).folder / TABLES[1]))
    assert computed == FILMS
    summary = merge_shards(tmp_path)
    assert tables(tmp_path) == tables(whole)
    assert (summary.shards, summary.films, summary.failed) == (count, FILMS, 6)
    assert summary.by_reason == {"not_an_image": 5, "too_small": 1}


def test_merged_folder_is_a_predictions_folder(shards, whole):
    """Also what only all shards together know: which film was the first with a picture."""
    before = {path: path.read_bytes() for path in shards.rglob("*") if path.is_file()}
    summary = merge_shards(shards)
    assert tables(shards) == tables(whole)
    assert pictures(shards) == pictures(whole)
    assert {path: path.read_bytes() for path in before} == before
    assert sorted(path.name for path in shards.iterdir() if not path.name.startswith("shard-")) == sorted(
        path.name for path in whole.iterdir()
    )
    frame = pd.read_parquet(shards / TABLES[0]).set_index("image_id")
    assert frame["duplicate_of"].notna().sum() == summary.duplicates > 30
    assert frame.loc["film61.png", "duplicate_of"] == "film1.png"
    alone = pd.concat(pd.read_parquet(shards / Shard(index, 3).folder / TABLES[0]) for index in range(3))
    assert alone["duplicate_of"].notna().sum() < summary.duplicates
    assert f"3 shards, {FILMS} films, each once" in summary.lines()[0]


def test_record_of_the_merged_run(shards, whole):
    merge_shards(shards)
    record, one = (json.loads((out / "run.json").read_text()) for out in (shards, whole))
    for key in ("schema", "model", "inputs", "inputs_digest", "manifest_digest", "counts", "plan", "triage_rule"):
        assert record[key] == one[key], key
    parts = [json.loads((shards / Shard(index, 3).folder / "run.json").read_text()) for index in range(3)]
    assert [entry["shard"] for entry in record["shards"]] == ["0/3", "1/3", "2/3"]
    for key in ("hardware", "seconds", "settings", "films_computed", "files_digest"):
        assert [entry[key] for entry in record["shards"]] == [part[key] for part in parts], key
    assert record["films_computed"] == FILMS
    assert record["seconds"] == pytest.approx(sum(part["seconds"] for part in parts), abs=0.01)


def test_pictures_are_hard_links_or_copies(shards, tmp_path, monkeypatch, whole):
    merge_shards(shards)
    assert all((shards / "heatmaps" / name).stat().st_nlink == 2 for name in pictures(shards))

    def no_links(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(merge.os, "link", no_links)
    merge_shards(shards, restart=True)
    assert all((shards / "heatmaps" / name).stat().st_nlink == 1 for name in pictures(shards))
    assert pictures(shards) == pictures(whole)


def test_joining_again_does_nothing(shards):
    merge_shards(shards)
    stamps = {path: path.stat().st_mtime_ns for path in shards.rglob("*")}
    again = merge_shards(shards)
    assert again.already_complete
    assert "nothing was done" in "\n".join(again.lines())
    assert {path: path.stat().st_mtime_ns for path in shards.rglob("*") if path != shards} == {
        path: stamp for path, stamp in stamps.items() if path != shards
    }


class KilledError(Exception):
    pass


def killed(*_, **__):
    raise KilledError


@pytest.mark.parametrize("stage", ["write_rows", "_link_pictures", "write_json", "_show", "close_folder"])
def test_joining_that_was_killed_is_simply_run_again(stage, shards, whole, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(merge, stage, killed)
        with pytest.raises(KilledError):
            merge_shards(shards)
    assert not any((shards / name).exists() for name in (*TABLES, "run.json", "heatmaps"))
    merge_shards(shards)
    assert tables(shards) == tables(whole)
    assert pictures(shards) == pictures(whole)
    assert not (shards / merge.STAGE).exists()


@pytest.mark.parametrize("moved", [0, 1, 2, 3, 4])
def test_joining_that_was_killed_between_two_renames(moved, shards, whole, monkeypatch):
    real, calls = Path.replace, []

    def replace(self, target):
        if self.parent.name == merge.STAGE and not self.name.startswith("."):
            calls.append(self.name)
            if len(calls) > moved:
                raise KilledError
        return real(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", replace)
        if moved < 4:
            with pytest.raises(KilledError):
                merge_shards(shards)
            assert not (shards / "run.json").exists()
        else:
            merge_shards(shards)
    merge_shards(shards)
    assert (tables(shards), pictures(shards)) == (tables(whole), pictures(whole))
    assert not (shards / merge.STAGE).exists()


def test_full_disk_while_joining(shards, whole, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(merge, "write_rows", full)
        with pytest.raises(CxrError, match=r"stopped .No space left on device.; they are as they were: run the same"):
            merge_shards(shards)
    assert not (shards / merge.STAGE).exists()
    merge_shards(shards)
    assert tables(shards) == tables(whole)


def test_dead_shard_is_run_alone_and_goes_on(films, package, shards, whole):
    dead = shards / Shard(1, 3).folder
    shutil.rmtree(dead)
    with pytest.raises(CxrError, match=r"missing: 1/3\. Start those again .* --shard 1/3"):
        merge_shards(shards)

    def stop_after(count):
        def progress(finished, _):
            if finished >= count:
                raise KilledError

        return progress

    with pytest.raises(KilledError):
        run(films, package, shards, "1/3", heatmaps=True, progress=stop_after(PART + BATCH))
    with pytest.raises(CxrError, match=r"not all shards are done: unfinished: 1/3 \(8 of 24 films done\)"):
        merge_shards(shards)
    again = run(films, package, shards, "1/3", heatmaps=True)
    assert (again.films, again.computed) == (24, 24 - PART - BATCH)
    others = [run(films, package, shards, f"{index}/3", heatmaps=True) for index in (0, 2)]
    assert all(other.already_complete for other in others)
    merge_shards(shards)
    assert tables(shards) == tables(whole)


def test_every_shard_that_is_not_done_is_named(shards):
    shutil.rmtree(shards / Shard(0, 3).folder)
    (shards / Shard(2, 3).folder / TABLES[1]).unlink()
    with locked(shards / Shard(1, 3).folder):
        expected = "missing: 0/3; still being run: 1/3; unfinished: 2/3. Start those again"
        with pytest.raises(CxrError, match=expected):
            merge_shards(shards)
    with locked(shards), pytest.raises(CxrError, match="not all shards are done"):
        merge_shards(shards)


def test_two_at_once(shards):
    with locked(shards), pytest.raises(CxrError, match="another run is writing there"):
        merge_shards(shards)


DIFFERENCES = {
    "batch size": ({"plan__settings__batch_size": 5}, "settings.batch_size is 4 in shard 0/3, 5 in shard 2/3"),
    "model": ({"plan__model__model_id": "0" * 12}, "model.model_id is [0-9a-f]+ in shard 0/3, 0{12} in shard 2/3"),
    "points": ({"plan__model__operating_points": "x"}, "the operating points differs"),
    "version": ({"plan__versions__torch": "1.0"}, "versions.torch is .* in shard 0/3, 1.0 in shard 2/3"),
    "list": ({"plan__inputs__digest": "x"}, "the list of films differs"),
    "length": ({"plan__inputs__films": 77}, "inputs.films is 76 in shard 0/3, 77 in shard 2/3. Do"),
    "another shard": ({"plan__inputs__shard": "1/3"}, "is of shard '1/3', but its folder is called 'shard-00002-of"),
    "no films": ({"plan__inputs__films": "many"}, "plan.inputs.films: Input should be a valid integer"),
    "no parts": ({"plan__settings__part_films": 0}, "plan.settings.part_films: Input should be greater"),
    "no plan": ({"plan": None}, "run.json: plan: Input should be"),
    "schema": ({"schema": "cxr-triage/run/0"}, "schema is 'cxr-triage/run/0', expected 'cxr-triage/run/1'"),
    "counts": ({"counts__ok": 1}, "counts.ok of the shards' run.json add up to"),
    "inputs": ({"counts__inputs": 23}, r"picture_digests.npy: uint64 \(\d+,\), expected uint64 \(23,\)"),
}


@pytest.mark.parametrize(("changes", "words"), DIFFERENCES.values(), ids=DIFFERENCES)
def test_shards_that_do_not_belong_together(changes, words, shards):
    edit_record(shards / Shard(2, 3).folder, **changes)
    with pytest.raises(CxrError, match=words) as refused:
        merge_shards(shards)
    assert "\n" not in str(refused.value)
    assert not any((shards / name).exists() for name in (*TABLES, "run.json", ".lock", merge.STAGE))


def rewrite(shard: Path, change) -> None:
    """Change a finished shard's table behind its back."""
    path = shard / TABLES[0]
    pq.write_table(change(pq.read_table(path, partitioning=None)), path)


def renamed(rows: dict[int, str]):
    def change(found):
        names = found["image_id"].to_pylist()
        for row, name in rows.items():
            names[row] = name
        return found.set_column(0, found.schema.field(0), [names])

    return change


CHANGES = {
    "film of another shard": (renamed({3: "film0.png"}), "image_id 'film0.png' has two rows in the shards"),
    "film twice": (renamed({3: "film16.png"}), "image_id 'film16.png' has two rows in the shards"),
    "unknown film": (renamed({3: "film999.png"}), "are not the 76 films of their list in its order"),
    "order": (renamed({3: "film20.png", 4: "film19.png"}), "are not the 76 films of their list in its order"),
    "row lost": (lambda found: found.slice(1), "has fewer rows than the parts of shard 2/3 have films"),
    "row gained": (
        lambda found: __import__("pyarrow").concat_tables([found, found.slice(0, 1)]),
        "has more rows than the parts of shard 2/3 have films",
    ),
    "column lost": (lambda found: found.drop_columns("orientation"), "its columns are not those"),
}


@pytest.mark.parametrize(("change", "words"), CHANGES.values(), ids=CHANGES)
def test_every_film_exactly_once_and_in_order(change, words, shards):
    rewrite(shards / Shard(2, 3).folder, change)
    with pytest.raises(CxrError, match=words):
        merge_shards(shards)
    assert not any((shards / name).exists() for name in (*TABLES, "run.json", merge.STAGE))


def test_ids_with_one_hash_are_not_taken_for_one(shards, monkeypatch, whole):
    monkeypatch.setattr(census, "_id_hash", lambda image_id: bytes([len(image_id)] * 8))
    merge_shards(shards)
    assert tables(shards) == tables(whole)


def test_damaged_files_are_one_sentence(shards, tmp_path):
    last = shards / Shard(2, 3).folder
    content = (last / TABLES[0]).read_bytes()
    (last / TABLES[0]).write_bytes(content[: len(content) // 2])
    with pytest.raises(CxrError, match=r"predictions.parquet: cannot be read .*do this shard again"):
        merge_shards(shards)
    (last / TABLES[0]).write_bytes(content)
    for damaged in (b"", b"PK\x03\x04", b"\x80\x04}q\x00."):
        (last / "picture_digests.npy").write_bytes(damaged)
        with pytest.raises(CxrError, match=r"picture_digests.npy: cannot be read .* --shard 2/3 --restart"):
            merge_shards(shards)
    np.save(last / "picture_digests.npy", np.zeros(24))
    with pytest.raises(CxrError, match=r"picture_digests.npy: float64"):
        merge_shards(shards)


def test_folders_that_hold_no_shards(shards, tmp_path):
    with pytest.raises(CxrError, match="no such folder"):
        merge_shards(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CxrError, match="holds no shards; expected the folders shard-00000-of-00008"):
        merge_shards(tmp_path / "empty")
    assert not list((tmp_path / "empty").iterdir())
    (shards / Shard(0, 2).folder).mkdir()
    with pytest.raises(CxrError, match="holds shards of runs in 2 and in 3"):
        merge_shards(shards)


def test_what_else_lies_there_is_not_written_over(shards, whole):
    (shards / TABLES[1]).write_text("mine")
    with pytest.raises(CxrError, match=r"predictions.csv is there already, but was not joined from shards"):
        merge_shards(shards)
    shutil.copy(whole / "run.json", shards)
    with pytest.raises(CxrError, match="holds a run that is not cut into shards beside them"):
        merge_shards(shards)
    assert (shards / TABLES[1]).read_text() == "mine"
    merge_shards(shards, restart=True)
    assert tables(shards) == tables(whole)


def test_other_shards_than_those_joined_before(films, package, shards, whole):
    merge_shards(shards)
    edit_record(shards, plan__settings__batch_size=9)
    with pytest.raises(CxrError, match=r"settings.batch_size is 9 in what is joined there, 4 in the shards"):
        merge_shards(shards)
    merge_shards(shards, restart=True)
    # The same shard done again is not another run: it is joined again.
    run(films, package, shards, "2/3", heatmaps=True, restart=True)
    assert not merge_shards(shards).already_complete
    assert tables(shards) == tables(whole)
    assert merge_shards(shards).already_complete


def test_shard_done_again_while_joining(shards, monkeypatch):
    real = merge.write_rows

    def meanwhile(*arguments):
        real(*arguments)
        edit_record(shards / Shard(1, 3).folder, seconds=9.0)

    monkeypatch.setattr(merge, "write_rows", meanwhile)
    with pytest.raises(CxrError, match="shards changed while they were joined"):
        merge_shards(shards)
    assert not (shards / "run.json").exists()


def test_few_row_groups_are_held(shards, whole, monkeypatch):
    """With one in memory at a time the result is the same: what is read again is the same rows."""
    monkeypatch.setattr(shard_folder, "_ROW_GROUPS_HELD", 1)
    merge_shards(shards)
    assert tables(shards) == tables(whole)


@pytest.fixture
def verbs():
    """The two verbs as the command line has them."""
    app = typer.Typer(cls=merging.Verbs, help="verbs")

    @app.command()
    def predict(inputs: list[str], out: str = "nowhere") -> None:
        """Score films."""
        typer.echo(f"predict {inputs} {out}")

    app.command(merging.MERGE_VERB)(merging.merge)
    return lambda *arguments: CliRunner().invoke(app, list(map(str, arguments)))


def test_two_words_are_one_verb(verbs, shards, whole):
    result = verbs("predict", "merge", shards)
    assert result.exit_code == 1  # films without a score
    assert tables(shards) == tables(whole)
    assert verbs("predict", "merge", "--restart", shards).exit_code == 1
    for words in (["./merge"], ["films", "merge"], ["--out", "here", "merge"]):
        found = verbs("predict", *words)
        assert (found.exit_code, found.output[:9]) == (0, "predict ["), words
    assert "predict merge" in verbs("--help").output
    assert "each once" not in verbs("predict", "merge", "--help").output
    assert verbs("predict", "merge").exit_code == 2


@pytest.fixture
def fake_cxr(tmp_path, monkeypatch):
    """A `cxr` (and a `torchrun`) that writes down its arguments and what the cluster told it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("cxr", "torchrun"):
        script = folder / name
        log = tmp_path / f"{name}.jsonl"
        script.write_text(
            f"#!{sys.executable} -S\nimport json, os, sys\n"
            f"print(json.dumps([sys.argv[1:], dict(os.environ)]), file=open({str(log)!r}, 'a'))\n"
        )
        script.chmod(script.stat().st_mode | stat.S_IXUSR)

    def launch(script: str, *arguments: str, **variables: str):
        base = {"PATH": f"{folder}:/usr/bin:/bin"}
        ran = subprocess.run(
            ["bash", str(LAUNCH / script), *arguments], env=base | variables, capture_output=True, text=True, timeout=60
        )
        logs = [(tmp_path / f"{name}.jsonl") for name in ("torchrun", "cxr")]
        calls = [json.loads(line) for log in logs if log.exists() for line in log.read_text().splitlines()]
        for log in logs:
            log.unlink(missing_ok=True)
        return ran, calls

    return launch


def test_slurm_script(fake_cxr, tmp_path):
    found = []
    for task in range(8):
        names = {"ID": task, "COUNT": 8, "MIN": 0, "MAX": 7, "STEP": 1}
        variables = {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in names.items()}
        ran, calls = fake_cxr(
            "predict.slurm", "the films", "package", "out", "--heatmaps", SLURM_PROCID="0", **variables
        )
        assert ran.returncode == 0, ran.stderr
        ((arguments, environ),) = calls
        assert arguments == ["predict", "the films", "--model", "package", "--out", "out", "--heatmaps"]
        found.append(str(detect_shard(environ)))
    assert found == [f"{index}/8" for index in range(8)]
    ran, calls = fake_cxr("predict.slurm", "films")
    assert (ran.returncode, calls) == (2, [])
    assert "takes FILMS PACKAGE OUT" in ran.stderr
    header = [line for line in (LAUNCH / "predict.slurm").read_text().splitlines() if line.startswith("#SBATCH")]
    assert "#SBATCH --array=0-7" in header
    assert "#SBATCH --ntasks=1" in header


def test_torchrun_script(fake_cxr):
    ran, calls = fake_cxr("predict-torchrun.sh", "films", "package", "out", "--heatmaps", PROCESSES="2")
    assert ran.returncode == 0, ran.stderr
    program = ["-m", "pipelines", "predict", "films", "--model", "package", "--out", "out", "--heatmaps"]
    assert [arguments for arguments, _ in calls] == [
        ["--standalone", "--nproc-per-node", "2", *program],
        ["predict", "merge", "out"],
    ]
    machines = {"NODES": "3", "NODE_RANK": "1", "MASTER_ADDR": "first"}
    _, calls = fake_cxr("predict-torchrun.sh", "films", "package", "out", **machines)
    ((arguments, _),) = calls
    assert arguments[: arguments.index("-m")] == [
        *("--nnodes", "3", "--node-rank", "1", "--master-addr", "first", "--master-port", "29500"),
        *("--nproc-per-node", "gpu"),
    ]
    ran, calls = fake_cxr("predict-torchrun.sh", "films", "package", "out", NODES="3")
    assert (ran.returncode != 0, calls) == (True, [])
    assert "set NODE_RANK" in ran.stderr


def test_kubernetes_jobs():
    job = yaml.safe_load((LAUNCH / "predict-job.yaml").read_text())
    merging_job = yaml.safe_load((LAUNCH / "predict-merge-job.yaml").read_text())
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    environ = {entry["name"]: entry["value"] for entry in container["env"]}
    assert (job["kind"], spec["completionMode"]) == ("Job", "Indexed")
    assert environ["CXR_SHARDS"] == str(spec["completions"])
    found = {str(detect_shard(environ | {"JOB_COMPLETION_INDEX": str(k)})) for k in range(spec["completions"])}
    assert found == {f"{k}/8" for k in range(8)}
    assert container["command"] == ["cxr", "predict"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    out = container["args"][container["args"].index("--out") + 1]
    (merger,) = merging_job["spec"]["template"]["spec"]["containers"]
    assert (merger["command"], merger["args"]) == (["cxr", "predict", "merge"], [out])
    assert merger["image"] == container["image"]
