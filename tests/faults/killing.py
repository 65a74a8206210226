"""SIGKILL at random moments of a training and of an evaluation, then the same command again."""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from pathlib import Path

from harness import Row, differences, half_states, results_of, run, small_images, start

# Stages, noise, sampling, moving averages of a codebook, two optimizers, a prior trained after it.
VARIANTS = ("stacked", "vae", "vq_vae", "denoising", "conv_vq_vae", "vae_gan", "binary", "iwae")
EPOCHS = 12
KILLS_OF_A_RUN = 6
WRITTEN = ("config", "resume", "history", "model", "test", "saved_model")


def examine(times: int, folder: Path, say=print, variants: tuple[str, ...] = VARIANTS) -> list[Row]:
    """Kills a training `times` times, and an evaluation a fifth as often, if at all."""
    images = small_images(folder / "tiny.npz")
    say(f"killing: {', '.join(variants)} without an interruption")
    expected, seconds = {}, {}
    for variant in variants:
        began = time.perf_counter()
        ended = run("train.py", *command(images, "whole", variant), folder=folder)
        seconds[variant] = time.perf_counter() - began
        if ended.code:
            raise RuntimeError(f"{variant} cannot be trained at all: {ended.err}")
        expected[variant] = results_of(directory(folder / "whole", variant))
    trainings = kill_trainings(times, folder, images, expected, seconds, say)
    evaluations = [kill_evaluations(times // 5, folder, say)] if times >= 5 else []
    return [trainings, *evaluations]


def command(images: Path, output: str, variant: str) -> list:
    flags = ["--variant", variant, "--dataset", images, "--output-dir", output]
    return [*flags, "--epochs", EPOCHS, "--jit", "off", "--export", "--quiet"]


def directory(output: Path, variant: str) -> Path:
    (found,) = (output / "tiny.npz").glob(f"{variant}-*")
    return found


def kill_trainings(times, folder, images, expected, seconds, say) -> Row:
    moments = random.Random(0)
    killed, lost, after = 0, [], {}
    for episode in range(10 * times):
        if killed >= times:
            break
        variant = list(expected)[episode % len(expected)]
        output = f"killed-{episode}"
        arguments = command(images, output, variant)
        for _ in range(min(KILLS_OF_A_RUN, times - killed)):
            since = time.time()
            if moments.random() < 0.5:
                # Anywhere in the program, its imports and its export included.
                wait = moments.uniform(0.1, 0.9) * seconds[variant]
                was_killed = kill_after(wait, "train.py", arguments, folder)
            else:
                name, later = moments.choice(WRITTEN), moments.uniform(0, 0.01)
                was_killed = kill_writing(name, later, arguments, folder, folder / output)
            if not was_killed:
                break  # it was through before
            killed += 1
            stage = stage_of(folder / output, since)
            after[stage] = after.get(stage, 0) + 1
            lost += half_states(folder / output)
        began = time.perf_counter()
        ended = run("train.py", *arguments, folder=folder)
        # A machine may be less busy by now than when the first one was timed.
        seconds[variant] = min(seconds[variant], 1.5 * (time.perf_counter() - began))
        place = f"{variant} after {killed} kills"
        if ended.code:
            lost.append(f"{place}: {ended.err}")
            continue
        found = results_of(directory(folder / output, variant))
        lost += [f"{place}: other {what}" for what in differences(found, expected[variant])]
        if not (directory(folder / output, variant) / "saved_model" / "saved_model.pb").is_file():
            lost.append(f"{place}: no export")
        say(f"killing: {killed}/{times}, {variant} goes on, lost {len(lost)}")
    stages = ", ".join(f"{number} {stage}" for stage, number in sorted(after.items()))
    kept = f"weights, losses and history bit for bit as without it ({stages})"
    return Row("SIGKILL while training", killed, lost, kept)


def stage_of(output: Path, since: float) -> str:
    """How far a run had come when it was killed, from what it left; `since` is when it began."""
    for path in output.rglob(".*.partial*"):
        if path.stat().st_mtime >= since:
            return f"while {path.name[1:].split('.')[0]} was written"
    there = {path.name for path in output.rglob("*")}
    marks = (
        ("saved_model", "after its export"),
        ("test.json", "before its export"),
        ("model.keras", "while testing"),
        ("resume.npz", "in a later epoch"),
        ("config.json", "in the first epoch"),
    )
    return next((words for name, words in marks if name in there), "before the first epoch")


def kill_after(seconds: float, program: str, arguments: list, folder: Path) -> bool:
    """Kills a program after some seconds; False where it had ended before."""
    process = start(program, *arguments, folder=folder)
    try:
        process.communicate(timeout=seconds)
        return False
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return True


def kill_writing(name: str, later: float, arguments: list, folder: Path, output: Path) -> bool:
    """Kills a training while a file is written; False where it was there and is not written."""
    process = start("train.py", *arguments, folder=folder)
    while process.poll() is None:
        # `os.walk` passes over a folder that is renamed meanwhile.
        there = [each for _, folders, files in os.walk(output) for each in folders + files]
        if any(each.startswith(f".{name}.partial") for each in there):
            time.sleep(later)
            break
        time.sleep(0.0005)
    process.kill()
    process.communicate()
    return process.returncode != 0


def kill_evaluations(times: int, folder: Path, say) -> Row:
    def arguments(output: str) -> list:
        return ["whole", "--output-dir", output, "--projection", "tsne", "--quiet"]

    began = time.perf_counter()
    ended = run("evaluate.py", *arguments("results-whole"), folder=folder, seconds=900)
    seconds = time.perf_counter() - began
    if ended.code:
        raise RuntimeError(f"the runs cannot be evaluated at all: {ended.err}")
    moments, killed, lost = random.Random(1), 0, []
    while killed < times:
        wait = moments.uniform(3, max(4.0, seconds / 2))
        if kill_after(wait, "evaluate.py", arguments("results-killed"), folder) is False:
            break
        killed += 1
        lost += half_states(folder / "results-killed")
        say(f"killing: an evaluation {killed}/{times}")
    ended = run("evaluate.py", *arguments("results-killed"), folder=folder, seconds=900)
    if ended.code:
        lost.append(f"evaluation after {killed} kills: {ended.err}")
    else:
        found, expected = (
            json.loads((folder / name / "tiny.npz" / "metrics.json").read_text())["comparisons"]
            for name in ("results-killed", "results-whole")
        )
        lost += [f"evaluation: other {name}" for name in differences(found, expected)]
    return Row("SIGKILL while evaluating", killed, lost, "all figures of metrics.json the same")
