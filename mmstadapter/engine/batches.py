"""A training loader must give batches."""


def check_batches(who: str, batches: int) -> None:
    """Raise ValueError if there are none, so that training would end without a step."""
    if batches < 1:
        raise ValueError(
            f'{who}: training needs at least one batch an epoch, but train_dataloader gives none: '
            'the data set has fewer items than the processes times batch_size, and drop_last=True '
            'leaves an incomplete batch out. Lower train_dataloader.batch_size, or set '
            'train_dataloader.drop_last=False.'
        )
