import msgspec

from openbigmodel.media.task import FetchPolicy, Outcome, Refused, Task


def test_a_task_survives_the_way_to_the_worker() -> None:
    policy = FetchPolicy(ports=(80,), allowed_hosts=("a",), allow_private=("10.0.0.0/8",), timeout_s=1.5)
    task = Task(
        kind="video", form="url", size=3, bytes_max=9, formats=("a/b",), seconds_max=30, policy=policy
    )
    line = msgspec.json.encode(task)
    assert b"\n" not in line
    assert msgspec.json.decode(line, type=Task) == task


def test_a_refusal_carries_its_outcome() -> None:
    refused = Refused("dimensions", width=7, height=8)
    assert refused.outcome == Outcome(refusal="dimensions", width=7, height=8)
    assert str(refused) == "dimensions"
    assert str(Refused("status", "status 404", status=404)) == "status 404"
