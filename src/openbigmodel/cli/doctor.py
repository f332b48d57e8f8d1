"""`bigmodel doctor`."""


def doctor() -> int:
    """Doctor."""
    return 0
