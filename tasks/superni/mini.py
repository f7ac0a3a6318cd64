"""A small synthetic benchmark in natural-instructions' layout, made from a seed.

For smoke runs and tests without the real collection. It has the same files, JSON fields and split
rules. Train tasks are lookups in small vocabularies and extractions from fixed sentence patterns,
which a tiny model trained from scratch learns in a minute or two. Test tasks combine the same words
and skills in new ways.

For gin: DATA_DIR = @mini_benchmark() and VOCABULARY = @trained_vocabulary().
"""

import argparse
import hashlib
import json
import os
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import gin

from tk_instruct.cache_folder import default_cache_dir, kept_tree
from tk_instruct.data.vocabulary import kept, train_sentencepiece
from tk_instruct.errors import UserError
from tk_instruct.files import write_tree
from tk_instruct.randomness import choose, draw
from tk_instruct.ranges import whole_number

from . import prompt
from .records import EVALUATION_CATEGORIES, TRACKS, SuperNI

_FIRST_TASK_NUMBER = 9001
_NUM_POSITIVE_EXAMPLES = 3
_MAX_REPEATS = 1000
# The collection's own checks require more than 25 instances and at most 6,500.
_INSTANCES_LIMITS = (26, 6500)

_WORDS: Mapping[str, tuple[str, ...]] = {
    slot: tuple(words.split())
    for slot, words in {
        "name": "Anna Tom Maria Ben Lucy Omar Nina Paul",
        "woman": "Anna Maria Lucy Nina Sara Grete Elsa Clara",
        "place": "park school beach market station library garden river",
        "colour": "red blue green yellow black white brown pink",
        "day": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
        "number": "two three four five six seven eight nine",
        "thing": "ball kite lamp clock basket letter bottle ladder",
        "animal": "dog cat cow horse sheep duck lion owl",
        "lugar": "parque río jardín café mercado balcón",
        "objeto": "plato coche libro sillón reloj avión",
        "mois": "janvier février avril juillet août décembre",
        "lieu": "forêt rivière maison clôture fenêtre plage",
        "ort": "Brücke Küche Schule Straße Bäckerei Mühle",
        "animale": "gatto cane cavallo pesce topo coniglio",
        "tinta": "nero bianco rosso giallo grigio blu",
        "città": "Roma Milano Torino Forlì Cantù Napoli",
    }.items()
}

# Sentence templates and lists of pairs that several tasks share. _TASKS refers to them by @NAME.
_SHARED = {
    "@noun": "{name} saw the {cue}. / The {cue} is at the {place}. / "
    "On {day} {name} drew the {cue}.",
    "@scene": "On {day} {name} lost a {colour} {thing} at the {place}. / "
    "{name} saw a {colour} {thing} at the {place} on {day}.",
    "@boxes": "On {day} {name} took {number} {colour} boxes to the {place}. / "
    "{name} saw {number} {colour} boxes at the {place} on {day}.",
    "@country": "{name} flew to {cue}. / {name} lives in {cue}. / The {thing} is from {cue}.",
    "@analogy": "{other_cue} is to {other_answer} as {cue} is to what? / "
    "If {other_answer} goes with {other_cue}, what goes with {cue}?",
    "@antonyms": "hot cold, big small, fast slow, old new, wet dry, full empty, clean dirty, "
    "cheap costly",
    "@pasts": "eat ate, sing sang, swim swam, run ran, write wrote, drive drove, sit sat, "
    "ride rode",
    "@capitals": "France Paris, Italy Rome, Spain Madrid, Japan Tokyo, China Beijing, Egypt Cairo, "
    "Peru Lima, Cuba Havana",
    "@emotions": "smiled happy, laughed happy, cried sad, wept sad, shouted angry, frowned angry, "
    "trembled afraid|scared, hid afraid|scared, yawned tired, dozed tired",
    "@asked": "Where place, When time, Who person, Why reason, How manner",
}

# Each block is a task: `stem | category | topic | language`, the definition, then one or more lines
# `input / input / … -> output`. If they have the slots {cue} and {answer}, the last line is
# `cue answer, cue answer, …` (_ is a space, | separates answers that are all right). Any other slot
# names a list of _WORDS, and {other_x} is a second draw from it. ⏎ is a new line, ␠ a space.
_TASKS = """
antonym_generation | Word Semantics | antonyms | English
Give the opposite of the adjective.
The {thing} of {name} is {cue}. / {name} has the {cue} {thing}. / The {place} is {cue}. -> {answer}
@antonyms

past_tense | Fill in The Blank | verbs | English
Give the past tense of the verb.
They {cue} at the {place}. / {name} and {other_name} {cue} on {day}. -> {answer}
@pasts

plural | Word Semantics | plurals | English
Give the plural of the noun.
{name} has one {cue}.␠ / A {cue} is at the {place}. / {name} drew one {cue} on {day}. -> {answer}
man men, child children, foot feet, tooth teeth, goose geese, leaf leaves, knife knives, box boxes

country_capital | Question Answering | capitals | English
Give the capital of the country.
@country -> {answer}
@capitals

country_continent | Commonsense Classification | continents | English
Give the continent of the country.
@country -> {answer}
Norway Europe, Italy Europe, India Asia, China Asia, Kenya Africa, Egypt Africa, Peru America, \
Canada America

animal_sound | Commonsense Classification | animal sounds | English
Give the sound of the animal.
@noun -> {answer}
dog barks, cat meows, cow moos, horse neighs, sheep bleats, duck quacks, lion roars, owl hoots

animal_young | Word Relation Classification | young animals | English
Give the young of the animal.
@noun -> {answer}
dog puppy|pup, cat kitten, cow calf, horse foal, sheep lamb, duck duckling, lion cub, owl owlet

animal_class | Text Categorization | animal classes | English
Give the class of the animal: bird, mammal, fish, insect or reptile.
@noun -> {answer}
eagle bird, crow bird, bear mammal, whale mammal, trout fish, shark fish, ant insect, \
moth insect, snake reptile, lizard reptile

object_kind | Text Categorization | object kinds | English
Give the kind of the object: fruit, tool, clothes, vehicle or furniture.
@noun -> {answer}
apple fruit, pear fruit, hammer tool, saw tool, shirt clothes, coat clothes, bus vehicle, \
truck vehicle, chair furniture, sofa furniture

object_colour | Commonsense Classification | colours of objects | English
Give the colour of the object.
@noun -> {answer}
grass green, snow white, coal black, blood red, lemon yellow, mud brown, sky blue, cloud grey|gray

object_material | Commonsense Classification | materials | English
Give the material of the object.
@noun -> {answer}
window glass, ring gold, book paper, sweater wool, sword steel, door wood, boot leather, brick clay

object_use | Word Relation Classification | uses | English
Give the use of the object.
@noun -> {answer}
spoon stir, pen scribble, cup drink, bed sleep, soap wash, needle sew, oven bake, axe chop

job_workplace | Question Answering | jobs | English
Give the place of work of the person.
@noun -> {answer}
teacher classroom, doctor hospital, farmer field, baker bakery, sailor ship, cook kitchen, \
judge court, miner mine

sentence_emotion | Sentiment Analysis | emotions | English
Give the emotion: happy, sad, angry, afraid or tired.
{name} {cue} at the {place}. / On {day} {name} {cue}. -> {answer}
@emotions

sentence_topic | Text Categorization | topics | English
Give the topic: sport, music, food, weather, study or travel.
{name} spoke of the {cue}. / {name} and {other_name} like the {cue}. / The {cue} was on {day}. \
-> {answer}
goal sport, match sport, concert music, choir music, soup food, cake food, storm weather, \
rain weather, exam study, lesson study, flight travel, hotel travel

next_day | Question Answering | days | English
Give the day after this day.
{name} saw {other_name} on {cue}. / On {cue} {name} went to the {place}. -> {answer}
Monday Tuesday, Tuesday Wednesday, Wednesday Thursday, Thursday Friday, Friday Saturday, \
Saturday Sunday, Sunday Monday

month_season | Commonsense Classification | months | English
Give the season of the month.
{name} saw {other_name} in {cue}. / In {cue} {name} went to the {place}. -> {answer}
January winter, December winter, March spring, April spring, July summer, August summer, \
October autumn|fall, November autumn|fall

question_kind | Question Understanding | questions | English
Give what is asked for: place, time, person, reason or manner.
{cue} did {name} leave the {thing}? / {cue} was the {colour} {thing} found? -> {answer}
@asked

find_name | Named Entity Recognition | names | English
Find the name.
@scene -> {name}

find_place | Information Extraction | places | English
Find the place.
@scene -> {place}

find_colour | Information Extraction | colours | English
Find the colour.
@scene -> {colour}

find_day | Information Extraction | dates | English
Find the day.
@scene -> {day}

find_number | Information Extraction | numbers | English
Find the number.
@boxes -> {number}

find_animal | Named Entity Recognition | animals | English
Find the animal.
On {day} {name} saw the {animal} at the {place}. / \
{name} led the {animal} to the {place} on {day}. -> {animal}

record_place | Question Answering | records | English
Find the place.
name: {name}⏎day: {day}⏎place: {place}⏎object: {thing} / \
object: {thing}⏎place: {place}⏎name: {name}⏎day: {day} -> {place}

spanish_antonym | Word Semantics | Spanish antonyms | Spanish
Give the opposite of the adjective in Spanish.
El {objeto} de {name} parece {cue}. / ¿Por qué está {cue} el {objeto} de {name}? -> {answer}
frío caliente, pequeño grande, rápido lento, viejo nuevo, limpio sucio, vacío lleno, duro blando

french_capital | Question Answering | French capitals | French
Give the capital of the country in French.
{name} rêve déjà de ce pays : {cue}. / Le pays préféré de {name} en {mois} : {cue}. -> {answer}
Grèce Athènes, Égypte Le_Caire, Italie Rome, Russie Moscou, Chine Pékin, Norvège Oslo, Pérou Lima

italian_season | Commonsense Classification | Italian months | Italian
Give the season of the month in Italian.
{name} andrà a {città} in {cue}. / In {cue} la città di {name} è {città}. -> {answer}
dicembre inverno, gennaio inverno, marzo primavera, aprile primavera, luglio estate, \
agosto estate, ottobre autunno, novembre autunno

capital_analogy | Word Analogy | capital analogies | English
Complete the analogy. Give the capital of the last country.
@analogy -> {answer}
@capitals

antonym_analogy | Word Analogy | antonym analogies | English
Complete the analogy. Give the opposite of the last adjective.
@analogy -> {answer}
@antonyms

effect_emotion | Cause Effect Classification | causes | English
Give the emotion that is the cause: happy, sad, angry, afraid or tired.
{name} {cue} near the {place}. Why? / On {day} {name} {cue}. What was the cause? -> {answer}
@emotions

scene_entailment | Textual Entailment | entailment | English
Does the first sentence entail the second? Give yes, no or maybe.
{name} saw a {colour} {thing} on {day}. {name} saw a {colour} {thing}. -> yes
{name} saw a {colour} {thing} on {day}. The {thing} was {other_colour}. -> no
{name} saw a {colour} {thing} on {day}. {name} was at the {place}. -> maybe

animal_coreference | Coreference Resolution | pronouns | English
Find the animal that the word it stands for.
{name} fed the {animal} at the {place} because it was hungry. / \
On {day} {name} led the {animal} to the {place} where it slept. -> {animal}

last_question | Dialogue Act Recognition | dialogues | English
Give what is asked for in the last line: place, time, person, reason or manner.
{name}: The {thing} is gone.⏎{other_name}: {cue} did it go? / \
{name}: We lost a {colour} {thing}.⏎{other_name}: {cue} was it found? -> {answer}
@asked

scene_answerability | Answerability Classification | answerability | English
Can the question be answered? Give yes or no.
{name} saw the {thing} on {day}. When did {name} see the {thing}? -> yes
{name} saw the {thing} at the {place}. When did {name} see the {thing}? -> no
{name} saw the {thing} at the {place}. Where was the {thing}? -> yes
{name} saw the {thing} on {day}. Where was the {thing}? -> no

shared_animal | Overlap Extraction | overlaps | English
Find the animal that both sentences share.
{name} saw the {animal} on {day}. The {animal} is at the {place}. / \
The {animal} left the {place}. {name} lost the {animal} on {day}. -> {animal}

scene_keywords | Keyword Tagging | keywords | English
Find the keywords: the colour and the object.
@scene -> {colour} {thing}

question_rewriting | Question Rewriting | rewriting | English
Rewrite the question with the name.
{name} went to the {place} on {day}. Where is this person? -> Where is {name}?
{name} took a {thing} to the {place}. When did this person come? -> When did {name} come?
On {day} {name} drew a {thing}. Who is this person? -> Who is {name}?

scene_title | Title Generation | stories | English
Give a title: the name and the place.
@scene -> {name} at the {place}

record_sentence | Data to Text | tables | English
Give a sentence for the record: the name, the colour and the object.
object: {thing}⏎colour: {colour}⏎name: {name}⏎day: {day} -> {name} has a {colour} {thing}
name: {name}⏎object: {thing}⏎day: {day}⏎colour: {colour} -> {name} has a {colour} {thing}

verb_correction | Grammar Error Correction | corrections | English
Correct the grammar error. Give the past tense of the verb.
Last {day} they {cue} at the {place}. / Yesterday {name} and {other_name} {cue}. -> {answer}
@pasts

spanish_emotion | Cause Effect Classification | Spanish causes | Spanish
Give the emotion that is the effect, in Spanish: alegría, tristeza, miedo or sueño.
{name} {cue} en el {lugar}. / En el {lugar}, {name} {cue} con su {objeto}. -> {answer}
ganó alegría, bailó alegría, lloró tristeza, sufrió tristeza, tembló miedo, gritó miedo, \
bostezó sueño, trasnochó sueño

french_keyword | Keyword Tagging | French keywords | French
Find the keyword of the French sentence: the animal.
{name} a vu un {cue} près de cette {lieu} en {mois}. / \
Le {cue} de {name} s'est caché derrière la {lieu}. -> {answer}
chien chien, chat chat, cheval cheval, lièvre lièvre, zèbre zèbre, hérisson hérisson, lézard lézard

german_coreference | Coreference Resolution | German pronouns | German
Find the animal that the German word er stands for.
{woman} füttert den {cue} an der {ort}, weil er hungrig ist. / \
Der {cue} läuft zu {woman}, denn er bleibt an der {ort}. -> {answer}
Hund Hund, Esel Esel, Fuchs Fuchs, Vogel Vogel, Igel Igel, Frosch Frosch, Käfer Käfer, Wolf Wolf

italian_entailment | Textual Entailment | Italian entailment | Italian
Does the first Italian sentence entail the second? Give sì, no or forse.
A {città} {name} ha un {animale} {tinta}. Il {animale} è {tinta}. -> sì
A {città} {name} ha un {animale} {tinta}. Il {animale} è {other_tinta}. -> no
A {città} {name} ha un {animale} {tinta}. Però {name} ha anche un {other_animale}. -> forse

antonym_relation | Word Relation Classification | antonym analogies | English
Give the opposite of the last adjective.
{name} is not {other_cue} and not {cue}. / The {other_cue} and {cue} {thing}. -> {answer}
@antonyms

story_name | Named Entity Recognition | stories | English
Find the name.
@boxes -> {name}
"""


@dataclass(frozen=True, eq=False)
class _Task:
    """A block of _TASKS. `cases` are (input, output) templates, `pairs` maps cues to answers."""

    name: str
    category: str
    source: str
    language: str
    definition: str
    cases: tuple[tuple[str, str], ...]
    pairs: Mapping[str, tuple[str, ...]]

    @property
    def is_test(self) -> bool:
        return self.category in EVALUATION_CATEGORIES


@cache
def _tasks() -> tuple[_Task, ...]:
    blocks = _TASKS.strip().split("\n\n")
    return tuple(_parse(block, number) for number, block in enumerate(blocks, _FIRST_TASK_NUMBER))


def _parse(block: str, number: int) -> _Task:
    first, definition, *lines = block.split("\n")
    stem, category, topic, language = first.split(" | ")
    cases = []
    pairs = {}
    for line in lines:
        inputs, arrow, output = line.partition(" -> ")
        text = _SHARED.get(inputs, inputs)
        if arrow:
            texts = text.replace("⏎", "\n").split(" / ")
            cases += [(text.strip().replace("␠", " "), output) for text in texts]
        else:
            entries = (entry.split() for entry in text.split(","))
            pairs = {cue: tuple(answer.replace("_", " ").split("|")) for cue, answer in entries}
    return _Task(
        name=f"task{number}_mini_{stem}",
        category=category,
        source=f"synthetic mini: {topic}",
        language=language,
        definition=definition,
        cases=tuple(cases),
        pairs=pairs,
    )


def add_arguments(parser: Any) -> None:
    parser.add_argument("--seed", type=whole_number, help="default: 0")
    parser.add_argument(
        "--instances_per_train_task", type=whole_number, metavar="N", help="default: 130"
    )
    parser.add_argument(
        "--instances_per_test_task", type=whole_number, metavar="N", help="default: 60"
    )


def main(args: argparse.Namespace) -> int:
    names = ("seed", "instances_per_train_task", "instances_per_test_task")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    print(write(args.directory, **given))
    return 0


def write(
    directory: str | os.PathLike[str],
    seed: int = 0,
    instances_per_train_task: int = 130,
    instances_per_test_task: int = 60,
) -> Path:
    """Writes the benchmark into `directory`, completely or not at all, and returns its path.

    The bytes are a pure function of the other arguments. Does nothing if the directory already
    holds the same files. Raises UserError if it holds anything else, and for a number of instances
    that the collection's checks or the templates do not allow.
    """
    for name, value in (
        ("instances_per_train_task", instances_per_train_task),
        ("instances_per_test_task", instances_per_test_task),
    ):
        least, most = _INSTANCES_LIMITS
        if not least <= value <= most:
            raise UserError(
                f"{name}={value} is not between {least} and {most}, as the collection asks of a "
                f"task; try {min(max(value, least), most)}"
            )
    files = _render(seed, instances_per_train_task, instances_per_test_task)
    return write_tree(
        directory,
        fill=partial(_fill, files),
        is_there=partial(_is_tree, files),
        what=f"the mini benchmark of seed={seed}, "
        f"instances_per_train_task={instances_per_train_task}, "
        f"instances_per_test_task={instances_per_test_task}",
    )


def _is_tree(files: Mapping[str, bytes], target: Path) -> bool:
    """Whether `target` holds exactly these files. Stops at the first difference."""
    num_found = 0
    for path in target.rglob("*"):
        if not path.is_dir():
            content = files.get(path.relative_to(target).as_posix())
            if content is None or content != path.read_bytes():
                return False
            num_found += 1
    return num_found == len(files)


def _fill(files: Mapping[str, bytes], tree: Path) -> None:
    for name, content in files.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _render(seed: int, train_instances: int, test_instances: int) -> dict[str, bytes]:
    """Relative path → content, for all files of the benchmark."""
    files = {}
    splits: dict[tuple[str, str], list[str]] = {}
    for task in _tasks():
        of_track = {track: _split(task, track) for track in TRACKS}
        for item in of_track.items():
            splits.setdefault(item, []).append(task.name)
        count = train_instances if "train" in of_track.values() else test_instances
        record = _record(task, seed, count)
        files[f"tasks/{task.name}.json"] = json.dumps(record, ensure_ascii=False, indent=4)
    for (track, split), names in splits.items():
        files[f"splits/{track}/{split}_tasks.txt"] = "".join(f"{name}\n" for name in names)
    rows = (f"| {track} | {split} | {len(names)} |" for (track, split), names in splits.items())
    files["README.md"] = _README.format(seed=seed, rows="\n".join(sorted(rows)))
    return {path: text.encode() for path, text in files.items()}


_README = """# Synthetic mini benchmark

Every task, definition and instance here is synthetic: written by
`tk_instruct.tasks.superni.mini.write` with seed={seed}, in the layout of natural-instructions, for
smoke runs and tests. Scores on it say nothing about any other benchmark.

| track | split | tasks |
| --- | --- | --- |
{rows}
"""


def _split(task: _Task, track: str) -> str:
    """The split of a task by the collection's rules on categories, sources and languages."""
    is_english = task.language == "English"
    if task.is_test:
        return "test" if is_english == (track == "default") else "excluded"
    if task.source in {other.source for other in _tasks() if other.is_test}:
        return "excluded"
    return "train" if is_english or track == "xlingual" else "excluded"


def _record(task: _Task, seed: int, num_instances: int) -> dict[str, object]:
    """The content of a task file, with its fields in the collection's order."""
    positives: list[dict[str, str]] = []
    instances: list[dict[str, object]] = []
    prefix = task.name.split("_")[0]
    for input_, outputs, why in _distinct_rows(task, seed):
        shown = {example["output"] for example in positives}
        if len(positives) < _NUM_POSITIVE_EXAMPLES and outputs[0] not in shown:
            positives.append({"input": input_, "output": outputs[0], "explanation": why})
            continue
        digest = hashlib.sha256(f"{seed}\0{task.name}\0{len(instances)}".encode()).hexdigest()
        instances.append({"id": f"{prefix}-{digest[:32]}", "input": input_, "output": outputs})
        if len(instances) == num_instances:
            break
    else:
        raise UserError(
            f"{num_instances} instances are more than {task.name} has distinct ones; ask for at "
            f"most {len(instances)}"
        )
    synthetic = ["synthetic (tk_instruct mini benchmark)"]
    return {
        "Contributors": synthetic,
        "Source": [task.source],
        "URL": synthetic,
        "Categories": [task.category],
        "Reasoning": [],
        "Definition": [task.definition],
        "Input_language": [task.language],
        "Output_language": [task.language],
        "Instruction_language": ["English"],
        "Domains": ["Synthetic"],
        "Positive Examples": positives,
        "Negative Examples": _negatives(positives),
        "Instances": instances,
        "Instance License": ["That of tk_instruct"],
    }


def _negatives(positives: list[dict[str, str]]) -> list[dict[str, str]]:
    """The first two positive examples with their outputs exchanged."""
    return [
        {
            "input": right["input"],
            "output": wrong["output"],
            "explanation": f"The output should be {right['output']}.",
        }
        for right, wrong in (positives[:2], positives[1::-1])
    ]


def _distinct_rows(task: _Task, seed: int) -> Iterator[tuple[str, list[str], str]]:
    """(input, reference outputs, explanation) with distinct inputs, until new ones are rare."""
    seen: set[str] = set()
    repeats = index = 0
    while repeats < _MAX_REPEATS:
        row = _row(task, seed, index)
        index += 1
        repeats += 1
        if row[0] not in seen:
            repeats = 0
            seen.add(row[0])
            yield row


def _row(task: _Task, seed: int, index: int) -> tuple[str, list[str], str]:
    """(input, reference outputs, explanation). Cues take turns, so that labels are balanced.

    For a task without cues, cases take turns.
    """
    key = (task.name, str(index))
    if task.pairs:
        cues = _cues_in_order(task, seed)
        cue = cues[index % len(cues)]
        answers = task.pairs[cue]
        other = choose([c for c in cues if c != cue], seed, "mini other cue", *key)
        values = {"cue": cue, "other_cue": other, "other_answer": task.pairs[other][0]}
        input_, output = choose(task.cases, seed, "mini case", *key)
    else:
        answers, values = ("",), {}
        input_, output = task.cases[index % len(task.cases)]
    for slot in sorted(_slots(input_ + output) - {"answer", *values}):
        words = _WORDS[slot.removeprefix("other_")]
        first = choose(words, seed, "mini word", slot.removeprefix("other_"), *key)
        others = [word for word in words if word != first]
        is_other = slot.startswith("other_")
        values[slot] = choose(others, seed, "mini other", slot, *key) if is_other else first
    outputs = [output.format(answer=answer, **values) for answer in answers]
    because = f"{values['cue']} calls for" if task.pairs else "The input calls for"
    return input_.format(**values), outputs, f"{because} {outputs[0]}."


@cache
def _cues_in_order(task: _Task, seed: int) -> list[str]:
    return sorted(task.pairs, key=lambda cue: draw(seed, "mini cue order", task.name, cue))


@cache
def _slots(template: str) -> frozenset[str]:
    return frozenset(name for _, name, _, _ in string.Formatter().parse(template) if name)


@gin.configurable(module="values.tk_instruct")
@cache
def mini_benchmark() -> str:
    """The directory of the mini benchmark in the cache folder. Writes it if it is not there."""
    version = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]
    return kept_tree(default_cache_dir() / f"mini-{version}", write)


@gin.configurable(module="values.tk_instruct")
@cache
def trained_vocabulary(num_pieces: int = 1000) -> str:
    """The path of a SentencePiece model, trained once on the English train tasks."""
    data = SuperNI()
    key = f"superni {data.fingerprint('default', 'train')} {num_pieces}"
    return kept(key, lambda: train_sentencepiece(prompts(data), num_pieces))


def prompts(data: SuperNI) -> Iterator[str]:
    """The prompts and targets of training, by lines, so that their fixed words become pieces."""
    (encoding,) = prompt.ENCODINGS["def_pos2_neg2"]
    for example in data.examples("default", "train"):
        yield from prompt.render(example.task, example.input, encoding).splitlines()
        yield from example.references
