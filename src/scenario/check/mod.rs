//! What no type can refuse: names that nobody has, times that go backwards, fields that do not go together.

mod clients;
mod patterns;
mod timeline;

use super::locate::Place;
use super::model::{Broker, Client, Network, Scenario};
use super::scalar::suggestion;
use super::units::{Seconds, Span};
use crate::codec::{Text, Version};
use crate::notation::read::{Problem, problem};
use crate::topic::{Target, TopicFilter, TopicName};

/// The latest moment of a run.
const LATEST: Span = Span::seconds(24 * 3600);
/// The longest latency.
const SLOWEST: Span = Span::seconds(60);
/// How many clients there may be, copies counted.
const MOST_CLIENTS: usize = 1000;

type Checked = Result<(), Problem>;

/// Checks a scenario; the first problem in the order of the file is what comes back.
pub(super) fn check(scenario: &Scenario) -> Checked {
    let root = Place::default();
    covers(scenario, &root.key("covers"))?;
    network(&scenario.network, &root.key("network"))?;
    broker(&scenario.broker, &root.key("broker"))?;
    if scenario.clients.is_empty() {
        return Err(problem(root, "the scenario has no clients", "name at least one under `clients:`"));
    }
    let names = Known::new(scenario, &root.key("clients"))?;
    for (name, client) in scenario.clients.iter() {
        clients::check(client, &root.key("clients").key(name))?;
    }
    timeline::check(scenario, &names, &root.key("timeline"))?;
    for (number, pattern) in scenario.never.iter().enumerate() {
        patterns::never(pattern, &names, &root.key("never").item(number))?;
    }
    let last = scenario.timeline.iter().map(|step| step.time()).max().unwrap_or_default();
    match scenario.ends {
        Some(ends) if ends > LATEST => Err(too_late(root.key("ends"), ends)),
        Some(ends) if ends < last => {
            let what = format!("the run ends at {ends}, but its timeline goes on until {last}");
            Err(problem(root.key("ends"), what, format!("let it end at {last} or later, or leave `ends` out")))
        }
        _ => Ok(()),
    }
}

fn too_late(place: Place, span: Span) -> Problem {
    problem(place, format!("{span} is too late"), format!("a run lasts {LATEST} at most"))
}

/// The names of a scenario, and whose clients speak which version.
struct Known<'a> {
    clients: Vec<(String, &'a Client)>,
}

/// The broker's name.
pub(super) const BROKER: &str = "broker";

impl<'a> Known<'a> {
    /// All names, after checking that each is one and nobody else's.
    fn new(scenario: &'a Scenario, place: &Place) -> Result<Known<'a>, Problem> {
        let mut clients: Vec<(String, &Client)> = Vec::new();
        for (name, client) in scenario.clients.iter() {
            let here = place.key(name).on_key();
            let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ');
            if name.trim() != name || name.is_empty() || name.chars().count() > 40 || !name.chars().all(plain) {
                let help = "a name has up to 40 letters, digits, `-`, `_`, `.` and spaces between them";
                return Err(problem(here, format!("`{name}` cannot be a client's name"), help));
            }
            if name == BROKER {
                return Err(problem(here, "`broker` is the broker's own name", "give the client another name"));
            }
            let copies = client.count.unwrap_or(1) as usize;
            if copies == 0 || clients.len().saturating_add(copies) > MOST_CLIENTS {
                let help = format!("there may be {MOST_CLIENTS} clients in all, and at least one of each kind");
                return Err(problem(place.key(name).key("count"), format!("{copies} clients cannot be run"), help));
            }
            clients.push((name.to_owned(), client));
            clients.extend(client.copies(name).into_iter().filter(|copy| copy != name).map(|copy| (copy, client)));
        }
        let mut sorted: Vec<&str> = clients.iter().map(|(name, _)| name.as_str()).collect();
        sorted.sort_unstable();
        match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => {
                let what = format!("`{}` is also the name of a copy made by `count`", pair[0]);
                Err(problem(place.key(pair[0]).on_key(), what, "give the client another name"))
            }
            None => Ok(Known { clients }),
        }
    }

    /// The client of this name.
    fn client(&self, name: &str, place: &Place) -> Result<&'a Client, Problem> {
        let found = self.clients.iter().find(|(other, _)| other == name).map(|(_, client)| *client);
        found.ok_or_else(|| {
            if name == BROKER {
                let help = suggestion("", self.written());
                return problem(place.clone(), "a client is meant here, not the broker", help);
            }
            problem(place.clone(), format!("there is no client `{name}`"), suggestion(name, self.written()))
        })
    }

    /// Whether somebody has this name.
    fn anyone(&self, name: &str, place: &Place) -> Checked {
        if name == BROKER {
            return Ok(());
        }
        self.client(name, place).map(|_| ()).map_err(|problem| {
            let help = suggestion(name, self.written().chain([BROKER]));
            Problem { help: Some(help), ..problem }
        })
    }

    /// The names as they are written, without those of copies.
    fn written(&self) -> impl Iterator<Item = &str> + Clone {
        self.clients.iter().map(|(name, _)| name.as_str())
    }
}

fn covers(scenario: &Scenario, place: &Place) -> Checked {
    for (number, id) in scenario.covers.iter().enumerate() {
        let statement = id.strip_prefix("v5/MQTT-").or_else(|| id.strip_prefix("v3.1.1/MQTT-"));
        let numbered = statement.and_then(|rest| rest.rsplit_once('-')).is_some_and(|(section, number)| {
            section.split('.').all(|part| part.parse::<u8>().is_ok()) && number.parse::<u8>().is_ok()
        });
        if !numbered {
            let help = "write v5/MQTT-3.3.1-1 or v3.1.1/MQTT-3.3.1-1";
            return Err(problem(place.item(number), format!("`{id}` is no numbered statement"), help));
        }
    }
    Ok(())
}

fn network(network: &Network, place: &Place) -> Checked {
    latency(network.latency.most, &place.key("latency"))?;
    network.chunk.map_or(Ok(()), |bytes| chunk(bytes, &place.key("chunk")))
}

fn latency(most: std::time::Duration, place: &Place) -> Checked {
    if most > SLOWEST.0 {
        let help = format!("at most {SLOWEST}; for an outage use `hold` and `release`");
        return Err(problem(place.clone(), format!("a latency of {} is too long", Span(most)), help));
    }
    Ok(())
}

fn chunk(bytes: u32, place: &Place) -> Checked {
    within(bytes, 1, 65_535, place)
}

fn within<N: Into<u64> + Copy>(number: N, least: u64, most: u64, place: &Place) -> Checked {
    let number = number.into();
    if (least..=most).contains(&number) {
        return Ok(());
    }
    Err(problem(place.clone(), format!("{number} cannot stand here"), format!("it is from {least} to {most}")))
}

fn broker(broker: &Broker, place: &Place) -> Checked {
    let at_least_one = [
        ("port", broker.port.map(u32::from)),
        ("receive_maximum", broker.receive_maximum.map(u32::from)),
        ("maximum_packet_size", broker.maximum_packet_size),
        ("connections_maximum", broker.connections_maximum),
        ("queue_maximum", broker.queue_maximum),
    ];
    for (field, number) in at_least_one {
        if let Some(number) = number {
            within(number, 1, u32::MAX.into(), &place.key(field))?;
        }
    }
    if let Some(seconds) = broker.server_keep_alive {
        sixteen_bits(seconds, &place.key("server_keep_alive"))?;
    }
    if let Some(timeout) = broker.connect_timeout.filter(|timeout| *timeout > LATEST) {
        return Err(too_late(place.key("connect_timeout"), timeout));
    }
    for (user, password) in broker.users.iter().flat_map(|users| users.iter()) {
        text(user, &place.key("users").key(user).on_key())?;
        text(password, &place.key("users").key(user))?;
    }
    if let Some(information) = &broker.response_information {
        text(information, &place.key("response_information"))?;
    }
    Ok(())
}

/// Keep alives are sent as a number of 16 bits.
fn sixteen_bits(seconds: Seconds, place: &Place) -> Checked {
    if seconds.0 > 65_535 {
        let help = "a keep alive is 65535s (18h12m15s) at most";
        return Err(problem(place.clone(), format!("{}s is too long", seconds.0), help));
    }
    Ok(())
}

/// A string that MQTT can carry.
fn text(string: &str, place: &Place) -> Checked {
    match Text::try_from(string) {
        Ok(_) => Ok(()),
        Err(error) => Err(Problem { place: place.clone(), what: error.to_string(), help: None }),
    }
}

/// A topic that can be published to.
fn topic_name(topic: &str, place: &Place) -> Checked {
    match TopicName::try_from(topic) {
        Ok(_) => Ok(()),
        Err(error) => {
            let help = "a message is published to a topic without `+` and `#`, as light/hall";
            Err(problem(place.clone(), format!("`{topic}` is no topic: {error}"), help))
        }
    }
}

/// A topic filter that can be subscribed to.
fn topic_filter(filter: &str, version: Version, place: &Place) -> Checked {
    let parsed = TopicFilter::try_from(filter).and_then(|parsed| match version {
        Version::V5 => Target::try_from(parsed).map(|_| ()),
        Version::V3_1_1 => Ok(()),
    });
    parsed.map_err(|error| {
        let help = "wildcards stand alone in their level, `#` in the last: light/+/state, light/#";
        problem(place.clone(), format!("`{filter}` is no topic filter: {error}"), help)
    })
}

/// Refuses what only 5.0 has in a client of 3.1.1.
fn only_in_5(version: Version, used: &[(&str, bool)], place: &Place) -> Checked {
    match used.iter().find(|(_, used)| version == Version::V3_1_1 && *used) {
        Some((field, _)) => {
            let what = format!("`{field}` does not exist in 3.1.1");
            Err(problem(place.key(*field).on_key(), what, "leave it out, or let the client speak version 5"))
        }
        None => Ok(()),
    }
}

/// Exactly one of the verbs may stand in a step.
fn one_verb<'a>(words: impl Iterator<Item = &'a str>, what: &str, all: &str, place: &Place) -> Checked {
    let words: Vec<&str> = words.collect();
    match words.as_slice() {
        [_] => Ok(()),
        [] => Err(problem(place.clone(), format!("this step does not say what {what}"), format!("add one of: {all}"))),
        [first, second, ..] => {
            let what = format!("`{first}` and `{second}` stand in one step");
            Err(problem(place.key(*second).on_key(), what, "make two steps of it"))
        }
    }
}
