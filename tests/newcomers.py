"""What has come into memory since a test began and is still there, without the garbage collector's help."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def newcomers(*kinds: type) -> Iterator[Callable[[], list[object]]]:
    """Nothing is collected within. Yields what lists the objects of these kinds that were not there before."""

    def those_there() -> list[object]:
        return [each for each in gc.get_objects() if isinstance(each, kinds)]

    gc.collect()
    gc.disable()
    try:
        # Kept, so that no newcomer gets the id of one that goes.
        before = {id(each): each for each in those_there()}
        yield lambda: [each for each in those_there() if id(each) not in before]
    finally:
        gc.enable()
