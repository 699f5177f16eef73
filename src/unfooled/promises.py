"""What every attack promises (see `attack.py`), each promise as one function that tries it.

A promise is given a `Case` and the `Trial` of the attack on the smooth specimen. It raises
`ContractBroken` where it does not hold.
"""

import copy
import math
from dataclasses import replace

import torch
from torch import nn

from unfooled import specimens
from unfooled.errors import (
    ContractBroken,
    InvalidInput,
    InvalidModel,
    InvalidOption,
    InvalidThreat,
)
from unfooled.gradients import frozen, predict
from unfooled.losses import clearly
from unfooled.randomness import Draws
from unfooled.shapes import Images, Labels, Logits, PerImage
from unfooled.specimens import Specimen
from unfooled.threat import TOLERANCE, Threat
from unfooled.trial import MEASURED, Case, Trial, size

# Float rounding differs with the size of a batch. A pixel may differ by this, or the distance by
# this share; and more for one image of ten. Misread or not must stay the same, unless an image has
# moved by no more and lies at the boundary but for rounding.
_ROUNDING, _MOST = 1e-4, 0.9
_WHITE_BOX, _BLACK_BOX = 1.1, 2.0  # times the least distance from a plane
_SURE = 0.9  # of eps: a plane this near must be crossed by an attack that follows its gradient
_MULTIPLY = ("steps", "searches", "restarts", "over_targets")  # options: gradients an image
_AIMED = 0.6  # share of the targets that is reached when eps is ample; half needs no aim


def returns_images(case: Case, main: Trial) -> None:
    """Of the shape, kind and device that came, detached, every pixel in [0, 1]; float64 too."""
    made = main.made
    wide = replace(made, model=copy.deepcopy(made.model).double(), images=made.images.double())
    for trial in (main, case.run(wide)):
        given = trial.made.images
        for call in trial.calls:
            for images in call.returned:
                _same_kind(case, call.given, images)
        low, high = float(trial.images.min()), float(trial.images.max())
        if not 0 <= low <= high <= 1:
            raise case.broken(
                "every pixel lies in [0, 1]",
                f"they reach from {low:g} to {high:g}",
                "end with threat.project(images, adversarial), which clamps",
            )
        _inside(case, trial, case.threat, given)


def _same_kind(case: Case, given: Images, found: Images) -> None:
    expected = (given.dtype, given.device, given.shape, False)
    if (found.dtype, found.device, found.shape, found.requires_grad) != expected:
        raise case.broken(
            "what comes back has the kind, device and shape of the images, without a gradient",
            f"{given.dtype} {list(given.shape)} became {found.dtype} {list(found.shape)} on "
            f"{found.device}" + (" with a gradient" if found.requires_grad else ""),
            "make new tensors like the images: torch.zeros_like(images), images.new_zeros(...)",
        )


def _inside(case: Case, trial: Trial, threat: Threat, images: Images) -> None:
    if case.norm in MEASURED:
        far = size(case.norm, images, trial.images) > threat.eps + TOLERANCE
    else:
        far = ~threat.allows(images, trial.images)
    if far.any():
        worst = float(size(case.norm, images, trial.images).max())
        raise case.broken(
            f"no image lies farther than eps = {threat.eps:g} from where it was",
            f"{int(far.sum())} of {len(far)} do, the farthest {worst:.7g} away in float64",
            "end with threat.project(images, adversarial)",
        )


def keeps_what_it_saw(case: Case, main: Trial) -> None:
    """A nearest attack returns misread images or those that came; no attack loses a success."""
    done = case.wants(main.made, main.images)
    moved = (main.images != main.made.images).flatten(1).any(1)
    if not case.bounded and (moved & ~done).any():
        raise case.broken(
            "a nearest attack returns a misread image, or the one that came",
            f"{int((moved & ~done).sum())} of {len(moved)} images were moved and are still read "
            "correctly",
            "keep the nearest image that the model was seen to misread",
        )
    lost = sum(int((call.passes.until >= 0).sum()) for call in main.calls)
    lost -= int((done & (main.passes.until > 0)).sum())
    if lost > 0:
        raise case.broken(
            "an image that was seen fooled comes back fooled",
            f"{lost} were seen fooled on the way and came back otherwise",
            "write an image into the result as soon as it is fooled, and leave it there",
        )


def touches_nothing(case: Case, main: Trial) -> None:
    """Same draws, same images, also under torch.no_grad(); everything is left as it was."""
    made = main.made
    before = torch.get_rng_state()
    with torch.no_grad():
        again = case.run(made)
        switched = torch.is_grad_enabled()
    if switched or not torch.is_grad_enabled():
        raise case.broken(
            "gradients stay switched on or off, as they were",
            "the attack left them switched otherwise",
            "use `with torch.enable_grad():`, never torch.set_grad_enabled(...)",
        )
    fresh, now = _state(specimens.smooth()), _state(made)
    touched = [name for name, value in fresh.items() if not _alike(value, now[name])]
    touched += ["torch's global random state"] * (not torch.equal(before, torch.get_rng_state()))
    intact = all(call.intact for call in (*main.calls, *again.calls))
    touched += ["the images that it was given"] * (not intact)
    if touched:
        raise case.broken(
            "everything that is handed in stays as it was",
            f"it changed {', '.join(touched)}",
            "work on clones, and ask the model through Batch alone",
        )
    if not torch.equal(again.images, main.images):
        differ = int((again.images != main.images).flatten(1).any(1).sum())
        raise case.broken(
            "the same draws give the same images, under torch.no_grad() too",
            f"a second call, under no_grad, gave {differ} of {len(made.images)} other images",
            "take every random number from `draws`",
        )


def _state(made: Specimen) -> dict[str, object]:
    """All of a specimen that an attack could change, by the words for it."""
    model = made.model
    return {
        "the images": made.images,
        "the labels": made.labels,
        "the targets": made.targets,
        "requires_grad of the images": made.images.requires_grad,
        **{f"the model's {name}": tensor for name, tensor in model.state_dict().items()},
        **{f".grad of the model's {name}": p.grad for name, p in model.named_parameters()},
        **{
            f"requires_grad of the model's {name}": parameter.requires_grad
            for name, parameter in model.named_parameters()
        },
        "the model's train mode": [module.training for module in model.modules()],
    }


def _alike(one: object, two: object) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(two, torch.Tensor):
        return torch.equal(one, two)
    return type(one) is type(two) and one == two


def knows_each_image_alone(case: Case, main: Trial) -> None:
    """Neither the batch, the order nor the split matters; a batch may hold one image."""
    made, n = main.made, len(main.images)
    order = torch.arange(n).roll(4).flip(0)
    parts = order.split([1, 4, n - 5])
    found = torch.cat([case.run(made.keep(part)).images for part in parts])
    whole, images = main.images[order], made.images[order]
    turned = made.keep(order)
    if case.attack.knows == "nothing" and not torch.equal(whole, found):
        raise _batch_matters(case, int((whole != found).flatten(1).any(1).sum()), n)
    alike = (whole - found).abs().flatten(1).amax(1) <= _ROUNDING
    if not case.bounded:
        far, near = (size(case.norm, images, batch) for batch in (whole, found))
        alike |= (far - near).abs() <= _ROUNDING * torch.maximum(far, near)
    decided = case.wants(turned, whole) != case.wants(turned, found)
    # Two images at the boundary, alike but for rounding, may be read one so, one so.
    reads = (predict(turned.model, batch) for batch in (whole, found))
    decided &= ~alike | torch.stack([clearly(logits) for logits in reads]).all(0)
    if decided.any():
        raise _batch_matters(case, int(decided.sum()), n)
    if alike.double().mean() < _MOST:
        raise _batch_matters(case, int((~alike).sum()), n)


def _batch_matters(case: Case, count: int, n: int) -> ContractBroken:
    return case.broken(
        "what happens to an image does not depend on the images beside it",
        f"{count} of {n} came back otherwise, by more than float rounding, when the images came "
        "in another order and in batches of 1, 4 and 7",
        "reduce over each image's own pixels only, and take chance from `draws`, whose numbers "
        "belong to an image's id",
    )


def leaves_what_is_misread(case: Case, main: Trial) -> None:
    """Images that need no attack come back as they were, without a pass; none is no batch."""
    done = case.wants(main.made, main.made.images)
    moved = (main.images != main.made.images).flatten(1).any(1)
    asked = main.passes.forward + main.passes.backward > 0
    if (done & (moved | asked)).any():
        raise case.broken(
            "an image that is misread from the start comes back as it was, without a pass",
            f"{int((done & moved).sum())} of {int(done.sum())} were moved, "
            f"{int((done & asked).sum())} were asked about",
            "attack only the images that it is given",
        )
    _refused(case, main.made.keep(torch.arange(0)), case.threat, InvalidInput, "an empty batch")
    if case.targeted:
        own = replace(main.made, targets=main.made.labels)
        _refused(case, own, case.threat, InvalidInput, "a target that is the label")


def _refused(
    case: Case, made: Specimen, threat: Threat, expected: type[Exception], what: str
) -> None:
    try:
        case.attempt(made, threat)
    except expected:
        return
    except Exception as error:
        came = f"it raised {type(error).__name__}: {error}"
    else:
        came = "images came back"
    raise case.broken(f"{what} is refused with {expected.__name__}", came, "let that error through")


def takes_any_eps(case: Case, main: Trial) -> None:
    """Eps 0 moves nothing, a sweep stays inside each eps; a bounded attack refuses infinity."""
    made = main.made
    sweep = case.run(made, *(case.wide(times) for times in (0.0, 0.5, 1.0, 2.0)))
    for threat, result in zip(sweep.threats, sweep.results, strict=True):
        _inside(case, replace(sweep, results=[result]), threat, made.images)
    if not case.bounded:
        _sieved(case, main, sweep)
        return
    _refused(case, made, Threat(case.norm, math.inf), InvalidThreat, "an infinite eps")
    draws = Draws(0, "contract", made.ids)
    with frozen(made.model):
        alone = case.attack.function(
            made.model,
            made.images,
            made.labels,
            Threat(case.norm, 0.0),
            draws=draws,
            targets=case.aim(made),
            **case.attack.options,
        )
    if not torch.equal(alone, made.images):
        raise case.broken(
            "at eps = 0 the images stay as they are",
            f"{int((alone != made.images).flatten(1).any(1).sum())} of {len(alone)} were moved",
            "end with threat.project(images, adversarial)",
        )


def _sieved(case: Case, main: Trial, sweep: Trial) -> None:
    """Whether what was found without a bound and lies within the last eps was found there too."""
    free = size(case.norm, main.made.images, main.images)
    due = (free > 0) & (free <= sweep.threats[-1].eps / _most(case))
    lost = due & (sweep.images == main.made.images).flatten(1).all(1)
    if lost.double().mean() > 1 - _MOST:
        raise case.broken(
            "a nearest attack finds with an eps what it finds without a bound",
            f"{int(lost.sum())} of {int(due.sum())} images came back as they were although a "
            "misread image within eps is known",
            "take eps as a hint where to look first, not as a wall",
        )


def _most(case: Case) -> float:
    return _WHITE_BOX if case.attack.knows == "gradients" else _BLACK_BOX


def knows_no_more_than_it_says(case: Case, main: Trial) -> None:
    """A black box needs no gradient, and "decisions" nothing but the class."""
    if case.attack.knows == "gradients":
        return
    reduced = specimens.sealed if case.attack.knows == "scores" else specimens.mute
    if not torch.equal(case.run(reduced(main.made)).images, main.images):
        raise case.broken(
            f"it knows {case.attack.knows} and no more",
            "other images came back from a model that shows no more than that",
            'declare what it knows: KNOWS = "gradients", "scores", "decisions" or "nothing"',
        )


def stands_odd_models(case: Case, main: Trial) -> None:  # noqa: ARG001 - as every promise
    """NaN gradients are an error; flat models cannot be fooled; jumps do no harm."""
    if case.attack.knows == "gradients":
        _refused(case, specimens.steep(), case.threat, InvalidModel, "a gradient that is NaN")
    flat = case.run(specimens.flat())
    if case.wants(flat.made, flat.images).any() or (flat.passes.until >= 0).any():
        raise case.broken(
            "a model that answers always alike is never fooled",
            "an image counts as fooled",
            "call an image fooled only where the model was seen to misread it",
        )
    stairs = case.run(specimens.stairs())
    for trial in (flat, stairs):
        _inside(case, trial, case.threat, trial.made.images)
        keeps_what_it_saw(case, trial)


def counts_its_passes(case: Case, main: Trial) -> None:
    """Success comes within the passes made, and no budget is exceeded."""
    done, passes = case.wants(main.made, main.images), main.passes
    if not torch.equal(passes.until >= 0, done) or (passes.until > passes.forward).any():
        raise case.broken(
            "the passes until success are counted for the images that are fooled",
            f"{int(done.sum())} images are fooled, {int((passes.until >= 0).sum())} are said to be",
            "ask the model through Batch, whose rows say which image is asked about",
        )
    options = case.attack.all_options
    if "queries" in options:
        _within(case, "queries", int(options["queries"]), main.passes.forward)
        for few in (1, 7):
            _few_queries(case, main.made, few)
    if "steps" in options and case.attack.knows == "gradients":
        times = (int(options.get(name) or 1) for name in _MULTIPLY)
        _within(case, "steps", math.prod(times), _followed(case, main))


def _followed(case: Case, main: Trial) -> Labels:
    """How often the model was asked for gradients by an image that stood longest, as `[1]`.

    Those of all classes at once, as `Batch.jacobian` takes them, are one.
    """
    seen = []

    def noted(images: Images, logits: Logits) -> Logits:
        seen.append(images.requires_grad)
        return logits

    longest = main.passes.backward.argmax().view(1)
    made = specimens.changed(main.made, noted).keep(longest)
    case.run(made)
    asked = sum(seen)
    # Less what is asked before every attack, to find the quickest way through a model.
    seen.clear()
    idle = replace(case.attack, function=_idle, sweeper=None, options={})
    replace(case, attack=idle).run(made)
    return torch.tensor([asked - sum(seen)])


def _idle(
    model: nn.Module,  # noqa: ARG001 - as all attacks
    images: Images,
    labels: Labels,  # noqa: ARG001
    threat: Threat,  # noqa: ARG001
    *,
    draws: Draws,  # noqa: ARG001
    targets: Labels | None = None,  # noqa: ARG001
) -> Images:
    """An attack that asks nothing."""
    return images.clone()


def _few_queries(case: Case, made: Specimen, few: int) -> None:
    try:
        trial = case.attempt(made, queries=few)
    except InvalidOption:
        return  # too few for this attack, and it says so
    _within(case, "queries", few, trial.passes.forward)


def _within(case: Case, option: str, budget: int, passes: Labels) -> None:
    if (passes > budget).any():
        kind = "forward passes" if option == "queries" else "gradients"
        raise case.broken(
            f"{option} is the most that an image is asked for: {budget} {kind}",
            f"an image took {int(passes.max())}",
            "count before asking, the first look at the images included",
        )


def follows_its_targets(case: Case, main: Trial) -> None:
    """With other targets other images come, and with ample room most are read as their targets."""
    if not case.targeted or case.attack.knows == "nothing":
        return
    logits = predict(main.made.model, main.made.images)
    labels, classes = logits.argmax(1), logits.shape[1]
    threat = case.wide(4.0) if case.bounded else case.threat
    trials = [
        case.run(replace(main.made, labels=labels, targets=(labels + shift) % classes), threat)
        for shift in (1, 2)
    ]
    reads = [predict(main.made.model, trial.images).softmax(1) for trial in trials]
    gains = [
        (reads[i] - reads[1 - i]).gather(1, trials[i].made.targets[:, None]).mean() for i in (0, 1)
    ]
    reached = torch.cat([case.wants(trial.made, trial.images) for trial in trials]).double().mean()
    # A step of few pixels, as under L1 and L0, may be at the end of their range before that.
    able = case.attack.knows == "gradients" and case.norm in ("Linf", "L2")
    if sum(gains) <= 0 or (able and reached < _AIMED):
        raise case.broken(
            "with targets the images are moved towards being read as those",
            f"{float(reached):.0%} of them were reached although there was room",
            "hand batch.targets on to the loss: Batch.gradient(images, loss) does so by itself",
        )


def crosses_a_plane(case: Case, main: Trial) -> None:  # noqa: ARG001 - as every promise
    """Against two classes divided by a plane the answer is known on paper."""
    if case.norm not in MEASURED:
        return
    made = specimens.plane(case.norm)
    needed = made.needed.double()
    if not case.bounded:
        _near(case, case.run(made), needed)
        return
    threat = Threat(case.norm, float(needed.median()))
    trial = case.run(made, threat)
    falls = case.wants(made, trial.images)
    sure = needed < _SURE * threat.eps
    if (falls & (needed > threat.eps * (1 + _ROUNDING))).any():
        raise case.broken(
            "nothing is fooled that is out of reach",
            "an image fell whose nearest misread neighbour lies outside eps",
            "end with threat.project(images, adversarial)",
        )
    if case.attack.knows == "gradients" and not falls[sure].all():
        raise case.broken(
            "two classes divided by a plane are told apart no longer by an attack with gradients",
            f"{int((~falls[sure]).sum())} of {int(sure.sum())} images stood although the plane "
            f"lies nearer than {_SURE} * eps",
            "check the sign of the loss, the size of the steps and their number",
        )


def _near(case: Case, trial: Trial, needed: PerImage) -> None:
    far = size(case.norm, trial.made.images, trial.images)
    missed = ~case.wants(trial.made, trial.images) | (far > _most(case) * needed)
    if missed.any():
        raise case.broken(
            f"a plane is crossed at no more than {_most(case)} times its distance",
            f"{int(missed.sum())} of {len(missed)} images were not, the worst at "
            f"{float((far / needed).max()):.3g} times",
            "give it more steps or queries, or end with a search along the way back",
        )


PROMISES = (
    touches_nothing,
    returns_images,
    keeps_what_it_saw,
    leaves_what_is_misread,
    knows_each_image_alone,
    takes_any_eps,
    knows_no_more_than_it_says,
    stands_odd_models,
    counts_its_passes,
    follows_its_targets,
    crosses_a_plane,
)
