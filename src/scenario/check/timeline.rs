//! Checks of the timeline.

use super::super::locate::Place;
use super::super::model::Scenario;
use super::super::steps::{Action, Names, Step};
use super::super::units::Span;
use super::{
    Checked, Known, LATEST, chunk, clients, latency, one_verb, only_in_5, patterns, problem, too_late, within,
};

pub(super) fn check(scenario: &Scenario, names: &Known<'_>, place: &Place) -> Checked {
    let mut before = Span::default();
    for (number, step) in scenario.timeline.iter().enumerate() {
        let here = place.item(number);
        before = moment(step, before, &here)?;
        let all = "cut, heal, hold, release, reset, close, kill, power_off, start, latency, chunk, publish, subscribe, \
                   unsubscribe, connect, disconnect, send, expect";
        one_verb(step.actions().map(|(word, _)| word), "happens", all, &here)?;
        if step.way.is_some() && step.cut.is_none() {
            return Err(problem(here.key("way").on_key(), "`way` without `cut`", "only `cut` has a way"));
        }
        for (word, action) in step.actions() {
            one(word, action, step, names, &here)?;
        }
    }
    Ok(())
}

/// The moment of a step, which is not before the one of the step before it.
fn moment(step: &Step, before: Span, place: &Place) -> Result<Span, super::Problem> {
    let (word, now) = match (step.at, step.by) {
        (Some(at), None) => ("at", at),
        (None, Some(by)) => ("by", by),
        (Some(_), Some(_)) => {
            let help = "`at` is when something is done, `by` until when something is expected: make two steps of it";
            return Err(problem(place.key("by").on_key(), "`at` and `by` stand in one step", help));
        }
        (None, None) => {
            let help = "begin it with `at: 2s`, or with `by: 2s` where something is expected";
            return Err(problem(place.clone(), "this step has no time", help));
        }
    };
    if now > LATEST {
        return Err(too_late(place.key(word), now));
    }
    if now < before {
        let what = format!("time goes backwards: {now} stands after {before}");
        return Err(problem(place.key(word), what, "put the steps in the order of time"));
    }
    Ok(now)
}

fn one(word: &'static str, action: Action<'_>, step: &Step, names: &Known<'_>, place: &Place) -> Checked {
    let here = place.key(word);
    match (&action, step.by) {
        (Action::Expect(_), None) => {
            let help = "say until when: `by: 3s`";
            return Err(problem(place.key("at").on_key(), "`expect` goes with `by`", help));
        }
        (Action::Expect(_), Some(_)) | (_, None) => {}
        (_, Some(_)) => {
            let help = format!("say when: `at: {}`", step.time());
            return Err(problem(place.key("by").on_key(), format!("`{word}` goes with `at`"), help));
        }
    }
    match action {
        Action::Cut { names: whom, .. }
        | Action::Heal(whom)
        | Action::Hold(whom)
        | Action::Release(whom)
        | Action::Reset(whom)
        | Action::Close(whom)
        | Action::Kill(whom)
        | Action::PowerOff(whom)
        | Action::Start(whom) => each(whom, &here, |name, place| names.anyone(name, place)),
        Action::Connect(whom) => each(whom, &here, |name, place| names.client(name, place).map(|_| ())),
        Action::Latency(range) => latency(range.most, &here),
        Action::Chunk(bytes) => chunk(bytes, &here),
        Action::Publish(publish) => {
            let client = named(&publish.from, "from", names, &here)?;
            within(publish.count.unwrap_or(1), 1, 100_000, &here.key("count"))?;
            clients::placeholders(publish.payload.as_deref().unwrap_or_default(), &here.key("payload"))?;
            clients::message(&publish.message(), client.version.0, &here)
        }
        Action::Subscribe(subscribe) => {
            let client = named(&subscribe.client, "client", names, &here)?;
            if subscribe.filters.is_empty() {
                let help = "name a filter and its QoS: { light: 1 }";
                return Err(problem(here.key("filters"), "nothing to subscribe to", help));
            }
            clients::filters(&subscribe.filters, client.version.0, &here.key("filters"))
        }
        Action::Unsubscribe(unsubscribe) => {
            let client = named(&unsubscribe.client, "client", names, &here)?;
            clients::unsubscribe(&unsubscribe.filters.0, client.version.0, &here.key("filters"))
        }
        Action::Disconnect(disconnect) => {
            let five =
                [("reason", disconnect.reason.is_some()), ("session_expiry", disconnect.session_expiry.is_some())];
            // The short form is the name or the list itself.
            let long = here.key("client");
            each(&disconnect.clients, &long, |name, _| {
                let client = names.client(name, &long)?;
                only_in_5(client.version.0, &five, &here)
            })
        }
        Action::Send(send) => {
            named(&send.from, "from", names, &here)?;
            if send.hex.0.is_empty() {
                return Err(problem(here.key("hex"), "no bytes to send", "write them in hex: \"c0 00\""));
            }
            Ok(())
        }
        Action::Expect([]) => Err(problem(here, "nothing is expected", "add patterns, or remove the step")),
        Action::Expect(expected) => {
            let mut all = expected.iter().enumerate();
            all.try_for_each(|(number, pattern)| patterns::expected(pattern, names, &here.item(number)))
        }
    }
}

/// The client that a field names.
fn named<'a>(
    name: &str,
    field: &str,
    names: &Known<'a>,
    place: &Place,
) -> Result<&'a super::super::model::Client, super::Problem> {
    if name.is_empty() {
        return Err(problem(place.clone(), "this does not say which client", format!("add `{field}:`")));
    }
    names.client(name, &place.key(field))
}

/// Looks at each name, at its own place.
fn each(whom: &Names, place: &Place, look: impl Fn(&str, &Place) -> Checked) -> Checked {
    if whom.0.is_empty() {
        return Err(problem(place.clone(), "nobody is named", "write a name or a list of names"));
    }
    // Where a single name stands there are no items, and the nearest place around is the name itself.
    whom.0.iter().enumerate().try_for_each(|(number, name)| look(name, &place.item(number)))
}
