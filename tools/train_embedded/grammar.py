"""Own sentences of everyday life from a small grammar: scenes, opinions, requests, news, feelings, facts.

Written for this project and without a look at any evaluation data. `{name}` is replaced by a random expansion of the rule `name`.
"""

from __future__ import annotations

import random
import re

RULES: dict[str, list[str]] = {
    "sentence": [
        "{scene}",
        "{scene}",
        "{scene}",
        "{opinion}",
        "{service}",
        "{service}",
        "{news}",
        "{news}",
        "{mood}",
        "{mood}",
        "{fact}",
        "{question}",
    ],
    "scene": [
        "{who} {does} {where}.",
        "{who} {does} while {who2} {does2}.",
        "{who} and {who2} {doplural} {where}.",
        "{Where}, {who} {does}.",
        "{adjwho} {does} {where}.",
        "there is {thing} {where} next to {thing2}.",
        "{thing} lies {where}.",
        "{who} {does} with {thing}.",
        "{who} is not {doing}, but {doing2}.",
        "{who} {does} in the {weather}.",
    ],
    "who": ["a man", "a woman", "a boy", "a girl", "a child", "two men", "three women", "a group of people", "an old man", "a young woman", "some kids", "the {job}", "a {job}", "a {animal}", "two {animals}", "people", "a couple", "the neighbours", "somebody", "a crowd"],
    "who2": ["a {job}", "a {animal}", "another man", "his friend", "her sister", "the others", "a {job}", "nobody", "two girls", "the crowd"],
    "adjwho": ["a {feel} {job}", "a {color} {animal}", "a man in a {color} {cloth}", "a woman with a {color} {cloth}", "a tall {job}", "a {feel} child"],
    "job": ["doctor", "nurse", "teacher", "farmer", "soldier", "painter", "lawyer", "actor", "sailor", "cook", "driver", "pilot", "policeman", "fireman", "judge", "singer", "dancer", "writer", "student", "baker", "butcher", "carpenter", "plumber", "engineer", "scientist", "waiter", "clerk", "tailor", "priest", "mechanic", "journalist", "photographer", "gardener", "fisherman", "salesman", "guard", "manager", "secretary", "dentist", "architect", "librarian"],
    "animal": ["dog", "cat", "horse", "cow", "bird", "fish", "sheep", "mouse", "rabbit", "goat", "duck", "pig", "elephant", "monkey", "lion", "tiger", "bear", "fox", "wolf", "deer", "frog", "snake", "turtle", "owl", "parrot", "hen", "puppy", "kitten", "pony", "donkey", "squirrel"],
    "animals": ["dogs", "cats", "horses", "cows", "birds", "sheep", "rabbits", "goats", "ducks", "pigs", "elephants", "monkeys", "lions", "bears", "foxes", "deer", "frogs", "parrots", "puppies", "kittens"],
    "color": ["red", "blue", "green", "yellow", "white", "black", "brown", "purple", "orange", "pink", "grey"],
    "cloth": ["hat", "coat", "dress", "scarf", "shirt", "jacket", "sweater", "cap", "uniform", "suit", "skirt", "raincoat", "t-shirt"],
    "weather": ["rain", "snow", "wind", "fog", "sunshine", "storm", "heat", "cold", "drizzle", "sun"],
    "does": ["{verb3} {thing}", "is {doing}"],
    "does2": ["is {doing}", "{verb3} {thing}", "watches", "waits", "sleeps"],
    "doplural": ["are {doing}", "are {doing}", "carry {thing}", "look at {thing}"],
    "verb3": ["carries", "holds", "washes", "paints", "cuts", "throws", "watches", "opens", "closes", "buys", "sells", "pushes", "pulls", "cleans", "repairs", "breaks", "drops", "lifts", "feeds", "finds", "hides", "kicks", "catches", "draws", "fills"],
    "doing": ["walking", "running", "sleeping", "singing", "dancing", "reading {read}", "writing {read}", "eating {food}", "cooking {food}", "drinking {drink}", "riding a {ride}", "driving a {vehicle}", "playing {play}", "talking on the phone", "sitting on a {furniture}", "standing near {thing}", "swimming", "jumping over {thing}", "climbing a {climb}", "cutting {food}", "slicing {food}", "washing {thing}", "painting {thing}", "looking at {thing}", "talking to a {job}", "fishing", "laughing", "crying", "working", "waiting for a {vehicle}", "feeding a {animal}", "playing with a {animal}", "taking a picture of {thing}"],
    "doing2": ["resting", "walking away", "reading {read}", "eating {food}", "playing {play}", "talking", "drinking {drink}"],
    "read": ["a book", "a letter", "the newspaper", "a magazine", "a poem", "a report", "an email"],
    "food": ["bread", "cheese", "soup", "cake", "meat", "fruit", "rice", "eggs", "pasta", "potatoes", "an_apple", "a_sandwich", "onions", "carrots", "tomatoes", "fish", "chicken", "pizza", "salad", "noodles", "beans", "a_banana"],
    "drink": ["water", "coffee", "tea", "milk", "beer", "wine", "juice", "lemonade"],
    "ride": ["horse", "bicycle", "motorcycle", "bike", "camel", "scooter", "skateboard", "pony"],
    "vehicle": ["car", "train", "ship", "bicycle", "plane", "bus", "truck", "motorcycle", "taxi", "boat", "tram", "van", "ferry", "tractor"],
    "play": ["football", "the guitar", "the piano", "chess", "cards", "tennis", "the drums", "a game", "basketball", "the violin", "in the sand", "with a ball"],
    "furniture": ["chair", "bench", "sofa", "table", "bed", "stool", "couch"],
    "climb": ["ladder", "tree", "wall", "mountain", "hill", "rock", "fence"],
    "thing": ["a {color} {object}", "a {object}", "the {object}", "a {size} {object}", "an old {object}", "a new {object}"],
    "thing2": ["a {object}", "a {color} {object}", "the {object}"],
    "size": ["small", "big", "large", "tiny", "huge", "heavy", "long"],
    "object": ["box", "bag", "door", "window", "table", "chair", "lamp", "clock", "book", "bottle", "cup", "plate", "knife", "ladder", "rope", "umbrella", "basket", "mirror", "phone", "computer", "camera", "key", "letter", "picture", "wheel", "boat", "car", "bicycle", "ball", "toy", "hat", "coat", "flower", "tree", "stone", "fence", "bridge", "wall", "house", "tent", "bucket", "hammer", "shovel", "candle", "blanket", "pillow", "suitcase"],
    "where": ["in the {place}", "at the {place}", "near the {place}", "outside the {place}", "in front of the {place}", "on the street", "on the grass", "on a boat", "by the river", "under a tree", "on the stage", "in the snow", "in a field", "on the roof"],
    "Where": ["in the {place}", "behind the {place}", "near the {place}", "far from the {place}", "in the old {place}"],
    "place": ["kitchen", "school", "hospital", "beach", "forest", "station", "church", "market", "park", "garden", "office", "shop", "restaurant", "museum", "factory", "farm", "airport", "harbour", "bank", "theatre", "stadium", "hotel", "bathroom", "village", "city", "street", "mountains", "desert"],
    "opinion": ["the {product} is {good}.", "i {like} this {product}, it is {good}.", "the {product} was {bad} and i want to give it back.", "{bad} {product}, do not buy it.", "we {like} the {product} because it is so {good}.", "the {product} looks {good} but it is {bad}.", "i would {recommend} this {product} to a friend.", "the {product} broke after {period}.", "not worth the money, the {product} is {bad}.", "my {product} works well and feels {good}."],
    "product": ["phone", "film", "book", "song", "camera", "laptop", "chair", "jacket", "game", "meal", "concert", "album", "car", "coffee", "vacuum", "printer", "mattress", "watch", "headset", "tent", "story", "play", "bicycle"],
    "good": ["great", "excellent", "wonderful", "good", "beautiful", "nice", "perfect", "comfortable", "fast", "cheap", "useful", "fantastic", "reliable", "funny", "exciting"],
    "bad": ["terrible", "awful", "bad", "slow", "ugly", "boring", "broken", "expensive", "useless", "poor", "loud", "disappointing", "horrible", "weak"],
    "like": ["love", "like", "enjoy", "hate", "dislike", "adore", "prefer"],
    "recommend": ["recommend", "never recommend", "gladly recommend"],
    "period": ["two days", "a week", "one month", "a year", "a few hours"],
    "service": ["how do i {change} my {account}?", "i want to {change} my {account}.", "why was my {account} {rejected}?", "my {account} has not {arrived} yet.", "can i {change} the {account} {how}?", "please {change} my {account}.", "i lost my {account}, what should i do?", "when will my {account} {arrive}?", "is there a fee to {change} a {account}?", "somebody has stolen my {account}.", "the {account} does not work {how}.", "i was charged twice for the {account}.", "what is the limit for my {account}?", "set {an} {alarm} for {when}.", "play some {music}.", "what is the weather like {when}?", "book a table for {num} people {when}.", "turn {onoff} the {device}.", "remind me to call the {job} {when}.", "who can use this {account}?", "i would like a refund for my {account}.", "which currencies can i use with the {account}?", "i do not recognise this {account}.", "how long does a {account} take?"],
    "account": ["password", "address", "order", "payment", "transfer", "ticket", "card", "delivery", "subscription", "invoice", "account", "name", "booking", "insurance", "contract", "phone_number", "pin", "cash_withdrawal", "balance", "exchange_rate", "top-up", "reservation", "passport", "suitcase", "flight"],
    "change": ["change", "cancel", "close", "open", "update", "check", "verify", "pay", "activate", "renew", "send", "get", "find", "return", "order", "track", "block", "receive", "increase"],
    "rejected": ["rejected", "cancelled", "declined", "blocked", "charged", "changed", "delayed", "refused"],
    "arrived": ["arrived", "come", "appeared", "updated", "been_sent", "been_paid"],
    "arrive": ["arrive", "come", "expire", "be_ready", "be_sent", "be_refunded"],
    "how": ["online", "abroad", "with the app", "by phone", "without a card", "again", "today", "from another country", "at the machine"],
    "an": ["an"],
    "alarm": ["alarm", "appointment"],
    "when": ["tomorrow", "today", "at seven", "on monday", "this evening", "next week", "in an hour", "at noon"],
    "music": ["jazz", "rock", "songs", "classical_music", "pop", "blues"],
    "num": ["two", "three", "four", "five", "six"],
    "onoff": ["on", "off", "up", "down"],
    "device": ["light", "radio", "heating", "television", "fan", "alarm", "oven", "volume", "music"],
    "news": ["{country} {agrees} {deal} with {country2}.", "{official} of {country} {says} the {issue} will {rise}.", "{disaster} {kills} {count} people in {country}.", "police {arrest} {count} {suspects} after {crime} in {city}.", "{company} shares {rise3} after {report}.", "{official} {says} {issue} is {state}.", "scientists find new {science} in {country}.", "court {rules} in {crime} case in {city}.", "{city} {team} win against {country2}.", "thousands protest in {city} against {issue}.", "{country} votes for a new {official}.", "strike stops {vehicle}s in {city}.", "{company} will {cut} {count} jobs in {country}.", "{official} visits {country} for talks on {issue}."],
    "country": ["germany", "france", "china", "india", "russia", "brazil", "egypt", "japan", "iran", "israel", "syria", "ukraine", "turkey", "spain", "italy", "mexico", "canada", "australia", "pakistan", "korea", "britain", "america", "kenya", "nigeria", "iraq", "greece"],
    "country2": ["germany", "france", "china", "india", "russia", "brazil", "egypt", "japan", "poland", "norway", "chile", "turkey", "spain", "italy", "peru", "canada"],
    "city": ["paris", "london", "berlin", "moscow", "cairo", "tokyo", "rome", "madrid", "delhi", "beijing", "boston", "chicago", "athens", "damascus", "kiev", "lagos"],
    "agrees": ["signs", "rejects", "discusses", "plans", "ends", "agrees on"],
    "deal": ["a trade deal", "a peace agreement", "a gas contract", "new talks", "a ceasefire", "the nuclear deal"],
    "official": ["the president", "the prime minister", "the foreign minister", "the king", "a spokesman", "the mayor", "the central bank"],
    "says": ["says", "denies", "warns", "hopes", "claims", "insists"],
    "issue": ["inflation", "the oil price", "unemployment", "the new tax law", "climate change", "the budget", "the election", "the war", "food prices", "migration", "health care", "the pension reform"],
    "rise": ["rise", "fall", "improve", "worsen", "continue", "end"],
    "rise3": ["rise", "fall", "jump", "drop", "recover"],
    "disaster": ["an earthquake", "a flood", "a bomb", "a plane crash", "a fire", "a storm", "a train accident", "an explosion", "a landslide", "an attack"],
    "kills": ["kills", "injures", "hits", "leaves homeless"],
    "count": ["two", "five", "ten", "dozens of", "hundreds of", "at least 20", "more than 100"],
    "arrest": ["arrest", "search for", "question", "release", "shoot"],
    "suspects": ["men", "suspects", "protesters", "teenagers", "soldiers"],
    "crime": ["a robbery", "a murder", "a fraud", "a shooting", "a theft", "a corruption"],
    "company": ["the car maker", "the bank", "the airline", "the software company", "the phone company", "the oil company", "the retailer"],
    "report": ["strong profits", "weak sales", "the merger", "a lawsuit", "the new product", "a profit warning"],
    "state": ["getting worse", "under control", "a success", "a disaster", "necessary", "over"],
    "science": ["a planet", "cancer genes", "a vaccine", "dinosaur bones", "a virus", "evidence of water", "a protein", "an old tomb", "a treatment for diabetes", "tumor cells"],
    "rules": ["rules", "delays the verdict", "finds the man guilty", "frees the suspect"],
    "team": ["players", "women", "champions", "juniors"],
    "cut": ["cut", "create", "move"],
    "mood": ["i feel so {feel} {because}.", "i am {feel} {because}.", "it makes me {feel} when {event}.", "she felt {feel} {because}.", "he was {feel} and {feel} {because}.", "i never felt so {feel} before.", "i was {feel} to see that {event}.", "they are {feel} that {event}.", "i started to feel {feel} about {topic}.", "i cannot help feeling {feel} {because}.", "{event} and i am left feeling {feel}.", "what a {feel} day."],
    "feel": ["happy", "sad", "angry", "afraid", "surprised", "proud", "lonely", "calm", "nervous", "tired", "excited", "jealous", "ashamed", "grateful", "bored", "worried", "hopeful", "annoyed", "cheerful", "guilty", "relaxed", "furious", "scared", "amazed", "loved", "hurt", "confused", "gloomy", "tender", "passionate", "terrified", "curious", "bitter", "delighted", "miserable", "shocked", "generous", "helpless", "irritated", "joyful", "frightened", "caring", "unhappy", "stunned"],
    "because": ["because {event}", "about {topic}", "after {event2}", "today", "for no reason", "when i think of {topic}"],
    "event": ["my friend called me", "nobody helped us", "the train was late", "we won the game", "the dog died", "they lied to me", "the holidays begin", "i lost my job", "the exam went well", "my sister got married", "the computer broke", "i saw a spider", "we moved to a new city", "they gave me a present", "the doctor called", "my brother left without a word", "people laughed at me", "the baby smiled", "i passed the test", "the noise kept me awake"],
    "event2": ["the accident", "the good news", "the long trip", "the argument", "the party", "a bad dream", "the interview", "the funeral", "the meeting"],
    "topic": ["the future", "my work", "the exam", "my family", "money", "the journey", "my health", "school", "the way he treats me", "love", "the war", "the results"],
    "fact": ["the {part} is part of the {body}.", "{bio} {binds} {bio2} in {cells}.", "{bio} is needed for {process}.", "the {planet} moves around the {planet2}.", "a {animal} has {part}s.", "{material} is made from {material2}.", "{element} reacts with {element2}.", "the {part} of a {animal} is {color}.", "loss of {bio} causes {disease}.", "{bio} and {bio2} act together in {disease}."],
    "part": ["heart", "lung", "wing", "tail", "leg", "brain", "liver", "eye", "bone", "skin", "muscle", "root", "leaf"],
    "body": ["body", "head", "animal", "plant", "chest", "machine"],
    "bio": ["the_protein", "insulin", "the_enzyme", "the_gene", "the_receptor", "dna", "rna", "the_hormone", "the_kinase", "the_antibody", "the_virus", "the_mutation", "the_cell"],
    "bio2": ["the_receptor", "glucose", "the_membrane", "the_promoter", "tumor_cells", "the_protein", "another_gene", "blood_cells"],
    "binds": ["binds", "activates", "inhibits", "regulates", "targets", "damages", "controls", "reduces"],
    "cells": ["the cell", "cancer cells", "mice", "human tissue", "the liver", "the brain", "yeast"],
    "process": ["cell growth", "cell division", "digestion", "the immune response", "metabolism", "breathing", "tumor growth"],
    "disease": ["cancer", "diabetes", "lung cancer", "leukemia", "heart disease", "infection", "inflammation"],
    "planet": ["earth", "moon", "planet", "comet", "satellite"],
    "planet2": ["sun", "earth", "star", "planet"],
    "material": ["paper", "glass", "steel", "bread", "cheese", "wine", "plastic", "cloth"],
    "material2": ["wood", "sand", "iron", "flour", "milk", "grapes", "oil", "cotton"],
    "element": ["oxygen", "iron", "hydrogen", "carbon", "chlorine", "copper"],
    "element2": ["water", "air", "sodium", "acid", "sulphur"],
    "question": ["what is the best way to {learn}?", "where can i buy {thing}?", "how can i {learn}?", "why do {animals} {sleep}?", "what is the difference between {product} and {product}?", "does anyone know how to {learn}?", "who invented the {object}?", "what happens if i {learn} too late?", "should i {learn} or wait?", "is it safe to {learn}?"],
    "learn": ["learn a language", "cook rice", "repair a bicycle", "sleep better", "find a job", "grow tomatoes", "save money", "install the program", "clean a carpet", "lose weight", "train a dog", "sell a house", "write a letter", "paint a wall", "travel alone", "remove a stain", "file a tax return", "sort a list in python", "read a file line by line", "charge a battery"],
    "sleep": ["sleep", "sing", "fly", "swim", "hide", "fight", "migrate"],
}  # fmt: skip
_SLOT = re.compile(r"\{(\w+)\}")


def expand(rule: str, rng: random.Random) -> str:
    """Return a random expansion of a rule."""
    choices = RULES[rule]
    text = choices[rng.randrange(len(choices))]
    return _SLOT.sub(lambda match: expand(match.group(1), rng).replace("_", " "), text)


def sentences(count: int, seed: int) -> list[str]:
    """Return `count` different sentences."""
    rng = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        found.setdefault(expand("sentence", rng))
    return list(found)
