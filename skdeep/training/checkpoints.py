"""The state of a fit on disk, from which a killed one goes on to the same bits.

A fit that is resumed begins from its beginning, with the same seeds: rows are scaled,
networks built and k-means run as before. But a phase of which a file is found takes
over what it had moved by then, and runs the epochs that are left. So a file holds
nothing but what the epochs of one phase move.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any

from skdeep.storage import InvalidFileError, read_file, safetensors, write_file
from skdeep.training.tasks import Phase
from skdeep.warning import warn

KIND = "skdeep checkpoint"

NAME = "checkpoint-{phase}-{epoch}.safetensors"

SEEDS = "seeds.safetensors"
"""File of the seeds that a fit drew."""


class Store:
    """A directory of files, each with the state of a phase after an epoch.

    Parameters
    ----------
    directory : Path
        Made if it is not there.
    every : int
        Epochs between files; the last epoch of a phase always has one.
    keep : int
        Files of a phase that are kept.
    fit : dict
        What the fit is of, by topic: each a dict of plain values.

    Raises
    ------
    ImportError
        If safetensors is not installed.
    ValueError
        If the directory cannot be made, or has files of another fit.
    """

    def __init__(
        self, directory: Path, every: int, keep: int, fit: dict[str, dict[str, Any]]
    ) -> None:
        safetensors()  # is there, before epochs are trained
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(
                f"The 'directory' parameter of Checkpoint names {str(directory)!r}, "
                f"which is no directory and cannot be made one: {error}."
            ) from error
        self.directory = directory
        self.every = every
        self.keep = keep
        self.fit = fit
        for name in (NAME.format(phase="*", epoch="*"), SEEDS):
            for part in directory.glob(f".{name}.*.part"):
                with suppress(OSError):  # of a fit that was killed as it wrote
                    part.unlink()
        self._newest(self._files("*"))  # refuses those of another fit at once
        kept = self._newest(list(directory.glob(SEEDS)))
        self.seeds: dict[str, list[int]] = kept["seeds"] if kept else {}

    def kept_seeds(self, name: str, drawn: list[int]) -> list[int]:
        """Seeds that the fit to be resumed drew under a name, else those drawn now."""
        if name not in self.seeds:
            self.seeds[name] = drawn
            value = {"fit": self.fit, "seeds": self.seeds}
            self._write(self.directory / SEEDS, value)
        return self.seeds[name]

    def save(self, phase: Phase) -> None:
        """Write the state of a phase, if it is time for it.

        What cannot be written is lost, but neither the fit nor an earlier file.
        """
        interrupted = phase.task.interrupted_phase
        if interrupted not in (None, phase):
            return  # what follows an interrupt is no part of the whole fit
        if not (phase.ended or interrupted or phase.n_iter % self.every == 0):
            return
        epoch = f"{phase.n_iter:08d}"
        path = self.directory / NAME.format(phase=phase.name, epoch=epoch)
        if self._write(path, {"fit": self.fit, "phase": phase.state()}):
            for old in self._files(phase.name)[: -self.keep]:
                old.unlink(missing_ok=True)

    def restore(self, phase: Phase) -> None:
        """Give a phase that begins the state of its newest file, if it has one."""
        found = self._newest(self._files(phase.name))
        if found:
            phase.set_state(found["phase"])

    def _write(self, path: Path, value: dict[str, Any]) -> bool:
        """Write a file, if that can be done."""
        try:
            write_file(path, KIND, value)
        except OSError as error:
            warn(
                f"Could not write the checkpoint {path}: {error}. The fit goes on; the "
                "checkpoints before this one are kept.",
                RuntimeWarning,
            )
            return False
        return True

    def _files(self, phase_name: str) -> list[Path]:
        """Files of a phase, oldest first."""
        pattern = NAME.format(phase=phase_name, epoch="????????")
        return sorted(path for path in self.directory.glob(pattern) if path.is_file())

    def _newest(self, files: list[Path]) -> Any:
        """Contents of the last one that is whole; None if there is none."""
        for path in reversed(files):
            try:
                found = read_file(path, KIND)
                if not (isinstance(found, dict) and isinstance(found.get("fit"), dict)):
                    raise InvalidFileError(f"{path} holds no checkpoint.")
            except InvalidFileError as error:
                warn(f"{error} It is not used.", RuntimeWarning)
                continue
            self._require_same_fit(found["fit"])
            return found
        return None

    def _require_same_fit(self, fit: dict[str, dict[str, Any]]) -> None:
        differences = [
            f"{name} was {there.get(name)!r}, and is {here.get(name)!r} now"
            for topic, here in self.fit.items()
            for there in [fit.get(topic, {})]
            for name in sorted({*here, *there})
            if here.get(name) != there.get(name)
        ]
        if differences:
            raise ValueError(
                f"The checkpoints in {str(self.directory)!r} are of another fit: "
                f"{'; '.join(differences)}. Fit as before to resume it, or give "
                "Checkpoint another directory."
            )
