"""The tools of the large set that are written by hand, as a shop's own project has them.

A heading is the app that defines the tools below it. A tool is its signature
and, below, its description.
"""

from __future__ import annotations

__all__ = ["APPS"]

APPS: dict[str, str] = {
    "shop": """
orders.get(order_id: int) -> Record
    Return one order with its lines, its payments and its delivery address.
orders.search(status: str = "", customer_id: int | None = None, since: date | None = None) -> list[Record]
    Find orders by status, customer and age; the newest come first.
orders.refund(order_id: int, amount: Decimal | None = None, reason: str = "") -> Record
    Pay the money of an order back to the client, in whole or in part.
orders.cancel(order_id: int, reason: str = "") -> Record
    Cancel an order that has not been dispatched yet.
customers.get(customer_id: int) -> Record
    Return one customer with name, e-mail and loyalty level.
customers.search(text: str, country: str = "") -> list[Record]
    Find customers by a part of their name or e-mail.
customers.merge(keep_id: int, drop_id: int) -> Record
    Join two records of the same person.
loyalty.points(customer_id: int) -> int
    Return the bonus points that a customer has collected.
loyalty.award(customer_id: int, points: int, reason: str) -> int
    Give bonus points to a customer; return the new balance.
stock.levels(sku: str) -> dict[str, int]
    Return how many pieces of an article lie in each branch.
stock.reorder(sku: str, quantity: int) -> Record
    Order more pieces of an article from its manufacturer.
reports.sales(start: date, end: date, by: str = "day") -> list[Record]
    Return the turnover of a period, by day, week or product.
reports.returns(start: date, end: date) -> list[Record]
    Return which articles came back, and why.
newsletter.subscribe(email: str) -> bool
    Put an address on the list of our monthly letter.
""",
    "billing": """
refund_order(order_id: int, cents: int) -> Record
    Give money back for an old order of the former shop system.
dunning_letter(invoice_id: int, level: int = 1) -> str
    Write a dunning letter for an invoice that is overdue.
open_items(customer_id: int) -> list[Record]
    Return the invoices that a customer has not paid yet.
payment_terms(customer_id: int, days: int) -> None
    Set within how many days a customer must pay.
exchange_rate(source: str, target: str, day: date | None = None) -> Decimal
    Return the exchange rate of two currencies on a day.
""",
    "warehouse": """
find_bin(sku: str) -> str
    Return the shelf and bin in which an article lies.
pick_list(order_id: int) -> list[Record]
    Return what a picker must fetch for an order, in walking order.
count_bin(bin_code: str, counted: int) -> Record
    Enter the result of stock-taking for one bin.
forklift_status(number: int) -> Record
    Return the battery level and the driver of a forklift.
dock_schedule(day: date) -> list[Record]
    Return which lorry comes to which gate, and when.
""",
    "clinic": """
patients.get(patient_id: int) -> Record
    Return a patient's record with allergies and insurance.
patients.search(name: str, born: date | None = None) -> list[Record]
    Find patients by name and date of birth.
appointments.book(patient_id: int, doctor: str, when: datetime) -> Record
    Book a consultation with a doctor.
appointments.free_slots(doctor: str, day: date) -> list[datetime]
    Return the times at which a doctor is free.
prescriptions.renew(prescription_id: int) -> Record
    Renew a prescription for the same medicine.
prescriptions.interactions(medicines: list[str]) -> list[str]
    Warn of medicines that must not be taken together.
lab_results.latest(patient_id: int) -> Record
    Return the newest blood values of a patient.
""",
    "school": """
pupils.get(pupil_id: int) -> Record
    Return a pupil with class, parents and address.
pupils.absences(pupil_id: int, term: str) -> list[date]
    Return the days on which a pupil was missing.
marks.enter(pupil_id: int, subject: str, mark: int) -> None
    Enter a mark that a teacher gave.
marks.report_card(pupil_id: int, term: str) -> dict[str, int]
    Return all marks of a pupil in a term.
canteen_menu(day: date) -> list[str]
    Return the dishes of a day in the canteen.
substitute_teacher(subject: str, day: date) -> str
    Find a teacher who can stand in for a sick colleague.
""",
    "library": """
books.find(title: str = "", author: str = "", isbn: str = "") -> list[Record]
    Find books by title, author or ISBN.
books.reserve(book_id: int, reader_id: int) -> date
    Reserve a book that is on loan; return when it is due.
loans.extend(loan_id: int, days: int = 14) -> date
    Extend the loan of a book.
loans.overdue(reader_id: int) -> list[Record]
    Return the books that a reader should have brought back.
fines.total(reader_id: int) -> Decimal
    Return what a reader owes for late books.
""",
    "facilities": """
report_defect(room: str, text: str) -> int
    Report that something in a room is broken, such as a lamp or the heating.
set_temperature(room: str, celsius: float) -> None
    Set how warm a room should be.
door_access(badge: str, door: str, allowed: bool) -> None
    Let a badge open a door, or not any more.
parking_space(day: date, plate: str) -> str
    Reserve a place in the garage for a car.
meter_reading(meter: str, value: float) -> None
    Enter what an electricity or water meter shows.
cleaning_plan(floor: int) -> list[Record]
    Return which rooms of a floor are cleaned, and when.
""",
    "newsroom": """
articles.draft(headline: str, text: str) -> int
    Save the draft of a news story.
articles.schedule(article_id: int, when: datetime) -> None
    Set the time at which a news story goes online.
corrections.publish(article_id: int, text: str) -> None
    Publish the correction of an error in a news story.
photos.search(motif: str, year: int | None = None) -> list[Record]
    Find pictures in the archive by what they show.
photos.licence(photo_id: int) -> str
    Return who must be credited for a picture.
headline_test(article_id: int, first: str, second: str) -> str
    Return which of two headlines readers like better.
""",
    "fleet": """
vehicles.locate(plate: str) -> tuple[float, float]
    Return where a van of ours is now.
vehicles.service_due(plate: str) -> date
    Return when a van must go to the garage for inspection.
drivers.hours(driver_id: int, week: int) -> float
    Return how long a driver was at the wheel.
fuel_log(plate: str, litres: float, price: Decimal) -> None
    Enter what was filled into the tank of a van, and what it cost.
toll_costs(plate: str, month: date) -> Decimal
    Return what a van has cost in motorway tolls.
""",
}
