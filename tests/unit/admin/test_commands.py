import inspect
from pathlib import Path

import msgspec

from tests.unit.admin.parts import Platform, run


def test_every_command_takes_what_its_method_takes(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        for command in platform.service.commands.values():
            (parameter,) = inspect.signature(command.run).parameters.values()
            assert parameter.annotation is command.arguments, command.name
            assert command.run.__name__ == command.name.partition(".")[2], command.name

    run(tmp_path, scenario)


def test_those_that_only_read_say_so(tmp_path: Path) -> None:
    """The log has a line about all others."""

    async def scenario(platform: Platform) -> None:
        reading = {name for name, command in platform.service.commands.items() if command.reads}
        verbs = {name.partition(".")[2] for name in reading}
        assert verbs == {"list", "show", "history"}
        assert {name for name in platform.service.commands if name.partition(".")[2] in verbs} == reading

    run(tmp_path, scenario)


def test_arguments_can_be_told_as_json(tmp_path: Path) -> None:
    async def scenario(platform: Platform) -> None:
        for command in platform.service.commands.values():
            msgspec.json.schema(command.arguments)

    run(tmp_path, scenario)
