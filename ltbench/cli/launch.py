"""``--num-processes N``: the same command in N processes on this machine, joined by torch.distributed."""

import os
import signal
import socket
import subprocess
import sys
import time

from ltbench.errors import UsageError

POLL_SECONDS = 0.2


def launch(num_processes: int) -> int:
    """Start this command N times and wait; returns the first exit code that is not 0.

    Processes know each other by the environment variables that torch.distributed reads. When one fails the others, which
    would wait for it forever, are ended.

    Raises:
        UsageError: this process was itself started by such a launcher.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            f"--num-processes {num_processes}: this process is one of {os.environ['WORLD_SIZE']} that torchrun or accelerate "
            "launch has started; leave the option out."
        )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = _without_option(sys.argv[1:], "--num-processes")
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // num_processes))
    shared = os.environ | {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(num_processes),
        "LOCAL_WORLD_SIZE": str(num_processes),
        "OMP_NUM_THREADS": threads,
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "ltbench", *arguments], env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        )
        for rank in range(num_processes)
    ]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the processes are ended, too
    try:
        return _wait(processes)
    except KeyboardInterrupt:
        return 130
    finally:
        _end(processes, signal.SIGINT)


def _wait(processes: list[subprocess.Popen[bytes]]) -> int:
    while True:
        codes = [process.poll() for process in processes]
        if failed := next((code for code in codes if code), None):
            _end(processes, signal.SIGTERM)
            return failed if failed > 0 else 1
        if all(code == 0 for code in codes):
            return 0
        time.sleep(POLL_SECONDS)


def _end(processes: list[subprocess.Popen[bytes]], how: signal.Signals) -> None:
    for process in processes:
        if process.poll() is None:
            process.send_signal(how)
    for process in processes:
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()


def _without_option(arguments: list[str], option: str) -> list[str]:
    kept: list[str] = []
    skip = False
    for argument in arguments:
        if skip:
            skip = False
        elif argument == option:
            skip = True
        elif not argument.startswith(f"{option}="):
            kept.append(argument)
    return kept
