"""Few pictures: from scratch, or from the weights that come with the library?

python studies/few.py SETS --work WORK [--limit SECONDS]

SETS holds folders as `studies/sets.py` arranges them. Of every class 5, 10, 20 or 50
pictures train; up to 1,000 others test. The two trainings of a row share pictures, seed
and number of updates; the third leaves the weights as they are and fits a logistic
regression to their features, a fourth fits one to colours or edges. Every answer is
kept in WORK, and a run that was cut off goes on. ImageNet's weights are left out: they
would have to be downloaded.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from sightline.data.datasets import load
from sightline.data.split import Splits
from sightline.files import read_json, write_json
from sightline.measures.inference import effects, estimate
from sightline.training.engine import evaluate, fit
from sightline.training.machine import describe
from sightline.training.parts import build, chosen_splits, evaluation_loader
from sightline.training.recipe import Recipe
from sightline.training.recipes import find_recipe
from sightline.training.runtime import Runtime, choose_runtime
from sightline.training.simple_baselines import fit_simple

RESULT = Path(__file__).parents[1] / "book/results/few.json"
SETS, SIZE = ("signs", "clothing"), 32
COUNTS, SEEDS, TEST = (5, 10, 20, 50), 5, 1000
SHOWN = 6_000  # pictures, in every training: 94 updates
RATES = {"scratch": 0.1, "sightline": 0.03}  # largest; chosen on the radiographs
WAYS = ("scratch", "fine-tuned", "frozen", "simple")
PAIRS = (
    ("fine-tuned", "scratch"),
    ("frozen", "scratch"),
    ("fine-tuned", "frozen"),
    ("fine-tuned", "simple"),
)
OTHERS = 200  # pictures on which the simple baseline is chosen
STRENGTHS = (0.01, 0.1, 1.0)  # C of the regression, chosen by cross-validation


def few(splits: Splits, count: int, seed: int) -> Splits:
    """Return so many training pictures of each class, and the same test as ever.

    Others, which neither train nor test, validate.
    """
    everything = splits.train.join(splits.validation).join(splits.test)
    generator = torch.Generator().manual_seed(1234)
    order = torch.randperm(len(everything), generator=generator)
    test, rest = order[:TEST], order[TEST:]
    rest = rest[torch.randperm(len(rest), generator=generator.manual_seed(seed))]
    labels = everything.labels[rest]
    train = torch.cat([rest[labels == c][:count] for c in range(len(splits.classes))])
    others = rest[~torch.isin(rest, train)][:OTHERS]
    return replace(
        splits,
        train=everything.take(train),
        validation=everything.take(others),
        test=everything.take(test),
    )


def trained(recipe: Recipe, splits: Splits, runtime: Runtime) -> Tensor:
    """Return which test pictures a network is right about after its last update."""
    splits = chosen_splits(recipe, splits)
    images = len(splits.train)
    again = max(1, round(10 * recipe.batch_size / images))  # of each, in an epoch
    places = torch.arange(images).repeat(again)
    recipe = replace(recipe, epochs=max(round(SHOWN / len(places)), 1))
    test = evaluation_loader(splits.test, splits.mean, splits.std, runtime)
    splits = replace(
        splits,
        train=splits.train.take(places),
        validation=splits.validation.take(torch.arange(1)),  # nothing is chosen
    )
    parts = build(recipe, splits, runtime)
    for _ in fit(parts, recipe, runtime, progress=False):
        pass
    return evaluate(parts.model, test, runtime=runtime).right


def frozen(recipe: Recipe, splits: Splits, runtime: Runtime) -> Tensor:
    """Return which test pictures a regression on the features is right about."""
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    splits = chosen_splits(recipe, splits)
    parts = build(recipe, splits, runtime)
    parts.model.head = torch.nn.Identity()
    features = {}
    for name, part in (("train", splits.train), ("test", splits.test)):
        loader = evaluation_loader(part, splits.mean, splits.std, runtime)
        features[name] = evaluate(parts.model, loader, runtime=runtime).logits.numpy()
    model = make_pipeline(
        StandardScaler(), LogisticRegressionCV(Cs=STRENGTHS, cv=5, max_iter=300)
    )
    model.fit(features["train"], splits.train.labels.numpy())
    return torch.from_numpy(model.predict(features["test"])) == splits.test.labels


def answers(
    splits: Splits, count: int, seed: int, way: str, runtime: Runtime
) -> Tensor:
    """Return which test pictures one way is right about."""
    start = "scratch" if way == "scratch" else "sightline"
    recipe = replace(find_recipe("folder"), start=start, max_lr=RATES[start], seed=seed)
    chosen = few(splits, count, seed)
    if way == "simple":  # the better one on the validation pictures
        return fit_simple(chosen)[0].right
    ask = frozen if way == "frozen" else trained
    return ask(recipe, chosen, runtime)


def measure(options: argparse.Namespace, runtime: Runtime) -> dict[str, Tensor]:
    """Return all answers (seeds, images) by set, count and way; go on if cut off."""
    started, table = time.perf_counter(), {}
    loaded: dict[str, Splits] = {}
    for count in COUNTS:
        for name in SETS:
            for way in options.ways:
                rows = []
                for seed in range(SEEDS):
                    file = options.work / f"{name}-{count}-{way}-{seed}.json"
                    if not file.exists():
                        if time.perf_counter() - started > options.limit:
                            break
                        if name not in loaded:
                            loaded[name] = load(options.sets / name, progress=False)
                        right = answers(loaded[name], count, seed, way, runtime)
                        write_json(file, {"right": right.int().tolist()})
                    rows.append(read_json(file)["right"])
                if len(rows) == SEEDS:
                    key = f"{name}, {count} a class, {way}"
                    table[key] = torch.tensor(rows, dtype=torch.bool)
                    print(key, estimate(table[key]).written(), flush=True)
    return table


def summarise(table: dict[str, Tensor]) -> dict:
    """Return accuracies, and the paired differences of each two ways, after Holm."""
    pairs = {}
    for first, second in PAIRS:
        for key in table:
            other = key.replace(f", {first}", f", {second}")
            if key.endswith(f", {first}") and other in table:
                pairs[f"{key} − {second}"] = (table[key], table[other])
    return {
        "accuracy": {
            key: {
                "percent": 100 * value.mean,
                "low": 100 * value.low,
                "high": 100 * value.high,
                "images": value.images,
                "seeds": value.seeds,
            }
            for key, value in ((k, estimate(v)) for k, v in table.items())
        },
        "differences": {
            key: {"points": value.written(), "p": value.p, "verdict": value.verdict()}
            for key, value in effects(pairs).items()
        }
        if pairs
        else {},
    }


def main() -> None:
    """Measure what is missing, and write the table if it is whole."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--limit", type=float, default=float("inf"), help="seconds")
    parser.add_argument("--ways", nargs="+", default=WAYS, choices=WAYS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    runtime = choose_runtime("cpu")
    summary = summarise(measure(options, runtime))
    print(json.dumps(summary["differences"], indent=2, ensure_ascii=False))
    if len(summary["accuracy"]) < len(SETS) * len(COUNTS) * len(WAYS):
        print("not whole yet: give the same command again")
        return
    protocol = {
        "sets": SETS,
        "image_size": SIZE,
        "pictures a class": COUNTS,
        "seeds": SEEDS,
        "pictures shown": SHOWN,
        "max_lr": RATES,
        "test": "drawn once, the same for all",
        "simple": "better of HSV and HOG, chosen on other pictures",
        "left out": "ImageNet's weights, which cannot be downloaded here",
        **describe(runtime),
    }
    write_json(RESULT, {"protocol": protocol, **summary})


if __name__ == "__main__":
    main()
