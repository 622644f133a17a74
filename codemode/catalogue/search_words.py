"""The words of a search: split, stemmed, without stop words, with their synonyms."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from itertools import islice

from codemode.errors.base import ConfigurationError

__all__ = ["MAX_CHARACTERS", "Synonyms", "stem", "stems", "words"]

MAX_CHARACTERS = 300
"""The length at which the text of a search is cut: executed code chooses it."""

_MOST_TERMS = 16

_WORD = re.compile(r"[^\W_]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_PHRASE_WORDS = 3

_STOP_WORDS = frozenset(
    """
    a about again all also am an and any anybody anyone anything are as at be been being but by
    can could did do does done each for from had has have having he her here him his how i if in
    into is it its just let like many may me more most much must my need needs no nor not now of
    off on once one only or other our out over own per please same shall she should so some
    somebody someone something such than that the their them then there these they thing this
    those to too under until up us very want wants was we were what when where whether which
    while who whom whose why will with would you your
    """.split()
)

# Groups of words that mean nearly the same in business software. A phrase of two or three words
# stands for the other words of its group.
_GROUPS = """
account, login
add, create, insert, make, new, open, register, set up
advert, ad, advertisement, advertising
agree, approve, accept, confirm, sign off
airplane, plane, flight, fly
answer, reply, respond, response
appointment, booking, consultation, meeting, event
archive, store away
article, product, item, goods, merchandise
ask, request
assign, give to, hand over
attach, attachment
bank holiday, public holiday, holiday
bill, invoice
block, ban
book, reserve, reservation
bug, defect, issue, error, fault
build, ci, pipeline, workflow
buy, purchase, acquire
calendar, schedule, agenda, diary
call, phone, telephone, ring, dial
cancel, abort, call off, withdraw
car, vehicle, van, automobile
change, update, edit, modify, adjust, set, alter
chat, conversation, talk
check, verify, validate, test, inspect
city, town
clear, purge, empty, flush
client, customer, buyer, shopper
colleague, coworker, employee, staff, teammate, worker
company, organisation, firm, business, account
compare, versus, difference
contract, agreement
cost, price, spend, spending, expense, fee
coupon, voucher, discount, promotion, promo code, discount code
cv, resume, applicant, candidate
database, table, warehouse
delete, remove, erase, drop, discard, get rid of
deliver, delivery, shipping, shipment, ship
department, team, division, group
dispute, chargeback, contest
doc, document, file
doctor, physician
dollar, euro, money, amount
due, overdue, late, unpaid, outstanding, deadline
earn, salary, pay, wage, compensation
email, mail, e mail
enable, activate, turn on, switch on, start
disable, deactivate, turn off, switch off, stop
estimate, quote, offer, quotation
exchange rate, currency, conversion
export, download, save
find, search, look up, lookup, look for, seek, query, locate
fix, repair, resolve, solve
folder, directory
forward, pass on
free, available, availability, vacant
freight, cargo, pallet
gift card, gift voucher, gift certificate
repo, repository
hire, recruit, job, vacancy, opening
hotel, accommodation, lodging
identity, user, login, person
incident, outage, alert, alarm, page
invite, invitation, ask to join
join, merge, combine, unite
journey, trip, travel
kind, type, category
label, tag
lawyer, legal, counsel
leave, vacation, time off, day off, days off, pto, holiday
list, show, display, overview, enumerate
lock, suspend, freeze
log, logs, logging, journal
machine, server, instance, vm, virtual machine, computer
map, route, directions, drive
medicine, drug, medication, prescription
message, post, note, notify
mobile, phone, cell
move, transfer, shift, reschedule
multi factor, second factor, mfa, 2fa, two factor
mute, silence, snooze, quiet
newsletter, mailing, campaign
number, count, how many, quantity
on call, pager, standby
order, purchase
out of office, vacation, auto reply, away message
package, parcel
page, site, website, web
password, passcode, credentials
pay back, refund, reimburse, repay, money back, give back
payroll, payslip, wage
permission, access, right, authorisation, share
picture, photo, image
place, location, where, position
post, publish, release
presentation, slides, slide deck
print, printout
profit and loss, p&l, earnings, income
pull request, pr, merge request
query, sql, select
question, survey
rain, weather, sun, temperature, snow, storm
recording, record
reminder, remind
renew, extend, prolong
rent, rental, hire
rerun, retry, repeat, restart
restore, recover, undo, roll back
return, send back
revenue, turnover, sales, income
review, feedback, rating
revision, version
role, job, position
room, space
row, line, record
run, execute, launch, start, trigger
schedule, plan
school, pupil, student
second factor, one time code, verification, otp
send, dispatch, deliver, submit
shift, rota, roster
shop, store, webshop
show, view, see, read, get, fetch, display
sign, signature
slide, deck
sms, text message, text
spreadsheet, sheet, excel
stock, inventory, levels, pieces
subscribe, sign up, opt in
subscriber, reader, recipient, audience
supplier, vendor, manufacturer
support, help, helpdesk, service
task, todo, to do, ticket
tax, vat, duty
tell, inform, notify, message, post
ticket, issue, case
tls, ssl, certificate
track, trace, follow, tracking
traffic, visit, visitor, view
train, railway
transcribe, dictation, speech
translate, translation, language
unsubscribe, opt out
upload, put
video call, videoconference, meeting
wiki, knowledge base, knowledge
win, won, close
write, compose, draft, create
"""


def words(text: str) -> list[str]:
    """Return the words of a text or of an identifier, in lower case and without accents."""
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text)
        text = "".join(one for one in decomposed if not unicodedata.combining(one))
    return _WORD.findall(_HUMP.sub(" ", text).replace("'s ", " ").lower())


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """Return a word without its common English endings, so that its forms are equal."""
    if len(word) <= 3:
        return word
    if word.endswith("ies") and len(word) > 4:
        word = word[:-3] + "y"
    elif word.endswith(("sses", "shes", "ches", "xes")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        left = word.removesuffix(ending)
        if left != word and len(left) >= 3 and any(one in "aeiouy" for one in left):
            word = left[:-1] if left[-1] == left[-2] and left[-1] not in "lsz" else left
            break
    for ending, kept in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word.removesuffix(ending) + kept
            break
    if len(word) > 3 and word.endswith("e"):
        word = word[:-1]
    return word


_ENDINGS = (
    ("isation", "is"),
    ("ization", "is"),
    ("ation", "at"),
    ("ize", "is"),
    ("ise", "is"),
    ("iz", "is"),
    ("ment", ""),
    ("our", "or"),
    ("ally", "al"),
)


def stems(text: str) -> list[str]:
    """Return the stems of the words of a text that carry meaning."""
    return [stem(word) for word in words(text) if word not in _STOP_WORDS]


class Synonyms:
    """A table of what else the words of a search may mean: the general one, and a project's own.

    ``own`` has the other words for a word or a phrase of up to three words.
    Raises ConfigurationError.
    """

    def __init__(self, own: Mapping[str, Iterable[str]] | None = None) -> None:
        self._own: dict[str, frozenset[str]] = {}
        for phrase, others in _checked(own or {}).items():
            meant = frozenset(one for other in others for one in stems(other))
            self._own[_key(words(phrase))] = meant

    @cached_property
    def _of(self) -> Mapping[str, frozenset[str]]:
        # Built by the first search: many processes never make one.
        general = _general()
        return general | {
            key: general.get(key, frozenset()) | meant for key, meant in self._own.items()
        }

    def expand(self, text: str) -> list[tuple[str, frozenset[str]]]:
        """Return each stem of a search with the stems that may stand for it.

        A phrase that has synonyms adds them under its own words, joined. The
        time of a search is bounded by a number of terms.
        """
        found = words(text[:MAX_CHARACTERS])
        expanded: dict[str, frozenset[str]] = {}
        for word in found:
            if word not in _STOP_WORDS:
                expanded[stem(word)] = self._of.get(stem(word), frozenset())
        for size in range(2, _PHRASE_WORDS + 1):
            for start in range(len(found) - size + 1):
                key = _key(found[start : start + size])
                if key in self._of:
                    expanded[key] = self._of[key]
        return list(islice(expanded.items(), _MOST_TERMS))


def _checked(own: Mapping[str, Iterable[str]]) -> Mapping[str, Iterable[str]]:
    for phrase, others in own.items():
        wrong = isinstance(others, str | bytes) or not isinstance(others, Iterable)
        if wrong or not all(isinstance(one, str) for one in (phrase, *others)):
            raise ConfigurationError(
                f"synonyms has {phrase!r}: {others!r}; expected a word or phrase and a list of "
                "words that it may mean, such as 'RMA': ['return', 'refund']"
            )
        if not 1 <= len(words(phrase)) <= _PHRASE_WORDS:
            raise ConfigurationError(
                f"synonyms has the phrase {phrase!r}; expected one to {_PHRASE_WORDS} words"
            )
    return own


def _key(phrase: list[str]) -> str:
    return " ".join(map(stem, phrase))


@lru_cache(maxsize=1)
def _general() -> dict[str, frozenset[str]]:
    table: dict[str, set[str]] = {}
    for group in _groups():
        keys = [_key(words(phrase)) for phrase in group]
        single = {key for key in keys if " " not in key}
        for key in keys:
            table.setdefault(key, set()).update(single - {key})
    return {key: frozenset(meant) for key, meant in table.items()}


def _groups() -> Iterator[list[str]]:
    for line in _GROUPS.strip().splitlines():
        yield [phrase.strip() for phrase in line.split(",")]
