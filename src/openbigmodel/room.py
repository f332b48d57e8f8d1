"""What is kept for callers for a while, in bytes or in pieces: so many in all, and nobody may have more than half of
what is then left.

So an owner alone gets a third, two get a quarter each, and so on: who holds much is refused more long before nothing is
left, and whoever holds little finds room. Pure; owned by the event loop.
"""

# An owner may hold one part for so many that are left.
_LEFT_FOR_ONE = 2


class Room:
    """What is kept of one kind. `taken` is what all owners hold together."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0
        self._held: dict[str, int] = {}

    @property
    def most_for_one(self) -> int:
        """As many as an owner can have when there is no other."""
        return self.most // (1 + _LEFT_FOR_ONE)

    def share(self, owner: str) -> "Share":
        """For one thing that is kept; nothing is taken yet."""
        return Share(self, owner)

    def take(self, owner: str, size: int) -> bool:
        """Whether the owner may keep so many more, which then are taken."""
        held, taken = self._held.get(owner, 0) + size, self.taken + size
        if held * _LEFT_FOR_ONE > self.most - taken:
            return False
        self._held[owner], self.taken = held, taken
        return True

    def give_back(self, owner: str, size: int) -> None:
        """They are not kept any more."""
        self.taken -= size
        held = self._held.get(owner, 0) - size
        if held:
            self._held[owner] = held
        else:
            self._held.pop(owner, None)


class Share:
    """What is kept for one thing, taken bit by bit and given back in one."""

    __slots__ = ("_over", "_owner", "_room", "_size")

    def __init__(self, room: Room, owner: str) -> None:
        self._room = room
        self._owner = owner
        self._size = 0
        self._over = False

    def take(self, size: int) -> bool:
        """Whether there is room for so many more; never, once all were given back."""
        if self._over or not self._room.take(self._owner, size):
            return False
        self._size += size
        return True

    def leave(self) -> None:
        """Give all of it back, and take no more. A second time does nothing."""
        self._over = True
        self._room.give_back(self._owner, self._size)
        self._size = 0
