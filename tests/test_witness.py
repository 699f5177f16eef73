import torch
import toys

from unfooled.gradients import frozen
from unfooled.region import region
from unfooled.threat import Threat
from unfooled.witness import Witness


def test_what_is_met_on_a_plane_is_what_lies_within_reach() -> None:
    net, images = toys.plane(), toys.pictures(40).clamp(0.2, 0.8)
    labels = toys.read_by(net, images)
    distance = (net.margin(images).abs() / net.weight.abs().sum()).detach()
    eps = float(distance.median())
    threat = Threat("Linf", eps)
    with frozen(net):
        found = Witness(net, threat, images, labels).met(region(images, threat), 1 - labels)
    sure = (distance - eps).abs() > 1e-4
    assert torch.equal(found[sure], (distance < eps)[sure])
    assert 5 < int(found.sum()) < 35


def test_what_is_outside_the_threat_counts_for_nothing() -> None:
    net, images = toys.plane(), toys.pictures(4).clamp(0.2, 0.8)
    labels = toys.read_by(net, images)
    witness = Witness(net, Threat("Linf", 1e-4), images, labels)
    assert not witness.misread(1 - images).any()  # moved back inside, where it is read correctly
    assert not witness.misread(images).any()
    wrong = Witness(net, Threat("Linf", 1e-4), images, 1 - labels)
    assert wrong.misread(images).all()
    assert not wrong.misread(images * torch.nan).any()


def test_what_is_read_as_nothing_falls() -> None:
    net, images = toys.plane(), toys.pictures(3)
    labels = toys.read_by(net, images)
    with torch.no_grad():
        net.offset.fill_(torch.nan)
    with frozen(net):
        witness = Witness(net, Threat("Linf", 0.0), images, labels)
        assert witness.misread(images).all()


def test_asking_about_nothing_is_nothing() -> None:
    net, images = toys.plane(), toys.pictures(2)
    none = torch.zeros(0, dtype=torch.int64)
    witness = Witness(net, Threat("L2", 0.1), images, torch.zeros(2, dtype=torch.int64)).at(none)
    assert len(witness.misread(images[none])) == 0
    assert len(witness.met(region(images[none].double(), witness.threat), none)) == 0
