"""Every column of the tool matrix under FSDP2: ``torchrun --nproc_per_node=2 shard_models.py OUT``.

Writes the names of the columns that came through, then 'CLIPBlock' for a sharded block.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import torch
from mmengine.registry import init_default_scope
from torch import nn
from torch.distributed import destroy_process_group, get_rank, init_process_group
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

import mmstadapter  # noqa: F401  (repairs the host packages)

sys.path.insert(0, str(Path(__file__).parents[1]))
from contract import test_tool_matrix as matrix

from mmstadapter.models.ops.attention import SelfAttention


def check_column(name: str, mesh) -> None:
    """Sharded, a model gives the same features and gradients."""
    plain, model = matrix.build(name), matrix.build(name)
    kinds = (*matrix.LAYERS, nn.Embedding, SelfAttention)
    inner = [m for m in model.modules() if isinstance(m, kinds) and m is not model]
    for layer in reversed(inner):
        if any(True for _ in layer.parameters(recurse=False)):
            fully_shard(layer, mesh=mesh)
    scalars = {p for p in model.parameters() if not p.ndim}  # FSDP2 takes none: logit_scale
    fully_shard(model, mesh=mesh, ignored_params=scalars)
    call_layers(plain)
    expected, outcome = matrix.run(plain), matrix.run(model)
    torch.testing.assert_close(outcome, expected)
    if expected.requires_grad:
        expected.square().sum().backward()
        outcome.square().sum().backward()
        theirs = dict(model.named_parameters())
        for n, parameter in plain.named_parameters():
            if parameter.grad is not None and not n.startswith(matrix.COLUMNS[name].idle):
                torch.testing.assert_close(theirs[n].grad.full_tensor(), parameter.grad)


def call_layers(model) -> None:
    """Keep the lean forms away, as shards do: they round otherwise, which some columns amplify."""
    for module in model.modules():
        module.register_forward_hook(lambda *_: None)


def check_block(mesh) -> None:
    """A sharded block tells the way out, and takes it."""
    plain, model = matrix.build('CLIPViT'), matrix.build('CLIPViT')
    call_layers(plain)
    block, x = model.blocks[0], torch.randn(2, 17, 32)
    fully_shard(block, mesh=mesh)
    try:
        block.attend(x)
    except RuntimeError as error:
        assert "register_fsdp_forward_method(block, 'attend')" in str(error)
    else:
        raise AssertionError('a shard was taken for a weight')
    for verb in ('attend', 'feed_forward'):
        register_fsdp_forward_method(block, verb)
    expected = plain.blocks[0].feed_forward(plain.blocks[0].attend(x))
    torch.testing.assert_close(block.feed_forward(block.attend(x)), expected)


def main(out: str) -> None:
    torch.set_num_threads(1)
    init_process_group('gloo')
    init_default_scope('mmaction')
    mesh, passed = init_device_mesh('cpu', (2,)), []
    for name, column in matrix.COLUMNS.items():
        if column.needs is None or find_spec(column.needs):
            check_column(name, mesh)
            passed.append(name)
    check_block(mesh)
    if get_rank() == 0:
        Path(out).write_text(' '.join([*passed, 'CLIPBlock']))
    destroy_process_group()


if __name__ == '__main__':
    main(sys.argv[1])
