"""Files as UCF101 and HMDB51 have them: MPEG-4 part 2 by XviD and DivX in avi."""

import struct
from pathlib import Path

import av
import numpy as np
import pytest
from mmengine.config import Config

from mmstadapter import open_video, shipped
from mmstadapter.datasets import SampleStride

from .conftest import number_of, write_video

# What the encoders make: XviD's and DivX's four letters, B pictures, several streams, and the
# group lengths and odd sizes that occur in films (UCF101 has 320x240, HMDB51 240 lines).
FILES = {
    'xvid.avi': dict(tag='XVID'),
    'xvid_b.avi': dict(tag='XVID', max_b_frames=1),
    'divx.avi': dict(tag='DX50'),
    'divx_b.avi': dict(tag='DX50', max_b_frames=2),
    'qpel.avi': dict(tag='XVID', options={'flags': '+qpel+mv4', 'g': '250'}),
    'long_group.avi': dict(tag='XVID', options={'g': '300', 'bf': '2', 'b_strategy': '0'}),
    'msmpeg4.avi': dict(codec='msmpeg4'),  # DivX 3, before MPEG-4 part 2
}
FRAMES = 60


def with_tag(path: Path, tag: str) -> None:
    """Write the codec's four letters into both places of an avi header."""
    content = path.read_bytes()
    for old in (b'FMP4', b'MP43', b'XVID'):
        content = content.replace(old, tag.encode(), 2)
    path.write_bytes(content)


def as_divx_packs(source: Path, target: Path) -> int:
    """Pack each B picture into the packet of the P picture before it, as DivX 5 and XviD do.

    An empty packet ("not coded") then keeps the number of packets that of frames. Returns how
    many B pictures were packed. Only packets and index of the avi file change.
    """
    with av.open(str(source)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    content, packed, chunks = source.read_bytes(), 0, []
    for data in packets:
        # coding type: the two bits after the start code of the picture; 2 is B
        kind = data[data.index(b'\x00\x00\x01\xb6') + 4] >> 6
        if kind == 2:
            chunks[-1] += data
            chunks.append(EMPTY)
            packed += 1
        else:
            chunks.append(data)
    first = chunks[0].index(b'\x00\x00\x01\xb6')
    mark = b'\x00\x00\x01\xb2DivX503b1393p'
    chunks[0] = chunks[0][:first] + mark + chunks[0][first:]
    start = content.index(b'movi') + 4
    body, index = b'', b''
    for chunk in chunks:
        key = 0x10 if chunk is chunks[0] else 0
        index += struct.pack('<4sIII', b'00dc', key, 4 + len(body), len(chunk))
        body += struct.pack('<4sI', b'00dc', len(chunk)) + chunk + b'\0' * (len(chunk) % 2)
    head = content[: start - 8] + struct.pack('<I', len(body) + 4) + b'movi'
    rest = body + struct.pack('<4sI', b'idx1', len(index)) + index
    whole = head + rest
    target.write_bytes(whole[:4] + struct.pack('<I', len(whole) - 8) + whole[8:])
    return packed


EMPTY = b'\x00\x00\x01\xb6\x7f'  # a P picture that says vop_coded = 0


@pytest.fixture
def make(tmp_path):
    def make(name: str) -> str:
        settings = dict(FILES[name])
        tag = settings.pop('tag', None)
        path = write_video(
            tmp_path / name, FRAMES, size=(240, 320), **{'codec': 'mpeg4', 'noise': 8, **settings}
        )
        if tag:
            with_tag(path, tag)
        return str(path)

    return make


def shown(path: str, indices) -> list[int]:
    return [number_of(frame) for frame in open_video(path, 'auto').read(indices)]


@pytest.mark.parametrize('name', FILES)
class TestEveryKind:
    def test_every_frame_is_the_right_one(self, make, name):
        path = make(name)
        assert len(open_video(path)) == FRAMES
        assert shown(path, range(FRAMES)) == list(range(FRAMES))

    def test_frames_in_any_order_are_the_right_ones(self, make, name):
        mixed = np.random.default_rng(0).integers(0, FRAMES, 12).tolist()
        assert shown(make(name), mixed) == mixed

    def test_the_recipe_of_ucf101_gets_the_frames_it_samples(self, make, name):
        config = Config.fromfile(shipped.config('stadapter_vit-b_ucf101.py'))
        step = dict(config.test_dataloader.dataset.pipeline[1])
        assert step.pop('type') == 'mmstadapter.SampleStride'
        path = make(name)
        sampled = SampleStride(**step)(dict(total_frames=len(open_video(path))))['frame_inds']
        assert shown(path, sampled) == [*range(0, 57, 8), *range(3, 60, 8)]


def test_the_four_letters_are_those_of_the_data_sets(make):
    for name, tag in (('xvid_b.avi', 'XVID'), ('divx_b.avi', 'DX50')):
        with av.open(make(name)) as container:
            assert container.streams.video[0].codec_context.codec_tag == tag


def test_b_pictures_packed_as_divx_does_are_unpacked(make, tmp_path):
    path = tmp_path / 'packed.avi'
    assert as_divx_packs(Path(make('xvid_b.avi')), path) > 10
    assert shown(str(path), range(len(open_video(str(path))))) == list(range(FRAMES))
