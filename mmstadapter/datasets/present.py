"""Whether the videos of a list are where the config says, and their labels classes of the head."""

import os
from typing import Any

LOOKED_AT = 16  # items, spread over the list


def check_present(dataset: Any, field: str) -> None:
    """Raise unless one of some items of a data set is there, before anything is decoded.

    A single missing video is replaced and reported; a wrong folder would be found out by the
    first of them in training, and in validation only after an epoch.

    Args:
        dataset: a data set of video files or folders of frames; others pass, and so do files
            that are not on a local disk.
        field: the config's name of its loader.

    Raises:
        FileNotFoundError: if all that are looked at are missing.
    """
    count = len(dataset) if hasattr(dataset, 'get_data_info') else 0
    spread = sorted({i * count // LOOKED_AT for i in range(LOOKED_AT)}) if count else []
    infos = [dataset.get_data_info(i) for i in spread]
    paths = [info.get('filename') or info.get('frame_dir') for info in infos]
    local = [path for path in paths if isinstance(path, str) and ':' not in path]
    if local and not any(map(os.path.exists, local)):
        raise FileNotFoundError(
            f'{field}: none of {len(local)} of its {count} videos is there, the first is '
            f'{local[0]}. Set {field}.dataset.data_prefix (and data_root) to the folder that the '
            'paths of its list begin in.'
        )


def check_labels(dataset: Any, model: Any, field: str) -> None:
    """Raise if a list has labels that the classifier has no class for.

    Args:
        dataset: a data set that knows its ``largest_label``; others pass.
        model: the run's model; one without a ``cls_head.num_classes`` passes.
        field: the config's name of the loader.

    Raises:
        ValueError: which the first such clip would otherwise find out, on a GPU without a
            readable word.
    """
    largest = getattr(dataset, 'largest_label', None)
    count = getattr(getattr(model, 'cls_head', None), 'num_classes', None)
    if isinstance(largest, int) and isinstance(count, int) and largest >= count:
        raise ValueError(
            f'{field}: {dataset.ann_file} has a label {largest}, and the head has {count} classes, '
            f'0 to {count - 1}. Set model.cls_head.num_classes to the number of classes, or number '
            'the labels from 0.'
        )
