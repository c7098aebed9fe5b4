"""The words that the made-up firm is put together from. Data only."""

from __future__ import annotations

HEADS = (
    "Kes",
    "Bra",
    "Tol",
    "Mar",
    "Ven",
    "Hal",
    "Ost",
    "Fen",
    "Rud",
    "Lys",
    "Gor",
    "Pel",
    "Win",
    "Sar",
    "Dov",
)
TAILS = ("trin", "wick", "mond", "holt", "vane", "mark", "dell", "ric", "stow", "lund", "gard", "bury")
TRADES = (
    "Hydraulics", "Logistics", "Foods", "Energy", "Textiles", "Optics", "Rail Systems", "Water", "Paper",
    "Environmental Engineering & Infrastructure Partners", "Pharma Packaging and Distribution Services",
)  # fmt: skip
FORMS = {"GB": "Ltd", "DE": "GmbH", "CH": "AG", "US": "Inc", "SG": "Pte Ltd", "AU": "Pty Ltd"}
GIVEN = (
    "Talvi",
    "Oren",
    "Mirel",
    "Jasko",
    "Liora",
    "Denek",
    "Safira",
    "Brun",
    "Kaia",
    "Ilvo",
    "Noemi",
    "Räto",
    "Zuza",
    "Pekka",
)
ROLES = ("Analyst", "Consultant", "Senior Consultant", "Manager", "Principal", "Partner")
SKILLS = (
    "Data Migration",
    "Tax",
    "Bridge Design",
    "Change Management",
    "Audit",
    "Cloud Platforms",
    "Procurement",
)
TASKS = (
    ("ANA", "Analysis", True),
    ("DES", "Design", True),
    ("BLD", "Build", True),
    ("INT", "Internal", False),
)
CATEGORIES = (
    ("travel", "rail tickets"),
    ("hotel", "overnight stay"),
    ("meals", "team lunch"),
    ("material", "plans"),
)
MERCHANTS = ("Halden Rail", "Hotel Ostwick", "Pelgard Café", "Venmark Print", "Northdell Cabs")
NOTES = (
    "workshop with the client", "review of the draft", "site visit", "data cleansing", "steering committee",
    "", "preparation of the hand-over documents for the regional offices, with the open points of last week",
)  # fmt: skip
METHODS = ("time_and_materials", "fixed_price", "milestone", "retainer", "non_billable")
ENTRY_STATES = ("draft", "submitted", "approved", "posted", "invoiced", "rejected")
TITLES = ("Framework", "Delivery", "Advisory")
ENDEAVOURS = ("rollout", "review", "design study", "programme")
PRACTICES = ("Strategy", "Engineering", "Legal", "Technology")
