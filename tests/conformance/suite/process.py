"""A client in a process of its own, with servers of its own."""

from __future__ import annotations

import importlib
import logging
import multiprocessing
from collections.abc import Iterator
from multiprocessing.connection import Connection

from .cells import Cell
from .clients import MODULES
from .world import Options, World

SPAWN = multiprocessing.get_context("spawn")


def run(key: str, options: Options, results: Connection) -> None:
    """What the process does: every contract of the client, each cell sent as it is known."""
    logging.disable(logging.ERROR)
    module = importlib.import_module(f".clients.{MODULES[key]}", __package__)
    client = next(client for client in module.CLIENTS if client.key == key)
    world = World(options, key)
    try:
        for cell in client.judge(world):
            results.send(cell)
    finally:
        world.stop()
    results.send(None)


def judge(key: str, options: Options) -> Iterator[Cell]:
    """The cells of a client. A process that ends without having said so is a cell that failed."""
    ours, theirs = SPAWN.Pipe(duplex=False)
    process = SPAWN.Process(target=run, args=(key, options, theirs))
    process.start()
    theirs.close()
    try:
        while (cell := ours.recv()) is not None:
            yield cell
    except EOFError:
        process.join()
        yield Cell(key, "", "the client's process ends well", "failed", 0, 0.0, f"exit code {process.exitcode}")
    process.join()
