"""Where a model looks in a video, before and after adaptation, as picture and as video."""

from dataclasses import dataclass
from pathlib import Path

import av
import matplotlib
import numpy as np
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.dataset import Compose
from torch import Tensor, nn

from ..apis.adapter_model import read_model
from ..apis.device import choose_device
from ..models.class_attention import class_attention, image_class_attention, patch_maps
from ..models.trunks import Trunk

matplotlib.use('Agg')

from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

MAX_COLUMNS = 16  # of the picture; of longer clips evenly spaced frames are drawn
INK = '#27313b'
PANELS = ('frame', 'before', 'after')


@dataclass(frozen=True)
class Seen:
    """A clip's frames (T, H, W, 3) uint8 and the two attentions (T, h, w), 1 being even."""

    frames: np.ndarray
    before: np.ndarray
    after: np.ndarray

    @property
    def top(self) -> float:
        """The end of the common colour scale: 99 of 100 patches lie below."""
        return float(np.quantile([self.before, self.after], 0.99))


def read_adapter(
    path: str, checkpoint: str | None = None, device: str | None = None
) -> tuple[Config, nn.Module]:
    """Config and model of an adapter file, see :func:`read_model`."""
    adapter = read_model(path, checkpoint)
    test = dict(dataset=dict(pipeline=adapter.steps))
    cfg = Config(dict(model=adapter.config, test_dataloader=test))
    return cfg, adapter.model.to(choose_device(device)).eval()


def read_clip(cfg: Config, video: Path, view: int | None) -> Tensor:
    """One clip of a video as the test pipeline samples it, (3, T, H, W), 0..255.

    Args:
        cfg: the config.
        video: the file.
        view: which of the clips and squares; the middle one by default.

    Raises:
        ValueError: if there is no such view, or frames are not formatted NCTHW.
    """
    pipeline = Compose(cfg.test_dataloader.dataset.pipeline)
    sample = dict(filename=str(video), label=-1, start_index=0, modality='RGB')
    views = pipeline(sample)['inputs']
    if views.dim() != 5:
        raise ValueError(
            f'{video}: the test pipeline gives {tuple(views.shape)}; clips (views, 3, T, H, W) are '
            "needed. Set FormatShape's input_format to 'NCTHW'."
        )
    view = len(views) // 2 if view is None else view
    if not 0 <= view < len(views):
        raise ValueError(f'{video}: --view must be from 0 to {len(views) - 1}, got {view}.')
    return views[view]


def image_model(model: nn.Module, cfg: Config) -> Trunk:
    """The trunk as it was pretrained: the model's own if frozen, else one read anew.

    Raises:
        TypeError: for a backbone that is not built on a trunk.
        ValueError: for a tuned trunk that names no pretrained file.
    """
    trunk = getattr(model.backbone, 'trunk', None)
    if not isinstance(trunk, Trunk):
        raise TypeError(
            f'{type(model.backbone).__name__} is not built on a trunk of mmstadapter; only such '
            'backbones have an image model to compare with.'
        )
    if trunk.tune == 'none':
        return trunk
    if trunk.checkpoint is None:
        raise ValueError(
            f'the trunk is tuned ({trunk.tune!r}) and names no pretrained file, so how it was '
            'before is not known. Set model.backbone.trunk.checkpoint.'
        )
    before = MODELS.build(cfg.model.backbone.trunk)
    before.init_weights()
    return before.to(next(model.parameters()).device).eval()


def see(model: nn.Module, before: Trunk, clip: Tensor, head: int | None = None) -> Seen:
    """The attention of both models on one clip (3, T, H, W), 0..255."""
    data = model.data_preprocessor(dict(inputs=[clip[None]], data_samples=[]), False)
    video = data['inputs'][0]
    trunk = model.backbone.trunk
    pair = image_class_attention(before, video), class_attention(model.backbone, video)
    first, second = (patch_maps(weights[0], trunk, head).cpu().numpy() for weights in pair)
    frames = clip.permute(1, 2, 3, 0).float().round().clamp(0, 255).byte()
    return Seen(frames.cpu().numpy(), first, second)


def moved(seen: Seen) -> float:
    """Share of the attention to patches that went elsewhere, mean over frames, 0 to 1."""
    first, second = (m / m.sum(axis=(1, 2), keepdims=True) for m in (seen.before, seen.after))
    return float(np.abs(second - first).sum(axis=(1, 2)).mean() / 2)


def paint(axes: Axes, frame: np.ndarray, attention: np.ndarray | None, top: float):
    """A frame, under its attention if given; returns what a colour bar needs."""
    height, width = frame.shape[:2]
    box = (0, width, height, 0)
    axes.set_axis_off()
    if attention is None:
        return axes.imshow(frame, extent=box)
    axes.imshow(frame.mean(axis=-1), cmap='gray', vmin=0, vmax=255, extent=box)
    over = axes.imshow(attention, cmap='inferno', alpha=0.65, vmin=0, vmax=top, extent=box)
    over.set_interpolation('bilinear')
    return over


def add_scale(figure: Figure, image, box: tuple[float, float, float, float]) -> None:
    """The colour bar in a box (left, bottom, width, height) of the figure."""
    bar = figure.colorbar(image, cax=figure.add_axes(box))
    bar.solids.set_alpha(1)
    bar.set_label('times an even share', color=INK, fontsize=8)
    bar.ax.tick_params(labelsize=7, colors=INK)
    bar.outline.set_visible(False)


def picture(seen: Seen) -> Figure:
    """Rows frame, before, after; a column a frame."""
    count = len(seen.frames)
    shown = np.linspace(0, count - 1, min(count, MAX_COLUMNS)).round().astype(int)
    height, width = seen.frames.shape[1:3]
    size = (1.1 * len(shown) + 1.7, 3.3 * height / width + 0.5)
    figure, grid = plt.subplots(3, len(shown), figsize=size, dpi=150, squeeze=False)
    left, right = 0.8 / size[0], 1 - 0.9 / size[0]
    figure.subplots_adjust(left, 0.1 / size[1], right, 1 - 0.4 / size[1], 0.04, 0.04)
    for column, t in enumerate(shown):
        for row, values in enumerate((None, seen.before[t], seen.after[t])):
            image = paint(grid[row, column], seen.frames[t], values, seen.top)
        grid[0, column].set_title(f'{t + 1}', fontsize=8, color=INK)
    for row, name in enumerate(PANELS):
        place = dict(transform=grid[row, 0].transAxes, ha='right', va='center')
        grid[row, 0].text(-0.08, 0.5, name, fontsize=10, color=INK, **place)
    add_scale(figure, image, (right + 0.15 / size[0], 0.15, 0.12 / size[0], 0.65))
    return figure


def video_frame(seen: Seen, t: int) -> np.ndarray:
    """The three panels of frame t side by side, (H, W, 3) uint8, even sizes."""
    height, width = seen.frames.shape[1:3]
    panel = 2.6 * height / width
    figure, grid = plt.subplots(1, 3, figsize=(9, panel + 0.4), dpi=100)
    figure.subplots_adjust(0.01, 0.02, 0.91, panel / (panel + 0.4), 0.03)
    for axes, name, values in zip(grid, PANELS, (None, seen.before[t], seen.after[t]), strict=True):
        image = paint(axes, seen.frames[t], values, seen.top)
        axes.set_title(name, fontsize=11, color=INK)
    add_scale(figure, image, (0.925, 0.12, 0.013, 0.65))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].copy()
    plt.close(figure)
    return pixels[: pixels.shape[0] // 2 * 2, : pixels.shape[1] // 2 * 2]


def write_video(seen: Seen, path: Path, fps: int) -> None:
    """All frames as H.264."""
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=fps)
        stream.pix_fmt = 'yuv420p'
        stream.options = {'crf': '18', 'x264-params': 'log-level=error'}
        stream.height, stream.width = video_frame(seen, 0).shape[:2]
        for t in range(len(seen.frames)):
            image = av.VideoFrame.from_ndarray(video_frame(seen, t), 'rgb24')
            container.mux(stream.encode(image))
        container.mux(stream.encode())
