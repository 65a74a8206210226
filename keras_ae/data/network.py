"""Check that a server answers before a download is started."""

from __future__ import annotations

import threading
import urllib.request

from keras_ae.checks import one_line


def network_problem(url: str, *, seconds: float = 4.0) -> str | None:
    """Try to read from `url`; return the reason if that fails, else None.

    Call it before every download: without a network, tensorflow-datasets retries for minutes.

    Args:
        url: The address to read one byte from.
        seconds: The total time allowed, for the name lookup as well.
    """
    outcome = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(url, timeout=seconds) as response:
                response.read(1)
            outcome.append(None)
        except Exception as error:  # proxies and sockets raise many kinds of errors
            outcome.append(one_line(error))

    # In a thread, because the lookup of a host name has no timeout.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return outcome[0] if outcome else f"no answer within {seconds:g} seconds"
