"""Retain-only fine-tuning: train on retained images alone; do the forgotten classes come back by themselves?

Direction: lower is deeper. Range: 0..100 percent. Data: retained training images; asked on the test images. Source:
fine-tuning on unrelated data as in Lucki et al. 2024 (arXiv 2409.18025), for classifiers Siddiqui et al. 2025 (arXiv
2505.22310). Expected: original falls a little, retrained stays at 0. A head whose rows of the forgotten classes are
gone answers 0 whatever the features know: only a rise above the model's own forget accuracy says something.
"""

from unlearning.evaluation.attacks import Outcome, Target
from unlearning.evaluation.fine_tuning import fine_tune, with_head
from unlearning.params import Attacks, RetainOnly


def after_retain_only(victim: Target, attacks: Attacks, cfg: RetainOnly) -> Outcome:
    """Return the outcome of a few steps of fine-tuning on retained training images."""
    student, retain = with_head(victim.model, victim.head), victim.manifest.select("train", "retain")
    fine_tune(student, victim.train, retain, cfg.lr, cfg, victim.launch, attacks.seed, "retain only")
    return victim.outcome(student)
