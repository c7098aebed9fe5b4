"""The fields of the cloud ERP: native property, what it holds, the canonical field."""

from __future__ import annotations

import msgspec

from adapters.sandbox.fields import (
    Amount,
    Code,
    Day,
    Field,
    Flag,
    Group,
    Number,
    Ref,
    Rows,
    Table,
    Text,
    Texts,
    Whole,
)

TAX_CODES = {
    "Standard": "standard",
    "Reduced": "reduced",
    "ZeroRated": "zero",
    "Exempt": "exempt",
    "ReverseCharge": "reverse_charge",
}
ENTRY_STATES = {
    "Draft": "draft",
    "Submitted": "submitted",
    "Approved": "approved",
    "Posted": "posted",
    "Invoiced": "invoiced",
    "Rejected": "rejected",
}

# fmt: off
CUSTOMER = Table(
    entity="customer", path="Customers", item="Customer", key="CustomerNo", prefix="C", first=100001,
    natural="number", main=("number", "state", "name"),
    fields=(
        Field("Number",             Text(40),  "number"),
        Field("LegalEntity",        Text(10),  "legal_entity"),
        Field("Status",             Code({"Prospect": "prospect", "Active": "active", "OnHold": "blocked",
                                          "Archived": "archived"}), "state"),
        Field("Name",               Text(120), "name", required=True),
        Field("LegalName",          Text(160), "legal_name"),
        Field("TaxId",              Text(40),  "tax_id"),
        Field("RegistrationNumber", Text(40),  "registration_number"),
        Field("Email",              Text(254), "email"),
        Field("Phone",              Text(40),  "phone"),
        Field("Website",            Text(250), "website"),
        Field("BillingAddress",     Group((
            Field("Street",     Text(120), "line1"),
            Field("Street2",    Text(120), "line2"),
            Field("City",       Text(80),  "city"),
            Field("Region",     Text(60),  "state"),
            Field("PostalCode", Text(20),  "postal_code"),
            Field("Country",    Text(2),   "country"),
        )), "billing_address"),
        Field("CurrencyCode",       Text(3),   "currency"),
        Field("PaymentTermsDays",   Whole(),   "payment_terms_days"),
        Field("CreditLimit",        Amount(),  "credit_limit.amount"),
        Field("CreditLimitCurrency", Text(3),  "credit_limit.currency"),
        Field("ParentNo",           Ref("customer"), "parent_id"),
        Field("Language",           Text(35),  "language"),
    ),
)
PROJECT = Table(
    entity="project", path="Projects", item="Project", key="ProjectNo", prefix="P", first=300001,
    natural="number", main=("number", "state", "name"),
    fields=(
        Field("Number",        Text(40),  "number"),
        Field("LegalEntity",   Text(10),  "legal_entity"),
        Field("Status",        Code({"Draft": "draft", "Approved": "approved", "InProgress": "active",
                                     "OnHold": "on_hold", "Closed": "closed",
                                     "Cancelled": "cancelled"}), "state"),
        Field("Name",          Text(120), "name", required=True),
        Field("CustomerNo",    Ref("customer"), "customer_id", required=True),
        Field("ContractNo",    Ref("contract"), "contract_id"),
        Field("ManagerNo",     Ref("resource"), "manager_id"),
        Field("BillingMethod", Code({"TimeMaterial": "time_and_materials", "FixedPrice": "fixed_price",
                                     "Milestone": "milestone", "Retainer": "retainer",
                                     "NonBillable": "non_billable"}), "billing_method", required=True),
        Field("CurrencyCode",  Text(3),   "currency", required=True),
        Field("StartDate",     Day(),     "start_date"),
        Field("EndDate",       Day(),     "end_date"),
        Field("BudgetHours",   Number(4), "budget_hours"),
        Field("BudgetAmount",  Amount(),  "budget_amount"),
        Field("Practice",      Text(60),  "practice"),
        Field("CostCenter",    Text(30),  "cost_center"),
        Field("Tasks",         Rows("Task", (
            Field("Code",     Text(30),  "code"),
            Field("Name",     Text(120), "name"),
            Field("Billable", Flag(),    "billable"),
        )), "tasks"),
    ),
)
RESOURCE = Table(
    entity="resource", path="Workers", item="Worker", key="WorkerNo", prefix="W", first=200001,
    natural="number", main=("number", "state", "name"),
    fields=(
        Field("Number",           Text(40),  "number"),
        Field("LegalEntity",      Text(10),  "legal_entity"),
        Field("Status",           Code({"Onboarding": "onboarding", "Active": "active", "OnLeave": "on_leave",
                                        "Inactive": "inactive"}), "state"),
        Field("Name",             Text(120), "name", required=True),
        Field("Email",            Text(254), "email"),
        Field("Kind", Code({"Employee": "employee", "Contractor": "contractor"}), "kind", required=True),
        Field("Role",             Text(60),  "role"),
        Field("Grade",            Text(30),  "grade"),
        Field("CostRate",         Amount(),  "cost_rate.amount"),
        Field("CostRateCurrency", Text(3),   "cost_rate.currency"),
        Field("BillRate",         Amount(),  "bill_rate.amount"),
        Field("BillRateCurrency", Text(3),   "bill_rate.currency"),
        Field("WeeklyHours",      Number(4), "capacity_hours_per_week"),
        Field("ManagerNo",        Ref("resource"), "manager_id"),
        Field("EmployedFrom",     Day(),     "employed_from"),
        Field("EmployedTo",       Day(),     "employed_to"),
        Field("Skills",           Rows("Skill", (
            Field("Name",  Text(60), "name"),
            Field("Level", Text(30), "level"),
        )), "skills"),
    ),
)
CONTRACT = Table(
    entity="contract", path="Contracts", item="Contract", key="ContractNo", prefix="K", first=400001,
    natural="number", main=("number", "state", "value"),
    fields=(
        Field("Number",           Text(40),  "number"),
        Field("LegalEntity",      Text(10),  "legal_entity"),
        Field("Status", Code({"Draft": "draft", "Sent": "sent", "Signed": "signed", "InForce": "active",
                                        "Fulfilled": "completed", "Terminated": "terminated"}), "state"),
        Field("CustomerNo",       Ref("customer"), "customer_id", required=True),
        Field("Title",            Text(120), "title", required=True),
        Field("Kind",             Code({"MasterAgreement": "msa", "StatementOfWork": "sow",
                                        "ChangeOrder": "change_order"}), "kind", required=True),
        Field("SignedOn",         Day(),     "signed_on"),
        Field("StartDate",        Day(),     "start_date"),
        Field("EndDate",          Day(),     "end_date"),
        Field("CurrencyCode",     Text(3),   "currency", required=True),
        Field("ContractValue",    Amount(),  "value"),
        Field("PaymentTermsDays", Whole(),   "payment_terms_days"),
        Field("RevenueMethod",    Text(40),  "revenue_method"),
        Field("DocumentRef",      Text(250), "document_ref"),
        Field("RateCard",         Rows("Rate", (
            Field("Role", Text(60), "role"),
            Field("Rate", Amount(), "rate"),
            Field("Unit", Text(20), "unit"),
        )), "rate_card"),
        Field("Milestones",       Rows("Milestone", (
            Field("Code",    Text(30),  "code"),
            Field("Name",    Text(120), "name"),
            Field("Amount",  Amount(),  "amount"),
            Field("DueDate", Day(),     "due_date"),
            Field("State",   Text(30),  "state"),
        )), "milestones"),
        Field("BillingSchedule",  Rows("Instalment", (
            Field("DueDate",     Day(),     "due_date"),
            Field("Amount",      Amount(),  "amount"),
            Field("Description", Text(250), "description"),
        )), "billing_schedule"),
    ),
)
TIME_ENTRY = Table(
    entity="time_entry", path="TimeEntries", item="TimeEntry", key="EntryNo", prefix="T", first=1000001,
    natural="timesheet_ref", main=("timesheet_ref", "state", "hours"),
    fields=(
        Field("TimesheetRef", Text(60),  "timesheet_ref"),
        Field("LegalEntity",  Text(10),  "legal_entity"),
        Field("Status",       Code(ENTRY_STATES), "state"),
        Field("WorkerNo",     Ref("resource"), "resource_id", required=True),
        Field("ProjectNo",    Ref("project"),  "project_id", required=True),
        Field("WorkDate",     Day(),     "date", required=True),
        Field("Hours",        Number(4), "hours", required=True),
        Field("Billable",     Flag(),    "billable", required=True),
        Field("TaskCode",     Text(30),  "task_code"),
        Field("Note",         Text(500), "note"),
        Field("Rate",         Amount(),  "rate.amount"),
        Field("CurrencyCode", Text(3),   "rate.currency"),
    ),
)
EXPENSE = Table(
    entity="expense", path="Expenses", item="Expense", key="ExpenseNo", prefix="E", first=600001,
    natural="receipt_ref", main=("receipt_ref", "state", "amount.amount"),
    fields=(
        Field("ReceiptRef",   Text(60),  "receipt_ref"),
        Field("LegalEntity",  Text(10),  "legal_entity"),
        Field("Status",       Code({**ENTRY_STATES, "Reimbursed": "reimbursed"}), "state"),
        Field("WorkerNo",     Ref("resource"), "resource_id", required=True),
        Field("ProjectNo",    Ref("project"),  "project_id", required=True),
        Field("ExpenseDate",  Day(),     "date", required=True),
        Field("Category",     Text(40),  "category", required=True),
        Field("Amount",       Amount(),  "amount.amount", required=True),
        Field("CurrencyCode", Text(3),   "amount.currency", required=True),
        Field("TaxAmount",    Amount(),  "tax_amount"),
        Field("Billable",     Flag(),    "billable", required=True),
        Field("Reimbursable", Flag(),    "reimbursable"),
        Field("Note",         Text(500), "note"),
        Field("Merchant",     Text(120), "merchant"),
    ),
)
INVOICE = Table(
    entity="invoice", path="Invoices", item="Invoice", key="InvoiceNo", prefix="I", first=700001,
    natural="number", main=("number", "state", "net_total", "tax_total", "total"),
    fields=(
        Field("Number",       Text(40),  "number"),
        Field("LegalEntity",  Text(10),  "legal_entity"),
        Field("Status", Code({"Draft": "draft", "Ready": "ready", "Released": "released", "Posted": "posted",
                                    "PartiallyPaid": "partially_paid", "Paid": "paid",
                                    "Voided": "void"}), "state"),
        Field("CustomerNo",   Ref("customer"), "customer_id", required=True),
        Field("CurrencyCode", Text(3),   "currency", required=True),
        Field("IssueDate",    Day(),     "issue_date", required=True),
        Field("ProjectNo",    Ref("project"),  "project_id"),
        Field("ContractNo",   Ref("contract"), "contract_id"),
        Field("DueDate",      Day(),     "due_date"),
        Field("PostingDate",  Day(),     "posting_date"),
        Field("NetAmount",    Amount(),  "net_total"),
        Field("TaxAmount",    Amount(),  "tax_total"),
        Field("TotalAmount",  Amount(),  "total"),
        Field("OpenAmount",   Amount(),  "balance"),
        Field("Lines",        Rows("Line", (
            Field("LineNo",      Whole(),   "number"),
            Field("Description", Text(250), "description"),
            Field("ProjectNo",   Ref("project"), "project_id"),
            Field("Kind",        Code({"Time": "time", "Expense": "expense", "Milestone": "milestone",
                                       "Fee": "fee"}), "kind"),
            Field("Quantity",    Number(4), "quantity"),
            Field("UnitPrice",   Amount(),  "unit_price"),
            Field("Amount",      Amount(),  "amount"),
            Field("TaxCode",     Code(TAX_CODES), "tax_code"),
            Field("TaxAmount",   Amount(),  "tax_amount"),
            Field("Sources",     Texts("Source", 80), "source_ids"),
        )), "lines", required=True),
    ),
)
PAYMENT = Table(
    entity="payment", path="Payments", item="Payment", key="PaymentNo", prefix="R", first=800001,
    natural="reference", main=("reference", "state", "amount.amount"),
    fields=(
        Field("Reference",    Text(80),  "reference"),
        Field("LegalEntity",  Text(10),  "legal_entity"),
        Field("Status", Code({"Received": "received", "Applied": "applied",
                              "Reversed": "reversed"}), "state"),
        Field("CustomerNo",   Ref("customer"), "customer_id", required=True),
        Field("ReceivedOn",   Day(),     "received_on", required=True),
        Field("Amount",       Amount(),  "amount.amount", required=True),
        Field("CurrencyCode", Text(3),   "amount.currency", required=True),
        Field("Method",       Text(40),  "method"),
        Field("Allocations",  Rows("Allocation", (
            Field("InvoiceNo", Ref("invoice"), "invoice_id"),
            Field("Amount",    Amount(),       "amount"),
        )), "allocations"),
    ),
)
# fmt: on
#: Every record can hold what the tables do not name.
CUSTOM_FIELDS = Field("CustomFields", Text(65536), "custom_fields")
TABLES = tuple(
    msgspec.structs.replace(table, fields=(*table.fields, CUSTOM_FIELDS))
    for table in (CUSTOMER, RESOURCE, CONTRACT, PROJECT, TIME_ENTRY, EXPENSE, INVOICE, PAYMENT)
)
