"""``--num-processes N``: the same command in N processes on this machine, joined by torch.distributed."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from ltbench.engine.machine.world import LAUNCHED, read_world, usable_cores
from ltbench.errors import Interrupted, LtbenchError, StopRun, UsageError

POLL_SECONDS = 0.2
SECONDS_TO_END = 10


def check_number(num_processes: int, oversubscribe: bool) -> None:
    """Refuse a number of processes that cannot be meant, before any is started.

    Raises:
        UsageError: this process was itself started by such a launcher, or there are fewer cores.
    """
    world = read_world()
    if num_processes == 1:
        return
    if world.size > 1:
        raise UsageError(
            f"--num-processes {num_processes}: this process is one of {world.size} that torchrun or accelerate "
            "launch has started; leave the option out."
        )
    if num_processes > (cores := usable_cores()) and not oversubscribe:
        raise UsageError(
            f"--num-processes {num_processes}: this command may use {cores} core{'s' * (cores > 1)}; start no more processes, "
            "or add --oversubscribe."
        )


def launch(num_processes: int) -> int:
    """Start this command N times and wait; returns the exit code of a process that failed, else 0.

    Processes know each other by the environment variables that torch.distributed reads. When one fails the others, which
    would wait for it forever, are ended; so are all where this process is interrupted. A run that a plugin stops ends on each
    of them by itself.

    Raises:
        LtbenchError: a process was killed.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = _without_option(sys.argv[1:], "--num-processes")
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, usable_cores() // num_processes))
    shared = os.environ | {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(num_processes),
        "LOCAL_WORLD_SIZE": str(num_processes),
        "OMP_NUM_THREADS": threads,
        LAUNCHED: "1",
    }
    processes: list[subprocess.Popen[bytes]] = []
    how = signal.SIGTERM
    try:
        for rank in range(num_processes):
            environment = shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            processes.append(subprocess.Popen([sys.executable, "-m", "ltbench", *arguments], env=environment))
        return _wait(processes)
    except KeyboardInterrupt as interruption:
        how = interruption.signal if isinstance(interruption, Interrupted) else signal.SIGINT
        raise
    finally:
        _end(processes, how)


def _wait(processes: Sequence[subprocess.Popen[bytes]]) -> int:
    while True:
        codes = [process.poll() for process in processes]
        if failed := [code for code in codes if code and (code != StopRun.exit_code or None not in codes)]:
            # A process that loses another one fails, too, with 1.
            code = next((code for code in failed if code != LtbenchError.exit_code), failed[0])
            if code < 0:
                raise LtbenchError(
                    f"process {codes.index(code)} of the run was ended by signal {-code} ({signal.Signals(-code).name})"
                    f"{': is there enough memory?' if code == -signal.SIGKILL else '.'}"
                )
            return code
        if all(code == 0 for code in codes):
            return 0
        time.sleep(POLL_SECONDS)


def _end(processes: Sequence[subprocess.Popen[bytes]], how: signal.Signals) -> None:
    for process in processes:
        if process.poll() is None:
            process.send_signal(how)
    for process in processes:
        try:
            process.wait(timeout=SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()


def _without_option(arguments: Sequence[str], option: str) -> list[str]:
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
