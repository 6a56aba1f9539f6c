"""Documents and examples that others publish: fetched when they are needed, never kept in this repository."""

from __future__ import annotations

import io
import tarfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from .cells import Skipped

FETCH_SECONDS_MAX = 30


@dataclass(frozen=True)
class Repository:
    """A commit of a public repository."""

    name: str
    commit: str

    @property
    def archive(self) -> str:
        return f"https://codeload.github.com/{self.name}/tar.gz/{self.commit}"


OIP = Repository("kserve/open-inference-protocol", "d49cc23f89d709d87b210ef9449e273ae243984e")
# The commit before an example began to ask for the words in which Triton's file system refuses a name of 256 bytes.
TRITON_CLIENT = Repository("triton-inference-server/client", "0216ee2999c93301285a13685d8e034a8c10af15")


class Public:
    """The files of public repositories: from a local copy, else from the network."""

    def __init__(self, local: Path | None, cache: Path, *, offline: bool) -> None:
        self.local = local
        self.cache = cache
        self.offline = offline
        self.missing: dict[Repository, str] = {}

    def files(self, repository: Repository) -> Path:
        """The folder with the files of a repository at its commit.

        A local copy has them under the repository's name, `kserve/open-inference-protocol`. What cannot be had is
        skipped where `--offline` was given, and fails otherwise.
        """
        if self.local is not None and (folder := self.local / repository.name).is_dir():
            return folder
        folder = self.cache / repository.name / repository.commit
        if folder.is_dir():
            return folder
        packed = self._fetched(repository)
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(folder.parent, filter="data")
        (folder.parent / f"{repository.name.split('/')[1]}-{repository.commit}").rename(folder)
        return folder

    def _fetched(self, repository: Repository) -> bytes:
        """The archive, asked for once: what did not come then will not come now."""
        if repository not in self.missing:
            try:
                with urllib.request.urlopen(repository.archive, timeout=FETCH_SECONDS_MAX) as answer:
                    return answer.read()
            except OSError as error:
                self.missing[repository] = f"NO NETWORK: {repository.archive} cannot be fetched ({error})"
        missing = self.missing[repository]
        if self.offline:
            raise Skipped(missing)
        copy = f"give --public DIR with a copy in DIR/{repository.name}, or --offline to do without it"
        raise RuntimeError(f"{missing}: {copy}")
