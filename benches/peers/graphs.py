"""The same networks as ONNX graphs, built node by node from a `state_dict`.

These are the nodes that PyTorch's exporter writes, with two additions that it cannot: batch and length are free, and
the LSTM is told how long each row is, so that padding does not change an answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from networks import PictureClassifier, TextClassifier

Array = NDArray[numpy.float32]
OPSET = 17


def _save(nodes: list[onnx.NodeProto], inputs: list[onnx.ValueInfoProto], tensors: Mapping, path: Path) -> None:
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", None])
    initializers = [numpy_helper.from_array(tensor, name) for name, tensor in tensors.items()]
    graph = helper.make_graph(nodes, "classifier", inputs, [output], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _gates(tensor: Array) -> Array:
    """PyTorch's order of gates, i f g o, in ONNX's order, i o f g."""
    i, f, g, o = numpy.split(tensor, 4)
    return numpy.concatenate([i, o, f, g])


def _lstm_tensors(state: Mapping[str, Array], suffixes: Iterable[str]) -> dict[str, Array]:
    """W, R and B with a leading axis for directions."""
    names = [f"_l0{suffix}" for suffix in suffixes]
    stack = lambda kind: numpy.stack([_gates(state[f"lstm.{kind}{name}"]) for name in names])
    bias = numpy.concatenate([stack("bias_ih"), stack("bias_hh")], axis=1)
    return {"W": stack("weight_ih"), "R": stack("weight_hh"), "B": bias}


def write_text(network: TextClassifier, path: Path, lengths: bool) -> None:
    """Writes ids (T × B, int64) and, when wanted, lengths (B, int32) → logits (B × 1)."""
    state = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    both = network.lstm.bidirectional
    tensors = _lstm_tensors(state, ["", "_reverse"] if both else [""])
    tensors |= {"embedding": state["embedding.weight"], "fc.weight": state["fc.weight"], "fc.bias": state["fc.bias"]}
    inputs = [helper.make_tensor_value_info("ids", TensorProto.INT64, ["tokens", "batch"])]
    if lengths:
        inputs.append(helper.make_tensor_value_info("lengths", TensorProto.INT32, ["batch"]))
    nodes = [
        helper.make_node("Gather", ["embedding", "ids"], ["embedded"]),
        helper.make_node(
            "LSTM",
            ["embedded", "W", "R", "B", "lengths" if lengths else ""],
            ["states", "last"],
            hidden_size=network.lstm.hidden_size,
            direction="bidirectional" if both else "forward",
        ),
    ]
    if network.pooling == "last":
        tensors["first"] = numpy.array([0], numpy.int64)
        nodes.append(helper.make_node("Squeeze", ["last", "first"], ["pooled"]))
    else:
        nodes += _masked_maximum(network, tensors)
    nodes.append(helper.make_node("Gemm", ["pooled", "fc.weight", "fc.bias"], ["logits"], transB=1))
    _save(nodes, inputs, tensors, path)


def _masked_maximum(network: TextClassifier, tensors: dict[str, NDArray]) -> list[onnx.NodeProto]:
    """States (T × D × B × H) → their maximum over valid tokens (B × D·H)."""
    width = network.lstm.hidden_size * (2 if network.lstm.bidirectional else 1)
    tensors |= {
        "zero": numpy.array(0, numpy.int32),
        "one": numpy.array(1, numpy.int32),
        "columns": numpy.array([1], numpy.int64),
        "last axes": numpy.array([1, 3], numpy.int64),
        "lowest": numpy.array(-2.0, numpy.float32),
        "flat": numpy.array([-1, width], numpy.int64),
    }
    return [
        helper.make_node("Shape", ["ids"], ["length"], end=1),
        helper.make_node("Cast", ["length"], ["length32"], to=TensorProto.INT32),
        helper.make_node("Squeeze", ["length32"], ["count"]),
        helper.make_node("Range", ["zero", "count", "one"], ["positions"]),
        helper.make_node("Unsqueeze", ["positions", "columns"], ["column"]),
        helper.make_node("Less", ["column", "lengths"], ["valid"]),
        helper.make_node("Unsqueeze", ["valid", "last axes"], ["mask"]),
        helper.make_node("Where", ["mask", "states", "lowest"], ["masked"]),
        helper.make_node("ReduceMax", ["masked"], ["maximum"], axes=[0], keepdims=0),
        helper.make_node("Transpose", ["maximum"], ["by row"], perm=[1, 0, 2]),
        helper.make_node("Reshape", ["by row", "flat"], ["pooled"]),
    ]


def write_picture(network: PictureClassifier, side: int, path: Path) -> None:
    """Writes pixels (B × 3 × side × side) → logits (B × outputs)."""
    tensors = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    convolution = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["pixels", "conv1.weight", "conv1.bias"], ["first"], **convolution),
        helper.make_node("Relu", ["first"], ["first rectified"]),
        helper.make_node("Conv", ["first rectified", "conv2.weight", "conv2.bias"], ["second"], **convolution),
        helper.make_node("Relu", ["second"], ["second rectified"]),
        helper.make_node("MaxPool", ["second rectified"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "fc.weight", "fc.bias"], ["logits"], transB=1),
    ]
    inputs = [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 3, side, side])]
    _save(nodes, inputs, tensors, path)
