"""Directory locks: one holder at a time, released when its process dies."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from keras_ae.runs.errors import RunLocked
from keras_ae.runs.lock import LOCK_FILE, OWNER_FILE, lock_directory, lock_owner

HOLDER = """
import sys, time
from pathlib import Path
from keras_ae.runs.lock import lock_directory
with lock_directory(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock on `tmp_path / "run"`."""
    folder = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "locked\n"
    yield folder, process
    process.kill()
    process.wait()


def test_lock_error_names_the_owner(holder):
    folder, process = holder
    with pytest.raises(RunLocked) as raised, lock_directory(folder):
        pass
    line = str(raised.value)
    assert str(folder) in line and f"process {process.pid} on " in line and "\n" not in line


def test_lock_of_a_killed_process_is_taken_over(holder):
    folder, process = holder
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (folder / LOCK_FILE).exists() and (folder / OWNER_FILE).exists()
    with lock_directory(folder):
        assert f"process {os.getpid()} on " in lock_owner(folder)
    assert list(folder.iterdir()) == []


def test_lock_excludes_another_block_of_the_same_process(tmp_path):
    with lock_directory(tmp_path), pytest.raises(RunLocked), lock_directory(tmp_path):
        pass
    with lock_directory(tmp_path):
        pass


def test_failed_attempt_keeps_the_existing_lock(tmp_path):
    with lock_directory(tmp_path):
        for _ in range(2):
            with pytest.raises(RunLocked), lock_directory(tmp_path):
                pass


def test_new_empty_folder_is_removed_and_a_used_one_stays(tmp_path):
    with lock_directory(tmp_path / "a" / "b"):
        pass
    assert not (tmp_path / "a" / "b").exists()
    with lock_directory(tmp_path / "c"):
        (tmp_path / "c" / "config.json").touch()
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["config.json"]


@pytest.mark.parametrize("name", [LOCK_FILE, OWNER_FILE, ".lock_owner.partial.json"])
def test_lock_files_are_not_written_through_a_link(tmp_path, name):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / name).symlink_to(precious)
    try:
        with lock_directory(folder):
            pass
    except OSError:
        pass
    assert precious.read_text() == "mine"


def test_concurrent_threads_never_hold_the_lock_together(tmp_path):
    """Threads open, delete and reopen the lock file in any order, like processes."""
    inside, most, entered = 0, 0, 0
    count = threading.Lock()

    def work():
        nonlocal inside, most, entered
        for _ in range(300):
            try:
                with lock_directory(tmp_path):
                    with count:
                        inside += 1
                        entered += 1
                        most = max(most, inside)
                    with count:
                        inside -= 1
            except RunLocked:
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1 and entered > 100


def test_damaged_owner_file_still_locks(tmp_path):
    with lock_directory(tmp_path):
        (tmp_path / OWNER_FILE).write_text("{")
        with pytest.raises(RunLocked, match="another process"), lock_directory(tmp_path):
            pass
