"""Amazon S3 as `aws s3 cp` sees it: objects by their address."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from .options import Grammar, parse
from .programs import Call
from .refusal import require


@dataclass
class Storage:
    """Objects by their `s3://` address."""

    objects: dict[str, bytes] = field(default_factory=dict)

    def copy(self, call: Call, words: list[str]) -> str:
        """`aws s3 cp FROM TO [--recursive]`."""
        parsed = parse(words, Grammar(flags=("--recursive",), positional=2))
        source, target = parsed.positional
        require(source.startswith("s3://") != target.startswith("s3://"), "expected one local path and one of S3")
        if source.startswith("s3://"):
            return self._download(call, source, target)
        path = call.file(source)
        require(path.is_dir() == ("--recursive" in parsed.flags), "--recursive is for folders, and only for them")
        if path.is_file():
            return self._upload(call, path, target + path.name if target.endswith("/") else target)
        files = sorted(file for file in path.rglob("*") if file.is_file())
        return "".join(self._upload(call, file, f"{target.rstrip('/')}/{file.relative_to(path)}") for file in files)

    def _upload(self, call: Call, file: Path, address: str) -> str:
        self.objects[address] = file.read_bytes()
        shown = file.relative_to(call.folder)
        return f"upload: {'./' if len(shown.parts) == 1 else ''}{shown} to {address}\n"

    def _download(self, call: Call, address: str, target: str) -> str:
        require(address in self.objects, f"An error occurred (404) when calling the HeadObject operation: {address}")
        if target == "-":
            return self.objects[address].decode()
        (call.folder / target).write_bytes(self.objects[address])
        return f"download: {address} to ./{target}\n"

    def below(self, prefix: str) -> dict[str, bytes]:
        """The objects whose address begins so."""
        return {address: body for address, body in self.objects.items() if address.startswith(prefix)}

    def unpack(self, address: str, folder: Path) -> Path:
        """Unpacks an archive into a folder, which anyone may read."""
        require(address in self.objects, f"Could not find model data at {address}")
        folder.mkdir(parents=True)
        unpacking = ["tar", "-xzf", "-", "--no-same-owner", "-C", str(folder)]
        unpacked = subprocess.run(unpacking, input=self.objects[address], capture_output=True, check=False)
        require(unpacked.returncode == 0, f"{address} is no gzipped archive: {unpacked.stderr.decode()}")
        return folder
