"""How many sums of the test split are right."""

import numpy as np

from tk_instruct import configuration
from tk_instruct.evaluate.output import as_text, keep, show_scores
from tk_instruct.files import Path
from tk_instruct.predictions import read_predictions
from tk_instruct.scored_instances import About, ScoredInstances, as_scores
from tk_instruct.scores import SuiteScores, as_table

from .tasks import load

SCORES = SuiteScores()
SCORES.titles = {"accuracy": "right"}
ABOUT = About("toy", main="accuracy", unit="sum", percentages=("accuracy",))


def add_arguments(parser):
    parser.add_argument("--split", default="test", help="default: test")


def score_file(path, args):
    configuration.import_declarations(args.modules)
    configuration.bind_data_arguments(args)
    predictions, examples = read_predictions(path), load(args.split)
    ids = [example["id"] for example in examples]
    references = [example["references"] for example in examples]
    texts = [predictions[id_].text for id_ in ids]
    right = [text in of for text, of in zip(texts, references, strict=True)]
    labels = {"id": ids, "unit": ids, "instance": ids}
    labels |= {"part": [args.split] * len(ids), "task": ["sums"] * len(ids)}
    labels |= {"category": [""] * len(ids)}
    values = {"accuracy": 100 * np.array(right, float)}
    return ScoredInstances(ABOUT, labels, references, texts, values), []


def main(args):
    (path,) = args.predictions
    scored, notes = score_file(Path(path), args)
    scores = as_scores(scored.estimates())
    table = as_table({path: {("toy_sums", args.split): scores}})
    show_scores(args.json, as_text(scores), "\n".join([table, *notes, *keep(args, scored)]))
    return 0
