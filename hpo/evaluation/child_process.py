"""An evaluator: a child process that trains and scores, and that can be killed without harm to anybody else.

The parent's side is :class:`Evaluator`. The child reads requests from its standard input and answers on its
standard output; what fits print goes to standard error. When the parent dies, the input ends and the child with it.
A fit may do anything to its process. So each answer is framed, with its length and checksum: whatever else comes out
of the pipe, or an end of it while the process lives, is the process's death.
"""

import contextlib
import functools
import os
import pickle
import queue
import signal
import struct
import subprocess
import sys
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import IO, Any

from hpo.errors import WorkerBroken
from hpo.evaluation.engine import Unit, UnitResult
from hpo.evaluation.evaluate import Problem, evaluate_folds
from hpo.evaluation.results import FoldResult
from hpo.process.failures import describe, end_if_forked
from hpo.study.publication import read_publication
from hpo.units import format_duration, format_size

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS", "LOKY_MAX_CPU_COUNT",
)  # fmt: skip
_SECONDS_BETWEEN_LOOKS = 0.1
_SECONDS_TO_END = 2.0  # for a process whose answers have ended; and for one that was killed
_FRAME = struct.Struct("<4sQI")  # mark, length and checksum before each answer
_MARK = b"hpo\x01"
_LONGEST_ANSWER = 1 << 30
_BADGE = "HPO_EVALUATOR"  # variable that an evaluator and all that it starts have, wherever they go


@dataclass(frozen=True)
class Request:
    """A unit to evaluate.

    Attributes:
        unit: after whose seconds, where it has any, it is killed.
        path: of the published definition and data.
        memory_mb: resident memory of the process beyond which it is killed, or None.
    """

    unit: Unit
    path: str
    memory_mb: float | None = None


class Evaluator:
    """One child process, started at once.

    Args:
        threads: that its BLAS and OpenMP may use.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        path = os.pathsep.join(dict.fromkeys(entry or os.getcwd() for entry in sys.path))
        limits = dict.fromkeys(_THREAD_VARIABLES, str(threads))
        self._badge = uuid.uuid4().hex
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", "from hpo.evaluation.child_process import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **limits, "PYTHONPATH": path, _BADGE: self._badge},
            start_new_session=True,  # a Ctrl-C in the terminal is the parent's to handle
        )
        self._messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._is_ready = False
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    def _read(self, stream: IO[bytes]) -> None:
        with stream, contextlib.suppress(OSError, ValueError):  # closed by us
            while (answer := _read_frame(stream)) is not None:
                try:
                    self._messages.put(pickle.loads(answer))
                except Exception:  # noqa: BLE001 - unpickling may raise anything
                    break
        self._messages.put(None)

    @property
    def is_alive(self) -> bool:
        """Whether it can take a request."""
        return self._process.poll() is None and self._reader.is_alive()

    def evaluate(self, request: Request, is_wanted: Callable[[], bool] = lambda: True) -> UnitResult:
        """Train and score; what exceeds its time or memory, or is no longer wanted, is killed with its process.

        Raises:
            WorkerBroken: the child cannot start, or cannot read the study.
        """
        results: list[FoldResult] = []
        begun: float | None = None
        looked = time.monotonic()
        try:
            pickle.dump(request, self._input)
            self._input.flush()
        except OSError:
            return self._dead(request.unit, results)
        while True:
            try:
                message = self._messages.get(timeout=_SECONDS_BETWEEN_LOOKS)
            except queue.Empty:
                # Something that it has started may hold the pipe open beyond its end.
                message = ("nothing",) if self.is_alive or not self._messages.empty() else None
            match message:
                case None:
                    return self._dead(request.unit, results)
                case ("ready",):
                    self._is_ready = True
                case ("broken", text):
                    raise WorkerBroken(text)
                case ("begun",):
                    begun = time.monotonic()
                case ("fold", FoldResult() as result):
                    results.append(result)
                case ("done",):
                    return UnitResult(request.unit, tuple(results))
            spent = 0.0 if begun is None else time.monotonic() - begun
            if request.unit.seconds is not None and spent > request.unit.seconds:
                error = f"TrialTimeout: not done after {format_duration(spent)}; killed"
                return self._killed(request.unit, results, error, spent)
            if time.monotonic() - looked >= _SECONDS_BETWEEN_LOOKS:
                looked = time.monotonic()
                if request.memory_mb is not None and begun is not None:
                    used = self._resident_mb()
                    if used > request.memory_mb:
                        error = f"TrialMemory: took {format_size(used)}, above {format_size(request.memory_mb)}; killed"
                        return self._killed(request.unit, results, error, spent, used)
                if not is_wanted():
                    self.kill()
                    return UnitResult(request.unit, tuple(results), "it was not wanted any more")

    @property
    def _input(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    def _killed(
        self, unit: Unit, results: list[FoldResult], error: str, spent: float, peak_mb: float = float("nan")
    ) -> UnitResult:
        self.kill()
        earlier = sum(result.seconds for result in results)
        failed = FoldResult(fit_seconds=max(spent - earlier, 0.0), peak_memory_mb=peak_mb, error=error)
        return UnitResult(unit, (*results, failed))

    def _dead(self, unit: Unit, results: list[FoldResult]) -> UnitResult:
        try:
            code = self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self.kill()
            return UnitResult(unit, tuple(results), "the end of its answers, closed or garbled")
        self.kill()  # what it may have started itself
        how = f"signal {_signal_name(-code)}" if code < 0 else f"exit code {code}"
        if not self._is_ready and code >= 0:
            raise WorkerBroken(f"an evaluator process ended with {how} before it was ready; its own words are above")
        return UnitResult(unit, tuple(results), how)

    def _resident_mb(self) -> float:
        """Resident memory of the child and of what it started, in MB."""
        import psutil

        try:
            child = psutil.Process(self._process.pid)
            used: int = child.memory_info().rss
            for other in child.children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    memory = other.memory_info()
                    used += memory.rss - getattr(memory, "shared", 0)
        except psutil.Error:
            return 0.0
        return used / 2**20

    def kill(self) -> None:
        """End it now, with every process it has started."""
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):  # of one that the kernel holds nobody need wait for
            self._process.wait(_SECONDS_TO_END)
        self._kill_escaped()
        self._reader.join(timeout=1)
        with contextlib.suppress(OSError):
            self._input.close()

    def _kill_escaped(self) -> None:
        """Kill what has left the group, as daemons do: it may hold the pipe, and cores and memory."""
        import psutil

        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.pid != os.getpid() and process.environ().get(_BADGE) == self._badge:
                    process.kill()


def _read_frame(stream: IO[bytes]) -> bytes | None:
    """The next answer, or None where the stream ends or has something else."""
    head = stream.read(_FRAME.size)
    if len(head) < _FRAME.size:
        return None
    mark, length, checksum = _FRAME.unpack(head)
    if mark != _MARK or length > _LONGEST_ANSWER:
        return None
    answer = stream.read(length)
    return answer if len(answer) == length and zlib.crc32(answer) == checksum else None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return str(number)


# --- the child's side ---


def serve() -> None:
    """Answer requests until standard input ends."""
    answers = os.fdopen(os.dup(1), "wb")
    requests = os.fdopen(os.dup(0), "rb")
    os.dup2(2, 1)  # what fits print must not fall between the answers
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # so that a KeyboardInterrupt is the fit's own
    process = os.getpid()
    waiting: queue.SimpleQueue[Request] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(requests, waiting), daemon=True).start()

    def answer(*message: Any) -> None:
        end_if_forked(process)
        content = pickle.dumps(message)
        try:
            answers.write(_FRAME.pack(_MARK, len(content), zlib.crc32(content)) + content)
            answers.flush()
        except BrokenPipeError:
            os._exit(0)  # the parent is gone, as in _receive; nobody wants a traceback of that

    answer("ready")
    while True:
        request = waiting.get()
        unit = request.unit
        try:
            problem = _problem(request.path, unit.split)
            used = problem.used(unit.configuration)
        except BaseException as error:  # noqa: BLE001 - whatever it is, no trial can be evaluated here
            answer("broken", f"an evaluator cannot read the study: {describe(error)}")
            continue
        answer("begun")
        for result in _limited(evaluate_folds(problem, used, unit.folds, unit.watching), request.memory_mb):
            answer("fold", result)
        answer("done")


def _receive(requests: IO[bytes], waiting: "queue.SimpleQueue[Request]") -> None:
    with contextlib.suppress(EOFError, OSError, pickle.UnpicklingError):
        while True:
            waiting.put(pickle.load(requests))
    os._exit(0)  # the parent is gone, and with it whoever wanted the result


@functools.lru_cache(maxsize=2)
def _study(path: str) -> Any:
    from threadpoolctl import threadpool_limits

    study = read_publication(path)
    threadpool_limits(int(os.environ["OMP_NUM_THREADS"]))  # libraries that were loaded in spite of the variables
    return study


@functools.lru_cache(maxsize=32)
def _problem(path: str, split: int) -> Problem:
    definition, data = _study(path)
    return Problem(definition, split, data=data)


def _limited(results: Iterator[FoldResult], memory_mb: float | None) -> Iterator[FoldResult]:
    """Let the kernel refuse memory beyond the limit (Linux); elsewhere the parent watches alone."""
    if memory_mb is None or not sys.platform.startswith("linux"):
        yield from results
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    while True:
        page_mb = resource.getpagesize() / 2**20
        with open("/proc/self/statm") as statm:
            fields = [int(field) * page_mb for field in statm.read().split()]
        resident, private = fields[1], fields[5]
        if resident >= memory_mb:
            has = f"{format_size(resident)} for libraries and data"
            yield FoldResult(error=f"TrialMemory: the process takes {has} alone, above {format_size(memory_mb)}")
            return
        resource.setrlimit(resource.RLIMIT_DATA, (int((private + memory_mb - resident) * 2**20), hard))
        try:
            result = next(results, None)
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
        if result is None:
            return
        if result.error is not None and "MemoryError" in result.error.partition(":")[0]:
            result = replace(result, error=f"TrialMemory: above {format_size(memory_mb)} ({result.error})")
        yield result
