"""Groups of words that mean nearly the same in business software.

Each word of a group stands for the others. A phrase of two or three words
stands for the words of its group, and no word for a phrase.
"""

from __future__ import annotations

__all__ = ["GROUPS"]

GROUPS = """
absence, absent, missing
accommodation, hotel, lodging, overnight, sleep, stay
account, login
add, create, insert, make, new, open, register, set up
address, street
advert, ad, advertise, advertisement, advertising
agree, approve, accept, confirm, sign off
air, pollution, smog
airport, flight
allergic, allergy
amount, sum, total
announce, broadcast, publish, announcement
answer, reply, respond, response
app, application, program, software
applicant, candidate, cv, resume
apply, request, application
appointment, booking, consultation, meeting, event
archive, store away
arrive, arrival, delivery, eta
article, item, product, goods, merchandise
article, story, news
ask, request
assign, give to, hand over
assistant, bot, chatbot
attach, attachment
audit, audit log, who changed
author, book, literature, title
automobile, car, vehicle, van
availability, available, free, vacant, have time
away, out of office, auto reply, vacation, away message
backup, copy
badge, key card, name tag
balance, credit, points
ban, block
bank, iban, statement
bank holiday, public holiday, holiday
basket, cart, trolley
battery, power
bill, invoice, charge
bin, rack, shelf, aisle
blood, lab, laboratory, blood test
bonus, reward, award, points
book, reserve, reservation
boot, create, launch, start, spin up
boss, manager, superior, supervisor, reports to
box, package, parcel
branch, shop, store
broken, break, crash, damage, defect
browser, page, website
bug, defect, issue, error, fault, exception
build, ci, pipeline, workflow
building, facility, floor, office
business, company, firm, organisation, account
busy, away, unavailable
buy, purchase, acquire
calendar, schedule, agenda, diary
call, phone, telephone, ring, dial
campaign, mailing, newsletter, marketing
cancel, abort, call off, withdraw
canteen, menu, dish, meal, food, eat, lunch, dinner
card, credit card
carrier, courier, driver
case, court, lawsuit, trial
cdn, cache, edge
certificate, tls, ssl
change, update, edit, modify, adjust, set, alter
chart, graph, diagram, plot, dashboard
chat, conversation, talk
check, verify, validate, test, inspect
child, kid, pupil, student
choose, decide, pick
city, town
claim, complaint, complain
clean, cleaning, tidy
clear, purge, empty, flush
client, customer, buyer, shopper
clinic, hospital, doctor, patient
close, complete, end, finish
cloud, hosting, server
cluster, container, docker, kubernetes
code, function, script
cold, heat, heating, temperature, warm, hot
colleague, coworker, employee, staff, teammate, worker
collect, fetch, pickup, pick up
comment, note, remark
compare, versus, difference
compensation, earn, pay, salary, wage, raise, pay rise
computer, device, laptop
conceal, hide, mask, anonymise
confidentiality, secrecy, nda
configuration, config, option, preference, setting
congestion, jam, traffic jam
contest, chargeback, dispute
contract, agreement, sign, signed
convert, conversion, exchange
coordinates, geocode, gps, latitude, longitude
correction, apologise
cost, price, spend, spending, expense, fee
coupon, voucher, discount, promotion, promo code, discount code
cpu, load, memory, metric
crm, lead, opportunity
cron, nightly, schedule, scheduled
customs, duty, import
database, table, warehouse
deactivate, disable, turn off, switch off, stop
dead, down, offline, outage
deal, opportunity
debt, owe, unpaid, open items
decline, deny, refuse, reject, rejection, turn down
delay, late, overdue, due, unpaid, outstanding, deadline
delete, remove, erase, drop, discard, get rid of
deliver, delivery, shipping, shipment, ship
department, team, division, group
deploy, deployment, release, rollout, ship, roll out
directory, folder
dispatch, send, deliver, submit
dns, domain, hostname, subdomain
doc, document, file
dock, gate, ramp
doctor, physician, see a doctor, see the doctor
dollar, euro, money, amount
draft, compose, create, write
drive, driver, wheel
drug, medicine, medication, pill, prescription
elevation, altitude, height
email, mail, e mail
embed, integrate, integration
employ, hire, recruit, job, vacancy, opening
enable, activate, turn on, switch on, start
estimate, quote, offer, proposal, quotation
evaluate, evaluation, review, score
evidence, proof, prove
ev, electric car, charging station
exchange rate, currency, conversion
excel, sheet, spreadsheet
execute, run, launch, start, trigger
expire, renew, runs out, run out
export, download, save
external, guest, outside, public
failure, incident, outage, alert, alarm, page
fee, fine, penalty
find, search, look up, lookup, look for, seek, query, locate
fire, dismiss, quit, resign, leave, terminate
fix, repair, resolve, solve
flight, airplane, plane, fly
follow, track, trace, tracking
forget, forgot, forgotten, lost, reset
forward, pass on
fraud, scam, suspicious
freeze, lock, suspend
freight, cargo, pallet
fuel, diesel, gas, petrol, refuel, tank
funnel, drop out, drop off, steps
garage, inspection, service
gdpr, privacy, personal data, data protection
gift, present, gift card, gift voucher, gift certificate
grade, mark, school report
group, audience, cohort, segment
guide, handbook, instructions, manual, playbook, runbook
handle, manage, take care of
harbour, ocean, port, sea, tide
happy, satisfied, unhappy, satisfaction
heading, headline, title
help, helpdesk, support, service
history, log, past
hold, pause, suspend, on hold, put on hold
homepage, page, website, site, web
identity, user, login, person
ill, illness, sick, leave, absence
income, earnings, profit, revenue
increase, raise
inform, notify, tell, message, post
ingest, import, load, upload, put
insurance, benefit, pension, health insurance
inventory, stock, levels, pieces
invitation, invite, ask to join
ip, address, network
journey, trip, travel
join, merge, combine, unite
keep, save, store
keyword, search term
kilo, weight
kind, type, category
label, tag, mark
lamp, light, bulb
landing page, page, website
language, translate, translation
lawyer, legal, counsel
lead, prospect, potential customer
leave, vacation, time off, day off, days off, weeks off, pto, holiday
lend, lent, loan, borrow, borrowed
lesson, school, teacher, class
letter, mail, post
licence, license, permit
line, record, row
link, url
list, show, display, overview, enumerate
locked, locked out, unlock
log, logs, logging, journal
lorry, truck, van, vehicle
lose, loss, lost
machine, server, instance, vm, virtual machine, computer
maintenance, downtime
maker, manufacturer, supplier, vendor, producer
map, route, directions, drive
meet, meeting, talk to
mfa, 2fa, authenticator, multi factor, second factor, two factor
minutes, protocol, transcript
mobile, phone, cell
monitor, observe, watch
motorway, highway, toll
move, transfer, shift, reschedule
mute, silence, snooze, quiet, silent
number, count, how many, quantity
offer, listing, sell
on call, pager, standby
online, publish, go live, go online
order, purchase
package, parcel
park, garage, parking
password, passcode, credentials
pay, settle, settlement
pay back, refund, reimburse, repay, money back, give back
payroll, payslip, wage, paycheck
permission, access, allow, grant, right, authorisation, share
perk, benefit
photo, picture, image
place, location, where, position
plan, schedule, timetable
plan, membership, subscription
poll, survey, vote
post, publish, release
post, message, note
presentation, slides, slide deck
print, printout
profile, slow, trace, latency
profit and loss, p&l, earnings, income
pull request, pr, merge request
quarter, period
query, sql, select
question, survey
queue, backlog, waiting
quota, usage
railway, train
rain, weather, sun, temperature, snow, storm, sunny
rating, rank, score, feedback, review
read, view, get
reader, recipient, subscriber, audience
receipt, expense
recognise, recognition, detect, scan, vision
recording, record, video
reminder, remind, nudge
renew, extend, prolong
rent, rental, hire
repo, repository
report, analytics, metrics, statistics, figures
rerun, retry, repeat, restart
restore, recover, undo, roll back, go back
return, send back
ride, taxi, trip, expense
revenue, turnover, sales, sold, income
revision, version
role, job, position
room, space
rota, roster, shift
running out, stock, reorder, run out
sale, sales, sell
school, pupil, student
see, show, view, read, get, fetch, display
serverless, function, lambda
sign, signature
sign in, login, log in, sso, single sign on
sign up, subscribe, opt in
slide, deck
sms, text, text message
spam, filter, junk
speech, audio, dictation, sound, transcribe, voice
split test, experiment, ab test
stand in, substitute, replacement, cover for
storm, hurricane, thunder
stuck, hang, cancel
sunset, sunrise, get dark
task, todo, to do, ticket
tax, vat, duty
thank, thanks
ticket, issue, case
traffic, visit, visitor, view, page view
transport, freight, ship
travel time, how long does
tunnel, vpn, remote
unassigned, queue
unsubscribe, opt out
verification, otp, second factor, one time code
video call, videoconference, meeting
warn, warning, alarm, alert, monitor, notify
webshop, shop, store
wiki, knowledge base, knowledge
win, won, close
wipe, delete, erase
working time, hours, overtime, timesheet
worth, price, value
"""
