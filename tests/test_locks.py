"""A folder has one user at a time, and the dead keep nothing."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from keras_ae.locks import NAME, Held, held

HOLDER = """
import sys, time
from pathlib import Path
from keras_ae.locks import held
with held(Path(sys.argv[1]), ""):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds `tmp_path / "run"`."""
    folder = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield folder, process
    process.kill()
    process.wait()


def test_the_second_is_told_who_has_it_and_what_to_do(holder):
    folder, process = holder
    with pytest.raises(Held) as raised, held(folder, "Wait."):
        pass
    line = str(raised.value)
    assert str(folder) in line and f"process {process.pid} on " in line and line.endswith("Wait.")


def test_what_a_killed_process_held_is_taken_over(holder):
    folder, process = holder
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (folder / NAME).exists()
    with held(folder, ""):
        assert f'"process": {os.getpid()}' in (folder / NAME).read_text()
    assert not (folder / NAME).exists()


def test_blocks_of_one_process_exclude_each_other_too(tmp_path):
    with held(tmp_path, ""), pytest.raises(Held), held(tmp_path, ""):
        pass
    with held(tmp_path, ""):
        pass


def test_an_empty_folder_is_removed_again_and_a_used_one_stays(tmp_path):
    with held(tmp_path / "a" / "b", ""):
        pass
    assert not (tmp_path / "a" / "b").exists()
    with held(tmp_path / "c", ""):
        (tmp_path / "c" / "config.json").touch()
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["config.json"]


def test_a_link_in_its_place_is_not_written_through(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / NAME).symlink_to(precious)
    with pytest.raises(OSError), held(folder, ""):
        pass
    assert precious.read_text() == "mine"


def test_never_two_at_once(tmp_path):
    """Threads that open, delete and open the file anew, as two programs might at any moment."""
    inside, most, entered = 0, 0, 0
    count = threading.Lock()

    def work():
        nonlocal inside, most, entered
        for _ in range(300):
            try:
                with held(tmp_path, ""):
                    with count:
                        inside += 1
                        entered += 1
                        most = max(most, inside)
                    with count:
                        inside -= 1
            except Held:
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1 and entered > 100


def test_a_damaged_file_still_locks(tmp_path):
    with held(tmp_path, ""):
        (tmp_path / NAME).write_text("{")
        with pytest.raises(Held, match="another program"), held(tmp_path, ""):
            pass
