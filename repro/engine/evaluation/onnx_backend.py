"""The folded network as an ONNX graph for onnxruntime: the optional extra `fast`.

torch.fx traces the very network that the torch backend runs, and each of its six operations becomes
one ONNX node. So there is one definition of the network, and no exporter.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from repro.errors import RunError

OPSET: Final = 17
INPUT: Final = "images"
MAX_PARTS: Final = 8
"""Of a batch: as many as an evaluation's batch has images."""

Attributes = Mapping[str, Any]


def onnx_pool3(
    network: nn.Sequential, *, num_threads: int | None = None
) -> Callable[[Tensor], Tensor]:
    """A function like *network*, run by onnxruntime on the CPU; with torch's number of threads.

    Every thread has images of its own: it waits for no other, which threads that share an image do
    after each layer. Threads beyond `MAX_PARTS` help all of them.

    Raises:
        RunError: if the extra is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        msg = "the onnxruntime backend is not installed; get it: pip install 'repro-ledger[fast]'"
        raise RunError(msg) from error
    num_threads = num_threads or torch.get_num_threads()
    num_parts = min(num_threads, MAX_PARTS)
    threads = ThreadPoolExecutor(num_parts)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1 + num_threads - num_parts
    # Idle threads that spin slow down everybody on a shared machine, this network included.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        serialize(network), options, providers=["CPUExecutionProvider"]
    )

    def run_part(images: Tensor) -> Tensor:
        outputs = session.run(None, {INPUT: images.contiguous().numpy()})
        return torch.from_numpy(outputs[0])

    def run(images: Tensor) -> Tensor:
        parts = torch.split(images, -(-len(images) // num_parts))
        return torch.cat(list(threads.map(run_part, parts)))

    return run


def serialize(network: nn.Sequential) -> bytes:
    """The ONNX file of a network of convolutions, poolings and concatenations.

    Raises:
        RunError: if the network does anything else.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph = fx.symbolic_trace(network).graph
    nodes, weights = [], []
    for node in graph.nodes:
        if node.op in ("placeholder", "output"):
            continue
        operator, inputs, attributes, tensors = _translate(node, network)
        names = [f"{node.name}.{name}" for name in tensors]
        weights += [
            numpy_helper.from_array(value.detach().contiguous().numpy(), name)
            for name, value in zip(names, tensors.values(), strict=True)
        ]
        sources = [INPUT if each.op == "placeholder" else each.name for each in inputs]
        nodes.append(helper.make_node(operator, [*sources, *names], [node.name], **attributes))
    image_shape: list[str | int | None] = ["batch", 3, 299, 299]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "pool3",
            [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, image_shape)],
            [
                helper.make_tensor_value_info(
                    nodes[-1].output[0], TensorProto.FLOAT, ["batch", 2048]
                )
            ],
            weights,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=8,
    )
    data: bytes = model.SerializeToString()
    return data


Translation = tuple[str, list[fx.Node], Attributes, Mapping[str, Tensor]]


def _translate(node: fx.Node, network: nn.Module) -> Translation:
    """ONNX operator, inputs, attributes and weights of one traced operation."""
    module = network.get_submodule(str(node.target)) if node.op == "call_module" else None
    rule = _RULES.get(type(module) if module else node.target)
    if rule is None:
        msg = f"the network cannot run on onnxruntime: no ONNX form for {node.format_node()}"
        raise RunError(msg)
    return rule(node, module)


def _convolution(node: fx.Node, module: Any) -> Translation:
    attributes = {"strides": list(module.stride), "pads": [*module.padding, *module.padding]}
    tensors = {"weight": module.weight, "bias": module.bias}
    return "Conv", node.all_input_nodes, attributes, tensors


def _relu(node: fx.Node, _: Any) -> Translation:
    return "Relu", node.all_input_nodes, {}, {}


def _same(node: fx.Node, _: Any) -> Translation:
    return "Identity", node.all_input_nodes, {}, {}


def _concatenation(node: fx.Node, _: Any) -> Translation:
    return "Concat", node.all_input_nodes, {"axis": 1}, {}


def _flatten(node: fx.Node, _: Any) -> Translation:
    return "Flatten", node.all_input_nodes, {"axis": 1}, {}


def _global_average(node: fx.Node, _: Any) -> Translation:
    return "GlobalAveragePool", node.all_input_nodes, {}, {}


def _pooling_module(node: fx.Node, module: Any) -> Translation:
    attributes = _window(module.kernel_size, module.stride, module.padding)
    return "MaxPool", node.all_input_nodes, attributes, {}


def _max_pooling(node: fx.Node, _: Any) -> Translation:
    options = node.kwargs
    attributes = _window(node.args[1], options["stride"], options["padding"])
    return "MaxPool", node.all_input_nodes, attributes, {}


def _average_pooling(node: fx.Node, _: Any) -> Translation:
    options = node.kwargs
    window = _window(options["kernel_size"], options["stride"], options["padding"])
    counted = {"count_include_pad": 1 if options["count_include_pad"] else 0}
    return "AveragePool", node.all_input_nodes, {**window, **counted}, {}


def _window(size: Any, stride: Any, padding: Any) -> Attributes:
    return {"kernel_shape": [size] * 2, "strides": [stride] * 2, "pads": [padding] * 4}


_RULES: Mapping[Any, Callable[[fx.Node, Any], Translation]] = {
    nn.Conv2d: _convolution,
    nn.Identity: _same,
    nn.MaxPool2d: _pooling_module,
    nn.AdaptiveAvgPool2d: _global_average,
    nn.Flatten: _flatten,
    functional.relu: _relu,
    functional.max_pool2d: _max_pooling,
    functional.avg_pool2d: _average_pooling,
    torch.cat: _concatenation,
}
