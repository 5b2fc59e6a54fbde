"""Every file of real scanners in ../shared/data/imaging is read, or refused with its reason."""

from pathlib import Path
from typing import NamedTuple

import nibabel
import numpy as np
import pytest

from pipelines.sources.images.scans.dicom.header import is_dicom
from pipelines.sources.images.scans.formats import beginning, open_scan
from pipelines.sources.images.scans.scan import ScanFault
from protocol.study.cohort.cohort import Image

ROOT = Path(__file__).parents[7] / "shared" / "data" / "imaging"

pytestmark = [
    pytest.mark.shared_data,
    pytest.mark.skipif(not ROOT.is_dir(), reason="needs ../shared/data/imaging"),
]


class Read(NamedTuple):
    """An image that is read: its axes as stored, its sides as R, A, S or as rows and columns."""

    kind: str
    orientation: str | None
    sides: tuple[int, ...]
    spacing: tuple[float, ...] | None
    needs: str = ""  # keys of the study without which it is refused


_DOSE = "it is a treatment plan, its structures or its dose, not an image"
_SCALED = "it is a Siemens mosaic whose 48 slices do not fill its plane"
_TEXT = "it is no image that is read here"
_MR = ("MR", "LPS", (64, 64, 1), (0.3125, 0.3125, 0.8))
_GE = "dcm_qa_nih/In/20180918GE/mr_0004"
_SIEMENS = "dcm_qa_nih/In/20180918Si"
_EPI = Read("NIfTI", "LAS", (72, 72, 5), (3, 3, 12), "volume")

#: Every file, and what becomes of it.
EXPECTED: dict[str, Read | str] = {
    **{
        f"{_GE}/axial_epi_fmri_interleaved_i_to_s-{number:05d}.dcm": Read(
            "MR", "LPS", (64, 64, 1), (3.75, 3.75, 5)
        )
        for number in range(1, 31)
    },
    f"{_GE}/README-Series.txt": _TEXT,
    "dcm_qa_nih/In/20180918GE/README-Study.txt": _TEXT,
    "dcm_qa_nih/In/20180918Si/README-Study.txt": _TEXT,
    **{
        f"{_SIEMENS}/{folder}/{name}-0000{number}.dcm": Read("MR", "LPS", (72, 72, 5), (3, 3, 12))
        for folder, name in (
            ("mr_0003", "epi_pe_ap"),
            ("mr_0004", "epi_pe_pa"),
            ("mr_0005", "epi_pe_rl"),
            ("mr_0006", "epi_pe_lr"),
        )
        for number in (1, 2)
    },
    **{f"{_SIEMENS}/mr_000{number}/README-Series.txt": _TEXT for number in (3, 4, 5, 6)},
    "dcm_qa_nih/LICENSE": _TEXT,
    "dcm_qa_nih/Ref/DCM2NIIX_regression_test_4.nii": Read(
        "NIfTI", "LAS", (64, 64, 15), (3.75, 3.75, 5), "volume"
    ),
    "dcm_qa_nih/Ref/DCM2NIIX_regression_test_4.json": _TEXT,
    **{f"dcm_qa_nih/Ref/EPI_PE={name}.nii": _EPI for name in ("AP_3", "LR_6", "PA_4", "RL_5")},
    **{f"dcm_qa_nih/Ref/EPI_PE={name}.json": _TEXT for name in ("AP_3", "LR_6", "PA_4", "RL_5")},
    "nibabel/0.dcm": _SCALED,
    "nibabel/1.dcm": _SCALED,
    "nibabel/anatomical.nii": Read("NIfTI", "LAS", (33, 41, 25), (2, 2, 2)),
    "nibabel/example4d.nii.gz": Read("NIfTI", "LAS", (128, 96, 24), (2, 2, 2.2), "volume"),
    "nibabel/functional.nii": Read("NIfTI", "LAS", (17, 21, 3), (4, 4, 8), "volume"),
    "nibabel/reoriented_anat_moved.nii": Read("NIfTI", "RAS", (21, 26, 22), (4, 4, 4)),
    "nibabel/someones_anatomy.nii.gz": Read("NIfTI", "RAS", (57, 67, 56), (2.75, 2.75, 2.75)),
    "nibabel/someones_epi.nii.gz": Read("NIfTI", "RAS", (53, 61, 33), (3, 3, 3)),
    "niivue/CT_AVM.nii.gz": Read("NIfTI", "RAS", (256, 242, 154), (0.72, 0.721, 1)),
    "niivue/CT_pitch.nii.gz": Read("NIfTI", "RAS", (175, 248, 58), (0.8125, 0.8125, 2.397)),
    "niivue/LICENSE": _TEXT,
    "niivue/MR_Gd.nii.gz": Read("NIfTI", "RAS", (176, 188, 144), (0.9766, 0.9766, 1.0026)),
    "niivue/UPSTREAM_README.md": _TEXT,
    "pydicom/CT_small.dcm": Read("CT", "LPS", (128, 128, 1), (0.661468, 0.661468, 5)),
    "pydicom/JPEG-lossy.dcm": "its pixels of 12 bits are packed by JPEG Extended",
    "pydicom/JPEG2000.dcm": Read("NM", None, (256, 1024, 1), None),
    "pydicom/MR_small.dcm": Read(*_MR),
    "pydicom/MR_small_RLE.dcm": Read(*_MR),
    "pydicom/MR_small_expb.dcm": Read(*_MR),
    "pydicom/MR_small_implicit.dcm": Read(*_MR),
    "pydicom/MR_small_jp2klossless.dcm": Read(*_MR),
    "pydicom/MR_truncated.dcm": "the file is damaged or cut short",
    "pydicom/badVR.dcm": _DOSE,
    "pydicom/examples_overlay.dcm": Read("MR", "LPS", (484, 300, 1), (0.72314, 0.72314, 4)),
    "pydicom/examples_palette.dcm": Read("US", None, (800, 350, 1), None, "colour"),
    "pydicom/examples_rgb_color.dcm": Read("US", None, (320, 240, 1), None, "colour"),
    "pydicom/examples_ybr_color.dcm": Read("US", None, (320, 240, 1), None, "colour and volume"),
    "pydicom/liver_1frame.dcm": "its header describes another number of frames than it holds",
    "pydicom/no_meta.dcm": _TEXT,
    "pydicom/rtdose.dcm": _DOSE,
    "pydicom/waveform_ecg.dcm": "it is a waveform, as an ECG, not an image",
    "SOURCE.md": _TEXT,
}

ANY = Image(shape=(8, 8, 8), range=(0, 1), centre=0, scale=1)
#: With every key that lets more files in.
MORE = ANY.model_copy(update={"volume": 0, "colour": "grey"})


def test_the_table_names_every_file() -> None:
    found = {str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if path.is_file()}
    assert found == EXPECTED.keys()


@pytest.mark.parametrize("name", EXPECTED)
def test_a_file_is_read_or_refused_with_its_reason(name: str) -> None:
    expected, path = EXPECTED[name], ROOT / name
    if isinstance(expected, str):
        for image in (ANY, MORE):
            with pytest.raises(ScanFault) as told:
                open_scan(path, image).pixels()
            assert told.value.what.startswith(expected)
        return
    if expected.needs:
        with pytest.raises(ScanFault, match=expected.needs.split()[0][:6]):
            open_scan(path, ANY).pixels()
    scan = open_scan(path, MORE if expected.needs else ANY)
    pixels = scan.pixels()
    assert (scan.kind, scan.orientation, scan.sides) == expected[:3]
    assert pixels.shape == scan.sides and np.isfinite(pixels).all() and pixels.std() > 0
    if expected.spacing is None:
        assert scan.spacing is None
        return
    assert scan.spacing == pytest.approx(expected.spacing, abs=1e-3)
    if not is_dicom(beginning(path)):
        reference = nibabel.as_closest_canonical(nibabel.load(path))
        voxels = np.asanyarray(reference.dataobj)
        assert np.array_equal(voxels[..., 0] if voxels.ndim == 4 else voxels, pixels)
        assert np.allclose(reference.affine, scan.affine)


@pytest.mark.parametrize("volume", [0, 1])
def test_a_ge_series_has_the_voxels_and_the_place_that_dcm2niix_gives_it(volume: int) -> None:
    scan = open_scan(ROOT / _GE, ANY.model_copy(update={"volume": volume}))
    reference = nibabel.as_closest_canonical(
        nibabel.load(ROOT / "dcm_qa_nih/Ref/DCM2NIIX_regression_test_4.nii")
    )
    assert np.array_equal(np.asanyarray(reference.dataobj)[..., volume], scan.pixels())
    assert np.allclose(reference.affine, scan.affine, atol=1e-4)


@pytest.mark.parametrize("volume", [0, 1])
@pytest.mark.parametrize(
    ("folder", "name"),
    [("mr_0003", "AP_3"), ("mr_0004", "PA_4"), ("mr_0005", "RL_5"), ("mr_0006", "LR_6")],
)
def test_siemens_mosaics_have_the_voxels_and_the_place_that_dcm2niix_gives_them(
    folder: str, name: str, volume: int
) -> None:
    scan = open_scan(ROOT / _SIEMENS / folder, ANY.model_copy(update={"volume": volume}))
    reference = nibabel.as_closest_canonical(
        nibabel.load(ROOT / f"dcm_qa_nih/Ref/EPI_PE={name}.nii")
    )
    assert np.array_equal(np.asanyarray(reference.dataobj)[..., volume], scan.pixels())
    assert np.allclose(reference.affine, scan.affine, atol=1e-4)


def test_all_encodings_of_one_mr_slice_have_the_same_pixels() -> None:
    names = ("MR_small", "MR_small_RLE", "MR_small_expb", "MR_small_implicit")
    several = [open_scan(ROOT / f"pydicom/{name}.dcm", ANY).pixels() for name in names]
    several.append(open_scan(ROOT / "pydicom/MR_small_jp2klossless.dcm", ANY).pixels())
    assert all(np.array_equal(several[0], other) for other in several)


def test_words_that_may_stand_in_pixels_are_found_by_class() -> None:
    found = {
        name
        for name, expected in EXPECTED.items()
        if isinstance(expected, Read) and open_scan(ROOT / name, MORE).burned_in
    }
    assert found == {
        f"pydicom/{name}.dcm"
        for name in ("JPEG2000", "examples_palette", "examples_rgb_color", "examples_ybr_color")
    }
