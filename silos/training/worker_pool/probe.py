"""Whether a Ray cluster answers to a token, asked by a process that waits for seconds only.

``python -m silos.training.worker_pool.probe ADDRESS`` prints what it found as JSON. Ray takes
its patience and its token when it starts, and a hospital's own Ray is given ten minutes of it on a
busy machine: so a cluster that does not answer is found out by a process of its own.
"""

import json
import sys
from typing import Any


def main() -> None:
    """Asks the head with the token that ``RAY_AUTH_TOKEN_PATH`` names, and prints its answer."""
    print(json.dumps(_asked(sys.argv[1])))


def _asked(address: str) -> dict[str, Any]:
    from ray._common.usage.usage_lib import get_cluster_metadata
    from ray._private.state import GlobalState
    from ray._raylet import GcsClient, GcsClientOptions  # type: ignore[attr-defined]
    from ray.exceptions import AuthenticationError, RayError

    try:
        known = get_cluster_metadata(GcsClient(address=address)) or {}
        state = GlobalState()  # type: ignore[no-untyped-call]
        state._initialize_global_state(
            GcsClientOptions.create(
                address, None, allow_cluster_id_nil=True, fetch_cluster_id_if_nil=False
            )
        )
        table = state.node_table()  # type: ignore[no-untyped-call]
        nodes = [node["Resources"] for node in table if node["Alive"]]
    except AuthenticationError:
        return {"state": "token"}
    except (RayError, OSError, RuntimeError):
        return {"state": "silent"}
    versions = {name: str(known.get(f"{name}_version", "")) for name in ("ray", "python")}
    return {"state": "open", "nodes": nodes, **versions}


if __name__ == "__main__":
    main()
