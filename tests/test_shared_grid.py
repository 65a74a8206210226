"""Processes that share a grid: who trains which run, what dead processes leave, locks."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import types

import psutil
import pytest
from programs import assert_same_run, command, environment, refused, run_of, snapshot, train

from keras_ae.runs import checkpoint, lock
from keras_ae.runs import train as runs_train
from keras_ae.runs.errors import Diverged, Remedy, RunLocked
from keras_ae.runs.lock import OWNER_FILE, check_owner, lock_directory, lock_problem

pytestmark = pytest.mark.usefixtures("offline", "eager")

HOLDER = """
import sys, time
from pathlib import Path
from keras_ae.runs.lock import lock_directory
with lock_directory(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(600)
"""


def test_share_skips_held_runs_and_trains_the_others(tiny, tmp_path, capsys):
    line = [*command(tiny, tmp_path, "deep", "shallow"), "--share"]
    held = run_of(tmp_path, "deep")
    with lock_directory(held):
        assert train(*line) == 0
        assert not (held / "config.json").exists()
    assert (run_of(tmp_path, "shallow") / "test.json").exists()
    output = capsys.readouterr().out
    assert f"skipping, {held} is in use by process {os.getpid()}" in output
    assert "1 run left to other processes" in output
    assert train(*line) == 0 and (held / "test.json").exists()
    before = snapshot(tmp_path)
    assert train(*line) == 0 and snapshot(tmp_path) == before


def test_share_wait_takes_over_what_a_killed_process_left(tiny, tmp_path, capsys, monkeypatch):
    assert train(*command(tiny, tmp_path / "alone", "deep", "shallow")) == 0
    # The other process is killed after one epoch of the first run.
    line = command(tiny, tmp_path / "shared", "deep", "shallow")
    held = run_of(tmp_path / "shared", "deep")

    class Killed(BaseException):
        pass

    with monkeypatch.context() as patch:
        save = checkpoint.Checkpoint.save

        def save_and_die(self, *arguments):
            save(self, *arguments)
            raise Killed

        patch.setattr(checkpoint.Checkpoint, "save", save_and_die)
        with pytest.raises(Killed):
            train(*line)
    assert (held / "resume.npz").exists() and not (held / "test.json").exists()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(held)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(tmp_path),
    )
    assert holder.stdout.readline() == "locked\n"
    looks = []

    def kill_instead_of_sleeping(_seconds):
        assert (run_of(tmp_path / "shared", "shallow") / "test.json").exists()
        looks.append(holder.kill())
        holder.wait()

    monkeypatch.setattr(runs_train.time, "sleep", kill_instead_of_sleeping)
    assert train(*line, "--share", "wait") == 0
    assert len(looks) == 1
    output = capsys.readouterr().out
    assert f"taking over from process {holder.pid}" in output and "resuming at epoch 2" in output
    for variant in ("deep", "shallow"):
        assert_same_run(run_of(tmp_path / "alone", variant), run_of(tmp_path / "shared", variant))


def test_share_trains_the_other_runs_when_one_diverges(tiny, tmp_path, capsys, monkeypatch):
    one = runs_train.Training._one

    def diverging(self, place, *arguments):
        if place == 0:
            raise Diverged("loss became nan in epoch 1; there was no checkpoint before that.")
        return one(self, place, *arguments)

    monkeypatch.setattr(runs_train.Training, "_one", diverging)
    line = [*command(tiny, tmp_path, "deep", "shallow"), "--share", "--quiet"]
    assert "loss became nan" in refused(capsys, train, *line, code=1)
    assert (run_of(tmp_path, "shallow") / "test.json").exists()


def test_slices_are_disjoint_and_together_the_grid(tiny, tmp_path):
    line = [*command(tiny, tmp_path, "deep", "shallow"), "--quiet", "--slice"]
    assert train(*line, "2/3") == 0
    assert not run_of(tmp_path, "deep").exists()
    assert (run_of(tmp_path, "shallow") / "test.json").exists()
    assert train(*line, "3/3") == 0 and train(*line, "1/3") == 0
    assert len(list(tmp_path.rglob("test.json"))) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--slice", "9/8"], "needs a part such as 1/8 to 8/8; received 9/8"),
        (["--slice", "0/8"], "received 0/8"),
        (["--slice", "3"], "received 3"),
        (["--share", "--overwrite"], "--share cannot be used with --overwrite"),
        (["--share", "some"], "invalid choice"),
    ],
)
def test_unusable_options_are_refused(capsys, tiny, tmp_path, arguments, words):
    output_dir = tmp_path / "runs"
    assert words in refused(capsys, train, *command(tiny, output_dir, "deep"), *arguments)
    assert not output_dir.exists()


# ---- file systems without locks ----


def test_locks_of_a_usual_file_system_have_no_problem(tmp_path):
    assert lock_problem(tmp_path / "new") is None
    assert list((tmp_path / "new").iterdir()) == []


def test_file_system_without_locks_is_refused_for_share_and_taken_for_slice(
    capsys, tiny, tmp_path, monkeypatch
):
    fcntl = pytest.importorskip("fcntl")

    def flock(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    line = [*command(tiny, tmp_path, "shallow"), "--quiet"]
    said = refused(capsys, train, *line, "--share")
    assert "has no locks (Function not implemented)" in said and "--slice 1/N" in said
    assert list(tmp_path.iterdir()) == []
    assert train(*line, "--slice", "1/2") == 0
    assert (run_of(tmp_path, "shallow") / "test.json").exists()


def test_locks_that_two_handles_get_are_a_problem(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    assert "two handles" in lock_problem(tmp_path)


@pytest.mark.parametrize("option", sorted(lock.LOCAL_LOCKS))
def test_mount_with_locks_of_one_machine_is_a_problem(tmp_path, monkeypatch, option):
    def mount(folder, options):
        return types.SimpleNamespace(mountpoint=str(folder), opts=options)

    mounts = [mount("/", "rw"), mount(tmp_path, f"rw,{option},hard")]
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: mounts)
    assert option in lock_problem(tmp_path / "runs")
    mounts.append(mount(tmp_path / "runs", "rw"))
    assert lock_problem(tmp_path / "runs") is None


def test_lock_that_two_machines_hold_ends_one_of_the_trainings(capsys, tiny, tmp_path, monkeypatch):
    run = run_of(tmp_path, "deep")
    save = checkpoint.Checkpoint.save

    def other_machine_takes_it(self, *arguments):
        save(self, *arguments)
        owner = {"process": os.getpid(), "host": "another", "since": "now"}
        (run / OWNER_FILE).write_text(json.dumps(owner))

    monkeypatch.setattr(checkpoint.Checkpoint, "save", other_machine_takes_it)
    line = [*command(tiny, tmp_path, "deep"), "--share", "--quiet"]
    said = refused(capsys, train, *line)
    assert "on another since now" in said and "do not work across machines" in said
    assert "--slice 1/N" in said


def test_owner_is_checked_by_process_and_host(tmp_path):
    with lock_directory(tmp_path):
        check_owner(tmp_path)
        owner = json.loads((tmp_path / OWNER_FILE).read_text())
        (tmp_path / OWNER_FILE).write_text(json.dumps({**owner, "process": owner["process"] + 1}))
        with pytest.raises(RunLocked) as raised:
            check_owner(tmp_path)
        assert raised.value.remedy is Remedy.DIVIDE
