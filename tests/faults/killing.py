"""SIGKILL at random moments of a training and of an evaluation, then the same command again."""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from pathlib import Path

from harness import Log, Row, differences, only_run_below, results_of, run, start, unreadable_files
from programs import small_images

# Stages, noise, sampling, moving averages of a codebook, two optimizers, a prior trained after it.
VARIANTS = ("stacked", "vae", "vq_vae", "denoising", "conv_vq_vae", "vae_gan", "binary", "iwae")
EPOCHS = 12
MAX_KILLS_PER_RUN = 6
WRITTEN = ("config", "resume", "history", "model", "test", "saved_model")


def run_fault(
    trials: int, tmp_path: Path, log: Log = print, variants: tuple[str, ...] = VARIANTS
) -> list[Row]:
    """Kill trainings `trials` times; evaluations a fifth as often, and not below 5 trials."""
    images = small_images(tmp_path / "tiny.npz")
    log(f"killing: {', '.join(variants)} without an interruption")
    expected, seconds = {}, {}
    for variant in variants:
        began = time.perf_counter()
        result = run("train.py", *command(images, "uninterrupted", variant), folder=tmp_path)
        seconds[variant] = time.perf_counter() - began
        if result.code:
            raise RuntimeError(f"{variant} cannot be trained at all: {result.err}")
        expected[variant] = results_of(only_run_below(tmp_path / "uninterrupted", variant))
    trainings = kill_trainings(trials, tmp_path, images, expected, seconds, log)
    evaluations = [kill_evaluations(trials // 5, tmp_path, log)] if trials >= 5 else []
    return [trainings, *evaluations]


def command(images: Path, output: str, variant: str) -> list:
    options = ["--variant", variant, "--dataset", images, "--output-dir", output]
    return [*options, "--epochs", EPOCHS, "--jit", "off", "--export", "--quiet"]


def kill_trainings(trials, folder, images, expected, seconds, log) -> Row:
    moments = random.Random(0)
    killed, failures, stages = 0, [], {}
    for episode in range(10 * trials):
        if killed >= trials:
            break
        variant = list(expected)[episode % len(expected)]
        output = f"killed-{episode}"
        arguments = command(images, output, variant)
        for _ in range(min(MAX_KILLS_PER_RUN, trials - killed)):
            since = time.time()
            if moments.random() < 0.5:
                # Anywhere in the program, including its imports and its export.
                wait = moments.uniform(0.1, 0.9) * seconds[variant]
                was_killed = kill_after(wait, "train.py", arguments, folder)
            else:
                name, delay = moments.choice(WRITTEN), moments.uniform(0, 0.01)
                was_killed = kill_while_writing(name, delay, arguments, folder, folder / output)
            if not was_killed:
                break  # it had already finished
            killed += 1
            stage = stage_of(folder / output, since)
            stages[stage] = stages.get(stage, 0) + 1
            failures += unreadable_files(folder / output)
        began = time.perf_counter()
        result = run("train.py", *arguments, folder=folder)
        # The machine may be less busy now than during the first training.
        seconds[variant] = min(seconds[variant], 1.5 * (time.perf_counter() - began))
        case = f"{variant} after {killed} kills"
        if result.code:
            failures.append(f"{case}: {result.err}")
            continue
        directory = only_run_below(folder / output, variant)
        different = differences(results_of(directory), expected[variant])
        failures += [f"{case}: different {name}" for name in different]
        if not (directory / "saved_model" / "saved_model.pb").is_file():
            failures.append(f"{case}: no export")
        log(f"killing: {killed}/{trials}, {variant} resumed, {len(failures)} failures")
    counts = ", ".join(f"{number} {stage}" for stage, number in sorted(stages.items()))
    words = f"weights, losses and history bit-identical to an uninterrupted run (killed: {counts})"
    return Row("SIGKILL while training", killed, failures, words)


def stage_of(output: Path, since: float) -> str:
    """The stage at which a run that started at `since` was killed, inferred from its files."""
    for path in output.rglob(".*.partial*"):
        if path.stat().st_mtime >= since:
            return f"while writing {path.name[1:].replace('.partial', '')}"
    there = {path.name for path in output.rglob("*")}
    marks = (
        ("saved_model", "after the export"),
        ("test.json", "before the export"),
        ("model.keras", "while testing"),
        ("resume.npz", "in a later epoch"),
        ("config.json", "in the first epoch"),
    )
    return next((words for name, words in marks if name in there), "before the first epoch")


def kill_after(seconds: float, program: str, arguments: list, folder: Path) -> bool:
    """Kill a program after some seconds; False where it had ended before."""
    process = start(program, *arguments, folder=folder)
    try:
        process.communicate(timeout=seconds)
        return False
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return True


def kill_while_writing(
    name: str, delay: float, arguments: list, folder: Path, output: Path
) -> bool:
    """Kill a training while it writes a file; False where it ends without writing that file."""
    process = start("train.py", *arguments, folder=folder)
    while process.poll() is None:
        # Unlike `rglob`, `os.walk` ignores a folder that is renamed in the meantime.
        there = [each for _, folders, files in os.walk(output) for each in folders + files]
        if any(each.startswith(f".{name}.partial") for each in there):
            time.sleep(delay)
            break
        time.sleep(0.0005)
    process.kill()
    process.communicate()
    return process.returncode != 0


def kill_evaluations(trials: int, folder: Path, log: Log) -> Row:
    def arguments(output: str) -> list:
        return ["uninterrupted", "--output-dir", output, "--projection", "tsne", "--quiet"]

    began = time.perf_counter()
    result = run("evaluate.py", *arguments("results-expected"), folder=folder, seconds=900)
    seconds = time.perf_counter() - began
    if result.code:
        raise RuntimeError(f"the runs cannot be evaluated at all: {result.err}")
    moments, killed, failures = random.Random(1), 0, []
    while killed < trials:
        wait = moments.uniform(3, max(4.0, seconds / 2))
        if not kill_after(wait, "evaluate.py", arguments("results-killed"), folder):
            break
        killed += 1
        failures += unreadable_files(folder / "results-killed")
        log(f"killing: an evaluation {killed}/{trials}")
    result = run("evaluate.py", *arguments("results-killed"), folder=folder, seconds=900)
    if result.code:
        failures.append(f"evaluation after {killed} kills: {result.err}")
    else:
        found, expected = (
            json.loads((folder / name / "tiny.npz" / "metrics.json").read_text())["comparisons"]
            for name in ("results-killed", "results-expected")
        )
        failures += [f"evaluation: different {name}" for name in differences(found, expected)]
    words = "all numbers in metrics.json identical"
    return Row("SIGKILL while evaluating", killed, failures, words)
