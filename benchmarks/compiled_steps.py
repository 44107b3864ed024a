"""What a compiler makes of a training step on a GPU: its kernels, and the least time of a card.

    .venv-full/bin/python benchmarks/compiled_steps.py [--only NAME]   # the others stay stored

As a user with `compile = True` has it: Dynamo and AOTAutograd take the backbone's forward and
backward pass apart and Inductor joins operators into kernels, on fake tensors at full size; then,
instead of writing code, the kernels are counted. Each takes the longer of computing its operations
and of moving what it reads and writes once (`planning.cards`), one after the other, without gaps.

No GPU is needed: the traced graphs are moved to a device 'cuda' that is not there, and Inductor is
told of an H100 where it asks, so that its own rules for GPUs join the operators. That goes with a
PyTorch that is built for CUDA (2.14.1 was), and touches its private parts. The head, 0.3 MFLOP a
clip, is left out; the optimiser's update is in.

The figures go to compiled_steps_<torch>.json beside this file, of which performance.py makes its
page.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from mmengine.registry import init_default_scope
from performance import FOLDER, step_of
from performance_rows import ROWS, Row
from torch import Tensor, fx, nn
from torch._functorch import partitioners
from torch._functorch.aot_autograd import make_boxed_func
from torch._inductor import compile_fx, memory
from torch._inductor.debug import DebugContext
from torch._inductor.graph import GraphLowering
from torch._inductor.runtime.hints import DeviceProperties
from torch._inductor.scheduler import BaseSchedulerNode, ExternKernelSchedulerNode
from torch._inductor.virtualized import V
from torch.utils._ordered_set import OrderedSet
from torch.utils._pytree import tree_map

from mmstadapter.models.ops.devices import forms_of
from mmstadapter.models.recomputing import tell_compiler
from mmstadapter.planning.account import MASTER
from mmstadapter.planning.cards import CARDS
from mmstadapter.planning.meter import HALF, Operator
from mmstadapter.planning.operations import operations_of

SHOWN = ('a100', 'h100', '4090')
CUDA = torch.device('cuda', 0)
LISTED = partitioners.get_default_op_list
H100 = dict(
    major=9, multi_processor_count=132, regs_per_multiprocessor=65536, warp_size=32,
    max_threads_per_multi_processor=2048, max_threads_per_block=1024,
)  # fmt: skip


class Counting:
    """A compiler that counts kernels, and runs the graphs as they are.

    Attributes:
        kernels: of all graphs so far.
        peaks: bytes alive at most in each graph, beside parameters and clips.
    """

    def __init__(self) -> None:
        self.kernels: list[Operator] = []
        self.peaks: list[int] = []

    def __call__(self, gm: fx.GraphModule, inputs: Sequence[Any]) -> Callable:
        """The backend of `torch.compile`."""
        return compile_fx.compile_fx(gm, inputs, inner_compile=self.count)

    def count(self, gm: fx.GraphModule, inputs: Sequence[Any], **options: Any) -> Callable:
        """Inductor's steps for one graph up to its kernels."""
        untouched = fx.GraphModule(gm, fx.Graph())
        untouched.graph.output(untouched.graph.graph_copy(gm.graph, {}))
        untouched.recompile()
        inputs = moved(gm, inputs)
        compile_fx.view_to_reshape(gm)
        with torch.no_grad():
            mode = compile_fx.fake_tensor_prop(gm, inputs)
        compile_fx._recursive_record_original_output_strides(gm)
        with ExitStack() as stack:
            for patch in told_of_a_gpu():
                stack.enter_context(patch)
            stack.enter_context(V.set_fake_mode(mode))
            compile_fx._recursive_post_grad_passes(gm, is_inference=False)
            graph = GraphLowering(
                gm, inputs, is_backward=bool(options.get('is_backward')),
                shape_env=compile_fx.shape_env_from_inputs(inputs),
            )  # fmt: skip
            stack.enter_context(V.set_graph_handler(graph))
            stack.enter_context(V.set_extern_kernel_nodes([]))
            stack.enter_context(V.set_debug_handler(DebugContext()))
            graph.run(*inputs)
            graph._update_scheduler()
            self.kernels += map(kernel, graph.scheduler.nodes)
            self.peaks.append(peak(graph))
        return make_boxed_func(untouched.forward)


def moved(gm: fx.GraphModule, inputs: Sequence[Any]) -> list[Any]:
    """Inputs on the GPU that is assumed, and the graph made one for it."""

    def there(x: Any) -> Any:
        return CUDA if isinstance(x, torch.device) else x

    for node in gm.graph.nodes:
        node.args, node.kwargs = tree_map(there, node.args), tree_map(there, dict(node.kwargs))
    gm.recompile()
    with torch._guards.detect_fake_mode(inputs):
        return [
            torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device=CUDA)
            if isinstance(x, Tensor)
            else x
            for x in inputs
        ]


def told_of_a_gpu() -> Iterator[Any]:
    """What Inductor asks of a card before it writes code."""
    properties = DeviceProperties(type='cuda', index=0, cc=90, **H100)
    card = SimpleNamespace(name='H100', minor=0, total_memory=80e9, **H100)
    yield mock.patch.object(DeviceProperties, 'create', lambda device: properties)
    yield mock.patch.object(torch.cuda, 'get_device_properties', lambda device=None: card)
    yield mock.patch.object(torch.cuda, 'get_device_capability', lambda device=None: (9, 0))
    yield mock.patch.object(torch.cuda, 'current_device', lambda: 0)
    yield mock.patch('torch._inductor.scheduler.has_triton', lambda *args: True)


def operators_of_a_gpu() -> partitioners.OpTypes:
    """What PyTorch makes again and what not: attention not, on a CPU either."""
    known = LISTED()
    known.compute_intensive_ops.add(torch.ops.aten._scaled_dot_product_flash_attention_for_cpu)
    return known


def kernel(node: BaseSchedulerNode) -> Operator:
    """A kernel's operations and bytes."""
    nbytes = node.get_read_write_buffers_sizes()
    origin = called(node) if isinstance(node, ExternKernelSchedulerNode) else None
    if origin is None:
        return Operator('joined', 0, nbytes, False)
    args = fx.map_arg(origin.args, lambda n: n.meta['val'])
    types = (a.dtype for a in args if isinstance(a, Tensor) and a.is_floating_point())
    operations = operations_of(origin.target, args, origin.meta['val'])
    return Operator(origin.target.name(), operations, nbytes, next(types, None) in HALF)


def called(node: ExternKernelSchedulerNode) -> fx.Node | None:
    """The operator that a kernel of a library runs; None for a part of what one gave."""
    one = node.node.get_origin_node()
    origins = [one] if one is not None else list(node.node.get_origins())
    target = getattr(node.node, 'op_overload', None)
    found = [o for o in origins if o.target is target or one is not None]
    return next((o for o in found if isinstance(o.target, torch._ops.OpOverload)), None)


def peak(graph: GraphLowering) -> int:
    """Bytes alive at most while the kernels run in turn."""
    scheduler = graph.scheduler
    inputs, outputs = OrderedSet(graph.graph_inputs), OrderedSet(graph.get_output_names())
    nodes, buffers = scheduler.nodes, scheduler.name_to_buf
    planned = (nodes, buffers, scheduler.name_to_fused_node, inputs, outputs)
    most, _ = memory.prepare_planning_info(*planned)
    return most


def counted(row: Row) -> dict[str, Any]:
    """Least seconds on each card, kernels and peak of a row's compiled step."""
    step = step_of(row, '16 bit')
    with step.mode:
        video = torch.empty(row.clips, 3, step.frames, *step.size)
        return figures(step.model.backbone, video, count(step.model.backbone, video))


def count(model: nn.Module, video: Tensor) -> Counting:
    """Forward and backward pass under bfloat16 autocast, with the forms of a GPU."""
    torch._dynamo.reset()
    counting = Counting()
    tell_compiler([model])
    with (
        forms_of('cuda'),
        mock.patch.object(partitioners, 'get_default_op_list', operators_of_a_gpu),
    ):
        with torch.autocast('cpu', torch.bfloat16):
            feature = torch.compile(model, backend=counting)(video)
        feature.float().square().sum().backward()
    return counting


def figures(model: nn.Module, video: Tensor, counting: Counting) -> dict[str, Any]:
    """What is stored of a step."""
    weights = sum(p.numel() * p.itemsize for p in model.parameters())
    tuned = sum(MASTER * p.numel() for p in model.parameters() if p.requires_grad)
    update = Operator('update', 0, 7 * tuned, False)  # AdamW reads four vectors and writes three
    kernels = [*counting.kernels, update]
    seconds = {
        name: sum(CARDS[name].seconds(k.operations, k.nbytes, k.half) for k in kernels)
        for name in SHOWN
    }
    beside = weights + 3 * tuned + video.numel() * video.itemsize  # two moments and a bucket
    return dict(
        date=time.strftime('%Y-%m-%d'),
        torch=torch.__version__,
        seconds=seconds,
        kernels=sum(k.nbytes > 0 for k in kernels),
        traffic=sum(k.nbytes for k in kernels),
        operations=sum(k.operations for k in kernels),
        peak=beside + max(counting.peaks),
    )


def main() -> None:
    """Count, store each as soon as it is known, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--only', default='', help='rows with this in their name')
    args = parser.parse_args()
    init_default_scope('mmaction')
    file = FOLDER / f'compiled_steps_torch{torch.__version__.split("+")[0]}.json'
    stored = json.loads(file.read_text()) if file.is_file() else {}
    for row in rows(args.only):
        stored[row.key('16 bit')] = found = counted(row)
        file.write_text(json.dumps(stored, indent=1) + '\n')
        times = ', '.join(f'{CARDS[n].name} {1e3 * s:.1f} ms' for n, s in found['seconds'].items())
        print(f'{row.key("16 bit")}: {times}, {found["kernels"]} kernels, '
              f'{found["traffic"] / 1e9:.1f} GB moved, {found["operations"] / 1e12:.1f} TFLOP, '
              f'peak {found["peak"] / 1e9:.2f} GB', flush=True)  # fmt: skip


def rows(only: str) -> Iterator[Row]:
    """Those beside which the authors' form stands."""
    yield from (row for row in ROWS if row.authors and only in row.key('16 bit'))


if __name__ == '__main__':
    main()
