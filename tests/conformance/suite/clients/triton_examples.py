"""Triton's public client examples, as they are published, each a program of its own that says whether it passed."""

from __future__ import annotations

import subprocess
import sys

from ..cells import Client, Mismatch
from ..public import TRITON_CLIENT
from ..world import World

EXAMPLE_SECONDS_MAX = 120

# Each with the server that it expects. Out of scope are the examples of sequences (no model here has state), of shared
# memory (a server that may be on another machine shares none) and of pictures (they ask for models by their names).
EXAMPLES = {
    "simple_http_infer_client.py": "public",
    "simple_http_aio_infer_client.py": "public",
    "simple_http_async_infer_client.py": "public",
    "simple_http_string_infer_client.py": "public",
    "simple_http_health_metadata.py": "public",
    "simple_http_model_control.py": "public",
    "simple_grpc_infer_client.py": "public",
    "simple_grpc_aio_infer_client.py": "public",
    "simple_grpc_async_infer_client.py": "public",
    "simple_grpc_string_infer_client.py": "public",
    "simple_grpc_custom_args_client.py": "public",
    "simple_grpc_keepalive_client.py": "public",
    "simple_grpc_health_metadata.py": "public",
    "simple_grpc_model_control.py": "public-eight",
    "grpc_explicit_int_content_client.py": "public",
    "grpc_explicit_int8_content_client.py": "public",
    "grpc_explicit_byte_content_client.py": "public",
}
# What the examples over HTTP can be told beside the server's address.
COMPRESSED = {
    "simple_http_infer_client.py": ["gzip", "deflate"],
    "simple_http_aio_infer_client.py": ["gzip", "deflate"],
}

CLIENT = Client("triton-examples", "Triton's client examples", "tritonclient")


def run(world: World, name: str, flags: list[str]) -> None:
    """Runs an example; it must end with 0."""
    program = world.options.public.files(TRITON_CLIENT) / "src" / "python" / "examples" / name
    server = world.server(EXAMPLES[name])
    command = [sys.executable, str(program), "-u", server.grpc if "grpc" in name else server.host, *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=EXAMPLE_SECONDS_MAX, check=False)
    if done.returncode != 0:
        raise Mismatch(" ".join(command), "exit code 0", f"{done.returncode}\n{done.stdout[-1500:]}{done.stderr[-1500:]}")


def add(name: str, flags: list[str]) -> None:
    """Makes an example a contract of the client."""

    def check(world: World) -> None:
        run(world, name, flags)
        if name.endswith("model_control.py"):
            # It leaves its model unloaded, and others want it.
            world.server(EXAMPLES[name]).fetch("/v2/repository/models/simple/load", b"{}")

    CLIENT.contract(" ".join([name, *flags[1:2]]))(check)


for example in EXAMPLES:
    add(example, [])
    for coding in COMPRESSED.get(example, []):
        add(example, ["--request-compression-algorithm", coding, "--response-compression-algorithm", coding])


CLIENTS = [CLIENT]
