"""Lists of folders of frames with labels."""

import logging

from mmengine.logging import print_log

from ..registry import CHILDREN
from .frame_folder import check_template
from .video_dataset import VideoDataset

COUNTS = ('files', 'list')
SHOWN = 50


# MMAction2 has a class of this name: ours is in the registry of our scope only.
@CHILDREN['DATASETS'].register_module()
class RawframeDataset(VideoDataset):
    """:class:`VideoDataset` of folders of numbered images instead of video files.

    The same pipelines serve both: ``mmstadapter.VideoInit`` opens the folder,
    ``mmstadapter.VideoDecode`` reads the images. A line of the annotation file is

    * ``folder label``,
    * ``folder frames label``, or
    * ``folder offset frames label``: so many frames from the file numbered
      ``start_index + offset`` on (MMAction2's ``with_offset``).

    A folder or image that is missing, damaged or of another size is treated as a video that
    cannot be decoded.

    Args:
        ann_file: the list.
        pipeline: steps from ``filename`` and ``label`` to ``inputs`` and ``data_samples``.
        data_prefix: ``dict(img=...)`` or ``dict(video=...)``, the folder of the folders.
        filename_tmpl: file name with a field for the number; the Something-Something archives
            hold ``'{:05}.jpg'``, MMAction2's tools write ``'img_{:05}.jpg'``.
        start_index: number of a folder's first file.
        frame_count: ``'files'`` counts the files of a folder whenever it is read, as the
            released Side4Video does; ``'list'`` believes the list. With an offset the list says.
        min_frames: leave out folders with fewer frames, where the list gives their number; those
            left out are logged and kept in ``dropped``. The released code leaves out what has
            fewer than 8 in training and validation, nothing in testing.
        kwargs: as for :class:`VideoDataset`.

    Raises:
        ValueError: beside :class:`VideoDataset`'s, for another number of columns, a template
            without a number, ``frame_count='list'`` without that column, or ``multi_class``.
    """

    def __init__(
        self,
        ann_file: str,
        pipeline: list,
        data_prefix: dict | None = None,
        filename_tmpl: str = 'img_{:05}.jpg',
        start_index: int = 1,
        frame_count: str = 'files',
        min_frames: int = 0,
        **kwargs,
    ) -> None:
        check_template(filename_tmpl)
        if frame_count not in COUNTS:
            raise ValueError(
                f'RawframeDataset: frame_count must be one of {COUNTS}, got {frame_count!r}.'
            )
        if kwargs.get('multi_class'):
            raise ValueError(
                'RawframeDataset: multi_class is for lists of videos; a line of a list of frames '
                'has one label.'
            )
        prefix = data_prefix or {}
        self.filename_tmpl, self.frame_count = filename_tmpl, frame_count
        self.min_frames = min_frames
        self.dropped: list[str] = []
        super().__init__(
            ann_file,
            pipeline=pipeline,
            data_prefix=dict(video=prefix.get('img', prefix.get('video', ''))),
            start_index=start_index,
            **kwargs,
        )

    def _parse(self, line: str, number: int) -> dict:
        columns = line.split(self.delimiter)
        if len(columns) > 4:
            raise self._wrong(line, number, 'needs folder, (offset,) (frames,) label')
        folder, *numbers, label = columns if len(columns) > 1 else [columns[0], '']
        rest = f'{folder}{self.delimiter or " "}{label}' if label else folder
        info = super()._parse(rest, number)
        info['filename_tmpl'] = self.filename_tmpl
        try:
            counts = [int(text) for text in numbers]
        except ValueError:
            raise self._wrong(line, number, 'has a count that is no whole number') from None
        if any(count < 0 for count in counts):
            raise self._wrong(line, number, 'has a count below 0')
        if not counts and self.frame_count == 'list':
            raise self._wrong(line, number, "has no number of frames for frame_count='list'")
        if counts:
            info['listed_frames'] = counts[-1]
        if counts and (len(counts) == 2 or self.frame_count == 'list'):
            info['total_frames'] = counts[-1]
            info['offset'] = counts[0] if len(counts) == 2 else 0
        return info

    def _choose(self, data_list: list[dict]) -> list[dict]:
        kept: list[dict] = []
        dropped: list[dict] = []
        for info in data_list:
            frames = info.pop('listed_frames', None)
            few = frames is not None and frames < self.min_frames
            (dropped if few else kept).append(info)
        self.dropped = [info['filename'] for info in dropped]
        if dropped:
            shown = ', '.join(self.dropped[:SHOWN]) + (' ...' if len(dropped) > SHOWN else '')
            print_log(
                f'RawframeDataset: {len(dropped)} of {len(data_list)} folders of {self.ann_file} '
                f'have fewer than {self.min_frames} frames and are left out: {shown}',
                'current',
                logging.WARNING,
            )
        if not kept:
            raise ValueError(
                f'RawframeDataset: all {len(dropped)} folders of {self.ann_file} have fewer than '
                f'{self.min_frames} frames. Is the second column the number of frames?'
            )
        return super()._choose(kept)

    def _neighbour(self, idx: int, distance: int) -> dict:
        """The item itself with a later item's frames."""
        info = super()._neighbour(idx, distance)
        other = self.get_data_info((idx + distance) % len(self))
        places = ('total_frames', 'offset')
        kept = {key: value for key, value in info.items() if key not in places}
        return kept | {key: other[key] for key in places if key in other}
