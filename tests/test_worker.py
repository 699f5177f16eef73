from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import quick
import toys

from unfooled import jobs, model, packing, pictures
from unfooled.dataset import Dataset
from unfooled.errors import JobFailed
from unfooled.evaluation import Evaluation
from unfooled.jobs import Job
from unfooled.recipe import Plan
from unfooled.study import Study
from unfooled.worker import Worker


def by_name(study: Study, data: Dataset, device: str = "cpu") -> dict[str, Job]:
    return {job.name(study): job for job in jobs.jobs(study, data, device)}


@pytest.fixture(scope="module")
def worker() -> Worker:
    return Worker(toys.study(), None, "cpu")


@pytest.fixture(scope="module")
def done(worker: Worker) -> dict[str, bytes]:
    """Every job of the toy study, done in this process, with short probes."""
    files: dict[str, bytes] = {}
    names: dict[str, bytes] = {}
    with quick.short_probes():
        for job in jobs.jobs(worker.study, worker.data, "cpu"):
            weights = tuple(files[one.key] for one in job.needs)
            files[job.key] = names[job.name(worker.study)] = worker.perform(
                job, weights, lambda _: None
            )
    return names


def test_a_trainings_file_holds_weights_and_what_came_of_it(
    worker: Worker, done: dict[str, bytes]
) -> None:
    about = model.about(done["flips-1"])
    assert (about["recipe"], about["seed"], about["overfitted"]) == ("flips", 1, None)
    assert (about["architecture"], about["dataset"]) == ("toys:pyramid", "toys:striped")
    assert len(about["history"]) == 2
    network = model.restored(done["flips-1"], "toys:pyramid", channels=1, size=8, classes=3)
    assert not network.training
    read = toys.read_by(network, worker.data.validation.pixels())
    share = float((read == worker.data.validation.labels).float().mean())
    assert share == pytest.approx(about["history"][-1]["validation"])


def test_an_attacks_file_holds_its_facts(worker: Worker, done: dict[str, bytes]) -> None:
    found = Evaluation.of_arrays(packing.unpacked(done["plain-0-0-fgsm-Linf"]))
    assert found.ids.tolist() == list(range(90))
    assert [threat.eps for threat in found.threats] == [0.1, 0.2]
    assert found.labels.tolist() == worker.data.test.labels.tolist()
    few = Evaluation.of_arrays(packing.unpacked(done["plain-0-1-pgd-Linf"]))
    assert few.ids.tolist() == worker.data.test.sample(30).tolist()
    assert np.array_equal(few.clean, found.clean[few.ids])


def test_the_pictures_show_the_same_images_before_and_after(
    worker: Worker, done: dict[str, bytes]
) -> None:
    found = packing.unpacked(done["plain-0-pictures"])
    shape = len(found["eps"]), pictures.COUNT
    assert found["ids"].tolist() == pictures.chosen(worker.data.test.labels).tolist()
    assert found["images"].shape == (*shape, 1, toys.SIZE, toys.SIZE)
    assert found["images"].dtype == np.uint8
    assert np.array_equal(found["images"][0], worker.data.test.images[found["ids"]].numpy())
    assert found["read_as"].shape == shape
    facts = Evaluation.of_arrays(packing.unpacked(done["plain-0-0-fgsm-Linf"]))
    assert found["read_as"][0].tolist() == facts.clean[found["ids"]].tolist()
    assert found["filters"].shape == (4, 1, 3, 3)
    assert found["maps"].shape == (4, toys.SIZE // 2, toys.SIZE // 2)


def test_a_job_done_twice_gives_the_same_bytes(worker: Worker, done: dict[str, bytes]) -> None:
    again = Worker(toys.study(), None, "cpu")
    for name, job in by_name(again.study, again.data).items():
        if name in ("flips-0", "flips-0-1-pgd-Linf"):
            weights = (done["flips-0"],) if job.needs else ()
            assert again.perform(job, weights, lambda _: None) == done[name]


def test_progress_of_a_training_is_reported(worker: Worker) -> None:
    shares: list[float] = []
    job = next(job for job in jobs.jobs(worker.study, worker.data, "cpu") if job.kind == "train")
    worker.perform(job, (), shares.append)
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] < 1


def test_a_training_that_fails_is_an_error(striped: Dataset) -> None:
    wild = replace(toys.study().recipes[0], plan=Plan(epochs=1, batch_size=8, learning_rate=1e30))
    wrong = Worker(toys.study(recipes=(wild,)), None, "cpu")
    job = jobs.jobs(wrong.study, striped, "cpu")[0]
    with pytest.raises(JobFailed, match="loss became"):
        wrong.perform(job, (), lambda _: None)


def test_data_that_are_not_those_of_the_run_are_refused(striped: Dataset) -> None:
    known = Worker(toys.study(), None, "cpu", sha256=striped.sha256)
    assert known.data.sha256 == striped.sha256
    with pytest.raises(JobFailed, match=r"the data in made up on .* are not those that the run"):
        _ = replace(known, sha256="another").data


def test_code_that_was_changed_since_the_run_began_does_no_job(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from toys import pyramid\n")
    study = toys.study(model=f"{tmp_path}/mine.py:pyramid")
    worker = Worker(study, None, "cpu", code=jobs.own_code(study))
    (job, *_) = jobs.jobs(study, worker.data, "cpu")
    (tmp_path / "mine.py").write_text("from toys import pyramid  # another\n")
    with pytest.raises(JobFailed, match=r"mine\.py:pyramid on .* is not what the run began with"):
        worker.perform(job, (), lambda _: None)
