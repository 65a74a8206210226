"""The check of the network."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time

from data_helpers import (
    REAL_NETWORK_PROBLEM,
    own_cache,  # noqa: F401  # a fixture for every test
)

_DEAD_PROXY = "http://127.0.0.1:9"


def test_missing_network_fails_within_seconds(tmp_path):
    code = """
        import sys
        from keras_ae import data
        try:
            data.load("mnist", data_dir=sys.argv[1])
        except data.DataError as error:
            print("DataError", error)
        print("tensorflow" in sys.modules)
        chosen, notice = data.load_default(data_dir=sys.argv[1])
        print(chosen.name, notice)
    """
    proxies = {name: _DEAD_PROXY for name in ("HTTP_PROXY", "HTTPS_PROXY")}
    proxies.update({name.lower(): url for name, url in proxies.items()}, no_proxy="", NO_PROXY="")
    start = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "empty")],
        env={**os.environ, **proxies},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert time.monotonic() - start < 20
    assert ran.returncode == 0, ran.stderr
    refused, has_tensorflow, default = ran.stdout.splitlines()
    assert refused.startswith("DataError mnist is not prepared")
    assert has_tensorflow == "False"
    assert default.startswith("digits NOTICE")


def test_network_check_times_out_when_the_lookup_hangs(monkeypatch):
    released = threading.Event()
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: released.wait(20))
    start = time.monotonic()
    assert "no answer" in REAL_NETWORK_PROBLEM("http://127.0.0.1:9/", seconds=0.2)
    assert time.monotonic() - start < 5
    released.set()
