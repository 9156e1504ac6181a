"""``GnuPG``: the one public class, made of its parts."""

from __future__ import annotations

from tiny_gnupg.gnupg.batches import Batches
from tiny_gnupg.gnupg.legacy import Legacy
from tiny_gnupg.gnupg.online import Online
from tiny_gnupg.gnupg.own_key import OwnKey
from tiny_gnupg.gnupg.streams import Streams


class GnuPG(OwnKey, Streams, Batches, Online, Legacy):
    """A GnuPG home and an identity in it.

    Where a method takes a ``uid``, that names a key: a fingerprint or key id, the primary key's or
    a subkey's; an address, which is matched whole; any other text, which is looked for in the
    user ids; or a ``Key``. The empty text is this instance's own key. With a ``!`` behind a
    fingerprint or key id, exactly that part of the key is encrypted to, signs or is exported.

    Args:
        username: the name of the identity.
        email: its address.
        passphrase: what protects its secret keys; the empty one leaves them unprotected.
        torify: prefix each gpg command with ``torify``.
        homedir: where keyring, trust and agent live; default: ``TINY_GNUPG_HOME``, else a folder
            among the user's data, which no upgrade of the package takes.
        executable: the gpg to run; default: ``TINY_GNUPG_GPG``, the bundled one, ``gpg2`` or
            ``gpg`` on ``PATH``.
        options: the file of gpg's options; default: the shipped ``gpg2.conf``.
        protection: ``"scrypt"`` or ``"gnupg"``; default: what the home says.
        tor_host: where Tor's SOCKS5 port listens.
        tor_port: its number.
        isolate: give this instance Tor circuits of its own.
        keyserver: base URL; default: the v3 onion service of keys.openpgp.org.
        timeout: seconds for one gpg run; None waits for ever.
        limit: how many gpg processes run at once; None takes twice the number of cores. A number
            counts those that were started ahead, too.
        max_output: bytes that one call in memory may produce; None is without bound.
        warm: start a gpg ahead where like calls follow each other, as a service makes them: they
            take a fraction of the time, for a few MB each of some seconds.

    Raises:
        ValueError: control characters in an argument, a leading ``%`` in a name, or a value that
            is none of those above.
        BinaryNotFound: there is no gpg.
        FileNotFoundError: ``torify`` is not installed, or there is no file ``options``.
    """
