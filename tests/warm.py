"""Processes that need not load torch, which takes seconds: each is a fork of one process that has loaded it.

`warm_commands` starts this file as a server and fills a folder for PATH with commands named `python` and `dvc`. Each
hands its arguments, working directory, environment and open files to the server, whose fork does what a new interpreter
would, and loads all of `unlearning` itself. One thing differs: the seed of Python's string hashes is that of the
server, so that a test of equal bytes starts real processes.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import shlex
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

LOADED = (
    "torch", "torch._dynamo", "timm", "accelerate", "safetensors.torch", "pydantic", "tqdm", "ruamel.yaml",
    "scipy.stats", "matplotlib.pyplot", "sklearn.datasets", "sklearn.manifold", "dvc.cli.parser",
)  # fmt: skip
SOCKET = "socket"


@contextmanager
def warm_commands(folder: Path) -> Iterator[Path]:
    """Yield a folder of commands that answer while the context lasts; it is empty where a fork of torch is not safe."""
    commands = folder / "bin"
    commands.mkdir()
    if sys.platform != "linux":
        yield commands
        return
    for name in ("python", "dvc"):
        asking = shlex.join([sys.executable, "-IS", __file__, "ask", str(folder), name])
        (commands / name).write_text(f'#!/bin/sh\nexec {asking} "$@"\n')
        (commands / name).chmod(0o755)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command, pipe = [sys.executable, __file__, "serve"], subprocess.PIPE
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdin=pipe, stdout=pipe, start_new_session=True
    ) as server:  # which ends with its standard input, however this process ends
        assert server.stdout.readline() == b"ready\n"
        yield commands


def ask(folder: str, name: str, arguments: list[str]) -> int:
    """Let the server in this folder run a command as this process would; return its exit code."""
    request = json.dumps([name, arguments, str(Path.cwd()), dict(os.environ)]).encode()
    os.chdir(folder)  # the path of a socket may have 100 characters
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(SOCKET)
        socket.send_fds(server, [len(request).to_bytes(8, "big")], [0, 1, 2])
        server.sendall(request)
        answer = b"".join(iter(lambda: server.recv(64), b""))  # all of it when the fork has ended, however it did
    return int(answer or 70)


def serve() -> None:
    """Fork for each request, until standard input ends."""
    for name in LOADED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a fork copies what it touches
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(SOCKET)
        server.listen()
        print("ready", flush=True)
        while server in select.select([server, sys.stdin], [], [])[0]:
            connection = server.accept()[0]
            if os.fork() == 0:
                server.close()
                answer(connection)
            connection.close()
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
    os.killpg(0, signal.SIGKILL)  # this process, and forks that nobody waits for any more


def answer(connection: socket.socket) -> None:
    """Run a request in this process and send its exit code."""
    size, files, _, _ = socket.recv_fds(connection, 8, 3)
    request = b""
    while len(request) < int.from_bytes(size, "big"):
        request += connection.recv(1 << 16)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    code = exit_code(json.loads(request))
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    connection.sendall(str(code).encode())
    os._exit(code)  # to take torch apart would take as long as to load it


def exit_code(request: list[Any]) -> int:
    """Run a request; return the exit code of an interpreter that ends like this."""
    try:
        execute(*request)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def execute(name: str, arguments: list[str], folder: str, environment: dict[str, str]) -> None:
    """Do what the command of this name does in a new interpreter."""
    import numpy as np

    np.random.seed()  # noqa: NPY002 - as unlike another process's as that of a new interpreter
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    own = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    if name == "dvc":
        begin(str(Path(sys.executable).parent), own, ["dvc", *arguments])
        sys.exit(importlib.import_module("dvc.cli").main())
    if arguments[0] == "-m":
        begin(folder, own, arguments[1:])
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        begin(str(Path(arguments[0]).resolve().parent), own, arguments)
        runpy.run_path(arguments[0], run_name="__main__")


def begin(first: str, own: list[str], arguments: list[str]) -> None:
    """Set the arguments, and the path of modules, on which the folder of this file stood first."""
    sys.argv[:] = arguments
    sys.path[:] = [first, *own, *sys.path[1:]]


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        sys.exit(ask(sys.argv[2], sys.argv[3], sys.argv[4:]))
