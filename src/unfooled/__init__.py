"""Do transformations of the training data make an image classifier harder to fool?

The public names below are imported when they are first used: torch takes seconds.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from unfooled.columns import facts
    from unfooled.conducting import conduct
    from unfooled.dataset import Dataset, Split
    from unfooled.evaluating import evaluate
    from unfooled.evaluation import Evaluation
    from unfooled.publishing import publish
    from unfooled.randomness import Draws
    from unfooled.recipe import Plan, Recipe
    from unfooled.report import Report
    from unfooled.statistics import Difference, Estimate, difference, share
    from unfooled.study import Study, Sweep
    from unfooled.threat import Threat
    from unfooled.training import Trained, train

_HOMES = {
    "Dataset": "dataset",
    "Difference": "statistics",
    "Draws": "randomness",
    "Estimate": "statistics",
    "Evaluation": "evaluation",
    "Plan": "recipe",
    "Recipe": "recipe",
    "Report": "report",
    "Split": "dataset",
    "Study": "study",
    "Sweep": "study",
    "Threat": "threat",
    "Trained": "training",
    "conduct": "conducting",
    "difference": "statistics",
    "evaluate": "evaluating",
    "facts": "columns",
    "publish": "publishing",
    "share": "statistics",
    "train": "training",
}
__all__ = [
    "Dataset",
    "Difference",
    "Draws",
    "Estimate",
    "Evaluation",
    "Plan",
    "Recipe",
    "Report",
    "Split",
    "Study",
    "Sweep",
    "Threat",
    "Trained",
    "conduct",
    "difference",
    "evaluate",
    "facts",
    "publish",
    "share",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"unfooled has no {name!r}")
    return getattr(importlib.import_module(f"unfooled.{_HOMES[name]}"), name)
