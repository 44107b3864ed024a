"""Pipeline steps that open a video and decode the sampled frames."""

from pathlib import Path

import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform
from mmengine.fileio import exists

from .checked import Entry, find
from .clip_cache import CachedVideo
from .frame_folder import FrameFolder, check_template
from .readers import check_reader, open_video


def with_suffix(filename: str, backend_args: dict | None = None) -> str:
    """The name of a video file, of which lists may leave .mp4 out, as for DecordInit."""
    is_whole = Path(filename).suffix or exists(filename, backend_args)
    return filename if is_whole else f'{filename}.mp4'


@TRANSFORMS.register_module()
class VideoInit(BaseTransform):
    """Open the video of a sample; with :class:`VideoDecode`, in place of MMAction2's DecordInit.

    Gives the right frames of any file FFmpeg can read, whatever the container, or raises.
    Files are opened and closed within one sample, so loaders may fork.

    Also opens a folder of numbered images, where the sample (``mmstadapter.RawframeDataset``) or
    this step has a ``filename_tmpl``: numbers start at the sample's ``start_index`` (0 if
    absent) plus its ``offset``; ``total_frames`` of the sample, if any, goes before counting.

    A file that `mmstadapter check` knows is compared with what it was then, see
    :mod:`mmstadapter.datasets.checked`; images when they are read.

    Reads ``filename``, ``checked``; adds ``video_reader``, ``total_frames``, ``avg_fps`` (0.0 for
    images).

    Args:
        reader: ``'pyav'``, ``'auto'``, ``'decord'`` or ``'torchcodec'``, see :func:`open_video`.
        num_threads: decoding threads of one video.
        backend_args: for files that are not local, as for ``mmengine.fileio.get``.
        filename_tmpl: names of the images, as ``'{:05}.jpg'``, for data sets that do not say.
        cache: a folder that `mmstadapter cache` has filled: frames come from there, not from the
            videos; not for folders of images.

    Raises:
        ValueError: a video that the cache does not hold as it is now.
        VideoReadError: if the file cannot be decoded, or changed since it was checked.
            ``mmstadapter.VideoDataset`` replaces the sample then.
    """

    def __init__(
        self,
        reader: str = 'pyav',
        num_threads: int = 1,
        backend_args: dict | None = None,
        filename_tmpl: str | None = None,
        cache: str | None = None,
    ) -> None:
        if cache and backend_args:
            raise ValueError(
                'VideoInit: a cache is of local videos, and backend_args are for others. Set one '
                'of the two.'
            )
        check_reader(reader, 'VideoInit')
        self.reader = reader
        self.num_threads = num_threads
        self.backend_args = backend_args
        self.filename_tmpl = filename_tmpl
        self.cache = cache
        if filename_tmpl is not None:
            check_template(filename_tmpl)

    def transform(self, results: dict) -> dict:
        """Add the reader and what it knows."""
        template = results.get('filename_tmpl', self.filename_tmpl)
        video = self._folder(results, template) if template else self._file(results)
        results['video_reader'] = video
        results['total_frames'] = len(video)
        results['avg_fps'] = video.fps
        return results

    def _file(self, results: dict):
        filename = with_suffix(str(results['filename']), self.backend_args)
        if self.cache:
            return CachedVideo(self.cache, filename)
        video = open_video(filename, self.reader, self.num_threads, self.backend_args)
        entry = self._entry(filename, results)  # now that all packets are in the system's cache
        if entry is not None:
            entry.refuse_changed(filename)
        return video

    def _folder(self, results: dict, template: str) -> FrameFolder:
        first = results.get('start_index', 0) + results.get('offset', 0)
        length = results.get('total_frames')
        entry = self._entry(str(results['filename']), results)
        return FrameFolder(
            str(results['filename']), template, first, length, self.backend_args, entry
        )

    def _entry(self, filename: str, results: dict) -> Entry | None:
        """What is written about a local file."""
        return None if self.backend_args else find(filename, *results.get('checked', ()))

    def __repr__(self) -> str:
        return f'{type(self).__name__}(reader={self.reader!r}, num_threads={self.num_threads})'


@TRANSFORMS.register_module()
class VideoDecode(BaseTransform):
    """Decode the sampled frames and close the video.

    Reads ``video_reader`` and ``frame_inds`` (counted from ``start_index``); adds ``imgs``, a
    list of T (H, W, 3) uint8 RGB arrays, ``original_shape`` and ``img_shape``, both (H, W).

    Raises:
        VideoReadError: if a frame cannot be decoded, or the video has fewer.
    """

    def transform(self, results: dict) -> dict:
        """Replace the reader by frames."""
        video = results['video_reader']
        results['video_reader'] = None
        indices = np.ravel(results['frame_inds']) - results.get('start_index', 0)
        results['imgs'] = video.read(indices)
        results['original_shape'] = results['img_shape'] = results['imgs'][0].shape[:2]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'
