"""Ten templates for each of the miscellaneous datasets."""

TEMPLATES: dict[str, tuple[tuple[str, str], ...]] = {
    "coqa": (
        (
            "{text}\n\nTwo people are talking about this passage. One of them asks, one after "
            "another:\n\n{numbered_questions}\n\nGive the other one's replies, numbered in the "
            "same way.",
            "{numbered_answers}",
        ),
        (
            "Read the passage first, then answer each question in turn with a few words.\n\n"
            "Passage:\n{text}\n\nQuestions:\n{numbered_questions}",
            "{numbered_answers}",
        ),
        (
            "Please work through the list of questions below. Later ones may refer back to "
            "earlier ones; everything you need is in the text.\n\n{numbered_questions}\n\nText:\n"
            "{text}",
            "{numbered_answers}",
        ),
        (
            "{numbered_questions}\n\nReply to all of the above, one numbered line each, with the "
            "help of what follows.\n\n{text}",
            "{numbered_answers}",
        ),
        (
            "A curious child has had this read aloud:\n\n{text}\n\nNow the questions come:\n\n"
            "{numbered_questions}\n\nWhat are the right answers?",
            "{numbered_answers}",
        ),
        (
            "Document:\n{text}\n\nMessages from a reader of the document, in order:\n"
            "{numbered_questions}\n\nYour short replies, in the same order:",
            "{numbered_answers}",
        ),
        (
            "How would you respond to each of these questions if all you knew was the text after "
            "them?\n\n{numbered_questions}\n\n{text}",
            "{numbered_answers}",
        ),
        (
            "Fill in the answer sheet of a reading test. This is the reading:\n\n{text}\n\nThis "
            "is what the test asks:\n\n{numbered_questions}\n\nAnswer sheet:",
            "{numbered_answers}",
        ),
        (
            "{text}\n\n{numbered_questions}\n\nTake the numbered questions about this text as one "
            "conversation and answer every one of them as briefly as you can.",
            "{numbered_answers}",
        ),
        (
            "{text}\n\nIn a conversation about this text somebody gave the following answers:\n\n"
            "{numbered_answers}\n\nWrite the list of questions that were asked, with the same "
            "numbers.",
            "{numbered_questions}",
        ),
    ),
    "quac": (
        (
            "Article: {title}\nIntroduction: {background}\nSection: {context}\nQuestion: "
            "{question}\nAnswer, in the words of the section:",
            "{answer}",
        ),
        (
            "Here is part of an encyclopedia article on {title}.\n\n{context}\n\nA student wants "
            "to know: {question}\nReply by quoting the words that answer it.",
            "{answer}",
        ),
        (
            "{question}\n\nLook for the answer in the following text about {title} and copy it "
            "out.\n\n{context}",
            "{answer}",
        ),
        (
            "I have been reading about {title}. The article opens like this:\n\n{background}\n\n"
            "Further down it says:\n\n{context}\n\nWhich words of that last part answer my "
            "question? {question}",
            "{answer}",
        ),
        (
            "You are the teacher in a dialogue on {title}. Only you can see this text:\n\n"
            '{context}\n\nYour student asks, "{question}"\n\nWhat do you say, keeping to the '
            "text's own wording?",
            "{answer}",
        ),
        (
            'Which stretch of the text below settles the question "{question}"?\n\nTopic: '
            "{title}\n\n{context}",
            "{answer}",
        ),
        (
            "{context}\n\nThe lines above are from a page about {title}. Extract whatever "
            "responds best to this: {question}",
            "{answer}",
        ),
        (
            "You are on the radio, speaking about {title}, with two sheets of notes.\n\nSheet 1:\n"
            "{background}\n\nSheet 2:\n{context}\n\nThe host asks: {question}\nThe answer is on "
            "sheet 2. What do you read out?",
            "{answer}",
        ),
        (
            "{context}\n\nSomebody who was curious about {title} was given this reply, taken from "
            "the text above, or CANNOTANSWER if it does not say:\n\n{answer}\n\nWhat had they "
            "asked?",
            "{question}",
        ),
        (
            "You are setting a quiz on {title}. The solution to one item is already fixed:\n\n"
            "{answer}\n\nIt is taken from this section, or is CANNOTANSWER where the section "
            "leaves the item open:\n\n{context}\n\nWrite the question.",
            "{question}",
        ),
    ),
    "wic": (
        (
            'The word "{word}" appears, in one form or another, in both of these sentences:\n\n- '
            "{sentence1}\n- {sentence2}\n\nWhat can be said of its two uses? They have\n\n"
            "{options_}",
            "{answer}",
        ),
        (
            'You are sorting example sentences for the dictionary entry "{word}".\n\nFirst '
            "example: {sentence1}\nSecond example: {sentence2}\n\nWhat do the examples "
            "illustrate, different meanings or the same meaning?\n\n{options_}",
            "{answer}",
        ),
        (
            'Compare how "{word}" is used here: {sentence1}\nAnd here: {sentence2}\nFrom one '
            "line to the other, what do you find?\n\n{options_}",
            "{answer}",
        ),
        (
            'Complete the remark. In "{sentence1}" and "{sentence2}" the word "{word}" is used '
            "with\n\n{options_}",
            "{answer}",
        ),
        (
            "Word: {word}\nContext A: {sentence1}\nContext B: {sentence2}\nContexts A and B give "
            "the word\n\n{options_}",
            "{answer}",
        ),
        (
            'A learner of English has come across "{word}" twice today:\n\n{sentence1}\n\n'
            "{sentence2}\n\nWhat should the learner write down about the two occurrences?\n\n"
            "{options_}",
            "{answer}",
        ),
        (
            'What would a careful translator see in "{word}" on reading the lines below?\n\n1. '
            "{sentence1}\n2. {sentence2}\n\n{options_}",
            "{answer}",
        ),
        (
            'Read this and settle what "{word}" means in it: {sentence1}\nNow do so for this: '
            "{sentence2}\nWhat have you arrived at?\n\n{options_}",
            "{answer}",
        ),
        (
            '{sentence1}\n{sentence2}\n\nMany words are ambiguous. As for "{word}" in the lines '
            "above, decide between different meanings and the same meaning.\n\n{options_}",
            "{answer}",
        ),
        (
            'Which is it: two senses of "{word}", or one sense twice over? Choose the description '
            "that fits these sentences.\n\n{sentence1}\n{sentence2}\n\n{options_}",
            "{answer}",
        ),
    ),
    "trec": (
        ("What is the question below asking for?\n\n{text}\n\n{options_}", "{answer}"),
        (
            "{text}\n\nBefore you look up the answer, decide which category it must belong to.\n\n"
            "{options_}",
            "{answer}",
        ),
        (
            "A search engine sorts the questions that it receives by the kind of thing that would "
            "answer them. Sort this one: {text}\n\n{options_}",
            "{answer}",
        ),
        (
            'Somebody asks you, "{text}"\n\nWhat type of reply do they expect?\n\n{options_}',
            "{answer}",
        ),
        ("Question: {text}\nExpected type of answer:\n\n{options_}", "{answer}"),
        (
            "On quiz night, this comes up: {text}\nYou need not know the answer. Just name the "
            "class of answers that would count.\n\n{options_}",
            "{answer}",
        ),
        (
            "Should the reply to the next question be a place, a person, a number, some other "
            "thing, an explanation, or a short form or what it stands for? Give the label that "
            "matches.\n\n{text}\n\n{options_}",
            "{answer}",
        ),
        (
            "A library's help desk has six drawers for incoming questions, labelled by what the "
            "answers will be. Into which drawer does this one go?\n\n{text}\n\n{options_}",
            "{answer}",
        ),
        (
            'To satisfy someone who wonders "{text}" one has to come up with something of a '
            "certain kind. Which kind?\n\n{options_}",
            "{answer}",
        ),
        (
            "Trivia cards are grouped by the kind of answer that they call for. Write a question "
            'for the group labelled "{answer}".',
            "{text}",
        ),
    ),
    "cola": (
        (
            "Would a native speaker of English call this sentence acceptable or unacceptable?\n\n"
            "{sentence}\n\n{options_}",
            "{answer}",
        ),
        (
            "{sentence}\n\nAs far as grammar is concerned, the sentence above is\n\n{options_}",
            "{answer}",
        ),
        (
            "You are marking exercises for an English class. A pupil has written:\n\n"
            "{sentence}\n\nWhat is your verdict on the grammar?\n\n{options_}",
            "{answer}",
        ),
        (
            "Linguists put an asterisk in front of sentences that break the rules of English. How "
            "would they judge the following one?\n\n{sentence}\n\n{options_}",
            "{answer}",
        ),
        ("Sentence: {sentence}\nGrammaticality:\n\n{options_}", "{answer}"),
        (
            "Never mind whether it is true or elegant. As a piece of English grammar, how do you "
            "rate this? {sentence}\n\n{options_}",
            "{answer}",
        ),
        (
            "A proofreader lets well-formed sentences pass and stops the faulty ones. Choose the "
            "stamp that this one gets: {sentence}\n\n{options_}",
            "{answer}",
        ),
        (
            "Say this aloud and listen for anything ungrammatical: a missing word, a wrong form, "
            "an impossible order.\n\n{sentence}\n\nYour judgement:\n\n{options_}",
            "{answer}",
        ),
        (
            "For a grammar test I need one English sentence that experts would consider {answer}.",
            "{sentence}",
        ),
        (
            "We are collecting short English sentences, some well formed and some not, each with "
            'a judgement of its grammar. Add one whose judgement is "{answer}".',
            "{sentence}",
        ),
    ),
    "math_dataset": (
        ("{question}\nState the value of the unknown and nothing more.", "{answer}"),
        (
            "Here is an exercise from a chapter on linear equations.\n\n{question}\n\nWhat is the "
            "result?",
            "{answer}",
        ),
        (
            "I am stuck on my algebra homework. One of the tasks says:\n\n{question}\n\nWhat "
            "should I get?",
            "{answer}",
        ),
        ("Exercise: {question}\nSolution:", "{answer}"),
        (
            "Gather the terms with the variable on one side and the constants on the other, then "
            "divide. Report the final number only.\n\n{question}",
            "{answer}",
        ),
        (
            'A pupil at the blackboard is told, "{question}"\n\nWhich number should the pupil end '
            "up with?",
            "{answer}",
        ),
        ("For which number does the equation in this task hold?\n\n{question}", "{answer}"),
        (
            "{question}\n\nBe careful with the signs. I do not need the working, just the answer.",
            "{answer}",
        ),
        (
            "I am compiling the answer key of a mathematics test. What belongs in it for the "
            "problem below?\n\n{question}",
            "{answer}",
        ),
        (
            "Imagine a pocket calculator that can handle one unknown. Someone keys in:\n\n"
            "{question}\n\nWhat does the display show?",
            "{answer}",
        ),
    ),
    "true_case": (
        (
            "{lower}\n\nRewrite the text above with capital letters wherever English spelling "
            "asks for them.",
            "{answer}",
        ),
        (
            "The shift key of my keyboard is broken, so everything I type comes out in small "
            "letters. Correct this for me: {lower}",
            "{answer}",
        ),
        (
            "Somebody ran a whole web page through a filter that lowercased it. Undo the damage "
            "in this part:\n\n{lower}",
            "{answer}",
        ),
        ("All lower case: {lower}\nWith proper capitals:", "{answer}"),
        (
            "Which letters should be upper case here? Show it by writing the text out "
            "correctly.\n\n{lower}",
            "{answer}",
        ),
        (
            "Names, abbreviations and beginnings of sentences have lost their capitals in the "
            "following. Give them back, and change nothing else.\n\n{lower}",
            "{answer}",
        ),
        ("Capitalize as a copy editor would: {lower}", "{answer}"),
        (
            "A speech recognizer produced this transcript, without a single capital:\n\n"
            "{lower}\n\nWhat should the transcript look like once the capitals are in?",
            "{answer}",
        ),
        (
            "{lower}\n\nHow would someone who uses capital letters properly have typed this?",
            "{answer}",
        ),
        ("Convert every letter of the following text to lower case.\n\n{answer}", "{lower}"),
    ),
    "fix_punct": (
        ("{no_punct}\n\nPut in the punctuation that is missing.", "{answer}"),
        (
            "The commas, full stops and other marks have been stripped from this text. Write it "
            "as it was before.\n\n{no_punct}",
            "{answer}",
        ),
        ("Without punctuation: {no_punct}\nWith punctuation:", "{answer}"),
        (
            "Where do the punctuation marks go in the following? Copy it out with all of them in "
            "place.\n\n{no_punct}",
            "{answer}",
        ),
        (
            "My colleague never bothers with commas or full stops. Make this note readable, but "
            "leave the words alone:\n\n{no_punct}",
            "{answer}",
        ),
        (
            "You are the last person to check a web page before it goes online. In one line "
            "somebody has forgotten all punctuation; repair it.\n\n{no_punct}",
            "{answer}",
        ),
        (
            "I dictated something, and only the words came through: {no_punct}\n\nPlease type it "
            "as it ought to be punctuated.",
            "{answer}",
        ),
        (
            "Keep every word, in its order, and add nothing but marks such as . , ; : ? ! ' where "
            "they belong.\n\n{no_punct}",
            "{answer}",
        ),
        ("Can you punctuate this? {no_punct}", "{answer}"),
        (
            "An English teacher hands out texts with no punctuation, and the class has to supply "
            "it. What is the right solution for this one?\n\n{no_punct}",
            "{answer}",
        ),
    ),
    "word_segment": (
        ("{no_space}\n\nMy space bar is out of order. What was I trying to type?", "{answer}"),
        ("Put spaces between the words of this line: {no_space}", "{answer}"),
        ("Run together: {no_space}\nProperly spaced:", "{answer}"),
        (
            "A faulty export to PDF has glued all the words to one another. Separate them "
            "again.\n\n{no_space}",
            "{answer}",
        ),
        (
            "Where does one word end and the next begin? Write the following with normal "
            "spacing.\n\n{no_space}",
            "{answer}",
        ),
        (
            "The string below is English text from the web with all its blanks removed. Recover "
            "the text, and leave letters and punctuation untouched.\n\n{no_space}",
            "{answer}",
        ),
        (
            "Ancient scribes often left no gaps between words. Someone has done the same to this "
            "modern line; transcribe it for today's readers.\n\n{no_space}",
            "{answer}",
        ),
        ("How should this be split into words?\n\n{no_space}", "{answer}"),
        ("Delete every space from the text below.\n\n{answer}", "{no_space}"),
        (
            "{answer}\n\nWhat do you get if you write all of that as one string, without gaps?",
            "{no_space}",
        ),
    ),
}
