"""How many sums of the test split are right."""

import json

from tk_instruct import configuration
from tk_instruct.files import Path, write_atomically
from tk_instruct.predictions import read_predictions
from tk_instruct.scores import SuiteScores

from .tasks import accuracy, load

SCORES = SuiteScores()
SCORES.titles = {"accuracy": "right"}


def add_arguments(parser):
    parser.add_argument("--split", default="test", help="default: test")


def main(args):
    configuration.import_declarations(args.modules)
    configuration.bind_data_arguments(args)
    predictions = read_predictions(Path(args.predictions[0]))
    pairs = [(e["references"][0], predictions[e["id"]].text) for e in load(args.split)]
    write_atomically(Path(args.json), [json.dumps(accuracy(*zip(*pairs, strict=True)))])
    return 0
