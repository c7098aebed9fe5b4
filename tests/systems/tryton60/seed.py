"""Fills a fresh database with the firm that the tests bill for. Runs in the ERP's own environment.

usage: seed.py CONFIG DATABASE OUT.json

Each company stands for one legal entity: its party's code is the legal entity's code. Each gets a chart of
accounts, the fiscal years that tests can fall into, consultants and a product sold by the hour. The gateway
gets a user of its own, so that what an administrator does beside it can be told from what the gateway does.
The ids that the settings of the system need are written to OUT.json.
"""

import datetime as dt
import json
import os
import sys
from decimal import Decimal
from pathlib import Path

config_file, database, out = sys.argv[1:4]
os.environ.setdefault("DB_NAME", database)  # the series' own set-up functions ask for it

from proteus import Model, Wizard  # noqa: E402
from proteus import config as proteus_config  # noqa: E402
from trytond.modules.account.tests.tools import create_chart, create_fiscalyear, get_accounts  # noqa: E402
from trytond.modules.account_invoice.tests.tools import (  # noqa: E402
    create_payment_term,
    set_fiscalyear_invoice_sequences,
)

#: legal entity, its name, currency, list price of an hour, consultants
COMPANIES = (
    ("DE01", "Seed Beratung GmbH", "EUR", Decimal(150), ("Anna Berger", "Jonas Keller", "Mira Vogt")),
    ("US01", "Seed Advisory Inc.", "USD", Decimal(180), ("Dana Cole", "Eric Moss", "Ruth Lane")),
)
#: units of a currency for one US dollar: an invoice in another currency than its company's needs a rate
RATES = {
    "USD": Decimal(1),
    "EUR": Decimal("0.92"),
    "GBP": Decimal("0.79"),
    "CHF": Decimal("0.88"),
    "SGD": Decimal("1.34"),
}
COUNTRIES = {
    "AT": "Austria",
    "CH": "Switzerland",
    "DE": "Germany",
    "FR": "France",
    "GB": "United Kingdom",
    "NL": "Netherlands",
    "SG": "Singapore",
    "US": "United States",
}
#: One status for each canonical state of a project; the product leaves this list to its users.
PROJECT_STATUSES = ("Draft", "Approved", "Active", "On hold", "Closed", "Cancelled")
#: login and password of the gateway's own user; the server listens on loopback only
GATEWAY = ("gateway", "north-Quay.1947:bell")


def find_one(model, *domain):
    (record,) = Model.get(model).find(list(domain))
    return record


connection = proteus_config.set_trytond(database, config_file=config_file)
User, Group, Party = Model.get("res.user"), Model.get("res.group"), Model.get("party.party")
Company, Employee = Model.get("company.company"), Model.get("company.employee")

currencies = {}
for code, rate in RATES.items():
    currency = Model.get("currency.currency")(name=code, symbol=code, code=code, rounding=Decimal("0.01"))
    currency.save()
    Model.get("currency.currency.rate")(date=dt.date.min, rate=rate, currency=currency).save()
    currencies[code] = currency
countries = {}
for code, name in COUNTRIES.items():
    country = Model.get("country.country")(code=code, name=name)
    country.save()
    countries[code] = country.id
Status = Model.get("project.work.status")
statuses = {}
for name in PROJECT_STATUSES:
    status = Status(name=name, types=["project", "task"])
    status.save()
    statuses[name] = status.id

companies = {}
for code, name, currency, _price, _people in COMPANIES:
    party = Party(name=name, code=code)
    party.save()
    wizard = Wizard("company.company.config")
    wizard.execute("company")
    wizard.form.party, wizard.form.currency = party, currencies[currency]
    wizard.execute("add")
    companies[code] = find_one("company.company", ("party", "=", party.id))


def admit(user, groups):
    """Gives a user every right and every company: record rules otherwise hide all but its main company."""
    held = {group.id for group in user.groups}
    for group in groups:
        if group.id not in held:
            user.groups.append(Group(group.id))
    entered = {company.id for company in user.companies}
    for company in companies.values():
        if company.id not in entered:
            user.companies.append(Company(company.id))
    user.company_filter = "all"
    user.save()


admin = find_one("res.user", ("login", "=", "admin"))
admit(admin, Group.find([]))
gateway = User(login=GATEWAY[0], name="Gateway", password=GATEWAY[1])
gateway.company = Company(companies["DE01"].id)
admit(gateway, Group.find([]))

term = create_payment_term()
term.save()
category = Model.get("party.category")(name="Customer")
category.save()
hour = find_one("product.uom", ("name", "=", "Hour"))
seed = {
    "gateway": {"login": GATEWAY[0], "password": GATEWAY[1]},
    "payment_term": term.id,
    "customer_category": category.id,
    "uom_hour": hour.id,
    "currencies": {code: currency.id for code, currency in currencies.items()},
    "countries": countries,
    "languages": {code: find_one("ir.lang", ("code", "=", code)).id for code in ("en", "de", "fr")},
    "revenue_journal": find_one("account.journal", ("type", "=", "revenue")).id,
    "project_statuses": statuses,
    "companies": {},
}
today = dt.date.today()
for code, _name, currency, price, people in COMPANIES:
    company = Company(companies[code].id)
    admin.company = company
    admin.save()
    connection._context = User.get_preferences(True, {})
    create_chart(company=company)
    for year in (today.year - 1, today.year):
        fiscal_year = create_fiscalyear(company=company, today=dt.date(year, 7, 1))
        set_fiscalyear_invoice_sequences(fiscal_year).click("create_period")
    accounts = get_accounts(company)
    services = Model.get("product.category")(name=f"Services {code}", accounting=True)
    services.account_revenue, services.account_expense = accounts["revenue"], accounts["expense"]
    services.save()
    template = Model.get("product.template")(
        name=f"Consulting hour {code}",
        default_uom=hour,
        type="service",
        list_price=price,
        account_category=services,
    )
    template.save()
    employees = {}
    for number, person in enumerate(people, start=1):
        party = Party(name=person, code=f"{code}-E{number:03d}")
        party.save()
        employee = Employee(party=party, company=company)
        employee.save()
        employees[party.code] = employee.id
    seed["companies"][code] = {
        "id": company.id,
        "party": company.party.id,
        "currency": currency,
        "employees": employees,
        "product": template.products[0].id,
        "receivable": accounts["receivable"].id,
        "revenue": accounts["revenue"].id,
    }
admin.company = Company(companies["DE01"].id)
admin.save()
Path(out).write_text(json.dumps(seed, indent=1, sort_keys=True))
