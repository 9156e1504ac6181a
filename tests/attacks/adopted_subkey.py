"""Bob's key, and Mallory's, which has adopted the subkey that Bob signs with.

Made once for these tests, for nobody; version 4, Ed25519. Mallory's key binds the subkey as one to
sign with, and Bob's subkey never said that it is Mallory's: Mallory has nothing to make that with.
"""

from __future__ import annotations

import base64
import hashlib

from tests.tor import openpgp

MALLORYS = "D463557A40B7A804A485090B005E7B4E469A618F"
BOBS = "6604BE2F1B8B5425914BF34BA03433A2170B16EE"
SIGNING = "68238785F8F3F3368AC53DABED981362E19E0C51"
#: What Bob decrypts with.
ENCRYPTION = "F7D5A5A699C5CA0C2264F2FE76D2D9E1D4CA17CD"
DATA = b"data"

MALLORY = base64.b64decode(
    """
xv8AAAAzBF9eEAAWCSsGAQQB2kcPAQEHQPvaj4HImKSAXimknonETGZEuyp6autqwlifZzj+bbzHzf8AAAAXTWFsbG9yeSA8
bUBleGFtcGxlLm5ldD7C/wAAAHgEExYKACAFAmsHrNgWIQTUY1V6QLeoBKSFCQsAXntORpphjwIbAwAKCRAAXntORpphj25Q
AQDC7Hj9oEUmI9kIcT9SE3Ay6+UtTifnZnHl/W9FmfZK3QD+MoHqKqX7Yl15ES9PhduY/EUSrhB80HBXV8HwFVCBRQDO/wAA
ADgEX14QABIKKwYBBAGXVQEFAQEHQFuOA/Ol5HGbyyxIEbUXGG4uz5u84CH44RgFYgBddrpJAwEIB8L/AAAAeAQYFgoAIAUC
awes2BYhBNRjVXpAt6gEpIUJCwBee05GmmGPAhsMAAoJEABee05GmmGP2EoBAOYMoq+6Ib8ctRIV38pWU0ddQ886cX7Db+76
W+QSzj66AQDTUCy2H/O6g1R+KCmiqz6ijohWE3pwn0j4a0cU6Wi5Bs7/AAAAMwRfXhAAFgkrBgEEAdpHDwEBB0AJiH2XADPW
KA6Pg1IF6NggpL7A2OhKfGBaTRJwcCrR3cL/AAAAeAQYFgoAIAUCawes2RYhBNRjVXpAt6gEpIUJCwBee05GmmGPAhsCAAoJ
EABee05GmmGPixABALGuBdZyYkS+QXzL1+3aXWv/ua+mwR0sofpeFNGmkR4hAP47aKg/c1XpxEE4AFspKGdp/tvqcTHNO3Zl
A8u+8KeLDg==
"""
)
BOB = base64.b64decode(
    """
xv8AAAAzBF9eEAAWCSsGAQQB2kcPAQEHQK5xy4svBf7Y84oO9PMsLfuCVsSKJmhaKzhg7TI8hU4Vzf8AAAAVQm9iIDxib2JA
ZXhhbXBsZS5jb20+wv8AAAB4BBMWCgAgBQJrB6zYFiEEZgS+LxuLVCWRS/NLoDQzohcLFu4CGwMACgkQoDQzohcLFu7HnwEA
uDWkeUgNLOexMN5vjt5hCdM9OGYJ7Dwt5DvGzcdYr78BAL7h9Vf+1P+TZgS2XIDf6fymfNaoxlRYY7w0rE3M8sQGzv8AAAAz
BF9eEAAWCSsGAQQB2kcPAQEHQAmIfZcAM9YoDo+DUgXo2CCkvsDY6Ep8YFpNEnBwKtHdwv8AAADvBBgWCgAgBQJrB6zYFiEE
ZgS+LxuLVCWRS/NLoDQzohcLFu4CGwIAgQkQoDQzohcLFu52IAQZFgoAHQUCawes2BYhBGgjh4X48/M2isU9q+2YE2LhngxR
AAoJEO2YE2LhngxRSc0A/0cmRvk0UT+VG6uq3l55tsFv5WZTbt6fZkvhh4Mn+U1KAP9WJGEZwu7Yaj/XTyr0hOGMNP+qUIv1
4PI4eVwwNo+BD1KWAQCVyFVYsHR3rZyIF9+iamncCLWBKenbUqExg8dxllFAawD+KtjEEEdXzo6ljY80HabfdI+yE8bMZBl6
HLoga5SENALO/wAAADgEX14QABIKKwYBBAGXVQEFAQEHQDbdLcpXtxuCjUV6FmRfNmPJgpAzk+Fft0ra1I1dT0s+AwEIB8L/
AAAAeAQYFgoAIAUCawes2BYhBGYEvi8bi1QlkUvzS6A0M6IXCxbuAhsMAAoJEKA0M6IXCxbu9OkA/iuFP7MUwiHwv6oWS9P2
82D1f50uLnms7T6nGxYaIEikAQC/b7nFyZFKdZJ60Nl0FhmidQsswuhZlL+pCWxz5u0GBQ==
"""
)
SIGNATURE = base64.b64decode(
    """
wv8AAAB1BAAWCgAdBQJrB6zZFiEEaCOHhfjz8zaKxT2r7ZgTYuGeDFEACgkQ7ZgTYuGeDFH7DQD/bG7HCtBGRBKEOt6yj8Du
v0dsvgLXNFCN3jLvkpQQSFsA/jJK8OvKR+fv5j/kvYdb0BIYr+GAMo49j4k04fBQgfsL
"""
)


def back_signature() -> bytes:
    """Return the signature by which Bob's subkey says that it is Bob's."""
    binding = [each for each in openpgp.packets(BOB) if each.tag == openpgp.SIGNATURE][1]
    hashed = 6 + int.from_bytes(binding.body[4:6])
    area = binding.body[hashed + 2 : hashed + 2 + int.from_bytes(binding.body[hashed : hashed + 2])]
    # Behind the issuer, which takes ten octets; its own length takes one, as does its type.
    assert area[11] == 32
    return area[12:]


def forged() -> bytes:
    """Return Bob's back signature with the two octets of the hash that Mallory's key would have.

    They stand in the clear and are not signed; that the signature is not good, gpg alone can tell.
    """
    back = back_signature()
    primary, *_, adopted, _ = openpgp.packets(MALLORY)
    hashed = back[: 6 + int.from_bytes(back[4:6])]
    place = len(hashed) + 2 + int.from_bytes(back[len(hashed) : len(hashed) + 2])
    assert back[3] == 10
    digest = hashlib.sha512()
    for key in (primary, adopted):
        digest.update(b"\x99" + len(key.body).to_bytes(2) + key.body)
    digest.update(hashed + b"\x04\xff" + len(hashed).to_bytes(4))
    return back[:place] + digest.digest()[:2] + back[place + 2 :]


def mallory(back: bytes = b"") -> bytes:
    """Return Mallory's key; ``back`` stands where the subkey would say that it is Mallory's."""
    *others, adopted = openpgp.packets(MALLORY)
    if not back:
        return MALLORY
    body = adopted.body
    hashed = 6 + int.from_bytes(body[4:6])
    end = hashed + 2 + int.from_bytes(body[hashed : hashed + 2])
    area = body[hashed + 2 : end] + b"\xff" + (len(back) + 1).to_bytes(4) + b"\x20" + back
    whole = body[:hashed] + len(area).to_bytes(2) + area + body[end:]
    return b"".join(each.raw for each in others) + openpgp.packet(openpgp.SIGNATURE, whole)
