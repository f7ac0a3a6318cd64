"""Ten templates for each dataset of reading comprehension."""

TEMPLATES: dict[str, tuple[tuple[str, str], ...]] = {
    "bool_q": (
        (
            (
                "{text}\n\nAfter this passage, would you answer the following with yes or with "
                "no? {question}?\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                'The encyclopedia has an entry named "{title}":\n\n{text}\n\nA visitor to the '
                "library would like to know: {question}? What do you reply?\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Q: {question}?\n\nTo settle the matter, consult this extract.\n\n{text}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                'Somebody typed "{question}" into a search engine, and the page "{title}" came '
                "up. Read the page and give the answer in one word.\n\n{text}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Subject: {title}\nExtract: {text}\nTo be checked: {question}?\nResult:\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                'You have just read the text below when someone asks you, "{question}?" How do '
                "you respond?\n\nText: {text}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Yes or no, {question}? The information that you need is here:\n\n{text}\n\n"
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "You are a fact checker with a single source, a paragraph from the article "
                '"{title}":\n\n{text}\n\nYour colleague\'s query is this: {question}?\n\n'
                "{options_}"
            ),
            "{answer}",
        ),
        (
            (
                '{title}\n\n{text}\n\nOn a close reading, how must the question "{question}?" be '
                "answered?\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Keep to what the following lines say, even if you have heard otherwise.\n\n"
                "{text}\n\n{question}?\n\n{options_}"
            ),
            "{answer}",
        ),
    ),
    "drop": (
        (
            "{context}\n\nWork out the answer from the figures and names above: {question}",
            "{answer}",
        ),
        (
            (
                "The question about this text may take some adding, subtracting, counting or "
                "comparing.\n\nText: {context}\n\nQuestion: {question}"
            ),
            "{answer}",
        ),
        (
            (
                "{question}\n\nEverything that you need in order to find this out is in the "
                "report below. Reply with a number, a date or a few words from it.\n\n{context}"
            ),
            "{answer}",
        ),
        (
            (
                "A statistician is handed an account and a question about it. Give the "
                "statistician's answer, without the working.\n\nThe account: {context}\n\nThe "
                "question: {question}"
            ),
            "{answer}",
        ),
        (
            "Passage:\n{context}\n\nExercise: {question}\nResult:",
            "{answer}",
        ),
        (
            (
                "Go through the passage, put the relevant facts together, and tell me: {question}"
                "\n\n{context}"
            ),
            "{answer}",
        ),
        (
            (
                "A reader turns to you with a text and something to look up in it. Give a brief "
                "answer.\n\nThe reader's text: {context}\n\nTo be looked up: {question}"
            ),
            "{answer}",
        ),
        (
            "{context}\n\nThe answer is: {answer}\nWhat was the question?",
            "{question}",
        ),
        (
            (
                "Set an exercise on the passage, one that makes people count, calculate or look "
                "closely. It must have the solution given.\n\nPassage: {context}\n\nSolution: "
                "{answer}"
            ),
            "{question}",
        ),
        (
            (
                "Write a paragraph, full of facts and figures, from which a reader can find out "
                'that the answer to the question "{question}" is "{answer}".'
            ),
            "{context}",
        ),
    ),
    "multirc": (
        (
            (
                "Paragraph: {paragraph}\n\nQuestion: {question}\n\nA pupil wrote: {response}\n\n"
                "Should the teacher mark this as right?\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "{paragraph}\n\nSomeone asked about this text: {question}\nSomeone else replied: "
                "{response}\nIs the reply borne out by the text?\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Several answers to a question can be right at once, and you are to judge one of "
                "them. Does it agree with the paragraph?\n\nQuestion: {question}\nAnswer to "
                "judge: {response}\nParagraph: {paragraph}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "I was asked: {question}\nI put down: {response}\nDoes the passage prove me "
                "right?\n\n{paragraph}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "An item of a reading test has to be checked against its source.\n\nItem: "
                "{question}\nEntry in the answer key: {response}\nSource: {paragraph}\n\nIs the "
                "entry true?\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "{question}\n\nOne proposed answer is this: {response}\n\nMay it stand in the "
                "light of the following text?\n\n{paragraph}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Would a careful reader of these sentences accept what is said at the end?\n\n"
                "{paragraph}\n\n{question} {response}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "It is quiz night. The host has this paragraph in hand:\n\n{paragraph}\n\nThe "
                "host asks: {question}\nTable four calls out: {response}\n\nDoes table four get "
                "the point?\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Make up a candidate answer for a reading test.\n\nParagraph: {paragraph}\n"
                "Question: {question}\nIs the candidate to be correct? {answer}"
            ),
            "{response}",
        ),
        (
            (
                '{paragraph}\n\nA test on this text has "{response}" among the candidate answers '
                "to one of its questions. Is that candidate right? According to the key: {answer}"
                "\n\nReconstruct the question."
            ),
            "{question}",
        ),
    ),
    "openbookqa": (
        (
            (
                "Science fact: {fact}\n\nWith its help, answer the question or complete the "
                "sentence: {question}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            "{question}\n\nHere is a hint from the textbook: {fact}\n\n{options_}",
            "{answer}",
        ),
        (
            (
                "A pupil has just learnt the following: {fact}\n\nWhich box should the pupil "
                "tick now?\n\n{question}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Combine what the book says with what everybody knows.\n\nThe book: {fact}\nThe "
                "problem: {question}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "Starting from a general rule, decide a particular case.\n\nRule: {fact}\nCase: "
                "{question}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "You may look into your notes during this elementary science test, and there you "
                'find "{fact}". The next item reads as follows.\n\n{question}\n\nWhat do you '
                "choose?\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                'Four answers or endings are offered. The statement "{fact}" helps to find the '
                "one that fits.\n\n{question}\n\n{options_}"
            ),
            "{answer}",
        ),
        (
            (
                "{fact}\n\nThink of a school question that tests whether somebody can apply this "
                "piece of knowledge. The right choice has to be: {answer}"
            ),
            "{question}",
        ),
        (
            (
                'Which fact of elementary science makes "{answer}" the right choice here?\n\n'
                "{question}"
            ),
            "{fact}",
        ),
        (
            (
                'I am putting together a science quiz. I have got an answer, "{answer}", and the '
                'idea behind it, "{fact}". What is missing is the question, or the beginning of '
                "a sentence that the answer completes. Please write it."
            ),
            "{question}",
        ),
    ),
    "squad_v1": (
        (
            "{context}\n\nIn the very words of the text: {question}",
            "{answer}",
        ),
        (
            (
                'From the article "{title}":\n\n{context}\n\nFind the words that answer this: '
                "{question}"
            ),
            "{answer}",
        ),
        (
            (
                "A question has come in: {question}\n\nCopy out the name, number or phrase with "
                "which this paragraph answers it.\n\n{context}"
            ),
            "{answer}",
        ),
        (
            (
                'I am reading the article "{title}" and have got as far as this paragraph:\n\n'
                "{context}\n\nNow I should like to know: {question}"
            ),
            "{answer}",
        ),
        (
            (
                "Topic: {title}\nQuestion: {question}\nParagraph: {context}\n\nWhich part of the "
                "paragraph would a teacher underline as the answer?"
            ),
            "{answer}",
        ),
        (
            "Be brief: {question}\n\nYour source is this:\n\n{context}",
            "{answer}",
        ),
        (
            (
                "Source: {context}\nQuery: {question}\nShortest stretch of the source that "
                "answers the query:"
            ),
            "{answer}",
        ),
        (
            (
                "Extract a short answer. It stands, word for word, somewhere in here.\n\n"
                "{context}\n\nWhat has to be answered is this: {question}"
            ),
            "{answer}",
        ),
        (
            (
                "Article: {title}\n\n{context}\n\nThink of a question about this text to which "
                'the answer is "{answer}".'
            ),
            "{question}",
        ),
        (
            (
                'Draft a paragraph for an encyclopedia article with the title "{title}". '
                'Somebody who asks "{question}" has to find the answer, "{answer}", in it.'
            ),
            "{context}",
        ),
    ),
    "squad_v2": (
        (
            (
                "{context}\n\n{question}\n\nIf the text above does not say, your answer is the "
                'word "unanswerable".'
            ),
            "{answer}",
        ),
        (
            (
                "Careful, this may be a trick: the paragraph does not always hold the answer. "
                'Where it does not, write "unanswerable".\n\nParagraph: {context}\n\nQuestion: '
                "{question}"
            ),
            "{answer}",
        ),
        (
            (
                '{question}\n\nDoes this part of the article "{title}" tell us? Quote the answer '
                'from it, or say "unanswerable".\n\n{context}'
            ),
            "{answer}",
        ),
        (
            (
                "Title: {title}\nText: {context}\nQuestion: {question}\nAnswer (a few words of "
                'the text, or "unanswerable" if it has none):'
            ),
            "{answer}",
        ),
        (
            (
                "A chatbot must not make things up. All that it knows are these lines:\n\n"
                "{context}\n\nIt has to reply to users with a phrase from the lines or, failing "
                'that, with "unanswerable". What does it reply to this user?\n\n{question}'
            ),
            "{answer}",
        ),
        (
            (
                'Look for the answer to "{question}" in the passage. Should you look in vain, '
                'put "unanswerable".\n\n{context}'
            ),
            "{answer}",
        ),
        (
            (
                "You win a point for the right words from the text or, when the text leaves the "
                'question open, for "unanswerable". You lose a point for guessing.\n\nThe text: '
                "{context}\n\nThe question: {question}"
            ),
            "{answer}",
        ),
        (
            (
                "Write down either the exact phrase that answers the question or the single word "
                '"unanswerable", whichever the passage calls for.\n\n{question}\n\n{context}'
            ),
            "{answer}",
        ),
        (
            (
                'My homework sheet has a text headed "{title}":\n\n{context}\n\nThen it asks: '
                '{question}\n\nI am supposed to enter "unanswerable" if the sheet does not give '
                "the answer. What do I enter?"
            ),
            "{answer}",
        ),
        (
            (
                "Only the document below may be used. Where it is silent on the point, "
                '"unanswerable" is the correct response; otherwise take the response from it.\n\n'
                "Request: {question}\n\nDocument: {context}"
            ),
            "{answer}",
        ),
    ),
}
