"""Ten templates for each dataset of summarization."""

TEMPLATES: dict[str, tuple[tuple[str, str], ...]] = {
    "aeslc": (
        ("Someone forgot the subject line of this e-mail. Supply one.\n\n{body}", "{subject}"),
        (
            "{body}\n\nIn a few words, what should stand in the subject field of the e-mail above?",
            "{subject}",
        ),
        ("E-mail:\n{body}\n\nSubject:", "{subject}"),
        (
            "You are about to send this message to a colleague:\n\n{body}\n\n"
            "Type the subject under which it will show in the inbox.",
            "{subject}",
        ),
        (
            "Give the message below a subject that is short enough for a list of mails and "
            "specific enough to be found again.\n\n{body}",
            "{subject}",
        ),
        (
            "Message body:\n{body}\n\n"
            "Mail without a subject often goes unread. Which subject fits this one?",
            "{subject}",
        ),
        (
            "An assistant goes through an executive's mail and adds subjects where they are "
            "missing. The next message reads:\n\n{body}\n\nWhat does the assistant add?",
            "{subject}",
        ),
        (
            "Name the matter that this e-mail deals with, as its subject line would.\n\n{body}",
            "{subject}",
        ),
        ('Write the body of an office e-mail whose subject is "{subject}".', "{body}"),
        ("Subject: {subject}\n\nDraft the message that goes with this subject.", "{body}"),
    ),
    "cnn_dailymail": (
        (
            "A reader has half a minute for this news story. Give the highlights, one to a line."
            "\n\n{text}",
            "{highlights}",
        ),
        (
            "{text}\n\nBoil this report down to the few facts that an editor would list beside it.",
            "{highlights}",
        ),
        ("News story:\n{text}\n\nThe story at a glance, point by point:", "{highlights}"),
        (
            "Editors put a short list of highlights on top of every story on their site. "
            "Write that list for the story that follows.\n\n{text}",
            "{highlights}",
        ),
        (
            "What happened, to whom, and what came of it? Answer from this article in a few "
            "brief sentences, each on a line of its own.\n\n{text}",
            "{highlights}",
        ),
        (
            "{text}\n\nThe home page has room for only a handful of lines about the piece above. "
            "What should they say?",
            "{highlights}",
        ),
        (
            "Reduce this piece of journalism to short statements, one below the other:\n\n{text}",
            "{highlights}",
        ),
        (
            "These are the highlights of a news story:\n{highlights}\n\nWrite the story in full.",
            "{text}",
        ),
        (
            "{highlights}\n\nA correspondent got only these key points through before the line "
            "went dead. Rebuild the whole article.",
            "{text}",
        ),
        (
            "Turn the following points into a complete newspaper article with names, quotations "
            "and background.\n\n{highlights}",
            "{text}",
        ),
    ),
    "gigaword": (
        (
            "Write a headline, in lower case, for the news item that opens with this sentence:\n"
            "{text}",
            "{summary}",
        ),
        (
            "{text}\n\nA wire service wants this sentence as a headline. What does it print?",
            "{summary}",
        ),
        ("opening sentence: {text}\nheadline:", "{summary}"),
        (
            "Shorten the sentence below until it could run above a newspaper column.\n\n{text}",
            "{summary}",
        ),
        (
            '"{text}"\n\nWhich headline would you set over a report that starts like this?',
            "{summary}",
        ),
        (
            "Keep who did what and drop the rest, so that this lead becomes a headline:\n\n{text}",
            "{summary}",
        ),
        (
            "The teleprinter has just delivered this line:\n{text}\n\n"
            "Call the news across the room in the clipped style of headlines.",
            "{summary}",
        ),
        (
            "How would a copy editor compress this beginning of a report into a title of a few "
            "words?\n{text}",
            "{summary}",
        ),
        (
            "headline: {summary}\n\nWrite the first sentence of the report beneath it, "
            "in lower case.",
            "{text}",
        ),
        ('A news agency ran an item as "{summary}". How did the item begin?', "{text}"),
    ),
    "multi_news": (
        (
            "Several outlets have covered the same event. Merge their reports, given below, "
            "into one summary.\n\n{text}",
            "{summary}",
        ),
        (
            "Read these articles and write a briefing on what they tell together.\n\n{text}",
            "{summary}",
        ),
        (
            "{text}\n\nThat was the coverage in different newspapers. Tell the whole story in one "
            "coherent account that says nothing twice.",
            "{summary}",
        ),
        ("Press review\n\nSources:\n{text}\n\nDigest of all sources:", "{summary}"),
        (
            "Your editor hands you a pile of clippings on one topic and wants a single summary "
            "of them by noon. The clippings:\n\n{text}",
            "{summary}",
        ),
        (
            "What do the following reports say between them? Sum them up for a person who has "
            "read none of them.\n\n{text}",
            "{summary}",
        ),
        (
            "Below, one article follows another. Pick out what matters in each and combine it "
            "into an account of the news.\n\n{text}",
            "{summary}",
        ),
        ("{text}\n\nWrite a news roundup from the articles above.", "{summary}"),
        (
            "Here is a summary that an editor made of several news articles:\n\n{summary}\n\n"
            "Reconstruct the articles, one after another.",
            "{text}",
        ),
        (
            "Imagine how different newspapers covered the events below, and write out their "
            "articles in turn.\n\n{summary}",
            "{text}",
        ),
    ),
    "newsroom": (
        (
            "{title}\n\n{text}\n\nSay in a sentence or two what a reader learns from this article.",
            "{summary}",
        ),
        (
            "Write the teaser that a search engine would show for this page.\n\n"
            "Title: {title}\n\n{text}",
            "{summary}",
        ),
        ("Article:\n{text}\n\nBlurb for the section page:", "{summary}"),
        (
            'An article headed "{title}" is going online and still lacks a description for '
            "readers who share it. Write the description.\n\n{text}",
            "{summary}",
        ),
        ("Capture the gist of this article in as little space as you can:\n\n{text}", "{summary}"),
        ("Headline: {title}\n\nFull text:\n{text}\n\nStandfirst:", "{summary}"),
        (
            '{text}\n\nWhat would you write below the title "{title}" to tell readers what the '
            "article above is about?",
            "{summary}",
        ),
        (
            "Title: {title}\nDescription: {summary}\n\nWrite the article that they belong to.",
            "{text}",
        ),
        (
            "A news site describes one of its articles like this:\n{summary}\n\n"
            "What could the article be called?",
            "{title}",
        ),
        (
            "{text}\n\nThe editors summed up the article above in these words:\n{summary}\n\n"
            "Find a title for it.",
            "{title}",
        ),
    ),
    "samsum": (
        (
            "{dialogue}\n\nA friend missed this chat. "
            "Tell them in a sentence or two what was said.",
            "{summary}",
        ),
        (
            "Report the conversation below in the third person, naming those who take part."
            "\n\n{dialogue}",
            "{summary}",
        ),
        ("Chat log:\n{dialogue}\n\nIn brief:", "{summary}"),
        (
            "Who wants what, and what do they agree on? Sum up this exchange of messages."
            "\n\n{dialogue}",
            "{summary}",
        ),
        (
            "While one member of the chat was offline, the others wrote this:\n\n{dialogue}\n\n"
            "What is there to catch up on?",
            "{summary}",
        ),
        (
            "Retell these text messages as a short note, without quoting anyone.\n\n{dialogue}",
            "{summary}",
        ),
        (
            "{dialogue}\n\nLeave out the greetings and small talk of this conversation and state "
            "only what an outsider has to know.",
            "{summary}",
        ),
        ("Write the chat that this note reports:\n{summary}", "{dialogue}"),
        (
            "{summary}\n\nScript this as messages, each on a line that starts with the sender's "
            "name.",
            "{dialogue}",
        ),
        (
            "Invent a casual messenger conversation that could be summed up like this:"
            "\n\n{summary}",
            "{dialogue}",
        ),
    ),
    "xsum": (
        ("{text}\n\nPut the point of this BBC report into a single sentence.", "{summary}"),
        ("Write the one sentence that could introduce this article.\n\n{text}", "{summary}"),
        (
            "If you could tell a friend only one sentence about the following news, what would "
            "you say?\n\n{text}",
            "{summary}",
        ),
        (
            "The first sentence of this report, which sums up the rest, has been lost. Restore it."
            "\n\n{text}",
            "{summary}",
        ),
        ("Report:\n{text}\n\nThe same in one sentence:", "{summary}"),
        (
            "A news app sends alerts of one sentence. Word the alert for this story:\n\n{text}",
            "{summary}",
        ),
        (
            "{text}\n\nState in one full sentence what the article above is about, without going "
            "into its details.",
            "{summary}",
        ),
        (
            "A radio announcer reads out one sentence for each story of the hour. "
            "Which sentence goes with this one?\n\n{text}",
            "{summary}",
        ),
        (
            "{summary}\n\nThat is how a news report opens. Write the rest of the report.",
            "{text}",
        ),
        (
            "All of an article has been squeezed into this sentence:\n{summary}\n\n"
            "Unfold it into the article again.",
            "{text}",
        ),
    ),
    "ag_news_subset": (
        (
            "{title}\n{text}\n\nIn which section of a newspaper does this item belong?"
            "\n\n{options_}",
            "{answer}",
        ),
        (
            "Sort this item from a news feed by topic.\n\nTitle: {title}\nDescription: {text}"
            "\n\n{options_}",
            "{answer}",
        ),
        (
            "A reader follows one topic only. Which topic must that be for the story "
            '"{title}" to reach them?\n\n{text}\n\n{options_}',
            "{answer}",
        ),
        ("{text}\n\nWhat sort of news is this?\n\n{options_}", "{answer}"),
        (
            'Here is a clipping headed "{title}":\n{text}\n\n'
            "Under which of these labels should the archive file it?\n\n{options_}",
            "{answer}",
        ),
        (
            "The wire carries a new story:\n{title}\n{text}\n\nWhich desk should take it?"
            "\n\n{options_}",
            "{answer}",
        ),
        (
            "Judge from the headline and the first lines whether this is about world affairs, "
            "sport, business, or science and technology.\n\n"
            "Headline: {title}\nFirst lines: {text}\n\n{options_}",
            "{answer}",
        ),
        (
            "Choose the one tag that an aggregator should give this post.\n\n{title}\n\n{text}"
            "\n\n{options_}",
            "{answer}",
        ),
        (
            "The item below is from the section {answer}. Think of a title for it.\n\n{text}",
            "{title}",
        ),
        (
            'A news feed lists "{title}" under {answer}. '
            "Write the description that goes with this title.",
            "{text}",
        ),
    ),
    "opinion_abstracts_idebate": (
        (
            'In the debate "{debate_name}" one side says:\n{argument_sentences}\n\n'
            "What claim do these sentences support?",
            "{claim}",
        ),
        (
            "{argument_sentences}\n\n"
            "State in one sentence the point that a speaker with these arguments wants to make.",
            "{claim}",
        ),
        (
            "Debate: {debate_name}\n\nArguments:\n{argument_sentences}\n\nClaim:",
            "{claim}",
        ),
        (
            "You keep the minutes of a debating club. Tonight's debate: {debate_name}\n\n"
            "A speaker has argued:\n{argument_sentences}\n\n"
            "Enter the speaker's main claim in the minutes.",
            "{claim}",
        ),
        (
            "The numbered sentences below argue for one and the same thesis. Which one?"
            "\n\n{argument_sentences}",
            "{claim}",
        ),
        (
            'Compress this line of argument from the debate "{debate_name}" into a claim.'
            "\n\n{argument_sentences}",
            "{claim}",
        ),
        (
            'When "{debate_name}" is debated, someone puts forward all of the following. '
            "What do they hold to be true?\n\n{argument_sentences}",
            "{claim}",
        ),
        (
            'Prepare a debater for "{debate_name}": make a numbered list of sentences that back '
            "this claim.\n\nClaim: {claim}",
            "{argument_sentences}",
        ),
        (
            "{claim}\n\nName a debate in which this claim could have been made.",
            "{debate_name}",
        ),
        (
            "Claim: {claim}\n\nArguments for it:\n{argument_sentences}\n\n"
            "Under what title was this debated?",
            "{debate_name}",
        ),
    ),
    "opinion_abstracts_rotten_tomatoes": (
        (
            'Critics wrote about "{movie}":\n{numbered_reviews}\n\n'
            "On what do they agree? Answer in a sentence or two.",
            "{critic_consensus}",
        ),
        (
            "Distil these reviews of {movie} into the verdict that most critics share."
            "\n\n{numbered_reviews}",
            "{critic_consensus}",
        ),
        (
            "{numbered_reviews}\n\n"
            "These snippets are all about one film. Write the critics' consensus.",
            "{critic_consensus}",
        ),
        (
            "Film: {movie}\n\nReviews:\n{numbered_reviews}\n\nConsensus:",
            "{critic_consensus}",
        ),
        (
            "A film guide gives the overall opinion of the press on each film, praise and blame "
            "alike. Write what it says about {movie} from these reviews.\n\n{numbered_reviews}",
            "{critic_consensus}",
        ),
        (
            'Is "{movie}" worth a ticket? Sum up how the reviewers below feel about it and why.'
            "\n\n{numbered_reviews}",
            "{critic_consensus}",
        ),
        (
            "{numbered_reviews}\n\nIf all these reviewers of {movie} had to sign one short "
            "statement, what would it say?",
            "{critic_consensus}",
        ),
        (
            "What critics in general think of {movie}:\n{critic_consensus}\n\n"
            "Write a line that could stand in one of their reviews.",
            "{first_review}",
        ),
        (
            "{critic_consensus}\n\nMake up a numbered list of excerpts from reviews that would "
            'lead to this judgement of "{movie}".',
            "{numbered_reviews}",
        ),
        (
            "A critic has just seen the film of which the press says this:\n\n{critic_consensus}"
            "\n\nWhat does the critic write about it?",
            "{first_review}",
        ),
    ),
    "wiki_lingua_english_en": (
        (
            "This guide explains step by step how something is done. List its steps in brief."
            "\n\n{source}",
            "{target}",
        ),
        ("{source}\n\nSo what does one have to do, in short?", "{target}"),
        (
            "Shorten this advice so that it fits on an index card, with one short sentence for "
            "each step:\n\n{source}",
            "{target}",
        ),
        ("How-to article:\n{source}\n\nThe steps without the explanations:", "{target}"),
        (
            "A reader in a hurry wants to know only what to do, not why. "
            "Cut the following down to that.\n\n{source}",
            "{target}",
        ),
        (
            "Reduce each stage of this procedure to a short command.\n\n{source}",
            "{target}",
        ),
        (
            "{source}\n\nWrite the checklist that the author of this tutorial could put at its "
            "end.",
            "{target}",
        ),
        (
            "Find the bare instructions that the text below elaborates on.\n\n{source}",
            "{target}",
        ),
        (
            "The outline of a how-to article reads:\n{target}\n\n"
            "Write the article, explaining every step.",
            "{source}",
        ),
        (
            "{target}\n\nThese instructions are too terse for a beginner. "
            "Expand on them with reasons, tips and details.",
            "{source}",
        ),
    ),
}
