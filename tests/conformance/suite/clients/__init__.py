"""The clients: one module each, imported only in the process that runs it, for some cannot live in one process."""

from __future__ import annotations

# In the order in which they are run: what a client is called on the command line, and its module.
MODULES = {
    "triton-http": "triton",
    "triton-http-aio": "triton",
    "triton-grpc": "triton",
    "triton-grpc-aio": "triton",
    "triton-examples": "triton_examples",
    "oip-requests": "oip_requests",
    "kserve": "kserve",
    "grpc-tools": "grpc_tools",
    "tf-serving": "tf_serving",
    "torchserve": "torchserve",
    "huggingface": "huggingface",
    "tei": "tei",
    "sagemaker": "clouds",
    "vertex": "clouds",
    "azure": "clouds",
    "knative": "clouds",
    "generated": "generated",
    "schemathesis": "schema",
    "perf-analyzer": "perf_analyzer",
}
