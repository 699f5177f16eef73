import pytest

from unfooled.command import whole


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
