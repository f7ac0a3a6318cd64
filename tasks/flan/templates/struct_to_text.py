"""Ten templates for each dataset of structure to text."""

TEMPLATES: dict[str, tuple[tuple[str, str], ...]] = {
    "common_gen": (
        (
            "Describe an everyday scene in one sentence that brings in each of these: {concepts}",
            "{target}",
        ),
        (
            "{concepts_newline}\n\nMake a sentence out of the words above, changing their forms "
            "where grammar calls for it.",
            "{target}",
        ),
        (
            "A teacher hands out word cards: {concepts}\n"
            "What sentence can a pupil build that leaves none of the cards unused?",
            "{target}",
        ),
        (
            'What might be going on in a photo that a search for "{concepts}" brings up? '
            "Say it in one sentence with every word of the search.",
            "{target}",
        ),
        ("words: {concepts}\nsentence:", "{target}"),
        (
            "Link all of the following in a single plausible sentence.\n\n{concepts_newline}",
            "{target}",
        ),
        ("Can you fit {concepts} into one sentence that makes sense?", "{target}"),
        (
            '"{target}"\n\nName the key nouns and verbs of this sentence in their base form, '
            "separated by commas.",
            "{concepts}",
        ),
        (
            "This sentence was made from a list of words, some of which may have changed form. "
            "Recover the list, one word a line.\n\n{target}",
            "{concepts_newline}",
        ),
        (
            "Sentence: {target}\n\nWhich words would you give a writer as a prompt for it? "
            "Put commas between them.",
            "{concepts}",
        ),
    ),
    "dart": (
        (
            "A triple gives a subject, a relation and a value. Put everything that is given here "
            "into words.\n\n{tripleset_newline}",
            "{target}",
        ),
        ("{tripleset}\n\nSay this in plain English.", "{target}"),
        ("Data: {tripleset}\nText:", "{target}"),
        (
            "What follows comes from a knowledge base. Write what it states as running text, "
            "and add nothing to it.\n\n{tripleset_newline}",
            "{target}",
        ),
        (
            "Here is what can be read off a table:\n{tripleset}\n\n"
            "How would you tell it to someone who cannot see the table?",
            "{target}",
        ),
        (
            "Turn this line, in which semicolons separate one fact from the next, into prose."
            "\n\n{tripleset}",
            "{target}",
        ),
        (
            "Facts:\n{tripleset_newline}\n\nWrite a sentence, or two if you need them, from which "
            "a reader learns all of this.",
            "{target}",
        ),
        (
            "Subject, predicate, object: what does this tell us? Answer in full sentences."
            "\n\n{tripleset_newline}",
            "{target}",
        ),
        (
            "Extract the facts from this text as triples, subject, relation and object in this "
            "order with nothing between them, one a line.\n\n{target}",
            "{tripleset_newline}",
        ),
        (
            "{target}\n\nEncode what this says for a database: every fact in three parts, and "
            '"; " from one fact to the next.',
            "{tripleset}",
        ),
    ),
    "e2e_nlg": (
        (
            "A restaurant guide lists a place with these attributes: {meaning_representation}\n"
            "Describe the place to someone looking for a place to eat.",
            "{target}",
        ),
        (
            "Turn this listing into sentences that mention every attribute of the venue."
            "\n\n{meaning_representation}",
            "{target}",
        ),
        (
            "{meaning_representation}\n\nWrite the entry on this place for a city guide.",
            "{target}",
        ),
        ("Attributes: {meaning_representation}\nDescription:", "{target}"),
        (
            "Where could one go out tonight? Answer with what is known about one option: "
            "{meaning_representation}",
            "{target}",
        ),
        (
            "A user has asked a voice assistant for somewhere to eat. Its look-up has returned:\n"
            "{meaning_representation}\n\nWhat does the assistant say aloud?",
            "{target}",
        ),
        (
            "{meaning_representation}\n\nHere each term before an equals sign is a property of an "
            "eatery, and its value comes after the sign. Say the same in ordinary English.",
            "{target}",
        ),
        (
            "Introduce this establishment in a sentence or two, leaving out nothing that is "
            "given about it:\n{meaning_representation}",
            "{target}",
        ),
        (
            "The owner of a place to eat or drink has filled in a form:\n\n"
            "{meaning_representation}\n\nWrite a text for a website from these details.",
            "{target}",
        ),
        (
            "What would you tell a tourist who asks about the following place?"
            "\n\n{meaning_representation}",
            "{target}",
        ),
    ),
    "web_nlg_en": (
        (
            "Write an encyclopedia entry, as short as possible, that says all that this data "
            "from DBpedia says.\n\n{input_string}",
            "{target}",
        ),
        (
            "{input_string}\n\nIn everyday language, what does this piece of a knowledge graph "
            "say?",
            "{target}",
        ),
        ("RDF: {input_string}\nEnglish:", "{target}"),
        (
            "In a knowledge graph, properties link things to one another. Express what is linked "
            "here in fluent sentences:\n{input_string}",
            "{target}",
        ),
        (
            "How could one word this so that a person who has never heard of the semantic web "
            "understands it?\n\n{input_string}",
            "{target}",
        ),
        (
            "A quiz master looked something up and got this back from the database:\n"
            "{input_string}\n\nWrite it out for the quiz master without leaving out a fact.",
            "{target}",
        ),
        (
            "Rewrite this machine-readable record as text for human readers, with real names "
            "for its identifiers.\n\n{input_string}",
            "{target}",
        ),
        (
            "Record:\n{input_string}\n\nCompose a short text that conveys everything in the "
            "record.",
            "{target}",
        ),
        (
            "{target}\n\nWrite down what this text states as subject, property, object, the way "
            "DBpedia would store it; semicolons part one fact from the next.",
            "{input_string}",
        ),
        (
            "A program wrote the text below from triples: a subject, a property and a value, with "
            "commas between them. What was its input?\n\n{target}",
            "{input_string}",
        ),
    ),
}
