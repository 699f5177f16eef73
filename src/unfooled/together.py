"""Several networks of one architecture as one: each of its weights holds those of all.

A small network leaves a GPU waiting for the next order; of many at once each order is a large one.
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from unfooled.shapes import Images, Logits

_CLOSE = 1e-4  # of the logits' size, between a network alone and among others


class Together(nn.Module):
    """Networks side by side, which read a batch in equal shares: the first network the first share.

    The gradient of the sum of their losses is, for each network, the gradient of its own. What they
    draw for themselves, such as dropout, is of one generator for all.

    Args:
        networks: of the same layers, on one device; they are copied.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.count = len(networks)
        weights, buffers = stack_module_state(list(networks))
        self._names, self._kept = list(weights), list(buffers)
        self.weights = nn.ParameterList(weights.values())
        for place, buffer in enumerate(buffers.values()):
            self.register_buffer(f"buffer{place}", buffer)
        # In a list, since the weights of this copy are no part of what is learned.
        self._bodies = [copy.deepcopy(networks[0])]

    def train(self, mode: bool = True) -> "Together":  # noqa: FBT001, FBT002 - torch's signature
        """As of every module, for the layers too."""
        self._bodies[0].train(mode)
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
            network = copy.deepcopy(self._bodies[0])
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
    """Whether such networks compute the same side by side, and can be learned so."""
    copies = [copy.deepcopy(one).eval() for one in networks]
    shares = torch.cat([images] * len(copies))
    try:
        joined = Together(copies).eval()
        with torch.no_grad():
            alone = torch.cat([one(images) for one in copies])
            beside = joined(shares)
        joined.train()(shares).sum().backward()
    except Exception:  # whatever torch.func, or a user's network, makes of it
        return False
    return bool(((alone - beside).abs() <= _CLOSE * alone.abs().amax()).all())
