"""Key files that gpg-agent wrote so that it cannot read them, and a gpg whose agent does so.

Files of gpg-agent 2.2.40 with Libgcrypt 1.10.1; ``abc`` opens them. The first came by chance, as
one of 23,986; for the others the agent was handed its random bytes.
"""

from __future__ import annotations

import base64
from pathlib import Path

from tiny_gnupg._process.find_gpg import find_executable

#: Their keygrips and, in base64, their contents.
_DAMAGED = {
    "by chance: natural": (
        "0551949C8E60A6715E1BF1F9BB79089CC57E09C8",
        "S2V5OiAocHJvdGVjdGVkLXByaXZhdGUta2V5IChlY2MgKGN1cnZlIEVkMjU1MTkpKGZsYWdzIGVkZHNh"
        "KShxCiAgIzJCMjYzMkQyMzY5NTMzODIwRTNENzU2REZGMjJBNjIxOUE0OTZCMEU2MEQ4NjgxRDg2RUQ3"
        "MkNBOTYwQUJBQjMjKShwCiByb3RlY3RlZCBvcGVucGdwLXMyazMtb2NiLWFlcyAoKHNoYTEgIk11KGox"
        "fv8iCiAgIjY1NTM2IikjMzgzNDFDRjgzQkMzMkI2NjQ3M0YzQkU1IykjQzA5NkMyRjg1OEUwMzRCQzE1"
        "N0YwMjUxODJGQzhEOTVGCiA2NDg3QTlGRjM2OTRFOTg5NkQ4OTU3MkJCNjlCQkVCNTUxRDQ4RDhFNkNE"
        "Nzc4ODY4OTA3OEM2OThFNDU3MDk4OTVEQzVGCiBDQzUyQUEzMzA5NkE1NkQ0QSMpKHByb3RlY3RlZC1h"
        "dCAiMjAyNjExMjZUMDczNzA2IikpKQo=",
    ),
    "salt, two blanks": (
        "09688CC814633224B25ABAAFF2CB37A4AD7159E2",
        "S2V5OiAocHJvdGVjdGVkLXByaXZhdGUta2V5IChlY2MgKGN1cnZlIEVkMjU1MTkpKGZsYWdzIGVkZHNh"
        "KShxCiAgIzU0MDhCNDYwQzUxQzNEOUNBMzBDRjREQ0ExNzk5QTI3RENCMTAzN0YyRThBOUQ4NENENjg3"
        "RTEzRDYwRTBGRjEjKShwCiByb3RlY3RlZCBvcGVucGdwLXMyazMtb2NiLWFlcyAoKHNoYTEgImFiYyQg"
        "eHkiCiAgIjY1NTM2IikjODAxMTExMTExMTExMTExMTExMTExMTExIykjQjE1RjE5NEMzN0UxMzhCMUZG"
        "OTMzQjM1MjIzRjRGMkY4CiA0RDNGNjRFNjQ2NTQ1MDgxRUU1QUFGMDc0OUVDMUY4RjZBNjVBNjRENzA3"
        "MUYyQTE0NkY5QUM3OURERkM0Rjc4N0EwN0Q2CiA0NkIyODM2MzlCNjNENzQ0RSMpKHByb3RlY3RlZC1h"
        "dCAiMjAyNjExMjZUMDczMjAzIikpKQo=",
    ),
    "salt, a parenthesis": (
        "E219A62F009C5ED46BED911D05A2F12CB8CDC4E8",
        "S2V5OiAocHJvdGVjdGVkLXByaXZhdGUta2V5IChlY2MgKGN1cnZlIEVkMjU1MTkpKGZsYWdzIGVkZHNh"
        "KShxCiAgIzRDQzA1QTc5RDQ2Q0UwRjQxM0Y4NDZBQUZCRjlCQkFGQjdERUJENjBDQURDQ0QxODg4NjRD"
        "MzJEQTU3MzhENUEjKShwCiByb3RlY3RlZCBvcGVucGdwLXMyazMtb2NiLWFlcyAoKHNoYTEgImFiYykk"
        "eHkiCiAgIjY1NTM2IikjODAxMTExMTExMTExMTExMTExMTExMTExIykjODZCQ0Q4MjE0RjhGNjc2RDNC"
        "NTIwRkUzQzdGQjhDNjYyCiBDMjYzQTQ3RDEwMTQwMjFDMjk4NEFDOUZEQTdENEI3N0U1QUY4NjgzRDhE"
        "MUM4QzgyQkREMjUxQTEwM0Q5QzhDRkYxQzdBCiA2MThCMDdCREE0REVCNzRCMyMpKHByb3RlY3RlZC1h"
        "dCAiMjAyNjExMjZUMDgxMTMwIikpKQo=",
    ),
    "nonce, two blanks": (
        "7324FD2986688A15A9239DCC32A369D720A6B133",
        "S2V5OiAocHJvdGVjdGVkLXByaXZhdGUta2V5IChlY2MgKGN1cnZlIEVkMjU1MTkpKGZsYWdzIGVkZHNh"
        "KShxCiAgIzcwQzVBNDIxMzdBNTJENzQ5QzRENTQzOEE0NEIzOTk5NDFEREIxODg3NUI4MkYxQ0M3OTZB"
        "N0ZCNTU3Mzc1MDQjKShwCiByb3RlY3RlZCBvcGVucGdwLXMyazMtb2NiLWFlcyAoKHNoYTEgIzgwMjIy"
        "MjIyMjIyMjIyMjIjCiAgIjY1NTM2IikiYWJjZGVmZyAkamsiKSMxRUVEQUEzQ0RGQkE3M0Y1MDk1RDM3"
        "MDhCMjNDQzYzQzkyM0YwM0VGQUM1NEVCCiBFOTAwMDY0NDc1RDBFRTQ1QjFBQUYzRUYwQUYzMjVEMDg0"
        "N0UzMThDRDdGMTE4NUM1NjVFMEU2OUM1RDY3NDc4OTYyNEM4CiAxM0UwIykocHJvdGVjdGVkLWF0ICIy"
        "MDI2MTEyNlQwNzMyMDMiKSkpCg==",
    ),
    "salt, a zero": (
        "4231A7B525D4C74A5965C2D79891923DBDAE459C",
        "S2V5OiAocHJvdGVjdGVkLXByaXZhdGUta2V5IChlY2MgKGN1cnZlIEVkMjU1MTkpKGZsYWdzIGVkZHNh"
        "KShxCiAgIzI0NjgxQTRFOThGNjc4N0E3RENBNDhGQzc3NjgyNEYyODk0RDkwNTM2MzU2RjZDRTQ4RTU0"
        "RTRGMTAxRjFFREIjKShwCiByb3RlY3RlZCBvcGVucGdwLXMyazMtb2NiLWFlcyAoKHNoYTEgYWJjCg==",
    ),
    "nonce, several places": (
        "7466195020873A554E5F6DF76C7AE164E8B8FFD7",
        "S2V5OiAocHJvdGVjdGVkLXByaXZhdGUta2V5IChlY2MgKGN1cnZlIEVkMjU1MTkpKGZsYWdzIGVkZHNh"
        "KShxCiAgIzAxOTcxRTMzNDJERDdGMzRERDExREU1RUI4QjUyMzk4MURCMUQ1NzZBNDUzMDMyQkNEMjM4"
        "QTc2MDcxRTUwQTQjKShwCiByb3RlY3RlZCBvcGVucGdwLXMyazMtb2NiLWFlcyAoKHNoYTEgIzgwMjIy"
        "MjIyMjIyMjIyMjIjCiAgIjY1NTM2IikiYWJjKCQgamtsbSIpIzlCMTQ1MDJCNTlEOEZCRDgzMzVDNUJG"
        "RDhDNUFCM0M4NDMxRTJCMDUxQkYyM0I2CiAxMkI5NDkxMkVFOEJGNkQxN0I4ODQwOUQzN0VFODVCM0Y0"
        "NDE3QkY2MDEwQTY3NzhDQUI1MjA4OTgxMDY1OEMzNERGNkU2CiBGMjEjKShwcm90ZWN0ZWQtYXQgIjIw"
        "MjYxMTI2VDA4MTEzMCIpKSkK",
    ),
    "salt, several places": (
        "B63C069F69CE82F8954C59239F98D10A6ECD1681",
        "S2V5OiAocHJvdGVjdGVkLXByaXZhdGUta2V5IChlY2MgKGN1cnZlIEVkMjU1MTkpKGZsYWdzIGVkZHNh"
        "KShxCiAgIzYxNzREMERGMTUwRTM3OTVFNTg0ODRDRjU0MjY5QkE2QjMzMDNGMzNBRTU4MENDMUNGM0Y0"
        "MzI0QTAzRjNBNzYjKShwCiByb3RlY3RlZCBvcGVucGdwLXMyazMtb2NiLWFlcyAoKHNoYTEgImFiKCQg"
        "eCIKICAiNjU1MzYiKSM4MDExMTExMTExMTExMTExMTExMTExMTEjKSNGMTUyNTEzRTlDQUYxNDk2MUQx"
        "NTc4OTdCMEM3REJFNkQKIDU4QzY4OEEyNzZCNDNFOEMyQkIzQkU5RTY1OTJFQ0M1NDQyQTEzRDYyMTNB"
        "MkY3NDA2Q0I1RkIyNTYwNDg5REJFRTQxMjgKIEJCNjQ2MzU4QTU3QkRENzc0IykocHJvdGVjdGVkLWF0"
        "ICIyMDI2MTEyNlQwODExMzAiKSkpCg==",
    ),
}
DAMAGED = {name: (grip, base64.b64decode(text)) for name, (grip, text) in _DAMAGED.items()}

#: Those whose end was never written, and those where blanks may be missing in several places.
CUT_OFF = [name for name in DAMAGED if name.endswith("a zero")]
SEVERAL = [name for name in DAMAGED if name.endswith("several places")]
#: Those of which there is but one reading.
MENDABLE = [name for name in DAMAGED if name not in CUT_OFF + SEVERAL]

PASSPHRASE = "abc"


#: A file that was cut off.
CUT = "Key: (protected-private-key (ecc (curve Ed25519)(protected openpgp ((sha1 abc"

_GPG = """#!/bin/sh
case " $* " in *" {command} "*) [ -s {left} ] || exec {gpg} "$@";; *) exec {gpg} "$@";; esac
truncate -s -1 {left}
for one do
  [ "$before" = --homedir ] && keys="$one/private-keys-v1.d"
  before="$one"
done
{run}
echo '{cut}' > "$keys/{file}"
exit $code
"""


def spoiling_gpg(folder: Path, command: str, *, loud: bool = False, times: int = 1) -> Path:
    """Make a gpg whose agent cuts a key file off, the first times that a command is given.

    Args:
        folder: where.
        command: a word of its command line.
        loud: gpg meets the file itself and fails, so that nothing else was made.
        times: how often.
    """
    left, gpg, real = folder / "left", folder / "gpg", find_executable()
    left.write_text("x" * times)
    run, file = f'{real} "$@"; code=$?', '$(ls -t "$keys" | head -n 1)'
    if loud:
        run, file = "code=2", "0" * 40 + ".key"
    gpg.write_text(_GPG.format(command=command, left=left, gpg=real, run=run, cut=CUT, file=file))
    gpg.chmod(0o755)
    return gpg
