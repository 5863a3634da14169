"""Write a model as a folder that others can load.

By timm, from the Hugging Face hub, and as ONNX. The folder holds the weights under timm's own names, config.json with
classes and preprocessing, a model card that says what was erased, how and with what result, and a loader that needs no
more than torch, torchvision and timm.

examples:
  unlearning export ec erased                    the model of the first seed, into the folder `erased`
  unlearning export ec erased --drop-forgotten   without the outputs of the erased classes
  unlearning export ec erased --seed 1 --onnx    the model of seed 1, and model.onnx beside it
"""

import argparse
from pathlib import Path


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="a row of the table, such as ec, original or retrained")
    parser.add_argument("folder", type=Path, help="where to; files of an earlier export there are replaced")
    parser.add_argument("--seed", type=int, help="which repetition (default: the first of `seeds:`)")
    parser.add_argument("--drop-forgotten", action="store_true", help="take the outputs of the erased classes out")
    parser.add_argument("--onnx", action="store_true", help="write model.onnx too (needs onnx and onnxscript)")


def run(options: argparse.Namespace) -> None:
    from unlearning.data.manifest import load_manifest
    from unlearning.export import exported, measured_of, write_export, write_onnx
    from unlearning.params_file import load_params

    params, manifest = load_params(), load_manifest()
    seed = params.seeds[0] if options.seed is None else options.seed
    one = exported(options.model, seed, manifest, options.drop_forgotten)
    measured = measured_of(options.model, seed, list(params.references))
    written = write_export(one, manifest, measured, options.folder)
    if options.onnx:
        written.append(options.folder / "model.onnx")
        write_onnx(one, manifest, written[-1])
    print("\n".join(map(str, written)))
    if not measured:
        print("the card has no numbers: `dvc repro` measures first")
