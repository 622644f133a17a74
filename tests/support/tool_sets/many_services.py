"""The services of the large tool set: their objects, and what may be done with these.

A line is ``object: noun; fields; verbs``. Every object has ``get`` and
``list``; ``+`` among the verbs stands for ``create``, ``update`` and ``delete``.
"""

from __future__ import annotations

__all__ = ["SERVICES"]

SERVICES: dict[str, str] = {
    "github": """
issue: issue of a repository; repository title body labels; + close comment
pull_request: pull request of a repository; repository title head base; + merge review
repository: repository with its settings; name visibility; + archive
release: published release of a repository; repository tag notes; + publish
workflow_run: run of a build workflow; repository branch; rerun cancel
branch: branch of a repository; repository name; create delete protect
secret: encrypted variable of a build workflow; repository name value; + rotate
webhook: callback for events of a repository; repository url events; + ping
""",
    "gitlab": """
merge_request: merge request of a project; project title source target; + merge approve
pipeline: pipeline of a project; project ref; run cancel retry
job: single job of a pipeline; project name; retry cancel
project: project with its members; name visibility; + archive
runner: machine that runs pipelines; description tags; + pause
snippet: shared piece of code; title content; +
milestone: milestone with a due date; project title due; + close
""",
    "jira": """
ticket: ticket of a project; project summary description priority; + assign transition
sprint: sprint of a board; board name start end; + start complete
board: board with its columns; name project; +
epic: epic that groups tickets; project summary; + link
worklog: hours logged on a ticket; ticket hours date; + approve
component: component of a product; project name lead; +
version: planned version of a product; project name date; + release
""",
    "linear": """
task: task of a team; team title description; + assign complete
cycle: cycle of a team; team start end; + close
roadmap: roadmap of initiatives; name; + share
label: label for tasks; name color; + merge
view: saved filter of tasks; name filter; + share
initiative: initiative across teams; name owner; + archive
comment: comment on a task; task text; +
project_update: update on how a project goes; project text; + publish
""",
    "slack": """
message: message in a channel; channel text thread; + pin
channel: channel of a workspace; name topic; + invite archive
user_group: group of people who are mentioned together; name members; + enable
reminder: reminder for a person; user text time; + snooze
file: file shared in a channel; channel title content; upload delete share
status: status line of a person; user text emoji; set clear
emoji: custom emoji of the workspace; name image; + alias
""",
    "teams": """
meeting: online meeting with a link; subject start end attendees; + cancel
chat: chat between people; members topic; + mute
team: team with its channels; name owner; + archive
recording: recording of a meeting; meeting; share delete
transcript: transcript of what was said in a meeting; meeting; search export
shift: shift of an employee's rota; employee start end; + swap
tab: tab in a channel; channel name url; +
webinar: webinar with registrations; title start; + publish
""",
    "gmail": """
mail: e-mail in a mailbox; to subject body; send search forward
draft: draft of an e-mail; to subject body; + send
thread: conversation of e-mails; subject; archive mute
filter: rule that sorts incoming e-mail; sender label; + test
mail_label: label in a mailbox; name color; +
attachment: file attached to an e-mail; mail name; download save
vacation: out-of-office reply; start end text; enable disable
""",
    "outlook": """
folder: folder of a mailbox; name parent; + empty
rule: rule for incoming mail; condition action; + run
category: category with a colour; name color; + merge
signature: signature under outgoing mail; name text; + activate
shared_mailbox: mailbox that several people use; address members; + convert
room: meeting room with its seats; name seats; search book
""",
    "calendar": """
event: event in a calendar; title start end guests; + move accept
availability: free and busy times of a person; user start end; search share
holiday: public holiday of a country; country year; search load
booking_page: page where others book an appointment; title duration; + publish
resource: shared resource such as a projector; name place; + reserve
invitation: invitation to an event; event guest; accept decline
working_hours: working hours of a person; user start end; set clear
""",
    "drive": """
document: text document; title content; + export
spreadsheet: spreadsheet with its sheets; title; + append export
folder: folder of files; name parent; + move
permission: access that a person has to a file; file user role; grant revoke
comment: comment on a document; document text; + resolve
revision: earlier revision of a document; document; restore compare
shared_drive: drive that a department shares; name; + hide
slide_deck: presentation with slides; title; + export
""",
    "dropbox": """
upload: large upload in parts; path size; start finish
shared_link: public link to a file; path expires; + revoke
file_request: request that others send files; title deadline; + close
backup: backup of a computer's folder; device path; start restore
quota: storage space of a member; member bytes; set reset
paper: note that several people write; title content; + export
device: computer or phone that is linked; member; unlink wipe
""",
    "notion": """
page: page of a wiki; title content parent; + publish
database: table of pages with properties; title properties; + query
block: block of a page; page content; + append
template: template for new pages; name content; + apply
teamspace: space of a department's pages; name; + archive
integration: integration that may read pages; name; + disable
""",
    "confluence": """
article: article of the knowledge base; space title content; + watch
space: space of articles; key name; + export
blog_post: post of the internal blog; space title content; + publish
macro: macro that articles embed; name body; +
restriction: restriction of who reads an article; article group; + copy
analytics: view counts of articles; space start end; summarise export
""",
    "stripe": """
charge: charge of a card; customer amount currency; create capture refund
customer: paying customer; email name; + search
subscription: recurring subscription; customer plan; + pause resume
invoice: invoice for a customer; customer amount due; + finalize send
dispute: dispute that a card holder opened; charge reason; respond accept
payout: payout to the company's bank account; amount date; create cancel
coupon: discount coupon; code percent; + expire
tax_rate: tax rate of a country; country percent; +
payment_method: stored card or bank account; customer kind; attach detach
""",
    "paypal": """
payment: payment of a buyer; buyer amount currency; create capture refund
billing_plan: plan of regular payments; name interval amount; + activate
settlement: settlement of a day's payments; date; download reconcile
buyer: buyer with an address; email; block unblock
chargeback: chargeback that a buyer started; payment reason; contest accept
wallet: balance of the wallet; currency; convert withdraw
donation: donation to a cause; cause amount; create thank
invoice_reminder: reminder of an unpaid invoice; invoice; send schedule
""",
    "adyen": """
authorisation: authorisation of a card payment; merchant amount; create cancel capture
terminal: card terminal in a store; store model; + restart
fraud_rule: rule that scores payments for fraud; name condition; + test
merchant: merchant account; name country; + suspend
fee: fee of a payment method; method percent; calculate export
store: shop with card terminals; name city; + close
balance_transfer: transfer between two balances; source target amount; create cancel
""",
    "xero": """
bill: bill from a supplier; supplier amount due; + approve pay
bank_transaction: line of a bank statement; account amount date; reconcile load
account: account of the ledger; code name; + archive
journal: manual journal entry; date lines; + post
expense_claim: expense claim of an employee; employee amount receipt; + approve reimburse
budget: budget of a department; department year amount; + compare
tax_return: tax return of a period; period; file calculate
supplier: supplier with bank details; name iban; + merge
""",
    "quickbooks": """
estimate: estimate for a client; client amount; + convert send
credit_note: credit note for a client; client amount reason; + apply
payroll_run: payroll of a month; month; start approve
purchase_order: purchase order to a vendor; vendor lines; + approve
profit_report: profit and loss of a period; start end; build export
balance_sheet: balance sheet at a date; date; build export
mileage: business trips by car; driver distance date; + approve
""",
    "shopify": """
order: order of a shopper; customer items; + fulfil cancel
product: product of the shop; title price; + publish
variant: size or colour of a product; product sku price; +
inventory: stock of a product at a location; sku location quantity; adjust transfer
gift_card: gift card with a balance; amount expires; create disable
collection: collection of products; title; + sort
abandoned_cart: cart that a shopper left behind; customer; remind delete
shipping_rate: price of shipping to a zone; zone price; + calculate
price_rule: automatic discount; title percent; + disable
""",
    "amazon_seller": """
listing: listing on the marketplace; sku title price; + pause
fba_shipment: shipment to the fulfilment centre; items; + confirm
buyer_review: review that a buyer wrote; sku; reply report
buy_box: offer that wins the sale; sku; compare watch
return_request: request to send goods back; order reason; authorise decline
advert: sponsored advert; sku budget; + pause
""",
    "ups": """
parcel: parcel on its way; number; track redirect
shipping_label: label for a parcel; address weight; create void print
pickup: pickup of parcels by the driver; address date; schedule cancel
delivery_proof: signature taken on delivery; number; download verify
address_check: check of a postal address; street city; validate suggest
customs_form: customs declaration; parcel contents value; + submit
depot: shop where parcels are collected; city; search reserve
""",
    "dhl": """
freight: freight on pallets; origin destination weight; quote book
container: sea container; number; track release
courier_route: route of a courier; depot date; optimise assign
duty: import duty of goods; code country value; calculate pay
warehouse_slot: slot at the warehouse's gate; warehouse time; book cancel
damage_claim: claim for damaged goods; parcel amount; + submit
""",
    "salesforce": """
lead: lead that sales follow up; company email source; + convert assign
opportunity: deal with a stage and a value; account amount stage; + win lose
account: company that buys; name industry; + merge
contact: person at a company; account email phone; + merge
campaign: marketing campaign; name budget; + launch
forecast: forecast of a quarter's revenue; quarter; build submit
territory: sales territory; name owner; + reassign
contract: contract with a customer; account start end; + renew
quote: price quote of a deal; opportunity lines; + send approve
""",
    "hubspot": """
form: form on a website; name fields; + publish
landing_page: landing page of a campaign; title content; + publish
newsletter: newsletter with its readers; subject content; + schedule send
contact_list: list of contacts that match rules; name rules; + refresh
deal_stage: stage of the sales pipeline; name order; + move
playbook: guide for sales calls; title content; +
visitor: visitor of the website; cookie; identify track
""",
    "zendesk": """
ticket: support ticket of a customer; subject body priority; + reply assign
macro: canned answer of agents; title text; + apply
agent: support agent; email group; + suspend
satisfaction: rating that a customer gave support; ticket; survey export
sla: promised time to answer; name hours; + check
help_article: article of the help centre; title body; + translate
queue: queue of waiting tickets; name filter; + assign
phone_call: call to the support line; number; transfer record
""",
    "intercom": """
conversation: chat with a website visitor; user text; reply close snooze
bot: chat bot with its answers; name; + train
tour: product tour for new users; title steps; + publish
user_event: event in a user's history; user name; track search
segment: segment of users; name rules; + export
office_hours: hours in which the chat is staffed; start end; set clear
tag: tag on conversations; name; + merge
teammate: colleague who answers chats; name; + away
""",
    "twilio": """
sms: text message to a phone; to text; send cancel
call: phone call; to; start hang_up record
phone_number: phone number that the company rents; country; buy release
verification: code that proves a phone number; to; send check
voicemail: message left by a caller; number; transcribe delete
whatsapp: WhatsApp message; to text; send template
conference: telephone conference; name; start mute
""",
    "sendgrid": """
bulk_mail: e-mail to many recipients; subject content list; + send schedule
bounce: address that does not accept mail; address; retry remove
unsubscribe: person who wants no more mail; address; + export
mail_template: template of an e-mail; name html; + duplicate
sender: address from which mail is sent; address; + verify
deliverability: share of mail that reaches the inbox; domain start end; measure export
ip_pool: addresses from which mail leaves; name; + warm
""",
    "mailchimp": """
audience: audience of subscribers; name; + load
automation: series of mails after a trigger; name trigger; + start pause
split_test: test of two subject lines; first second; start decide
open_rate: openings and clicks of a mailing; mailing; summarise export
signup_form: form by which people subscribe; title; + embed
postcard: printed postcard; address text; + send
unsubscribe_reason: reason why people unsubscribe; audience; summarise export
""",
    "workday": """
employee: employee with a position; name position; + promote terminate
leave_request: request for time off; employee start end kind; + approve decline
payslip: payslip of a month; employee month; send correct
position: position in the organisation; title department; + open close
performance_review: yearly review of an employee; employee year; + submit
org_chart: chart of who reports to whom; department; draw export
benefit: benefit such as health insurance; employee plan; enrol leave
timesheet: hours that an employee worked; employee week hours; + submit approve
compensation: salary of an employee; employee amount; propose approve
""",
    "greenhouse": """
candidate: candidate for a job; name email; + advance reject
job_posting: published vacancy; title text; + publish close
interview: interview with a candidate; candidate time; + schedule cancel
scorecard: interviewer's scores for a candidate; candidate scores; + submit
job_offer: offer to a candidate; candidate salary; + send approve
referral: candidate whom an employee recommends; employee candidate; + reward
onboarding: first weeks of a new colleague; employee start; start complete
""",
    "okta": """
identity: login of a person; email; + unlock suspend
password: password of a login; user; reset expire
mfa_device: device for the second factor; user kind; enrol remove
access_group: group that gives access to applications; name; + join leave
application: application behind single sign-on; name url; + assign
login_session: session of someone who is logged in; user; end search
audit_entry: entry of the audit log; actor start end; search export
api_token: token for programs; name; create revoke
""",
    "auth0": """
tenant: tenant of the login service; name; + export
connection: way to log in, such as Google; name; + enable
role: role with permissions; name; + grant
login_attempt: attempt to log in; ip user; search block
branding: look of the login page; color logo; set preview
blocked_ip: address that may not log in; ip; add remove
user_import: import of logins from a file; file; start cancel
""",
    "aws": """
instance: virtual machine; kind image; create start stop terminate
bucket: bucket of stored objects; name region; + empty
function: serverless function; name code; + invoke
load_balancer: load balancer before servers; name; + drain
dns_record: record of a domain; domain value; +
snapshot: snapshot of a disk; disk; create restore delete
iam_policy: policy of what a principal may do; name statement; + simulate
cost: cost of cloud services; start end service; summarise forecast
alarm: alarm on a metric; metric threshold; + silence
relational_database: managed database server; engine size; + reboot
""",
    "gcp": """
cluster: cluster that runs containers; name nodes; + resize
dataset: dataset of the data warehouse; name; + share
query_job: query of the data warehouse; sql; run cancel
topic: topic of messages between services; name; + publish
service_account: identity of a program; name; + disable
vision: recognition of what a picture shows; image; detect label
translation: translation of a text; text language; translate detect
speech: spoken words of an audio file; audio language; transcribe synthesise
""",
    "azure": """
app_service: hosted web application; name; + restart scale
key_vault: vault of keys and certificates; name; + rotate
certificate: certificate of a host; host; renew revoke
firewall_rule: rule of the firewall; port source; + enable
devops_build: build of an application; branch; queue cancel
storage_account: account of stored files; name; + replicate
virtual_network: private network; name range; + peer
""",
    "cloudflare": """
zone: domain that is served; name; + pause
cache: cached copies of pages; zone path; purge warm
waf_rule: rule that blocks attacks; expression; + enable
worker: script at the edge; name script; + deploy
tunnel: tunnel to a private server; name; + restart
traffic: visits and bandwidth of a domain; zone start end; summarise export
""",
    "datadog": """
monitor: monitor that warns; query threshold; + mute
dashboard: dashboard of graphs; title; + share
log_line: line of a log; query start end; search archive
metric: measured series; name start end; query submit
service_level: service level objective; name target; + check
trace: trace of a slow request; service; search explain
synthetic_test: scripted check of a website; url; + run
""",
    "pagerduty": """
incident: incident that needs a person; title urgency; + acknowledge resolve
on_call: person who is on call; schedule; swap override
escalation: order in which people are paged; name; + test
postmortem: report after an incident; incident text; + publish
maintenance_window: time without alerts; service start end; + cancel
status_update: message on the status page; incident text; + publish
runbook: steps to follow in an incident; title steps; + run
""",
    "sentry": """
exception: error that users met; project message; resolve ignore assign
release_health: share of sessions without a crash; release; compare watch
replay: recording of a user's screen; user; search delete
alert_rule: rule of when to warn; name condition; + mute
source_map: map from shipped to written code; release; upload delete
cron_check: check that a scheduled job ran; job schedule; + pause
feedback: words that a user left after an error; project; search answer
""",
    "snowflake": """
table: table of the warehouse; name columns; + query
virtual_warehouse: computing power for queries; name size; + suspend resume
data_share: data shared with a partner; name; + revoke
stage: place for files to load; name; + load
query_history: queries of the past; user start end; search explain
data_pipe: continuous loading of files; name; + pause
masking_policy: rule that hides personal data in columns; column; + apply
resource_monitor: cap on the credits of a warehouse; name credits; + reset
""",
    "tableau": """
workbook: workbook of charts; title; + refresh
data_source: source of a chart's data; name; + refresh
chart_subscription: mail with a chart; chart user; + pause
extract: copy of data for charts; source; refresh schedule
viewer: person who may see charts; email; + remind
flow: steps that clean data; name; + run
comment: comment on a chart; chart text; +
""",
    "analytics": """
page_view: views of a page; page start end; count compare
funnel: steps on the way to a purchase; steps; + compare
audience_segment: visitors with a trait; name rules; + export
conversion: goal that visitors reach; name; + count
traffic_source: site from which visitors come; start end; rank compare
experiment: experiment with two versions of a page; name; + start decide
""",
    "google_ads": """
ad_campaign: campaign of adverts; name budget; + pause
keyword: keyword that triggers an advert; text bid; + suggest
ad_group: group of adverts; name; + pause
ad_spend: money spent on adverts; start end; summarise forecast
ad_creative: picture and text of an advert; headline image; + preview
negative_keyword: word that must not trigger an advert; text; +
""",
    "maps": """
route: route between places; origin destination; plan compare
place: place with opening hours; name city; search rate
geocode: coordinates of an address; address; find reverse
travel_time: time to get from place to place; origin destination; estimate matrix
traffic_jam: jam on a road; area; search subscribe
elevation: height above the sea; point; measure profile
charging_station: station where electric cars charge; city; search reserve
""",
    "travel": """
flight: flight with its seats; origin destination date; search book
hotel: hotel with free rooms; city checkin checkout; search book
rental_car: rental car; city start end; search book
train: train connection; origin destination date; search book
trip: business trip of an employee; employee start end; + approve
visa: visa rules of a country; country nationality; check apply
boarding_pass: boarding pass of a passenger; booking; download resend
itinerary: plan of a journey; trip; build share
""",
    "weather": """
forecast: weather of the coming days; city days; hourly daily
storm_warning: official warning of bad weather; area; search subscribe
climate: usual weather of a month; city month; average compare
air_quality: pollution of the air; city; measure forecast
tide: high and low water; harbour date; predict compare
pollen: pollen in the air; city days; forecast compare
sunrise: times of sunrise and sunset; city date; compute compare
""",
    "legal": """
agreement: agreement to be signed; parties text; + send
e_signature: electronic signature; agreement signer; request remind
clause: standard clause; title text; + search
nda: confidentiality agreement; partner; + send
trademark: registered trademark; name country; + watch
privacy_request: request of a person about their data; person kind; + answer
retention_policy: rule of how long data are kept; kind months; + apply
case: court case with its dates; title court; + close
licence: licence of software; name; + renew
""",
}
