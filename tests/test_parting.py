import numpy as np
import pytest
import torch

from unfooled import parting


@pytest.mark.parametrize("images", [0, 1, 999, 1000, 1001, 2500, 10_000, 50_000, 60_001])
@pytest.mark.parametrize("passes", [0.0, 1e5, 4.1e5, 1e6, 1e7, 1e10])
def test_the_parts_of_a_job_are_all_its_images_in_whole_thousands(
    images: int, passes: float
) -> None:
    parts, ids = parting.parts(images, passes), 7 * torch.arange(images)
    shares = [parting.share(ids, part) for part in parts]
    assert torch.equal(torch.cat(shares), ids)
    assert all(len(share) % 1000 == 0 and len(share) for share in shares[:-1])
    assert len(shares[-1]) or not images
    assert len(parts) <= max(1, passes / 200_000)


def test_little_work_stays_in_one_job_and_much_is_cut_finely() -> None:
    assert parting.parts(10_000, 160_000) == [parting.WHOLE]  # FGSM at eight eps
    assert parting.parts(1000, 1e9) == [parting.WHOLE]
    assert len(parting.parts(10_000, 2e6)) == 10
    assert len(parting.parts(50_000, 1e9)) == 50


def test_only_what_has_all_its_parts_is_whole() -> None:
    names = [parting.name("a-0-0-pgd-Linf", (place, 3)) for place in (2, 0, 1)]
    lacking = [parting.name("b-0-0-pgd-Linf", (place, 3)) for place in (0, 2)]
    found = parting.named([*names, *lacking, parting.name("c-0", parting.WHOLE)])
    assert found == {"a-0-0-pgd-Linf": [names[1], names[2], names[0]], "c-0": ["c-0"]}
    assert names[0] == "a-0-0-pgd-Linf-3of3"


def test_arrays_are_joined_image_by_image() -> None:
    whole = {
        "norm": np.array("Linf"),
        "eps": np.array([0.1, 0.2]),
        "ids": np.arange(2),
        "read_as": np.arange(4).reshape(2, 2),
        "adversarial": np.zeros((2, 2, 1, 3, 3)),
    }
    other = {**whole, "ids": np.array([2]), "read_as": np.array([[8], [9]])}
    joined = parting.joined([whole, other])
    assert joined.keys() == whole.keys() - {"adversarial"}
    assert joined["ids"].tolist() == [0, 1, 2]
    assert joined["read_as"].tolist() == [[0, 1, 8], [2, 3, 9]]
    assert joined["eps"] is whole["eps"]
    assert parting.joined([whole]) is whole
