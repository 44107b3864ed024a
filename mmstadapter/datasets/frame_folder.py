"""Folders of numbered image files, read as if they were videos."""

import io
import os.path as osp
import re
from collections.abc import Iterable

import numpy as np
from mmengine.fileio import get, list_dir_or_file
from PIL import Image

from .checked import Entry
from .packets import VideoReadError
from .readers import one_array_each


def check_template(template: str) -> None:
    """Refuse what does not name a different file for every number.

    Raises:
        ValueError: for anything but one field for a whole number.
    """
    try:
        good = len(re.findall(r'{[^}]*}', template)) == 1 and '/' not in template
        good = good and template.format(1) != template.format(2)
    except (IndexError, KeyError, ValueError):
        good = False
    if not good:
        raise ValueError(
            "filename_tmpl must be a file name with one field for its number, as '{:05}.jpg' "
            f"for 00001.jpg or 'img_{{:05}}.jpg' for img_00001.jpg, got {template!r}."
        )


class FrameFolder:
    """The reader of one folder, with the interface of a video's.

    Args:
        path: the folder, or its address for ``backend_args``.
        template: file name with a field for the number.
        first: number of the first frame.
        length: frames to use; None counts the files whose names fit the template.
        backend_args: for folders that are not local, as for ``mmengine.fileio.get``.
        checked: what `mmstadapter check` wrote about the folder, to compare images with.

    Raises:
        VideoReadError: if the folder or a file is missing, when counting or reading, or an image
            cannot be decoded, has another size than the others or changed since it was checked.
    """

    fps = 0.0

    def __init__(
        self,
        path: str,
        template: str,
        first: int = 1,
        length: int | None = None,
        backend_args: dict | None = None,
        checked: Entry | None = None,
    ) -> None:
        check_template(template)
        self.checked = checked
        self.path, self.template, self.first = path, template, first
        self.backend_args = backend_args
        self._length = self._count() if length is None else length
        if self._length < 1:
            raise VideoReadError(path, 'has no frames')

    def __len__(self) -> int:
        return self._length

    def read(self, indices: Iterable[int]) -> list[np.ndarray]:
        """Frames by index from 0, each its own (H, W, 3) uint8 RGB array."""
        indices = [int(index) for index in indices]
        found = {index: self._image(index) for index in sorted(set(indices))}
        sizes = {image.shape[:2] for image in found.values()}
        if len(sizes) > 1:
            raise VideoReadError(self.path, f'has frames of different sizes: {sorted(sizes)}')
        return one_array_each(indices, found)

    def _name(self, index: int) -> str:
        return self.template.format(self.first + index)

    def _count(self) -> int:
        try:
            files = set(list_dir_or_file(self.path, list_dir=False, backend_args=self.backend_args))
        except FileNotFoundError:
            raise VideoReadError(self.path, 'no such folder') from None
        except NotADirectoryError:
            raise VideoReadError(self.path, 'is no folder of frames') from None
        pattern = re.sub(r'\\{.*?\\}', '([0-9]+)', re.escape(self.template))
        matches = [re.fullmatch(pattern, name) for name in files]
        numbers = {int(m[1]) for m in matches if m and self.template.format(int(m[1])) == m[0]}
        if not numbers:
            beside = f' (but {min(files)})' if files else ''
            raise VideoReadError(self.path, f'holds no file like {self._name(0)}{beside}')
        if min(numbers) != self.first:
            reason = f'begins with {self.template.format(min(numbers))}, not {self._name(0)}'
            hint = f'set start_index={min(numbers)} if all folders do'
            raise VideoReadError(self.path, f'{reason}; {hint}')
        for index in range(len(numbers)):
            if self.first + index not in numbers:
                raise VideoReadError(self.path, f'lacks {self._name(index)}')
        return len(numbers)

    def _refuse_changed(self, index: int, content: bytes) -> None:
        entry = self.checked
        if entry is not None and entry.first is not None and not entry.wrong:
            number = self.first + index - entry.first
            entry.refuse_other(self.path, number, content, self._name(index))

    def _image(self, index: int) -> np.ndarray:
        if not 0 <= index < len(self):
            reason = f'has frames 0 to {len(self) - 1}, asked for {index}'
            raise VideoReadError(self.path, reason)
        name = self._name(index)
        try:
            content = get(osp.join(self.path, name), self.backend_args)
            self._refuse_changed(index, content)
            with Image.open(io.BytesIO(content)) as picture:
                if picture.mode.startswith(('I', 'F')):  # grey of more bits, which would turn white
                    raise ValueError(f'grey levels of more than 8 bits (mode {picture.mode})')
                return np.array(picture.convert('RGB'))
        except FileNotFoundError:
            raise VideoReadError(self.path, f'lacks {name}') from None
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            reason = str(error).partition(' <')[0]  # without the address of a buffer
            raise VideoReadError(self.path, f'{name} cannot be decoded: {reason}') from error
