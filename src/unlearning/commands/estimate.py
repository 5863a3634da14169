"""Say how long each stage of params.yaml will take, what it computes, and what it leaves on disk.

Nothing needs to have run: the first steps of each are tried on noise in the shape of the images. In a minute or two;
of a network that is large for this machine in some minutes.

examples:
  unlearning estimate
  unlearning estimate --tflops 60 --devices 1 4 8     # on other devices, of so much each
"""

import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tflops",
        type=float,
        metavar="N",
        help="10^12 operations that one device of another machine computes in a second of training; then the answer "
        "is a table of what all would take there (an A100 trains ResNet-50 in mixed precision at about 60)",
    )
    parser.add_argument(
        "--devices", type=int, nargs="+", metavar="N", help="numbers of devices of that machine, a column each"
    )


def run(options: argparse.Namespace) -> None:
    from unlearning.errors import InputError
    from unlearning.estimating.ahead import estimate
    from unlearning.estimating.elsewhere import table
    from unlearning.params_file import load_params

    if options.tflops is None and options.devices:
        raise InputError("estimate: --devices needs --tflops: what one of them computes in a second")
    if options.tflops is not None and not options.tflops > 0 or min(options.devices or [1]) < 1:
        raise InputError("estimate: --tflops is a number above 0, --devices are numbers from 1")
    params = load_params()
    lines = estimate(params) if options.tflops is None else table(params, options.tflops, options.devices or [1])
    for line in lines:
        print(line, flush=True)
