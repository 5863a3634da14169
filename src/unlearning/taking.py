"""Taking a user's file as a model of the pipeline: as the original, as the retrained model, or as a row to audit.

`models.given` reads the file; here it becomes the outputs of a stage, a checkpoint a seed, and says how well it knows
the classes.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from unlearning.data.manifest import (
    MANIFEST,
    Manifest,
    has_images_to_forget,
    load_earlier,
    load_manifest,
    load_samples,
)
from unlearning.engine.launch import Launch, launch
from unlearning.engine.outputs import Outputs
from unlearning.engine.repetitions import Needs, repeat
from unlearning.engine.resume import ResumeState
from unlearning.errors import InputError
from unlearning.models.backbone import architecture
from unlearning.models.checkpoint import Checkpoint, new_header
from unlearning.models.first_look import doubts, look, measured_normalisation, report, still_known, to_forget
from unlearning.models.given import Given, GivenFile, load_given
from unlearning.models.roles import refuse_knowing, refuse_other_role, refuse_same_model
from unlearning.params import Params, Reference
from unlearning.run_record import Recorder

RETRAINED = "retrained"


@dataclass(frozen=True)
class Role:
    """What a given file is taken as."""

    name: str  # of the model, and so of its files
    stage: str  # that takes it, for the header
    block: str  # of params.yaml, for messages
    manifest: Manifest  # without classes to forget where the model must not depend on them
    knows_forget: bool  # whether it should know them: the original, and no other


def take(role: Role, given: Reference, params: Params) -> None:
    """Write a file's model as a checkpoint a seed, with an empty cost; each file is introduced once.

    Raises InputError, naming the key, for a file that is not there, cannot be read, or does not fit.
    """
    manifest, outputs, where = role.manifest, Outputs(role.name), launch(params.precision)
    record = Recorder(role.stage)
    shape = architecture(params.model, manifest)
    files = {seed: GivenFile.of(given, number, role.block) for number, seed in enumerate(params.seeds)}
    seen: set[Path] = set()

    def needs(seed: int) -> Needs:
        file = files[seed]
        identity = {
            "model": params.model.model_dump(),
            "sha256": file.sha256,
            "checkpoint_key": file.checkpoint_key,
            "forget": manifest.request,  # is in the header, and decides which outputs the file may lack
        }
        return Needs(identity, [MANIFEST, file.path])

    def work(seed: int, folder: Path, resume: ResumeState) -> None:  # noqa: ARG001 - nothing to go on from
        file = files[seed]
        taken = load_given(file, shape, manifest)
        if not where.main:
            return
        if file.path not in seen:
            refuse_wrong_model(taken, seed, files[seed], role, params)
            introduce(taken, file, role, params, where)
            seen.add(file.path)
        header = new_header(shape, manifest, role.stage, {}, taken.source)
        outputs.write(folder, Checkpoint(header, taken.model, None), run=None)

    folders = repeat(role.stage, params.seeds, where, needs, work)
    if where.main:
        outputs.collect(folders)
        inputs = [MANIFEST, *dict.fromkeys(file.path for file in files.values())]
        record.write(given.model_dump(), params.seeds, manifest.hash, inputs, outputs.paths, where)


def refuse_wrong_model(taken: Given, seed: int, file: GivenFile, role: Role, params: Params) -> None:
    """Raise InputError for a model that was made as something else, or that the other reference is too."""
    refuse_other_role(file.path, role.block, load_manifest())
    other = {"original": RETRAINED, RETRAINED: "original"}.get(role.name)
    if other is None:
        return
    beside = other_reference(other, seed, params)
    if beside is not None:
        refuse_same_model(role.block, file.path, taken.model, beside.model)


def other_reference(name: str, seed: int, params: Params) -> Given | None:
    """Return the other reference where it is given; None too where it cannot be read, which its own stage says."""
    reference: Reference = getattr(params, name)
    if reference.checkpoint is None:
        return None
    manifest = load_manifest() if name == RETRAINED else load_samples()
    try:
        given = GivenFile.of(reference, params.seeds.index(seed), name)
        return load_given(given, architecture(params.model, manifest), manifest)
    except InputError:
        return None


def introduce(taken: Given, file: GivenFile, role: Role, params: Params, where: Launch) -> None:
    """Print what was made of the file and how well the model knows the classes, with what is doubtful about it."""
    manifest = load_manifest()  # for what is printed alone: the original does not depend on what is to be forgotten
    answers = look(taken.model, manifest, where, params.data.workers)
    print(*taken.notes, report(answers, manifest, f"{role.block}, {file.path}"), sep="\n")
    warnings = doubts(answers, manifest, role.knows_forget)
    if role.name == RETRAINED:
        warnings += refuse_knowing(file.path, answers, manifest)
    earlier = load_earlier()
    if earlier is not None and has_images_to_forget(earlier):
        answers = look(taken.model, earlier, where, params.data.workers)
        print(f"  all erased before ({', '.join(earlier.erased)}): {to_forget(answers, earlier)}")
        warnings += still_known(answers, earlier)
    if not taken.normalised:
        warnings += measured_normalisation(params, manifest)
    for warning in warnings:
        print(f"warning: {role.block}.checkpoint: {file.path}: {warning}", file=sys.stderr)
