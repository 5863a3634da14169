"""Say where copies of the erased images and of the original model remain; remove them, and prove it.

Without --yes nothing is touched. Removed is what lies in the repository: pixels of the split, DVC's cache of this run
and of earlier ones, scratch, figures, images and checkpoints of yours that lie here. What lies outside, in git's
history or in a remote is named, with what to do. Then every file and every object of git is searched for the bytes
themselves; an exit code of 1 says that some are left.

examples:
  unlearning purge                            where they are
  unlearning purge --images --yes             remove the images, and search for them
  unlearning purge --images --original --yes  the model they were erased from, too
"""

import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", action="store_true", help="the images of the erased classes")
    parser.add_argument("--original", action="store_true", help="the model that still knows them")
    parser.add_argument("--yes", action="store_true", help="remove what is asked for; without it everything is listed")


def run(options: argparse.Namespace) -> None:
    from unlearning.errors import InputError
    from unlearning.purge.places import repository
    from unlearning.purge.survey import chosen_kinds, prove, remove, survey, survey_lines

    if options.yes and not (options.images or options.original):
        raise InputError("purge: what? give --images, --original or both with --yes")
    here = repository()
    surveys = [survey(kind, here) for kind in chosen_kinds(options.images, options.original)]
    for one in surveys:
        print("\n".join(survey_lines(one, here)), flush=True)
    if not options.yes:
        print("nothing was removed; --yes with --images, --original or both removes")
        return
    for line in remove(surveys, here):
        print(line, flush=True)
    for line in prove(surveys, here):
        print(line, flush=True)
