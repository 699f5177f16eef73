"""How a study was made, as tables: what another needs to do it again."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from unfooled import attack, defence
from unfooled.grid import Table
from unfooled.model import Layer
from unfooled.recipe import Recipe
from unfooled.report import Report
from unfooled.study import Certificates


def recipes(report: Report) -> Table:
    """How each recipe trains."""
    rows = [(recipe.title, *_told(recipe)) for recipe in report.study.recipes]
    return Table(
        "Recipes", ("recipe", "transformations", "training loss", "plan", "role"), tuple(rows)
    )


def networks(report: Report) -> Table:
    """Where each network that was there already came from."""
    rows = []
    for recipe in report.results.recipes:
        about = report.networks[recipe.name]
        digest, notes = about["sha256"] or "-", " ".join(about["notes"]) or "-"
        rows.append((recipe.title, about["which"], f"{about['parameters']:,}", digest, notes))
    return Table(
        "Networks",
        ("network", "loaded by", "parameters", "SHA-256 of its file", "notes"),
        tuple(rows),
    )


def attacks(report: Report) -> Table:
    """What was measured, on how many images, and who knows what."""
    rows = []
    for sweep in report.study.sweeps:
        found = attack.find(sweep.attack, **sweep.options)
        images = "all" if sweep.images is None else f"{sweep.images:,}"
        eps = ", ".join(f"{eps:g}" for eps in sweep.eps)
        rows.append(
            (
                found.title,
                f"{sweep.norm}: {eps}",
                images,
                _options(found.all_options) or "-",
                found.knows,
            )
        )
    if report.study.corruptions is not None:
        asked = report.study.corruptions
        images = "all" if asked.images is None else f"{asked.images:,}"
        severities = ", ".join(map(str, asked.severities))
        rows.append(("Common corruptions", f"severity {severities}", images, "-", "nothing"))
    if report.study.certificates is not None:
        shown = report.study.certificates
        images = "all" if shown.images is None else f"{shown.images:,}"
        eps = ", ".join(f"{eps:g}" for eps in shown.eps)
        rows.append(("Certificates", f"{shown.norm}: {eps}", images, _ladder(shown), "everything"))
    return Table(
        "Attacks",
        ("attack", "norm and eps", f"{report.study.split} images", "options", "knows"),
        tuple(rows),
    )


def machine(report: Report) -> Table:
    """Versions, data and device."""
    environment = report.environment
    data = environment["data"]
    packages = ", ".join(f"{name} {version}" for name, version in environment["packages"].items())
    train, validation, test = data["images"]
    at_once = [
        one.title for one in report.study.recipes if one.name in environment.get("together", ())
    ]
    command = (
        f"unfooled study study.toml --dataset {report.study.dataset} --seeds "
        f"{report.study.seeds}{' --together' if at_once else ''} "
        "(study.toml lies in the run's folder)"
    )
    rows = (
        ("command", environment.get("command") or command),
        ("seeds", ", ".join(map(str, range(report.study.seeds)))),
        *([("seeds trained at once", ", ".join(at_once))] if at_once else []),
        (
            "data",
            f"{data['name']}: {train:,} training, {validation:,} validation, {test:,} test images",
        ),
        ("SHA-256 of the data", data["sha256"]),
        ("unfooled", environment["unfooled"]),
        ("Python", f"{environment['python']} on {environment['machine']}"),
        ("packages", packages),
        ("device", environment["device"]),
        ("workers", _workers(environment)),
        ("work", f"{report.seconds:,.0f} seconds, summed over the workers"),
    )
    return Table("Versions and data", ("what", "value"), rows)


def _workers(environment: Mapping[str, Any]) -> str:
    """What did the jobs, and how many at once."""
    count, by = environment["workers"], environment.get("engine", "local")
    return f"{'as many as had room' if count is None else count}, by {by}"


def layers(layers: Sequence[Layer]) -> Table:
    """The network, layer by layer."""
    return Table("Layers", *layer_cells(layers))


def layer_cells(layers: Sequence[Layer]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Head and rows of a table that explains a network layer by layer."""
    rows = [
        (
            layer.kind,
            " x ".join(map(str, layer.output)),
            layer.kernel or "-",
            f"{layer.field} x {layer.field}" if layer.field else "whole image",
            f"{layer.parameters:,}",
            f"{layer.multiplications:,}",
        )
        for layer in layers
    ]
    return ("layer", "output", "kernel", "sees", "parameters", "multiplications"), tuple(rows)


def _told(recipe: Recipe) -> tuple[str, ...]:
    transforms = "; ".join(f"{name}({_options(options)})" for name, options in recipe.transforms)
    if recipe.input:
        before = "; ".join(f"{name}({_options(options)})" for name, options in recipe.input)
        transforms = f"{transforms or 'none'}; in front of the network: {before}"
    loss = defence.find(recipe.defence[0], **recipe.defence[1])
    plan = recipe.plan
    extra = [
        f", {what} by {value:g}"
        for what, value in (
            ("weights averaged", plan.averaging),
            ("weights perturbed", plan.weight_perturbation),
        )
        if value
    ]
    return (
        transforms or "none",
        f"{loss.name}({_options(loss.all_options)})" if loss.all_options else loss.name,
        f"{plan.epochs} epochs of {plan.batch_size} images a step, Adam, one cycle to "
        f"{plan.learning_rate:g}{''.join(extra)}",
        {"": "studied", "positive": "positive control", "sham": "sham control"}[recipe.control],
    )


def _options(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={json.dumps(value)}" for name, value in options.items())


def _ladder(shown: Certificates) -> str:
    more = {"slopes": shown.slopes, "branches": shown.branches}
    return ", ".join(["bounds", *(f"{name} = {value:,}" for name, value in more.items() if value)])
