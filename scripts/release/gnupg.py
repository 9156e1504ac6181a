"""Builds a static gpg2 from Debian's source package: scripts/build-gpg.

1. The source is the upstream archive in Debian's source package, by apt, and of the one content
   that is named here. No patch is taken: tests show that none is needed.
2. The libraries are Debian's own static ones (``-dev`` packages), with the C library, of one
   release, whatever machine this is. apt checks the archive's signature.
3. Programs are static-pie with all that hardens them, and need no file of the machine they run on:
   users come from ``/etc/passwd`` (static_names.c), characters are UTF-8, and options from a folder
   of their own (``SYSCONFDIR``) instead of ``/etc/gnupg``.
4. The same compiler and packages give the same bytes. BUILT.json says which they were; it is
   written last, so that a run that was stopped has built nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from scripts.release.debian_programs import Archive
from scripts.release.running import Failure, run

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
RECORD = "BUILT.json"

VERSION = "2.4.9"
#: In any source package of this version, in this release of Debian.
SOURCE, SOURCE_SUITE = f"gnupg2_{VERSION}.orig.tar.bz2", "sid"
SOURCE_SHA256 = "dd17ab2e9a04fd79d39d853f599cbc852062ddb9ab52a4ddeb4176fd8b302964"
#: The release whose libraries are taken, and those that are linked.
SUITE = "bookworm"
LIBRARIES = {
    "libassuan-dev": "assuan",
    "libgcrypt20-dev": "gcrypt",
    "libgpg-error-dev": "gpg-error",
    "libksba-dev": "ksba",
    "libnpth0-dev": "npth",
    "zlib1g-dev": "z",
    "libbz2-dev": "bz2",
    "libc6-dev": "c",
}
#: Debian's names of the machines, and the beginning of their compilers' names.
MACHINES = {"x86_64": ("amd64", "x86_64-linux-gnu"), "aarch64": ("arm64", "aarch64-linux-gnu")}
#: Where an administrator's options for this gpg would lie, below ``gnupg``.
SYSCONFDIR = "/etc/tiny_gnupg"
#: The parts that are left out, and what gpg would use of the machine's.
WITHOUT = (
    *("gpgsm", "scdaemon", "dirmngr", "keyboxd", "tpm2d", "wks-tools", "gpgtar", "doc", "ldap"),
    *("tofu", "sqlite", "photo-viewers", "nls", "gnutls", "ntbtls", "libdns", "maintainer-mode"),
)
#: The folders that are built in their order, what of them, and the programs that come of it.
FOLDERS = ("common", "regexp", "kbx", "g10", "agent", "tools")
TARGETS = {"tools": ("gpgconf", "gpg-connect-agent")}
PROGRAMS = {
    "gpg2": "g10/gpg",
    "gpgv": "g10/gpgv",
    "gpg-agent": "agent/gpg-agent",
    "gpgconf": "tools/gpgconf",
    "gpg-connect-agent": "tools/gpg-connect-agent",
}
HARDENED = (
    *("-O2", "-fPIE", "-fstack-protector-strong", "-fstack-clash-protection"),
    *("-Wformat", "-Werror=format-security"),
)
LINKED = ("-static-pie", "-Wl,-z,relro,-z,now,-z,noexecstack", "-Wl,--build-id=none")


#: The exit code where the archive does not give what is built.
NOT_TO_BE_HAD = 3


class NotToBeHad(Failure):
    """The archive does not give it, or not as it was."""


def build(machine: str, into: Path) -> None:
    """Build the programs for a machine.

    Args:
        machine: as wheel tags call it.
        into: the folder that shall hold them and BUILT.json.

    Raises:
        Failure: something is missing, is not what it was, or does not build.
    """
    into.mkdir(parents=True, exist_ok=True)
    (into / RECORD).unlink(missing_ok=True)
    architecture, triplet = MACHINES[machine]
    with tempfile.TemporaryDirectory(prefix=".building-", dir=into.parent) as folder:
        work = Path(folder)
        try:
            debs = Archive(SUITE, work / "libraries", architecture).download(list(LIBRARIES))
            source, version = get_source(work)
        except Failure as failure:
            raise NotToBeHad(str(failure)) from failure
        packages = unpacked(debs, work / "root")
        compiler = f"{triplet}-gcc"
        make(source, work, triplet)
        for name, built in PROGRAMS.items():
            run(f"{triplet}-strip", "-o", into / name, source / built)
            (into / name).chmod(0o755)
        record = {
            "gnupg": VERSION,
            "machine": machine,
            "compiler": run(compiler, "--version").splitlines()[0],
            "sysconfdir": f"{SYSCONFDIR}/gnupg",
            "source_sha256": SOURCE_SHA256,
            "packages": [gnupg_package(source, version), *packages],
        }
    (into / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def get_source(work: Path) -> tuple[Path, str]:
    """Return the source, unpacked, and the version of the source package that it is of."""
    archive = Archive(SOURCE_SUITE, work / "sources")
    version = archive.source_version("gnupg2", SOURCE_SHA256)
    if not version:
        raise Failure(f"Debian has no {SOURCE} of the content that was looked at any more")
    archive.get_source("gnupg2", version, work)
    data = (work / SOURCE).read_bytes()
    if hashlib.sha256(data).hexdigest() != SOURCE_SHA256:
        raise Failure(f"{SOURCE} is another than the one that was looked at")
    run("tar", "-xf", work / SOURCE, "-C", work)
    return work / f"gnupg-{VERSION}", version


def unpacked(debs: Iterable[Path], root: Path) -> list[dict[str, str]]:
    """Unpack packages into one folder, and tell of those whose libraries are linked."""
    root.mkdir()
    # As on any system of these days, where /lib is usr/lib.
    for name in ("bin", "lib", "lib64", "sbin"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    told = []
    for deb in debs:
        packed = root.parent / "package.tar"
        run("sh", "-c", 'dpkg-deb --fsys-tarfile "$1" >"$2"', "sh", deb, packed)
        # Not by dpkg-deb -x, which would put a folder where /lib is a link.
        run("tar", "--keep-directory-symlink", "-xf", packed, "-C", root)
        name = deb.name.partition("_")[0]
        if name in LIBRARIES:
            told.append(library_package(deb, root / "usr/share/doc" / name / "copyright"))
    return told


def library_package(deb: Path, copyright_file: Path) -> dict[str, str]:
    """Return what there is to say of a package, as scripts/stage-gpg says it."""
    form = "${Package}\\n${Version}\\n${source:Package}\\n${source:Version}\\n"
    shown = run("dpkg-deb", "--show", f"--showformat={form}", deb).splitlines()
    name, version, source, source_version = shown
    licence_text = copyright_file.read_bytes().decode(errors="replace")
    return package(name, version, source, source_version, licence_text)


def gnupg_package(source: Path, version: str) -> dict[str, str]:
    """Return what there is to say of gpg itself."""
    names = ("AUTHORS", "COPYING", "COPYING.LGPL21", "COPYING.LGPL3", "COPYING.other")
    texts = [(source / name).read_text(encoding="utf-8", errors="replace") for name in names]
    return package("gnupg", VERSION, "gnupg2", version, "\n".join(texts))


def package(name: str, version: str, source: str, source_version: str, text: str) -> dict[str, str]:
    """Return a package as scripts/stage-gpg knows them."""
    return {
        "name": name,
        "version": version,
        "source": source,
        "source_version": source_version,
        "licence_text": text,
    }


def make(source: Path, work: Path, triplet: str) -> None:
    """Configure and compile."""
    usr = work / "root/usr"
    static = work / "static"
    static.mkdir()
    for library in set(LIBRARIES.values()) - {"c"}:  # beside each, its shared form is not seen
        shutil.copy(usr / "lib" / triplet / f"lib{library}.a", static)
    compiler = f"{triplet}-gcc --sysroot={work / 'root'}"
    # Where it is built is nobody's business, and would not be the same twice.
    flags = [*HARDENED, f"-ffile-prefix-map={work}=."]
    names = work / "static_names.o"
    run(*compiler.split(), *flags, "-c", HERE / "static_names.c", "-o", names)
    environment = {
        "PATH": os.environ["PATH"],
        "LC_ALL": "C.UTF-8",
        "SOURCE_DATE_EPOCH": "0",
        "CC": compiler,
        "CC_FOR_BUILD": "gcc",
        "CPPFLAGS": "-D_FORTIFY_SOURCE=2",
        "CFLAGS": " ".join(flags),
        "LDFLAGS": f"{' '.join(LINKED)} -L{static} {names}",
        "GPGRT_CONFIG": f"{usr}/bin/gpgrt-config",
    }
    where = ("--prefix=/usr", "--libexecdir=/usr/lib/gnupg", f"--sysconfdir={SYSCONFDIR}")
    configure = (
        *("./configure", f"--host={triplet}", "--build=" + run("gcc", "-dumpmachine").strip()),
        *(*where, "--without-readline", *(f"--disable-{part}" for part in WITHOUT)),
        *(f"--with-{one}-prefix={usr}" for one in ("libgpg-error", "libgcrypt", "libassuan")),
        *(f"--with-{one}-prefix={usr}" for one in ("libksba", "npth")),
    )
    run(*configure, cwd=source, env=environment)
    for folder in FOLDERS:
        say(f"compiling {folder}")
        target = TARGETS.get(folder, ())
        run("nice", "make", "-C", source / folder, *target, env=environment)


def say(words: str) -> None:
    """Tell the person what is going on."""
    print(f"build-gpg: {words}", file=sys.stderr, flush=True)


def main() -> int:
    """Read the arguments and build, unless what there is was built of the same."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--machine", choices=MACHINES, default=platform.machine())
    parser.add_argument("--into", type=Path, metavar="FOLDER")
    parser.add_argument("--force", action="store_true", help="build anew")
    arguments = parser.parse_args()
    own = arguments.machine == platform.machine()
    name = "built" if own else f"built-{arguments.machine}"
    into = (arguments.into or ROOT / "build/gpg" / name).resolve()
    if (into / RECORD).exists() and not arguments.force:
        say(f"already built: {into}")
        return 0
    try:
        build(arguments.machine, into)
    except Failure as failure:
        say(str(failure)[-4000:])
        return NOT_TO_BE_HAD if isinstance(failure, NotToBeHad) else 1
    say(f"built GnuPG {VERSION} for {arguments.machine} into {into}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
