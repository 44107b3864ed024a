"""What a data set gives in place of a video that cannot be decoded."""

import random

from mmengine.dataset import BaseDataset

from .checked import find, table_of_list
from .packets import VideoReadError

MAX_REPLACEMENTS = 10  # in a row; more means that something general is wrong


class ReplacesBadVideos(BaseDataset):
    """Mix-in for data sets of videos: broken ones are replaced, and noted on the sample.

    In training another item takes the place, at random; in testing the item keeps its place and
    gets a neighbour's frames. Either way ``bad_videos`` of the sample lists (path, reason), for
    ``BadVideoHook``. A subclass says in :meth:`lose` what such a test item becomes, and in
    :meth:`notes` what else its sample notes.

    Raises:
        RuntimeError: 11 videos in a row that cannot be decoded.
    """

    def full_init(self) -> None:
        """Load the list, and before loaders fork the table that `mmstadapter check` wrote of it."""
        super().full_init()
        root = self.data_prefix.get('video') or ''
        self.checked = (table_of_list(self.ann_file), root)
        if len(self):
            find(self.get_data_info(0)['filename'], *self.checked)

    def get_data_info(self, idx: int) -> dict:
        """The item, which says where to find what is known of its file."""
        return super().get_data_info(idx) | dict(checked=self.checked)

    def lose(self, info: dict) -> None:
        """Change the item so that nothing can match it by its neighbour's frames."""

    def notes(self, info: dict) -> dict:
        """What the sample of a lost test item notes beside ``bad_videos``."""
        raise TypeError(f'{type(self).__name__} must provide `notes`.')

    def __getitem__(self, idx: int) -> dict:
        """The sample after the pipeline, of another video if its own cannot be decoded."""
        if not self._fully_initialized:
            self.full_init()
        bad: list[tuple[str, str]] = []
        info = self.get_data_info(idx)
        for attempt in range(1, MAX_REPLACEMENTS + 2):
            try:
                sample = self.pipeline(info)
            except VideoReadError as error:
                bad.append((error.path, error.reason))
                info = self._neighbour(idx, attempt) if self.test_mode else self._another(idx)
                continue
            if bad:
                self._note(sample, bad, idx)
            return sample
        listed = '\n  '.join(': '.join(entry) for entry in dict.fromkeys(bad))
        raise RuntimeError(
            f'{type(self).__name__}: {len(bad)} videos of {self.ann_file} in a row cannot be '
            f'decoded. Check data_prefix and data_root, and the files:\n  {listed}'
        )

    def _another(self, idx: int) -> dict:
        """Any item but this one."""
        distance = random.randrange(1, max(2, len(self)))
        return self.get_data_info((idx + distance) % len(self))

    def _neighbour(self, idx: int, distance: int) -> dict:
        """The item itself with a later item's frames."""
        info = self.get_data_info(idx)
        info['filename'] = self.get_data_info((idx + distance) % len(self))['filename']
        self.lose(info)
        return info

    def _note(self, sample: dict, bad: list[tuple[str, str]], idx: int) -> None:
        """Let the bad videos travel with the sample."""
        if not isinstance(sample, dict) or 'data_samples' not in sample:
            raise VideoReadError(*bad[0])  # nothing to note it on: better stop than be silent
        notes: dict = {'bad_videos': bad}
        if self.test_mode:
            notes |= self.notes(self.get_data_info(idx))
        sample['data_samples'].set_metainfo(notes)
