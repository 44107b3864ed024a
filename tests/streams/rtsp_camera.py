"""A camera on this machine that speaks RTSP: video by RTP within the connection, behind a password.

FFmpeg's own muxer packs the frames for RTP and sends them to a port here, from where they go on.
"""

import base64
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread
from urllib.parse import quote

import av
import numpy as np

USER, PASSWORD = 'me', 'se@cret'
FPS = 8
DESCRIPTION = """v=0
o=- 0 0 IN IP4 127.0.0.1
s=camera
c=IN IP4 0.0.0.0
t=0 0
m=video 0 RTP/AVP 96
a=rtpmap:96 H264/90000
a=fmtp:96 packetization-mode=1
a=framerate:8
a=control:track1
"""


class Answers(StreamRequestHandler):
    """One connection: the four requests that a player makes, then packets until frames run out."""

    def handle(self) -> None:
        while self.server.plays and (request := self._request()) is not None:
            method, given = request
            known = given.get('authorization') == f'Basic {self.server.word}'
            answer, body = {'CSeq': given['cseq']}, ''
            if method == 'OPTIONS':
                answer['Public'] = 'OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN'
            elif not known:
                answer['WWW-Authenticate'] = 'Basic realm="camera"'
            elif method == 'DESCRIBE':
                answer['Content-Type'], body = 'application/sdp', DESCRIPTION.replace('\n', '\r\n')
            elif method == 'SETUP':
                answer['Transport'] = 'RTP/AVP/TCP;unicast;interleaved=0-1'
                self.server.transports.append(given['transport'])
            answer |= {'Session': '1', 'Content-Length': str(len(body))}
            refused = not known and method != 'OPTIONS'
            lines = [f'RTSP/1.0 {"401 Unauthorized" if refused else "200 OK"}']
            lines += [f'{name}: {value}' for name, value in answer.items()]
            self.wfile.write('\r\n'.join([*lines, '', body]).encode())
            if method == 'PLAY' and known:
                return self._play()

    def _request(self) -> tuple[str, dict[str, str]] | None:
        """The method and the fields of the next request; None at the end."""
        lines = []
        while line := self.rfile.readline().decode().strip():
            lines.append(line)
        if not lines:
            return None
        fields = (line.split(':', 1) for line in lines[1:])
        return lines[0].split()[0], {name.lower(): value.strip() for name, value in fields}

    def _play(self) -> None:
        """Pictures as packets, without waiting."""
        self.server.plays -= 1
        with port_pair() as (packets, number):
            for _ in packed(self.server.pictures, f'rtp://127.0.0.1:{number}'):
                for packet in arrived(packets):
                    self.wfile.write(b'$\0' + len(packet).to_bytes(2, 'big') + packet)


@contextmanager
def port_pair() -> Iterator[tuple[socket.socket, int]]:
    """An even port for RTP, and the one behind it, which takes the reports and is not read."""
    while True:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as packets,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as reports,
        ):
            packets.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            packets.bind(('127.0.0.1', 0))
            number = packets.getsockname()[1]
            try:
                reports.bind(('127.0.0.1', number + 1))
            except OSError:
                continue
            yield packets, number
            return


def arrived(packets: socket.socket) -> Iterator[bytes]:
    """What has come to a port on this machine."""
    packets.setblocking(False)
    try:
        while True:
            yield packets.recv(65536)
    except BlockingIOError:
        return


def packed(pictures: np.ndarray, address: str) -> Iterator[None]:
    """Send pictures (T, H, W, 3) to an address; gives back control after each."""
    with av.open(address, 'w', format='rtp') as output:
        stream = output.add_stream('libx264', rate=FPS)
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt, stream.options = 'yuv420p', dict(tune='zerolatency', preset='ultrafast')
        for picture in pictures:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format='rgb24')))
            yield
        output.mux(stream.encode())
        yield


class Camera(ThreadingTCPServer):
    """Plays the same pictures to each that connects, hanging up behind the last.

    Args:
        pictures: (T, H, W, 3) of 8 bits.
        plays: how often; then it hangs up at once.

    Attributes:
        place: host, port and path.
        transports: what each player asked for.
    """

    daemon_threads = allow_reuse_address = True

    def __init__(self, pictures: np.ndarray, plays: int) -> None:
        super().__init__(('127.0.0.1', 0), Answers)
        self.pictures, self.plays, self.transports = pictures, plays, []
        self.word = base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()
        self.place = f'127.0.0.1:{self.server_address[1]}/1'

    def address(self, password: str = PASSWORD) -> str:
        """What a player opens."""
        return f'rtsp://{USER}:{quote(password)}@{self.place}'

    def __enter__(self) -> 'Camera':
        Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self.server_close()
