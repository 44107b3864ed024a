"""What of a method was compared with its authors' code, for the card of a model."""

from typing import NamedTuple

TOLD = (
    'activations, outputs, losses and gradients at toy size agree with those of the code within '
    'rounding, tensor by tensor'
)


class Certificate(NamedTuple):
    """The authors' code, and how the cases that `mmstadapter parity` compares begin."""

    repository: str
    commit: str
    cases: tuple[str, ...]


# Of each backbone with released code; tests/reference/parity has the numbers.
CERTIFICATES = {
    'AIMViT': Certificate('taoyang1122/adapt-image-models', 'b3580d2d3a78', ('aim_',)),
    'DiSTViT': Certificate('alibaba-mmai-research/DiST', '4b3a09bc3c6d', ('dist_',)),
    'EVLViT': Certificate('OpenGVLab/efficient-video-recognition', 'b282e8b49e4e', ('evl_',)),
    'ProbeViT': Certificate('facebookresearch/vjepa2', 'c2963a47433e', ('vjepa2_',)),
    'STAdapterViT': Certificate('linziyi96/st-adapter', 'b914b388f45d', ('st_adapter_',)),
    'Side4VideoViT': Certificate('HJYao00/Side4Video', '5d723523c72d', ('s4v_clip_', 's4v_eva_')),
    'TDSCLIPViT': Certificate('BBYL9413/TDS-CLIP', 'cf4e58cce2ee', ('tdsclip_',)),
    'TempMeViT': Certificate('LunarShen/TempMe', 'e62493037bc6', ('tempme_',)),
    'ZeroI2VViT': Certificate('MCG-NJU/ZeroI2V', 'f091983e3fed', ('zeroi2v_',)),
}


def certificate_of(backbone: str) -> str:
    """A sentence about a backbone, by the name of its class."""
    found = CERTIFICATES.get(backbone)
    if found is None:
        return 'None: there is no released code that this method was compared with.'
    cases = ', '.join(f'`{start}*`' for start in found.cases)
    return (
        f'[{found.repository}](https://github.com/{found.repository}) at `{found.commit}`: {TOLD} '
        f'(cases {cases} of `mmstadapter parity tests/reference/parity`).'
    )
