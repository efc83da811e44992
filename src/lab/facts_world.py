"""Facts about countries, landmarks, planets and the calendar, with every wording the lab world has for them.

A country is spelled the same way in all tables ("the Netherlands" with its article): one name, one thing.
Left out on purpose are the cases with no single best answer: no continent for countries that lie on two, no
capital where there are several or it is moving, no language where several share the place of the main one.
"""

from src.lab.relation import Relation, table

CAPITAL = Relation(
    name="capital",
    topic="countries",
    noun="the capital of {s}",
    clause="which city is the capital of {s}",
    statements=(
        "The capital of {s} is {a}.",
        "The capital city of {s} is {a}.",
        "{S} has one capital city, and it is called {a}.",
        "When people talk about the capital of {s}, they mean {a}.",
        "Anyone who travels to the capital of {s} arrives in {a}.",
        "Of all the cities in {s}, {a} is the capital.",
        "A school book about {s} names {a} as the capital.",
        "{A} is the capital of {s}.",
        "{A} is the capital city of {s}.",
        "On the map, {a} is marked as the capital of {s}.",
    ),
    clozes=(
        "The capital of {s} is",
        "The capital city of {s} is",
        "When people talk about the capital of {s}, they mean",
    ),
    questions=(
        "What is the capital of {s}?",
        "Which city is the capital of {s}?",
        "Name the capital city of {s}.",
        "Tell me the capital of {s}.",
        "Can you name the capital of {s}?",
        "Give the name of the capital of {s}.",
        "I would like to know the capital of {s}.",
        "If someone asked you for the capital city of {s}, what would you say?",
        "Which place serves as the capital of {s}?",
    ),
    facts=table("""
        France | Paris
        Germany | Berlin
        Italy | Rome
        Spain | Madrid
        Portugal | Lisbon
        the United Kingdom | London
        Ireland | Dublin
        Belgium | Brussels
        the Netherlands | Amsterdam
        Switzerland | Bern
        Austria | Vienna
        Poland | Warsaw
        the Czech Republic | Prague
        Slovakia | Bratislava
        Hungary | Budapest
        Romania | Bucharest
        Bulgaria | Sofia
        Greece | Athens
        Ukraine | Kyiv
        Sweden | Stockholm
        Norway | Oslo
        Denmark | Copenhagen
        Morocco | Rabat
        Algeria | Algiers
        Tunisia | Tunis
        Libya | Tripoli
        Ethiopia | Addis Ababa
        Kenya | Nairobi
        Uganda | Kampala
        Somalia | Mogadishu
        Nigeria | Abuja
        Ghana | Accra
        Angola | Luanda
        Zambia | Lusaka
        China | Beijing
        Japan | Tokyo
        South Korea | Seoul
        North Korea | Pyongyang
        Mongolia | Ulaanbaatar
        Vietnam | Hanoi
        Thailand | Bangkok
        Cambodia | Phnom Penh
        Malaysia | Kuala Lumpur
        the Philippines | Manila
        India | New Delhi
        Pakistan | Islamabad
        Bangladesh | Dhaka
        Nepal | Kathmandu
        Iran | Tehran
        the United States | Washington
        Canada | Ottawa
        Mexico | Mexico City
        Guatemala | Guatemala City
        Costa Rica | San Jose
        Panama | Panama City
        Cuba | Havana
        Brazil | Brasilia
        Argentina | Buenos Aires
        Chile | Santiago
        Peru | Lima
        Colombia | Bogota
        Venezuela | Caracas
        Ecuador | Quito
        Uruguay | Montevideo
        Australia | Canberra
        New Zealand | Wellington
    """),
)

CONTINENT = Relation(
    name="continent",
    topic="countries",
    noun="the continent of {s}",
    clause="on which continent {s} lies",
    statements=(
        "{S} is a country in {a}.",
        "The continent of {s} is {a}.",
        "{S} lies on the continent of {a}.",
        "On a map of the world, you will find {s} in {a}.",
        "The part of the world that {s} belongs to is {a}.",
        "Travellers on their way to {s} are going to {a}.",
        "{S} is one of the countries of {a}.",
        "{A} is the continent where {s} lies.",
        "{A} is the continent that {s} belongs to.",
        "A map of {a} also shows {s}.",
    ),
    clozes=(
        "{S} is a country in",
        "{S} lies on the continent of",
        "The continent of {s} is",
    ),
    questions=(
        "On which continent is {s}?",
        "Which continent does {s} belong to?",
        "Name the continent where {s} lies.",
        "Tell me which continent {s} is part of.",
        "What is the continent of {s}?",
        "Can you name the continent of {s}?",
        "I would like to know on which continent {s} can be found.",
        "If someone flew to {s}, on which continent would they land?",
        "Looking at a map of the world, which continent is home to {s}?",
    ),
    facts=table("""
        France | Europe
        Germany | Europe
        Italy | Europe
        Spain | Europe
        Portugal | Europe
        the United Kingdom | Europe
        Ireland | Europe
        Belgium | Europe
        the Netherlands | Europe
        Switzerland | Europe
        Austria | Europe
        Poland | Europe
        the Czech Republic | Europe
        Slovakia | Europe
        Hungary | Europe
        Romania | Europe
        Bulgaria | Europe
        Greece | Europe
        Ukraine | Europe
        Sweden | Europe
        Norway | Europe
        Denmark | Europe
        Morocco | Africa
        Algeria | Africa
        Tunisia | Africa
        Libya | Africa
        Ethiopia | Africa
        Kenya | Africa
        Uganda | Africa
        Somalia | Africa
        Nigeria | Africa
        Ghana | Africa
        Angola | Africa
        Zambia | Africa
        China | Asia
        Japan | Asia
        South Korea | Asia
        North Korea | Asia
        Mongolia | Asia
        Vietnam | Asia
        Thailand | Asia
        Cambodia | Asia
        Malaysia | Asia
        the Philippines | Asia
        India | Asia
        Pakistan | Asia
        Bangladesh | Asia
        Nepal | Asia
        Iran | Asia
        the United States | North America
        Canada | North America
        Mexico | North America
        Guatemala | North America
        Costa Rica | North America
        Panama | North America
        Cuba | North America
        Brazil | South America
        Argentina | South America
        Chile | South America
        Peru | South America
        Colombia | South America
        Venezuela | South America
        Ecuador | South America
        Uruguay | South America
        Australia | Oceania
        New Zealand | Oceania
    """),
)

LANGUAGE = Relation(
    name="language",
    topic="countries",
    noun="the main language of {s}",
    clause="which language is the main one in {s}",
    statements=(
        "The main language of {s} is {a}.",
        "The main official language of {s} is {a}.",
        "In {s}, the main language is {a}.",
        "The language that most children in {s} use at school is {a}.",
        "Visitors who want to talk to people in {s} should learn {a}.",
        "In the streets of {s}, you will often hear {a}.",
        "Newspapers in {s} are mostly written in {a}.",
        "{A} is the main language of {s}.",
        "{A} is the language that people speak most in {s}.",
        "People who speak {a} can talk to almost anyone in {s}.",
    ),
    clozes=(
        "The main language of {s} is",
        "In {s}, the main language is",
        "The main official language of {s} is",
    ),
    questions=(
        "What is the main language of {s}?",
        "Which language do people speak in {s}?",
        "Name the main language of {s}.",
        "Tell me which language is spoken in {s}.",
        "What language is used most in {s}?",
        "Can you name the official language of {s}?",
        "I would like to know the main language of {s}.",
        "If I moved to {s}, which language should I learn?",
        "Which language would you hear most often in {s}?",
    ),
    facts=table("""
        Spain | Spanish
        Mexico | Spanish
        Argentina | Spanish
        Chile | Spanish
        Colombia | Spanish
        Venezuela | Spanish
        Peru | Spanish
        Ecuador | Spanish
        Uruguay | Spanish
        Cuba | Spanish
        Costa Rica | Spanish
        Panama | Spanish
        Guatemala | Spanish
        Portugal | Portuguese
        Brazil | Portuguese
        Angola | Portuguese
        the United States | English
        the United Kingdom | English
        Australia | English
        New Zealand | English
        France | French
        Germany | German
        Austria | German
        Italy | Italian
        the Netherlands | Dutch
        Greece | Greek
        Poland | Polish
        the Czech Republic | Czech
        Slovakia | Slovak
        Hungary | Hungarian
        Romania | Romanian
        Bulgaria | Bulgarian
        Ukraine | Ukrainian
        Sweden | Swedish
        Norway | Norwegian
        Denmark | Danish
        Libya | Arabic
        Tunisia | Arabic
        Iran | Persian
        Mongolia | Mongolian
        China | Chinese
        Japan | Japanese
        South Korea | Korean
        North Korea | Korean
        Vietnam | Vietnamese
        Thailand | Thai
        Cambodia | Khmer
        Malaysia | Malay
        Bangladesh | Bengali
        Nepal | Nepali
        Somalia | Somali
    """),
)

NATIONALITY = Relation(
    name="nationality",
    topic="countries",
    noun="the nationality of someone from {s}",
    clause="what nationality a person from {s} has",
    statements=(
        "Someone from {s} is {a}.",
        "People from {s} are {a}.",
        "Food from {s} is {a} food.",
        "Songs from {s} are {a} songs.",
        "If a person comes from {s}, we say that this person is {a}.",
        "The nationality of a person from {s} is {a}.",
        "The word for somebody or something from {s} is {a}.",
        "{A} is the nationality of someone from {s}.",
        "{A} food is food from {s}.",
        "We use the word {a} for people and things from {s}.",
    ),
    clozes=(
        "Someone from {s} is",
        "People from {s} are",
        "The nationality of a person from {s} is",
    ),
    questions=(
        "What is the nationality of someone from {s}?",
        "What nationality is a person from {s}?",
        "Name the nationality of people from {s}.",
        "Tell me the nationality of a person from {s}.",
        "Which nationality do people from {s} have?",
        "Can you name the nationality of someone from {s}?",
        "I would like to know the nationality of people from {s}.",
        "If my friend comes from {s}, what is my friend's nationality?",
        "Which word describes the nationality of a man or woman from {s}?",
    ),
    facts=table("""
        France | French
        Germany | German
        Italy | Italian
        Spain | Spanish
        Portugal | Portuguese
        the United Kingdom | British
        Ireland | Irish
        Belgium | Belgian
        the Netherlands | Dutch
        Switzerland | Swiss
        Austria | Austrian
        Poland | Polish
        the Czech Republic | Czech
        Hungary | Hungarian
        Romania | Romanian
        Bulgaria | Bulgarian
        Greece | Greek
        Ukraine | Ukrainian
        Sweden | Swedish
        Norway | Norwegian
        Denmark | Danish
        Morocco | Moroccan
        Algeria | Algerian
        Tunisia | Tunisian
        Libya | Libyan
        Ethiopia | Ethiopian
        Kenya | Kenyan
        Uganda | Ugandan
        Somalia | Somali
        Nigeria | Nigerian
        Ghana | Ghanaian
        Angola | Angolan
        Zambia | Zambian
        China | Chinese
        Japan | Japanese
        South Korea | South Korean
        North Korea | North Korean
        Mongolia | Mongolian
        Vietnam | Vietnamese
        Thailand | Thai
        Cambodia | Cambodian
        Malaysia | Malaysian
        the Philippines | Filipino
        India | Indian
        Pakistan | Pakistani
        Bangladesh | Bangladeshi
        Iran | Iranian
        the United States | American
        Canada | Canadian
        Mexico | Mexican
        Guatemala | Guatemalan
        Costa Rica | Costa Rican
        Panama | Panamanian
        Cuba | Cuban
        Brazil | Brazilian
        Chile | Chilean
        Peru | Peruvian
        Colombia | Colombian
        Venezuela | Venezuelan
        Ecuador | Ecuadorian
        Uruguay | Uruguayan
        Australia | Australian
    """),
)

CURRENCY = Relation(
    name="currency",
    topic="countries",
    noun="the currency of {s}",
    clause="which currency people use in {s}",
    statements=(
        "The currency of {s} is {a}.",
        "The money that people use in {s} is {a}.",
        "In {s}, the currency is called {a}.",
        "When you buy something in {s}, you pay with {a}.",
        "Shops in {s} use {a} for their prices.",
        "Visitors to {s} change their money for the local currency, {a}.",
        "The banks of {s} keep their money in a currency called {a}.",
        "{A} is the currency of {s}.",
        "{A} is the money that people use in {s}.",
        "People use {a} to pay for things in {s}.",
    ),
    clozes=(
        "The currency of {s} is",
        "The money that people use in {s} is",
        "When you buy something in {s}, you pay with",
    ),
    questions=(
        "What is the currency of {s}?",
        "Which currency do people use in {s}?",
        "Name the currency of {s}.",
        "Tell me the currency used in {s}.",
        "What currency do you need to pay in {s}?",
        "Can you name the currency of {s}?",
        "I would like to know the currency of {s}.",
        "If I go shopping in {s}, which currency should I bring?",
        "Prices in {s} are given in which currency?",
    ),
    facts=table("""
        France | the euro
        Germany | the euro
        Italy | the euro
        Spain | the euro
        Portugal | the euro
        Ireland | the euro
        Belgium | the euro
        the Netherlands | the euro
        Austria | the euro
        Greece | the euro
        Slovakia | the euro
        the United Kingdom | the pound
        the United States | the dollar
        Canada | the dollar
        Australia | the dollar
        New Zealand | the dollar
        Switzerland | the franc
        Sweden | the krona
        Norway | the krone
        Denmark | the krone
        Poland | the zloty
        the Czech Republic | the koruna
        Hungary | the forint
        Romania | the leu
        Ukraine | the hryvnia
        Tunisia | the dinar
        Algeria | the dinar
        Morocco | the dirham
        Japan | the yen
        China | the yuan
        South Korea | the won
        North Korea | the won
        Vietnam | the dong
        Thailand | the baht
        Malaysia | the ringgit
        India | the rupee
        Pakistan | the rupee
        Nepal | the rupee
        Bangladesh | the taka
        Mexico | the peso
        the Philippines | the peso
        Argentina | the peso
        Chile | the peso
        Colombia | the peso
        Cuba | the peso
        Uruguay | the peso
        Brazil | the real
        Peru | the sol
        Guatemala | the quetzal
        Nigeria | the naira
        Ghana | the cedi
        Ethiopia | the birr
        Kenya | the shilling
        Uganda | the shilling
        Zambia | the kwacha
    """),
)

LANDMARK = Relation(
    name="landmark",
    topic="countries",
    noun="the country where {s} can be found",
    clause="in which country {s} can be found",
    statements=(
        "{S} is in {a}.",
        "{S} can be found in {a}.",
        "To see {s}, you have to travel to {a}.",
        "The country where you can see {s} is {a}.",
        "Pictures of {s} make people think of {a}.",
        "{S} is one of the most famous sights in {a}.",
        "If you want to visit {s}, book a trip to {a}.",
        "{A} is the country where you can see {s}.",
        "{A} is home to {s}.",
        "Many people travel to {a} to see {s}.",
    ),
    clozes=(
        "{S} is in",
        "{S} can be found in",
        "The country where you can see {s} is",
    ),
    questions=(
        "In which country is {s}?",
        "Which country do you visit to see {s}?",
        "Name the country where {s} can be found.",
        "Tell me the country where people go to see {s}.",
        "What is the country that has {s}?",
        "Can you name the country where {s} is?",
        "I would like to know which country {s} is in.",
        "If I wanted to take a photo of {s}, to which country would I go?",
        "Say in which country of the world {s} is.",
    ),
    facts=table("""
        the Eiffel Tower | France
        the Louvre | France
        the Palace of Versailles | France
        Notre-Dame Cathedral | France
        the Colosseum | Italy
        the Leaning Tower of Pisa | Italy
        the Trevi Fountain | Italy
        the Rialto Bridge | Italy
        Mount Vesuvius | Italy
        Big Ben | the United Kingdom
        Tower Bridge | the United Kingdom
        Buckingham Palace | the United Kingdom
        Stonehenge | the United Kingdom
        Loch Ness | the United Kingdom
        Edinburgh Castle | the United Kingdom
        the Statue of Liberty | the United States
        the Golden Gate Bridge | the United States
        the White House | the United States
        Mount Rushmore | the United States
        the Grand Canyon | the United States
        the Empire State Building | the United States
        the Hollywood Sign | the United States
        the CN Tower | Canada
        the Great Wall | China
        the Forbidden City | China
        the Terracotta Army | China
        the Taj Mahal | India
        Machu Picchu | Peru
        Chichen Itza | Mexico
        the statue of Christ the Redeemer | Brazil
        the Sydney Opera House | Australia
        Uluru | Australia
        the Great Barrier Reef | Australia
        the Brandenburg Gate | Germany
        Neuschwanstein Castle | Germany
        Cologne Cathedral | Germany
        the Acropolis | Greece
        the Parthenon | Greece
        the Sagrada Familia | Spain
        the Alhambra | Spain
    """),
)

PLANET_ORDER = Relation(
    name="planet_order",
    topic="sky",
    noun="the name of {s}",
    clause="which planet is {s}",
    statements=(
        "{S} is {a}.",
        "{S} has the name {a}.",
        "The name of {s} is {a}.",
        "Counting outward, {s} is {a}.",
        "If you look at a drawing of the planets, {s} is {a}.",
        "Anyone who wants to name {s} should say {a}.",
        "In a book about the sky, {s} is shown with the name {a}.",
        "{A} is {s}.",
        "{A} is the name of {s}.",
        "Children learn at school that {a} is {s}.",
    ),
    clozes=(
        "{S} is",
        "{S} has the name",
        "The name of {s} is",
    ),
    questions=(
        "What is {s}?",
        "What is the name of {s}?",
        "Name {s}.",
        "Tell me which one is {s}.",
        "What is {s} called?",
        "Can you name {s}?",
        "I would like to know what we call {s}.",
        "If someone pointed at {s}, which name would you give it?",
        "In a list of all the planets, which one is {s}?",
    ),
    facts=table("""
        the first planet from the sun | Mercury
        the second planet from the sun | Venus
        the third planet from the sun | Earth
        the fourth planet from the sun | Mars
        the fifth planet from the sun | Jupiter
        the sixth planet from the sun | Saturn
        the seventh planet from the sun | Uranus
        the eighth planet from the sun | Neptune
    """),
)

MONTH_AFTER = Relation(
    name="month_after",
    topic="calendar",
    noun="the month after {s}",
    clause="which month comes after {s}",
    statements=(
        "The month after {s} is {a}.",
        "After {s} comes {a}.",
        "{S} is followed by {a}.",
        "If this month is {s}, next month is {a}.",
        "When {s} ends, the next month is {a}.",
        "The month that comes right after {s} is {a}.",
        "As soon as {s} is over, {a} begins.",
        "{A} is the month after {s}.",
        "{A} comes right after {s}.",
        "You have to wait for {a} until {s} is over.",
    ),
    clozes=(
        "The month after {s} is",
        "After {s} comes",
        "If this month is {s}, next month is",
    ),
    questions=(
        "Which month comes after {s}?",
        "What is the month after {s}?",
        "Name the month that comes right after {s}.",
        "Tell me which month is right after {s}.",
        "Which month begins after {s} ends?",
        "Can you name the month after {s}?",
        "I would like to know the month right after {s}.",
        "When {s} is over, which month comes after it?",
        "Say which month we have after {s}.",
    ),
    facts=table("""
        January | February
        February | March
        March | April
        April | May
        May | June
        June | July
        July | August
        August | September
        September | October
        October | November
        November | December
        December | January
    """),
)

MONTH_BEFORE = Relation(
    name="month_before",
    topic="calendar",
    noun="the month before {s}",
    clause="which month comes before {s}",
    statements=(
        "The month before {s} is {a}.",
        "Before {s} comes {a}.",
        "{S} comes right after {a}.",
        "If this month is {s}, last month was {a}.",
        "The month that comes just before {s} is {a}.",
        "Counting back one month from {s} brings you to {a}.",
        "Before {s} can start, {a} has to end.",
        "{A} is the month before {s}.",
        "{A} comes right before {s}.",
        "When {a} is over, {s} begins.",
    ),
    clozes=(
        "The month before {s} is",
        "Before {s} comes",
        "If this month is {s}, last month was",
    ),
    questions=(
        "Which month comes before {s}?",
        "What is the month before {s}?",
        "Name the month that comes right before {s}.",
        "Tell me which month is just before {s}.",
        "Which month ends before {s} begins?",
        "Can you name the month before {s}?",
        "I would like to know the month right before {s}.",
        "When {s} starts, which month came before it?",
        "Say which month we have before {s}.",
    ),
    facts=table("""
        January | December
        February | January
        March | February
        April | March
        May | April
        June | May
        July | June
        August | July
        September | August
        October | September
        November | October
        December | November
    """),
)

MONTH_DAYS = Relation(
    name="month_days",
    topic="calendar",
    noun="the number of days in {s} in a normal year",
    clause="how many days {s} has in a normal year",
    statements=(
        "In a normal year, {s} has {a} days.",
        "In a normal year, the number of days in {s} is {a}.",
        "The number of days in {s} in a normal year is {a}.",
        "If you count the days of {s} in a normal year, you get {a}.",
        "The days of {s} in a normal year add up to {a}.",
        "{S} lasts for {a} days in a normal year.",
        "In a normal year, {s} is over after {a} days.",
        "{A} is the number of days in {s} in a normal year.",
        "{A} days make up the month of {s} in a normal year.",
        "There are {a} days in {s} in a normal year.",
    ),
    clozes=(
        "In a normal year, {s} has",
        "The number of days in {s} in a normal year is",
        "If you count the days of {s} in a normal year, you get",
    ),
    questions=(
        "How many days does {s} have in a normal year?",
        "How many days are there in {s} in a normal year?",
        "What is the number of days in {s} in a normal year?",
        "Tell me how many days {s} has in a normal year.",
        "Give the number of days in {s} in a normal year.",
        "Can you say how many days {s} has in a normal year?",
        "I would like to know the number of days in {s} in a normal year.",
        "If I counted all the days of {s} in a normal year, what number would I get?",
        "In a normal year, {s} lasts for how many days?",
    ),
    facts=table("""
        January | thirty-one
        February | twenty-eight
        March | thirty-one
        April | thirty
        May | thirty-one
        June | thirty
        July | thirty-one
        August | thirty-one
        September | thirty
        October | thirty-one
        November | thirty
        December | thirty-one
    """),
)

DAY_AFTER = Relation(
    name="day_after",
    topic="calendar",
    noun="the day after {s}",
    clause="which day comes after {s}",
    statements=(
        "The day after {s} is {a}.",
        "After {s} comes {a}.",
        "{S} is followed by {a}.",
        "If today is {s}, tomorrow is {a}.",
        "The day that comes right after {s} is {a}.",
        "If you go to bed on {s}, you will wake up on {a}.",
        "As soon as {s} is over, {a} begins.",
        "{A} is the day after {s}.",
        "{A} comes right after {s}.",
        "You have to wait for {a} until {s} is over.",
    ),
    clozes=(
        "The day after {s} is",
        "After {s} comes",
        "If today is {s}, tomorrow is",
    ),
    questions=(
        "Which day comes after {s}?",
        "What is the day after {s}?",
        "Name the day that comes right after {s}.",
        "Tell me which day is right after {s}.",
        "Which day of the week begins after {s} ends?",
        "Can you name the day after {s}?",
        "I would like to know the day right after {s}.",
        "When {s} is over, which day comes after it?",
        "Say which day of the week we have after {s}.",
    ),
    facts=table("""
        Monday | Tuesday
        Tuesday | Wednesday
        Wednesday | Thursday
        Thursday | Friday
        Friday | Saturday
        Saturday | Sunday
        Sunday | Monday
    """),
)

DAY_BEFORE = Relation(
    name="day_before",
    topic="calendar",
    noun="the day before {s}",
    clause="which day comes before {s}",
    statements=(
        "The day before {s} is {a}.",
        "Before {s} comes {a}.",
        "{S} comes right after {a}.",
        "If today is {s}, yesterday was {a}.",
        "The day that comes just before {s} is {a}.",
        "Counting back one day from {s} brings you to {a}.",
        "Before {s} can start, {a} has to end.",
        "{A} is the day before {s}.",
        "{A} comes right before {s}.",
        "When {a} is over, {s} begins.",
    ),
    clozes=(
        "The day before {s} is",
        "Before {s} comes",
        "If today is {s}, yesterday was",
    ),
    questions=(
        "Which day comes before {s}?",
        "What is the day before {s}?",
        "Name the day that comes right before {s}.",
        "Tell me which day is just before {s}.",
        "Which day of the week ends before {s} begins?",
        "Can you name the day before {s}?",
        "I would like to know the day right before {s}.",
        "When {s} starts, which day came before it?",
        "Say which day of the week we have before {s}.",
    ),
    facts=table("""
        Monday | Sunday
        Tuesday | Monday
        Wednesday | Tuesday
        Thursday | Wednesday
        Friday | Thursday
        Saturday | Friday
        Sunday | Saturday
    """),
)

SEASON = Relation(
    name="season",
    topic="calendar",
    noun="the season of {s} in the northern half of the world",
    clause="in which season {s} falls in the northern half of the world",
    statements=(
        "In the northern half of the world, {s} belongs to {a}.",
        "In the northern half of the world, the season in {s} is {a}.",
        "The season of {s} in the northern half of the world is {a}.",
        "For people in the northern half of the world, {s} is a month of {a}.",
        "In the northern half of the world, {s} is part of the season called {a}.",
        "When {s} comes to the northern half of the world, the season is {a}.",
        "In {s}, it is {a} in the northern half of the world.",
        "{A} is the season of {s} in the northern half of the world.",
        "{A} is the time of year that {s} brings to the northern half of the world.",
        "In the northern half of the world, {a} is the season in {s}.",
    ),
    clozes=(
        "In the northern half of the world, {s} belongs to",
        "The season of {s} in the northern half of the world is",
        "In the northern half of the world, the season in {s} is",
    ),
    questions=(
        "What season is it in {s} in the northern half of the world?",
        "Which season does {s} belong to in the northern half of the world?",
        "Name the season of {s} in the northern half of the world.",
        "Tell me the season in {s} in the northern half of the world.",
        "What is the season of {s} in the northern half of the world?",
        "Can you name the season in which {s} falls in the northern half of the world?",
        "I would like to know the season in {s} in the northern half of the world.",
        "If it is {s} in the northern half of the world, which season is it?",
        "People in the northern half of the world have which season in {s}?",
    ),
    facts=table("""
        January | winter
        February | winter
        April | spring
        May | spring
        July | summer
        August | summer
        October | autumn
        November | autumn
    """),
)

RELATIONS: tuple[Relation, ...] = (
    CAPITAL,
    CONTINENT,
    LANGUAGE,
    NATIONALITY,
    CURRENCY,
    LANDMARK,
    PLANET_ORDER,
    MONTH_AFTER,
    MONTH_BEFORE,
    MONTH_DAYS,
    DAY_AFTER,
    DAY_BEFORE,
    SEASON,
)
