"""Whether the videos of a list are where the config says they are."""

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
