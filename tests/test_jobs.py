"""`--jobs` and `--threads`: several processes on one machine, their messages and their ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from programs import (
    ROOT,
    assert_same_run,
    command,
    environment,
    interrupt_at,
    read_json,
    refused,
    run_of,
    train,
)

from keras_ae.cli import jobs
from keras_ae.cli.jobs import FolderProgress, Workers, num_epochs, run_workers, worker_command
from keras_ae.cli.startup import limit_threads
from keras_ae.cli.train import parse
from keras_ae.runs.environment import num_threads
from keras_ae.runs.run_directory import RunDirectory

pytestmark = pytest.mark.usefixtures("offline", "eager")

THREADS = (
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
)


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    """Restores the numbers of threads."""
    for name in THREADS:
        monkeypatch.setenv(name, "1")


def script(code: str) -> list[str]:
    return [sys.executable, "-c", f"import os, signal, sys, time\n{code}"]


def no_progress() -> FolderProgress:
    return FolderProgress([], [], lambda run: [], print, enabled=False)


def test_worker_parses_the_command_of_the_grid():
    words = ["--variant", "deep", "vae", "--jobs", "8", "--seed", "1..3", "--set", "beta=2"]
    options = parse(worker_command(words, threads=3)[4:])
    assert (options.jobs, options.threads, options.share) == (1, 3, "wait")
    assert options.variant == ["deep", "vae"] and options.seed == [1, 2, 3]
    assert options.quiet and options.set == [{"beta": 2}]


def test_message_of_all_workers_is_shown_once():
    lines = []
    code = "print('same', file=sys.stderr); print(file=sys.stderr)"
    assert run_workers(script(code), 3, no_progress(), lines.append) == 0
    assert lines == ["same"]


def test_highest_exit_code_is_returned(tmp_path):
    first = f"open({str(tmp_path / 'first')!r}, 'x')"
    code = f"try: {first}\nexcept OSError: sys.exit(2)"
    assert run_workers(script(code), 2, no_progress(), print) == 2


def test_killed_worker_is_named(tmp_path):
    lines = []
    code = f"try: open({str(tmp_path / 'first')!r}, 'x')\nexcept OSError: time.sleep(1)\n"
    code += "else: os.kill(os.getpid(), signal.SIGKILL)"
    assert run_workers(script(code), 2, no_progress(), lines.append) == 1
    (line,) = lines
    assert "was ended by signal 9; the others take over its run" in line


def test_workers_are_asked_to_end_when_the_program_is_interrupted(tmp_path):
    code = f"""
def save(*_):
    open(os.path.join({str(tmp_path)!r}, str(os.getpid())), "w")
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
print("ready", file=sys.stderr, flush=True)
time.sleep(600)
"""
    with pytest.raises(KeyboardInterrupt), Workers(script(code), 2, print) as workers:
        for each in workers._readers:
            while each.is_alive() and workers._lines.qsize() < 2:
                time.sleep(0.01)
        raise KeyboardInterrupt
    assert {path.name for path in tmp_path.iterdir()} == {
        str(each.pid) for each in workers.processes
    }


def test_progress_counts_runs_and_epochs(tmp_path, capsys, monkeypatch):
    runs = [RunDirectory(tmp_path / name) for name in "abc"]
    for run in runs:
        run.directory.mkdir()
    runs[0].path("test.json").touch()
    runs[1].write_history([{"epoch": 1}])
    assert [num_epochs(run) for run in runs] == [0, 1, 0]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    progress = FolderProgress(runs, [4, 4, 4], lambda run: [run.directory.name, "bad"], print)
    assert progress.line(2).endswith("] 1/3 runs, 1/8 epochs, 2 workers")
    runs[1].write_history([{"epoch": 1}, {"epoch": 2}])
    assert "1/3 runs, 2/8 epochs, 1 worker  0:0" in progress.line(1)
    runs[1].path("test.json").touch()
    progress.update(1)
    output = capsys.readouterr().out
    assert "[2/3] b\n[2/3] bad\n" in output and "2/3 runs, 4/8 epochs" in output


def test_train_starts_the_workers_and_ends_as_they_do(tiny, tmp_path, monkeypatch, capsys):
    started = []

    def run_here(line, number, progress, show):
        started.append((line, number))
        show(f"{jobs.WORKER_PROG}: notice: of a worker")
        show(f"{jobs.WORKER_PROG}: error: of a worker")
        code = train(*line[4:]) if ends else 1
        progress.update(0)
        return code

    monkeypatch.setattr(jobs, "run_workers", run_here)
    line = [*command(tiny, tmp_path, "deep", "shallow"), "--jobs", "3"]
    ends = False
    assert train(*line) == 1
    ends = True
    assert train(*line) == 0
    assert [number for _, number in started] == [2, 2]
    assert all((run_of(tmp_path, name) / "test.json").exists() for name in ("deep", "shallow"))
    output, errors = capsys.readouterr()
    assert "train.py: error: of a worker" in errors and "notice" not in errors
    assert "[1/2]" in output and "[2/2]" in output and "2 workers of 1 thread each" in output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--jobs", "0"], "received 0"),
        (["--threads", "0"], "received 0"),
        (["--jobs", "2", "--overwrite"], "--jobs cannot be used with --overwrite"),
        (["--jobs", "2", "--grid", "--set", "activation=relu,reluu"], "reluu"),
    ],
)
def test_unusable_options_are_refused_before_a_worker_starts(
    capsys, tiny, tmp_path, arguments, words, monkeypatch
):
    monkeypatch.setattr(jobs, "run_workers", lambda *_: pytest.fail("started"))
    output_dir = tmp_path / "runs"
    assert words in refused(capsys, train, *command(tiny, output_dir, "deep"), *arguments)
    assert not output_dir.exists()


# ---- threads ----


def test_threads_are_recorded_and_another_number_warns(tiny, tmp_path, capsys, monkeypatch):
    line = command(tiny, tmp_path, "deep")
    with monkeypatch.context() as patch:
        interrupt_at(patch, "resume.npz", 1, after=True)
        assert train(*line, "--threads", "3") == 130
    assert read_json(run_of(tmp_path, "deep") / "config.json")["threads"] == 3
    capsys.readouterr()
    assert train(*line, "--threads", "2", "--quiet") == 0
    errors = capsys.readouterr().err
    assert "was started with 3 threads and resumes with 2" in errors and "warning" in errors
    assert train(*line, "--threads", "1", "--quiet") == 0
    assert capsys.readouterr().err == ""  # a finished run


def test_number_of_threads_is_that_of_the_environment_else_the_cores(monkeypatch):
    limit_threads(5)
    assert num_threads() == 5 and {os.environ[name] for name in THREADS} == {"5"}
    limit_threads(None)
    assert num_threads() == 5
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS")
    assert num_threads() == len(os.sched_getaffinity(0))


def test_tensorflow_takes_the_number_of_threads():
    code = """
from keras_ae.cli.startup import limit_threads
limit_threads(1)
import os, tensorflow as tf
tf.matmul(tf.ones((300, 300)), tf.ones((300, 300)))
print(len(os.listdir("/proc/self/task")))
"""
    if not os.path.isdir("/proc/self/task"):
        pytest.skip("no /proc")
    env = {name: value for name, value in environment(ROOT).items() if name not in THREADS}
    threads = [
        int(subprocess.check_output([sys.executable, "-c", each], env=env, text=True).split()[-1])
        for each in (code, code.replace("limit_threads(1)", "limit_threads(7)"))
    ]
    assert threads[0] < threads[1]


# ---- the whole program ----


@pytest.mark.slow
def test_runs_of_a_killed_worker_are_finished_by_the_others(tiny, tmp_path):
    env = environment(tmp_path)
    line = [sys.executable, str(ROOT / "train.py"), "--seed", "1", "2"]
    line += command(tiny, tmp_path / "alone", "deep", "vae", epochs=100)
    subprocess.run([*line, "--threads", "1", "--quiet"], env=env, check=True)
    line[line.index(str(tmp_path / "alone"))] = str(tmp_path / "jobs")
    process = subprocess.Popen([*line, "--jobs", "2", "--threads", "1"], env=env)
    killed = None
    while killed is None and process.poll() is None:
        time.sleep(0.02)
        for path in (tmp_path / "jobs").rglob("resume.npz"):
            owner = path.with_name(".lock_owner.json")
            if not path.with_name("test.json").exists() and owner.exists():
                killed = read_json(owner)["process"]
    assert killed in {each.pid for each in psutil.Process(process.pid).children()}
    os.kill(killed, signal.SIGKILL)
    assert process.wait() == 0
    runs = sorted((tmp_path / "alone" / "tiny.npz").iterdir())
    assert len(runs) == 4
    for run in runs:
        assert_same_run(run, tmp_path / "jobs" / "tiny.npz" / run.name)
