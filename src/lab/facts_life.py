"""The life tables of the lab world: animals, foods, jobs and everyday things.

Each `Relation` holds facts that any adult knows, and every wording the world has for them. Subjects are
spelled alike in all relations ("a dog"), so that prose can put several facts about one thing side by side. No
verb agrees with `{a}` in a relation that mixes singular and plural answers ("a hammer", "scissors").
"""

from .relation import Relation, table

ANIMAL_CLASS = Relation(
    name="animal_class",
    topic="animals",
    noun="the animal class of {s}",
    clause="which class of animals {s} belongs to",
    statements=(
        "{S} is a kind of {a}.",
        "The animal class of {s} is {a}.",
        "In the animal kingdom, {s} counts as a type of {a}.",
        "Biology books list {s} under the class name {a}.",
        "When pupils sort animals into classes, {s} goes under the heading {a}.",
        "A zoo guide will tell you that {s} is a sort of {a}.",
        "{S} belongs to the class of animals called {a}, as every zookeeper knows.",
        "{A} is the animal class of {s}.",
        "{A} is the class name that biologists use for {s}.",
        "The word {a} tells you which class of animals {s} belongs to.",
    ),
    clozes=(
        "{S} is a kind of",
        "The animal class of {s} is",
        "In the animal kingdom, {s} counts as a type of",
    ),
    questions=(
        "What animal class does {s} belong to?",
        "What kind of animal is {s}?",
        "Name the animal class of {s}.",
        "Tell me which class of animals {s} belongs to.",
        "Which class of the animal kingdom includes {s}?",
        "Can you give the animal class of {s}?",
        "In biology, {s} is placed in which animal class?",
        "Please state the class of animals that {s} is part of.",
        "I would like to know the animal class of {s}.",
    ),
    facts=table("""
        a dog | mammal
        a cat | mammal
        a cow | mammal
        a horse | mammal
        a pig | mammal
        a sheep | mammal
        a goat | mammal
        a rabbit | mammal
        a mouse | mammal
        a lion | mammal
        a tiger | mammal
        a bear | mammal
        a wolf | mammal
        a fox | mammal
        an elephant | mammal
        a giraffe | mammal
        a monkey | mammal
        a whale | mammal
        a dolphin | mammal
        a bat | mammal
        a kangaroo | mammal
        a seal | mammal
        a squirrel | mammal
        a deer | mammal
        a camel | mammal
        a zebra | mammal
        a hen | bird
        a duck | bird
        a goose | bird
        an owl | bird
        an eagle | bird
        a robin | bird
        a parrot | bird
        a penguin | bird
        a swan | bird
        a crow | bird
        a sparrow | bird
        an ostrich | bird
        a peacock | bird
        a flamingo | bird
        a turkey | bird
        a pigeon | bird
        a shark | fish
        a salmon | fish
        a trout | fish
        a cod | fish
        a tuna | fish
        a goldfish | fish
        a herring | fish
        a carp | fish
        a swordfish | fish
        a snake | reptile
        a lizard | reptile
        a crocodile | reptile
        a tortoise | reptile
        a turtle | reptile
        an ant | insect
        a bee | insect
        a butterfly | insect
        a beetle | insect
        a fly | insect
        a mosquito | insect
        a wasp | insect
        a moth | insect
        a grasshopper | insect
        a dragonfly | insect
        a ladybird | insect
        a frog | amphibian
        a toad | amphibian
        a newt | amphibian
        a salamander | amphibian
        a gecko | reptile
        an iguana | reptile
        an alligator | reptile
        a cobra | reptile
        a python | reptile
    """),
)

ANIMAL_SOUND = Relation(
    name="animal_sound",
    topic="animals",
    noun="the sound of {s}",
    clause="what sound {s} makes",
    statements=(
        "You can often hear {s} {a}.",
        "The word for the sound of {s} is {a}.",
        "To make its own sound, {s} will {a}.",
        "If you stand near {s}, you may hear it {a}.",
        "Children learn early that the sound word for {s} is {a}.",
        "You can tell that {s} is near by its sound when you hear it {a}.",
        "As everyone knows, {s} can {a}, and that is its sound.",
        "{A} is the word for the sound of {s}.",
        "{A} is what {s} does when it makes its sound.",
        "We use the word {a} for the sound that {s} makes.",
    ),
    clozes=(
        "You can often hear {s}",
        "The word for the sound of {s} is",
        "To make its own sound, {s} will",
    ),
    questions=(
        "What sound does {s} make?",
        "What is the word for the sound of {s}?",
        "Name the sound of {s}.",
        "Tell me what sound {s} makes.",
        "Can you give the word for the sound that {s} makes?",
        "Which word names the sound of {s}?",
        "If I heard {s}, what would its sound be called?",
        "Please say how we describe the sound of {s}.",
        "I want to know the usual sound word for {s}.",
    ),
    facts=table("""
        a cow | moo
        a calf | moo
        a dog | bark
        a seal | bark
        a cat | meow
        a kitten | meow
        a sheep | baa
        a pig | oink
        a horse | neigh
        a pony | neigh
        a donkey | bray
        a mule | bray
        a duck | quack
        a goose | honk
        a hen | cluck
        a rooster | crow
        a chick | cheep
        a turkey | gobble
        an owl | hoot
        a crow | caw
        a dove | coo
        a pigeon | coo
        a wolf | howl
        a coyote | howl
        a lion | roar
        a tiger | roar
        a snake | hiss
        a cobra | hiss
        a frog | croak
        a toad | croak
        a bee | buzz
        a fly | buzz
        a wasp | buzz
        a bumblebee | buzz
    """),
)

ANIMAL_HOME = Relation(
    name="animal_home",
    topic="animals",
    noun="the home of {s}",
    clause="where {s} has its home",
    statements=(
        "{S} lives in {a}.",
        "The home of {s} is {a}.",
        "If you want to find the home of {s}, look for {a}.",
        "The usual home for {s} is {a}.",
        "A child who draws the home of {s} will draw {a}.",
        "Look for {s} at home in {a}.",
        "{S} calls {a} its home.",
        "{A} is the home of {s}.",
        "{A} is where {s} has its home.",
        "People know {a} as the home of {s}.",
    ),
    clozes=(
        "{S} lives in",
        "The home of {s} is",
        "The usual home for {s} is",
    ),
    questions=(
        "What is the home of {s}?",
        "Where does {s} have its home?",
        "Name the home of {s}.",
        "Tell me what kind of home {s} lives in.",
        "Which home does {s} live in?",
        "Can you say what the home of {s} is?",
        "If {s} went back home, where would it go?",
        "Please describe the usual home of {s} in a word.",
        "I wonder what {s} has for a home.",
    ),
    facts=table("""
        a rabbit | a burrow
        a mole | a burrow
        a meerkat | a burrow
        a prairie dog | a burrow
        a honeybee | a hive
        a wasp | a nest
        a hornet | a nest
        a robin | a nest
        a blackbird | a nest
        a swallow | a nest
        a sparrow | a nest
        a crow | a nest
        a magpie | a nest
        a stork | a nest
        an eagle | a nest
        a spider | a web
        a horse | a stable
        a pony | a stable
        a donkey | a stable
        a dog | a kennel
        a lion | a den
        a fox | a den
        a bear | a den
        a wolf | a den
        a hen | a coop
        a pig | a sty
        a beaver | a lodge
        a badger | a sett
        a bat | a cave
        a hamster | a cage
        a canary | a cage
        a cow | a barn
        a snail | a shell
        a hermit crab | a shell
    """),
)

ANIMAL_YOUNG = Relation(
    name="animal_young",
    topic="animals",
    noun="the young of {s}",
    clause="what the young of {s} is called",
    statements=(
        "The young of {s} is called {a}.",
        "The name for the baby of {s} is {a}.",
        "When {s} has young, each of the little ones is {a}.",
        "A mother cares for her young, and for {s} the young one is {a}.",
        "One day {s} may have young of its own, and each one will be {a}.",
        "The young of {s} has its own name, and people call it {a}.",
        "{S} was once {a}, which is the name for its young.",
        "{A} is the young of {s}.",
        "{A} is what people call the baby of {s}.",
        "We call it {a} when we speak of the young of {s}.",
    ),
    clozes=(
        "The young of {s} has its own name, and people call it",
        "The name for the baby of {s} is",
        "The young of {s} has its own name, and people call it",
    ),
    questions=(
        "What is the young of {s} called?",
        "What do we call the baby of {s}?",
        "Name the young of {s}.",
        "Tell me what the young of {s} is called.",
        "Which word do we use for the young of {s}?",
        "Can you give the name for the baby of {s}?",
        "If {s} had a baby, what would we call it?",
        "Please say the proper word for the young of {s}.",
        "I am looking for the name given to the young of {s}.",
    ),
    facts=table("""
        a cow | a calf
        an elephant | a calf
        a giraffe | a calf
        a whale | a calf
        a dolphin | a calf
        a hippo | a calf
        a rhino | a calf
        a buffalo | a calf
        a camel | a calf
        a bison | a calf
        a moose | a calf
        a reindeer | a calf
        a dog | a puppy
        a cat | a kitten
        a sheep | a lamb
        a goat | a kid
        a pig | a piglet
        a horse | a foal
        a donkey | a foal
        a pony | a foal
        a zebra | a foal
        a duck | a duckling
        a goose | a gosling
        a hen | a chick
        a penguin | a chick
        an ostrich | a chick
        a flamingo | a chick
        a swan | a cygnet
        an owl | an owlet
        an eagle | an eaglet
        a lion | a cub
        a tiger | a cub
        a bear | a cub
        a leopard | a cub
        a cheetah | a cub
        a panda | a cub
    """),
)

ANIMAL_FOOD = Relation(
    name="animal_food",
    topic="animals",
    noun="the main food of {s}",
    clause="what the main food of {s} is",
    statements=(
        "The main food of {s} is {a}.",
        "{S} mostly feeds on {a}.",
        "When it is hungry, {s} looks for its food, which is mainly {a}.",
        "The food that {s} eats most often is {a}.",
        "Any book about {s} will say that its main food is {a}.",
        "To stay alive, {s} needs a lot of food, mainly {a}.",
        "{S} takes {a} as its main food.",
        "{A} would be a good meal for {s}, since that is its main food.",
        "{A} must be near for {s} to find enough food.",
        "You can expect {a} to be the main food of {s}.",
    ),
    clozes=(
        "Any book about {s} will say that its main food is",
        "{S} mostly feeds on",
        "The food that {s} eats most often is",
    ),
    questions=(
        "What is the main food of {s}?",
        "What does {s} mainly eat?",
        "Name the main food of {s}.",
        "Tell me what {s} mostly feeds on.",
        "Which food does {s} eat most often?",
        "Can you say what {s} likes to eat?",
        "If {s} is hungry, what food does it need?",
        "Please state what {s} eats as its main food.",
        "I need to feed {s}, so what food should I bring?",
    ),
    facts=table("""
        a cow | grass
        a horse | grass
        a sheep | grass
        a pony | grass
        a donkey | grass
        a zebra | grass
        a buffalo | grass
        a bison | grass
        a kangaroo | grass
        a hippo | grass
        a rhino | grass
        a rabbit | grass
        a hare | grass
        a bull | grass
        a wildebeest | grass
        a lion | meat
        a tiger | meat
        a leopard | meat
        a cheetah | meat
        a wolf | meat
        a hyena | meat
        a crocodile | meat
        a panda | bamboo
        a koala | leaves
        a giraffe | leaves
        a caterpillar | leaves
        a sloth | leaves
        a squirrel | nuts
        a canary | seeds
        a sparrow | seeds
        a finch | seeds
        a hamster | seeds
        a pigeon | seeds
        a dove | seeds
        a penguin | fish
        a seal | fish
        a dolphin | fish
        a pelican | fish
        a heron | fish
        an otter | fish
        a puffin | fish
        a kingfisher | fish
        a sea lion | fish
        a shark | fish
        a blue whale | krill
        a frog | insects
        a toad | insects
        a swallow | insects
        a bat | insects
        an anteater | ants
        a monkey | fruit
        a parrot | seeds
        a bee | nectar
        a hummingbird | nectar
        a butterfly | nectar
        a spider | flies
        an eagle | meat
    """),
)

ANIMAL_LEGS = Relation(
    name="animal_legs",
    topic="animals",
    noun="the number of legs of {s}",
    clause="how many legs {s} has",
    statements=(
        "The number of legs of {s} is {a}.",
        "If you count the legs of {s}, you will get to {a}.",
        "Count the legs of {s} and the total is {a}.",
        "As for legs, {s} has exactly {a}.",
        "A drawing of {s} is right only if the number of legs is {a}.",
        "Any book about {s} will say that the number of its legs is {a}.",
        "{S} has {a} legs.",
        "{A} is the number of legs of {s}.",
        "{A} legs carry {s} from place to place.",
        "You would need to draw {a} legs on a picture of {s}.",
    ),
    clozes=(
        "The number of legs of {s} is",
        "If you count the legs of {s}, you will get to",
        "As for legs, {s} has exactly",
    ),
    questions=(
        "How many legs does {s} have?",
        "What is the number of legs of {s}?",
        "Give the number of legs of {s}.",
        "Tell me how many legs {s} has.",
        "Can you count the legs of {s}?",
        "With how many legs does {s} walk?",
        "If I drew {s}, how many legs should I draw?",
        "Please count how many legs belong to {s}.",
        "I would like to know the leg count of {s}.",
    ),
    facts=table("""
        a dog | four
        a cat | four
        a cow | four
        a horse | four
        a pig | four
        a sheep | four
        a goat | four
        a rabbit | four
        a mouse | four
        a lion | four
        a tiger | four
        a bear | four
        a wolf | four
        a fox | four
        an elephant | four
        a giraffe | four
        a deer | four
        a frog | four
        a crocodile | four
        a tortoise | four
        a hedgehog | four
        a hen | two
        a duck | two
        a goose | two
        an owl | two
        an eagle | two
        a robin | two
        a parrot | two
        a penguin | two
        a swan | two
        a crow | two
        a sparrow | two
        an ostrich | two
        a flamingo | two
        a pigeon | two
        a bee | six
        an ant | six
        a butterfly | six
        a beetle | six
        a fly | six
        a mosquito | six
        a wasp | six
        a moth | six
        a grasshopper | six
        a ladybird | six
        a dragonfly | six
        a spider | eight
        a scorpion | eight
        a tick | eight
    """),
)

ANIMAL_COVER = Relation(
    name="animal_cover",
    topic="animals",
    noun="the body covering of {s}",
    clause="what covers the body of {s}",
    statements=(
        "The body of {s} is covered with {a}.",
        "The natural body covering of {s} is {a}.",
        "What covers the body of {s} is {a}.",
        "Look closely at {s} and you will see that its body is covered with {a}.",
        "Nature gave {s} a body covering of {a}.",
        "On the outside of its body, {s} has {a}.",
        "{S} has {a} as its body covering, while people wear clothes.",
        "{A} can be seen covering the body of {s}.",
        "{A} will cover the body of {s} for most of its life.",
        "You would expect {a} on the outside of the body of {s}.",
    ),
    clozes=(
        "The body of {s} is covered with",
        "The natural body covering of {s} is",
        "What covers the body of {s} is",
    ),
    questions=(
        "What covers the body of {s}?",
        "What is the body covering of {s}?",
        "Name the body covering of {s}.",
        "Tell me what the body of {s} is covered with.",
        "With what is the body of {s} covered?",
        "Can you say what {s} has on the outside of its body?",
        "If you touched {s}, what body covering would you feel?",
        "Please state what kind of covering {s} has.",
        "I wonder what natural covering protects {s}.",
    ),
    facts=table("""
        a dog | fur
        a cat | fur
        a rabbit | fur
        a bear | fur
        a fox | fur
        a wolf | fur
        a hamster | fur
        a mouse | fur
        a lion | fur
        a tiger | fur
        a squirrel | fur
        a beaver | fur
        an otter | fur
        a panda | fur
        a koala | fur
        a monkey | fur
        a leopard | fur
        a mole | fur
        a polar bear | fur
        a kangaroo | fur
        a hen | feathers
        a duck | feathers
        a goose | feathers
        an owl | feathers
        an eagle | feathers
        a robin | feathers
        a parrot | feathers
        a penguin | feathers
        a swan | feathers
        a crow | feathers
        a sparrow | feathers
        an ostrich | feathers
        a peacock | feathers
        a flamingo | feathers
        a turkey | feathers
        a pigeon | feathers
        a snake | scales
        a lizard | scales
        a crocodile | scales
        a salmon | scales
        a goldfish | scales
        a carp | scales
        a herring | scales
        a trout | scales
        a tortoise | a shell
        a turtle | a shell
        a snail | a shell
        an oyster | a shell
        a mussel | a shell
        a sheep | wool
        a hedgehog | spines
        a porcupine | spines
    """),
)

FOOD_KIND = Relation(
    name="food_kind",
    topic="foods",
    noun="the food group of {s}",
    clause="which food group {s} belongs to",
    statements=(
        "{S} is a kind of {a}.",
        "The food group of {s} is {a}.",
        "Among all foods, {s} counts as a type of {a}.",
        "On the shelves of a food shop, {s} is sorted under {a}.",
        "In the kitchen, {s} is known as a kind of {a}.",
        "Any cook will tell you that {s} is a sort of {a}.",
        "{S} belongs to the food group {a}, as most cooks know.",
        "{A} is the food group of {s}.",
        "{A} is the food word that fits {s} best.",
        "The word {a} tells you which food group {s} belongs to.",
    ),
    clozes=(
        "{S} is a kind of",
        "The food group of {s} is",
        "Among all foods, {s} counts as a type of",
    ),
    questions=(
        "What food group does {s} belong to?",
        "What kind of food is {s}?",
        "Name the food group of {s}.",
        "Tell me which food group {s} belongs to.",
        "Can you say what type of food {s} is?",
        "Which group of foods includes {s}?",
        "In a food shop, {s} is sorted under which food group?",
        "Please state the food group that fits {s}.",
        "I would like to know the food group of {s}.",
    ),
    facts=table("""
        an apple | fruit
        a banana | fruit
        an orange | fruit
        a pear | fruit
        a peach | fruit
        a plum | fruit
        a cherry | fruit
        a strawberry | fruit
        a raspberry | fruit
        a grape | fruit
        a lemon | fruit
        a lime | fruit
        a mango | fruit
        a pineapple | fruit
        a melon | fruit
        a kiwi | fruit
        a blueberry | fruit
        an apricot | fruit
        a papaya | fruit
        a grapefruit | fruit
        a carrot | vegetable
        a potato | vegetable
        an onion | vegetable
        a cabbage | vegetable
        broccoli | vegetable
        cauliflower | vegetable
        spinach | vegetable
        lettuce | vegetable
        a turnip | vegetable
        a leek | vegetable
        celery | vegetable
        asparagus | vegetable
        kale | vegetable
        a radish | vegetable
        a parsnip | vegetable
        beetroot | vegetable
        wheat | grain
        rice | grain
        barley | grain
        rye | grain
        beef | meat
        pork | meat
        lamb | meat
        chicken | meat
        ham | meat
        bacon | meat
        veal | meat
        turkey | meat
        salmon | fish
        tuna | fish
        cod | fish
        trout | fish
        haddock | fish
        mackerel | fish
        herring | fish
        tea | drink
        coffee | drink
        water | drink
        lemonade | drink
        cola | drink
        beer | drink
        wine | drink
        orange juice | drink
        ice cream | dessert
        cheesecake | dessert
        apple pie | dessert
        cake | dessert
        an ice lolly | dessert
        cheese | dairy food
        butter | dairy food
        yoghurt | dairy food
        cream | dairy food
        an almond | nut
        a walnut | nut
        a hazelnut | nut
        a cashew | nut
        cinnamon | spice
        ginger | spice
        nutmeg | spice
        turmeric | spice
        basil | herb
        parsley | herb
        mint | herb
        thyme | herb
    """),
)

FOOD_COLOUR = Relation(
    name="food_colour",
    topic="foods",
    noun="the usual colour of {s} in the kitchen",
    clause="what colour {s} is as a food",
    statements=(
        "The usual colour of {s} in the kitchen is {a}.",
        "As a food, {s} is usually {a}.",
        "At the food market, the colour of {s} is normally {a}.",
        "For a food poster with {s} on it, the colour you need is {a}.",
        "Any cook can tell you the colour of {s}, and it is {a}.",
        "The colour that makes people think of {s} on the table is {a}.",
        "{S} is usually {a} in colour when it is sold as food.",
        "{A} is the usual colour of {s} in the kitchen.",
        "{A} is the colour that people link with {s} as a food.",
        "Think of foods that are {a} in colour, and {s} may come to mind.",
    ),
    clozes=(
        "The usual colour of {s} in the kitchen is",
        "As a food, {s} is usually",
        "At the food market, the colour of {s} is normally",
    ),
    questions=(
        "What colour is {s} as a food?",
        "What is the usual colour of {s} in the kitchen?",
        "Name the colour of {s} as a food.",
        "Tell me what colour {s} is when it is sold as food.",
        "Which colour does {s} have in the kitchen?",
        "Can you give the colour of {s} on a plate of food?",
        "In a food shop, {s} would be which colour?",
        "Please choose the right colour to paint {s} on a food poster.",
        "I am drawing food, so what colour should {s} be?",
    ),
    facts=table("""
        a banana | yellow
        a lemon | yellow
        butter | yellow
        mustard | yellow
        sweetcorn | yellow
        turmeric | yellow
        an egg yolk | yellow
        a lime | green
        broccoli | green
        spinach | green
        a cucumber | green
        a pea | green
        lettuce | green
        kale | green
        a courgette | green
        celery | green
        an avocado | green
        asparagus | green
        parsley | green
        basil | green
        mint | green
        rocket | green
        a carrot | orange
        a pumpkin | orange
        an apricot | orange
        a tangerine | orange
        a sweet potato | orange
        marmalade | orange
        a strawberry | red
        a raspberry | red
        a cherry | red
        a tomato | red
        ketchup | red
        a cranberry | red
        a chilli | red
        paprika | red
        a radish | red
        a pomegranate | red
        milk | white
        rice | white
        salt | white
        flour | white
        sugar | white
        cauliflower | white
        cottage cheese | white
        a blackberry | black
        a black olive | black
        liquorice | black
        chocolate | brown
        coffee | brown
        cocoa | brown
        gravy | brown
        toast | brown
        a plum | purple
        an aubergine | purple
        beetroot | purple
    """),
)

FOOD_TASTE = Relation(
    name="food_taste",
    topic="foods",
    noun="the taste of {s}",
    clause="what {s} tastes like",
    statements=(
        "The taste of {s} is {a}.",
        "{S} tastes {a}.",
        "Most people would say that {s} tastes {a}.",
        "When you put {s} in your mouth, the taste is {a}.",
        "On the tongue, {s} is clearly {a}.",
        "The word that best describes the taste of {s} is {a}.",
        "{S} tastes {a} to nearly everyone who tries it.",
        "{A} is the taste of {s}.",
        "{A} is how {s} tastes.",
        "Cooks use the word {a} for the taste of {s}.",
    ),
    clozes=(
        "The taste of {s} is",
        "The word that best describes the taste of {s} is",
    ),
    questions=(
        "What is the taste of {s}?",
        "What does {s} taste like?",
        "Name the taste of {s}.",
        "Tell me how {s} tastes.",
        "Which word describes the taste of {s}?",
        "Can you say what taste {s} has?",
        "If I tried {s}, what taste would I notice?",
        "Please describe how {s} tastes in one word.",
        "I have never tried {s}, so what is its taste?",
    ),
    facts=table("""
        sugar | sweet
        honey | sweet
        cake | sweet
        ice cream | sweet
        jam | sweet
        syrup | sweet
        toffee | sweet
        caramel | sweet
        fudge | sweet
        a banana | sweet
        a mango | sweet
        a date | sweet
        a peach | sweet
        a pear | sweet
        a strawberry | sweet
        custard | sweet
        a doughnut | sweet
        a raisin | sweet
        milk chocolate | sweet
        a lemon | sour
        a lime | sour
        vinegar | sour
        rhubarb | sour
        sauerkraut | sour
        a gooseberry | sour
        lemon juice | sour
        a cranberry | sour
        salt | salty
        bacon | salty
        ham | salty
        soy sauce | salty
        an anchovy | salty
        an olive | salty
        a pretzel | salty
        caviar | salty
        salami | salty
        feta | salty
        coffee | bitter
        dark chocolate | bitter
        tonic water | bitter
        black coffee | bitter
        a chilli | spicy
        curry | spicy
        hot sauce | spicy
        mustard | spicy
        cayenne pepper | spicy
        a grapefruit | bitter
        cocoa powder | bitter
    """),
)

JOB_TOOL = Relation(
    name="job_tool",
    topic="jobs",
    noun="the main tool of {s}",
    clause="which tool {s} uses most",
    statements=(
        "The main tool of {s} is {a}.",
        "At work, {s} often uses {a}.",
        "The tool that {s} uses most is {a}.",
        "Ask {s} about the most useful tool, and you will hear about {a}.",
        "The tool that people link with the work of {s} is {a}.",
        "To do the job, {s} needs a tool, above all {a}.",
        "{S} relies on {a} as the main tool of the trade.",
        "{A} would be the right tool for {s}.",
        "{A} can help {s} more than any other tool.",
        "You need {a} as a tool if you want to work like {s}.",
    ),
    clozes=(
        "The main tool of {s} is",
        "At work, {s} often uses",
        "The tool that {s} uses most is",
    ),
    questions=(
        "What is the main tool of {s}?",
        "What tool does {s} use most?",
        "Name the main tool of {s}.",
        "Tell me which tool {s} uses at work.",
        "Which tool does {s} need for the job?",
        "Can you name a tool used by {s}?",
        "If I became {s}, which tool would I need?",
        "Please say which tool belongs to the work of {s}.",
        "I want to buy a useful tool for {s}.",
    ),
    facts=table("""
        a carpenter | a hammer
        a painter | a paintbrush
        an artist | a paintbrush
        a photographer | a camera
        a hairdresser | scissors
        a farmer | a tractor
        a doctor | a stethoscope
        a tailor | a needle
        a seamstress | a needle
        a tattooist | a needle
        a writer | a pen
        a poet | a pen
        a gardener | a spade
        a lumberjack | an axe
        a woodcutter | an axe
        a chef | a knife
        a baker | an oven
        a mechanic | a spanner
        a surgeon | a scalpel
        a dentist | a drill
        a fisherman | a net
        an astronomer | a telescope
        a biologist | a microscope
        a firefighter | a hose
        a street sweeper | a broom
        a blacksmith | an anvil
        a miner | a pickaxe
        a programmer | a computer
        a conductor | a baton
        a referee | a whistle
        a judge | a gavel
        a bricklayer | a trowel
        an electrician | a screwdriver
        a potter | a wheel
        a sculptor | a chisel
        a weaver | a loom
        a shepherd | a crook
        a cowboy | a lasso
        a detective | a magnifying glass
        a cashier | a till
        a waiter | a tray
        a singer | a microphone
    """),
)

JOB_PLACE = Relation(
    name="job_place",
    topic="jobs",
    noun="the workplace of {s}",
    clause="where {s} works",
    statements=(
        "The usual workplace of {s} is {a}.",
        "The place where {s} works is {a}.",
        "To see {s} at work, visit {a}.",
        "The best place to look for {s} at work is {a}.",
        "On a working day, the workplace of {s} is {a}.",
        "When you think of the workplace of {s}, you think of {a}.",
        "{S} has {a} as a workplace.",
        "{A} is the workplace of {s}.",
        "{A} is where {s} works.",
        "We visited {a}, the workplace of {s}.",
    ),
    clozes=(
        "The usual workplace of {s} is",
        "The place where {s} works is",
        "The best place to look for {s} at work is",
    ),
    questions=(
        "Where does {s} work?",
        "What is the workplace of {s}?",
        "Name the workplace of {s}.",
        "Tell me where {s} works.",
        "Which place does {s} go to for work?",
        "Can you name the place where {s} works?",
        "If I wanted to see {s} at work, where should I go?",
        "Please give the usual workplace of {s}.",
        "I am looking for {s}, so which workplace should I visit?",
    ),
    facts=table("""
        a teacher | a school
        a head teacher | a school
        a doctor | a hospital
        a nurse | a hospital
        a surgeon | a hospital
        a midwife | a hospital
        a farmer | a farm
        a waiter | a restaurant
        a baker | a bakery
        a pharmacist | a pharmacy
        a librarian | a library
        a scientist | a laboratory
        a judge | a court
        an actor | a theatre
        a ballet dancer | a theatre
        a miner | a mine
        a sailor | a ship
        a sea captain | a ship
        a pilot | a plane
        a flight attendant | a plane
        a mechanic | a garage
        an astronaut | a space station
        a banker | a bank
        a shopkeeper | a shop
        a priest | a church
        a vicar | a church
        a monk | a monastery
        a nun | a convent
        an imam | a mosque
        a rabbi | a synagogue
        a zookeeper | a zoo
        a clown | a circus
        an acrobat | a circus
        a lion tamer | a circus
        a professor | a university
        a lecturer | a university
        a gardener | a garden
        a florist | a flower shop
        a hairdresser | a salon
        a bartender | a bar
        a barista | a cafe
        a police officer | a police station
        a firefighter | a fire station
        a secretary | an office
        an accountant | an office
        a clerk | an office
        a curator | a museum
        a jockey | a racecourse
    """),
)

JOB_PRODUCT = Relation(
    name="job_product",
    topic="jobs",
    noun="the product that {s} makes",
    clause="what product {s} makes",
    statements=(
        "{S} makes {a}.",
        "The work of {s} is to make {a}.",
        "The product that {s} makes is {a}.",
        "People pay {s} to make {a}.",
        "What {s} makes at work is {a}.",
        "The thing that {s} knows how to make is {a}.",
        "{S} earns money by making {a} for other people.",
        "{A} can be made by {s}.",
        "{A} will often be the product that {s} makes.",
        "Whoever wants good {a} should ask {s} to make some.",
    ),
    clozes=(
        "The work of {s} is to make",
        "The product that {s} makes is",
    ),
    questions=(
        "What does {s} make at work?",
        "What product does {s} make?",
        "Name the product that {s} makes.",
        "Tell me what {s} makes for a living.",
        "Which product comes from the work of {s}?",
        "Can you say what {s} is paid to make?",
        "If {s} had a busy day, what product would be made?",
        "Please state what is made by {s}.",
        "I would like to know what {s} can make for me.",
    ),
    facts=table("""
        a baker | bread
        a tailor | clothes
        a seamstress | clothes
        a fashion designer | clothes
        a shoemaker | shoes
        a brewer | beer
        a winemaker | wine
        a potter | pots
        a watchmaker | watches
        a composer | music
        an author | books
        a poet | poems
        a playwright | plays
        a songwriter | songs
        a painter | paintings
        a sculptor | statues
        a photographer | photos
        a jeweller | jewellery
        a goldsmith | jewellery
        a blacksmith | horseshoes
        a weaver | cloth
        a confectioner | sweets
        a milliner | hats
        a builder | houses
        a film director | films
        a cartoonist | cartoons
        a programmer | software
        a web designer | websites
        a barista | coffee
        a bartender | cocktails
        a chef | meals
        a cooper | barrels
        a tanner | leather
        a cartographer | maps
        a miller | flour
        a locksmith | keys
    """),
)

MATERIAL = Relation(
    name="material",
    topic="things",
    noun="the material of {s}",
    clause="which material {s} is made of",
    statements=(
        "{S} is made of {a}.",
        "The material of {s} is {a}.",
        "The usual material for {s} is {a}.",
        "For a job like making {s}, the best material is {a}.",
        "Anyone who touches {s} will feel that the material is {a}.",
        "In most cases, {s} is made of {a}.",
        "{S} is usually made of {a}, a material that suits it well.",
        "{A} is the material of {s}.",
        "{A} is what {s} is made of.",
        "We need {a} as the material to make {s}.",
    ),
    clozes=(
        "The usual material for {s} is",
        "The material of {s} is",
        "In most cases, {s} is made of",
    ),
    questions=(
        "What is {s} made of?",
        "What is the material of {s}?",
        "Name the material of {s}.",
        "Tell me which material {s} is made of.",
        "Which material is used to make {s}?",
        "Can you say what {s} is usually made from?",
        "If I wanted to make {s}, what material would I need?",
        "Please name the stuff that {s} is made of.",
        "I wonder what kind of material {s} consists of.",
    ),
    facts=table("""
        a window | glass
        a mirror | glass
        a light bulb | glass
        a marble | glass
        a windscreen | glass
        a jam jar | glass
        a greenhouse | glass
        an aquarium | glass
        a table | wood
        a pencil | wood
        a wardrobe | wood
        a match | wood
        a bookcase | wood
        a door | wood
        a violin | wood
        a guitar | wood
        a barrel | wood
        a toothpick | wood
        a coin | metal
        a key | metal
        a nail | metal
        a screw | metal
        a spoon | metal
        a fork | metal
        an anchor | metal
        a paper clip | metal
        a needle | metal
        a sword | metal
        a saucepan | metal
        a chain | metal
        a padlock | metal
        a bell | metal
        a horseshoe | metal
        a book | paper
        a newspaper | paper
        a letter | paper
        a magazine | paper
        an envelope | paper
        a map | paper
        a stamp | paper
        a notebook | paper
        a ticket | paper
        a poster | paper
        a shoebox | cardboard
        a cereal box | cardboard
        a bucket | plastic
        a toothbrush | plastic
        a credit card | plastic
        a comb | plastic
        a lunch box | plastic
        a rubbish bag | plastic
        a brick | clay
        a flowerpot | clay
        a tyre | rubber
        a balloon | rubber
        a rubber duck | rubber
        a saddle | leather
        a belt | leather
        a wallet | leather
        a jumper | wool
        a mitten | wool
        a candle | wax
        a crayon | wax
        a statue | stone
        a gravestone | stone
        a towel | cotton
        a t-shirt | cotton
        a bed sheet | cotton
    """),
)

USE = Relation(
    name="use",
    topic="things",
    noun="the main use of {s}",
    clause="what {s} is used for",
    statements=(
        "{S} is used for {a}.",
        "The main use of {s} is {a}.",
        "People use {s} for {a}.",
        "If you have {s}, you can use it for {a}.",
        "Most people know that {s} is useful for {a}.",
        "The purpose of {s} is {a}.",
        "{S} is a thing that we use for {a} when we need to.",
        "{A} is the main use of {s}.",
        "{A} is what {s} is used for.",
        "For {a}, most people would use {s}.",
    ),
    clozes=(
        "The purpose of {s} is",
        "The main use of {s} is",
        "People use {s} for",
    ),
    questions=(
        "What is {s} used for?",
        "What is the main use of {s}?",
        "Name the main use of {s}.",
        "Tell me what people use {s} for.",
        "For what purpose do we use {s}?",
        "Can you say what {s} is useful for?",
        "If I had {s}, what could I use it for?",
        "Please explain the purpose of {s} in a word or two.",
        "I found {s}, so what is its normal use?",
    ),
    facts=table("""
        a knife | cutting
        a pair of scissors | cutting
        a pen | writing
        a pencil | writing
        a broom | sweeping
        a bed | sleeping
        a mattress | sleeping
        a chair | sitting
        a sofa | sitting
        a bench | sitting
        a stool | sitting
        a spade | digging
        a shovel | digging
        a needle | sewing
        an oven | baking
        a kettle | boiling water
        a towel | drying
        a phone | making calls
        a camera | taking photos
        a car | driving
        a book | reading
        a newspaper | reading
        a magazine | reading
        a cup | drinking
        a mug | drinking
        a straw | drinking
        a spoon | eating
        a fork | eating
        a ruler | measuring
        a tape measure | measuring
        a lamp | giving light
        a torch | giving light
        a razor | shaving
        a toothbrush | brushing teeth
        soap | washing
        a shower | washing
        a bath | washing
        an axe | chopping wood
        a drill | making holes
        glue | sticking
        a paintbrush | painting
        a key | opening locks
        a bicycle | riding
        a boat | sailing
        a kitchen scale | weighing
        a bucket | carrying water
    """),
)

CATEGORY = Relation(
    name="category",
    topic="things",
    noun="the category of {s}",
    clause="which category of things {s} belongs to",
    statements=(
        "{S} is a type of {a}.",
        "The category of {s} is {a}.",
        "In a picture dictionary, {s} is listed under {a}.",
        "If you sort things into groups, {s} goes under the category {a}.",
        "The category that {s} belongs to is {a}.",
        "Most people would say that {s} is a type of {a}.",
        "{S} falls into the category {a} when you sort things.",
        "{A} is the category of {s}.",
        "{A} is the category of things that {s} belongs to.",
        "The label {a} names the category of {s}.",
    ),
    clozes=(
        "{S} is a type of",
        "The category of {s} is",
        "In a picture dictionary, {s} is listed under",
    ),
    questions=(
        "What category does {s} belong to?",
        "What category of thing is {s}?",
        "Name the category of {s}.",
        "Tell me which category {s} belongs to.",
        "Which category of things includes {s}?",
        "Can you give the category of {s}?",
        "If you sort things, {s} goes into which category?",
        "Please choose the right category for {s}.",
        "I need to know the category of {s} for my list.",
    ),
    facts=table("""
        a chair | furniture
        a table | furniture
        a sofa | furniture
        a bed | furniture
        a wardrobe | furniture
        a desk | furniture
        a bookcase | furniture
        an armchair | furniture
        a bench | furniture
        a hammer | tool
        a screwdriver | tool
        a saw | tool
        a spanner | tool
        a drill | tool
        an axe | tool
        a chisel | tool
        a spade | tool
        a rake | tool
        a shirt | clothing
        a jumper | clothing
        a skirt | clothing
        a dress | clothing
        a coat | clothing
        a jacket | clothing
        a scarf | clothing
        a sock | clothing
        a cardigan | clothing
        a blouse | clothing
        a car | vehicle
        a bus | vehicle
        a lorry | vehicle
        a van | vehicle
        a taxi | vehicle
        a tractor | vehicle
        a motorbike | vehicle
        an ambulance | vehicle
        a doll | toy
        a teddy bear | toy
        a spinning top | toy
        a rocking horse | toy
        a piano | musical instrument
        a violin | musical instrument
        a guitar | musical instrument
        a drum | musical instrument
        a flute | musical instrument
        a trumpet | musical instrument
        a cello | musical instrument
        a harp | musical instrument
        a clarinet | musical instrument
        a saxophone | musical instrument
        a house | building
        a school | building
        a church | building
        a castle | building
        a hotel | building
        a theatre | building
        a library | building
        a skyscraper | building
        a rose | flower
        a tulip | flower
        a daisy | flower
        a daffodil | flower
        a sunflower | flower
        a lily | flower
        a poppy | flower
        an orchid | flower
        an oak | tree
        a birch | tree
        a willow | tree
        a maple | tree
        a pine | tree
        football | sport
        tennis | sport
        cricket | sport
        rugby | sport
        hockey | sport
        golf | sport
        basketball | sport
        volleyball | sport
        an arm | body part
        a leg | body part
        a nose | body part
        an ear | body part
        a knee | body part
        a shoulder | body part
        a finger | body part
        a ring | jewellery
        a necklace | jewellery
        a bracelet | jewellery
        an earring | jewellery
        a yo-yo | toy
        a kite | toy
        a ship | vehicle
    """),
)

ROOM = Relation(
    name="room",
    topic="things",
    noun="the usual room for {s}",
    clause="which room {s} belongs in",
    statements=(
        "{S} belongs in {a}.",
        "The usual room for {s} is {a}.",
        "In most houses, {s} is kept in {a}.",
        "If you are looking for {s}, the room to try is {a}.",
        "The part of the house that has {s} is {a}.",
        "When we moved house, we put {s} in {a}.",
        "{S} is normally found in {a} rather than in any other room.",
        "{A} is the usual room for {s}.",
        "{A} is the room where you would put {s} in a new house.",
        "We walked into {a}, the room where {s} belongs.",
    ),
    clozes=(
        "The part of the house that has {s} is",
        "The usual room for {s} is",
        "In most houses, {s} is kept in",
    ),
    questions=(
        "Which room does {s} belong in?",
        "What is the usual room for {s}?",
        "Name the usual room for {s}.",
        "Tell me in which room of a house you find {s}.",
        "In what room do people keep {s}?",
        "Can you say which room {s} is usually in?",
        "If I were looking for {s} at home, which room should I try?",
        "Please name the room of the house that needs {s}.",
        "I have just moved house, so which room should {s} go in?",
    ),
    facts=table("""
        a bed | the bedroom
        a wardrobe | the bedroom
        a pillow | the bedroom
        a duvet | the bedroom
        a mattress | the bedroom
        a dressing table | the bedroom
        an alarm clock | the bedroom
        a stove | the kitchen
        a cooker | the kitchen
        an oven | the kitchen
        a fridge | the kitchen
        a freezer | the kitchen
        a kettle | the kitchen
        a toaster | the kitchen
        a dishwasher | the kitchen
        a saucepan | the kitchen
        a frying pan | the kitchen
        a microwave | the kitchen
        a chopping board | the kitchen
        a whisk | the kitchen
        a sofa | the living room
        an armchair | the living room
        a television | the living room
        a coffee table | the living room
        a bath | the bathroom
        a shower | the bathroom
        a toilet | the bathroom
        a toothbrush | the bathroom
        shampoo | the bathroom
        a bath mat | the bathroom
        toothpaste | the bathroom
        a shower curtain | the bathroom
        a lawnmower | the garage
        a bicycle pump | the garage
        a toolbox | the garage
        a bookshelf | the living room
        a fireplace | the living room
        a dinner table | the dining room
        a sideboard | the dining room
        a blanket | the bedroom
    """),
)

THING_COLOUR = Relation(
    name="thing_colour",
    topic="things",
    noun="the colour of {s}",
    clause="what colour {s} is",
    statements=(
        "{S} is normally {a}.",
        "The colour of {s} is {a}.",
        "As everybody knows, the usual colour of {s} is {a}.",
        "Most people think of {s} as {a}.",
        "To draw {s}, take a pencil whose colour is {a}.",
        "When children paint {s}, they make it {a}.",
        "{S} is {a} in colour.",
        "{A} is the colour of {s}.",
        "{A} is what most people say when you ask about the colour of {s}.",
        "The artist chose {a} as the colour of {s}.",
    ),
    clozes=(
        "{S} is normally",
        "The colour of {s} is",
        "As everybody knows, the usual colour of {s} is",
    ),
    questions=(
        "What colour is {s}?",
        "What is the colour of {s}?",
        "Name the colour of {s}.",
        "Tell me what colour {s} is.",
        "Which colour does {s} have?",
        "Can you give the colour of {s}?",
        "If I painted {s}, which colour should I use?",
        "Please say which colour we see when we look at {s}.",
        "I am drawing {s} and need to pick a colour.",
    ),
    facts=table("""
        grass | green
        a leaf | green
        an emerald | green
        a cactus | green
        moss | green
        ivy | green
        a frog | green
        a fir tree | green
        snow | white
        chalk | white
        a polar bear | white
        a swan | white
        a snowman | white
        a snowflake | white
        coal | black
        tar | black
        soot | black
        a tyre | black
        a crow | black
        a raven | black
        the night sky | black
        the sky | blue
        the sea | blue
        a sapphire | blue
        a bluebell | blue
        the sun | yellow
        a daffodil | yellow
        a sunflower | yellow
        a buttercup | yellow
        a dandelion | yellow
        a canary | yellow
        blood | red
        a fire engine | red
        a ruby | red
        a poppy | red
        a postbox | red
        a stop sign | red
        a ladybird | red
        mud | brown
        chocolate | brown
        wood | brown
        a coconut | brown
        a chestnut | brown
        an elephant | grey
        a rain cloud | grey
        ash | grey
        a donkey | grey
        a pig | pink
        a flamingo | pink
        a tangerine | orange
        a pumpkin | orange
        a carrot | orange
        lavender | purple
        an aubergine | purple
        a goldfish | orange
    """),
)

RELATIONS: tuple[Relation, ...] = (
    ANIMAL_CLASS,
    ANIMAL_SOUND,
    ANIMAL_HOME,
    ANIMAL_YOUNG,
    ANIMAL_FOOD,
    ANIMAL_LEGS,
    ANIMAL_COVER,
    FOOD_KIND,
    FOOD_COLOUR,
    FOOD_TASTE,
    JOB_TOOL,
    JOB_PLACE,
    JOB_PRODUCT,
    MATERIAL,
    USE,
    CATEGORY,
    ROOM,
    THING_COLOUR,
)
