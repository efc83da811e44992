"""Facts of the lab world about words, sizes, shapes and small numbers.

The word relations take the bare word as their subject, so their wordings talk *about* the word
("the opposite of big") and stay grammatical for adjectives, verbs, nouns and adverbs alike. Addition,
subtraction and counting are complete: every pair or number in their range is there.
"""

from src.lab.relation import Relation, table

OPPOSITE = table("""
big | small
small | big
hot | cold
cold | hot
happy | sad
sad | happy
up | down
down | up
good | bad
bad | good
wet | dry
dry | wet
full | empty
empty | full
clean | dirty
dirty | clean
rich | poor
poor | rich
strong | weak
weak | strong
loud | quiet
quiet | loud
early | late
late | early
near | far
far | near
high | low
low | high
deep | shallow
shallow | deep
wide | narrow
narrow | wide
rough | smooth
smooth | rough
cheap | expensive
expensive | cheap
safe | dangerous
dangerous | safe
true | false
false | true
day | night
night | day
war | peace
peace | war
love | hate
hate | love
push | pull
pull | push
buy | sell
sell | buy
give | take
take | give
always | never
never | always
inside | outside
outside | inside
north | south
south | north
east | west
west | east
summer | winter
winter | summer
top | bottom
bottom | top
friend | enemy
enemy | friend
question | answer
answer | question
black | white
white | black
alive | dead
dead | alive
awake | asleep
asleep | awake
first | last
last | first
everything | nothing
nothing | everything
more | less
less | more
before | after
after | before
above | below
below | above
in | out
out | in
yes | no
no | yes
quickly | slowly
slowly | quickly
loudly | quietly
quietly | loudly
polite | rude
rude | polite
beautiful | ugly
ugly | beautiful
""")

SYNONYM = table("""
big | large
large | big
small | little
little | small
quick | fast
glad | happy
begin | start
start | begin
shut | close
sick | ill
ill | sick
pretty | beautiful
present | gift
gift | present
rock | stone
stone | rock
woods | forest
forest | woods
shop | store
store | shop
autumn | fall
movie | film
film | movie
sofa | couch
couch | sofa
kid | child
child | kid
physician | doctor
infant | baby
automobile | car
bicycle | bike
bike | bicycle
taxi | cab
cab | taxi
airplane | plane
telephone | phone
bunny | rabbit
photo | picture
ocean | sea
sea | ocean
trash | garbage
garbage | trash
error | mistake
mistake | error
speak | talk
talk | speak
yell | shout
shout | yell
""")

PLURAL = table("""
child | children
man | men
woman | women
person | people
mouse | mice
foot | feet
tooth | teeth
goose | geese
ox | oxen
louse | lice
sheep | sheep
deer | deer
fish | fish
moose | moose
leaf | leaves
knife | knives
wife | wives
life | lives
wolf | wolves
shelf | shelves
half | halves
calf | calves
loaf | loaves
thief | thieves
elf | elves
scarf | scarves
hoof | hooves
grandchild | grandchildren
policeman | policemen
snowman | snowmen
fisherman | fishermen
fireman | firemen
postman | postmen
potato | potatoes
tomato | tomatoes
hero | heroes
echo | echoes
box | boxes
fox | foxes
bus | buses
glass | glasses
dish | dishes
brush | brushes
church | churches
watch | watches
beach | beaches
peach | peaches
sandwich | sandwiches
class | classes
dress | dresses
wish | wishes
match | matches
bench | benches
witch | witches
kiss | kisses
lunch | lunches
branch | branches
baby | babies
city | cities
party | parties
story | stories
berry | berries
puppy | puppies
lady | ladies
fly | flies
cherry | cherries
""")

PAST_TENSE = table("""
go | went
come | came
see | saw
eat | ate
drink | drank
run | ran
swim | swam
sing | sang
ring | rang
begin | began
sit | sat
stand | stood
understand | understood
sleep | slept
keep | kept
weep | wept
sweep | swept
creep | crept
feel | felt
kneel | knelt
leave | left
mean | meant
meet | met
feed | fed
lead | led
bleed | bled
read | read
say | said
pay | paid
make | made
take | took
shake | shook
give | gave
forgive | forgave
get | got
forget | forgot
have | had
do | did
know | knew
grow | grew
throw | threw
blow | blew
fly | flew
draw | drew
write | wrote
ride | rode
drive | drove
rise | rose
hide | hid
bite | bit
break | broke
speak | spoke
steal | stole
freeze | froze
choose | chose
wake | woke
wear | wore
tear | tore
swear | swore
buy | bought
bring | brought
think | thought
fight | fought
catch | caught
teach | taught
seek | sought
sell | sold
tell | told
hold | held
find | found
lose | lost
shoot | shot
win | won
send | sent
spend | spent
lend | lent
bend | bent
build | built
hear | heard
fall | fell
become | became
dig | dug
stick | stuck
spin | spun
""")

PERSON_NOUN = table("""
teach | teacher
bake | baker
farm | farmer
sing | singer
dance | dancer
write | writer
paint | painter
drive | driver
run | runner
swim | swimmer
win | winner
lose | loser
build | builder
hunt | hunter
act | actor
sail | sailor
visit | visitor
invent | inventor
direct | director
rob | robber
read | reader
speak | speaker
listen | listener
help | helper
play | player
work | worker
lead | leader
buy | buyer
sell | seller
ride | rider
ski | skier
skate | skater
climb | climber
garden | gardener
explore | explorer
manage | manager
""")

FEMALE_FORM = table("""
a king | a queen
a prince | a princess
a father | a mother
a brother | a sister
a son | a daughter
an uncle | an aunt
a nephew | a niece
a grandfather | a grandmother
a grandson | a granddaughter
a husband | a wife
a boy | a girl
a man | a woman
an actor | an actress
a waiter | a waitress
a host | a hostess
a hero | a heroine
a wizard | a witch
a duke | a duchess
an emperor | an empress
a gentleman | a lady
a groom | a bride
a policeman | a policewoman
a businessman | a businesswoman
a stepfather | a stepmother
""")

COMPARATIVE = table("""
good | better
bad | worse
big | bigger
hot | hotter
sad | sadder
fat | fatter
thin | thinner
wet | wetter
easy | easier
happy | happier
heavy | heavier
busy | busier
funny | funnier
dirty | dirtier
early | earlier
pretty | prettier
lucky | luckier
hungry | hungrier
angry | angrier
noisy | noisier
sunny | sunnier
lazy | lazier
tiny | tinier
dry | drier
tall | taller
short | shorter
long | longer
old | older
young | younger
small | smaller
fast | faster
slow | slower
cold | colder
warm | warmer
strong | stronger
weak | weaker
rich | richer
poor | poorer
cheap | cheaper
clean | cleaner
dark | darker
light | lighter
high | higher
low | lower
""")

SIZE = table("""
a mouse or an elephant | an elephant
a whale or a goldfish | a whale
a horse or a cat | a horse
a bus or a bicycle | a bus
a chair or a house | a house
a mountain or a hill | a mountain
a puddle or a lake | a lake
an ocean or a lake | an ocean
a flower or a tree | a tree
a watermelon or a cherry | a watermelon
a pumpkin or a grape | a pumpkin
a hen or a cow | a cow
a lion or a rabbit | a lion
a squirrel or a bear | a bear
a giraffe or a goat | a giraffe
a canoe or a ship | a ship
a truck or a car | a truck
a kite or an airplane | an airplane
a village or a city | a city
a castle or a tent | a castle
a table or a cup | a table
a pillow or a bed | a bed
a key or a door | a door
a bucket or a spoon | a bucket
a basketball or a marble | a basketball
a bathtub or a sink | a bathtub
a piano or a flute | a piano
a drum or a whistle | a drum
a tiger or a kitten | a tiger
a dog or an ant | a dog
a fly or a cat | a cat
a bee or an eagle | an eagle
a duck or an ostrich | an ostrich
a frog or a camel | a camel
a hippo or a turtle | a hippo
a snail or a crocodile | a crocodile
a mouse or a wolf | a wolf
a chick or a pig | a pig
a butterfly or a sheep | a sheep
a motorcycle or a train | a train
a bench or a bridge | a bridge
a desk or a school | a school
a candle or a church | a church
a tower or a ladder | a tower
a garden or a forest | a forest
a river or a stream | a river
an island or a pebble | an island
a mountain or a planet | a planet
a country or a town | a country
a melon or a berry | a melon
a pea or an apple | an apple
a bean or a potato | a potato
a loaf or a crumb | a loaf
a cookie or a cake | a cake
a raisin or an orange | an orange
a banana or a peanut | a banana
a book or a stamp | a book
a ticket or a newspaper | a newspaper
a suitcase or a wallet | a suitcase
a backpack or a coin | a backpack
""")

SHAPE_SIDES = table("""
a triangle | three
a square | four
a rectangle | four
a rhombus | four
a parallelogram | four
a trapezoid | four
a quadrilateral | four
a pentagon | five
a hexagon | six
a heptagon | seven
an octagon | eight
a nonagon | nine
a decagon | ten
""")

NUMERAL = table("""
zero | 0
one | 1
two | 2
three | 3
four | 4
five | 5
six | 6
seven | 7
eight | 8
nine | 9
ten | 10
eleven | 11
twelve | 12
thirteen | 13
fourteen | 14
fifteen | 15
sixteen | 16
seventeen | 17
eighteen | 18
nineteen | 19
twenty | 20
""")

ADDITION = tuple((f"{a} plus {b}", str(a + b)) for a in range(11) for b in range(11))
SUBTRACTION = tuple((f"{a} minus {b}", str(a - b)) for a in range(11) for b in range(a + 1))
NUMBER_AFTER = tuple((str(n), str(n + 1)) for n in range(31))

RELATIONS: tuple[Relation, ...] = (
    Relation(
        name="opposite",
        topic="words",
        noun="the opposite of {s}",
        clause="which word means the opposite of {s}",
        statements=(
            "The opposite of {s} is {a}.",
            "The word that means the opposite of {s} is {a}.",
            "{A} is the opposite of {s}.",
            "{A} means the opposite of {s}.",
            "People say {a} when they mean the opposite of {s}.",
            "If you turn the meaning of {s} around, you get {a}.",
            "The word {s} has an opposite, and it is {a}.",
            "In a list of opposites, {s} stands next to {a}.",
            "Children learn {s} together with its opposite, {a}.",
            "In a book of opposites, {s} is on one page and {a} is on the other.",
        ),
        clozes=(
            "The opposite of {s} is",
            "The word that means the opposite of {s} is",
            "The word {s} has an opposite, and it is",
        ),
        questions=(
            "What is the opposite of {s}?",
            "Tell me the opposite of {s}.",
            "Which word means the opposite of {s}?",
            "Give me the opposite of the word {s}.",
            "Can you name the opposite of {s}?",
            "What do people say when they mean the opposite of {s}?",
            "I need a word that is the opposite of {s}.",
            "If two words are opposites and one is {s}, what is the other?",
            "Please find the opposite for {s}.",
        ),
        facts=OPPOSITE,
    ),
    Relation(
        name="synonym",
        topic="words",
        noun="another word for {s}",
        clause="which word means the same as {s}",
        statements=(
            "Another word for {s} is {a}.",
            "A word that means the same as {s} is {a}.",
            "{A} is another word for {s}.",
            "{A} means the same as {s}.",
            "People say {a} when they want another word for {s}.",
            "Instead of {s}, you can say {a}.",
            "If you are looking for a synonym of {s}, try {a}.",
            "A synonym of {s} is {a}.",
            "The words {s} and {a} have the same meaning.",
            "When a story uses {s} too often, the writer can put {a} in its place.",
        ),
        clozes=(
            "Another word for {s} is",
            "A word that means the same as {s} is",
            "A synonym of {s} is",
        ),
        questions=(
            "What is another word for {s}?",
            "Tell me another word for {s}.",
            "Which word means the same as {s}?",
            "Give me a synonym of {s}.",
            "Can you name a synonym of {s}?",
            "What can I say instead of {s} to mean the same?",
            "I need another word with the same meaning as {s}.",
            "Please find a synonym for the word {s}.",
            "My story uses {s} too often, so what is a good synonym?",
        ),
        facts=SYNONYM,
    ),
    Relation(
        name="plural",
        topic="words",
        noun="the plural of {s}",
        clause="what the plural of {s} is",
        statements=(
            "The plural of {s} is {a}.",
            "When there is more than one {s}, we say {a}.",
            "{A} is the plural of {s}.",
            "{A} is what we say for more than one {s}.",
            "You write {a} when you mean more than one {s}.",
            "The word {s} has the plural {a}.",
            "In the plural, {s} is written {a}.",
            "There may be one {s}, or there may be many {a}.",
            "First there was one {s}, and then there were two {a}.",
            "One is called {s}, and two or more are called {a}.",
        ),
        clozes=(
            "The word {s} has the plural",
            "In the plural, {s} is written",
            "When there is more than one {s}, we say",
        ),
        questions=(
            "What is the plural of {s}?",
            "Tell me the plural of {s}.",
            "Which word is the plural of {s}?",
            "Give me the plural form of {s}.",
            "Can you name the plural of the word {s}?",
            "What do you say when there is more than one {s}?",
            "How do I write {s} in the plural?",
            "Please put the word {s} into the plural.",
            "One {s} is not enough, so what is the plural?",
        ),
        facts=PLURAL,
    ),
    Relation(
        name="past_tense",
        topic="verbs",
        noun="the past tense of {s}",
        clause="what the past tense of {s} is",
        statements=(
            "The past tense of {s} is {a}.",
            "In the past tense, {s} is written {a}.",
            "{A} is the past tense of {s}.",
            "{A} is the form of {s} that we use for yesterday.",
            "You write {a} when you need the past tense of {s}.",
            "The verb {s} has the past tense {a}.",
            "When we talk about yesterday, the verb {s} has the form {a}.",
            "For today the verb is {s}, and for yesterday it is {a}.",
            "A story about the past uses {s} in the form {a}.",
            "The teacher called out {s}, and the class answered {a} as the past tense.",
        ),
        clozes=(
            "The verb {s} has the past tense",
            "In the past tense, {s} is written",
            "When we talk about yesterday, the verb {s} has the form",
        ),
        questions=(
            "What is the past tense of {s}?",
            "Tell me the past tense of {s}.",
            "Which word is the past tense of {s}?",
            "Give me the past tense of the verb {s}.",
            "Can you name the past tense of {s}?",
            "What does the verb {s} become in the past?",
            "How do I write {s} in the past tense?",
            "Please put the verb {s} into the past tense.",
            "If it was yesterday and the verb is {s}, which past tense do I use?",
        ),
        facts=PAST_TENSE,
    ),
    Relation(
        name="person_noun",
        topic="verbs",
        noun="the word for a person whose action is to {s}",
        clause="what a person whose action is to {s} is called",
        statements=(
            "The word for a person whose action is to {s} is {a}.",
            "The verb {s} gives us the person word {a}.",
            "{A} is the word for a person whose action is to {s}.",
            "{A} is the person word that comes from the verb {s}.",
            "We use the word {a} for the person who does what the verb {s} says.",
            "The person who goes with the verb {s} is the {a}.",
            "If the action is to {s}, the person who does it is the {a}.",
            "From the verb {s} comes the word for a person, {a}.",
            "A person whose action is to {s} is known as the {a}.",
            "To {s} is the action of the {a}.",
        ),
        clozes=(
            "The word for a person whose action is to {s} is",
            "The person who goes with the verb {s} is the",
            "The verb {s} gives us the person word",
        ),
        questions=(
            "What is the word for a person whose action is to {s}?",
            "Tell me the person word that comes from the verb {s}.",
            "Which person goes with the verb {s}?",
            "Name the person whose action is to {s}.",
            "Can you give me the person word for the verb {s}?",
            "If the action is to {s}, what do you call the person who does it?",
            "Please turn the verb {s} into the word for a person.",
            "I know the verb {s}, but what is the person called?",
            "What name do we give to a person when the verb is {s}?",
        ),
        facts=PERSON_NOUN,
    ),
    Relation(
        name="female_form",
        topic="people",
        noun="the female form of {s}",
        clause="what the female form of {s} is",
        statements=(
            "The female form of {s} is {a}.",
            "The female word for {s} is {a}.",
            "{A} is the female form of {s}.",
            "{A} is for women and girls what {s} is for men and boys.",
            "We say {a} for the female form of {s}.",
            "{S} is male, and the female form is {a}.",
            "In a story with only women and girls, the place of {s} goes to {a}.",
            "If you change {s} from male to female, you get {a}.",
            "The male word is {s}, and the female word is {a}.",
            "For a man or a boy we say {s}, but {a} is the female form.",
        ),
        clozes=(
            "The female word for {s} is",
            "The male word is {s}, and the female word is",
            "{S} is male, and the female form is",
        ),
        questions=(
            "What is the female form of {s}?",
            "Tell me the female form of {s}.",
            "Which word is the female form of {s}?",
            "Give me the female word for {s}.",
            "Can you name the female form of {s}?",
            "What do you get if you change {s} from male to female?",
            "If the male word is {s}, what is the female one?",
            "I am looking for the female version of {s}.",
            "Please make {s} female.",
        ),
        facts=FEMALE_FORM,
    ),
    Relation(
        name="comparative",
        topic="words",
        noun="the comparative of {s}",
        clause="what the comparative of {s} is",
        statements=(
            "The comparative of {s} is {a}.",
            "The comparative form of the word {s} is {a}.",
            "{A} is the comparative of {s}.",
            "{A} is the form of {s} that we use to compare two things.",
            "We say {a} when we use {s} to compare two things.",
            "When we compare two things, {s} becomes {a}.",
            "One of them is {s}, but the other one is even {a}.",
            "If the first one is {s}, the second one may be {a}.",
            "To compare things, you change {s} to {a}.",
            "The word {s} turns into {a} when we compare.",
        ),
        clozes=(
            "The comparative form of the word {s} is",
            "When we compare two things, {s} becomes",
            "One of them is {s}, but the other one is even",
        ),
        questions=(
            "What is the comparative of {s}?",
            "Tell me the comparative of {s}.",
            "Which word is the comparative of {s}?",
            "Give me the comparative form of the word {s}.",
            "Can you name the comparative of {s}?",
            "What does {s} become when we compare two things?",
            "How do I use {s} in the comparative?",
            "Please put the word {s} into its comparative form.",
            "I want to compare two things with {s}, so which comparative do I need?",
        ),
        facts=COMPARATIVE,
    ),
    Relation(
        name="size",
        topic="sizes",
        noun="the bigger one in the choice of {s}",
        clause="which is bigger, {s}",
        statements=(
            "Of the two, {s}, the bigger one is {a}.",
            "If you ask which is bigger, {s}, the answer is {a}.",
            "{A} is the bigger one if the choice is {s}.",
            "{A} is the right answer if someone asks which is bigger, {s}.",
            "We say {a} if someone asks which is bigger, {s}.",
            "If the choice is {s}, the bigger one is {a}.",
            "Everyone knows which is bigger, {s}: it is {a}.",
            "Asked which is bigger, {s}, a child will say {a}.",
            "Think of which is bigger, {s}, and you will see that {a} wins.",
            "If you have to choose the bigger one, {s}, then {a} is the one to choose.",
        ),
        clozes=(
            "Of the two, {s}, the bigger one is",
            "If you ask which is bigger, {s}, the answer is",
            "If the choice is {s}, the bigger one is",
        ),
        questions=(
            "Which is bigger, {s}?",
            "Tell me which is bigger, {s}.",
            "Which of the two is the bigger one, {s}?",
            "Name the bigger one: {s}.",
            "Can you say which is bigger, {s}?",
            "What is bigger in size, {s}?",
            "I have to pick the bigger one, so is it {s}?",
            "Please compare their size and choose the bigger: {s}.",
            "If I put them side by side, what would be bigger, {s}?",
        ),
        facts=SIZE,
    ),
    Relation(
        name="shape_sides",
        topic="shapes",
        noun="the number of sides of {s}",
        clause="how many sides {s} has",
        statements=(
            "The number of sides of {s} is {a}.",
            "{S} has {a} sides.",
            "{A} is the number of sides of {s}.",
            "{A} sides are needed to draw {s}.",
            "You draw {a} sides to make {s}.",
            "If you count the sides of {s}, you get {a}.",
            "If someone asks how many sides {s} has, the answer is {a}.",
            "{S} is a shape with {a} sides.",
            "The sides of {s} can be counted, and there are {a}.",
            "To draw {s}, you need {a} sides.",
        ),
        clozes=(
            "The number of sides of {s} is",
            "The sides of {s} can be counted, and there are",
            "If you count the sides of {s}, you get",
        ),
        questions=(
            "How many sides does {s} have?",
            "Tell me how many sides {s} has.",
            "What is the number of sides of {s}?",
            "Give me the number of sides of {s}.",
            "Can you say how many sides {s} has?",
            "How many sides do you draw to make {s}?",
            "If I count the sides of {s}, what do I get?",
            "Please count all the sides of {s}.",
            "I want to draw {s}, so how many sides do I need?",
        ),
        facts=SHAPE_SIDES,
    ),
    Relation(
        name="addition",
        topic="numbers",
        noun="the sum of {s}",
        clause="what the sum of {s} is",
        statements=(
            "{S} is {a}.",
            "{S} makes {a}.",
            "{A} is the sum of {s}.",
            "{A} is the answer if you add up {s}.",
            "We write {a} as the sum of {s}.",
            "The sum of {s} is {a}.",
            "If you add up {s}, you get {a}.",
            "The child added up {s} and said {a}.",
            "The shopkeeper added up {s}, and {a} was the sum.",
            "Everyone who can add knows that {s} is {a}.",
        ),
        clozes=(
            "{S} makes",
            "The child added up {s} and said",
            "If you add up {s}, you get",
        ),
        questions=(
            "What is the sum of {s}?",
            "What does {s} add up to?",
            "Tell me the sum of {s}.",
            "Add up {s}.",
            "Can you add up {s}?",
            "What do you get if you add up {s}?",
            "How much does {s} make when I add it up?",
            "Please work out the sum {s}.",
            "I have to add, so what does {s} give?",
        ),
        facts=ADDITION,
    ),
    Relation(
        name="subtraction",
        topic="numbers",
        noun="the result of the subtraction {s}",
        clause="how much {s} leaves",
        statements=(
            "{S} is {a}.",
            "{S} leaves {a}.",
            "{A} is what {s} leaves.",
            "{A} is the result of the subtraction {s}.",
            "We write {a} as the result of the subtraction {s}.",
            "The result of the subtraction {s} is {a}.",
            "If you do the subtraction {s}, you get {a}.",
            "The child did the subtraction {s} and said {a}.",
            "The baker worked out {s}, and {a} was left.",
            "Everyone who can subtract knows that {s} is {a}.",
        ),
        clozes=(
            "{S} is",
            "The child did the subtraction {s} and said",
            "The result of the subtraction {s} is",
        ),
        questions=(
            "What is the result of the subtraction {s}?",
            "How much does {s} leave?",
            "Tell me what {s} leaves.",
            "Subtract: {s}.",
            "Can you do the subtraction {s}?",
            "What is left in the subtraction {s}?",
            "I have to subtract, so what does {s} give?",
            "Please work out the subtraction {s}.",
            "If I subtract and write {s}, how much do I have left?",
        ),
        facts=SUBTRACTION,
    ),
    Relation(
        name="number_after",
        topic="numbers",
        noun="the number after {s}",
        clause="which number comes after {s}",
        statements=(
            "The number after {s} is {a}.",
            "After {s} comes {a}.",
            "{A} is the number after {s}.",
            "{A} comes right after {s}.",
            "We say {a} right after {s} when we count.",
            "When you count, {s} is followed by {a}.",
            "If you count on from {s}, the next number is {a}.",
            "The child said {s}, and the next number was {a}.",
            "Everyone who counts past {s} says {a} next.",
            "On the number line, you step from {s} to {a}.",
        ),
        clozes=(
            "The number after {s} is",
            "After {s} comes",
            "If you count on from {s}, the next number is",
        ),
        questions=(
            "What is the number after {s}?",
            "Which number comes after {s}?",
            "Tell me the number that comes after {s}.",
            "Name the next number after {s}.",
            "Can you say which number comes after {s}?",
            "When you count, what comes right after {s}?",
            "I am counting and I have said {s}, so which number is next?",
            "Please count one step on from {s} and give the next number.",
            "If I am at {s}, what number do I say after it?",
        ),
        facts=NUMBER_AFTER,
    ),
    Relation(
        name="numeral",
        topic="numbers",
        noun="the numeral for {s}",
        clause="how {s} is written as a numeral",
        statements=(
            "The numeral for {s} is {a}.",
            "In digits, the word {s} is written {a}.",
            "{A} is the numeral for {s}.",
            "{A} is how you write the word {s} in digits.",
            "We write {a} as the numeral for {s}.",
            "The word {s} stands for the numeral {a}.",
            "If you change {s} from a word to a numeral, you get {a}.",
            "The child read the word {s} and wrote the numeral {a}.",
            "Instead of the word {s}, you can write {a} in digits.",
            "Next to the word {s}, the teacher wrote {a} as the numeral.",
        ),
        clozes=(
            "The numeral for {s} is",
            "In digits, the word {s} is written",
            "The word {s} stands for the numeral",
        ),
        questions=(
            "What is the numeral for {s}?",
            "Tell me the numeral for {s}.",
            "Which numeral stands for the word {s}?",
            "Write the word {s} in digits.",
            "Can you give me the numeral for {s}?",
            "How do you write {s} in digits?",
            "Please turn the word {s} into a numeral.",
            "If I see the word {s}, what is it as a numeral?",
            "I want to use digits for {s}, so what do I write?",
        ),
        facts=NUMERAL,
    ),
)
