"""Workers of one cluster are alike: a difference is refused with the node and both versions."""

import subprocess
import sys
from pathlib import Path

import pytest

from protocol.errors import DeviceRefused
from silos.training.ray_runtime import ray
from silos.training.worker_pool import software
from silos.training.worker_pool.software import installed, require_alike, require_same_bits

OWN = installed()


def report(**other: str) -> dict[str, str]:
    return OWN | {"node": "gpu-1"} | other


def test_equal_software_passes_and_torchs_build_may_differ_from_this_machines() -> None:
    built = OWN["torch"].partition("+")[0] + "+cu126"
    require_alike([report(), report(node="gpu-2")], OWN)
    require_alike([report(torch=built), report(torch=built, node="gpu-2")], OWN)
    with pytest.raises(DeviceRefused, match=r"node gpu-2 .* torch .*\+cpu, node gpu-1 .*\+cu126"):
        require_alike([report(torch=built), report(torch=built[:-5] + "cpu", node="gpu-2")], OWN)


@pytest.mark.parametrize("name", sorted(set(OWN) - {"node"}))
def test_a_difference_names_the_node_and_both_versions(name: str) -> None:
    reports = [report(), report(node="gpu-2") | {name: "0.0.1"}]
    with pytest.raises(DeviceRefused, match=rf"node gpu-2 of the Ray cluster has {name} 0\.0\.1, "):
        require_alike(reports, OWN)
    del reports[1][name]
    with pytest.raises(DeviceRefused, match=f"node gpu-2 of the Ray cluster has {name} "):
        require_alike(reports, OWN)


def test_a_node_without_collegium_reports_that_it_has_none(tmp_path: Path) -> None:
    """What Ray carries to it is read by a Python that finds none of our packages."""
    ray.cloudpickle.register_pickle_by_value(software)
    (tmp_path / "carried").write_bytes(ray.cloudpickle.dumps(installed))
    program = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb'))()['Collegium'])"
    paths = [path for path in sys.path if "site-packages" in path]
    alone = f"import sys; sys.path += {paths!r}; sys.meta_path = sys.meta_path[:3]; "
    done = subprocess.run(
        [sys.executable, "-S", "-c", alone + program, str(tmp_path / "carried")],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout.strip().endswith("code e3b0c44298fc1c14"), done.stderr  # of no file


def test_workers_that_compute_other_bits_are_refused() -> None:
    require_same_bits([("a", "1f"), ("b", "1f")])
    with pytest.raises(DeviceRefused, match="nodes a .layers. and b of the Ray cluster"):
        require_same_bits([("a (layers)", "1f"), ("c", "1f"), ("b", "20")])
