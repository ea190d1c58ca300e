"""What a run can train: a CVAE, a prior over a trained one's latents, or a quick one.

A task is all that differs between these; one file each says what is minimised, what
is frozen, and how samples are shown.
"""

from pokejax.data.split import Dataset
from pokejax.inference.bundle import Header
from pokejax.training.tasks.cvae import cvae_task
from pokejax.training.tasks.distil import distil_task
from pokejax.training.tasks.prior import prior_task
from pokejax.training.tasks.task import Task


def make_task(header: Header, dataset: Dataset) -> Task:
    """The task that a run's config asks for.

    Raises:
      FileNotFoundError: LPIPS's weights are wanted and missing.
      BundleError: the prior's base is broken.
      ConfigError: no such base, or the config describes another CVAE than it holds.
    """
    if header.config.prior.distil:
        return distil_task(header)
    if header.config.prior.base:
        return prior_task(header, dataset)
    return cvae_task(header, dataset)
