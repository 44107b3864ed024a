"""Compare our models with numbers that the authors' code produced.

    mmstadapter parity FILE_OR_FOLDER ... [--quiet] [--device cuda]

Each case is a pair `<case>.safetensors` and `<case>.json`: the official state dict, an
input, and what the official code computed from them. Our model is built from the stored
constructor arguments, takes the official weights through `mmstadapter.weights`, and what it
computes is compared with what is stored. A line a quantity with the largest difference and
its tolerance. Tables of frames, crops and learning rates, a `.json` alone, are compared too.
A case that cannot be computed fails and the others go on; exit status 0 only if all hold.
"""

from pathlib import Path

from mmstadapter_cli import parser_of


def find_cases(paths: list[str]) -> list[Path]:
    """All .safetensors files named or lying in the folders named, and tables without tensors."""
    from mmstadapter.parity import is_table

    found = []
    for path in map(Path, paths):
        if not path.exists():
            raise FileNotFoundError(f'parity: {path} does not exist')
        tensors = path.with_suffix('.safetensors')
        if path.is_dir():
            alone = (p for p in path.rglob('*.json') if not p.with_suffix('.safetensors').exists())
            found += sorted([*path.rglob('*.safetensors'), *filter(is_table, alone)])
        else:
            found.append(path if not tensors.exists() and is_table(path) else tensors)
    if not found:
        raise FileNotFoundError(f'parity: no .safetensors file in {", ".join(paths)}')
    return list(dict.fromkeys(found))


def certify(path: Path, quiet: bool = False, device: str = 'cpu') -> bool:
    """Print the certificate of one case, if quiet only what fails; return whether all holds."""
    import torch

    from mmstadapter.parity import read_case

    try:
        case = read_case(path, device)
        with torch.device(device):
            lines = list(case.lines())
    except Exception as error:  # any: numbers of others, which may ask for anything
        print(f'{path.stem}: FAIL, not compared: {type(error).__name__}: {error}')
        return False
    failed = [line for line in lines if not line.holds]
    if quiet and lines and not failed:
        return True
    print(f'{path.stem}: {case.info["source"]}')
    for line in failed if quiet else lines:
        print(line)
    worst = max((line.difference for line in lines), default=0.0)
    agree = len(lines) - len(failed)
    print(f'  {agree} of {len(lines)} quantities agree, largest difference {worst:.2e}')
    return bool(lines) and not failed


def main(argv: list[str] | None = None) -> int:
    """Certify every case named on the command line."""
    parser = parser_of('parity', __doc__)
    parser.add_argument('paths', nargs='+', metavar='FILE_OR_FOLDER')
    parser.add_argument('--quiet', action='store_true', help='print only what fails')
    parser.add_argument('--device', default='cpu', help='where to compute, as in cuda:1 [cpu]')
    args = parser.parse_args(argv)
    import torch
    from mmengine.registry import init_default_scope

    from mmstadapter.apis.device import choose_device

    try:
        cases, device = find_cases(args.paths), str(choose_device(args.device))
    except (FileNotFoundError, RuntimeError) as error:
        parser.exit(1, f'{error}\n')
    init_default_scope('mmaction')
    torch.backends.cudnn.allow_tf32 = False  # 10 bits of a number are no certificate
    results = [certify(path, args.quiet, device) for path in cases]
    print(f'{sum(results)} of {len(results)} cases hold')
    return 0 if all(results) else 1
