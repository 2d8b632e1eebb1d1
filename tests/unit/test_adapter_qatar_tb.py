"""The Qatar database: class folders, an order that does not depend on the disk, and a card that names its sources."""

from pathlib import Path

import pytest

from pipelines.datasets import get_adapter
from pipelines.errors import DatasetError


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


@pytest.mark.parametrize("place", ["", "TB_Chest_Radiography_Database"])
def test_classes_are_folders_and_numbers_are_in_their_order(tmp_path: Path, place: str) -> None:
    for name in ("Tuberculosis/Tuberculosis-10", "Tuberculosis/Tuberculosis-9", "Normal/Normal-1"):
        picture(tmp_path / place / f"{name}.png")
    picture(tmp_path / place / "Normal" / ".hidden.png")
    (tmp_path / place / "Tuberculosis.metadata.xlsx").write_bytes(b"")
    frame = get_adapter("qatar_tb").build(tmp_path)
    assert frame["image_id"].tolist() == [
        "qatar_tb/Tuberculosis/Tuberculosis-9",
        "qatar_tb/Tuberculosis/Tuberculosis-10",
        "qatar_tb/Normal/Normal-1",
    ]
    assert frame["tb"].tolist() == [1, 1, 0]
    assert frame["native_labels"].tolist() == [["Tuberculosis"], ["Tuberculosis"], ["Normal"]]


def test_errors_name_the_folder(tmp_path: Path) -> None:
    build = get_adapter("qatar_tb").build
    with pytest.raises(DatasetError, match="expected Tuberculosis in"):
        build(tmp_path)
    picture(tmp_path / "Tuberculosis" / "Tuberculosis-1.png")
    with pytest.raises(DatasetError, match="expected folder Normal in"):
        build(tmp_path)
    (tmp_path / "Normal").mkdir()
    with pytest.raises(DatasetError, match="expected pictures in"):
        build(tmp_path)


def test_the_sources_add_up_to_the_published_counts() -> None:
    """394 (58 + 336) and 306 are the 700 of tuberculosis; 406 (80 + 326) and 3,094 the 3,500 normal ones."""
    card = get_adapter("qatar_tb")
    assert card.whole is not None
    assert card.whole.films == 58 + 336 + 306 + 80 + 326 + 3_094
    for name, counts in {"montgomery": ("58", "80"), "shenzhen": ("336", "326"), "nih_cxr14": ("3,094",)}.items():
        assert all(count in card.overlaps[name] for count in counts)
    assert "Normal-1129 is 00005567_025" in card.overlaps["nih_cxr14"]
    assert {"tb_portals", "rsna_pneumonia", "tbx11k"} <= set(card.overlaps)
