"""A command group whose first word may also be the argument of its default command: `dimts train abebe/`."""

from __future__ import annotations

from typing import Any, ClassVar

from dimts.cli.help import Group


class DefaultGroup(Group):
    """A group that passes everything but the names of its commands to one of them."""

    default: ClassVar[str] = ""
    """Name of that command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Insert the default command where no command is named, so that its options may come first."""
        if not args or args[0] not in self.commands:
            args = [self.default, *args]
        return super().parse_args(ctx, args)
