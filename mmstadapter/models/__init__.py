"""Trunks, backbones, heads, text towers and retrievers, registered with MMAction2."""

from . import backbones
from .backbones import *  # noqa: F403  (its __all__ is below)
from .feature_recognizer import FeatureRecognizer3D
from .heads import (
    MultiTaskHead,
    ProbesHead,
    SweepHead,
    SweepRecognizer,
    TextHead,
    VideoHead,
)
from .lora_files import load_peft, save_peft
from .retrieval import (
    ContrastiveLoss,
    MeanPoolSimilarity,
    Retriever,
    SequentialSimilarity,
    SigmoidLoss,
    TokenSimilarity,
    gather_rows,
    score,
)
from .text_towers import (
    CLIPText,
    CLIPTokenizer,
    EVAText,
    PEText,
    SigLIPText,
    SigLIPTokenizer,
    TempMeText,
    WordTokenizer,
    text_mask,
)
from .trunks import CLIPBlock, CLIPViT, EVAViT, HFVideoViT, MMPretrainViT, TimmViT, Trunk

__all__ = [
    'CLIPBlock',
    'CLIPText',
    'CLIPTokenizer',
    'CLIPViT',
    'ContrastiveLoss',
    'EVAText',
    'EVAViT',
    'FeatureRecognizer3D',
    'HFVideoViT',
    'MMPretrainViT',
    'MultiTaskHead',
    'MeanPoolSimilarity',
    'PEText',
    'ProbesHead',
    'Retriever',
    'SequentialSimilarity',
    'SigLIPText',
    'SigLIPTokenizer',
    'SigmoidLoss',
    'SweepHead',
    'SweepRecognizer',
    'TempMeText',
    'TextHead',
    'TimmViT',
    'TokenSimilarity',
    'Trunk',
    'VideoHead',
    'WordTokenizer',
    'gather_rows',
    'load_peft',
    'save_peft',
    'score',
    'text_mask',
    *backbones.__all__,
]
