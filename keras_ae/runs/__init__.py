"""Run directories: the request, the lock, the checkpoint, the results, and finding runs."""
