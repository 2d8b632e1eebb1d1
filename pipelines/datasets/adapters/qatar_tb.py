"""The tuberculosis database put together at Qatar University: pictures from several sources in class folders."""

from pathlib import Path
from typing import Final

import pandas as pd

from pipelines.datasets.adapter import Adapter, Options, Whole
from pipelines.datasets.native import find_base, image_files
from pipelines.errors import DatasetError

NAME: Final = "qatar_tb"
CLASSES: Final = {"Tuberculosis": 1.0, "Normal": 0.0}


def _rows(root: Path, _options: Options) -> pd.DataFrame:
    base = find_base(root, "Tuberculosis", ("TB_Chest_Radiography_Database",), NAME)
    rows = []
    for folder, tb in CLASSES.items():
        if not (base / folder).is_dir():
            raise DatasetError(f"{NAME}: expected folder {folder} in {base}, found none")
        names = sorted(image_files(base / folder), key=_natural)
        if not names:
            raise DatasetError(f"{NAME}: expected pictures in {base / folder}, found none")
        for name in names:
            rows.append(
                {
                    "image_id": f"{NAME}/{folder}/{Path(name).with_suffix('').as_posix()}",
                    "path": (base / folder / name).relative_to(root).as_posix(),
                    "dataset": NAME,
                    "tb": tb,
                    "native_labels": [folder],
                }
            )
    return pd.DataFrame(rows)


def _natural(name: str) -> tuple[int, str]:
    """Tuberculosis-2 before Tuberculosis-10."""
    return len(name), name


QATAR_TB: Final = Adapter(
    name=NAME,
    title="Tuberculosis (TB) Chest X-ray Database, Qatar University and University of Dhaka",
    citation=(
        "Rahman T, Khandakar A, Kadir MA, et al. Reliable tuberculosis detection using chest X-ray with deep learning, "
        "segmentation and visualization. IEEE Access 2020;8:191586-191601."
    ),
    licence="no single licence: pictures keep the terms of their sources; published for research with the citation",
    films_may_be_shown=False,
    films_may_be_shown_why="The pictures come from several sources, each with terms of its own.",
    how_to_get="https://www.kaggle.com/datasets/tawsifurrahman/tuberculosis-tb-chest-xray-dataset",
    size="700 tuberculosis and 3,500 normal pictures in the public part; 2,800 more of tuberculosis only from NIAID",
    label_origin=(
        "the class of each source database; how each source knew is not told picture by picture: "
        "reference_standard is null"
    ),
    label_mapping={
        "Tuberculosis": "tb = 1",
        "Normal": "tb = 0",
        "(nodule)": "nodule is null everywhere: nobody looked for nodules, also not on the normal films",
    },
    known_defects=(
        "the label is confounded with the source: tuberculosis pictures are tinted, cropped or redacted, the "
        "normal ones come from "
        "elsewhere; a 16 x 16 thumbnail with five intensity statistics and a logistic regression nearly separates "
        "them. "
        "A high AUROC within this set proves nothing: compare it with the shape-free control, and test on another set",
        "no patient ids: several pictures may show one patient, patient_id is null",
        "three pairs of tuberculosis pictures are equal files in one digested copy (243 and 244, 346 and 348, 509 and "
        "510); others are near twins (467, 468 and 470; 579 and 582)",
        "copies exist at 512 x 512 and 256 x 256",
        "pictures were resized and re-encoded as 8-bit RGB",
    ),
    verified=True,
    verified_note="494 tuberculosis and 500 normal pictures of the public part, in their native folders",
    access="registration",
    unknown="nodule on every film: nobody looked for nodules, also not on the films called normal",
    rows=_rows,
    overlaps={
        "montgomery": "58 tuberculosis and 80 normal pictures are its films, reduced and re-encoded",
        "shenzhen": "336 tuberculosis and 326 normal pictures are its films, reduced and re-encoded",
        "nih_cxr14": "3,094 normal pictures come through the RSNA challenge from it: Normal-1129 is 00005567_025",
        "rsna_pneumonia": "3,094 normal pictures are said to be films of this challenge",
        "tb_portals": "306 tuberculosis pictures come from the Belarus portal, whose cases went into TB Portals",
        "tbx11k": "through Montgomery and Shenzhen, whose films are in its imgs/extra",
    },
    unverified=(
        "which picture comes from which source: counts are the authors' (394 and 406 from NLM, 306 from Belarus, 3,094 "
        "from RSNA), and no table of the pictures was seen",
        "the licence of each source as it applies to these copies",
    ),
    steps=(
        "sign in at https://www.kaggle.com and open the data set tawsifurrahman/tuberculosis-tb-chest-xray-dataset",
        "download archive.zip and unpack it: TB_Chest_Radiography_Database/Normal and /Tuberculosis",
        "cxr manifest build qatar_tb FOLDER --out qatar.parquet --hashes",
    ),
    whole=Whole(films=4_200),
)

ADAPTERS: Final = (QATAR_TB,)
