import torch
from sklearn.datasets import load_digits

from unfooled.datasets.digits import digits


def test_all_1797_scans_are_there_once() -> None:
    found = digits(folder=None)
    splits = (found.train, found.validation, found.test)
    assert [len(split) for split in splits] == [1097, 200, 500]
    labels = torch.cat([split.labels for split in splits])
    assert labels.bincount().tolist() == torch.from_numpy(load_digits().target).bincount().tolist()


def test_a_digit_looks_like_its_scan() -> None:
    found = digits(folder=None)
    scans = torch.from_numpy(load_digits().images).float() / 16
    small = torch.nn.functional.interpolate(found.train.pixels(), size=(8, 8), mode="area")[:50, 0]
    nearest = torch.cdist(small.flatten(1), scans.flatten(1)).argmin(1)
    labels = torch.from_numpy(load_digits().target)[nearest]
    assert (labels == found.train.labels[:50]).float().mean() >= 0.98


def test_the_classes_are_mixed_over_the_splits() -> None:
    share = digits(folder=None).test.labels.bincount(minlength=10) / 500
    assert 0.05 < float(share.min()) < float(share.max()) < 0.15
