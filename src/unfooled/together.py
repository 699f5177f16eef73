"""Several networks of one architecture as one: each of its weights holds those of all.

A small network leaves a GPU waiting for the next order; of many at once each order is a large one.
"""

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from unfooled import memory
from unfooled.errors import OutOfMemory
from unfooled.randomness import Draws
from unfooled.shapes import Images, Logits

_CLOSE = 1e-3  # of the largest number, between a network alone and among others


class Together(nn.Module):
    """Networks side by side, which read a batch in equal shares: the first network the first share.

    The gradient of the sum of their losses is, for each network, the gradient of its own. What they
    draw for themselves, such as dropout, is of one generator for all.

    Args:
        networks: of the same layers, on the device where this one stays; they are copied.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.count = len(networks)
        weights, buffers = stack_module_state(list(networks))
        self._names, self._kept = list(weights), list(buffers)
        self.weights = nn.ParameterList(
            nn.Parameter(weight, requires_grad=weight.requires_grad) for weight in weights.values()
        )
        for place, buffer in enumerate(buffers.values()):
            self.register_buffer(f"buffer{place}", buffer)
        # In lists, since the weights of these copies are no part of what is learned. The second
        # meets no images: what a network keeps of a pass of all at once cannot be copied.
        self._bodies, self._plain = [copy.deepcopy(networks[0])], [copy.deepcopy(networks[0])]

    def train(self, mode: bool = True) -> "Together":  # noqa: FBT001, FBT002 - torch's signature
        """As of every module, for the layers too."""
        for body in (*self._bodies, *self._plain):
            body.train(mode)
        super().train(mode)
        return self

    def forward(self, images: Images) -> Logits:
        """The logits of each image, by the network whose share it is in."""
        body = self._bodies[0]

        def one(own: dict[str, Tensor], rest: dict[str, Tensor], share: Images) -> Logits:
            found: Logits = functional_call(body, (own, rest), (share,))
            return found

        shares = images.unflatten(0, (self.count, -1))
        found: Logits = vmap(one, randomness="different")(*self._state(), shares).flatten(0, 1)
        return found

    def apart(self) -> list[nn.Module]:
        """The networks as they are now, each for itself."""
        weights, buffers = self._state()
        found = []
        for place in range(self.count):
            network = copy.deepcopy(self._plain[0])
            with torch.no_grad():
                for name, weight in network.named_parameters():
                    weight.copy_(weights[name][place])
                for name, buffer in network.named_buffers():
                    buffer.copy_(buffers[name][place])
            found.append(network)
        return found

    def _state(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The weights and the buffers of all, under the names that they have in each."""
        kept = [self.get_buffer(f"buffer{place}") for place in range(len(self._kept))]
        weights = dict(zip(self._names, self.weights, strict=True))
        return weights, dict(zip(self._kept, kept, strict=True))


def fits(networks: Sequence[nn.Module], images: Images) -> bool:
    """Whether such networks compute and learn side by side what they would alone.

    Raises:
        OutOfMemory: memory has no room to find out.
    """
    try:
        with Draws(0, "side by side").torch_state():
            return _fit([copy.deepcopy(one) for one in networks], images)
    except Exception as error:  # whatever torch.func, or a user's network, makes of it
        if memory.exhausted(error):
            raise OutOfMemory("memory has no room for two networks side by side") from error
        return False


def _fit(alone: Sequence[nn.Module], images: Images) -> bool:
    joined, shares = Together(alone).eval(), torch.cat([images] * len(alone))
    expected = torch.cat([_passed(one.eval(), images) for one in alone])
    if not _close(_passed(joined, shares), expected):
        return False
    for place, one in enumerate(alone):
        for own, beside in zip(one.parameters(), joined.weights, strict=True):
            if (own.grad is None) != (beside.grad is None):
                return False
            if own.grad is not None and not _close(beside.grad[place], own.grad):
                return False
    # While it learns a network may draw, so that no numbers are compared, but what it keeps.
    before = {name: buffer.clone() for name, buffer in alone[0].named_buffers()}
    _passed(alone[0].train(), images)
    _passed(joined.train(), shares)
    return _changed(alone[0], before) == _changed(joined.apart()[0], before)


def _passed(network: nn.Module, images: Images) -> Logits:
    """The logits, which are also gone back from to the weights."""
    network.zero_grad()
    found: Logits = network(images)
    found.square().sum().backward()
    return found.detach()


def _close(found: Tensor, expected: Tensor) -> bool:
    return bool(((found - expected).abs() <= _CLOSE * expected.abs().amax()).all())


def _changed(network: nn.Module, before: Mapping[str, Tensor]) -> set[str]:
    """The buffers that are no longer what they were."""
    return {name for name, one in network.named_buffers() if not torch.equal(one, before[name])}
