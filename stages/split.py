"""split: read the source, choose the forget classes, write the manifest and the pixels."""

from unlearning.data.batches import save_pixels
from unlearning.data.manifest import save_manifest
from unlearning.data.sources import load_source
from unlearning.data.splitting import prepare
from unlearning.errors import run_stage
from unlearning.params_file import load_params


def main() -> None:
    params = load_params()
    prepared = prepare(load_source(params.data), params.data, params.forget)
    for name, pixels in prepared.pixels.items():
        save_pixels(name, pixels)
    save_manifest(prepared.manifest)
    names = ", ".join(prepared.manifest.classes[label] for label in prepared.manifest.forget_classes)
    print(f"split {prepared.manifest.hash}: to forget: {names}")


if __name__ == "__main__":
    run_stage(main)
