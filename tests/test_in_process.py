import toys

from unfooled.engine import Done, Failed, Means
from unfooled.in_process import in_process
from unfooled.jobs import Job


def test_jobs_are_done_here_in_their_order_and_a_failure_takes_those_that_need_it() -> None:
    first, raises = toys.job("first"), toys.job("raises", "raise")
    last = toys.job("after first", needs=(first,))
    jobs = [first, raises, last, toys.job("after raises", needs=(raises,))]
    done: list[str] = []

    def weights_of(job: Job) -> tuple[bytes, ...]:
        assert {one.key for one in job.needs} <= set(done)
        return tuple(one.key.encode() for one in job.needs)

    failed = {}
    for event in in_process(jobs, toys.perform, weights_of, Means()):
        if isinstance(event, Done):
            done.append(event.job.key)
        if isinstance(event, Failed):
            failed[event.job.key] = event.message
    assert done == ["first", "after first"]
    assert failed["raises"] == "ValueError: this job cannot be done"
    assert failed["after raises"] == "a job that it needs failed"
