"""The simulated provider's few words: what its prose and its example values are made of.

Some of them have letters beyond ASCII on purpose, so that every demo and test also carries UTF-8.
"""

from __future__ import annotations

__all__ = ["CITIES", "NOUNS", "OPENINGS", "PEOPLE", "PLACES", "SENTENCES", "STREETS", "THOUGHTS", "VERBS"]

OPENINGS = (
    'You asked about "{}".',
    'On "{}":',
    'Let us look at "{}".',
    'A short answer to "{}".',
    '"{}" is a good question.',
)

SENTENCES = (
    "{noun} {verb} {place}.",
    "Most of the time {noun} {verb} {place}.",
    "In Zürich and Malmö, {noun} {verb} {place}.",
    "{noun} {verb} {place} → and that is enough.",
    "Without it, {noun} {verb} {place}; nobody minds.",
    "Engineers say that {noun} {verb} {place}.",
    "First {noun} {verb} {place}, then the café opens.",
    "As a rule, {noun} {verb} {place} 💧.",
)

NOUNS = (
    "the water",
    "a closed valve",
    "the turbine",
    "every small gate",
    "the old sluice",
    "a naïve estimate",
    "the night shift",
    "one quiet engineer",
    "the reservoir",
    "a spare pump",
    "the pressure gauge",
    "a long pipe",
)

VERBS = (
    "waits for",
    "flows past",
    "answers to",
    "leans on",
    "turns with",
    "remembers",
    "measures",
    "follows",
    "feeds",
    "outlives",
    "slows down near",
    "depends on",
)

PLACES = (
    "the upper lake",
    "the second intake",
    "the control room",
    "the mill below the weir",
    "a bend in the river",
    "the spillway",
    "the generator hall",
    "last year's figures",
    "the Ångström bridge",
    "the morning's first load",
    "the far bank",
    "the logbook",
)

THOUGHTS = (
    "First, what is being asked: {place}.",
    "If {noun} {verb} {place}, the rest follows.",
    "But {noun} also {verb} {place}; check that.",
    "So far this agrees with {place}.",
    "One doubt remains about {place}, a small one.",
)

CITIES = ("Lisbon", "Zürich", "Nairobi", "Kyoto", "Quito", "Malmö", "Halifax", "Pune", "Tromsø", "Perth")
PEOPLE = ("Ada Park", "José Lima", "Mina Okafor", "Lars Åberg", "Priya Nair", "Tom Reyes", "Zoë Klein", "Wei Chen")
STREETS = ("Mill Lane 3", "Weir Street 12", "Harbour Road 41", "Station Square 7", "Lakeside 25")
