"""The narrative grammar of the lab world: stories, scenes, dialogues, sentences in children's-reader English.

Everything is text drawn from one small grammar, deterministic in the `random.Random` that is passed in. In
the tables `[a|b]` is a choice (options may nest and may be empty), `<name>` is a rule that stands earlier in
the tables, `{x}` is a slot of the cast (`_cast`) and stays the same through one text, and `^` makes the next
letter a capital. Templates always write "a"; `_tidy` turns it into "an" where English wants that and sets
capitals at sentence starts. There are no apostrophes and no hyphens anywhere, and every choice is between
whole words, so `lexicon` can scan the tables.

Slots: {n} hero with {he} {him} {his} {himself} {boy}; {m} friend with {he2} {him2} {his2} {boy2} (the other
pronoun, so that "he" and "she" are never in doubt); {h1}/{h} helper at first mention/later; {o} {os} {adj}
the thing of the story; {p}/{pl} place with/without preposition; {r}/{rl} room; {s1-3} spots at the place;
{r1-3} spots in a house; {w}/{wl} wild place; {v0} {v1} {v2} {v3} base, past, third person and object of a
verb, {u0}-{u3} those of another.
"""

import random
import re
from collections.abc import Sequence
from typing import TypeVar

_T = TypeVar("_T")

_IRREGULAR = {
    "shelf": "shelves", "leaf": "leaves", "wolf": "wolves", "mouse": "mice", "goose": "geese", "sheep":
    "sheep",
    "deer": "deer", "fish": "fish", "knife": "knives", "scarf": "scarves", "potato": "potatoes",
    "tomato": "tomatoes", "piano": "pianos", "radio": "radios", "fisherman": "fishermen",
}  # fmt: skip


def plural(noun: str) -> str:
    """The plural of a noun."""
    if noun in _IRREGULAR:
        return _IRREGULAR[noun]
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


_A_BEFORE_VOWEL = re.compile(r"\b([Aa]) (?=[aeiouAEIOU]|hour|honest)(?!one\b|once\b|uni|us[eu]|eu)")
_START = re.compile(r"(^\"?|[.!?] \"?|\.\" \"?|[!?]\" \"|\^\"?)([a-z])")


def _tidy(text: str) -> str:
    """Capitals at sentence starts, a/an, and single spaces."""
    text = " ".join(text.split())
    text = _A_BEFORE_VOWEL.sub(r"\1n ", text)
    return _START.sub(lambda hit: hit[1].replace("^", "") + hit[2].upper(), text).replace("^", "")


# ---------------------------------------- word lists
def _w(text: str) -> tuple[str, ...]:
    """The words of a table; phrases stand between semicolons."""
    parts = text.split(";") if ";" in text else text.split()
    return tuple(" ".join(part.split()) for part in parts)


_HE = _w("""Adam Ben Carl Dan David Eric Felix Fred George Henry Hugo Ivan Jack Jacob John Leo Luke Mark
Martin Max Noah
Oscar Oliver Paul Peter Robert Sam Simon Tom Victor""")
_SHE = _w("""Alice Amy Anna Bella Clara Daisy Diana Ella Emma Eva Grace Helen Ida Jane Julia Kate Laura Lily
Lucy Maria
Martha Mary Mia Nina Nora Olga Rosa Ruth Sarah Vera""")
PRONOUN = {name: "he" for name in _HE} | {name: "she" for name in _SHE}
NAMES: tuple[str, ...] = tuple(PRONOUN)
_BEAST_NAMES = _w("Pip Toby Bruno Coco Dot Fifi Momo Nibble Pepper Rusty Tiny Zara")

_KINDS: dict[str, tuple[str, ...]] = {
    kind: _w(words)
    for kind, words in {
        "small": """key ring coin pencil pen book notebook map ball doll kite drum flute whistle cup spoon
            purse watch
            bell lantern candle basket bag box bottle brush comb letter card picture stamp button hammer scarf
            hat cap
            glove sock shoe boot coat belt shirt dress mirror umbrella toy puppet puzzle shell feather blanket
            pillow
            towel rope compass ticket necklace jar plate bowl teapot crown mask flag robot bucket cushion
                camera""",
        "large": """table chair bed sofa shelf door window gate fence wall bench bridge ladder stove cupboard
            desk
            swing tent statue tower house hut barn clock lamp piano radio carpet curtain wheel""",
        "vehicle": "car bus train boat ship bicycle truck tractor wagon cart plane sled",
        "animal": """dog cat rabbit puppy kitten parrot pony cow horse sheep goat pig hen duck goose donkey
            lamb fox
            bear wolf lion elephant monkey tiger owl frog mouse squirrel hedgehog turtle deer bird swan fish
            whale
            bee butterfly ant snail spider""",
        "food": """apple pear orange banana peach plum lemon cake pie cookie sandwich egg potato carrot onion
            tomato
            pancake bun pizza nut melon""",
        "job": """farmer baker teacher doctor nurse driver cook painter sailor gardener tailor carpenter pilot
            singer
            dentist builder fisherman king queen shopkeeper""",
        "nature": "tree flower bush leaf rose cloud hill mountain river lake pond island star stone",
    }.items()
}
_KIND = {noun: kind for kind, nouns in _KINDS.items() for noun in nouns}
NOUNS: tuple[str, ...] = tuple(_KIND)
_SOME: dict[str, tuple[str, ...]] = {  # the nouns that one plot or another is sensible for
    key: _w(words)
    for key, words in {
        "fix": """doll kite drum umbrella basket puppet toy necklace robot watch chair bicycle clock radio
            lamp camera
            lantern wagon cart swing bench gate fence ladder shelf""",
        "fragile": "cup plate bowl teapot jar mirror bottle lamp window clock",
        "paint": """table chair desk shelf door gate fence bench cupboard ladder wagon cart hut barn boat wall
            swing
            bed house""",
        "engine": "car bus truck tractor",
        "late": "bus train boat",
        "pet": "dog cat rabbit puppy kitten parrot pony goat lamb duck",
        "weak": "kitten puppy bird hedgehog squirrel frog turtle duck lamb rabbit mouse owl",
        "hero": """fox bear wolf mouse owl frog rabbit squirrel hedgehog turtle lion elephant monkey duck goat
            donkey
            pig cat dog hen goose""",
        "nice": """ring book notebook ball doll kite drum flute purse watch bell lantern basket bag box scarf
            hat dress
            mirror umbrella toy puppet puzzle compass necklace mask robot camera belt coat crown""",
        "light": """kite ball hat cap scarf flag mask feather card letter picture map ticket glove sock shirt
            towel toy
            puppet""",
        "rare": """train ship plane whale lion elephant tiger bear monkey swan deer parrot tower mountain
            island lake
            statue piano robot crown compass camera queen king pilot owl wolf hedgehog""",
        "bake": "cake pie pancake pizza bun cookie",
        "treat": "apple pear orange banana peach plum cake pie cookie sandwich pancake bun pizza melon",
        "grow": "tree flower bush rose carrot onion tomato potato melon",
        "noise": "cat mouse owl squirrel hedgehog frog bird",
    }.items()
}

_OUT = _w("""in the garden;in the park;in the forest;in the field;on the beach;on the hill;by the river;by the
lake;
by the pond;in the yard;in the valley;on the farm;on the playground;in the meadow""")
_TOWN = _w("""at the market;at the library;at school;at the station;at the museum;at the bakery;in the
village;at the zoo;
in the town;at the harbour;in the square;at the theatre;at the hospital;at the shop;at the castle;at the
airport;
on the bridge;at the office;at the fair;at the mill;at the church;at the post office;in the classroom""")
_ROOM = _w("""in the kitchen;in the bedroom;in the hall;in the living room;in the attic;in the cellar;in the
bathroom;
in the workshop;in the shed;on the stairs;in the garage;on the balcony""")
_WILD = _w("""in the forest;by the river;in the mountains;by the lake;in the valley;on the hill;in the meadow;
in the jungle;near the swamp;by the sea""")
PLACES: tuple[str, ...] = tuple(dict.fromkeys(_OUT + _TOWN + _ROOM + _WILD))
_SPOTS = {
    "out": """under a bush;behind a tree;near the gate;in the tall grass;beside a bench;between two stones;
under some leaves;next to the path;behind the fence;near an old wall;beside a big stone;in the mud""",
    "town": """under a bench;behind a door;near the stairs;under a table;behind a big box;next to the wall;
beside a window;under a chair;in a dark corner;behind a cart;near the entrance""",
    "room": """under the bed;behind the sofa;on the shelf;under the table;in the cupboard;behind the curtain;
next to the stove;near the window;in the corner;behind the door;beside the fireplace;under the stairs;behind a
big box""",
}
_SPOT = {key: _w(text) for key, text in _SPOTS.items()}

# class (h home, o out of doors): base past third person: objects
_VERB_TABLE = """
h wash washed washes: the dishes, the floor, a shirt, the cups
h cook cooked cooks: some soup, dinner, some rice, an egg
h bake baked bakes: some bread, a cake, a pie, some cookies
h clean cleaned cleans: the kitchen, the window, the stove, a pair of boots
h sweep swept sweeps: the floor, the hall, the stairs
h read read reads: a book, the newspaper, a letter, a story
h write wrote writes: a letter, a card, a poem, a list
h draw drew draws: a horse, a map, a house, a picture
h sew sewed sews: a dress, a button on a coat, a curtain
h knit knitted knits: a scarf, a sock, a hat
h play played plays: the piano, the drum, the flute, a song
h make made makes: some tea, a sandwich, a puppet, a paper boat
h cut cut cuts: the bread, an apple, some paper, an onion
h set set sets: the table, the clock
h lift lifted lifts: a chair, a heavy box
h hang hung hangs: a picture on the wall, a coat behind the door
h peel peeled peels: some potatoes, an orange, a carrot
h pour poured pours: some milk, the tea, some water
h fold folded folds: the towels, a blanket, some shirts
h mend mended mends: an old chair, a sock, a torn bag
h open opened opens: the window, an old box, a drawer
h close closed closes: the window, the curtains, the door
h light lit lights: a candle, the stove, a lantern
h eat ate eats: a pancake, some cheese, a bowl of soup
h drink drank drinks: some tea, a glass of water, some milk
h count counted counts: the coins, some buttons, the plates
h watch watched watches: a film, the rain, the clock
h dry dried dries: the plates, the spoons
o feed fed feeds: the hens, the ducks, a horse, the birds
o plant planted plants: a tree, some flowers, some beans
o water watered waters: the flowers, the plants, the roses
o dig dug digs: a hole, the garden
o pick picked picks: some apples, some flowers, some berries, some plums
o carry carried carries: some wood, a basket, a bucket of water, a ladder
o push pushed pushes: a cart, a bicycle, a wagon
o pull pulled pulls: a sled, a rope, a small wagon
o paint painted paints: the fence, the gate, a boat, a bench
o build built builds: a hut, a wall, a small boat
o ride rode rides: a bicycle, a pony, a donkey
o throw threw throws: a ball, a stick
o catch caught catches: a fish, a ball
o sell sold sells: some fruit, fresh bread, some flowers
o buy bought buys: some eggs, a melon, some honey
o climb climbed climbs: a tree, a ladder, a hill
o wear wore wears: a warm coat, a straw hat
o chase chased chases: a butterfly, the geese
o fly flew flies: a kite, a paper plane
o brush brushed brushes: a horse, the dog
o milk milked milks: a cow, the goats
o gather gathered gathers: some nuts, dry leaves, some shells
o kick kicked kicks: a ball, a stone
o fix fixed fixes: the roof, a wheel, the fence
o drive drove drives: a truck, a tractor, a bus
o load loaded loads: a truck, a wagon
o lead led leads: a cow, the sheep, a pony
o sing sang sings: a song, an old song
o follow followed follows: a path, the sheep
o tie tied ties: a rope, a knot
o hold held holds: an umbrella, a flag, a balloon
"""


def _verbs(text: str) -> dict[str, tuple[tuple[str, str, str, tuple[str, ...]], ...]]:
    rows: dict[str, list[tuple[str, str, str, tuple[str, ...]]]] = {"h": [], "o": []}
    for line in text.strip().splitlines():
        forms, things = line.split(":")
        where, base, past, third = forms.split()
        rows[where].append((base, past, third, tuple(thing.strip() for thing in things.split(","))))
    return {where: tuple(found) for where, found in rows.items()}


VERBS = _verbs(_VERB_TABLE)
_WORK = _w("""wash cook bake clean sweep sew knit mend fold peel dry feed plant water dig pick carry paint
build milk
gather fix load""")
VERBS["w"] = tuple(row for rows in VERBS.values() for row in rows if row[0] in _WORK)

# ---------------------------------------- the grammar's shared rules
_RULES = """
weather: sunny|cold|warm|windy|rainy|foggy|bright|quiet|grey|hot|fine|cloudy|mild
daytime: morning|afternoon|evening
day: Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday
season: spring|summer|autumn|winter
time: one <weather> <daytime>|one <weather> <daytime>|one <weather> day|on <day> <daytime>|on a <weather>
 <day>| early one <daytime>|one <season> <daytime>|last <day>|one day in <season>|a few days ago|[late|early]
 on <day>
color: red|blue|green|yellow|white|black|brown|grey|pink|purple
kind: kind|clever|quiet|cheerful|brave|honest|gentle|patient|friendly|curious|polite|careful|shy|busy|young
adult: farmer|baker|teacher|doctor|nurse|driver|cook|painter|sailor|gardener|tailor|carpenter|shopkeeper
kin: mother|father|grandmother|grandfather|aunt|uncle|brother|sister
treat: a cup of tea|some warm soup|a piece of cake|some bread and cheese|hot milk with honey|a big pancake|
 some apple pie|a bowl of rice|fresh bread|an orange and some nuts|sweet tea|some cookies
sad: sad|upset|worried|unhappy|lonely|tired and sad|close to tears
glad: happy|glad|proud|pleased|cheerful|very happy|full of joy|happy and thankful
smile: smiled|laughed|nodded|smiled kindly|laughed softly|began to smile
soon: soon|after a while|a little later|at last|then|after some time|before long|in the end|finally
said: said|said|whispered
ans: said|answered|replied
thanks: thank you|thank you so much|thank you very much|many thanks
know: knew|understood|learned|saw
lesson: that [good|true] friends help each other|that it is [good|better] to ask for help|that kind words cost
 nothing|that [small|little] steps lead far|that a [good|kind] deed comes back|that a good heart is worth more
 than gold|that one should not give up too soon|that good things take time|that it is good to be
 [kind|patient|brave]
sorrow: {n} felt <sad>.|this made {n} <sad>.|{n} sat down and [sighed|cried a little|did not know what to
 do].| "[what shall I do|what can I do|oh dear, what shall I do] now?" [whispered|asked|sighed] {n}.| {he} was
 <sad>[, but {he} did not give up|, and {he} wanted to cry|].|{n} [tried not to cry|wanted to cry|looked at
 the ground and said nothing].|"[oh no|oh dear]!" [cried|said] {n}[, who felt <sad>|].
whom: {his} [mother|father|grandmother|aunt|brother|sister|family|friends]
end: that [night|evening] {n} [went to bed|fell asleep] <glad>.|{n} went home <glad>.|[on the way home|in the
 evening|at dinner] {n} told <whom> [the whole story|everything|all about it].|from that day on, {n} <know>
 <lesson>.| {n} was <glad> [all day|the whole evening|for the rest of the day].|{n} never forgot that
 <weather> <daytime>.|[afterwards|later|in the end] there was <treat> for [everyone|all of them].|"this was [a
 good|the best] day," <said> {n} [with a smile|happily|before {he} fell asleep].|{n} <smile> and felt
 <glad>.|on that day {n} <know> <lesson>.
thank: "<thanks>, {m}!" <said> {n}.|{n} thanked {m} and gave {him2} [a hug|<treat>|a flower].|"I could not
 have done it without you," {n} told {m}.|"you are a [good|true|wonderful] friend," <said> {n}.|{n} was <glad>
 and thanked {him2} [twice|again and again|with all {his} heart].|{n} took {his2} hand and said,
 "^<thanks>."|{m} <smile> when {n} thanked {him2}.
thankh: "<thanks>!" <said> {n}, and {h} <smile>.|{n} thanked {h} [twice|politely|again and again|with a big
 smile].| "you are [very kind|so kind|a great help]," {n} said to {h}.|{n} was <glad> and [brought|gave] {h}
 <treat>.| {h} <smile> when {n} said <thanks>.|"it was [nothing|no trouble|a pleasure]," said {h} when {n}
 said <thanks>.
who: {n} was a <kind> {boy} who lived [near {pl}|in a small house|on a farm|in a little town|by the sea|with
 {his} <kin>].|[there was once|once there was] a <kind> {boy} named {n}[, who liked to be {p}|].|<time>, {n}
 [was|sat|stood] {p}.|in a small [town|village] lived a <kind> {boy} [named|called] {n}.|everybody
 [knew|liked] {n}, the <kind> {boy} [who lived near {pl}|from the [white|old|last] house].|{n} and {his} <kin>
 lived [near {pl}|on a small farm|in a quiet street].
"""

# ---------------------------------------- plots: "name: kinds" and one sentence group per "-"
_PLOTS = """
lost: small
- <who>|<time>, {n} [went|walked|ran] to {pl} with {his} {adj} {o}.|{n} [had|owned] a {adj} {o} and took it
 everywhere.| {his} <kin> had given {n} a {adj} {o}[ for {his} birthday|], and {he} loved it.|<time>, {n}
 wanted to show {m} {his} {adj} {o}.|of all {his} things, {n} liked {his} {adj} {o} best.
- {he} wanted to [take|bring] {his} {o} to {m}, but it was [gone|not in {his} bag].|but [when {he} came
 home|in the evening|before dinner|a little later], the {o} was [gone|missing|not there any more].|then {he}
 [looked for|needed] {his} {o}, and it was [gone|nowhere to be seen].|but {p} {he} lost the {o}.
- {he} looked {s1} and {s2}, but [found nothing|the {o} was not there|there was only dust].|{he} searched
 {s1}, then {s2}, [but could not find it|but without luck].|first {he} looked {s1}. then {he} looked {s2}.
 [there was no {o}|no luck].| was it {s1}? no. was it {s2}? no.
- ?<sorrow>
- "have you seen my {o}?" {he} asked {h1}. "[think|sit down and think]," said {h}. "where did you have it
 last?"| {h1} heard {him} and [said|asked], "^where did you see it last?"|{n} asked {h1} [for help|what to
 do], and {h} told {him} to [walk the same way again|think of the last place|look once more].|"[do not
 worry|do not cry]," said {h1}. "we will look [together|again]."|then {h1} came and offered to help.
- so they looked {s3}, and there was the {o}!|<soon> {n} saw something {color} {s3}. it was {his} {o}!|then
 {n} remembered, [ran back|went back], and found the {o} {s3}.|and there, {s3}, lay the {o}.|together they
 found the {o} {s3}.
- <thankh>
- <end>|from that day on, {n} [always put the {o} in the same place|took good care of the {o}].
found: small
- <time>, {n} [found|saw] a {adj} {o} {s1} {p}.|<who> one <daytime> {he} found a {adj} {o} {s1}.|on the way to
 {pl}, {n} [found|saw] a {adj} {o}.|a {adj} {o} lay {s1} {p}, and {n} picked it up.
- {he} [liked it at once|thought it was beautiful] and wanted to keep it.|"how [nice|pretty]! may I keep it?"
 {he} [thought| asked {himself}].|it was just the {o} that {he} had always wanted.|{n} put it in {his} bag and
 walked on.
- but [then|on the way] {he} thought, "^somebody is [looking for|missing] this {o}."|but {his} <kin> said,
 "^it belongs to someone. [think how sad they must be|we should find out who lost it]."|but {m} said that [it
 was not {his}|the owner must be sad].|but a {o} does not [fall from the sky|grow on a tree]. who had lost it?
- so {he} asked {h1}, but {h} did not know whose it was.|{n} [asked|went] from door to door, but nobody
 [missed|knew] it.| {he} wrote a note: "^who has lost a {o}?" ^{he} hung it on [the gate|a tree|the school
 door].|so {n} [waited|stayed] {p} and asked [everyone|all the people] who came by.
- <soon> an old [man|woman] came and [cried|called], "^that is my {o}!"|<soon> {n} met {m}, who was looking
 {s2} with a sad face. it was {his2} {o}.|the next day a little [boy|girl] [came|stood at the door] and asked
 for the {o}.|then {n} heard somebody cry. it was {m}, who had lost {his2} {o}.
- {n} gave the {o} back[ at once|] and was <glad>.|it was not easy, but {n} gave the {o} back.|"here it is,"
 said {n}, and gave back the {o}.
- "<thanks>! you are [honest|very honest]," said the owner[ and gave {n} <treat>|].|the owner was <glad> and
 gave {n} <treat>.|the owner [thanked {him}|said <thanks>], and {n} <know> that it feels good to be honest.
- ?<end>
gift: nice
- <time>, {n} [remembered|saw] that it was almost the birthday of {his} friend {m}.|{m} had a birthday, and
 {n} wanted to give {him2} [something nice|a good present].|<who> {his} friend {m} was sick, and {n} wanted to
 [cheer {him2} up|make {him2} smile].|{n} wanted to surprise {his} friend {m}.
- {he} knew that {m} [wished for|had always wanted|dreamed of] a {o}.|"what does {m} like?" {n}
 [asked|thought]. "a {adj} {o}!"| "I would love to have a {o}," {m} had told {him} [once|last week].
- but {n} had only [two|three|four|five|six] coins.|but in the shop every {o} cost too much.|but {n} had no
 money at all.| but the shop {p} was closed.|but the shop had sold the last {o}.
- ?<sorrow>
- then {h1} said, "^you can make one yourself. I will show you how."|then {he} [got|had] an idea. {he} went to
 {h1} and asked for help.|{h1} had an old {o} and let {n} [paint|clean] it.|"help me to {v1} {v0}," said {h1},
 "and I will give you a {o}."|so {he} helped {h1} to {v1} {v0}[ and got some coins|, and {h} gave {him} a
 {o}].
- ?they worked [until evening|all <daytime>|for two days][, and it was fun|, and the {o} became
 beautiful|].|{n} put the {o} in a <color> box.|{n} worked hard and did not [stop|rest] until the {o} was
 ready.
- when {m} [saw|held] the {o}, {he2} [jumped with joy|could not believe it|laughed happily].|{m} opened the
 box and [cried| called], "^a {o}! <thanks>!"|"this {o} is [just what I wanted|the best present of all]," said
 {m}.
- <end>
buy: nice
- in a shop window {p}, {n} saw a {adj} {o}.|<who> more than anything, {he} wanted a {adj} {o}.|<time>, {n}
 saw a {adj} {o} at the market.|{n} [dreamed of|wished for] a {o} of {his} own.
- but it cost [ten|twelve|twenty] coins, and {he} had only [two|three|four|five].|"how much is the {o}?" {he}
 asked. "[ten| twelve|twenty] coins," [said|answered] the shopkeeper.|"you must [save|work] for it," said
 {his} <kin>.|the {o} was not cheap, and {his} family was poor.
- <sorrow>|so {n} looked for work.|"I can work," thought {n}.
- first {he} helped {h1} to {v1} {v0}.|{he} asked {h1} for work. "yes, please {v1} {v0}," said {h}.|{h1}
 needed someone to {v1} {v0}, and {n} said, "^I can do that."|"may I help you?" {he} asked {h1}. so {he} {v2}
 {v0} for {h}.
- the next day {he} {u2} {u0} [for a neighbour|for {m}][, and {his} hands hurt|].|then {he} {u2} {u0}, day
 after day.|on <day> {he} also {u2} {u0}.|it was hard work, but {he} did not give up.
- {he} put every coin in a [jar|box|small bag].|coin after coin fell into the [jar|box].|?in the evening {he}
 counted the coins again and again.
- <soon> {he} had enough and [ran|went back] to the shop. the {o} was still there!|<soon> {he} [bought|could
 buy] the {o}.|after [two|three|four] weeks {n} carried the {o} home.|the shopkeeper [smiled|was surprised]
 and put the {o} in {his} hands.
- {n} was <glad>, because {he} had [earned|paid for] it {himself}.|<end>
quarrel: nice
- <time>, {n} and {m} found a {adj} {o} {p}.|{n} and {m} both wanted the same {adj} {o}.|{h1} gave {n} and {m}
 a {adj} {o}, but only one.|<time>, {n} and {m} played {p} with a {adj} {o}.
- "[it is mine|I saw it first|I want it]!" [cried|shouted] {n}. "no, it is [mine|my turn]!" [cried|shouted]
 {m}.|each of them wanted to have it first, and they began to [shout|quarrel].|{n} pulled at one side, and {m}
 pulled at the other.
- the {o} fell to the ground.|they [shouted|quarreled] so loudly that {h1} came [outside|to look].|{m} began
 to cry, and {n} felt <sad>.|{n} pushed {m}, and {m} ran away [in tears|angrily].
- {n} [sat|stood] alone {p}, and playing alone was [no fun|not nice at all].|for an hour they did not
 [speak|say a word].| without {m}, the {o} was [boring|no fun].|[nobody|neither of them] was happy[ now|].
- "[take turns|why not share it]?" [asked|said] {h1}.|{h1} said, "^[a friend is worth more|friends are worth
 more] than a {o}."|then {n} thought about it[ for a long time|].|{h1} told them a story about two
 [dogs|goats|bears] who lost everything because they could not share.
- "I am sorry, {m}," said {n}. "you may have it first."|{n} went to {m} and said, "^I am sorry. [I was not
 kind|I was wrong]."| "let us share it," <said> {m}, and {n} agreed.|{m} gave {n} {his2} hand, and both said
 that they were sorry.
- so {n} had the {o} in the morning, and {m} had it in the afternoon.|from then on they [took turns|shared the
 {o}].|<soon> they played together again and laughed.
- ?<end>
shelf: light
- <time>, {m} threw {his2} {adj} {o} into the air, and it [stayed|landed] [on the roof|in a tall tree].|{n}
 needed the {adj} {o}, but it stood on the highest shelf.|the wind took the {adj} {o} from {n} and carried it
 [into a tree|onto a roof].|a bird [stole|took] the {adj} {o} of {n} and dropped it [on the roof|in a tall
 tree].
- {n} jumped[ as high as {he} could|], but {he} was too [short|small].|{n} stood on [a chair|a box|{his}
 toes], but it was not enough.|{n} tried to reach it with a long stick.|{n} wanted to climb up, but it was too
 dangerous.
- then {he} threw a shoe at it, but the shoe [fell on {his} head|stayed up there too].|{he} tried again [and
 again|with a rope], but the {o} did not move.|{he} almost fell and hurt {his} [knee|arm|hand].|?<sorrow>
- "please come down from there," said {h1}. "[you could fall|it is not safe]."|{h1} saw this and said, "^wait!
 let me help you."|{n} called {h1} and asked, "^could you help me, please?"|{m} ran to {h1} for help.
- {h} brought a [long|tall] ladder, and {m} held it [still|with both hands].|{h} lifted {n} up, and {n}
 [got|took] the {o}.|{h} had a [good idea|clever plan] and used a [long stick|broom|fishing net].
- <soon> the {o} was [down|safe] again.|a moment later {n} held the {o} in {his} hands.|"here is your {o},"
 said {h}.
- <thankh>
- <end>
fix: fix
- <time>, the {adj} {o} [broke|fell apart].|{n} had a {adj} {o}, but one day it broke.|{his} <kin> had an old
 {o} that did not work any more.|a <color> {o} stood {r}, but it was broken and nobody used it.|<who> {his}
 {adj} {o} was broken.
- "can we [fix|mend] it?" asked {m}. "I will try," <ans> {n}.|{n} wanted to [fix|mend] it {himself}.|"[throw
 it away|buy a new one]," said {m}, but {n} did not want to.|"the {o} is too good to throw away," said {n}.
- {he} tried it with [glue|a rope|tape|a nail], but it broke again.|{he} worked on it all <daytime>, but a
 small part was missing.|{he} hit {his} finger with the hammer and [cried|shouted], "^ouch!"|the first try did
 not help, and the second made it worse.
- ?<sorrow>
- then {h1} came by and looked at the {o}.|{n} [took|showed] the {o} to {h1}.|so {n} asked {h1} for
 advice.|{m} knew who could help, and they went to {h1}.
- "[you need|all it needs is] [a new nail|a strong rope|a little oil|some good wood|a small wheel|strong
 glue]," said {h}.|{h} had the right tools and [showed {n} how to use them|let {n} help].|{h} said,
 "^[slowly|step by step]. good work needs time."
- they worked together until the {o} was as good as new.|<soon> the {o} worked again.|after an hour the {o}
 was [whole|fine] again, and {n} painted it <color>.
- <thankh>
- <end>
honest: fragile
- <time>, {n} played with a ball {r}.|<time>, {n} and {m} ran through the house and laughed.|{n} was alone at
 home and wanted to {v1} {v0}.|"do not run in the house," {his} <kin> had said, but {n} forgot it.
- crash! the {adj} {o} [broke|was broken].|{he} was not careful, and {he} broke the {adj} {o} of {his}
 <kin>.|{he} hit a {adj} {o} with {his} [arm|elbow|foot], and it broke.|suddenly there was a loud noise. the
 {adj} {o} was broken.
- {he} was afraid[ and hid the pieces {r1}|] and wanted to tell nobody.|"I can say that the [cat|wind|dog] did
 it," {he} thought.| {n} hid {r1} and [felt <sad>|did not make a sound].
- "who broke the {o}?" asked {his} grandmother [in the evening|at dinner].|{his} grandmother came home and saw
 that the {o} was broken.|at dinner {he} could not eat, because {he} felt so bad.
- "you should tell the truth," <said> {m}.|{n} thought of [the poor cat|a lie], but a lie did not feel
 right.|{his} heart beat fast, but {he} stood up.|then {he} took a deep breath.
- "I broke the {o}," {he} said. "I am [so|very] sorry."|"it was me," {he} [said|whispered]. "please forgive
 me."|{n} told the truth and said that {he} was sorry.
- {his} grandmother was not angry. "<thanks> for telling me," she said.|"a {o} can be [mended|bought again],"
 said {his} grandmother, "but trust is hard to mend."|{his} grandmother gave {him} a hug and said, "^you were
 brave to tell me."
- ?together they [picked up the pieces|cleaned the floor].|<end>|from that day on, {n} [told|always told] the
 truth.
bake: bake
- <time>, {n} wanted to [bake|make] a {o} for [{his} <kin>|{m}|the school fair].|{m} had a birthday, and {n}
 wanted to make a {o} for {him2}.|<who> {he} had never made a {o}, but {he} wanted to learn it.|"I am hungry
 for a [good|sweet|warm] {o}," said {m}. "let us make one," <said> {n}.
- {he} took [flour, eggs and milk|flour, butter and eggs|flour, milk and salt] and a big bowl.|first {he}
 washed {his} hands and put on an apron.|{he} read the old book of {his} grandmother[ and mixed everything|].
- but [there was no [milk|butter|flour] in the house|{he} dropped the eggs on the floor|the cat drank the
 milk].|but {he} forgot the time, and the first {o} was black.|but the first {o} tasted of
 [salt|nothing|smoke].|but {he} did not know how to [light the stove|go on].
- ?<sorrow>
- then {h1} came into the kitchen. "we can do it together," said {h}.|{h1} had [some|enough]
 [milk|butter|flour] and gave it to {him}.|{he} asked {h1}, and {h} said, "^use less [salt|flour] and wait a
 little longer."|{m} helped {him} to [begin|start] again.
- they [mixed|stirred] everything again, and <soon> the kitchen smelled [sweet|wonderful|good].|this time {n}
 was patient and watched the stove.|the next {o} came out [golden|soft|warm and brown].
- the {o} was so good that [nothing was left|everyone asked for more].|everybody got a piece of the {o}[, even
 the dog|].|"this {o} is [delicious|wonderful]!" said {m}.
- <end>
share: treat
- <time>, {n} sat {p} with a [big|fresh|fine|nice] {o}.|{n} was on {his} way to {pl} with a [big|fresh|nice]
 {o} in {his} bag.|<who> one <daytime> {his} <kin> gave {him} a [big|fresh|nice] {o}.|{n} had only one {o} for
 [lunch|the whole day].
- {he} was [very hungry|hungry from the long walk].|{he} [loved|liked] every {o}, and this one smelled
 [good|wonderful].|{he} wanted to eat it alone.|?"I will eat it slowly," {he} thought.
- then {he} saw {m}, who [sat alone|looked sad|had nothing to eat].|just then [an old man|an old woman|a
 hungry dog|a thin bird] came and looked at the {o}.|{s1} sat {m}, who had forgotten {his2} lunch.
- at first {n} turned away[ and held the {o} close|].|{n} looked at the {o} and [thought|sighed].|there was
 only one {o}. what should {he} do?|"if I share it, there is not much left," thought {n}.
- but then {he} remembered how it feels to be hungry.|but {his} <kin> always said that shared food tastes
 better.|but {he} could not eat while somebody was hungry.
- so {n} cut the {o} in two and gave away the bigger half.|so {he} [gave away|shared] half of the {o}.|"please
 take half of my {o}," {he} said.
- and really, the {o} tasted [better|twice as good].|the two of them [ate and felt warm|sat in the sun and
 ate].|the next day {n} found [a flower|<treat>] at {his} door.
- <end>
pet: pet
- {n} had a {adj} {o} [named|called] {b}.|<who> {his} best friend was a {o} [named|called] {b}.|in the house
 of {n} lived a <petty> {o}. its name was {b}.|<time>, {n} walked to {pl} with {his} {o}[ {b}|].
- one <weather> <daytime> {b} was gone. the gate was open!|but then [a loud noise|a storm|a big truck] scared
 the {o}, and {b} ran away.|one <daytime> {n} called {b}, but [no {o} came|nobody came].|?when {n} came home,
 {b} was not there.
- {he} looked {s1} and {s2}, but {b} was not there.|{he} [ran|went] through the whole village and called,
 "^{b}! {b}!"|{he} asked [everyone|all the neighbours], but nobody had seen the {o}.
- ?<sorrow>
- {m} helped {him}. "[listen|be quiet for a moment]," {he2} said.|"I saw a {o} near {ql}," said {h1}.|then
 {h1} came. "is this about a {adj2} {o}?" asked {h}. "come with me."|{m} put some food {s3}, and they waited.
- {s3} they heard a soft sound. there was {b}, [wet|cold|hungry] and afraid.|<soon> they found the {o}
 {s3}.|and there {b} came [running|slowly], [dirty|tired] but not hurt.
- {n} took {b} in {his} arms and [laughed|cried with joy].|"I am so glad that you are back, {b}," <said>
 {n}.|?{n} closed the gate well that evening.
- <end>
rescue: weak
- <time>, {n} heard a [thin|soft|sad] cry {s1}.|<time>, {n} and {m} walked to {pl}.|on the way to {pl}, {n}
 saw something move {s1}.|<who> one <weather> <daytime> {he} heard a strange sound.
- it was a little {o} that [could not get out of a hole|was caught in a net|had hurt its leg|was stuck in the
 mud].|a small {o} sat there, [wet and cold|cold and alone|hungry and thin].|they saw a young {o}. it was hurt
 and could not move.
- "poor little {o}!" said {n}.|{n} wanted to help, but the {o} was afraid of {him}.|a boy wanted to throw a
 stone at it, but {n} said, "^stop! that is not kind."|{n} did not know what to do. {he} did not want to hurt
 the {o}.
- {he} spoke softly and [came closer step by step|waited a long time].|{he} put {his} [coat|scarf|hat] around
 the {o}.|{he} ran home and asked {h1} for help.|{m} brought water, and {n} brought a warm blanket.
- {h1} knew what to do and [helped|came at once].|"keep it warm and give it water," said {h1}.|together they
 carried the {o} to an animal doctor.|{h1} gave {him} a box with dry grass for the {o}.
- after [two|three|four|five] days the {o} was [strong|well] again.|<soon> the {o} could [eat|walk|move]
 again.|day by day the {o} grew stronger.
- then {n} let it go {p}, and it looked back once.|"go home, little {o}," said {n}.|the {o} stayed near the
 house and visited {n} every <daytime>.|it was hard to say goodbye, but {n} was <glad>.
- ?<end>
beast: hero
- once there was a <petty> {o} named {b} who lived {w}.|{w} lived a <petty> {o} [called|named] {b}.|long ago,
 a <petty> {o} lived {w} all alone. its name was {b}.|<time>, a <petty> {o} named {b} woke up {w}.
- {b} was very hungry, but the winter had been hard and there was little food.|{b} wanted to see what was
 behind the [hill| mountains|river].|{b} wished for a friend more than for anything else.|{b} wanted to find
 the <color> stone that the birds sang about.|all the animals were invited to a feast, but {b} did not know
 the way.
- so the {o} walked [all day|for a long time], but a wide river [stopped it|was in the way].|on the way a
 storm came, and {b} hid {s3}.|"you are too [small|slow|young|loud]," laughed a proud [fox|crow|cat].|the way
 was long, and {b} hurt its foot on a stone.|but the path was dark, and the {o} was afraid.
- "[nobody will help me|I can not do it|what shall I do]," {b} thought, and felt <sad>.|{b} almost gave up and
 wanted to go home.|{b} sat down {s1} and [rested|looked at the moon].|the {o} tried it once, and twice, but
 it was too hard.
- then an old [owl|turtle|bear|swan] [asked|said], "^why are you so sad?" and {b} told everything.|then {b}
 heard a cry. a [bee|bird|mouse] had fallen into the water. {b} helped it at once.|a little
 [bird|mouse|squirrel] came and said, "^let us go together."|"be brave," said an old [turtle|owl|deer]. "[try
 once more|the way is not far]."
- so {b} took heart and went on.|{b} thanked the kind animal and tried again.|they helped each other, step by
 step, [until evening|until the sun came up].|this time {b} was [careful|patient] and did not stop.
- <soon> {b} found [more than {b} had wished for|what {b} had looked for|a warm place and good
 friends].|<soon> they [came to a green valley|stood on a high hill] and saw the sun rise.|and so the {o}
 found [what it needed|a friend for life].
- from that day on, {b} was never [alone|afraid] again.|"even a <petty> {o} can do great things," said
 {b}.|all the animals danced and sang until the stars came out.|and if you go there, you may still see the {o}
 {w}.|and {b} <know> <lesson>.
night: noise
- in the middle of the night, {n} woke up.|it was late and dark, and {n} could not sleep.|the wind was loud,
 and {n} lay in {his} bed.|one stormy night, {n} and {m} slept in a tent {p}.
- there was a strange sound {r1}.|{he} heard [something|somebody] {r1}. tap, tap, tap.|"did you hear that?"
 whispered {n}.|a dark shadow moved {r1}.
- {his} heart beat fast.|{n} pulled the blanket over {his} head.|{he} was afraid and did not move.|"is it a
 [thief|wolf|ghost]?" {he} thought.
- then the sound came again, and it was closer.|{he} wanted to call {his} <kin>, but no word came out.|for a
 while it was quiet. then it came again.|?{he} counted to ten and [listened|held {his} breath].
- but {n} wanted to be brave. {he} took a lamp and stood up.|at last {he} lit a candle and went to look.|{he}
 [called|woke] {h1}, and they looked together.
- {r1} sat a little {o}, [wet from the rain|as afraid as {n}|with big round eyes].|it was only a small
 {o}!|there was no thief and no ghost. there was just a {o}.
- {n} laughed and gave the {o} [some water|some bread|a dry place].|"you little {o}!" said {n}. "you scared
 me."|{n} opened the window, and the {o} went out into the night.
- <end>|after that, {n} was not afraid of the dark any more.
paint: paint
- the {o} [near {pl}|of {h1}] was old and dirty.|<time>, {n} and {m} saw that the old {o} needed paint.|{his}
 <kin> had an old {o} that was grey and ugly.|nobody liked the [old|ugly] {o} of {h1}.
- "let us paint it," said {n}. "what colour?" asked {m}.|{n} had an idea: {he} wanted to paint the {o}
 <color>.|"could you clean and paint it?" {h1} asked {n}.
- {n} wanted it {c1}, but {m} wanted it {c2}.|they had brushes but only a little paint.|they began early, but
 then it started to rain.|{n} worked so fast that {he} dropped the paint.|the wind blew leaves and dust onto
 the wet paint.
- <sorrow>|?{m} laughed, because {n} had paint on {his} nose.
- then {h1} gave them [a big brush|more paint|some old clothes] and helped.|"why not use [both|two|three]
 colours?" asked {h1}.| "do it slowly, from the top to the bottom," said {h1}.|{m} had a better plan: first
 they cleaned everything well.
- they worked until the sun went down.|{n} painted the left side, and {m} painted the right side.|piece by
 piece the {o} became beautiful.
- now the {o} was <color> and white, and it looked like new.|at last the {o} shone in the sun.|everyone who
 came by stopped to look at the {o}.
- <end>
grow: grow
- <time>, {n} put a tiny seed into the ground. "it will be a {o} one day," said {his} <kin>.|{n} wanted to
 grow a {o} {p2}.| {h1} gave {n} a small seed. "a {o} will grow from it," said {h}.
- every [morning|evening|day] {n} gave it water, but nothing came.|{n} waited one week, and two weeks, but
 [the ground stayed empty|there was no {o}].|?{n} was not patient and wanted to see it grow at once.
- "maybe it is dead," said {m}.|a bird came and wanted to eat the seed.|the [spring|summer] was hot, and it
 did not rain.|some hens walked over the place and dug there.
- ?<sorrow>
- "wait," said {h1}. "a {o} needs [time|sun, water and time]."|{h1} showed {him} how to [keep the ground
 wet|build a little fence].|{m} helped {him} to carry water from the [river|pond].
- then one <daytime> {he} saw something small and green.|after a warm rain, a little green tip came
 out.|<soon> there were two small leaves.
- the {o} grew and grew[, and everybody came to see it|].|by [summer|autumn] it was a [beautiful|fine|strong]
 {o}.|"look at my {o}!" called {n}.
- <end>|and {n} <know> that good things take time.
engine: engine
- <time>, {n} and {his} <kin> wanted to go to {pl} in an old {o}.|<time>, {h1} came down the road in a <color>
 {o}.|a <color> {o} stood near {pl}, and people looked at it.
- but the {o} did not start.|but suddenly the {o} stopped and did not move.|the {o} made a loud noise,
 [smoked|shook] and stopped.
- "[oh no|oh dear]," said {n}. "we will be late."|{n} looked at the {o} from all sides.|it was [hot|cold] and
 far from home.
- they tried it again and again, but nothing happened.|they pushed and pulled, but the {o} was too
 heavy.|first they looked for the fault, but they could not find it.
- then {m} came with a [rope and a horse|big box of tools|can of oil].|{n} ran to get {m}, who knew a lot
 about machines.|a kind farmer stopped and asked, "^may I help you?"
- "it needs [oil|water|a new wheel|fuel]," <said> {m}, and {m} was right.|everyone helped, and {n} counted,
 "^one, two, three!"|{n} held the light while {m} fixed a small part.
- <soon> the {o} moved again.|brum! the {o} started, and everybody cheered.|at last the {o} [drove|went] on,
 slowly but surely.
- <end>
late: late
- <time>, {n} wanted to [visit|see] {his} <kin> and needed to take the {o}.|{n} had to be {p} at
 [eight|nine|ten], and the {o} did not wait for anyone.|<who> {he} had never been on a {o}, but today was the
 day.
- but {he} woke up late.|but on the way {he} met {m}, who had lost {his2} bag.|but {he} could not find {his}
 [ticket|shoes|coat].|but halfway {he} saw that {he} had no ticket.
- {n} ran as fast as {he} could.|"wait for me!" {he} called.|{he} ran past the church and over the bridge.|?it
 began to rain, and the street was wet.
- {he} saw the {o} leave without {him}.|when {he} came, the {o} was gone.|too late! the {o} was already far
 away.
- ?<sorrow>
- "do not worry," said {h1}. "the next {o} leaves in an hour."|then {h1} came by with a cart and took {him}
 along.|{h1} gave {him} <treat> and waited with {him} for the next {o}.
- on the way {he} met a nice [boy|girl|old man|old woman], and they talked and laughed.|<soon> {n} sat in the
 next {o} and looked out.| ?from the window {he} saw [green fields|the sea|high mountains].
- so {n} came late, but {he} was <glad>.|<end>|after that, {n} always got up early.
job: job
- <who>|<time>, {n} went to {pl} and met a {o}.|{n} [wanted|hoped] to be a {o} one day.|the <kin> of {n} was a
 {o}.
- "may I watch you work?" {he} asked [the|a] <kind> {o}.|{he} wanted to know what a {o} does all day.|one
 <weather> <daytime> {he} visited a <kind> {o}.
- "today I need help," said the {o}. "[I have so much to do|I am tired|my helper is sick]."|the {o} had a
 problem: everything went wrong that day.|the {o} said, "^it is not easy. look and learn."
- first {n} made a mistake and [dropped a box|broke a plate|forgot a bag].|{n} tried to help, but {he} was too
 [fast|slow|loud].|at first {n} did everything wrong and felt <sad>.
- "everyone makes mistakes," said the {o}[ kindly|]. "try again."|the {o} showed {him} each step slowly.|{m}
 came too, and they worked as a team.
- so {n} {v2} {v0}, and then {he} {u2} {u0}.|<soon> {n} could do it without help.|{n} worked [all
 <daytime>|until evening] and asked many questions.
- "<thanks>," said the {o}. "you [worked well|were a great help]."|the {o} gave {him} <treat>.|"come back
 tomorrow," said the {o} with a smile.
- "I want to be a {o} too," <said> {n}.|<end>
picture: any
- <time>, the teacher asked {n} [and the others|and {m}] to draw a {o}.|{n} wanted to draw a {o} for {his}
 <kin>.|there was a picture contest {p}, and {n} wanted to draw a {o}.|<who> {he} liked to paint, and most of
 all {he} wanted to paint a {o}.
- but {his} {o} looked like a [potato|cloud|shoe|pancake].|but {he} did not know how to begin.|but the first
 picture was too dark.|but {m} laughed and said, "^that is not a {o}!"
- ?<sorrow>
- ?{he} [took|used] a new sheet of paper, but it was no better.|{he} threw the paper away and began
 again.|?{he} tried it with a <color> pencil.
- "look first, then draw," said {h1}.|{h1} showed {him} how to begin with [a circle|simple lines|the big
 parts].|{m} came and [gave|lent] {him} {his2} best <color> pencil.|so {he} thought about the {o} with closed
 eyes.
- line by line the {o} appeared on the paper.|this time {he} worked slowly and used {c1} and {c2}.|{he} drew a
 big {o}, and around it {he} drew [stars|flowers|people].
- the picture of the {o} [won a prize|hung {r} for years|made everyone smile].|"what a [beautiful|fine] {o}!"
 said {m}.|{his} <kin> hung the {o} on the wall.
- <end>
wish: rare
- {n} had never seen a real {o}.|<who> {he} had read about a {o} in a book and wanted to see one.|"have you
 ever seen a {o}?" asked {m}. {n} [said no|had not].|in an old book {n} saw a picture of a {adj2} {o}.
- "I want to see a {o} with my own eyes," {he} <said>.|{he} talked about it [day and night|all the time].|{he}
 asked {h1} where {he} could find one.
- "[it is far away|the way is long]," said {his} <kin>.|{m} only laughed. "there is no {o} here," {he2}
 said.|but {he} did not know where to look.|they went to [many|ten] places, but there was no {o}.
- they looked [here and there|everywhere], but without luck.|<sorrow>|it began to rain, and {n} wanted to go
 home.|?{n} waited and waited.
- then {h1} said, "^come with me. I know a place."|"look over there!" called {m}.|{h1} took {him} by the hand,
 and they walked [for an hour|a long way|over the hills].|then {n} got a letter from {his} <kin>: "^come and
 visit us!"
- and there it was: a {adj2} {o}!|and then {n} stood in front of a real {o}.|for a moment {n} could not speak.
 it was a {o}!
- "it is even [better|more beautiful] than I [thought|hoped]," <said> {n}.|{he} looked at it for a long time[
 and smiled|].|{he} drew it, so that {he} would not forget it.
- <end>
dream: any
- one night, {n} had a strange dream about a {o}.|{n} fell asleep {p} and dreamed of a {o}.|in a dream, {n}
 saw a {adj2} {o}.|it was late, and {n} fell asleep. {he} dreamed of a {o}.
- in the dream the {o} [could talk|was as big as a house|was made of glass|was made of gold].|the {o} said,
 "^hello, {n}. I need your help."|it was a {o} from a land far away, where everything was <color>.
- a [wolf|giant|storm] wanted to take it away.|{n} wanted to follow it, but {his} feet did not move.|{he} had
 to carry it over a [river|mountain], and it was heavy.|somebody had locked all the doors, and {n} looked for
 the way out.
- {n} felt <sad> and called for help.|{he} tried to shout, but no sound came.|?{he} ran and ran.
- then {m} came on a <color> horse.|then {h1} gave {him} a [golden|small] key.|then the moon spoke: "^do not
 be afraid."
- together they flew over the [village|sea|forest].|at last everything was well, and there was music and
 cake.|?the {o} [smiled| laughed] and said <thanks>.
- then {n} woke up. the sun was in {his} room.|but it was only a dream. {n} rubbed {his} eyes.|"wake up, {n},"
 said {his} <kin>. "it is late."
- at breakfast {he} told {m} about the {o}, and {he2} laughed.|{n} was <glad>, and all day {he} thought about
 the {o}.|after breakfast {n} made a picture of the {o}.
rain: none
- <time>, {n} and {m} wanted to have a picnic {p}.|"let us go to {pl}," said {n}. "yes, please," <ans>
 {m}.|<time>, {n} and {m} walked to {pl} with a basket.
- they took [bread and cheese|apples and cookies|sandwiches and tea] and a <color> blanket.|?the sky was blue,
 and the birds sang.|{m} carried the food, and {n} carried the blanket.
- but suddenly dark clouds came.|but then it began to rain[ hard|].|but the wind grew strong, and the sky
 turned black.
- they ran and hid {s1}, but it was wet there too.|the wind blew the blanket away, and {n} ran after it.|"I am
 wet and cold," said {m}.|{m} was afraid of the [thunder|lightning].
- ?<sorrow>
- then they saw a light in a little house. {h1} opened the door.|"come in, please," called {h1}. "it is warm
 here."|then {n} had an idea. they made a tent from the blanket.|{h1} came with a big umbrella.
- they [dried their clothes|sat by the fire] and shared the food.|there they told [funny|old] stories until
 the rain stopped.| and so they had their picnic in a dry place.
- when the sun came back, there was a rainbow.|<end>
newkid: none
- on <day> a new [child|pupil] came to school. {his2} name was {m}.|{m} was new in the [village|town|class]
 and knew nobody.| {m} had come from a country far away.
- {he2} sat alone {s1} and said nothing.|nobody played with {him2}.|{he2} did not know the games of the
 others.|{he2} could not speak the language well.
- some children laughed at {him2}, and {he2} began to cry.|"we do not want you here," said a rude
 [boy|girl].|?one <daytime> somebody even hid {his2} bag.
- {n} saw it and [did not like it|felt sorry for {him2}].|"that is not kind," {n} told the others. "stop
 it."|{n} was shy, but {he} thought, "^I must do something."
- {n} went to {him2} and said, "^hello. I am {n}. do you want to [play|sit with me|share my lunch]?"|"come and
 {v1} {v0} with us," said {n}.|so {n} sat down next to {him2} and gave {him2} half of {his}
 [apple|sandwich|cake].
- {m} <smile>, and <soon> they [talked|played] like old friends.|it turned out that {m} could
 [draw|sing|dance] very well.|{m} showed {him} a game from {his2} old home.
- <thank>
- from then on they walked home together every day.|<end>
learn: none
- {n} could not <skill>, and it made {him} sad.|<who> {he} wanted to learn to <skill>.|<time>, {n} said to
 {m}, "^I want to learn to <skill>."|all {his} friends could <skill>. only {n} could not.
- "it is easy," said {m}, but it was not easy for {n}.|the first time, everything went wrong.|{he} tried it
 {p}, but {he} was afraid.|{he} tried it on <day>, and it did not work.
- the other children laughed at {him}.|{he} fell, got up, and fell again.|"I will never learn it," {he}
 said.|?{his} legs [hurt| shook].
- ?<sorrow>
- "I needed a whole year to learn that," said {h1}.|then {h1} said, "^[do a little every day|start slowly]. I
 will help you."|{m} said, "^do not give up. I will stay with you."|{h1} showed {him} a trick.
- so {n} tried it every <daytime> before [dinner|school|breakfast].|{he} practiced for [two|three|four]
 weeks[, in sun and rain|].| each day it was a little easier.
- and one <weather> day {he} could do it!|then, on <day>, it worked[ for the first time|].|<soon> {n} could do
 it better than {m}.
- <end>
race: none
- <time>, there was a race {p}, and {n} wanted to win.|{n} and {m} were the fastest runners of the
 school.|"tomorrow I will win the race," said {n}.|once a year there was a big race {p}.
- {he} had run every <daytime> for weeks.|many people stood {p} and cheered.|?{his} <kin> gave {him} <treat>
 before the race.
- one, two, three, go! {n} ran [like the wind|as fast as {he} could].|at first {m} was ahead, but then {n}
 came closer.|{n} was first, and {m} was close behind.
- suddenly {m} fell and held {his2} [knee|foot|leg].|then {n} heard a cry. {m} lay on the ground.|near the
 end, {m} [fell over a stone|lost a shoe and fell].
- {n} could win now, but {m} needed help.|"run on!" called the people.|for a moment {n} did not know what to
 do.
- then {he} turned around and gave {m} {his} hand.|{he} stopped and asked, "^are you hurt?"|{n} went back and
 helped {him2} up.
- together they walked to the end, the very last of all.|they did not win, but everybody [cheered|stood up]
 for them.|another [boy| girl] won, but {n} did not mind.
- <thank>
- ?"a friend is better than a prize," <said> {n}.|<end>
chores: none
- <time>, {h1} was [sick|very tired|too busy] and could not {v1} {v0}.|"can you help me, please?" {h1} asked
 {n}. "I have to {v1} {v0} and {u1} {u0}."|<who> one <daytime> {he} saw that {h1} had too much to do.
- {n} wanted to play with {m}, but {he} said yes.|"of course," <ans> {n}.|"I will help you," {n} told {h}.|{n}
 and {m} wanted to help.
- first {he} {v2} {v0}[, and that was easy|].|{n} {v2} {v0}, and {m} {u2} {u0}.|while {n} {v2} {v0}, {m} {u2}
 {u0}.
- but then something went wrong. [a bucket fell over|a hen ran away|the light went out|a bag broke].|but it
 was much more work than {he} had thought.|but {he} was [too fast|not careful], and {he} had to begin
 again.|but it was hard to {u1} {u0} alone.
- ?<sorrow>
- "let us do it together," <said> {m}.|{m} knew a [better|faster] way.|{he} rested a little, drank some water,
 and tried again.| {he} sang a song, and the work was easier.
- <soon> everything was [done|ready].|by [noon|evening] the work was done.|when {h} came back, everything was
 [done|clean|in its place].
- {h} [was surprised|could not believe it] and gave them <treat>.|"<thanks>, {n}," said {h}. "you are a
 [good|great] {boy}."
- ?<end>
"""

_SCENES = """
fine: out
- it was a [sunny|warm|bright|fine|mild] <daytime> {p}.|the sun shone[ brightly|] {p}.|<daytime1> was
 [warm|bright|quiet] {p}, and the sky was blue.|it was <season1>, and the air was [warm|soft|sweet].
- a {adj} {o} [lay|stood] {s1}, and {s2} sat a [<color>|small|big] [bird|cat|butterfly|frog].|{s1} [lay|stood]
 a {adj} {o}.|two [birds|ducks| squirrels|children|butterflies|dogs] played {s1}.|a <color> [bird|butterfly]
 sat {s2}.|[many|some|a few] <color> flowers grew {s1}.
- {n} {v2} {v0}, and {m} {u2} {u0}.|{m} {u2} {u0}, while {n} {v2} {v0}.|a <kind> {boy} named {n} {v2}
 {v0}.|not far away, {n} {v2} {v0}.
- an old [man|woman] [sat|rested] {s3} and [watched|listened to] the [birds|clouds|children|ducks].|{h1} {w2}
 {w0}.|{h1} came by and said hello.|somewhere a [dog|cow|donkey|goose] [called|made a noise], and then it was
 quiet again.
- ?it smelled of [grass|flowers|fresh bread|summer].|everyone was [glad|happy|in no hurry].|nobody wanted to
 go home.|a soft wind moved the leaves.|from far away came [music|the sound of a bell|a song].
rain: out
- it rained [all <daytime>|hard|since the morning] {p}.|dark clouds hung in the sky, and rain fell {p}.|it was
 a wet and [cold|grey| windy] <daytime>.|the wind blew, and the rain fell on {pl}.
- a wet {o} [lay|stood] {s1}.|water stood {s1} and {s2}.|somebody had left a {adj} {o} {s1}.|{s1} sat a wet
 [cat|bird|dog|frog].
- {n} hurried home under a <color> umbrella.|{n} wore a <color> coat and jumped into the water with both
 feet.|{n} and {m} ran [home|to a dry place].|{h1} closed the window and lit a lamp.
- only the [ducks|frogs|fish] were happy about the weather.|the streets were empty.|a [bus|car|truck|cart]
 drove by slowly.|{m} stood under a roof and waited.|drops ran down the [windows|walls|leaves].
- ?in the evening the rain stopped at last.|<soon> the sun came out, and {n} saw a rainbow.|inside the houses
 it was warm.
snow: out
- it was winter, and {pl} was white.|snow fell {p}.|it was a cold winter <daytime>.|in the night it had
 snowed.
- the [trees|roofs|paths] were white, and the [lake|pond|river] was full of ice.|snow lay {s1}, and everything
 was quiet.|{s1} somebody had forgotten a {adj} {o}.|a hungry [fox|bird|deer|squirrel] looked for food {s1}.
- {n} pulled a <color> sled, and {m} made a ball of snow.|{n} and {m} built a man of snow with a carrot for a
 nose.|{n} wore a <color> cap and warm gloves.|{h1} cleaned the path, and {n} helped.
- smoke came from the houses.|a [dog|cat] left small prints in the snow.|{m} laughed, because {his2} nose was
 red.|{n} had cold hands but was <glad>.
- ?at home there was <treat>.|in the evening the stars were very bright.|<soon> it snowed again.
home: home
- it was a [quiet|cold|rainy|warm|busy] <daytime> {r}.|<daytime1> came, and a lamp was lit {r}.|{n} was
 {r}.|it was <day>, and the family was at home.
- a {adj} {o} [lay|stood] {r1}, and {r2} slept a [<color>|big|small|fat] cat.|{r1} was a {adj} {o}.|there was
 a {adj} {o} {r1}.|{r1} there were [two|three|four] [books|bags|boxes|cups|hats].
- {n} {v2} {v0}, and {his} <kin> {u2} {u0}.|{n} {v2} {v0}.|while {n} {v2} {v0}, {m} {u2} {u0}.|first {n} {v2}
 {v0}, and then {he} {u2} {u0}.
- the [clock|stove|radio] made a soft sound.|it smelled of [soup|fresh bread|tea|apples].|{h1} came in and
 {w2} {w0}.|outside, the wind [sang|blew] around the house.
- ?"[dinner|breakfast|lunch] is ready," called {his} <kin>.|it was a good place to be.|nobody spoke[ for a
 while|].|{n} felt warm and <glad>.
town: town
- it was [early|late|noon|almost evening] {p}.|it was a [busy|quiet|noisy|sunny] <daytime> {p}.|<day> was
 always a [busy|quiet] day {p}.| many people were {p} that <daytime>.
- a <adult> stood at the entrance with a {adj} {o}.|{s1} [lay|stood] a {adj} {o}.|somebody had left a {adj}
 {o} {s1}.|there were people everywhere, and {s1} slept a [<color>|big|small] dog.
- {n} [talked|spoke] with {h1}, and {m} looked at a <color> [picture|bag|hat|car|bicycle].|{h1} carried a
 [heavy|<color>] [box|bag|basket], and {n} helped.|a <kind> {boy} named {n} asked for the way.|{n} and {m}
 waited for [a bus|a friend|{h1}].
- a [child|baby|dog] made a lot of noise.|"good <daytime>," {h1} said to everyone.|two old men talked about
 the weather.|a woman counted her coins and bought <treat>.|a [bus|car|truck|taxi] stopped, and a <adult> got
 out.
- ?<soon> it grew quiet {p}.|the bell rang [two|three|four|five] times.|then everyone went home.|{n} liked to
 be {p}.
night: out
- it was night, and the moon stood over {pl}.|night came, and it was dark {p}.|the stars were bright over
 {pl}.|it was late {p}.
- {s1} lay a forgotten {o}.|an owl sat {s1} and called.|a mouse ran by and hid {s2}.|a [fox|cat|hedgehog]
 walked slowly through the [grass|dark].
- only one window was bright. there {n} {t2} {t0}.|{n} could not sleep and looked at the [moon|stars].|{n} and
 {m} lay in their beds and talked softly.|{h1} walked home with a lantern.
- a train [called|passed] far away.|the wind was [soft|cold], and the trees moved.|somewhere a dog [made a
 noise|was awake].|nobody was in the street.
- ?then everything was quiet.|<soon> {n} fell asleep.|it was a good night to dream.
"""

_DIALOGUES = """
unkind: talk
- "{n}, let us <unkind>," [said|whispered] {m}[ with a smile|].|{m} [came|ran] to {n} and said, "^let us
 <unkind>."|<time>, {m} asked {n}, "^will you help me to <unkind>?"|{p}, {m} had a bad idea. "help me to
 <unkind>, please," {he2} told {n}.
- "I am sorry, but I can not help with that, because [it is not kind|it would make somebody sad]," said
 {n}.|"no, I am sorry," <ans> {n}. "[it is not right|that would not be fair], and [nobody|no one] would like
 it."|"I do not want to do that, {m}," {n} said [kindly|calmly]. "[how would you feel?|think how sad the
 others would be.]"|"I am sorry, {m}, but I will not do that," <ans> {n}, "because it could hurt somebody."
- "[it was only a joke|it is just for fun]," said {m}. "a joke is only good when everyone can laugh," said
 {n}.|{m} was [angry| quiet] at first.|"why not?" asked {m}. "because [friends do not do that|it hurts]," said
 {n}.|?{m} looked at {his2} shoes.
- "let us <play>," said {n}, and {m} agreed.|"you are right. I am sorry," said {m} [at last|then].|"shall we
 <play>?" asked {n}. "yes, please," <ans> {m}.|so they went to {pl} and had a good time without hurting
 anyone.
danger: talk
- "{n}, can you help me to <danger>?" asked {m}.|"I want to <danger>," said {m}. "please help me,
 {n}."|<time>, {m} asked {n} to <danger>.|"come on, {n}, let us <danger>!" called {m}.
- "I am sorry, but I can not help with that, because it could hurt someone," said {n}.|"no, thank you. that is
 [too dangerous|not safe]," said {n}. "[you|we|somebody] could get hurt."|"please do not do that, {m}," <ans>
 {n}. "it is dangerous, and I do not want you to be hurt."|"I am sorry, {m}, but I must say no," said {n}.
 "[it is not safe|people could get hurt]."
- "are you afraid?" {m} asked. "I am careful," said {n}.|"[but it is fun|others do it too]," said {m}. "[it is
 still dangerous|I still say no]," <ans> {n}.|{m} was not happy, but {he2} listened.|?{m} thought about it for
 a moment.
- "I can help you to {v1} {v0} instead," said {n}.|"let us ask {h1} first," said {n}, and {m} agreed.|"thank
 you for telling me," said {m}. "let us <play>."|"you are right," said {m}. "I did not think of that."
borrow: talk
- "may I [borrow|use] your {adj} {o}, please?" {m} asked {n}.|{m} needed a {o} and went to {n}. "could you
 lend me your {o}, please?"|"excuse me, {n}, do you have a {o} for me?" asked {m}.
- "of course, here it is," said {n}.|"yes, but please be careful with it," <ans> {n}.|"I am sorry, I need it
 [now|today]," said {n}, "but you may have it [tomorrow|on <day>]."|"yes, please take it," said {n} with a
 smile.
- "<thanks>," said {m}. "[you are very kind|that is kind of you]."|"<thanks>, {n}," <ans> {m}. "I will [take
 good care of it|be careful]."|{m} <smile>. "<thanks>!"
- "you are welcome," said {n}.|"it is a pleasure," said {n}.|the next day {m} brought back the {o} and a
 [flower|cookie|card].|"what do you need it for?" asked {n}. "I want to surprise {h1}," said {m}.
shop: talk
- "good <daytime>," said the shopkeeper. "how may I help you?"|{n} went into the shop. "good <daytime>," said
 the shopkeeper.|<time>, {n} stood in the shop and looked around.
- "I would like a {o}, please," said {n}.|"hello. do you have a {adj} {o}, please?" asked {n}.|"good day. I am
 looking for a {o} for {m}," said {n}.
- "here is a nice one. it costs [two|three|four|five|six] coins," said the shopkeeper.|"I am sorry, the last
 {o} was sold [yesterday|an hour ago]," said the shopkeeper. "please come back on <day>."|"would you like the
 big one or the small one?" the shopkeeper asked. "the small one, please," said {n}.
- "<thanks>," said {n}. "have a nice day!"|"<thanks> for your help. goodbye," <ans> {n}.|{n} said <thanks> and
 held the door open for an old [man|woman].
way: talk
- "excuse me, please," {n} said to {h1}. "how do I get to {ql}?"|{n} was lost {p}. "excuse me, could you tell
 me the way to {ql}?" {he} asked {h1}.|"pardon me, where is {ql}?" {n} asked {h1} politely.
- "go [left|right] at the [church|school|bridge|mill|bakery], and then [straight on|up the hill|over the
 bridge]," said {h}.|"it is not far," said {h}. "just follow the [river|road|wall]."|"I am sorry, I do not
 know," said {h}, "but {m} can tell you." and {m} showed {him} the way.|"come with me, I am going there too,"
 said {h}.
- "<thanks>," said {n}. "you are very kind."|"<thanks> for your help," <ans> {n}.|{n} said <thanks> and walked
 on.
- "you are welcome. have a good day," said {h}.|<soon> {n} was there.|{n} found {ql} at once and was <glad>.
sorry: talk
- "{n}, did you take my {o}?" asked {m}.|"I broke your {adj} {o}, {m}," said {n}. "I am so sorry."|"I am sorry
 that I [was late|was loud|forgot you]," {n} said to {m}.|"{m}, I lost your {o}, and I am sorry," said {n}.
- "I should have [asked|told] you first," {n} [added|said]. "please forgive me."|"it was my fault," said {n}.
 "I will make it good again."|{n} looked at the ground. "I am really sorry," {he} said.
- "[thank you for telling me|it is good that you told me]," said {m}. "I am not angry any more."|"it is all
 right," <ans> {m}. "everyone makes mistakes."|at first {m} was upset, but then {he2} said, "^I forgive you."
- "can we still be friends?" asked {n}. "of course," said {m}.|"thank you, {m}," said {n}. "may I help you to
 {v1} {v0}?"|they shook hands and went to {pl} together.|then {n} gave {him2} <treat>.
invite: talk
- "would you like to <play> with me, {m}?" asked {n}.|"{m}, shall we <play> on <day>?" asked {n}.|{n} met {m}
 {p}. "do you want to <play> with me?" {he} asked.|<time>, {n} asked {m}, "^would you like to <play>?"
- "yes, please! I would love to," <ans> {m}. "[good, I am glad|then let us start]," said {n}.|"I am sorry, I
 have to {v1} {v0} first," <ans> {m}. "may I come later?" "of course, I will wait for you," said {n}.|"no,
 thank you," <ans> {m}. "I am tired today, but thank you for asking." "that is fine. we can do it another
 day," said {n}.|"thank you, that is kind," <ans> {m}. "may I bring my [brother|sister|dog]?" "of course,"
 said {n}.
- "[see you soon|goodbye]," said {m}.|"thank you, {n}. you are a good friend," said {m}.|{m} <smile> and waved
 goodbye.
offer: talk
- {h1} had a heavy {o2} to carry. "may I help you?" asked {n}.|"you look tired. can I {v1} {v0} for you?" {n}
 asked {h1}.|{n} saw {h1} {p} and asked, "^do you need help?"|"please let me help you to {v1} {v0}," {n} said
 to {h1}.
- "yes, please," <ans> {h}. "that is very kind of you."|"oh, thank you, {n}," said {h}. "my [back|arm|leg]
 hurts today."|"no, thank you, I can do it," said {h}, "but it is kind of you to ask."
- "you are welcome," said {n}.|"it is no trouble at all," said {n}.|"I am glad to help," <ans> {n} with a
 smile.|"just call me when you need me," said {n}.
- <soon> {m} came and helped, too.|then {h} gave {n} <treat>.|"I wish everyone was like you," said {h}.|"what
 a polite {boy}," {h} told {m} later.
rude: talk
- "give me that {o}!" shouted {m}.|"you are [stupid|ugly|slow], {n}," said {m}.|"go away! nobody needs you,"
 {m} told {n}.|"[hurry up|get out of my way]!" {m} shouted at {h1}.|{m} pushed to the front {p} and did not
 say sorry.
- everyone [stopped talking|looked at {m}].|nobody liked that[, and some people shook their heads|].|the
 others were [shocked| upset] and turned away from {m}.|{n} felt sad, and the others became quiet.
- "that was rude," said {n} calmly. "please [do not speak like that|be polite]."|"please do not talk like
 that," said {n}. "it [hurts|is not nice]."|"we do not [talk|act] like that here, {m}," <ans> {n}.|"I do not
 like that," said {n}. "you can ask politely."
- {m} turned red. "I am sorry," {he2} said. "[I was angry|I had a bad day]."|"I am sorry," said {m} [at
 last|after a while]. "I will [be kinder|not do it again]."|so {m} stood alone, and {he2} <know> that rude
 words make nobody happy. "I am sorry," {he2} said.
- ?"thank you for saying sorry," said {n}.|then {n} gave {him2} {his} hand.|after that, {m} spoke in a
 friendly way.
truth: talk
- "do you know [how many stars there are|what the moon is made of|how old the big tree is]?" {m} asked
 {n}.|"{n}, where does {h1} live?" asked {m}.|"will it rain on <day>?" {m} asked {n}.|"is there a {o} {q}?"
 {m} asked {n}.
- "I am sorry, I do not know," said {n}.|"I am not sure," <ans> {n}. "I do not want to tell you something
 wrong."|"I do not know that," {n} said honestly.
- "we can ask {h1}," said {n}.|"let us look in a book," said {n}.|"maybe {h1} knows it," said {n}.
- "good idea, <thanks>," said {m}.|"<thanks>, that is a good plan," <ans> {m}.|"it is good that you are
 honest," said {m}.
- ?so they went to {pl} together.|and <soon> they both knew more than before.|{m} <smile>, and they went off
 together.
sick: talk
- "how are you, {m}?" asked {n}.|"you look [pale|sad|tired], {m}. are you all right?" asked {n}.|<time>, {n}
 met {m}. "hello, how are you today?" {he} asked.
- "not so well," said {m}. "my [head|tooth|foot|stomach] hurts."|"I am a little sad," said {m}, "because I
 lost my {o}."|"thank you for asking," said {m}. "I did not sleep well."|"I am fine, thank you," said {m}.
 "and how are you?"
- "I am sorry to hear that," said {n}.|"can I do something for you?" asked {n}.|"shall I bring you <treat>?"
 asked {n}.|"I hope that tomorrow will be better," said {n}.
- "that is kind of you, {n}," <ans> {m}.|"yes, please stay with me for a while," said {m}.|so {n} stayed with
 {him2}, and they talked about [school|old times|the weather|the next summer].|"<thanks>. it is good to have a
 friend," said {m}.
"""

_MORE_RULES = """
petty: small|young|little|clever|shy|cheerful|lively|brown|grey|lonely|brave|curious|gentle|friendly
daytime1: the morning|the afternoon|the evening
season1: spring|summer|a fine day in autumn
skill: swim|ride a bicycle|dance|whistle|climb a rope|skate|play the flute|play the piano|sing|cook|knit|row a
 boat
unkind: laugh at the new pupil|hide the shoes of {h1}|steal some apples|tell a lie about {h1}|break the toy of
 the baby| take the lunch of the little ones|throw stones at the birds|read the secret letter of {h1}|pull the
 tail of the cat|write bad words on the wall|scare the small children|take money from {h1}|cheat in the
 test|put salt in the tea of {h1}|lock {h1} in the cellar
danger: play with fire|jump from the roof|walk on the thin ice|climb the high tower|drink from the bottle with
 the poison|cross the busy street with closed eyes|play on the train tracks|take the sharp knife outside|swim
 in the stormy sea|wake the angry dog|throw glass out of the window|open the cage of the lion|light a fire in
 the barn| drive the car of {h1}
play: play with the ball|fly a kite|go to {ql}|read a story|bake some cookies|draw a picture|feed the
 ducks|ride our bicycles|have a picnic|build a hut|sing a song|look for shells
"""

# ---------------------------------------- single sentences: X is the noun
_FRAMES: dict[str, str] = {
    "any": """{n} drew a picture of a X [{r}|for {m}|last <day>|with a <color> pencil].
{n} dreamed about a X [last night|again|on <day>] and woke up <glad>.
"look, there is a X!" [said|called|whispered|cried] {n}[ happily|].
{n} told {m} a [funny|short|long|strange|sad] story about a X.
the children [talked|laughed|read] about the X [in class|on the way home|after school].
{n} had never seen such a [strange|beautiful|small|nice|big] X before.
{n} wrote a [short|funny|long] poem about a X [for {m}|at school|on <day>].
{n} saw a [strange|beautiful|big] X on the way to {pl}.
can you see the X in [this|the old|the <color>] picture?
the X in the old picture made {n} [smile|laugh|cry|think of home].
{n} pointed at the X and [smiled|laughed|began to sing|asked a question].
{n} learned to write the word X [at school|with a <color> pencil|on <day>].
{n} painted a <color> X on the [wall|door|paper|plate|box] {r}.
in the old story, a X [makes a poor {boy} happy|saves the whole village|can speak].
{n} made a small X out of [paper|snow|wood|clay] for {m}.
{n} asked {h1} [two|three|many|some] questions about the X.
there is a [<color>|big|small] X on the [first|last] page of the book.
"is that really a X?" asked {n} [with big eyes|in surprise|softly].
the children sang a [new|funny|old|happy] song about a X {p}.
{h1} took a photo of {n} and the X {p}.
it was too dark for {n} to see the X [clearly|well].
{n} looked at the X for a long time [and smiled|without a word].
on the sign {p} there was a picture of a X.
every child in the class drew a [different|<color>|funny] X.
{n} thought about the X [all day|all the way home|before {he} fell asleep].
the museum has a [small|big] X made of [gold|glass|stone|wood].
{n} closed {his} eyes and thought of a [<color>|beautiful|big] X.
the X looked [beautiful|strange|different] in the [morning|evening|soft] light.
{n} cut a X out of [<color> paper|an old newspaper] for {m}.
{n} still remembers the X that {m} showed {him} [last <day>|{p}].
"please tell me more about the X," said {n} [politely|to {h1}].
do you remember the [strange|beautiful|old] X that we saw {p}?""",
    "small": """{n} put the X [{r1}|into a box|into a bag] and went home.
{n} found a {adj} X {s1} {p}.
{n} gave {m} a {adj} X for {his2} birthday.
the X [lay|was] {r1}, and nobody could find it.
"whose X is this?" asked {h1} in a loud voice.
{n} bought a {adj} X at the market for [two|three|five] coins.
{n} lost a X {p} and felt <sad>.
"may I borrow your X, please?" {m} asked {n}.
there is a {adj} X {r1} {r}.
{n} always keeps a {adj} X {r1}.
please bring me the {adj} X when you come back.
{n} carried the X carefully from {pl} to {ql}.""",
    "large": """the X is old, but {n} likes it very much.
{n} painted the X <color> with a new brush.
{n} cleaned the X with [water and soap|an old towel] on <day>.
the cat of {n} likes to sleep near the X.
{h1} needed [two|three|four] days to [fix|build] the X.
a {adj} X is not easy to carry [up a hill|alone].
{n} stood next to the X and waited for {m}.
the {adj} X was too [big|heavy] for {n} to move alone.""",
    "vehicle": """the X was late, so {n} waited [for an hour|in the rain].
{n} went to {ql} by X on a <weather> <daytime>.
a <color> X stopped near {ql}, and {n} got out.
the <color> X is faster than the old one.
{h1} fixed the X with new [oil|tools] on <day>.
{n} saw a <color> X in front of the house of {h1}.
the people cheered when the <color> X came back.""",
    "animal": """the X [ran|hid|came] [quickly|slowly] when {n} made a noise.
a [<petty>|hungry] X looked at {n} and did not move.
the <petty> X was hungry and looked for food {w}.
{n} saw a X and its [young one|mother] {w}.
"do not be afraid of the X," {h1} told {n}.
the X slept {w} until the sun came up.
{n} gave the hungry X some food and water.
what does a X like to eat in [winter|summer]?
a <petty> X lives {w} near the house of {n}.""",
    "food": """{n} ate a [big|fresh|nice] X for [breakfast|lunch|dinner] on <day>.
{n} shared {his} X with {m} {p}.
"this X is delicious," said {n} with a full mouth.
{n} put a X and some cheese into {his} lunch bag.
may I have another X for my friend, please?
a fresh X costs [two|three|four] coins at the market.
{n} cut the X into [two|three|four|six] pieces and shared it.
the last X lay on a <color> plate {r}.""",
    "job": """{n} wants to be a X when {he} grows up.
the X works hard from morning until evening.
"thank you for your help," {n} said to the X.
a <kind> X helped {n} {p} on <day>.
the X told {n} how to {v1} {v0}.
the <kin> of {n} is a X in a small town.
the X {v2} {v0} and talked with {n}.
every <daytime> the X {v3} {v0}, and {n} helps.""",
    "nature": """{n} likes to look at the X in the <daytime>.
we saw a beautiful X on our way through the valley.
the X is [small|far away], but {n} can see it well.
there is a X on the map that {n} drew.
the X was the most beautiful thing that {n} saw that day.
{n} and {m} drew the X with <color> pencils.""",
}

# ---------------------------------------- engine
_COLORS = _w("red blue green yellow white black brown grey pink purple")
_ADJ = {
    "small": _w("""red blue green yellow white black brown new old small big little beautiful pretty strange
        fine simple
        colorful lovely special"""),
    "large": _w("""red blue green yellow white black brown new old small big beautiful strange fine simple
        special"""),
    "vehicle": _w("red blue green yellow white black new old small big strange fine special"),
    "animal": _w("""small big little beautiful young old white brown black friendly gentle clever lively
        funny"""),
    "food": _w("big small fresh fine nice little special"),
    "job": _w("kind friendly clever young old famous patient honest busy"),
    "nature": _w("small big beautiful strange lovely special little"),
    "any": _w("small big beautiful strange special famous wonderful"),
}  # fmt: skip
_KIN = _w("mother father grandmother grandfather aunt uncle")
_HELPERS = _w("""man woman farmer baker teacher doctor nurse driver cook painter sailor gardener tailor
carpenter
    neighbour librarian fisherman builder""")
_HELPER_ADJ = _w("old kind friendly young wise tall clever gentle busy polite")
_HEAVY = _w("basket box bag ladder bucket chair")
_BEDS = _w("in the garden;behind the house;near the gate;under the window")
_TRADE = _w(
    "at the market;in the village;in the town;in the square;at the station;at the harbour;at the fair"
)
_PLACE_OF = {  # plots that need a special place; all others happen out of doors
    "gift": _TRADE, "buy": _TRADE, "lost": _OUT + _TOWN, "found": _OUT + _TOWN, "picture": _TOWN,
    "wish": _TOWN + _OUT, "engine": _TOWN, "late": _TOWN, "job": _TOWN,
    "newkid": ("at school", "in the classroom", "on the playground"),
}  # fmt: skip
_TOWN_SET = frozenset(_TOWN)


class _Slot(str):
    """A slot of the cast inside a parsed template."""


_RULE: dict[str, tuple] = {}
_TEXTS: list[str] = []  # every template text, for `lexicon`
_TOKEN = re.compile(r"[\[\]|]|\{\w+\}|<\w+>|[^\[\]|{<]+")


def _parse(text: str) -> tuple:
    """The options of a template as nested tuples of nodes."""
    _TEXTS.append(text)
    stack: list[list[list]] = [[[]]]
    for token in _TOKEN.findall(" ".join(text.split()).replace("| ", "|").replace("|?", "|")):
        if token == "[":
            stack.append([[]])
        elif token == "|":
            stack[-1].append([])
        elif token == "]":
            options = tuple(tuple(option) for option in stack.pop())
            stack[-1][-1].append(options)
        elif token[0] == "{":
            stack[-1][-1].append(_Slot(token[1:-1]))
        elif token[0] == "<":
            stack[-1][-1].append(_RULE[token[1:-1]])
        else:
            stack[-1][-1].append(token)
    assert len(stack) == 1, text
    return tuple(tuple(option) for option in stack[0])


def _expand(options: tuple, rng: random.Random, cast: dict[str, str], out: list[str]) -> None:
    for part in options[int(rng.random() * len(options))] if len(options) > 1 else options[0]:
        kind = type(part)
        if kind is str:
            out.append(part)
        elif kind is tuple:
            _expand(part, rng, cast, out)
        else:
            out.append(cast[part])


def _entries(text: str) -> list[tuple[str, str]]:
    """(name, body) of the entries of a table: a line "name: ..." and the lines after it that belong to it."""
    found: list[tuple[str, str]] = []
    for line in text.strip().splitlines():
        head = re.match(r"(\w+): ", line)
        if head:
            found.append((head[1], line[head.end() :]))
        else:
            found[-1] = (found[-1][0], found[-1][1] + ("\n" if line.startswith("- ") else " ") + line.strip())
    return found


def _plots(text: str) -> dict[str, tuple[str, tuple[tuple[bool, tuple], ...]]]:
    plots = {}
    for name, body in _entries(text):
        kind, *groups = body.split("\n- ")
        parsed = tuple((group.startswith("?"), _parse(group.removeprefix("?"))) for group in groups)
        plots[name] = (kind.strip(), parsed)
    return plots


for _name, _body in _entries(_MORE_RULES) + _entries(_RULES):
    _RULE[_name] = _parse(_body)
_STORY, _SCENE, _TALK = _plots(_PLOTS), _plots(_SCENES), _plots(_DIALOGUES)
_SENTENCE = {key: tuple(_parse(line) for line in text.splitlines()) for key, text in _FRAMES.items()}
_PLOT_NAMES = tuple(_STORY)


def _pick(rng: random.Random, items: Sequence[_T]) -> _T:
    """`rng.choice`, only faster."""
    return items[int(rng.random() * len(items))]


def _three(rng: random.Random, items: tuple[str, ...]) -> tuple[str, str, str]:
    """Three different items."""
    size = len(items)
    i = int(rng.random() * size)
    j = (i + 1 + int(rng.random() * (size - 2))) % size
    k = next(
        index for index in (i + size // 2, i + size // 2 + 1, i + size // 2 + 2) if index % size not in (i, j)
    )
    return items[i], items[j], items[k % size]


def _bare(place: str) -> str:
    return place.split(" ", 1)[1]


def _cast(rng: random.Random, noun: str, places: tuple[str, ...], verbs: str = "w") -> dict[str, str]:
    """Who and what a text is about."""
    girl = rng.random() < 0.5 or noun in ("dress", "purse", "necklace")
    hero, friend = _pick(rng, _SHE if girl else _HE), _pick(rng, _HE if girl else _SHE)
    place, other, _ = _three(rng, places) if len(places) > 2 else (places[0], places[0], "")
    wild, room = _pick(rng, _WILD), _pick(rng, _ROOM)
    out1, out2, out3 = _three(rng, _SPOT["town" if place in _TOWN_SET else "out"])
    in1, in2, in3 = _three(rng, _SPOT["room"])
    he, him, his = ("she", "her", "her") if girl else ("he", "him", "his")
    he2, him2, his2 = ("he", "him", "his") if girl else ("she", "her", "her")
    if rng.random() < 0.3:
        helper = later = f"{his} {_pick(rng, _KIN)}"
    else:
        who = _pick(rng, _HELPERS)
        helper, later = f"a {_pick(rng, _HELPER_ADJ)} {who}", f"the {who}"
    kind = _KIND.get(noun, "any")
    color, color2, _ = _three(rng, _COLORS)
    cast = {
        "n": hero, "he": he, "him": him, "his": his, "himself": him + "self", "boy": "girl" if girl else
        "boy",
        "m": friend, "he2": he2, "him2": him2, "his2": his2, "boy2": "boy" if girl else "girl",
        "h1": helper, "h": later, "o": noun, "os": plural(noun), "adj": _pick(rng, _ADJ[kind]),
        "adj2": _pick(rng, _ADJ["animal" if kind == "animal" else "any"]), "o2": _pick(rng, _HEAVY),
        "b": _pick(rng, _BEAST_NAMES), "p": place, "pl": _bare(place), "q": other, "ql": _bare(other),
        "r": room, "rl": _bare(room), "w": wild, "wl": _bare(wild), "p2": _pick(rng, _BEDS),
        "s1": out1, "s2": out2, "s3": out3, "r1": in1, "r2": in2, "r3": in3, "color": color,
        "c1": color, "c2": color2,
    }  # fmt: skip
    last = None
    for key, where in zip("vuwt", (verbs, verbs, verbs, "h"), strict=True):
        verb = _pick(rng, VERBS[where])
        while verb is last:
            verb = _pick(rng, VERBS[where])
        last = verb
        cast |= {key + "0": _pick(rng, verb[3]), key + "1": verb[0], key + "2": verb[1], key + "3": verb[2]}
    return cast


def _tell(groups: tuple[tuple[bool, tuple], ...], rng: random.Random, cast: dict[str, str]) -> str:
    """The text of the groups; the helper is "a kind driver" where first named and "the driver" after that."""
    out: list[str] = []
    parted = cast | {"h1": "\0", "h": "\0"}
    for optional, options in groups:
        if not optional or rng.random() < 0.5:
            out.append(" ^")
            _expand(options, rng, parted, out)
    return _tidy("".join(out).replace("\0", cast["h1"], 1).replace("\0", cast["h"]))


def story(rng: random.Random) -> str:
    """A short story."""
    name = _pick(rng, _PLOT_NAMES)
    kind = _STORY[name][0]
    noun = _pick(rng, NOUNS if kind in ("any", "none") else _SOME.get(kind) or _KINDS[kind])
    while True:
        text = _tell(_STORY[name][1], rng, _cast(rng, noun, _PLACE_OF.get(name, _OUT)))
        if text.count(" ") < 95 and sum(map(text.count, ".!?")) <= 9:
            return text


def scene(rng: random.Random) -> str:
    """A short description: weather, a place, things, and people at work or play."""
    kind, groups = _SCENE[_pick(rng, tuple(_SCENE))]
    noun = _pick(rng, _KINDS["small"])
    return _tell(
        groups, rng, _cast(rng, noun, {"town": _TOWN}.get(kind, _OUT), "h" if kind == "home" else "o")
    )


def dialogue(rng: random.Random) -> str:
    """Two people talk, mostly politely; they refuse to do what is unkind or dangerous and say why."""
    _, groups = _TALK[_pick(rng, tuple(_TALK))]
    return _tell(groups, rng, _cast(rng, _pick(rng, _KINDS["small"]), _TRADE + _OUT))


def sentence_with(noun: str, rng: random.Random) -> str:
    """One sentence of 6 to 14 words that contains the bare `noun`."""
    frames = _SENTENCE["any"] + _SENTENCE.get(_KIND.get(noun, "any"), ())
    while True:
        out: list[str] = []
        _expand(_pick(rng, frames), rng, _cast(rng, noun, _OUT + _TOWN), out)
        text = _tidy("".join(out).replace("X", noun, 1))
        if 6 <= len(text.split()) <= 14:
            return text


def lexicon() -> frozenset[str]:
    """Every lower-case word that the grammar can produce, from its tables."""
    texts = [re.sub(r"\{\w+\}|<\w+>", " ", text).replace("X", " ") for text in _TEXTS]
    texts += [
        " ".join(words)
        for words in (NAMES, _BEAST_NAMES, NOUNS, PLACES, _BEDS, _HELPERS, _HELPER_ADJ, _COLORS)
    ]
    texts += [" ".join(words) for words in [*_ADJ.values(), *_SOME.values(), *_SPOT.values()]]
    texts += [" ".join((*row[:2], *row[3])) for rows in VERBS.values() for row in rows]
    texts += [row[2] for row in VERBS["w"]]
    texts += [" ".join(_KIN), "a an the he him his she her himself herself boy girl"]
    return frozenset(re.findall(r"[a-z]+", " ".join(texts).lower()))
