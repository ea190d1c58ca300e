"""The command that builds a dataset for TFDS from pictures, by Apache Beam."""

# Of the extra `beam`, which is in no lock file.
# pyright: reportMissingImports=false

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pokejax import startup
from pokejax.arguments import Parser
from pokejax.commands import call_of

from .create_dataset import whole
from .generate_metadata import add_model_options
from .metadata import MetadataError
from .pictures import find_folders


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog=call_of("data_tools.beam_dataset"),
        description=(
            "Build a dataset for TFDS from images/<Species>/* by Apache Beam, on this"
            " machine or a cluster: label, frame, split, weigh, write ArrayRecord."
        ),
        epilog="options of Beam come after --: %(prog)s -- --runner=FlinkRunner",
    )
    parser.add_argument(
        "--images-dir",
        type=Path,
        default=Path("images"),
        help="which all machines see (images)",
    )
    parser.add_argument(
        "--data-dir", type=Path, required=True, help="where TFDS keeps its datasets"
    )
    parser.add_argument(
        "--image-size",
        type=whole(16, 256, 8),
        default=64,
        help="pixels per side, a multiple of 8 from 16 to 256 (64)",
    )
    parser.add_argument(
        "--seed",
        type=whole(0, 2**31 - 1),
        default=0,
        help="of the split of species that aren't in known_splits.txt (0)",
    )
    parser.add_argument(
        "--provider",
        choices=("pokedex", "baml"),
        help="write metadata beside pictures that have none, as generate_metadata does"
        " (skip these pictures)",
    )
    group = parser.add_argument_group("with --provider baml, for all askers together")
    group.add_argument(
        "--askers",
        type=whole(1, 1000),
        default=8,
        help="how many, so also how many machines ask at a time (8)",
    )
    add_model_options(group)
    parser.set_defaults(skip_existing=True)
    parser.add_argument("beam", nargs="*", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the pipeline, and say where the dataset is; 2 on bad input."""
    args = _arguments(argv)
    args.images_dir = args.images_dir.resolve()
    import tensorflow_datasets as tfds
    from apache_beam.options.pipeline_options import PipelineOptions

    from .beam_pipeline import BeamConfig, PokemonBeam

    config = BeamConfig(
        name=f"{args.image_size}x{args.image_size}",
        description="",
        image_size=args.image_size,
        balanced=False,
        options=args,
    )
    download = tfds.download.DownloadConfig(beam_options=PipelineOptions(args.beam))
    tfds.disable_progress_bar()
    try:
        find_folders(args.images_dir)
        builder = PokemonBeam(config=config, data_dir=args.data_dir)
        if Path(builder.data_dir).exists():
            raise ValueError(f"{builder.data_dir} is there: delete it to build it anew")
        builder.download_and_prepare(download_config=download)
    except (OSError, ValueError, RuntimeError, MetadataError) as error:
        told = str(error).strip().partition("\n")[0]
        print(f"error: {told}", file=sys.stderr)
        return 2
    counts = ", ".join(f"{k} {v.num_examples}" for k, v in builder.info.splits.items())
    print(f"{builder.data_dir}: {counts}")
    return 0


if __name__ == "__main__":
    startup.ready()
    sys.exit(main())
