"""Who an instance is: name, address, passphrase, and the home with its gpg."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

from tiny_gnupg._gpg.arguments import checked_name, checked_own_passphrase
from tiny_gnupg._home.default_home import default_homedir
from tiny_gnupg._home.home import Home
from tiny_gnupg._home.own_keys import noted
from tiny_gnupg._home.protection import SCHEMES, Scheme
from tiny_gnupg._home.stretching import Stretcher
from tiny_gnupg._network.keyserver import DEFAULT_KEYSERVER, Keyserver
from tiny_gnupg._network.tor import Network, NetworkSettings
from tiny_gnupg._operations.engine import Engine
from tiny_gnupg._operations.keyring import KeyTable
from tiny_gnupg._process import find_gpg
from tiny_gnupg._process.tasks import in_thread


class _Bounds(NamedTuple):
    """What an instance asks of each home that it uses."""

    protection: Scheme | None
    timeout: float | None
    limit: int | None
    warm: bool


class Identity:
    """Who an instance is: name, address, passphrase, and the home with its gpg."""

    def __init__(
        self,
        username: str = "",
        email: str = "",
        passphrase: str = "",
        torify: bool = False,
        *,
        homedir: str | os.PathLike[str] | None = None,
        executable: str | os.PathLike[str] | None = None,
        options: str | os.PathLike[str] | None = None,
        protection: Scheme | None = None,
        tor_host: str = "127.0.0.1",
        tor_port: int = 9050,
        isolate: bool = True,
        keyserver: str | None = None,
        timeout: float | None = None,
        limit: int | None = None,
        max_output: int | None = 512 * 2**20,
        warm: bool = True,
    ) -> None:
        self.username = username
        self.email = email
        self.passphrase = passphrase
        self.fingerprint = ""
        self.max_output = max_output
        if protection is not None and protection not in SCHEMES:
            raise ValueError(f"protection is one of {', '.join(SCHEMES)}, not {protection!r}")
        if limit is not None and limit < 1:
            raise ValueError(f"limit is a number of processes, 1 or more, not {limit!r}")
        if timeout is not None and not timeout > 0:
            raise ValueError(f"timeout is a number of seconds, more than 0, not {timeout!r}")
        if max_output is not None and max_output < 0:
            raise ValueError(f"max_output is a number of bytes, not {max_output!r}")
        self._bounds = _Bounds(protection, timeout, limit, warm)
        self._stretcher = Stretcher()
        named = None if executable is None else os.fspath(executable)
        self._executable = Path(find_gpg.find_executable(named))
        shipped = find_gpg.package_home() / "gpg2.conf"
        self._options = Path(os.path.abspath(shipped if options is None else options))
        if options is not None and not self._options.exists():
            # gpg would end without a word that programs understand, whatever it is asked.
            raise FileNotFoundError(errno.ENOENT, "no such file of gpg's options", self.options)
        self._torify = ""
        #: Those of earlier homedirs too: ``aclose`` leaves them all.
        self._engines: list[Engine] = []
        self._keyserver = Keyserver.of(keyserver or DEFAULT_KEYSERVER)
        self._network = Network(
            NetworkSettings(tor_host=tor_host, tor_port=tor_port, isolate=isolate)
        )
        self.set_homedir(homedir)
        self.set_base_command(torify)

    def __setattr__(self, name: str, value: Any) -> None:
        # The identity is checked whenever it is set: a passphrase of two lines would count as its
        # first one, and a name of two lines would be more than a name.
        check = _CHECKED.get(name)
        super().__setattr__(name, check(value) if check else value)

    def __repr__(self) -> str:
        who = f"email={self.email!r}, fingerprint={self.fingerprint!r}"
        return f"{type(self).__name__}(homedir={self.home!r}, {who})"

    async def __aenter__(self) -> Self:
        await self._engine.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close what this instance opened: its network session, and an agent that nobody else uses.

        It may be used again after that; it then opens anew what it needs.
        """
        await self._network.aclose()
        for engine in self._engines:
            await engine.close()
        self._engines = [self._engine]

    @property
    def _who(self) -> str:
        return self.email or self.username

    @property
    def home(self) -> str:
        """The homedir; the default one by its name in the package, which is a link to it."""
        return str(self._home_name)

    @property
    def executable(self) -> str:
        """The gpg in use; another one is another instance's."""
        return str(self._executable)

    @property
    def options(self) -> str:
        """The file of gpg's options."""
        return str(self._options)

    @property
    def gpg_version(self) -> tuple[int, int, int]:
        """The version of the gpg in use, as ``(2, 4, 9)``; to have it is as for ``features``."""
        return find_gpg.probe_now(self._executable).version

    @property
    def features(self) -> frozenset[str]:
        """What the gpg in use can do that not every gpg can.

        The names are ``ed448`` (keys of that curve), ``ocb`` (it can encrypt so), ``adsk`` (it adds
        additional decryption subkeys), ``kyber`` (keys that are hybrids with it) and ``keyboxd``
        (homes whose public keys that daemon keeps, where it is installed).

        Any call that was awaited has asked gpg for it. Before that, the first look runs it here and
        now, which takes some milliseconds, once a process for each gpg.

        Raises:
            BinaryNotFound: that gpg is gone, or does not run here.
        """
        return find_gpg.probe_now(self._executable).names

    def set_homedir(self, path: str | os.PathLike[str] | None = None) -> None:
        """Use another homedir from now on.

        Args:
            path: the directory; None takes the default one.
        """
        if path is not None and os.fspath(path):
            home = Home.at(Path(os.path.abspath(os.path.expanduser(path))))
            self._home_name = home.path
        else:
            default = default_homedir(find_gpg.package_home())
            home, self._home_name = Home.at(default.path), default.name
            home.settle = default.settle
        self._engine = Engine(
            self._executable,
            home,
            self._options,
            kind=self._bounds.protection,
            torify=self._torify,
            timeout=self._bounds.timeout,
            limit=self._bounds.limit,
            warm=self._bounds.warm,
        )
        self._engines.append(self._engine)
        self._table = KeyTable(self._engine)
        #: What is known from the home's note alone, and is checked where it is used.
        self._noted = self.fingerprint = noted(self._engine.home.path, self._who)

    def set_base_command(self, torify: bool = False) -> None:
        """Say whether gpg commands are prefixed with ``torify``.

        Raises:
            FileNotFoundError: it is not installed.
        """
        found = shutil.which("torify") if torify else ""
        # Without torsocks, the torify that comes with Tor runs nothing, and says it went well.
        if found is None or (torify and shutil.which("torsocks") is None):
            raise FileNotFoundError("torify needs torsocks (Debian: apt install torsocks)")
        self._torify = self._engine.torify = found

    async def reset_daemon(self) -> None:
        """End this home's gpg-agent; the next command that needs it starts a new one."""
        async with self._engine.locked(writing=True):
            await in_thread(self._engine.home.end_agent)


#: What is checked whenever it is set.
_CHECKED: dict[str, Callable[[str], str]] = {
    "username": partial(checked_name, "username"),
    "email": partial(checked_name, "email"),
    "passphrase": checked_own_passphrase,
}
