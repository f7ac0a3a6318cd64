"""A small grammar of instructions, inputs and outputs: English in form, without meaning.

`{name}` in a phrase stands for one of the phrases of that name.
"""

import random
import re


def expand(phrase: str, rng: random.Random) -> str:
    """Replaces every {name} in a phrase by a random phrase of that name, until none is left."""
    while "{" in phrase:
        phrase = re.sub(r"\{(\w+)\}", lambda name: rng.choice(GRAMMAR[name[1]]), phrase, count=1)
    return phrase


def sentence(name: str, rng: random.Random) -> str:
    """A random phrase of that name, expanded; each sentence begins with a capital."""
    text = expand(f"{{{name}}}", rng)
    return re.sub(r"(^|[.?] )([^\W\d_])", lambda start: start[1] + start[2].upper(), text)


def _phrases(text: str) -> list[str]:
    """The phrases in a text: one a line, or several on a line with ` | ` between them."""
    return [phrase.strip() for phrase in re.split(r"\n| \| ", text) if phrase.strip()]


GRAMMAR = {
    "instruction": _phrases("""
        {frame} | {frame} {rule}. | {frame} {rule}. | {frame} {rule}. {rule}. | {setting} {frame}
        {setting} {frame} {rule}.
    """),
    "setting": _phrases("""
        {event}. | {event}, and {event}. | {audience} asked about {topic}. | My {relative} {need}.
        You are {role}. | You are {role}, and {event}. | Imagine that {event}.
        I know {role} who {need}.
        Think of {topic} as {role} would. | It is {occasion}, and {event}. | I read about {topic}.
    """),
    "frame": _phrases("""
        {make} {form} about {topic}. | {make} {form} on {topic} for {audience}.
        {make} {form} in which {event}. | {make} {form} for somebody who {need}.
        {make} {form} that {purpose}. | {make} {form} on {topic}, {manner}.
        {make} {form} that {purpose}, with {given} in it.
        {edit} the following {text} so that {goal}. | {edit} this {text} about {topic}, {manner}.
        {edit} the {text} below for {audience}, who will read it during {occasion}.
        {edit} the given {text} {manner}, and then {extra}.
        Given {given}, {derive}. | Given {given} and {given}, {derive}.
        Here is {given}; {derive}, and {extra}. | Using {given} from {place}, {derive}.
        What would {role} say about {topic}?
        What does {role} need to know about {topic} before {occasion}?
        How could more knowledge of {topic} help {audience}?
        How would you explain {topic} to {audience}?
        Which question about {topic} is hardest for {audience}, and why?
        {explain} {topic} for {audience}, {manner}. | {explain} the part of {topic} in {occasion}.
        {explain} {topic} with an example from {place}. | {explain} {topic} to {role} who {need}.
        {compare} {topic} and {topic} in terms of {aspect}.
        {compare} {given} and {given} by {aspect}.
        Suggest {number} {things} for {audience}.
        Suggest {number} {things} for {occasion} in {place}.
        Name {number} {things} connected with {topic}, {manner}.
        A friend {need}. Recommend {number} {things}. | My {relative} {need}; {extra}.
        Plan {occasion} around {topic} for {role} who {need}.
        Find {number} mistakes in the {text} below and {extra}.
        Answer the question below on {topic}, {manner}.
        Continue the following {text} until {event}. | Turn this {text} into {form} that {purpose}.
        If {event}, {extra}. | Interview {role} about {topic}: {number} questions, please.
    """),
    "classification": _phrases("""
        {question} | {question} | {question} {rule}. | {question} {rule}.
    """),
    "question": _phrases("""
        Decide whether the {text} below is {label} or {label}, from the point of view of {role}.
        Classify the following {text} about {topic} by {aspect}: {label}, {label} or {label}.
        Is this {text} about {topic} or about {topic}?
        Which {aspect} does the given {text} on {topic} show?
        Label each {text} from {audience} as {label}, {label} or {label}.
        Classify {given} from {place} as {label} or {label}, as {role} would.
        Tell if the {text} was meant for {audience} or for {audience}.
        Choose the category of this {text} among {topic}, {topic} and {topic}.
        Decide if someone who wrote the following {text} during {occasion} {need}.
        True or false: the {text} below says that {event}.
    """),
    "place": _phrases("""
        Brazil | the Scottish Highlands | Lagos | a fishing village | Kyoto | the Alps | outer space
        ancient Rome | Silicon Valley | a small island | Mumbai | the desert | Quebec | a suburb
        the Arctic | Istanbul | New Zealand | a monastery | Berlin | the Amazon basin | rural Kenya
        a shopping mall | Hanoi | the seaside | a prison | Buenos Aires | the trenches | a submarine
    """),
    "topic": _phrases("""
        {subject} | {subject} | {subject} in {place} | the {facet} of {subject}
    """),
    "facet": _phrases("""
        history | economics | future | ethics | physics | vocabulary | dangers | beauty | paradoxes
        early days | hidden costs | etiquette | psychology | benefits | decline | mathematics
        smell
        regulation | myths | greatest failures | science | rhythm | environmental footprint | joys
    """),
    "make": _phrases("""
        Write | Draft | Compose | Prepare | Create | Come up with | Make up | Put together | Produce
        Give me | Help me write | Please write | Outline | Try writing | Invent | Think up
    """),
    "edit": _phrases("""
        Rewrite | Shorten | Correct | Summarise | Paraphrase | Simplify | Proofread | Expand
        Reorder
        Translate into plain English | Soften the tone of | Tidy up | Polish | Condense
        Restructure
    """),
    "explain": _phrases("""
        Explain | Describe | Clarify | Give an introduction to | Teach | Walk me through
        Illustrate
        Break down | Tell the story of | Spell out | Sum up what is known about | Demystify
    """),
    "compare": _phrases("""
        Compare | Contrast | Weigh up | Set side by side | Rank | Liken
    """),
    "number": _phrases("two | three | four | five | six | seven | eight | nine | ten | a dozen"),
    "relative": _phrases("""
        sister | uncle | neighbour | grandmother | flatmate | manager | teenage son | cousin
        landlord
    """),
    "form": _phrases("""
        a limerick | a packing list | a short speech | a cover letter | a bedtime story | a haiku
        a product description | an apology | a job advert | a quiz with answers | a slogan
        a two-minute toast | a weekly timetable | a book review | a riddle | a recipe | a headline
        a thank-you note | a glossary | a dialogue between strangers | a news report | a diary entry
        a set of flashcards | an e-mail to a supplier | a lesson plan | a persuasive paragraph
        a list of pros and cons | a step-by-step guide | a warning label | a museum caption
        a wedding vow | an invitation | a press release | an opening line for a novel | a sonnet
        a complaint to the council | a survey of ten questions | a checklist | a eulogy | a motto
        a radio advertisement | a crossword clue | a mnemonic | a travel tip | a fable with a moral
        a voicemail greeting | minutes of an imaginary meeting | a tongue twister | a fortune cookie
        a short biography | a frequently asked question | a postcard | a chorus | a legal disclaimer
        a horoscope | a regular expression | an SQL query | a spreadsheet formula | a unit test
        a mock interview | an acrostic | a thesis statement | a grant proposal | a hypothesis
    """),
    "subject": _phrases("""
        tide pools | bread baking | compound interest | volcanoes | jury duty | the periodic table
        beekeeping | second-hand bicycles | sleep | black holes | medieval guilds | school lunches
        antibiotics | jazz drumming | inflation | rainforest frogs | typography | chess openings
        solar panels | grammar | the Silk Road | first aid | glaciers | tax returns | origami
        photosynthesis | stage fright | public libraries | vaccines | street food | prime numbers
        renting a flat | earthquakes | job interviews | mushrooms | open-source licences | opera
        coral reefs | time zones | knitting patterns | the French Revolution | honey | robotics
        coffee roasting | migration of birds | password hygiene | wool | recursion | pottery glazes
        municipal elections | cloud formation | gears and levers | probability | marathon training
        dementia care | lighthouse keepers | sourdough starters | the human heart | sailing knots
        tooth decay | desert plants | machine translation | noise complaints | comets
        sign language
        urban foxes | composting | supply chains | ancient coins | yoga | bridge engineering
        railway timetables | perfume | whale song | copyright law | DNA | rice farming | mirrors
        negotiating a salary | lullabies | electric cars | plate tectonics | stamp collecting
        cheese | adoption | the water cycle | bargaining in markets | winter sports | haircuts
        fossil hunting | mortgages | pronouns | insomnia | theatre lighting | houseplants
        magnetism | gift wrapping | ocean currents | fractions | customer service | mythology
        seed banks | friendship | apprenticeships | databases | allergies | watercolour | bats
        sorting algorithms | hospital queues | dialects | kites | wildfires | budgets | satire
    """),
    "audience": _phrases("""
        first-time parents | a curious nine-year-old | retired sailors | night-shift nurses
        hurried commuters | exchange students | small shop owners | a sceptical uncle | tourists
        amateur gardeners | the board of directors | people who hate mornings | new employees
        homesick travellers | a jury of peers | visitors from Mars | football coaches | poets
        members of a choir | busy accountants | teenagers | language learners | lorry drivers
        a rival company | volunteers at a shelter | elderly neighbours | software testers
        the village council | students of law | picky eaters | camp counsellors | a blind date
        museum guards | junior doctors | furious customers | toddlers | dog owners | astronauts
        librarians | street musicians | weekend cyclists | primary school teachers | journalists
    """),
    "role": _phrases("""
        a lighthouse keeper | an overworked editor | a marine biologist | a travel agent | a butler
        a kindergarten teacher | an impartial judge | a grumpy chef | a data analyst | a detective
        a union representative | an absent-minded professor | a football commentator | a librarian
        a customs officer | a nutritionist | a stand-up comedian | a family doctor | a stonemason
        a ghost in an old hotel | a fundraiser | an air traffic controller | a pastry apprentice
        a wildlife ranger | a speech therapist | a frugal student | an antique dealer | a plumber
        a hostage negotiator | a city planner | a patient tutor | a retired spy
        a weather presenter
    """),
    "need": _phrases("""
        has just moved to a colder country | wants to learn the violin | cannot eat gluten
        keeps forgetting birthdays | must speak before five hundred guests | lost a suitcase
        plans to retire early | is afraid of flying | owes an old friend an apology
        shares one kitchen with six others | works from a noisy café | has twenty minutes a day
        never finished school | broke an ankle last week | adopted a nervous greyhound
        would like to waste less food | is about to sign a contract | misses the last bus often
        runs a stall at the Saturday market | needs to save for a deposit | got a confusing letter
        has to cook without an oven | dreams of a garden on the balcony | sleeps badly
        wishes to thank a teacher | hopes to be promoted in spring | is studying for an exam
        inherited a piano out of tune | wants to vote for the first time | babysits triplets
    """),
    "event": _phrases("""
        the power fails all over town | a letter arrives forty years late | nobody remembers Tuesday
        two rivals share a taxi | the river changes its course | a parrot inherits a fortune
        every clock runs backwards | a baker finds a key in the dough | the moon turns green
        the school bell will not stop ringing | a stranger returns a wallet | snow falls in July
        the oldest tree in the park is cut down | a robot applies for citizenship
        the train leaves without its driver | twins meet for the first time | gravity takes a break
        a village votes to abolish money | the lift stops between floors | a secret is printed
        the museum loses its only painting | all the cats leave the city | a bet goes wrong
        an island appears off the coast | the mayor resigns by telegram | silence is taxed
        a pilot falls in love with fog | the library opens at midnight | an old rival apologises
        someone paints the bridge pink | the internet is gone for a week | a whale learns to read
    """),
    "purpose": _phrases("""
        makes strangers smile | saves at least an hour a week | would convince a stubborn friend
        fits on a business card | teaches one surprising fact | can be sung to a known tune
        warns of a hidden danger | raises money for a good cause | rhymes from start to finish
        could be read aloud in church | sells without boasting | calms somebody who is anxious
        leaves the ending open | needs no special tools | works for groups of any size
        costs less than ten pounds | mentions every season once | sounds like a pirate wrote it
        even beginners understand | keeps children busy on a rainy day | invites people to reply
        gets the facts across quickly | breaks bad news gently | respects other people's privacy
    """),
    "rule": _phrases("""
        Use no more than fifty words | Avoid the letter e | Answer in a single sentence
        Give reasons for your choice | Start every line with a verb | Do not mention any names
        Finish with a question | Number your points | Keep it polite but firm | Cite two sources
        Include a concrete figure | Use at least one metaphor | Assume no prior knowledge
        Write in the second person | Reply as a table with two columns | Leave out all adjectives
        Mention one exception | Put the most important thing first | Show your working
        Let the last word be a surprise | State what you are unsure about | Stay under a minute
        Stick to the past tense | Sort the result alphabetically | Return valid JSON only
        Add a short title | Quote nobody | Mark every assumption with an asterisk | Be brief
        Offer an alternative for those on a budget | Make sure that it can be done indoors
    """),
    "manner": _phrases("""
        in the style of a fairy tale | without using technical terms | using only short words
        as a numbered list | from the point of view of a cat | in exactly three sentences
        with a touch of irony | in chronological order | as if speaking to royalty | in rhyme
        step by step | with one example for each point | in a formal register | like a sports report
        citing advantages before drawbacks | as plainly as you can | with growing suspense
        in British spelling | following the rules of a debate | keeping every number unchanged
        as a conversation over dinner | beginning with the conclusion | in two short paragraphs
        from memory alone | with warmth and humour | as it might appear in a tabloid
    """),
    "goal": _phrases("""
        it flows better | a lawyer could not object | only active verbs are left | nothing repeats
        it reads like a telegram | each sentence has fewer than ten words | the mood is hopeful
        it suits a scientific journal | the main point comes first | all dates are written out
        a child could follow it | it sounds less certain | every quantity is metric | it rhymes
        the speaker becomes the listener | gendered words disappear | it takes place at sea
        the argument is stronger | it could be a song | the tense is consistent throughout
    """),
    "text": _phrases("""
        paragraph | e-mail | tweet | poem | headline | abstract | sentence | conversation | speech
        restaurant review | bug report | news story | recipe | diary entry | contract clause
        letter
        interview answer | complaint | product listing | sermon | weather forecast | anecdote
        essay
        lecture transcript | film synopsis | text message | obituary | joke | memo | proverb | lyric
    """),
    "given": _phrases("""
        a list of city names | three ingredients | the lengths of two sides | a train timetable
        a Python function | an unfinished rhyme | a customer's complaint | a date of birth
        the first line of a story | a shopping receipt | two conflicting statements | a budget
        a paragraph of history | a sequence of integers | the symptoms of a patient | a logic puzzle
        a table of monthly sales | an ambiguous sentence | a chess position in words | a proverb
        the results of a survey | a scrambled word | a temperature in Fahrenheit | a street address
        a political slogan | an error message | a chemical formula | a short conversation
        an acronym
        the ages of four siblings | a set of constraints | a line of Latin | a song title
    """),
    "derive": _phrases("""
        work out the missing part | infer what happened before | estimate the total cost
        find the odd one out | predict what comes next | list every assumption that it rests on
        name the most likely cause | arrange the items from smallest to largest | spot the flaw
        convert it to another unit | guess who could have written it | count the distinct words
        extract all proper nouns | invent a plausible explanation | check it for contradictions
        choose the best of three replies | turn it into a question | compute the average
        say which fact is irrelevant | propose a fair compromise | restate it as an equation
    """),
    "extra": _phrases("""
        justify each decision | suggest a catchy title | say how sure you are | point out the risks
        recommend what to read next | add a counterargument | mention what it would cost
        thank everyone involved | explain the joke | give a rule of thumb | propose a deadline
        tell me what to do first | describe how it would smell | write down two open questions
        keep a record of the changes | decide who should be told | calculate how long it takes
    """),
    "occasion": _phrases("""
        a silver wedding | moving house | the first day at work | a school reunion | exam week
        a power cut | the nineteenth century | a long-haul flight | harvest time
        a rainy bank holiday
        a charity auction | an eclipse | the morning rush hour | a job fair | a visit to the dentist
        the last winter | a surprise party | a stay in hospital | a camping trip | the Renaissance
    """),
    "things": _phrases("""
        excuses | board games | synonyms | conversation starters | cheap dinners | warm-up exercises
        nicknames | metaphors | podcasts | experiments | day trips | questions to ask | habits
        business ideas | safety rules | songs | historical parallels | presents | study techniques
        misconceptions | hobbies | opening sentences | low-cost repairs | icebreakers | passwords
        vegetarian dishes | arguments | domain names | volunteer projects | stretches | book titles
    """),
    "aspect": _phrases("""
        cost | tone | difficulty | reading age | formality | urgency | accuracy | climate impact
        political leaning | genre | emotion | intent | taste | effort | historical period | risk
        sincerity | likely audience | durability | popularity | grammatical tense | fairness
    """),
    "label": _phrases("""
        formal | casual | urgent | harmless | sarcastic | sincere | factual | invented | positive
        negative | neutral | spam | polite | rude | biased | balanced | medical | legal | ancient
        modern | optimistic | pessimistic | literal | figurative | safe | risky | relevant
    """),
    "field": _phrases("Text | Sentence | Question | Passage | Notes | Context | Message | Request"),
    "statement": _phrases("""
        {role} wrote to {audience} because {event}.
        {event}, which nobody among {audience} had expected. | It was {occasion} when {event}.
        {audience} asked for {number} {things} on {topic}. | {role} likes {topic} best of all.
        There are {number} {things} that help with {topic}. | {role} {need} and reads about {topic}.
        We talked about {topic} and {topic}; then {event}. | {topic} reminds me of {topic}.
        The {text} on {topic} took {role} {number} days. | Nothing about {topic} {purpose}.
    """),
    # Mistakes that language models make.
    "short": _phrases("Sing. | Translate it. | Tell a joke. | Do so. | And {topic}? | {things}"),
    "unsuitable": _phrases("""
        Draw a picture of {topic} for {audience}. | Plot a graph of {topic} against {aspect}.
        Describe the image below to {audience}. | Go to {occasion} and {derive}.
        Make a map of {topic}, {manner}. | Save {form} on {topic} as a file for {audience}.
    """),
    "program": _phrases("""
        Write a program that, given {given}, can {derive}.
        Write a program about {topic}, {manner}.
    """),
    "bullet": _phrases("- {instruction} | \"{instruction}\" | ({things}) {instruction}"),
    "foreign": _phrases("""
        Écris un poème sur {topic} pour {audience}. | Übersetze diesen Brief über {topic}, {manner}.
        ¿Qué sabe {role} de {topic}, si {event}?
    """),
    "unclear": _phrases("Maybe | It depends | Not sure | Task: {topic} | Both | Classification"),
    "announcement": _phrases("Here is the answer: | The result: | As requested by {role}:"),
}  # fmt: skip
