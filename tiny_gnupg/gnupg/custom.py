"""Commands of a caller's own."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from tiny_gnupg._gpg import commands
from tiny_gnupg._gpg.arguments import checked_data, require_text
from tiny_gnupg._gpg.reply import Reply
from tiny_gnupg._process.program import Channels
from tiny_gnupg.errors import CommandFailed
from tiny_gnupg.gnupg.access import Access
from tiny_gnupg.gnupg.text import as_text
from tiny_gnupg.results import CommandResult


class CustomCommands(Access):
    """Commands of a caller's own."""

    def command(
        self, *options: str, with_passphrase: bool = False, manual: bool = False
    ) -> list[str]:
        """Build a command of your own.

        Args:
            options: what gpg shall do.
            with_passphrase: read the passphrase from the first line of the input; see
                ``agent_passphrase``.
            manual: let gpg ask questions.

        Returns:
            The argument list: the executable, the library's own options, then yours.
        """
        asking = ["--passphrase-fd", "0", *commands.LOOPBACK] if with_passphrase else []
        return self._engine.base.command([*asking, *options], attended=manual)

    def shell_command(self, command: Sequence[str]) -> str:
        """Return a command as one shlex-quoted line, to paste into a shell, log or show."""
        return shlex.join(command)

    async def agent_passphrase(self) -> str:
        """Return the passphrase as gpg-agent expects it in this home.

        It is the first input of a command made ``with_passphrase``. In a home with gpg's own
        protection it is the user's own text.
        """
        return (await self._agent_passphrase()).decode()

    async def run_command(self, command: Sequence[str], inputs: str | bytes = b"") -> CommandResult:
        """Run a command, and return all that came of it.

        Args:
            command: as ``command`` gives it.
            inputs: what it reads on its standard input.

        Raises:
            ValueError: it exports secret keys from a home whose passphrases are stretched.
            GnuPGError: it cannot be run, or did not end in time; its exit code raises nothing.
        """
        reply = await self._answer_to(command, inputs)
        return CommandResult(reply.returncode, reply.stdout, reply.stderr, reply.lines)

    async def read_output(self, command: Sequence[str], inputs: str | bytes = b"") -> str:
        """Run a command and return its output as text.

        Args:
            command: as ``command`` gives it.
            inputs: what it reads on its standard input.

        Raises:
            CommandFailed: it ended with another exit code than 0; also where a method of this
                class would raise an error of another kind.
            NotText: the output is not UTF-8.
            ValueError: as for ``run_command``.
        """
        reply = await self._answer_to(command, inputs)
        if reply.returncode != 0:
            raise CommandFailed("the command failed", output=reply.stdout, reply=reply)
        return await as_text(reply.stdout)

    async def _answer_to(self, command: Sequence[str], inputs: str | bytes) -> Reply:
        data = checked_data("inputs", inputs)
        if isinstance(command, str | bytes) or not command:
            raise TypeError(f"a command is a list of arguments, as command() gives it: {command!r}")
        for argument in command:
            require_text("an argument", argument)
        await self._engine.open()
        base = self._engine.base
        ours = list(command[: base.slot]) == base.command()[: base.slot]
        if ours and commands.exports_secret_keys(command) and await self._stretches():
            raise ValueError(
                "what such a command exports opens under no passphrase that its user knows: "
                "use text_export(secret=True)"
            )
        if ours and "--no-tty" not in command:
            # A child has no terminal; without this, gpg ends instead of reading --command-fd.
            command = [*command[: base.slot], "--no-tty", *command[base.slot :]]
        channels = Channels(stdin=data, max_output=self.max_output)
        slot = base.slot if ours else None
        writing = not commands.reads_only(command)
        try:
            async with self._engine.locked(writing=writing):
                return await self._engine.run_command(command, channels, slot=slot)
        finally:
            if writing:
                self._table.forget()
