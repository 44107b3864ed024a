"""The steps of `mmstadapter fit` for captioned videos: a model that finds them by a sentence."""

import json
from pathlib import Path
from typing import Any, ClassVar

import torch
from mmaction.registry import TOKENIZER
from mmengine.config import Config

from ..engine.tuned_checkpoint import write_adapter
from ..models.parts import built
from ..printing import shown
from .bases import MAX_BATCH, Base
from .building import build_model
from .caption_bases import CaptionBase
from .caption_recipe import FEATURES, choose_recipe, config_text
from .caption_results import write_results
from .captioned_videos import CaptionedVideos
from .finished import ADAPTER, RETRIEVAL_RESULTS
from .fitting import Fit
from .mirroring import Mirror
from .own_videos import Video, VideoFolder
from .recipe import Recipe


class CaptionFit(Fit):
    """A prepared work dir for a list of captions; see :class:`Fit`."""

    BASE: ClassVar[type[Base]] = CaptionBase
    RESULTS: ClassVar[tuple[str, ...]] = RETRIEVAL_RESULTS
    folder: CaptionedVideos

    @staticmethod
    def find(root: str | Path, layout: str, videos: str | Path | None) -> CaptionedVideos:
        """The videos of the list."""
        if layout != 'auto':
            raise ValueError(
                f'mmstadapter fit: --layout is about class folders, and {root} is a list of '
                'captions. Leave it out.'
            )
        return CaptionedVideos(root, videos)

    @staticmethod
    def refuse_work_dir(work_dir: Path, folder: VideoFolder) -> None:
        """It may lie beside the videos: the list alone says what they are."""

    @staticmethod
    def choose_recipe(videos: list[Video], folder: VideoFolder, base: Base, **given: Any) -> Recipe:
        """How to train on some of the videos."""
        most = MAX_BATCH if torch.cuda.is_available() else base.max_batch
        recipe = choose_recipe(videos, base.config, most, **given)
        recipe.reasons += base.notes
        return recipe

    def refuse_others(self, config: Config) -> None:
        """Raise if the tokenizer cannot read a caption; note how many it cuts."""
        tokenizer = built(config.model.tokenizer.to_dict(), TOKENIZER)
        captions = [text for texts in self.folder.captions.values() for text in texts]
        tokenizer(captions)
        if hasattr(tokenizer, 'pieces'):  # else it refuses long ones
            room = tokenizer.context_length - getattr(tokenizer, 'num_ends', 2)
            cut = sum(len(tokenizer.pieces(text)) > room for text in captions)
            said = f'{cut} captions are longer than the {room} tokens that are read of one'
            self.recipe.reasons += [said] if cut else []

    def text(self, base: Base, num_workers: int) -> str:
        """The config that trains the recipe."""
        assert isinstance(base, CaptionBase)
        tested = 'test' if 'test' in self.parts else 'val'
        return config_text(
            self.recipe, base, self.folder.root, self.work_dir, num_workers, self.options, tested
        )

    def choose_mirror(self, config: Config, wanted: bool | None, fetched: bool) -> Mirror:
        """As told; else not: captions say left and right, and published recipes do not."""
        why = 'no mirroring: captions may say left and right; --mirror if yours do not'
        return (
            Mirror(bool(wanted), why)
            if wanted is None
            else super().choose_mirror(config, wanted, fetched)
        )

    def lists(self) -> list[Any]:
        """The captions of each video of each part."""
        return [self.folder.listed(videos) for videos in self.parts.values()]

    def write_lists(self) -> None:
        """Write the annotation files that the config names."""
        for part, videos in self.parts.items():
            text = json.dumps(self.folder.listed(videos), indent=1, ensure_ascii=False) + '\n'
            (self.work_dir / f'{part}.json').write_text(text, encoding='utf-8')

    def what(self) -> list[str]:
        """The data in lines: how many videos and captions."""
        count = {part: len(videos) for part, videos in self.parts.items()}
        captions = sum(len(self.folder.captions[video.path]) for video in self.tested)
        between = f', {count["val"]} to validate on' if 'test' in count else ''
        lines = [
            f'{sum(map(len, self.folder.captions.values()))} captions: {count["train"]} videos to '
            f'train on{between}, {len(self.tested)} with {captions} captions to test'
        ]
        if shared := self.folder.shared(self.tested):
            lines.append(f'{shared} captions to test are those of several videos: one is found')
        if self.folder.unread:
            lines.append(
                f'columns that say nothing here: {", ".join(map(shown, self.folder.unread))}'
            )
        return lines

    def chance(self) -> str:
        """What a guess achieves."""
        return f'chance: {100 / len(self.tested):.1f} % of captions find their video by a guess'

    def dumped(self) -> list[str]:
        """Nothing: the config lets the test keep its features."""
        return []

    def write_adapter(self) -> Path:
        """The portable file of the last checkpoint, for `mmstadapter index`."""
        config, out = self.config(), self.work_dir / ADAPTER
        model = build_model(config.model, self.last.read_text().strip())
        write_adapter(out, model, config)
        return out

    def write_results(self) -> dict[str, Any]:
        """Recall, and the captions that find another video, of the features that the test kept."""
        return write_results(self.work_dir / FEATURES, self.folder.root, self.work_dir)
