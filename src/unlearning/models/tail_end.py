"""What a classifier computes last before its features are pooled: it decides which values they can have."""

import torch
from torch import nn

from unlearning.engine.validation import eval_mode
from unlearning.models.backbone import classifier_of
from unlearning.models.supervision import blank_image

PASSED_ON = (nn.Identity, nn.Flatten, nn.Dropout)  # with what is named a pool: they change no sign


def last_computed(model: nn.Module) -> nn.Module | None:
    """Return the last module without children that runs before the classifier, but for pools and what changes nothing.

    The model, which may be on the meta device, runs on one blank image, and is left as it was. None where it cannot.
    """
    run: list[nn.Module] = []
    classifier = classifier_of(model)
    leaves = [module for module in model.modules() if not list(module.children()) and module is not classifier]
    handles = [leaf.register_forward_hook(lambda module, *_: run.append(module)) for leaf in leaves]
    try:
        with torch.no_grad(), eval_mode(model):
            model(blank_image(model))
    except Exception:  # networks check little: an image of another size can raise nearly anything
        return None
    finally:
        for handle in handles:
            handle.remove()
    computed = [one for one in run if not isinstance(one, PASSED_ON) and "Pool" not in type(one).__name__]
    return computed[-1] if computed else None
