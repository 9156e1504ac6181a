"""Encrypt all files of a folder, over many processes, or with Dask over many machines.

    python bulk_encrypt.py --key recipient.asc SOURCE TARGET [--workers 4]
    python bulk_encrypt.py --key recipient.asc SOURCE TARGET --dask tcp://scheduler:8786
    python bulk_encrypt.py --key recipient.asc SOURCE TARGET --dask local

Each batch is done in a home of its own, made for it and gone after it: workers share no keyring, no
lock and no agent, and a worker needs no more than the recipient's public key. With Dask, SOURCE and
TARGET are on a disk that all workers see.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tiny_gnupg import GnuPG

#: Takes a function and its arguments, gives what has a ``result()``.
Submit = Callable[..., Any]
#: Files in a batch: enough that making its home does not count.
BATCH = 32


def encrypt_batch(files: Iterable[str], target: str, key: str) -> list[str]:
    """Encrypt some files; runs in a worker."""
    return asyncio.run(_encrypt(list(files), Path(target), key))


async def _encrypt(files: list[str], target: Path, key: str) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="tgbulk") as home:
        async with GnuPG(homedir=home) as gpg:
            (recipient,) = (await gpg.text_import(key)).fingerprints
            written = await asyncio.gather(
                *(
                    gpg.encrypt_file(file, recipient, target / f"{Path(file).name}.gpg", sign=False)
                    for file in files
                )
            )
    return [str(path) for path in written]


def encrypt_folder(source: Path, target: Path, key: str, *, workers: int, dask: str = "") -> int:
    """Encrypt all files of a folder, batch by batch.

    Args:
        source: the folder; what is below its folders is left alone.
        target: where ``<name>.gpg`` goes; no file in it is written over.
        key: the recipient's public key, armored.
        workers: processes on this machine.
        dask: a scheduler's address, or ``local``; the empty text is without Dask.

    Returns:
        The number of files.
    """
    files = sorted(str(path.resolve()) for path in source.iterdir() if path.is_file())
    batches = [files[at : at + BATCH] for at in range(0, len(files), BATCH)]
    target.mkdir(parents=True, exist_ok=True)
    place = str(target.resolve())
    run = _over_dask(dask, workers) if dask else _over_processes(workers)
    with run as submit:
        jobs = [submit(encrypt_batch, batch, place, key) for batch in batches]
        return sum(len(job.result()) for job in jobs)


def _over_processes(workers: int) -> AbstractContextManager[Submit]:
    return _submitting(ProcessPoolExecutor(workers, mp_context=get_context("spawn")))


@contextmanager
def _submitting(pool: ProcessPoolExecutor) -> Iterator[Submit]:
    with pool:
        yield pool.submit


@contextmanager
def _over_dask(address: str, workers: int) -> Iterator[Submit]:
    from distributed import Client, LocalCluster

    with ExitStack() as stack:
        if address == "local":
            cluster = LocalCluster(  # type: ignore[no-untyped-call]
                n_workers=workers, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
            )
            address = stack.enter_context(cluster).scheduler_address
        client = stack.enter_context(
            Client(address, set_as_default=False)  # type: ignore[no-untyped-call]
        )
        # The same batch encrypts anew: two encryptions of one file are never the same.
        yield partial(client.submit, pure=False)


def main() -> None:
    """Read the arguments and encrypt."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--key", required=True, type=Path, help="the recipient's public key")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--dask", default="", metavar="ADDRESS", help="a scheduler, or local")
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    given = parser.parse_args()
    key = given.key.read_text()
    count = encrypt_folder(given.source, given.target, key, workers=given.workers, dask=given.dask)
    print(f"{count} files")


if __name__ == "__main__":
    main()
