"""Clips that are decoded once a process instead of once an epoch."""

from functools import cache
from pathlib import Path


def keep_in_memory(cfg) -> None:
    """Decode every clip once a process instead of once an epoch; the frames are the same."""
    _register_kept_video()
    for split in ('train', 'test'):
        dataset = cfg[f'{split}_dataloader']['dataset']
        root = Path(dataset['data_root'])
        kept_clips(str(root / dataset['data_prefix']['video'] / split.replace('test', 'val')))
        for step in dataset['pipeline']:
            if step['type'] == 'mmstadapter.VideoInit':
                step['type'] = 'KeptVideoInit'


@cache
def kept_clips(folder: str) -> dict[str, 'KeptVideo']:
    """File name -> the decoded clip, of all videos of a folder."""
    from mmstadapter.datasets.readers import open_video

    clips = {}
    for path in sorted(Path(folder).glob('*.mp4')):
        video = open_video(str(path))
        clips[path.name] = KeptVideo(video.read(range(len(video))), video.fps)
    return clips


class KeptVideo:
    """A decoded video that is read as a file is."""

    def __init__(self, frames: list, fps: float) -> None:
        self.frames, self.fps = frames, fps

    def __len__(self) -> int:
        return len(self.frames)

    def read(self, indices) -> list:
        """Frames by index, each its own array."""
        return [self.frames[int(index)].copy() for index in indices]


@cache
def _register_kept_video() -> None:
    from mmaction.registry import TRANSFORMS

    from mmstadapter import VideoInit

    @TRANSFORMS.register_module(name='KeptVideoInit')
    class KeptVideoInit(VideoInit):
        """VideoInit from memory."""

        def transform(self, results: dict) -> dict:
            path = Path(results['filename'])
            video = kept_clips(str(path.parent))[path.name]
            results.update(video_reader=video, total_frames=len(video), avg_fps=video.fps)
            return results
