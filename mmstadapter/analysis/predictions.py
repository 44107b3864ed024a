"""The predictions that `mmstadapter test --dump` writes; reading them executes nothing."""

import io
import pickle
from pathlib import Path

import numpy as np
import torch

# What tensors, arrays and plain data are pickled by. Anything else could be a command.
NAMES = {
    ('_codecs', 'encode'),  # bytes, in the older protocol that MMEngine writes
    ('__builtin__', 'bytes'),
    ('collections', 'OrderedDict'),
    ('torch._utils', '_rebuild_tensor_v2'),
    ('numpy', 'dtype'),
    ('numpy', 'ndarray'),
    *(
        (f'numpy.{core}.multiarray', name)
        for core in ('core', '_core')
        for name in ('_reconstruct', 'scalar')
    ),
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str):
        if (module, name) == ('torch.storage', '_load_from_bytes'):
            return lambda data: torch.load(io.BytesIO(data), weights_only=True)
        if (module, name) not in NAMES:
            raise pickle.UnpicklingError(f'it names {module}.{name}')
        return super().find_class(module, name)


def read_predictions(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Scores (V, C) and true labels (V,), -1 of a video that could not be decoded.

    Raises:
        ValueError: if the file is damaged, or does not hold scores and one label a video.
    """
    try:
        with path.open('rb') as file:
            samples = _Unpickler(file).load()
        scores = torch.stack([torch.as_tensor(s['pred_score']).float() for s in samples])
        labels = [torch.as_tensor(s['gt_label']) for s in samples]
        if any(label.numel() != 1 for label in labels):
            raise ValueError('a video has several labels')
        return scores.numpy(), np.array([int(label) for label in labels], np.int64)
    except OSError:
        raise
    except Exception as error:  # a damaged pickle may raise anything
        raise ValueError(
            f'{path} holds no predictions of a classifier: {error}. Give the file that '
            '`mmstadapter test CONFIG CHECKPOINT --dump FILE.pkl` wrote.'
        ) from error
