"""Ten templates for each dataset of natural language inference."""

TEMPLATES: dict[str, tuple[tuple[str, str], ...]] = {
    "anli": (
        (
            (
                "{context}\n\n"
                "Taking this passage at its word, is the claim below true?\n\n"
                "{hypothesis}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Someone who has just read the passage at the end sums up a part of it as "
                "follows:\n\n"
                "{hypothesis}\n\n"
                "Have they got it right?\n\n"
                "Passage:\n"
                "{context}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Fact-check the claim against the source and nothing else. Where the source "
                "leaves the matter open, say so.\n\n"
                "Source: {context}\n"
                "Claim: {hypothesis}\n"
                "Is the claim correct?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "This statement was written to trip up hasty readers, so go slowly:\n\n"
                "{hypothesis}\n\n"
                "Is it accurate, judging by the following text?\n\n"
                "{context}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Suppose that the next few lines are all you know about the subject.\n\n"
                "{context}\n\n"
                "Knowing just that, do you agree with what is said here?\n\n"
                '"{hypothesis}"\n\n'
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Evidence: {context}\n\n"
                "Statement: {hypothesis}\n\n"
                'Answer "Yes" if the evidence shows the statement to be true, "No" if it '
                'shows it to be false, and "It\'s impossible to say" if it does neither.\n\n'
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "You edit an encyclopedia and have come across this sentence in a draft:\n\n"
                "{hypothesis}\n\n"
                "The draft cites the following source for it:\n\n"
                "{context}\n\n"
                "Does the draft have its facts straight?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Reading test\n\n"
                "Text: {context}\n\n"
                "Item 1: {hypothesis}\n\n"
                "Is item 1 true according to the text?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Is this so? {hypothesis}\n\n"
                "All you have to go on is what follows.\n\n"
                "{context}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "{context}\n\n"
                "Readers of this text were shown a claim and asked whether it is true. The "
                'correct reply was "{answer}". Write such a claim.'
            ),
            "{hypothesis}",
        ),
    ),
    "cb": (
        (
            (
                "{premise}\n\n"
                "Does whoever says this believe the following to be the case?\n\n"
                "{hypothesis}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "{premise}\n\n"
                "Judging by what is said here, and by how surely it is said, is this right?\n\n"
                "{hypothesis}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "What was said: {premise}\n\n"
                "What may have been meant: {hypothesis}\n\n"
                "Does the speaker hold the latter to be a fact?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "People often hint at things that they do not state. Would the author of the "
                'snippet below agree with the words "{hypothesis}"?\n\n'
                "{premise}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "You overhear somebody say:\n\n"
                "{premise}\n\n"
                'A friend who missed it wants to know if this is true: "{hypothesis}"\n\n'
                "What do you reply?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Proposition: {hypothesis}\n"
                "Context: {premise}\n"
                "In this context, is the proposition true? Choose among Yes, No and It's "
                "impossible to say.\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "{premise}\n\n"
                'Verbs like "think", "know" and "doubt" tell us how far a speaker vouches '
                "for something. With an eye on such words, would you call the next statement "
                "true?\n\n"
                "{hypothesis}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Is the assertion true in the world of the extract?\n\n"
                "Assertion: {hypothesis}\n\n"
                "Extract: {premise}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "In a study of how language expresses belief, you have to label the "
                "following item.\n\n"
                "Utterance: {premise}\n"
                "Content: {hypothesis}\n\n"
                "Is the person speaking committed to the truth of the content (Yes), to its "
                "falsehood (No), or to neither (It's impossible to say)?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Somebody read a few lines from a story, an article or a conversation and "
                "was then asked whether this is true:\n\n"
                "{hypothesis}\n\n"
                'The answer, rightly, was "{answer}". What might those lines have been? '
                "Write them."
            ),
            "{premise}",
        ),
    ),
    "rte": (
        (
            (
                "{premise}\n\n"
                "Does this piece of news tell us that the statement below is true?\n\n"
                "{hypothesis}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "A careful journalist has only the report below at hand. May she print the "
                "following sentence?\n\n"
                "Sentence: {hypothesis}\n\n"
                "Report: {premise}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Text: {premise}\n"
                "Conclusion: {hypothesis}\n"
                "Is the conclusion justified by the text?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Does the second text say only what the first one has already established? "
                "Answer yes or no.\n\n"
                "First text: {premise}\n\n"
                "Second text: {hypothesis}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "If the paragraph at the end is correct, does this have to be correct too?\n\n"
                "{hypothesis}\n\n"
                "Paragraph:\n"
                "{premise}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "A colleague makes this claim:\n\n"
                "{hypothesis}\n\n"
                "Asked for proof, he hands you a newspaper clipping:\n\n"
                "{premise}\n\n"
                "Does the clipping prove him right?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "{premise}\n\n"
                "Having read that, could you be sure of this?\n\n"
                "{hypothesis}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "We are collecting articles that confirm the following: {hypothesis}\n\n"
                "Our search has turned up this one:\n\n"
                "{premise}\n\n"
                "Does it belong in the collection?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Say yes only if the passage supports the claim. If the passage contradicts "
                "the claim, or is silent about it, say no.\n\n"
                "Claim: {hypothesis}\n\n"
                "Passage: {premise}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Write a short passage in the style of a newspaper. If somebody asks whether "
                "the passage shows that the statement below is true, the answer must be "
                '"{answer}".\n\n'
                "Statement: {hypothesis}"
            ),
            "{premise}",
        ),
    ),
    "mnli": (
        (
            "{premise}\n\nIf that is so, is this the case as well?\n\n{hypothesis}\n\n{options_}",
            "{answer}",
        ),
        (
            (
                "Statement A: {premise}\n"
                "Statement B: {hypothesis}\n\n"
                "Statement A has been verified. Is statement B true?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "A person remarks:\n\n"
                '"{premise}"\n\n'
                "Is the following true, then?\n\n"
                '"{hypothesis}"\n\n'
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "The first line below might come from a telephone call, a letter, a report, "
                "a travel guide or a novel. Going by the first line, is the second one true?\n\n"
                "{premise}\n"
                "{hypothesis}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "(1) {premise}\n"
                "(2) {hypothesis}\n\n"
                "Answer yes if (2) must be true given (1) and no if (1) rules it out; "
                "otherwise answer that it is not possible to tell.\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "I would like to know whether this is true:\n\n"
                "{hypothesis}\n\n"
                "The one thing that I have been told is this:\n\n"
                "{premise}\n\n"
                "What is your answer?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Your notes from a meeting contain just one line:\n\n"
                "{premise}\n\n"
                "Your manager sums it up like this:\n\n"
                "{hypothesis}\n\n"
                "Is your manager's summary right?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        ("Given: {premise}\nTo be checked: {hypothesis}\nTrue?\n\n{options_}", "{answer}"),
        (
            (
                "A witness tells the court the following:\n\n"
                "{premise}\n\n"
                "A lawyer then says:\n\n"
                "{hypothesis}\n\n"
                "Supposing that the witness spoke the truth, did the lawyer speak the truth "
                "too?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Sentence: {hypothesis}\n\n"
                "Excerpt: {premise}\n\n"
                "Relying on the excerpt alone, whatever else you may know about the world, "
                "would you say that the sentence is correct?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
    ),
    "qnli": (
        (
            (
                "Wanted: {question}\n"
                "Found: {sentence}\n"
                "Does what was found answer what was wanted?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "A pupil needs the answer to this question for her homework:\n\n"
                "{question}\n\n"
                "Can she stop searching once she has read this?\n\n"
                "{sentence}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "{sentence}\n\n"
                "Would someone who has read just this line be able to answer the question "
                "below?\n\n"
                "{question}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "A user of your search engine has typed:\n\n"
                "{question}\n\n"
                "The engine would like to highlight this sentence as the answer:\n\n"
                "{sentence}\n\n"
                "Does the sentence contain what the user is looking for?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            "Is what is asked also told?\n\nAsked: {question}\nTold: {sentence}\n\n{options_}",
            "{answer}",
        ),
        (
            (
                "A sentence can be about the right topic and still leave a question open. "
                "Here is one from an encyclopedia:\n\n"
                "{sentence}\n\n"
                "Does it settle the following question?\n\n"
                "{question}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Quizmaster: {question}\n"
                "Contestant: {sentence}\n\n"
                "Did the contestant give the piece of information that the quizmaster wanted?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                'Mark the sentence with "yes" if it holds the answer to the question, and '
                'with "no" if it does not.\n\n'
                "Sentence: {sentence}\n\n"
                "Question: {question}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "{question}\n\n"
                "With a pencil in your hand, could you underline the answer to that in the "
                "following sentence?\n\n"
                "{sentence}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Here is a sentence from an encyclopedia:\n\n"
                "{sentence}\n\n"
                "Make up a question on the same subject. Anyone who is asked whether the "
                'sentence answers your question should have to say "{answer}".'
            ),
            "{question}",
        ),
    ),
    "wnli": (
        (
            (
                "{sentence1}\n\n"
                "Somebody takes this to mean:\n\n"
                "{sentence2}\n\n"
                "Have they understood the pronoun correctly?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Is the second line a correct reading of the first?\n\n"
                "First: {sentence1}\n"
                "Second: {sentence2}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                'In the text below, a word such as "it", "they" or "her" stands for someone '
                "or something.\n\n"
                "Text: {sentence1}\n\n"
                "Now a part of the text is repeated, with that word spelled out:\n\n"
                "{sentence2}\n\n"
                "Was the right thing put in its place?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "A reading quiz is about this text:\n\n"
                "{sentence1}\n\n"
                "One line of the quiz is to be ticked if it agrees with the text:\n\n"
                "{sentence2}\n\n"
                "Do you tick it?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "A child reads aloud from a book:\n\n"
                '"{sentence1}"\n\n'
                "To show that she has followed the story, she adds:\n\n"
                '"{sentence2}"\n\n'
                "Has she worked out who or what is meant?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Use common sense to find out what the pronoun in the text refers to. Is the "
                "restatement faithful to the text?\n\n"
                "Restatement: {sentence2}\n"
                "Text: {sentence1}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "{sentence2}\n\n"
                "Is that what one learns from the following?\n\n"
                "{sentence1}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "A translator has to decide whom or what the following line speaks of:\n\n"
                "{sentence1}\n\n"
                "She settles on this:\n\n"
                "{sentence2}\n\n"
                "Is that the right decision?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Original: {sentence1}\n"
                "Pronoun resolved: {sentence2}\n"
                "Resolved correctly?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "A pronoun can often be read in two ways of which only one makes sense. Say "
                "yes if the reading given here is the one that makes sense, and no if it is "
                "not.\n\n"
                "Passage: {sentence1}\n\n"
                "Reading: {sentence2}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
    ),
    "snli": (
        (
            (
                "A photograph has this caption:\n\n"
                "{premise}\n\n"
                "Is the following true of the photograph?\n\n"
                "{hypothesis}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Picture this scene: {premise}\n\n"
                "Is the next sentence a true description of the same scene?\n\n"
                "{hypothesis}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "You cannot see the picture, only the caption that it was given. Would the "
                "other caption suit the picture as well?\n\n"
                "Caption given: {premise}\n"
                "Other caption: {hypothesis}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "A friend on the phone describes a snapshot to you:\n\n"
                '"{premise}"\n\n'
                "You sum up what you imagine:\n\n"
                '"{hypothesis}"\n\n'
                "Are you right?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "{hypothesis}\n\n"
                "Is that what is going on in an image with the caption below?\n\n"
                "{premise}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Caption: {premise}\n"
                "Guess: {hypothesis}\n\n"
                "Is the guess right? If the caption does not settle it, say that it is not "
                "possible to tell.\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Pictures on a website need a text for blind visitors, and that text must be "
                "true. The photographer's own note on a picture says:\n\n"
                "{premise}\n\n"
                "The text for blind visitors says:\n\n"
                "{hypothesis}\n\n"
                "Is this text true?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Two people looked at the same photo. The first, who never makes mistakes, "
                'said: "{premise}"\n\n'
                'The second said: "{hypothesis}"\n\n'
                "Was the second person right too?\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                'Judge a sentence about an image by the image\'s description: "yes" if the '
                'description makes the sentence certain, "no" if it rules the sentence out, '
                'and "it is not possible to tell" if things could be either way.\n\n'
                "Sentence: {hypothesis}\n"
                "Description: {premise}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Write one sentence about the people, animals or things in a photo. To the "
                "question whether your sentence is true, somebody who knows only the photo's "
                'caption should answer "{answer}".\n\n'
                "The caption: {premise}"
            ),
            "{hypothesis}",
        ),
    ),
}
