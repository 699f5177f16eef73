import pytest

from unfooled.command import means, whole
from unfooled.errors import InvalidOption


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("", ""),
        ("study digits --tensorboard", "study digits --tensorboard="),
        ("study --tensorboard --seeds 2", "study --tensorboard= --seeds 2"),
        ("study digits --tensorboard here", "study digits --tensorboard here"),
        ("report run --mlflow --tensorboard", "report run --mlflow= --tensorboard="),
        ("report run --mlflow=http://there", "report run --mlflow=http://there"),
    ],
)
def test_a_value_may_be_left_out(typed: str, meant: str) -> None:
    assert whole(typed.split()) == meant.split()


@pytest.mark.parametrize(
    ("engine", "address", "why"),
    [
        ("local", "auto", "--address auto is of a cluster; add --engine ray"),
        ("ray", "", "--address is empty; leave it out"),
        ("ray", " ", "--address is empty; leave it out"),
    ],
)
def test_an_address_is_of_a_cluster(engine: str, address: str, why: str) -> None:
    with pytest.raises(InvalidOption, match=why):
        means("cpu", None, None, engine, address)
    assert means("cpu", None, None, "ray", "auto")["options"] == {"address": "auto"}
    assert means("cpu", None, None, "ray", None)["options"] == {}
