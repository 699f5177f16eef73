"""A Ray cluster for the tests of this folder, on this machine."""

import os
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

# Before ray is imported: what its processes inherit.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - as Ray spells it; else they starve
# The server for `ray://` forks, in which gRPC may crash on a busy machine: then it takes 40 s more.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"


def begun(**head: Any) -> Any:
    """A cluster of one node, to which others can be added."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a future version of Ray's
        from ray.cluster_utils import Cluster

    asked = {"num_cpus": 1, "include_dashboard": False, **head}
    return Cluster(initialize_head=True, head_node_args=asked)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Three nodes with a core each."""
    found = begun()
    for _ in range(2):
        found.add_node(num_cpus=1)
    yield found
    found.shutdown()


@pytest.fixture
def new_cluster() -> Iterator[Any]:
    """What begins a cluster of one node that a test may do anything to."""
    made: list[Any] = []

    def make(**head: Any) -> Any:
        made.append(begun(**head))
        return made[-1]

    yield make
    for one in made:
        one.shutdown()
