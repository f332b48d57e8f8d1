"""Command line: ``python -m demo_model train`` and ``python -m demo_model evaluate``."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

_REPOSITORY = Path(__file__).resolve().parent.parent
SHIPPED = _REPOSITORY / "src" / "openbigmodel" / "engines" / "demo" / "glm-demo.gguf"
DEFAULT_WORK = Path(__file__).resolve().parent / "run"


def _train(arguments: argparse.Namespace) -> int:
    """Tokenizer, training, export."""
    import torch

    from demo_model.export import export
    from demo_model.tokenizer import fit_tokenizer
    from demo_model.train import TrainConfig, train

    torch.set_num_threads(arguments.threads)
    work: Path = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    given = {key: getattr(arguments, key) for key in ("tokens", "polish_tokens", "minutes")}
    config = TrainConfig(
        **{key: value for key, value in given.items() if value is not None}, compile=not arguments.no_compile
    )
    tokenizer = fit_tokenizer(config.vocab_size, seed=config.seed)
    tokenizer.save(str(work / "tokenizer.json"))
    model = train(config, tokenizer, work, arguments.from_checkpoint)
    arguments.gguf.parent.mkdir(parents=True, exist_ok=True)
    export(model, tokenizer, arguments.gguf)
    print(f"{arguments.gguf}: {arguments.gguf.stat().st_size} bytes")
    return 0


def _export(arguments: argparse.Namespace) -> int:
    """The last checkpoint as GGUF, also while training runs."""
    import torch

    from demo_model.export import export
    from demo_model.model import DemoModel, ModelConfig
    from demo_model.tokenizer import load_tokenizer
    from demo_model.train import CHECKPOINT, POLISHED

    tokenizer = load_tokenizer(arguments.work / "tokenizer.json")
    model = DemoModel(ModelConfig(vocab_size=tokenizer.get_vocab_size()))
    written = [path for name in (CHECKPOINT, POLISHED) if (path := arguments.work / name).exists()]
    newest = max(written, key=lambda path: path.stat().st_mtime)
    weights = torch.load(newest, map_location="cpu", weights_only=True)
    model.load_state_dict(weights)
    export(model, tokenizer, arguments.gguf)
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    """Print the table; status 1 if a row is under its bar."""
    from demo_model.engine import Engine
    from demo_model.evaluate import SEED, evaluate, table

    seed = SEED if arguments.seed is None else arguments.seed
    results = evaluate(Engine(arguments.gguf, threads=arguments.threads), arguments.only, seed)
    if arguments.json:
        rows = [asdict(result) | {"share": result.share, "passed": result.passed} for result in results]
        print(json.dumps(rows, ensure_ascii=False, indent=1))
    else:
        print(table(results))
    return 0 if all(result.passed for result in results) else 1


def main() -> int:
    """Parse and dispatch; the heavy imports wait until a command needs them."""
    parser = argparse.ArgumentParser(prog="python -m demo_model", description=__doc__)
    commands = parser.add_subparsers(required=True)
    train = commands.add_parser("train", help="corpus, tokenizer, training, GGUF")
    train.add_argument("--tokens", type=int, help="length of the first phase (default: the recipe's)")
    train.add_argument("--polish-tokens", type=int, help="length of the polish (default: the recipe's)")
    train.add_argument("--from-checkpoint", type=Path, help="the first phase's weights: only polish them")
    train.add_argument("--minutes", type=float, help="end earlier, at the latest after")
    train.add_argument("--no-compile", action="store_true", help="run without torch.compile")
    train.set_defaults(run=_train)
    export = commands.add_parser("export", help="write the last checkpoint as GGUF")
    export.set_defaults(run=_export)
    evaluate = commands.add_parser("evaluate", help="measure a GGUF through the engine")
    evaluate.add_argument("--json", action="store_true", help="with every failure")
    evaluate.add_argument("--only", help="rows whose name contains this text")
    evaluate.add_argument("--seed", type=int, help="draw other samples than those of the model card")
    evaluate.set_defaults(run=_evaluate)
    for command in (train, export):
        command.add_argument("--work", type=Path, default=DEFAULT_WORK, help="checkpoint folder")
    for command in (train, export, evaluate):
        command.add_argument("--gguf", type=Path, default=SHIPPED)
    for command in (train, evaluate):
        command.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    status: int = arguments.run(arguments)
    return status


if __name__ == "__main__":
    sys.exit(main())
