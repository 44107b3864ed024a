"""MMAction2's recogniser where the trunk has looked at the clips before."""

from typing import Any

from mmaction.models import Recognizer3D
from mmaction.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class FeatureRecognizer3D(Recognizer3D):
    """`Recognizer3D`, which leaves out the trunk where its batch has ``features``.

    These are what the backbone's `look` gave of the clips' frames, of `ReadFeatures`; the rest of
    the model runs on them. Its tensors have the names of a `Recognizer3D`, and clips without
    features pass the whole model.

    Raises:
        ValueError: if the features are of another trunk.
    """

    def loss(
        self, inputs: Tensor, data_samples: list, features: dict | None = None, **kwargs: Any
    ) -> dict:
        """Losses of clips (B, V, 3, T, H, W)."""
        if features is None:
            return super().loss(inputs, data_samples, **kwargs)
        return self.cls_head.loss(self.finish(inputs, features), data_samples)

    def predict(
        self, inputs: Tensor, data_samples: list, features: dict | None = None, **kwargs: Any
    ) -> list:
        """Scores of clips (B, V, 3, T, H, W)."""
        if features is None:
            return super().predict(inputs, data_samples, **kwargs)
        return self.cls_head.predict(self.finish(inputs, features), data_samples)

    def finish(self, inputs: Tensor, features: dict) -> Tensor:
        """What the backbone gives of clips (B, V, 3, T, H, W).

        Args:
            inputs: the clips.
            features: ``looked``, of each tensor of `look` the samples' (V·T, ...), and ``trunk``,
                the samples' fingerprints.
        """
        own = self.backbone.trunk.fingerprint
        name = '' if own is None else bytes(own.tolist()).hex()
        if others := set(features['trunk']) - {name}:
            raise ValueError(
                f'FeatureRecognizer3D: the features are of another trunk (fingerprint '
                f'{min(others)[:12]}) than the model has ({name[:12] or "none"}). Run '
                '`mmstadapter fit` with --cache-features again, with another folder.'
            )
        looked = list(zip(*features['looked'], strict=True))
        return self.backbone.finish(inputs.flatten(0, 1), looked)
