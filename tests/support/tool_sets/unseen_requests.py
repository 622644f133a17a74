"""Requests in plain English, written without a look at the search or at ``requests``.

Their author knew the names and descriptions of the tools alone. The file was
committed before the search ran on it for the first time, and no request or
answer was changed since. That measurement was blind; those after it are not,
because the table of synonyms grew with the misses of every other request. A
line is ``request -> namespaces``; each of the namespaces is a right answer.
"""

from __future__ import annotations

__all__ = ["UNSEEN_REQUESTS"]

_LINES = """
let our team know in Slack that the deployment is finished -> slack.message
nudge me tomorrow at nine to call the bank -> slack.reminder
open a bug report on GitHub -> github.issue
merge my colleague's pull request -> github.pull_request gitlab.merge_request
run the failed CI build on GitHub once more -> github.workflow_run
stop a GitLab pipeline that hangs -> gitlab.pipeline gitlab.job
note down the three hours I worked on a Jira ticket -> jira.worklog
begin the next sprint -> jira.sprint
who has to answer the pager tonight -> pagerduty.on_call
tell the system that I am taking care of the outage -> pagerduty.incident
write up what went wrong after the outage -> pagerduty.postmortem
inform customers on the status page that we are working on it -> pagerduty.status_update
spin up a new VM -> aws.instance
how much did AWS cost us last month -> aws.cost
flush the CDN so that visitors get the new homepage -> cloudflare.cache
point a subdomain at the new server -> aws.dns_record cloudflare.zone
our TLS certificate runs out next week, get a new one -> azure.certificate
look for timeouts in the logs -> datadog.log_line
warn me when the CPU goes above 90 percent -> datadog.monitor aws.alarm sentry.alert_rule
which crashes did users run into today -> sentry.exception
did the nightly job run -> sentry.cron_check
somebody forgot their password -> okta.password
a colleague is locked out of her account -> okta.identity
I lost my phone and need a new second factor -> okta.mfa_device
see who changed the settings last week -> okta.audit_entry
ban an address that keeps guessing passwords -> auth0.blocked_ip auth0.login_attempt
take 50 euros from the customer's credit card -> stripe.charge adyen.authorisation
bill a client for consulting -> stripe.invoice
put somebody's monthly plan on hold -> stripe.subscription paypal.billing_plan
make a promo code for 20% off -> stripe.coupon shopify.price_rule
the customer sent it back, return the money -> orders billing stripe.charge paypal.payment
which invoices is this client late with -> billing
convert euros into dollars at yesterday's rate -> billing paypal.wallet
how many do we have left, and where -> stock shopify.inventory
we are running out of it, get more from the maker -> stock quickbooks.purchase_order
how much did we sell each week this quarter -> reports
call off an order that was placed by mistake -> orders shopify.order
where is my package -> ups.parcel
have our boxes collected tomorrow morning -> ups.pickup
how much customs do we owe on imported shoes -> dhl.duty
what does it cost to ship two pallets to Rotterdam -> dhl.freight
our shipment arrived broken -> dhl.damage_claim
remind people who left something in their basket -> shopify.abandoned_cart
sell a voucher as a present -> shopify.gift_card
answer an angry review of our product on Amazon -> amazon_seller.buyer_review
add a prospect to the CRM -> salesforce.lead
we won the deal -> salesforce.opportunity
phone number of the person we talk to at Siemens -> salesforce.contact
make the customer a price offer -> salesforce.quote quickbooks.estimate
reply to a support request -> zendesk.ticket intercom.conversation
are people happy with our support -> zendesk.satisfaction
send a text to somebody's mobile -> twilio.sms twilio.whatsapp
check the code that the user typed in to confirm a mobile number -> twilio.verification
take somebody off our mailing list -> sendgrid.unsubscribe mailchimp.audience hubspot.contact_list
how many readers opened the last newsletter -> mailchimp.open_rate
try two subject lines against each other -> mailchimp.split_test
take two weeks off in August -> workday.leave_request
what did I earn in March after tax -> workday.payslip
give an employee a raise -> workday.compensation
who is Anna's boss -> workday.org_chart
fix a date to talk to an applicant -> greenhouse.interview
turn an applicant down -> greenhouse.candidate
advertise an open position -> greenhouse.job_posting
set up lunch with Maria on Friday at noon -> calendar.event calendar.invitation
when does Tom have time this week -> calendar.availability
answer mails automatically while I am on holiday -> gmail.vacation
write an email to the landlord -> gmail.mail gmail.draft
a room with a table for ten people -> outlook.room
is next Monday a bank holiday in Germany -> calendar.holiday
stop sharing a document with somebody outside -> drive.permission dropbox.shared_link
go back to yesterday's version of the text -> drive.revision
add a row to a Google sheet -> drive.spreadsheet
put it into the wiki -> notion.page confluence.article
read what was said in this morning's call -> teams.transcript
get me on a plane to Lisbon -> travel.flight
somewhere to sleep in Vienna for three nights -> travel.hotel
do Indians need a visa for Japan -> travel.visa
will it rain in Oslo tomorrow -> weather.forecast
is the air clean enough to run outside -> weather.air_quality
when does it get dark in Madrid -> weather.sunrise
how long does it take to drive to the airport -> maps.travel_time maps.route
latitude and longitude of a street address -> maps.geocode
where can I plug in my electric car -> maps.charging_station
put this paragraph into French -> gcp.translation
turn an audio recording into text -> gcp.speech twilio.voicemail teams.transcript
what can be seen in this photo -> gcp.vision
execute some SQL -> gcp.query_job snowflake.table
keep analysts from seeing personal data -> snowflake.masking_policy
how many visits did our pricing page have -> analytics.page_view cloudflare.traffic
at which step do buyers drop out -> analytics.funnel
what did our Google campaigns cost -> google_ads.ad_spend
get a contract signed by both sides -> legal.agreement legal.e_signature
I paid for the taxi myself and want it back -> xero.expense_claim
settle what we owe to a supplier -> xero.bill
did we make or lose money last year -> quickbooks.profit_report
is this patient allergic to penicillin -> patients
see the doctor on Thursday -> appointments
can these two drugs be taken at the same time -> prescriptions
results of the blood test -> lab_results
what is for lunch at school today -> school
how often has this child been absent -> pupils
keep a library book for two more weeks -> loans
the light in room 204 does not work -> facilities
make the meeting room warmer -> facilities
where is the van with the plate B-MX 123 -> vehicles
how long has he been driving this week -> drivers
on which shelf do we keep these screws -> warehouse
reward a loyal customer with 500 points -> loyalty
the story should appear on the website at six tomorrow morning -> articles
archive pictures of the old harbour -> photos
"""

UNSEEN_REQUESTS: dict[str, frozenset[str]] = {
    request: frozenset(namespaces.split())
    for request, _, namespaces in (line.partition(" -> ") for line in _LINES.strip().splitlines())
}
"""The namespaces that answer each request."""
